"""Whom the halves of a suspected pair would rather belong to, and what is nearly the same as them.

    better(store, id, k=5) -> Proposals | None      "this text fits image 4711 better", and the other way round
    near_duplicates(store, id, k=5) -> [Duplicate]
    indexed(store, moved=None, notice=None) -> bool    sort the rows of a large run, so that neighbours come at once

How well the half t_i of one row fits the half v_j of another is the mean of up to three cosines:

    fit(i, j) = mean of  t_i.v_j (where both sides share a space),  v_j.e_i,  t_i.f_j

e_i is the half that rows like t_i have, f_j the half that rows like v_j have: kernel means as in `triage.between`. On
planted mismatches the true partner stands far higher by the fit than by the cosine alone. A near duplicate has a half
whose cosine with the row's is at least NEAR, or the same text or picture. Every row is compared, but for runs that are
large enough to be `indexed`. N rows, D width.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import normalize

from fusion.device import best
from fusion.neighbours import blocks
from fusion.triage import between, index
from fusion.triage.parts import prepared, present
from fusion.triage.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusion.data.dataset import DataKind
    from fusion.triage.engine import Progress

Array = np.ndarray
NEAR = 0.95  # no two different ones of 227 pictures and texts came as near; two thirds of altered copies did
COMMON = 8  # other rows of the same text, above which it is a phrase and no copy
SHORTLIST = 64  # rows whose whole fit is counted
SHARED = 0.55  # AUC of the cosine, exchanged against own pairs, above which two sides share a space
_BLOCK = 16_000_000  # numbers of vectors in memory at once, 64 MB


@dataclass(frozen=True)
class Partner:
    """A row, one of whose halves fits one of the asked row's."""

    id: str
    fit: float  # -1..1
    cosine: float  # of the two halves, NaN where their sides don't share a space


@dataclass(frozen=True)
class Proposals:
    """The best other halves for both halves of a row."""

    own: Partner  # what the row has
    sides: tuple[str, str]
    right: tuple[Partner, ...]  # rows whose right half (the image) fits this row's left half (the text), best first
    left: tuple[Partner, ...]  # rows whose left half fits this row's right half

    @property
    def better(self) -> bool:
        """Whether any fits better than what the row has."""
        return any(one.fit > self.own.fit for one in (*self.right, *self.left))


@dataclass(frozen=True)
class Duplicate:
    """A row that is nearly the same in one half or more."""

    id: str
    cosines: dict[str, float]  # {side: cosine with the row's half}, those of NEAR and above
    same: tuple[str, ...]  # columns that are equal: text, picture


