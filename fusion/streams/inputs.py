"""What a system of streams reads of a data set: features of every modality, given or encoded, brought to one scale.

N samples, M modalities, T steps, D features, B rows of a batch. Given features stay in their file (memory-mapped) until
a batch is cut; what is encoded is kept by content and comes in half precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion.data.graphs import SPLITS
from fusion.encoders import ENCODERS
from fusion.types import Batch, FusionError, Modality, Steps

if TYPE_CHECKING:
    from fusion.data.dataset import DataSet
    from fusion.data.streams import StreamSet

GIVEN = "given"  # encoder of a modality whose features came with the data set
FARTHEST = 8.0  # standard deviations that a feature may lie from its mean; COVAREP has some at thousands
WIDEST, NARROWED = 128, 64  # features of other modalities than texts above the one are brought down to the other
READY = 2**30  # bytes
STEADY = 1e-6  # spread below which a feature says nothing and is left at 0
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Scale:
    """How raw features are brought to one scale and, where they are wide, to fewer: learned from training samples.

    (x - mean) / spread, cut at FARTHEST, then times `basis`, the first principal components, where there is one.
    """

    mean: Mapping[str, Tensor]  # {m: (D,)} over the real steps
    spread: Mapping[str, Tensor]  # {m: (D,)}
    basis: Mapping[str, Tensor] = field(default_factory=dict)  # {m: (D, d)}

    def apply(self, modality: str, value: Tensor) -> Tensor:
        """(..., D) -> (..., D) or (..., d)"""
        scaled = self.standard(modality, value)
        return scaled @ self.basis[modality].to(scaled) if modality in self.basis else scaled

    def standard(self, modality: str, value: Tensor) -> Tensor:
        """In standard deviations. (..., D) -> (..., D)"""
        spread = self.spread[modality].to(value)
        scaled = (value - self.mean[modality].to(value)) / spread.clamp(min=STEADY)
        return (scaled * (spread >= STEADY)).clamp(-FARTHEST, FARTHEST)

    def width(self, modality: str) -> int:
        """Of what comes out."""
        return (self.basis[modality] if modality in self.basis else self.mean[modality][None]).shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """As they are kept beside a checkpoint's weights."""
        kinds = ("mean", "spread", "basis")
        return {f"{kind}.{m}": t.contiguous() for kind in kinds for m, t in getattr(self, kind).items()}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Scale:
        """From `tensors()`."""
        tables: dict[str, dict[str, Tensor]] = {"mean": {}, "spread": {}, "basis": {}}
        for name, value in tensors.items():
            kind, _, modality = name.partition(".")
            tables[kind][modality] = value.float()
        return cls(**tables)


