"""A checkpoint at work: samples -> encoders -> batch -> model -> an observation that every page draws from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fusion import checkpoints, reference
from fusion.device import best, exclusive
from fusion.encoders import image_encoder, text_encoder
from fusion.explain import edits
from fusion.explain.ablation import drop_test, expand
from fusion.explain.asking import Case
from fusion.explain.edits import Edit
from fusion.features import encode_texts
from fusion.files import digest
from fusion.types import Batch, FusionError, Sample, Steps

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.encoders import Encoded, ImageEncoder, TextEncoder
    from fusion.models.base import FusionModel
    from fusion.reference import Reference
    from fusion.signals import FusionOutput, Trace

DONORS = 16  # images to exchange that are kept encoded: 4 MB
UNKNOWN_LIMIT = 0.3  # share of unknown word pieces above which no score is shown without a warning


@dataclass(frozen=True)
class Span:
    """One entity: its words, its type, where it stands in the raw text, and how sure the model is."""

    text: str
    type: str
    start: int  # characters
    end: int
    probability: float  # mean marginal over its words


@dataclass(frozen=True)
class Notice:
    """Something the reader must know before believing a number; a key of the word catalogues."""

    key: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Observation:
    """Everything the pages show of one sample under one checkpoint; all tensors on the CPU, B = 1."""

    sample: Sample
    checkpoint: str
    spans: tuple[Span, ...]
    path: tuple[int, ...]  # the decoded class of every step, -1 beyond the text
    trace: Trace  # the text encoder's own attention, the model's signals, then the drop test
    match: float | None  # probability; None without a picture
    percentile: float | None  # share of held-out true pairs that score lower
    calibrated: float | None  # probability of a true pair at equal odds
    mean_gate: float | None  # over the words
    shares: Mapping[str, float]  # {modality: |Shapley| share}, sums to 1 unless nothing counts
    badge: str  # conflict | dominance | complement
    far: Mapping[str, bool]  # {modality: unlike the training data}
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]  # encode, model, total


class Pipeline:
    """A checkpoint with its encoders, ready to run; one forward pass at a time (`device.exclusive`)."""

    def __init__(
        self, checkpoint: Checkpoint, model: FusionModel, text: TextEncoder, image: ImageEncoder,
        held_out: Reference | None,
    ) -> None:  # fmt: skip
        self.checkpoint, self.model, self.text, self.image, self.reference = checkpoint, model, text, image, held_out
        self.device = best()[0]
        self.model.to(self.device)
        self._donors: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @classmethod
    def open(cls, checkpoint: Checkpoint) -> Pipeline:
        """Load model, encoders and reference. Raises FusionError when they don't fit together."""
        model = checkpoints.load(checkpoint)
        text = text_encoder(checkpoint.encoders["text"], checkpoint.folder)
        image = image_encoder(checkpoint.encoders["image"], checkpoint.folder)
        for modality, made in (("text", text), ("image", image)):
            expected = next(m.width for m in model.modalities if m.name == modality)
            if made.width != expected:
                raise FusionError(
                    f'"{checkpoint.name}" expects {modality} features of width {expected}; the encoder "{made.name}" '
                    f"gives {made.width}. Use the encoder that it was trained with."
                )
        return cls(checkpoint, model, text, image, reference.load(checkpoint.folder))

    @property
    def pads(self) -> int | None:
        """Word pieces that every text is padded to, None when the model doesn't read padding."""
        return self.model.config.max_length if self.model.config.cm_padding == "published" else None

    def encode(self, samples: Sequence[Sample], *, trace: bool = False) -> tuple[Encoded, Encoded | None]:
        """Text and image features; images None when no sample has one. One pass of each encoder."""
        with torch.inference_mode():
            text = encode_texts(self.text, samples, self.model.config.max_length, self.pads is not None, trace)
            pictures = [picture.open() for sample in samples if (picture := sample.image()) is not None]
            image = self.image.encode(pictures) if pictures else None
        return text, image

    def batch(self, samples: Sequence[Sample], text: Encoded, image: Encoded | None) -> Batch:
        """Encoder outputs as a batch; samples without a picture or with an empty text are marked absent."""
        regions, width = self.model.config.regions, self.model.config.image_width
        has_image = torch.tensor([sample.image() is not None for sample in samples])
        has_text = torch.tensor([bool(sample.text().strip()) for sample in samples])
        if image is None:
            steps, pooled = torch.zeros(len(samples), regions, width), torch.zeros(len(samples), width)
            names = ()
        else:
            if image.steps.shape[1] != regions:
                raise FusionError(
                    f"The image encoder gives {image.steps.shape[1]} regions; this checkpoint reads {regions}. "
                    "Use the encoder that it was trained with."
                )
            where = torch.cumsum(has_image, 0) - 1
            keep = has_image[:, None]
            index = where.clamp(min=0)
            steps, pooled = image.steps[index] * keep[..., None], image.pooled[index] * keep
            names = tuple(image.names[i] for i in index.tolist())
        mask = {"text": text.mask, "image": torch.ones(len(samples), regions, dtype=torch.bool)}
        return Batch(
            features={"text": text.steps, "image": steps},
            pooled={"text": text.pooled, "image": pooled},
            mask=mask,
            kept=mask,
            present=torch.stack((has_text, has_image), 1),
            modalities=("text", "image"),
            ids=tuple(sample.id for sample in samples),
            steps={"text": text.names, "image": names} if names else {"text": text.names},
        ).to(self.device)

    def run(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """One forward pass, alone on the model."""
        with torch.inference_mode(), exclusive(self.checkpoint.digest):
            return self.model(batch, trace=trace)

    def case(self, sample: Sample, made: Sequence[Edit] = (), other: Sample | None = None) -> Case:
        """A sample after edits, ready to be asked why. Raises FusionError as `inspect` does."""
        sample = self.seen(sample, made, other)
        text, image = self.encode([sample])
        return Case(self.model, self._edited(self.batch([sample], text, image), made), self.checkpoint.digest)

    def seen(self, sample: Sample, made: Sequence[Edit] = (), other: Sample | None = None) -> Sample:
        """A sample as a person sees it after some edits. other: of `swap`. Raises FusionError as `inspect` does."""
        side = math.isqrt(self.model.config.regions)
        found = edits.of_sample(sample, made, grid=(side, side), fit=self.image.recipe.fit, other=other)
        if not found.text().strip() and found.image() is None:
            raise FusionError("There is neither a text nor an image; give at least one of them.")
        return found

    def _edited(self, batch: Batch, made: Sequence[Edit]) -> Batch:
        for edit in made:
            if edit.how in ("mean", "shuffle"):
                raise FusionError(
                    f"{edit.how} needs the training features of {self.model.card.name}; take zero, swap or remove."
                )
            batch = edits.of_batch(batch, edit)
        if not bool(batch.present.any()):
            raise FusionError("Nothing is left to read; leave the text or the picture in.")
        return batch

    def inspect(
        self, sample: Sample, donor: Sample | None = None, made: Sequence[Edit] = (), other: Sample | None = None
    ) -> Observation:
        """Run one sample after some edits, with the drop test in the same pass. `donor` gives the image to exchange.

        other: the sample of a `swap`. Raises FusionError on an empty text without a picture, a picture that can't be
        read, and edits that can't be made or leave nothing.
        """
        started = time.perf_counter()
        sample = self.seen(sample, made, other)
        text, image = self.encode([sample], trace=True)
        encoded = time.perf_counter()
        own = self._edited(self.batch([sample], text, image), made)
        exchanged = self._donor(donor) if donor is not None and image is not None else None
        big, conditions = expand(own, exchanged)
        output = self.run(big)
        edits.check(made, output.trace, self.model.card.name)
        observed = self._observe(sample, text, own, output, conditions, encoded)
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "model": done - encoded, "total": done - started}
        return Observation(**observed, seconds=seconds)

    def _donor(self, donor: Sample) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Regions and pooled vector of a donor's image, encoded once and kept; None without an image."""
        picture = donor.image()
        if picture is None:
            return None
        key = sample_digest(donor)
        if key not in self._donors:
            with torch.inference_mode():
                made = self.image.encode([picture.open()])
            if len(self._donors) >= DONORS:
                self._donors.pop(next(iter(self._donors)))
            self._donors[key] = made.steps[0].to(self.device), made.pooled[0].to(self.device)
        return self._donors[key]

    def _observe(
        self,
        sample: Sample,
        text: Encoded,
        own: Batch,
        output: FusionOutput,
        conditions: tuple[str, ...],
        started: float,
    ) -> dict[str, Any]:  # the fields of Observation
        cpu = to_cpu(output)
        words = first_pieces(own.steps["text"][0].group)
        spans_by_row = [
            entities(own, tags, marginals, self.model.classes)
            for tags, marginals in zip(cpu.prediction, cpu.trace["crf_marginals"].value, strict=True)
        ]
        said = tuple(", ".join(f"{s.text} ({s.type})" for s in spans) for spans in spans_by_row)
        dropped = drop_test(self.model, cpu, conditions, said, words, started)
        trace = cpu.trace.at(0)
        own_attention = tuple(signal.map(lambda tensor: tensor[:1].cpu()) for signal in text.signals)
        full = type(trace)((*own_attention, *trace.signals, *dropped.explanation.trace.signals), own.steps)
        has = {m: bool(own.has(m)[0]) for m in own.modalities}
        match = float(trace["match_score"].value[0]) if all(has.values()) else None
        gate = trace["gate"].value[0].mean(-1)
        total = sum(abs(v) for v in dropped.shapley.values())
        far = self._far(own)
        held_out = self.reference
        return {
            "sample": sample,
            "checkpoint": self.checkpoint.name,
            "spans": spans_by_row[0],
            "path": tuple(cpu.prediction[0].tolist()),
            "trace": full,
            "match": match,
            "percentile": held_out.percentile(match) if held_out and match is not None else None,
            "calibrated": float(held_out.calibrated(match)) if held_out and match is not None else None,
            "mean_gate": float(gate[words].mean()) if has["image"] and bool(words.any()) else None,
            "shares": {m: abs(v) / total if total else 0.0 for m, v in dropped.shapley.items()},
            "badge": dropped.badge,
            "far": far,
            "notices": self._notices(text, has, far),
        }

    def _far(self, batch: Batch) -> dict[str, bool]:
        """Which modalities of the first sample lie beyond the training data."""
        places = self.reference.places if self.reference else {}
        return {
            m: bool(places[m].far(batch.pooled[m][:1].float().cpu().numpy())[0])
            for m in batch.modalities
            if m in places and bool(batch.has(m)[0])
        }

    def _notices(self, text: Encoded, has: Mapping[str, bool], far: Mapping[str, bool]) -> tuple[Notice, ...]:
        notes = []
        if text.unknown[0] > UNKNOWN_LIMIT:
            languages = ", ".join(self.text.languages)
            notes.append(Notice("notice.unknown", {"share": f"{text.unknown[0]:.0%}", "languages": languages}))
        if text.truncated[0]:
            notes.append(
                Notice("notice.truncated", {"words": text.truncated[0], "limit": self.model.config.max_length})
            )
        notes += [Notice(f"notice.far_{m}", {}) for m, beyond in far.items() if beyond]
        notes += [Notice(f"notice.no_{m}", {}) for m, there in has.items() if not there]
        if self.reference is None:
            notes.append(Notice("notice.no_reference", {}))
        return tuple(notes)