class Finder:
    """The two sides of a run, ready to be searched."""

    def __init__(self, store: Store) -> None:
        import pandas as pd

        self.store, self.ids = store, store.column("id")
        kind: DataKind = store.meta["kind"]
        vectors = {name: store.vectors(name) for name in store.names()}
        has = {name: store.column(name) for name in store.columns if name.startswith("has_") or name == "score"}
        frame, sides = prepared(kind, pd.DataFrame({"id": self.ids, **has}), vectors)
        self.sides: tuple[str, ...] = sides[:2]
        self.vectors = {name: vectors[name] for name in self.sides}
        apart = (store.meta.get("calibration") or {}).get("apart") or {}
        self.shared = float(apart.get("cosine", 0.0)) > SHARED
        if len(self.sides) == 2:
            known = present(frame, self.sides[0]) & present(frame, self.sides[1])
            self.halves = between.halves(self.vectors[self.sides[0]], self.vectors[self.sides[1]], known=known)
            self.shared |= not apart and self.halves.left.shape[1] == self.halves.right.shape[1]
        self._indexes: dict[str, index.Index] = {}

    @functools.cached_property
    def hashes(self) -> dict[str, Array]:
        """The hash of each row of each side. -> {side: (N,) uint64}"""
        if len(self.sides) == 2:
            return dict(zip(self.sides, (self.halves.texts, self.halves.pictures), strict=True))
        return {name: between.hashed(rows)[0] for name, rows in self.vectors.items()}

    def nearest(self, side: str, query: Array, k: int, among: Array | None = None) -> tuple[Array, Array]:
        """The rows of highest cosine to a query on one side: by its index where there is one, or as `nearest`."""
        if len(self.ids) >= index.EXACT_ROWS:
            found = self._indexes.get(side) or index.opened(self.vectors[side], self.hashes[side])
            if found is not None:
                self._indexes[side] = found
                near = found.nearest(query, k, among)
                if near is not None:
                    return near
        return nearest(self.vectors[side], query, k, among)

    def _marks(self, back: bool) -> Array:
        return self.halves.texts if back else self.halves.pictures

    @functools.cached_property
    def once(self) -> tuple[Array, Array]:
        """Rows to search, each different right half once, and each left half. -> (N,) bool, (N,) bool"""
        found = (np.zeros(len(self.ids), bool), np.zeros(len(self.ids), bool))
        there = np.flatnonzero(self.halves.there)
        for back in (False, True):
            found[back][there[np.unique(self._marks(back)[there], return_index=True)[1]]] = True
        return found

    def row(self, id: str) -> int:
        """Its line. Raises FusionError when there is none."""
        return int(self.store.row(id)["row"])

    def fits(self, left: Array, right: Array) -> tuple[Array, Array]:
        """The fit of left halves of some rows to right halves of others, and their cosine. (P,), (P,) -> (P,), (P,)"""
        t, v = (_unit(side[rows]) for side, rows in ((self.halves.left, left), (self.halves.right, right)))
        found = [(between.expected(self.halves, left) * v).sum(1)]
        found.append((between.expected(self.halves, right, back=True) * t).sum(1))
        cosine = (t * v).sum(1) if self.shared else np.full(len(left), np.nan)
        return np.nanmean(np.stack([*found, cosine]), 0) if len(self.ids) > 1 else cosine, cosine

    def proposed(self, row: int, k: int, *, back: bool) -> tuple[Partner, ...]:
        """The rows whose right half fits the left half of a row best; back: whose left half fits its right half."""
        own = self.halves.right if back else self.halves.left
        among = self.once[back] & (self._marks(back) != self._marks(back)[row])
        at = np.array([row])
        query = np.nan_to_num(between.expected(self.halves, at, back=back)[0])
        if self.shared:
            query = query + _unit(own[at])[0]
        near = self.nearest(self.sides[0 if back else 1], query, SHORTLIST, among)[0]
        if not len(near):
            return ()
        mine = np.full(len(near), row)
        fit, cosine = self.fits(near, mine) if back else self.fits(mine, near)
        return tuple(
            Partner(str(self.ids[near[one]]), float(fit[one]), float(cosine[one]))
            for one in np.argsort(-fit, kind="stable")[:k]
        )


@functools.lru_cache(maxsize=2)
def _finder(folder: str, rows: str) -> Finder:
    return Finder(Store.open(folder))


def finder(store: Store) -> Finder:
    """The sides of a run; the last two runs are kept."""
    return _finder(str(store.folder), str(store.meta.get("rows", "")))


def indexed(store: Store, moved: Progress | None = None, notice: Callable[[str], None] | None = None) -> bool:
    """Sort both sides of a run of EXACT_ROWS or more, where that isn't done. -> whether they are

    moved: told rows done, and their number; notice: told in a sentence what to install. See `index.build`.
    """
    if store.count < index.EXACT_ROWS:
        return False
    if not index.available():
        if notice is not None and index.possible():
            notice(index.ABSENT)
        return False
    found = Finder(store)
    made = []
    for place, (side, rows) in enumerate(found.vectors.items()):
        done, total = place * len(rows), len(found.vectors) * len(rows)
        told = None if moved is None else (lambda row, done=done, total=total: moved(done + row, total))
        made.append(index.build(rows, found.hashes[side], told))
    return bool(made) and all(made)


