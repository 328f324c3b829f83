"""Two knowledge graphs over one row of entities, and which entity of one is known to be which of the other.

N entities, E triples, P links. An entity's sample is that of the same row of the data set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fusion.types import FusionError

SPLITS = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
TRAIN_SHARE = 0.3  # of the links, as the papers of entity alignment split DBP15K
VALID_SHARE = 0.1  # of the training links, held out to choose by; the papers held out none and chose on the test links
SEED = 37


def _no_counts() -> np.ndarray:
    return np.zeros((0, 3), dtype=np.int32)


class Neighbour(NamedTuple):
    """One triple seen from one of its ends."""

    relation: str
    outgoing: bool  # True: the entity asked about is the head
    entity: int  # row of the other end


@dataclass(frozen=True, eq=False)
class GraphSet:
    """Two graphs in one id space: rows 0..N-1 are the entities of both."""

    titles: tuple[str, str]  # what a reader calls the two graphs
    side: np.ndarray  # (N,) uint8, 0 or 1: which graph an entity is in
    triples: np.ndarray  # (E, 3) int32: head, relation, tail
    relations: tuple[str, ...]
    links: np.ndarray  # (P, 2) int32: an entity of graph 0 and the same thing in graph 1
    split: np.ndarray  # (P,) uint8, index into SPLITS
    attributes: tuple[str, ...] = ()
    counts: np.ndarray = field(default_factory=_no_counts)  # (K, 3) int32: entity, attribute, how often
    kind: tuple[str, ...] = ()  # N names of kinds to group by; empty when none are known

    def __len__(self) -> int:
        return len(self.side)

    def rows(self, side: int) -> np.ndarray:
        """The entities of one graph. -> (n,) int"""
        return np.flatnonzero(self.side == side)

    def pairs(self, *splits: str) -> np.ndarray:
        """The links of some splits, all of them without one. -> (P', 2) int32. Raises FusionError for another split."""
        for name in splits:
            if name not in SPLITS:
                raise FusionError(f'There is no split "{name[:40]}" of links; there are {", ".join(SPLITS)}.')
        return self.links[np.isin(self.split, [SPLITS.index(name) for name in splits])] if splits else self.links

    def partner(self, row: int) -> int | None:
        """The entity of the other graph that is known to be the same, None without a link."""
        return self._partners.get(row)

    def split_of(self, row: int) -> str:
        """The split of an entity's link, "" without one."""
        at = self._link_of.get(row)
        return "" if at is None else SPLITS[self.split[at]]

    def neighbours(self, row: int) -> list[Neighbour]:
        """Every triple that the entity is in, those that it is the head of first; one to itself counts once."""
        start, index = self._incident
        found = []
        for at in index[start[row] : start[row + 1]]:
            head, relation, tail = self.triples[at].tolist()
            outgoing = head == row
            found.append(Neighbour(self.relations[relation], outgoing, tail if outgoing else head))
        return sorted(found, key=lambda one: not one.outgoing)

    def attributes_of(self, row: int) -> list[tuple[str, int]]:
        """An entity's attributes and how often it has each, in the order of the table."""
        start, index = self._attributed
        rows = self.counts[index[start[row] : start[row + 1]]].tolist()
        return [(self.attributes[attribute], count) for _, attribute, count in rows]

    def degree(self) -> np.ndarray:
        """Triples of each entity that lead to another one. -> (N,) int"""
        apart = self.triples[self.triples[:, 0] != self.triples[:, 2]]
        return np.bincount(apart[:, [0, 2]].ravel(), minlength=len(self))

    @cached_property
    def _incident(self) -> tuple[np.ndarray, np.ndarray]:
        """Triples by entity: where each entity's begin (N + 1,), and their numbers."""
        loop = self.triples[:, 0] == self.triples[:, 2]
        numbers = np.arange(len(self.triples))
        return grouped(
            np.concatenate((self.triples[:, 0], self.triples[~loop, 2])),
            np.concatenate((numbers, numbers[~loop])),
            len(self),
        )

    @cached_property
    def _attributed(self) -> tuple[np.ndarray, np.ndarray]:
        return grouped(self.counts[:, 0], np.arange(len(self.counts)), len(self))

    @cached_property
    def _link_of(self) -> dict[int, int]:
        return {int(row): at for at, pair in enumerate(self.links) for row in pair}

    @cached_property
    def _partners(self) -> dict[int, int]:
        return {int(a): int(b) for pair in self.links for a, b in (pair, pair[::-1])}


def grouped(rows: np.ndarray, values: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(start (count + 1,), values ordered by row), so that values[start[i]:start[i + 1]] are those of row i.

    rows, values (K,): the row of each value; count: how many rows there are.
    """
    order = np.argsort(rows, kind="stable")
    return np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=count)))), values[order]


def split_links(count: int, train: float = TRAIN_SHARE, seed: int = SEED) -> np.ndarray:
    """A random split of links: `train` of them to learn from, of which VALID_SHARE is held out, the rest to test.

    -> (count,) uint8. Raises FusionError when a share leaves nothing to train on or to test.
    """
    known = int(count * train)
    held = round(known * VALID_SHARE)
    if known - held < 1 or count - known < 1:
        raise FusionError(
            f"{count} links at a training share of {train:g} leave nothing to train on or nothing to test; "
            "give more links, or a share between 0.05 and 0.95."
        )
    order = np.random.default_rng(seed).permutation(count)
    split = np.full(count, TEST, dtype=np.uint8)
    split[order[: known - held]] = TRAIN
    split[order[known - held : known]] = VALID
    return split
