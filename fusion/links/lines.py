"""Figures of held-out questions with their intervals: both questions of a triple are drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from fusion.views.faithful import Line

BRANCH = "rank_"  # begins the columns of ranks by a branch alone


def read_of(decision: Mapping[str, float]) -> tuple[str, ...]:
    """The branches that are read: one of a modality that no entity has weighs nothing, and its places mean nothing."""
    return tuple(branch for branch, weight in decision.items() if weight > 0)


def triple(frame: pd.DataFrame) -> np.ndarray:
    """Which triple each question is of: both directions of one are drawn together. -> (Q,) names"""
    back = frame["direction"].to_numpy() == "head"
    head, tail = frame["head"].astype(str).to_numpy(), frame["tail"].astype(str).to_numpy()
    ends = np.where(back, tail, head), np.where(back, head, tail)
    return np.char.add(np.char.add(ends[0].astype(str), "|"), ends[1].astype(str))


def line(name: str, ranks: np.ndarray, frame: pd.DataFrame) -> Line | None:
    """MRR of ranks (Q,) of questions with its 95 % interval, both questions of a triple together; None without any."""
    from fusion.metrics.intervals import bootstrap
    from fusion.views.faithful import Line

    if not len(ranks):
        return None
    means = by_triple(1 / ranks, frame)
    if len(means) < 2:
        value = float(means[0])
        return Line(name, value, value, value, len(ranks))
    found = bootstrap(means)
    return Line(name, float((1 / ranks).mean()), found.low, found.high, len(ranks))


def by_triple(values: np.ndarray, frame: pd.DataFrame) -> np.ndarray:
    """Means of values (Q,) over the questions of each triple. -> (T,)"""
    _, group = np.unique(triple(frame), return_inverse=True)
    return np.bincount(group, values) / np.bincount(group)
