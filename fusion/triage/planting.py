"""Mismatches planted in a run that is there, so that its ranking is measured on the very set that it is for.

seeded(store, rate=0.1, seed=0) -> Seeded | None
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion import observations
from fusion.metrics.intervals import Interval
from fusion.triage.audit import at_k, average_precision
from fusion.triage.parts import exchanges, prepared
from fusion.triage.score import scored
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data.dataset import DataKind
    from fusion.triage.store import Store

Array = np.ndarray
SEEDED = 5_120  # rows of a set of pairs in which mismatches are planted: seconds on one thread
_READ = ("match", "match_shuffled", "conflict", "conflict_shuffled", "exchanged", "score")


@dataclass(frozen=True)
class Seeded:
    """What the ranking finds of mismatches that were planted in the set itself."""

    planted: int
    rows: int
    precision: float  # average precision of the suspicion; by chance it is planted / rows
    parts: dict[str, float]  # {part: its own average precision}
    at_k: dict[int, Interval]
    found: dict[int, float]  # {k: share of all planted rows among the first k}


def seeded(store: Store, rate: float = 0.1, seed: int = 0) -> Seeded | None:
    """Plant mismatches in a finished run and rank its rows anew: what the suspicion is worth on this very set.

    A planted row takes its other half, and what the model said of it, from the exchange that the run made, so nothing
    is computed by a model. Rows that were wrong before count as right, so the precision is a little low. In a set of
    more than SEEDED pairs, some whole shards are taken. None where the run exchanged nothing (a set of questions).
    Raises FusionError on a rate that leaves no row to plant, or none to leave.
    """
    kind: DataKind = store.meta["kind"]
    rows = _rows(store.count, seed) if kind == "pairs" else np.arange(store.count)
    read = [name for name in store.columns if name in _READ or name.startswith("has_")]
    frame = _frame({name: store.column(name)[rows] for name in ("id", *(n for n in read if n != "id"))})
    vectors = {name: np.asarray(store.vectors(name)[rows]) for name in store.names()}
    return sown(frame, vectors, kind, rate=rate, seed=seed)


def _frame(columns: Mapping[str, Array]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(dict(columns))


def _rows(count: int, seed: int) -> Array:
    """All rows, or whole shards of a seeded choice. -> (n,) int, ascending"""
    if count <= SEEDED:
        return np.arange(count)
    size = observations.CHUNK  # a run exchanges pictures among so many rows
    chosen = np.random.default_rng(seed).choice(count // size, SEEDED // size, replace=False)
    return (np.sort(chosen)[:, None] * size + np.arange(size)).ravel()


def sown(
    frame: pd.DataFrame, vectors: Mapping[str, Array], kind: DataKind = "pairs", *, rate: float = 0.1, seed: int = 0
) -> Seeded | None:
    """`seeded` on a table of rows in the order of the data set and their vectors."""
    frame, sides = prepared(kind, frame, vectors)
    other = exchanges(frame, vectors, sides)
    able = np.flatnonzero(other >= 0)
    if not len(able):
        return None
    count = round(rate * len(able))
    if not 0 < count < len(able):
        raise FusionError(f"A rate of {rate:g} plants {count} of {len(able)} pairs; choose one that leaves both kinds.")
    planted = np.zeros(len(frame), bool)
    planted[np.random.default_rng(seed).choice(able, count, replace=False)] = True
    spoiled = planted | ((other >= 0) & planted[other])  # their exchange is no longer what the run measured
    changed = {}
    for name in ("match", "conflict"):
        if {name, f"{name}_shuffled"} <= set(frame):
            wrong = frame[f"{name}_shuffled"].to_numpy(np.float64, na_value=np.nan)
            own = frame[name].to_numpy(np.float64, na_value=np.nan)
            changed[name] = np.where(planted, wrong, own)
            changed[f"{name}_shuffled"] = np.where(spoiled, np.nan, wrong)
    table = dict(vectors)
    for name in sides[1:]:
        table[name] = np.where(planted[:, None], vectors[name][np.maximum(other, 0)], vectors[name])
    step = np.where(spoiled, 0, other - np.arange(len(other)))
    kept = ["id", *(name for name in frame if name.startswith("has_"))]
    made, calibration = scored(frame[kept].assign(**changed, exchanged=np.where(other < 0, 0, step)), table, kind=kind)
    suspicion = made["suspicion"].to_numpy()
    parts = {name: average_precision(made[f"part_{name}"].to_numpy(), planted) for name in calibration.weights}
    first = at_k(suspicion, planted)
    found = {k: interval.value * k / count for k, interval in first.items()}
    return Seeded(count, len(frame), average_precision(suspicion, planted), parts, first, found)
