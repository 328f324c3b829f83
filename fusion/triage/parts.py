"""What speaks for a pair being wrong, part by part, and the same for pairs that were exchanged on purpose.

    match       -log(p / (1 - p)), p the chance by the model's matching head that the halves belong together
    cosine, rank, margin, neighbours                            how the halves lie among the others: `triage.between`
    conflict    how far the modalities alone disagree, 0..1
    loss        of the model, where the row is labelled
    far         whether (or how far) the input lies outside the training data

Higher always means more suspicious. A part that nothing speaks of is left out, and `Raw.missing` names it. Where a part
can be said of exchanged pairs too (vectors always; a column x with its `x_shuffled`), it can be calibrated without a
label; the rest can only be ranked. With more than two sides, a part is the mean over the pairs of sides.
N rows, F rows to learn from.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.metrics.calibration import logit
from fusion.triage import between
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
PARTS = ("match", "cosine", "rank", "margin", "neighbours", "conflict", "loss", "far")
SIDES = ("text", "image")  # of a pair, unless the vectors are of other names
FITTED = 20_000  # rows to learn from, chosen by their hash above that


@dataclass(frozen=True, eq=False)
class Raw:
    """Parts of the rows as they are, and of the same left halves with another right half."""

    own: dict[str, Array]  # {part: (N, 1 or 2) float64}, NaN where a row doesn't have it
    exchanged: dict[str, Array]  # {part: (F, 1 or 2) float64}, of the rows in `fitted`; parts without one aren't there
    fitted: Array  # (F,) int, rows to learn from
    marks: Array  # (N,) uint64, a hash of what a row holds; rows that hold the same have the same
    missing: tuple[str, ...]  # parts that nothing speaks of
    compared: int  # rows that stand for all others, 0 without vectors


def raw(
    frame: pd.DataFrame,
    vectors: Mapping[str, Array],
    *,
    sides: Sequence[str] | None = None,
    shared: bool = True,
    seed: int = 0,
) -> Raw:
    """The parts of each row of a frame. vectors: {side: (N, D)}, row by row as the frame.

    Columns that are read where they are there: match, conflict, loss, far, each with its x_shuffled, and exchanged (how
    many rows further on the other half of the x_shuffled ones came from). sides: names of the vectors to compare,
    text and image or else all of them. shared: they lie in one space.
    Raises FusionError when vectors and rows don't go together.
    """
    names = tuple(sides) if sides is not None else _sides(vectors)
    for name in names:
        if name not in vectors or len(vectors[name]) != len(frame):
            have = ", ".join(f"{one} with {len(rows)}" for one, rows in vectors.items()) or "none"
            raise FusionError(f'The suspicion needs {len(frame)} vectors "{name}"; there are {have}.')
    couples = [between.halves(vectors[a], vectors[b], seed) for a, b in itertools.combinations(names, 2)]
    marks = _marks(frame, couples)
    fitted = np.sort(np.argsort(marks, kind="stable")[:FITTED])
    own: dict[str, list[Array]] = {}
    exchanged: dict[str, list[Array]] = {}
    every = np.arange(len(frame))
    for couple in couples:
        other = _others(frame, couple)
        some = other[fitted]
        for place, i, j in ((own, every, every), (exchanged, fitted, np.where(some < 0, fitted, some))):
            for name, values in between.measured(couple, i, j, shared=shared).items():
                lost = (some < 0)[:, None] if place is exchanged else False
                place.setdefault(name, []).append(np.where(lost, np.nan, values))
    raw_own = {name: _mean(values) for name, values in own.items()}
    raw_exchanged = {name: _mean(values) for name, values in exchanged.items()}
    for name in ("match", "conflict", "loss", "far"):
        for place, column, rows in ((raw_own, name, every), (raw_exchanged, f"{name}_shuffled", fitted)):
            if column in frame:
                values = frame[column].to_numpy(np.float64, na_value=np.nan)[rows]
                place[name] = (-logit(values) if name == "match" else values)[:, None]
    if couples and "match" in raw_exchanged:  # a pair whose picture could not be exchanged is a true pair
        raw_exchanged["match"][_others(frame, couples[0])[fitted] < 0] = np.nan
    kept = {name: raw_own[name] for name in PARTS if name in raw_own and np.isfinite(raw_own[name]).any()}
    learned = {
        name: raw_exchanged[name] for name in kept if np.isfinite(raw_exchanged.get(name, np.array(np.nan))).any()
    }
    missing = tuple(name for name in PARTS if name not in kept)
    compared = max((len(couple.candidates) for couple in couples), default=0)
    return Raw(kept, learned, fitted, marks, missing, compared)


def _sides(vectors: Mapping[str, Array]) -> tuple[str, ...]:
    return SIDES if all(name in vectors for name in SIDES) else tuple(vectors)


def _mean(values: Sequence[Array]) -> Array:
    """Mean over pairs of sides, those that a row has. -> (N, 1 or 2) float64"""
    if len(values) == 1:
        return values[0].astype(np.float64)
    table = np.stack(values).astype(np.float64)
    count = np.isfinite(table).sum(0)
    return np.where(count > 0, np.nansum(table, 0) / np.maximum(count, 1), np.nan)


def _marks(frame: pd.DataFrame, couples: Sequence[between.Halves]) -> Array:
    """A hash of each row: of its vectors, or else of its id. -> (N,) uint64"""
    if couples:
        marks = couples[0].marks
        for couple in couples[1:]:
            marks = between.mixed(marks + couple.marks)
        return marks
    from pandas.util import hash_array  # slow to import

    return between.mixed(hash_array(frame["id"].astype(str).to_numpy(object)))


def _others(frame: pd.DataFrame, couple: between.Halves) -> Array:
    """The row whose right half an exchanged pair has, by the run or by ourselves; -1: none. -> (N,) int"""
    if "exchanged" not in frame:
        return between.exchange(couple)
    step = frame["exchanged"].to_numpy(np.int64, na_value=0)
    other = np.arange(len(frame)) + step
    other = np.where((step != 0) & (other >= 0) & (other < len(frame)), other, -1)
    return np.where(between.differ(couple, other), other, -1)
