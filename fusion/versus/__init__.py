"""Two checkpoints side by side, or one with a switch flipped: on one sample, and over a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.versus.fit import check, why_not
from fusion.versus.keeping import keep, stored
from fusion.versus.samples import SampleCompared, cells
from fusion.versus.samples import compare as compare_sample
from fusion.versus.sets import SetCompared
from fusion.versus.sets import compare as compare_set
from fusion.versus.switches import Switch, second, switched, switches

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.versus.sets import Progress


def compared(a: Checkpoint, b: Checkpoint, dataset: DataSet, progress: Progress | None = None) -> SetCompared:
    """Two checkpoints over a data set: as it was kept, else made now and kept. Raises FusionError."""
    check(a, b)
    found = stored(a, b, dataset)
    if found is None:
        found = compare_set(a, b, dataset, progress)
        keep(found, a, b, dataset)
    return found


__all__ = [
    "SampleCompared", "SetCompared", "Switch", "cells", "check", "compare_sample", "compare_set", "compared", "keep",
    "second", "stored", "switched", "switches", "why_not",
]  # fmt: skip
