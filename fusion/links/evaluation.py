"""Held-out figures of link prediction: filtered ranks of the fused score and of every branch, by what is asked.

E' triples of a split are 2 E' queries: the tail of each, and its head as the tail of the inverse relation. Candidates
are all N entities less the other true answers of any split; a tie counts half. Intervals resample triples, both
queries of one together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion.data.graphs import SPLITS
from fusion.data.keywords import spelled_within
from fusion.links.ranking import ranked
from fusion.metrics.intervals import bootstrap, paired_bootstrap
from fusion.types import FusionError, Text

if TYPE_CHECKING:
    from fusion.data.dataset import DataSet
    from fusion.data.triples import TripleSet
    from fusion.links.ranking import Ranker

WHOLE = "decision"
KEYWORD = "hasKeyword"  # a relation whose tails may be copied from the head's name
POPULAR = ((0, 2, "0-2"), (3, 10, "3-10"), (11, 30, "11-30"), (31, 2**31, "31-"))  # training triples of the answer


def told(ranks: np.ndarray) -> dict[str, float]:
    """MRR and Hits@1, 3, 10 of ranks (Q,), in [0, 1]."""
    made = {"mrr": float((1 / ranks).mean())}
    return made | {f"hits{k}": float((ranks <= k).mean()) for k in (1, 3, 10)}


def both(ranks: np.ndarray) -> dict[str, Any]:
    """Of both directions together and each alone. ranks (2 E',), tails first"""
    half = len(ranks) // 2
    return told(ranks) | {"tail": told(ranks[:half]), "head": told(ranks[half:])}


def ranks_of(linker: Ranker, triples: TripleSet, split: str) -> np.ndarray:
    """(2 E', C), tails first. Raises FusionError when the split has no triples."""
    asked = triples.queries(split)
    if not len(asked):
        raise FusionError(f'"{triples.title}" has no {split} triples; there are {", ".join(SPLITS)}.')
    return ranked(linker, asked, triples.known())


def figures(dataset: DataSet, columns: Sequence[str], ranks: np.ndarray, split: str = "test") -> dict[str, Any]:
    """All figures of ranks (2 E', C) of a split: whole, by direction, branch, relation, popularity, and by subset."""
    assert dataset.triples is not None, "ranks are of triples"
    triples, fused = dataset.triples, ranks[:, list(columns).index(WHOLE)]
    found: dict[str, Any] = {"n": len(ranks) // 2, "candidates": len(triples), **both(fused)}
    interval = bootstrap(reciprocal(fused))
    found |= {"mrr_low": interval.low, "mrr_high": interval.high}
    found["branches"] = {name: both(ranks[:, i]) for i, name in enumerate(columns) if name != WHOLE}
    found["subsets"] = {}
    for name, mask in subsets(dataset, split).items():
        if mask.any() and not mask.all():
            twice = np.concatenate((mask, mask))
            rest = {one: both(ranks[twice, i]) for i, one in enumerate(columns)}
            found["subsets"][name] = {"n": int(mask.sum()), **rest.pop(WHOLE), "branches": rest}
    found["relations"] = by_relation(triples, columns, ranks, split)
    found["popularity"] = by_popularity(triples, fused, split)
    return found


def reciprocal(ranks: np.ndarray) -> np.ndarray:
    """Mean of 1 / rank over the two queries of each triple. (2 E',) -> (E',)"""
    return (1 / ranks).reshape(2, -1).mean(0)


def subsets(dataset: DataSet, split: str) -> dict[str, np.ndarray]:
    """Parts of a split that are told apart. -> {name: (E',) bool}

    "own words": neither name stands in the other word for word, so that reading does not give the answer away;
    "own keywords": of the relation hasKeyword, letter for letter, as assets/data/keywords/card.md counts them;
    "clean": not in another split as well, nor turned round in train.
    """
    assert dataset.triples is not None, "ranks are of triples"
    rows = dataset.triples.rows(split)
    found = {"clean": dataset.triples.clean[rows]}
    names = [words_of(sample.parts.get("name")) for sample in dataset.samples]
    if any(names):
        ends = dataset.triples.triples[rows][:, [0, 2]].tolist()
        found["own words"] = np.array([not words_within(names[head], names[tail]) for head, tail in ends], dtype=bool)
    if KEYWORD in dataset.triples.relations:
        part = dataset.triples.triples[rows]
        parts = [sample.parts.get("name") for sample in dataset.samples]
        given = spelled_within(part, [one.raw if isinstance(one, Text) else "" for one in parts])
        found["own keywords"] = (part[:, 1] == dataset.triples.relations.index(KEYWORD)) & ~given
    return found


def words_of(part: object) -> str:
    """A name as words between blanks, "" without one.

    >>> words_of(Text("Red-apple"))
    ' red apple '
    """
    if not isinstance(part, Text):
        return ""
    words = "".join(letter if letter.isalnum() else " " for letter in part.raw.casefold()).split()
    return f" {' '.join(words)} " if words else ""


def words_within(one: str, other: str) -> bool:
    """Whether one of two names, as `words_of` gives them, stands in the other one, word for word."""
    return bool(one and other) and (one in other or other in one)


def by_relation(triples: TripleSet, columns: Sequence[str], ranks: np.ndarray, split: str) -> dict[str, Any]:
    """{relation: n, figures of both directions, MRR by branch}, the largest first."""
    relation = triples.part(split)[:, 1]
    numbers, times = np.unique(relation, return_counts=True)
    found = {}
    for at in np.argsort(-times, kind="stable"):
        mask = np.tile(relation == numbers[at], 2)
        branches = {name: float((1 / ranks[mask, i]).mean()) for i, name in enumerate(columns) if name != WHOLE}
        whole = both(ranks[mask, list(columns).index(WHOLE)])
        found[triples.relations[numbers[at]]] = {"n": int(times[at]), **whole, "branches": branches}
    return found


def by_popularity(triples: TripleSet, ranks: np.ndarray, split: str) -> dict[str, Any]:
    """{training triples of the answer: n queries and figures}"""
    degree = triples.degree()[triples.queries(split)[:, 2]]
    masks = {name: (degree >= low) & (degree <= high) for low, high, name in POPULAR}
    return {name: {"n": int(mask.sum()), **told(ranks[mask])} for name, mask in masks.items() if mask.any()}


def margin(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean MRR of our runs less that of the other ones, triples drawn together. Each (2 E',) ranks, tails first

    -> {"value", "low", "high", "other": theirs} of both directions, and the same of "tail" and "head"
    """
    found = _less([reciprocal(one) for one in ours], [reciprocal(one) for one in theirs])
    for name, part in (("tail", slice(None, len(ours[0]) // 2)), ("head", slice(len(ours[0]) // 2, None))):
        found[name] = _less([1 / one[part] for one in ours], [1 / one[part] for one in theirs])
    return found


def _less(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> dict[str, Any]:
    mean = [np.mean(side, 0) for side in (ours, theirs)]
    interval = paired_bootstrap(*mean)
    return {"value": interval.value, "low": interval.low, "high": interval.high, "other": float(mean[1].mean())}


def flat(found: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested figures as lines: {"branches image tail mrr": ...}."""
    lines: dict[str, Any] = {}
    for name, value in found.items():
        lines |= flat(value, f"{before}{name} ") if isinstance(value, dict) else {before + name: value}
    return lines
