"""One knowledge graph whose triples are split: what link prediction is trained and tested on.

N entities, R relations, E triples. An entity's sample is that of the same row of the data set. A query is (head,
relation, ?); with r + R for the inverse of relation r, asking for a head is asking for a tail of the inverse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fusion.data.graphs import SEED, SPLITS, TEST, TRAIN, VALID, Neighbour, grouped
from fusion.types import FusionError

VALID_PART, TEST_PART = 0.05, 0.10  # of all triples, where a split is made here


class Overlap(NamedTuple):
    """How many held-out triples of one split say what another split says already."""

    triples: int
    in_train: int  # the same triple
    reversed_same: int  # the two entities the other way round in train, by the same relation
    reversed_other: int  # the other way round in train, by other relations only
    parallel: int  # head and tail in train, the same way round, by other relations only
    in_other: int  # the same triple in the other held-out split


@dataclass(frozen=True, eq=False)
class Known:
    """Every true tail by query, in both directions: what a filtered rank leaves out."""

    keys: np.ndarray  # (U,) int64, ascending: head times 2R plus relation
    start: np.ndarray  # (U + 1,) int64: values[start[i]:start[i + 1]] are the tails of keys[i]
    values: np.ndarray  # (T,) int64 tails, ascending within a query
    width: int  # 2R

    def tails(self, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All true tails of queries (B, 2 or 3). -> (row in 0..B-1 (K,), tail (K,)), ordered by row, then by tail"""
        asked = np.asarray(query)[:, :2].astype(np.int64)
        key = asked[:, 0] * self.width + asked[:, 1]
        at = np.searchsorted(self.keys, key)
        there = at < len(self.keys)
        there[there] = self.keys[at[there]] == key[there]
        at = np.where(there, at, 0)
        count = np.where(there, self.start[at + 1] - self.start[at], 0) if len(self.keys) else np.zeros_like(at)
        row = np.repeat(np.arange(len(asked)), count)
        within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return row, self.values[np.repeat(self.start[at], count) + within]


