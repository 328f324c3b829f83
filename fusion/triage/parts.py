"""What speaks for a pair being wrong, part by part, and the same for pairs that were exchanged on purpose.

    match       -log(p / (1 - p)), p the chance by the model's matching head that the halves belong together
    cosine, rank, margin, neighbours                            how the halves lie among the others: `triage.between`
    conflict    log(c / (1 - c)), c in 0..1 how far the modalities alone disagree
    loss        of the model, where the row is labelled
    far         whether (or how far) the input lies outside the training data

Higher always means more suspicious. A part that nothing speaks of is left out, and `Raw.missing` names it. Where a part
can be said of exchanged pairs too (vectors always; a column x with its `x_shuffled`), it can be calibrated without a
label; the rest can only be ranked. With more than two sides, a part is the mean over the pairs of sides, and an
exchanged row has its own first side and all the others from one other row.
N rows, F rows to learn from.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.files import digest
from fusion.metrics.calibration import logit
from fusion.triage import between
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data.dataset import DataKind
    from fusion.triage.engine import Progress

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


def prepared(kind: DataKind, frame: pd.DataFrame, vectors: Mapping[str, Array]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The columns that `raw` reads, from what a run says of a kind of set, and the sides to compare.

    pairs: text and image. graph: left and right, the two entities of a link. streams: the vectors named after a
    modality. triples: no sides; the chance of the answer is the match, and its rank the rank. A column "rank", which is
    of the answer, becomes "rank_answer": a run's own rank is that of the suspicion.
    """
    if kind == "pairs":
        return frame, tuple(name for name in SIDES if name in vectors)
    if kind == "streams":
        modalities = [column[4:] for column in frame if column.startswith("has_")]
        return frame, tuple(name for name in (_named(vectors, m) for m in modalities) if name)
    frame = frame.rename(columns={"rank": "rank_answer"})
    if kind == "graph":
        return frame, ("left", "right")
    return frame.assign(match=frame["score"]), ()


def _named(vectors: Mapping[str, Array], modality: str) -> str:
    """The vectors of one modality: the shortest name that is it, or ends in it after a line."""
    found = [name for name in vectors if name == modality or name.endswith(f"_{modality}")]
    return min(found, key=lambda name: (len(name), name), default="")


