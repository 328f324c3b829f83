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

FEW_RELATIONS = 8  # up to so many, both directions of a relation are told apart


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


def groups(frame: pd.DataFrame, triples: TripleSet, most: int) -> dict[str, np.ndarray]:
    """Questions by relation, the largest first, each direction apart where there are few. -> {name: (Q,) bool}"""
    relation, count = frame["relation"].to_numpy(np.int64), len(triples.relations)
    own = relation if count <= FEW_RELATIONS else relation % count
    numbers, times = np.unique(own, return_counts=True)
    order = np.argsort(-times, kind="stable")[:most]
    directed = count <= FEW_RELATIONS
    return {questions.arrowed(triples, int(numbers[at]), directed): own == numbers[at] for at in order}