@dataclass(frozen=True, eq=False)
class Streams:
    """N samples ready to be cut into batches; rows are those of the data set."""

    title: str
    ids: tuple[str, ...]
    modalities: tuple[Modality, ...]
    features: Mapping[str, np.ndarray]  # {m: (N, T, D)} as given or encoded
    length: Mapping[str, np.ndarray]  # {m: (N,)} real steps
    present: np.ndarray  # (N, M) bool
    target: Tensor  # (N,) float score (NaN: none) or int64 class (-1: none)
    split: np.ndarray  # (N,) uint8, index into SPLITS
    classes: tuple[str, ...]
    labels: Mapping[str, tuple[Steps, ...]] = field(default_factory=dict)  # {m: N}, where steps have names of their own
    encoders: Mapping[str, str] = field(default_factory=dict)  # {m: encoder, or GIVEN}
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {m: D names of one-hot columns}
    inked: tuple[str, ...] = ()  # modalities whose numbers are ink: 1 is dark
    scale: Scale | None = None
    ready: bool = False  # the features are on the scale already

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities' names."""
        return tuple(m.name for m in self.modalities)

    @property
    def widths(self) -> tuple[int, ...]:
        """D of each modality, as a batch has it."""
        raw = (self.features[m].shape[2] for m in self.names)
        return tuple(raw if self.scale is None or self.ready else (self.scale.width(m) for m in self.names))

    @cached_property
    def steps(self) -> dict[str, int]:
        """{m: T}, the longest sequence of each."""
        return {m: max(1, self.features[m].shape[1]) for m in self.names}

    def known(self) -> np.ndarray:
        """Samples with a target and something to answer from. -> (N,) bool"""
        told = torch.isfinite(self.target) if not self.classes else self.target >= 0
        return told.numpy() & self.present.any(1)

    @cached_property
    def labelled(self) -> bool:
        """Whether any sample has a target; where none has, nothing is answered and the space is all there is."""
        return bool(self.known().any())

    def rows(self, split: str, *, labelled: bool = True) -> Tensor:
        """Rows of a split that have a modality, and a target where asked for. Raises FusionError without any."""
        there = self.known() if labelled else self.present.any(1)
        found = np.flatnonzero((self.split == SPLITS.index(split)) & there)
        if not len(found):
            raise FusionError(
                f'"{self.title}" has no {split} samples{" with a label" * labelled}; split it'
                f"{' and label some' * labelled}."
            )
        return torch.from_numpy(found)

    def batch(self, rows: Tensor, *, named: bool = False) -> Batch:
        """Some samples as a batch, each modality cut to the longest of them; with names of steps where asked for."""
        index = rows.cpu().numpy()
        features, mask, steps = {}, {}, {}
        for m in self.names:
            lengths = self.length[m][index]
            longest = max(1, int(lengths.max(initial=0)))
            real = torch.from_numpy(np.arange(longest)[None] < lengths[:, None])
            value = torch.from_numpy(np.array(self.features[m][index, :longest])).float()
            if self.scale is not None and not self.ready:
                value = self.scale.apply(m, value)
            features[m] = value * real[..., None]
            mask[m] = real
            if named:
                steps[m] = tuple(self.step_names(m, int(row), longest) for row in index)
        present = torch.from_numpy(self.present[index])
        return Batch(
            features=features, pooled={}, mask=mask, kept=mask, present=present, modalities=self.names,
            ids=tuple(self.ids[i] for i in index), target=self.target[rows], steps=steps,
        )  # fmt: skip

    def step_names(self, modality: str, row: int, count: int) -> Steps:
        """What the first steps of a modality of a sample are called: word pieces, regions, or the unit and a number."""
        unit = next(m.unit for m in self.modalities if m.name == modality)
        if modality in self.labels:
            own = self.labels[modality][row]
            more = count - len(own.labels)
            return Steps(own.labels[:count] + ("",) * more, own.group[:count] + (-1,) * more, own.groups, own.spans)
        names = tuple(f"{unit} {i + 1}" for i in range(count))
        return Steps(names, tuple(range(count)), names)

    def scaled(self, widest: int = 0, *, raw: Sequence[str] = (), labelled: bool = True) -> Streams:
        """The same samples on the scale of those to train on.

        widest: features above this width, those of texts too, are brought down to it; 0: as WIDEST and NARROWED say.
        raw: modalities that stay as they are (pixels, letters). labelled: whether a sample needs a target.
        """
        return self.on(measured(self, self.rows("train", labelled=labelled), widest, raw))

    def on(self, scale: Scale | None) -> Streams:
        """The same samples on a scale: at once where they then fit into READY bytes, else as batches are cut."""
        made = replace(self, scale=scale)
        size = sum(self.features[m][..., 0].size * width * 4 for m, width in zip(made.names, made.widths, strict=True))
        if scale is None or size > READY:
            return made
        return replace(made, features={m: self._on(scale, m) for m in self.names}, ready=True)

    def _on(self, scale: Scale, modality: str, size: int = 256) -> np.ndarray:
        raw = self.features[modality]
        made = np.zeros((*raw.shape[:2], scale.width(modality)), np.float32)
        for start in range(0, len(raw), size):
            part = torch.from_numpy(np.array(raw[start : start + size])).float()
            made[start : start + size] = scale.apply(modality, part).numpy()
        return made

    def of(self, modalities: Sequence[str]) -> Streams:
        """The same samples with some modalities alone, in the order given; those that have none of them lose
        nothing else than their place in `rows`."""
        columns = [self.names.index(m) for m in modalities]
        pick = lambda table: {m: table[m] for m in modalities if m in table}  # noqa: E731
        return replace(
            self, modalities=tuple(self.modalities[c] for c in columns), features=pick(self.features),
            length=pick(self.length), present=self.present[:, columns], labels=pick(self.labels),
            encoders=pick(self.encoders), tokens=pick(self.tokens),
            inked=tuple(m for m in self.inked if m in modalities),
        )  # fmt: skip