def better(store: Store, id: str, k: int = 5) -> Proposals | None:
    """The best other partners of both halves of a row; None where it lacks a half, or the run has no two sides.

    Raises FusionError for an id that isn't in the run.
    """
    found = finder(store)
    row = found.row(id)
    if len(found.sides) < 2 or not found.halves.there[row]:
        return None
    fit, cosine = found.fits(np.array([row]), np.array([row]))
    own = Partner(id, float(fit[0]), float(cosine[0]))
    return Proposals(
        own, (found.sides[0], found.sides[1]), found.proposed(row, k, back=False), found.proposed(row, k, back=True)
    )


def near_duplicates(store: Store, id: str, k: int = 5) -> list[Duplicate]:
    """Rows that are nearly the same as a row in a half, those alike in more halves first, then the nearest.

    Raises FusionError for an id that isn't in the run.
    """
    from fusion.triage.conditions import Condition

    found = finder(store)
    asked = store.row(id)
    row = int(asked["row"])
    cosines: dict[str, dict[str, float]] = {}
    same: dict[str, list[str]] = {}
    phrase = None  # the side of a text that too many rows share: neither it nor its vector says that they are alike
    for column in ("text", "picture"):
        if column in store.columns and asked.get(column):
            equal = [one for one in store.ids((Condition(column, "=", asked[column]),)) if one != id]
            if column == "text" and len(equal) > COMMON:
                phrase = column
                continue
            for other in equal[: k + 1]:
                same.setdefault(other, []).append(column)
    for name, side in found.vectors.items():
        own = np.asarray(side[row], np.float32)
        if own.any() and name.rpartition("_")[2] != phrase:
            for other, cosine in zip(*found.nearest(name, own, k + 1), strict=True):
                if other != row and cosine >= NEAR:
                    cosines.setdefault(str(found.ids[other]), {})[name] = float(cosine)
    made = [Duplicate(one, cosines.get(one, {}), tuple(same.get(one, ()))) for one in {**same, **cosines}]
    return sorted(made, key=_alike)[:k]


def _alike(one: Duplicate) -> tuple[int, float, str]:
    halves = {"image" if name == "picture" else name for name in one.same} | set(one.cosines)
    return -len(halves), -max(one.cosines.values(), default=1.0), one.id


def _first(score: Array, k: int) -> Array:
    """Places of the k highest numbers, of equal ones the first. (R,) -> (k,) int"""
    if len(score) <= k:
        return np.arange(len(score))
    least = np.partition(score, len(score) - k)[len(score) - k]
    above = np.flatnonzero(score > least)
    return np.concatenate([above, np.flatnonzero(score == least)[: k - len(above)]])


def nearest(vectors: Array, query: Array, k: int, among: Array | None = None) -> tuple[Array, Array]:
    """The rows of highest cosine to a query, best first; equal ones by row. (N, D), (D,) -> (k,) int, (k,) float

    among (N,) bool: rows that may be found. Exact: every row is read once, a block at a time. A row of zeros has no
    cosine and is never found.
    """
    device = best()[0]
    asked = normalize(torch.from_numpy(np.asarray(query, np.float32)), dim=0).to(device)
    rows, scores = np.empty(0, np.int64), np.empty(0, np.float32)
    for part in blocks(len(vectors), 1, max(1, _BLOCK // vectors.shape[1])):
        block = torch.from_numpy(np.asarray(vectors[part], np.float32)).to(device)
        length = torch.linalg.vector_norm(block, dim=1)
        score = torch.where(length > 0, block @ asked / length, -torch.inf).cpu().numpy()
        if among is not None:
            score[~among[part]] = -np.inf
        few = _first(score, k)
        rows, scores = np.concatenate([rows, few + part.start]), np.concatenate([scores, score[few]])
    order = [one for one in np.lexsort((rows, -scores)) if np.isfinite(scores[one])][:k]
    return rows[order], scores[order]


def _unit(rows: Array) -> Array:
    table = np.asarray(rows, np.float32)
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
