"""Encoder outputs of many samples in memory, each picture once, and batches cut from them without a loop over rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.files import digest
from fusion.signals import Attention
from fusion.types import Batch, FusionError, Image, Sample, Steps, Text

if TYPE_CHECKING:
    import PIL.Image

    from fusion.encoders import Encoded, ImageEncoder, TextEncoder
    from fusion.encoders.cache import FeatureCache

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Features:
    """Frozen encoder outputs of N samples over U different pictures, on the CPU."""

    ids: tuple[str, ...]
    text_steps: Tensor  # (N, T, D) float16
    text_mask: Tensor  # (N, T) bool
    text_pooled: Tensor  # (N, D) float32
    image_of: Tensor  # (N,) int, which picture; -1 without one
    image_steps: Tensor  # (U, R, D) float16
    image_pooled: Tensor  # (U, D) float32
    names: tuple[Steps, ...]  # N rows
    targets: Tensor | None = None  # (N, T) class ids, 0 on padding; a row of -1 has no tags

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows: Tensor, image_rows: Tensor | None = None, *, pad: int | None = None) -> Batch:
        """Some samples as a batch, cut to the longest text of them unless padded to `pad`.

        rows (B,) int; image_rows (B,) int: the samples whose pictures to use, their own by default.
        """
        mask = self.text_mask[rows]
        longest = pad or max(1, int(mask.sum(1).max()))
        pictures = self.image_of[rows if image_rows is None else image_rows]
        there = pictures >= 0
        if len(self.image_steps):
            at = pictures.clamp(min=0)
            steps, pooled = self.image_steps[at].float(), self.image_pooled[at]
        else:
            steps = torch.zeros(len(rows), *self.image_steps.shape[1:])
            pooled = torch.zeros(len(rows), self.image_pooled.shape[1])
        masks = {"text": mask[:, :longest], "image": torch.ones(steps.shape[:2], dtype=torch.bool)}
        return Batch(
            features={"text": self.text_steps[rows, :longest].float(), "image": steps * there[:, None, None]},
            pooled={"text": self.text_pooled[rows], "image": pooled * there[:, None]},
            mask=masks,
            kept=masks,
            present=torch.stack((mask.sum(1) > 2, there), 1),  # more than the two marks of a text encoder
            modalities=("text", "image"),
            ids=tuple(self.ids[i] for i in rows.tolist()),
            target=None if self.targets is None else self.targets[rows, :longest],
        )

    def retold(self, text: TextEncoder, samples: Sequence[Sample], limit: int, size: int = 32) -> Features:
        """The same samples with texts encoded by another encoder that cuts the same word pieces."""
        steps, pooled = self.text_steps.clone(), self.text_pooled.clone()
        order = torch.argsort(self.text_mask.sum(1), stable=True)
        for rows in order.split(size):
            made = encode_texts(text, [samples[i] for i in rows.tolist()], limit, False)
            steps[rows, : made.steps.shape[1]] = made.steps.half().cpu()
            pooled[rows] = made.pooled.float().cpu()
        return replace(self, text_steps=steps, text_pooled=pooled)

    def rows(self, index: Tensor) -> Features:
        """Some of the samples; the pictures are shared, not copied."""
        at = index.tolist()
        return replace(
            self,
            ids=tuple(self.ids[i] for i in at),
            text_steps=self.text_steps[index],
            text_mask=self.text_mask[index],
            text_pooled=self.text_pooled[index],
            image_of=self.image_of[index],
            names=tuple(self.names[i] for i in at),
            targets=None if self.targets is None else self.targets[index],
        )


def encode(
    samples: Sequence[Sample], text: TextEncoder, image: ImageEncoder, *, limit: int, pads: bool = False,
    classes: tuple[str, ...] = (), size: int = 32, progress: Progress | None = None, skip: dict[str, str] | None = None,
    cache: FeatureCache | None = None,
) -> Features:  # fmt: skip
    """Run both encoders over samples, each distinct picture once, texts of like length together.

    limit: word pieces a text at most; pads: encode every text at that length (models that read padding); classes:
    names of the tag classes, to turn word tags into targets; skip: where given, samples whose picture can't be read
    go on without it and are named there (id -> sentence); cache: where given, pictures' features are kept there.
    Raises FusionError on such a picture otherwise.
    """
    pictures, image_of = _distinct(samples)
    unread: dict[int, str] = {}
    total, done = len(samples) + len(pictures), 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, total)

    with torch.inference_mode():
        rows, columns = image.grid
        image_steps = torch.zeros(len(pictures), rows * columns, image.width, dtype=torch.float16)
        image_pooled = torch.zeros(len(pictures), image.width)
        if cache is not None:
            kept = cache.images(image, [Sample(str(i), {"image": picture}) for i, picture in enumerate(pictures)])
            unread |= {int(name): sentence for name, sentence in kept.broken.items()}
            if unread and skip is None:
                raise FusionError(next(iter(unread.values())))
            for start in range(0, len(pictures), 256):
                image_steps[start : start + 256] = kept.steps(slice(start, start + 256)).half()
            image_pooled = kept.pooled
            step(len(pictures))
        for start in range(0, len(pictures) if cache is None else 0, size):
            group = pictures[start : start + size]
            opened = _open(group, start, None if skip is None else unread)
            if opened:
                encoded = image.encode([picture for _, picture in opened])
                at = torch.tensor([row for row, _ in opened])
                image_steps[at] = encoded.steps.half().cpu()
                image_pooled[at] = encoded.pooled.float().cpu()
            step(len(group))
        order = sorted(range(len(samples)), key=lambda i: len(samples[i].text()))
        texts: list[tuple[list[int], object]] = []
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            texts.append((rows, encode_texts(text, [samples[i] for i in rows], limit, pads).to("cpu")))
            step(len(rows))
    if skip is not None and unread:
        skip |= {s.id: unread[at] for s, at in zip(samples, image_of, strict=True) if at in unread}
        image_of = [-1 if at in unread else at for at in image_of]
    return _gather(samples, texts, image_of, image_steps, image_pooled, classes)


def told(sample: Sample) -> Text:
    """The sample's text as an encoder takes it, empty without one."""
    return part if isinstance(part := sample.parts.get("text"), Text) else Text("")