def sample_digest(sample: Sample) -> str:
    """Hash of what a sample holds, whatever it is called: what observations are cached by."""
    image = sample.image()
    if image is None:
        content = b""
    elif image.data is not None:
        content = image.data
    else:
        assert image.path is not None
        content = image.path.read_bytes()
    return digest(sample.text(), content)


def to_cpu(output: FusionOutput) -> FusionOutput:
    """The output with its trace and prediction on the CPU."""
    return type(output)(output.prediction.cpu(), output.fused.cpu(), output.trace.cpu(), {})


def first_pieces(group: Sequence[int]) -> torch.Tensor:
    """Which steps open a word (marks and later pieces don't). T group indices -> (T,) bool"""
    indices = torch.tensor(group)
    before = torch.cat((torch.tensor([-1]), indices[:-1]))
    return (indices >= 0) & (indices != before)


def entities_of_tags(names: Steps, tags: Sequence[int], classes: tuple[str, ...]) -> str:
    """The entities of one tag path in words, "Paris (LOC), Anna (PER)"; "" without any."""
    return ", ".join(f"{span.text} ({span.type})" for span in _spans(names, tags, None, classes))


def entities(batch: Batch, tags: torch.Tensor, marginals: torch.Tensor, classes: tuple[str, ...]) -> tuple[Span, ...]:
    """The entities of one tag path, by whole words. tags (T,), marginals (T, C) of the batch's first row.

    An I- that nothing opened opens an entity, as the usual scorer does; X and marks are no words.
    """
    return _spans(batch.steps["text"][0], tags.tolist(), marginals, classes)


def _spans(
    names: Steps, tags: Sequence[int], marginals: torch.Tensor | None, classes: tuple[str, ...]
) -> tuple[Span, ...]:
    starts = first_pieces(names.group).nonzero().squeeze(1).tolist()
    spans: list[Span] = []
    current: list[tuple[int, float]] = []
    kind = ""

    def close() -> None:
        if current:
            first, last = names.spans[current[0][0]], names.spans[current[-1][0]]
            words = " ".join(names.groups[word] for word, _ in current)
            spans.append(Span(words, kind, first[0], last[1], sum(p for _, p in current) / len(current)))
        current.clear()

    for step in starts:
        tag = classes[tags[step]] if tags[step] >= 0 else "O"
        prefix, _, tag_type = tag.partition("-")
        if prefix not in ("B", "I"):
            close()
            continue
        if prefix == "B" or tag_type != kind or not current:
            close()
            kind = tag_type
        sure = 1.0 if marginals is None else float(marginals[step, tags[step]])
        current.append((names.group[step], sure))
    close()
    return tuple(spans)
