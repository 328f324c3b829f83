"""Figures of groups of held-out questions, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.words import t
from pages.parts import link_question as questions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from fusion.data.triples import TripleSet
    from fusion.views.faithful import Line

BRANCH = "rank_"  # begins the columns of ranks by a branch alone
FEW_RELATIONS = 8  # up to so many, both directions of a relation are told apart


def read_of(decision: Mapping[str, float]) -> tuple[str, ...]:
    """The branches that are read: one of a modality that no entity has weighs nothing, and its places mean nothing."""
    return tuple(branch for branch, weight in decision.items() if weight > 0)


def unread(decision: Mapping[str, float]) -> str:
    """A sentence on the branches that aren't read, "" where all are."""
    from fusion.views.speech import say

    missing = [say(branch) for branch, weight in decision.items() if weight <= 0]
    return t("links.unread", names=t("views.list.comma").join(missing)) if missing else ""


def part_of(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Questions that count: all, those that no split gives away, those without the answer in a name."""
    if part == "clean":
        return frame[frame["clean"].astype(bool)]
    return frame[~frame["copied"].astype(bool)] if part == "own" else frame


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


def groups(frame: pd.DataFrame, triples: TripleSet, most: int) -> dict[str, np.ndarray]:
    """Questions by relation, the largest first, each direction apart where there are few. -> {name: (Q,) bool}"""
    relation, count = frame["relation"].to_numpy(np.int64), len(triples.relations)
    own = relation if count <= FEW_RELATIONS else relation % count
    numbers, times = np.unique(own, return_counts=True)
    order = np.argsort(-times, kind="stable")[:most]
    directed = count <= FEW_RELATIONS
    return {questions.arrowed(triples, int(numbers[at]), directed): own == numbers[at] for at in order}
