"""One thing seen and heard through up to M modalities, each a sequence of steps, with a score or a class to predict.

N samples, M modalities, T steps, D features. What a sample of the data set says to a person stands in its `parts`; the
numbers that a model reads stand here, in the same rows. Sequences start at step 0 and are followed by zeros (padding
on the right), so that the first `length` steps are the real ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from fusion.data.graphs import SPLITS
from fusion.types import FusionError, Modality
from fusion.words import t

SENTIMENT = (
    "strongly_negative", "negative", "mildly_negative", "neutral", "mildly_positive", "positive", "strongly_positive",
)  # fmt: skip
UNSPLIT = len(SPLITS)  # in `StreamSet.split`, of a sample that was never split


@dataclass(frozen=True, eq=False)
class StreamSet:
    """Features, lengths and targets of N samples, in the order of the data set's samples.

    A modality that `features` lacks is encoded from the samples' parts of its name (fusion.encoders) and has width 0
    here; `present` says of every modality whether a sample has it.
    """

    title: str
    modalities: tuple[Modality, ...]  # M, names are those of the samples' parts
    features: Mapping[str, np.ndarray]  # {m: (N, T, D) float32 or float16}, memory-mapped where they come from a file
    length: Mapping[str, np.ndarray]  # {m: (N,) int64} real steps, 0 where absent; the keys of `features`
    present: np.ndarray  # (N, M) bool
    target: np.ndarray  # (N,) float32 score, or (N,) int64 class, -1 where no class is known (NaN for a score)
    split: np.ndarray  # (N,) uint8, index into SPLITS, or UNSPLIT
    classes: tuple[str, ...] = ()  # C names; () = the target is a score
    scale: tuple[float, float] = (-1.0, 1.0)  # lowest and highest score
    words: tuple[str, ...] = ()  # names of equal parts of the scale from its lowest, as the catalogues' scale.<name>
    groups: tuple[str, ...] = ()  # N names of what samples were cut from (a video), which no two splits should share
    tokens: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # {m: D names of one-hot columns}, "" an end
    inked: tuple[str, ...] = ()  # modalities whose numbers are ink: 1 is dark, unlike light
    note: Mapping[str, str] = field(default_factory=dict)  # modality -> what its features are, where that is known

    def __post_init__(self) -> None:
        N, names = len(self.target), self.names
        assert self.present.shape == (N, len(names)), "present is (N, M)"
        assert len(self.split) == N, "a split a sample"
        assert set(self.length) == set(self.features) <= set(names), "a length where there are features"
        for modality in self.modalities:
            table = self.features.get(modality.name)
            if table is not None:
                assert table.shape[0] == N, f"a row of {modality.name} a sample"
                assert table.shape[2] == modality.width, f"{modality.name} has its width"
                assert self.length[modality.name].shape == (N,), f"a length of {modality.name} a sample"
        assert not self.groups or len(self.groups) == N, "a group a sample"

    def __len__(self) -> int:
        return len(self.target)

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities' names, in the order of `present`."""
        return tuple(modality.name for modality in self.modalities)

    @property
    def scored(self) -> bool:
        """Whether the target is a score, not a class."""
        return not self.classes

    @property
    def encoded(self) -> tuple[str, ...]:
        """The modalities whose features must still be made from the samples' parts."""
        return tuple(name for name in self.names if name not in self.features)

    @cached_property
    def known(self) -> np.ndarray:
        """Which samples have a target. -> (N,) bool"""
        return np.isfinite(self.target) if self.scored else self.target >= 0

    def modality(self, name: str) -> Modality:
        """The modality of a name. Raises FusionError when there is none."""
        for modality in self.modalities:
            if modality.name == name:
                return modality
        raise FusionError(f'"{self.title}" has no modality "{name[:40]}"; it has {", ".join(self.names)}.')

    def rows(self, *splits: str) -> np.ndarray:
        """Rows of some splits, of all samples without one, in their order. -> (N',) int64. Raises FusionError."""
        for name in splits:
            if name not in SPLITS:
                raise FusionError(f'There is no split "{name[:40]}" of samples; there are {", ".join(SPLITS)}.')
        if not splits:
            return np.arange(len(self))
        return np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in splits]))

    def split_of(self, row: int) -> str:
        """train | valid | test | "" where the sample was never split."""
        return "" if self.split[row] >= UNSPLIT else SPLITS[self.split[row]]

    def steps(self, name: str, row: int) -> np.ndarray:
        """The real steps of one sample. -> (T', D), no row where the modality is absent"""
        return self.features[name][row, : int(self.length[name][row])]

    def longest(self, name: str, rows: np.ndarray | None = None) -> int:
        """The most real steps that a sample has, of all or of some rows."""
        length = self.length[name] if rows is None else self.length[name][rows]
        return int(length.max()) if len(length) else 0

    def mask(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Real steps of some rows, cut to their longest. -> (B, T) bool"""
        return np.arange(self.longest(name, rows))[None] < self.length[name][rows][:, None]

    def said(self, score: float) -> str:
        """The part of the scale that a score lies in, by its name in `words`; "" without names or for NaN.

        The names stand at equal distances from the lowest to the highest score, and the nearest one is meant: of seven
        names on [-3, 3], "neutral" is what rounds to 0.
        """
        if not self.words or not np.isfinite(score):
            return ""
        low, high = self.scale
        share = (min(max(score, low), high) - low) / (high - low)
        return self.words[int(np.floor(share * (len(self.words) - 1) + 0.5))]

    def in_words(self, score: float) -> str:
        """`said` in the language in use: "mildly positive"."""
        name = self.said(score)
        return t(f"scale.{name}") if name else ""

    def take(self, rows: Sequence[int] | np.ndarray) -> StreamSet:
        """Some rows, in the order given. Rows that follow one another stay views of a memory-mapped file."""
        index = np.asarray(rows, dtype=np.int64)
        chosen: slice | np.ndarray = index
        if len(index) and np.array_equal(index, np.arange(index[0], index[0] + len(index))):
            chosen = slice(int(index[0]), int(index[0]) + len(index))
        return replace(
            self,
            features={name: table[chosen] for name, table in self.features.items()},
            length={name: values[chosen] for name, values in self.length.items()},
            present=self.present[chosen],
            target=self.target[chosen],
            split=self.split[chosen],
            groups=tuple(self.groups[row] for row in index) if self.groups else (),
        )


def split_numbers(names: Sequence[str]) -> np.ndarray:
    """Names of splits as samples have them -> (N,) uint8 for `StreamSet.split`."""
    number = {name: at for at, name in enumerate(SPLITS)}
    return np.array([number.get(name, UNSPLIT) for name in names], dtype=np.uint8)