def measured(streams: Streams, rows: Tensor, widest: int = 0, raw: Sequence[str] = ()) -> Scale:
    """The scale of some samples, in one pass over their features, two where a basis is needed. widest, raw: `scaled`"""
    mean, spread, basis = {}, {}, {}
    for modality in streams.modalities:
        m, width = modality.name, streams.features[modality.name].shape[2]
        if m in raw:
            mean[m], spread[m] = torch.zeros(width), torch.ones(width)
            continue
        count, total, squares = 0, torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
        for real in _real_steps(streams, m, rows):
            count, total, squares = count + len(real), total + real.sum(0), squares + real.square().sum(0)
        mean[m] = (total / max(count, 1)).float()
        spread[m] = (squares / max(count, 1) - (total / max(count, 1)).square()).clamp(min=0).sqrt().float()
        kept_width = widest if widest else NARROWED
        if width > (widest or WIDEST) and (widest or modality.kind != "text"):
            one = Scale(mean, spread)
            covariance = torch.zeros(width, width, dtype=torch.float64)
            for real in _real_steps(streams, m, rows):
                standard = one.standard(m, real)
                covariance += standard.T @ standard
            values, vectors = torch.linalg.eigh(covariance / max(count, 1))
            kept = vectors[:, -kept_width:].flip(1)
            kept = kept * kept.gather(0, kept.abs().argmax(0, keepdim=True)).sign()  # one of the two signs, always it
            basis[m] = (kept / values[-kept_width:].clamp(min=0).mean().sqrt().clamp(min=STEADY)).float().contiguous()
    return Scale(mean, spread, basis)


def _real_steps(streams: Streams, modality: str, rows: Tensor, size: int = 256) -> Iterator[Tensor]:
    """The real steps of some samples, a few hundred samples at a time. -> (K, D) float64"""
    column = streams.names.index(modality)
    for part in rows.split(size):
        index = part.numpy()
        lengths = np.where(streams.present[index, column], streams.length[modality][index], 0)
        longest = int(lengths.max(initial=0))
        value = torch.from_numpy(np.array(streams.features[modality][index, :longest])).double()
        yield value[torch.from_numpy(np.arange(longest)[None] < lengths[:, None])]


def read(dataset: DataSet, progress: Progress | None = None) -> Streams:
    """Everything that a system of streams reads of a data set, its features encoded where they were not given.

    Raises FusionError for a data set of another kind.
    """
    found = dataset.streams
    if found is None:
        raise FusionError(
            f'"{dataset.name}" holds no sequences; open it as views, views:{dataset.spec or dataset.key}, or '
            "open emoji-groups, or an imported file: mmsa:FOLDER."
        )
    made = Streams(
        found.title, tuple(s.id for s in dataset.samples), found.modalities, dict(found.features), dict(found.length),
        np.array(found.present), _targets(found), np.array(found.split), found.classes,
        encoders={m: found.note.get(m, "") if found.note.get(m, "") in ENCODERS else GIVEN for m in found.features},
        tokens=found.tokens, inked=found.inked,
    )  # fmt: skip
    if found.encoded:
        from fusion.streams.encoding import encoded

        made = encoded(made, dataset.samples, found.encoded, progress)
    return made


def _targets(found: StreamSet) -> Tensor:
    target = torch.from_numpy(np.array(found.target))
    return target.long() if found.classes else target.float()