def raw(
    frame: pd.DataFrame, vectors: Mapping[str, Array], *, sides: Sequence[str] = SIDES, seed: int = 0,
    progress: Progress | None = None,
) -> Raw:  # fmt: skip
    """The parts of each row of a frame. vectors: {side: (N, D)}, row by row as the frame.

    Columns that are read where they are there: match, conflict, loss, far, each with its x_shuffled; exchanged (how
    many rows further on the other half of the x_shuffled ones came from); rank_answer, where there are no sides; and
    has_<modality>, of a side named after it. Sides of one width are compared as if they shared a space: where they
    don't, their cosine tells nothing apart, and weighs nothing. progress: called with pairs compared and their number.
    Raises FusionError when vectors and rows don't go together.
    """
    names = tuple(sides)
    for name in names:
        if name not in vectors or len(vectors[name]) != len(frame):
            have = ", ".join(f"{one} with {len(rows)}" for one, rows in vectors.items()) or "none"
            raise FusionError(f'The suspicion needs {len(frame)} vectors "{name}"; there are {have}.')
    sides_of = list(itertools.combinations(names, 2))
    couples = [between.halves(vectors[a], vectors[b], seed, present(frame, a) & present(frame, b)) for a, b in sides_of]
    first = [couple for (left, _), couple in zip(sides_of, couples, strict=True) if left == names[0]]
    other = _exchanged(frame, first)
    marks = _marks(frame, couples)
    fitted = np.sort(np.argsort(marks, kind="stable")[:FITTED])
    own: dict[str, list[Array]] = {}
    exchanged: dict[str, list[Array]] = {}
    every = np.arange(len(frame))
    done, total = 0, len(couples) * (len(frame) + len(fitted))

    def moved(pairs: int) -> None:
        if progress is not None:
            progress(min(done + pairs, total), total)

    some = other[fitted]
    partner = np.where(some < 0, fitted, some)
    for (left, _), couple in zip(sides_of, couples, strict=True):
        apart = left == names[0]  # the others come along together, and stay a true pair
        lost = ~between.differ(couple, other)[fitted] if apart else some < 0
        for place, i, j in ((own, every, every), (exchanged, fitted if apart else partner, partner)):
            measured = between.measured(couple, i, j, moved)
            done += len(i)  # rows without both halves are not compared
            moved(0)
            for name, values in measured.items():
                gone = lost[:, None] if place is exchanged else False
                place.setdefault(name, []).append(np.where(gone, np.nan, values))
    raw_own = {name: _mean(values) for name, values in own.items()}
    raw_exchanged = {name: _mean(values) for name, values in exchanged.items()}
    for name in ("match", "conflict", "loss", "far"):
        for place, column, rows in ((raw_own, name, every), (raw_exchanged, f"{name}_shuffled", fitted)):
            if column in frame:
                values = frame[column].to_numpy(np.float64, na_value=np.nan)[rows]
                scale = {"match": lambda p: -logit(p), "conflict": logit}.get(name)
                place[name] = (scale(values) if scale else values)[:, None]
    if not couples and "rank_answer" in frame:
        raw_own["rank"] = np.log(frame["rank_answer"].to_numpy(np.float64, na_value=np.nan))[:, None]
    if couples and "match" in raw_exchanged:  # a pair whose picture could not be exchanged is a true pair
        raw_exchanged["match"][some < 0] = np.nan
    kept = {name: raw_own[name] for name in PARTS if name in raw_own and np.isfinite(raw_own[name]).any()}
    learned = {
        name: raw_exchanged[name] for name in kept if np.isfinite(raw_exchanged.get(name, np.array(np.nan))).any()
    }
    missing = tuple(name for name in PARTS if name not in kept)
    compared = max((len(couple.candidates) for couple in couples), default=0)
    return Raw(kept, learned, fitted, marks, missing, compared)


def exchanges(frame: pd.DataFrame, vectors: Mapping[str, Array], sides: Sequence[str]) -> Array:
    """For each row the one whose other half its exchanged pair has. -> (N,) int, -1 where there is none"""
    first = [
        between.halves(vectors[sides[0]], vectors[name], 0, present(frame, sides[0]) & present(frame, name))
        for name in sides[1:]
    ]
    return _exchanged(frame, first)


def _exchanged(frame: pd.DataFrame, first: Sequence[between.Halves]) -> Array:
    """For each row the one whose other sides its exchanged pair has, -1 where there is none. -> (N,) int

    first: the couples of the first side with each other one; of two sides that a row may lack, the first that it has.
    """
    other = np.full(len(frame), -1)
    for couple in first:
        other = np.where(other < 0, _others(frame, couple), other)
    return other


def present(frame: pd.DataFrame, side: str) -> Array:
    """Which rows have the modality that a side is named after; all where nothing is said of it. -> (N,) bool"""
    for column in frame:
        if column.startswith("has_") and (side == column[4:] or side.endswith(f"_{column[4:]}")):
            return frame[column].to_numpy(bool)
    return np.ones(len(frame), bool)


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
    return np.array([int(digest(str(id))[:16], 16) for id in frame["id"]], np.uint64)


def _others(frame: pd.DataFrame, couple: between.Halves) -> Array:
    """The row whose right half an exchanged pair has, by the run or by ourselves; -1: none. -> (N,) int"""
    if "exchanged" not in frame:
        return between.exchange(couple)
    step = frame["exchanged"].to_numpy(np.int64, na_value=0)
    other = np.arange(len(frame)) + step
    other = np.where((step != 0) & (other >= 0) & (other < len(frame)), other, -1)
    return np.where(between.differ(couple, other), other, -1)
