"""Two checkpoints over one data set: where they answer differently, what that does to the figures, what moved.

Both tables are those that Map and Match show (run now where they weren't kept), joined by sample. N samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.metrics.intervals import Interval, paired_bootstrap
from fusion.types import FusionError
from fusion.versus.fit import check, kind_of
from fusion.versus.moving import Moved, moved
from fusion.versus.sides import Measure, Side, side_of

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.data.dataset import DataKind

FEW = 20  # samples below which an interval would say more than they can
Progress = Callable[[int, int], None]
FAR = 2.0  # times a rank must change to count as another one


@dataclass(frozen=True)
class Figure:
    """One figure of both checkpoints on the same samples."""

    name: str
    more: bool  # whether more is better
    a: float
    b: float
    n: int  # samples
    change: Interval | None  # of B - A, resampled together; None where there are too few samples

    @property
    def verdict(self) -> str:
        """Which is better: "a", "b", "same" (all equal), or "open" where the interval crosses zero or there is none."""
        if self.a == self.b and (self.change is None or self.change.low == self.change.high):
            return "same"
        if self.change is None or not self.change.excludes():
            return "open"
        return "b" if (self.change.value > 0) == self.more else "a"


@dataclass(frozen=True, eq=False)
class SetCompared:
    """Two checkpoints over a data set.

    Columns of the frame, those that differ first and the largest change first: id, split, said_a, said_b, truth (""
    where unknown), differs, change (B - A of `value`, a ratio of ranks as its log2), value_a, value_b, then <name>_a
    and <name>_b of every other number.
    """

    kind: DataKind
    data: str
    a: str
    b: str
    split: str  # "test", or "" for every sample
    value: str  # name of what `change` is of
    frame: pd.DataFrame
    figures: tuple[Figure, ...]
    movement: tuple[Moved, ...]

    @property
    def differ(self) -> int:
        """Samples on which they answer differently."""
        return int(np.asarray(self.frame["differs"]).sum())

    @property
    def nothing(self) -> bool:
        """Whether nothing differs at all but by rounding."""
        return not self.differ and not (np.nan_to_num(np.abs(np.asarray(self.frame["change"]))) > 1e-6).any()

    @property
    def few(self) -> bool:
        """Whether there are too few samples for intervals."""
        return len(self.frame) < FEW


def compare(
    a: Checkpoint, b: Checkpoint, dataset: DataSet, progress: Progress | None = None, *, seed: int = 0
) -> SetCompared:
    """Both over the samples to test, over all where none is. Raises FusionError where they can't be compared."""
    check(a, b)
    total = [0, 0]

    def halves(first: bool) -> Progress | None:
        def told(done: int, count: int) -> None:
            total[0 if first else 1] = count
            if progress is not None:
                progress(done if first else total[0] + done, 2 * count if first else total[0] + count)

        return told if progress is not None else None

    return joined(side_of(a, dataset, halves(True)), side_of(b, dataset, halves(False)), kind_of(a), seed=seed)


def joined(a: Side, b: Side, kind: DataKind, *, seed: int = 0) -> SetCompared:
    """Two tables of one data set as one. Raises FusionError where they have no sample in common."""
    split = "test" if all("test" in set(side.frame["split"]) for side in (a, b)) else ""
    first, second = (side.frame if not split else side.frame[side.frame["split"] == split] for side in (a, b))
    common = first.index.intersection(second.index, sort=False)
    if not len(common):
        raise FusionError(
            f'"{a.checkpoint}" and "{b.checkpoint}" have no sample of "{a.data}" in common; name another.'
        )
    first, second = first.loc[common], second.loc[common]
    frame = _table(a, first, second)
    figures = tuple(_figure(one, first, second, seed) for one in a.measures if one.name in {m.name for m in b.measures})
    groups = np.asarray(first["truth"] if (first["truth"] != "").any() else first["said"])
    movement = [
        moved(name, np.asarray(common), groups, a.vectors(name, common), b.vectors(name, common))
        for name in a.spaces
        if name in b.spaces
    ]
    return SetCompared(
        kind, a.data, a.checkpoint, b.checkpoint, split, a.value, frame, tuple(f for f in figures if f is not None),
        tuple(one for one in movement if one is not None),
    )  # fmt: skip


def _table(a: Side, first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    value_a, value_b = (np.asarray(one[a.value], np.float64) for one in (first, second))
    change = np.log2(value_b / value_a) if a.ranked else value_b - value_a
    differs = np.asarray(first["said"] != second["said"])
    columns = {
        "id": first.index, "split": first["split"], "said_a": first["said"], "said_b": second["said"],
        "truth": first["truth"], "differs": differs, "change": change, "value_a": value_a, "value_b": value_b,
    }  # fmt: skip
    for name in a.numbers:
        if name in second and name != a.value:
            columns |= {f"{name}_a": np.asarray(first[name]), f"{name}_b": np.asarray(second[name])}
    frame = pd.DataFrame({name: np.asarray(value) for name, value in columns.items()})
    size = np.nan_to_num(np.abs(change))
    return frame.iloc[np.lexsort((-size, ~differs))].reset_index(drop=True)


def _figure(measure: Measure, first: pd.DataFrame, second: pd.DataFrame, seed: int) -> Figure | None:
    """One figure over the samples in which both have its columns."""
    values = [np.stack([np.asarray(one[c], np.float64) for c in measure.columns], 1) for one in (first, second)]
    known = np.isfinite(values[0]).all(1) & np.isfinite(values[1]).all(1)
    if not known.any():
        return None
    a, b = (value[known] for value in values)
    groups = np.asarray(first["group"])[known]
    count = len(np.unique(groups))
    change = None if count < FEW else paired_bootstrap(b, a, measure.of, seed=seed, groups=groups)
    return Figure(measure.name, measure.more, float(measure.of(a)), float(measure.of(b)), len(a), change)