def encode_texts(text: TextEncoder, samples: Sequence[Sample], limit: int, pads: bool, trace: bool = False) -> Encoded:
    """Features of the samples' texts, cut at `limit` pieces; padded to it only for models that read padding."""
    made = text.encode(
        [told(sample) for sample in samples],
        length=min(limit, text.max_length),
        trace=trace,
        padding="read" if pads else "zero",
    )
    if pads:
        return made
    longest = max(1, int(made.mask.sum(1).max()))
    signals = tuple(
        replace(
            signal, value=signal.value[..., :longest, :longest], query_mask=signal.query_mask[:, :longest],
            key_mask=signal.key_mask[:, :longest],
        )
        for signal in made.signals
        if isinstance(signal, Attention)
    )  # fmt: skip
    names = tuple(replace(n, labels=n.labels[:longest], group=n.group[:longest]) for n in made.names)
    return replace(made, steps=made.steps[:, :longest], mask=made.mask[:, :longest], names=names, signals=signals)


def _distinct(samples: Sequence[Sample]) -> tuple[list[Image], list[int]]:
    """The different pictures and which one each sample has, -1 for none; same path or same bytes is the same."""
    seen: dict[str, int] = {}
    pictures: list[Image] = []
    image_of = []
    for sample in samples:
        picture = sample.image()
        if picture is None:
            image_of.append(-1)
            continue
        key = str(picture.path) if picture.path is not None else digest(picture.data or b"")
        if key not in seen:
            seen[key] = len(pictures)
            pictures.append(picture)
        image_of.append(seen[key])
    return pictures, image_of


def _open(group: Sequence[Image], start: int, unread: dict[int, str] | None) -> list[tuple[int, PIL.Image.Image]]:
    """The pictures that can be read with their numbers; those that can't go into `unread`, or raise without it."""
    opened = []
    for row, picture in enumerate(group, start):
        try:
            opened.append((row, picture.open()))
        except FusionError as error:
            if unread is None:
                raise
            unread[row] = str(error)
    return opened


def _gather(samples, texts, image_of, image_steps, image_pooled, classes) -> Features:  # type: ignore[no-untyped-def]
    longest = max(encoded.steps.shape[1] for _, encoded in texts)
    width, pooled_width = texts[0][1].steps.shape[2], texts[0][1].pooled.shape[1]
    steps = torch.zeros(len(samples), longest, width, dtype=torch.float16)
    mask = torch.zeros(len(samples), longest, dtype=torch.bool)
    pooled = torch.zeros(len(samples), pooled_width)
    names: list[Steps] = [Steps((), (), ())] * len(samples)
    for rows, encoded in texts:
        index = torch.tensor(rows)
        steps[index, : encoded.steps.shape[1]] = encoded.steps.half()
        mask[index, : encoded.mask.shape[1]] = encoded.mask
        pooled[index] = encoded.pooled.float()
        for row, name in zip(rows, encoded.names, strict=True):
            names[row] = name
    targets = None
    if classes:
        targets = torch.zeros(len(samples), longest, dtype=torch.long)
        for row, sample in enumerate(samples):
            if isinstance(sample.target, tuple):
                ids = piece_targets(names[row], sample.target, classes)[:longest]
                targets[row, : len(ids)] = torch.tensor(ids)
            else:
                targets[row] = -1
    return Features(
        tuple(s.id for s in samples), steps, mask, pooled, torch.tensor(image_of), image_steps, image_pooled,
        tuple(names), targets,
    )  # fmt: skip


def piece_targets(names: Steps, tags: tuple[str, ...], classes: tuple[str, ...]) -> list[int]:
    """Class ids of every piece: the word's tag on its first piece, X on later ones, the marks' own classes.

    tags: one a word ("B-LOC", "O"); a word beyond the given tags is O.
    """
    number = {name: i for i, name in enumerate(classes)}
    ids, before = [], -1
    for label, group in zip(names.labels, names.group, strict=True):
        if group < 0:
            ids.append(number.get(label, number["PAD"]))
        elif group == before:
            ids.append(number.get("X", number["O"]))
        else:
            tag = tags[group] if group < len(tags) else "O"
            ids.append(number.get(tag, number["O"]))
        before = group
    return ids


def word_tags(names: Steps, ids: Sequence[int], classes: tuple[str, ...]) -> list[str]:
    """The tag of each whole word from class ids of its pieces: that of its first piece; marks and X become O."""
    tags, before = ["O"] * (max(names.group, default=-1) + 1), -1
    for step, group in enumerate(names.group):
        if group >= 0 and group != before:
            name = classes[ids[step]] if ids[step] >= 0 else "O"
            tags[group] = name if name[:2] in ("B-", "I-") else "O"
        before = group
    return tags