@dataclass(frozen=True, eq=False)
class TripleSet:
    """Triples over rows 0..N-1, each in one split; published data may hold one triple in several."""

    title: str
    triples: np.ndarray  # (E, 3) int32: head, relation, tail
    split: np.ndarray  # (E,) uint8, index into SPLITS
    relations: tuple[str, ...]  # R names, as a reader reads them
    kind: tuple[str, ...] = ()  # N names of kinds to group by; empty when none are known
    entities: int = 0  # N; 0: as many as `kind` or the triples name

    def __len__(self) -> int:
        if self.entities or self.kind:
            return self.entities or len(self.kind)
        return int(self.triples[:, [0, 2]].max()) + 1 if len(self.triples) else 0

    def part(self, *splits: str) -> np.ndarray:
        """The triples of some splits, all of them without one. -> (E', 3) int32. Raises FusionError for another."""
        return self.triples[self.rows(*splits)]

    def rows(self, *splits: str) -> np.ndarray:
        """Where in `triples` those of some splits stand, all of them without one. -> (E',) int. Raises FusionError."""
        for name in splits:
            if name not in SPLITS:
                raise FusionError(f'There is no split "{name[:40]}" of triples; there are {", ".join(SPLITS)}.')
        if not splits:
            return np.arange(len(self.triples))
        return np.flatnonzero(np.isin(self.split, [SPLITS.index(name) for name in splits]))

    def queries(self, *splits: str) -> np.ndarray:
        """(head, relation, tail) of both directions: every triple, then every one turned round, relation r + R.

        -> (2E', 3) int32; row i + E' asks for the head of what row i asks the tail of.
        """
        forward = self.part(*splits)
        back = forward[:, ::-1].copy()
        back[:, 1] += len(self.relations)
        return np.concatenate((forward, back))

    def known(self, *splits: str) -> Known:
        """The true tails of every query of some splits, of all without one."""
        width = 2 * len(self.relations)
        found = self.queries(*splits).astype(np.int64)
        combined = np.unique((found[:, 0] * width + found[:, 1]) * len(self) + found[:, 2])
        key, tail = np.divmod(combined, max(len(self), 1))
        keys, start = np.unique(key, return_index=True)
        return Known(keys, np.append(start, len(key)).astype(np.int64), tail, width)

    def neighbours(self, row: int) -> list[Neighbour]:
        """The training triples that an entity is in, those that it is the head of first; one to itself counts once."""
        start, index = self._incident
        found = []
        for at in index[start[row] : start[row + 1]]:
            head, relation, tail = self.triples[at].tolist()
            outgoing = head == row
            found.append(Neighbour(self.relations[relation], outgoing, tail if outgoing else head))
        return sorted(found, key=lambda one: not one.outgoing)

    def degree(self) -> np.ndarray:
        """Training triples of each entity that lead to another one. -> (N,) int"""
        train = self.part("train")
        apart = train[train[:, 0] != train[:, 2]]
        return np.bincount(apart[:, [0, 2]].ravel(), minlength=len(self))

    def frequency(self) -> np.ndarray:
        """Training triples of each relation. -> (R,) int"""
        return np.bincount(self.part("train")[:, 1], minlength=len(self.relations))

    def relation(self, number: int) -> tuple[str, bool]:
        """(name, whether it is the inverse) of a relation of a query, 0..2R-1."""
        count = len(self.relations)
        return self.relations[number % count], number >= count

    def overlaps(self) -> dict[str, Overlap]:
        """What of the held-out triples another split gives away, {"valid": ..., "test": ...}."""
        same, turned, parallel = self._in_train
        again = self._in_other
        found = {}
        for name in ("valid", "test"):
            rows = self.rows(name)
            by_other = (turned > 0) & ~self._turned_same
            found[name] = Overlap(
                len(rows), *(int(mask[rows].sum()) for mask in (same, self._turned_same, by_other, parallel, again))
            )
        return found

    @cached_property
    def clean(self) -> np.ndarray:
        """Held-out triples that no other split gives away, (E,) bool; False for every training triple.

        Neither the triple nor its two entities turned round are in train, nor is it in the other held-out split.
        """
        same, turned, _ = self._in_train
        return (self.split != TRAIN) & ~same & ~turned & ~self._in_other

    @cached_property
    def _in_train(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For every triple: it stands in train; so do its ends turned round; or the same way, by others only. (E,)"""
        train = self.part("train").astype(np.int64)
        head, tail = self.triples[:, 0].astype(np.int64), self.triples[:, 2].astype(np.int64)
        pairs = train[:, 0] * len(self) + train[:, 2]
        same = among(self._code(self.triples), self._code(train))
        turned = among(tail * len(self) + head, pairs)
        return same, turned, among(head * len(self) + tail, pairs) & ~same

    @cached_property
    def _turned_same(self) -> np.ndarray:
        return among(self._code(self.triples[:, ::-1]), self._code(self.part("train")))

    @cached_property
    def _in_other(self) -> np.ndarray:
        """For every held-out triple: the other held-out split has it too. (E,) bool"""
        code = self._code(self.triples)
        found = np.zeros(len(code), dtype=bool)
        for mine, other in ((VALID, TEST), (TEST, VALID)):
            found |= (self.split == mine) & among(code, code[self.split == other])
        return found

    def _code(self, triples: np.ndarray) -> np.ndarray:
        """One number a triple. (E',) int64"""
        h, r, t = triples.astype(np.int64).T
        return (h * max(len(self.relations), 1) + r) * len(self) + t

    @cached_property
    def _incident(self) -> tuple[np.ndarray, np.ndarray]:
        """Training triples by entity: where each entity's begin (N + 1,), and their rows in `triples`."""
        rows = self.rows("train")
        train = self.triples[rows]
        apart = train[:, 0] != train[:, 2]
        ends = np.concatenate((train[:, 0], train[apart, 2]))
        return grouped(ends, np.concatenate((rows, rows[apart])), len(self))


def among(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which of the values (K,) are known ones (J,), as np.isin; that takes several times as long. -> (K,) bool"""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    ordered = np.sort(known)
    at = np.searchsorted(ordered, values).clip(max=len(ordered) - 1)
    return ordered[at] == values


def split_triples(
    triples: np.ndarray, *, valid: float = VALID_PART, test: float = TEST_PART, seed: int = SEED,
    stay: Sequence[int] = (),
) -> np.ndarray:  # fmt: skip
    """A random split of triples (E, 3). -> (E,) uint8, index into SPLITS

    All triples between the same two entities, either way round and by whatever relation, are in one split: no held-out
    triple stands turned round in train. One is held out only while both its ends and its relation keep a training
    triple. stay: relations that are never held out; valid, test: shares of all triples, reached where that allows.
    """
    triples = triples.astype(np.int64)
    low, high = np.minimum(triples[:, 0], triples[:, 2]), np.maximum(triples[:, 0], triples[:, 2])
    count = int(high.max()) + 1 if len(triples) else 0
    _, group = np.unique(low * count + high, return_inverse=True)
    start, member = grouped(group, np.arange(len(triples)), int(group.max()) + 1 if len(group) else 0)
    ends = np.bincount(triples[:, [0, 2]].ravel(), minlength=count).tolist()
    relations = np.bincount(triples[:, 1]).tolist()
    split = np.full(len(triples), TRAIN, dtype=np.uint8)
    wanted = {TEST: round(test * len(triples)), VALID: round(valid * len(triples))}
    kept = set(stay)
    rows = triples.tolist()
    for at in np.random.default_rng(seed).permutation(len(start) - 1).tolist():
        mine = member[start[at] : start[at + 1]].tolist()
        part = next((part for part, left in wanted.items() if left >= len(mine)), None)
        if part is None:
            if not any(wanted.values()):
                break
            continue
        head, _, tail = rows[mine[0]]
        own = [rows[one][1] for one in mine]
        needed = any(relation in kept or relations[relation] <= own.count(relation) for relation in own)
        if needed or ends[head] <= len(mine) or ends[tail] <= len(mine) or head == tail:
            continue
        for relation in own:
            relations[relation] -= 1
        ends[head] -= len(mine)
        ends[tail] -= len(mine)
        split[mine] = part
        wanted[part] -= len(mine)
    return split
