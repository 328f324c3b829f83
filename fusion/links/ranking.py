"""Filtered ranks of held-out answers, counted a block of candidates at a time while its scores are in the cache.

Q questions (head, relation, tail), B different (head, relation) at a time, N candidates, n of a block, C columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from fusion.data.triples import Known

QUERIES = 512  # at a time
CELLS = 2**18  # scores of a block, 1 MB
TOLERANCE = 1e-6  # scores that differ by less, relative to the answer's, are equal
Block = Callable[[slice | Tensor], Iterator[Tensor]]  # some candidates -> C times their scores (n, B)
Look = Callable[[np.ndarray, int, Tensor], None]


class Ranker(Protocol):
    """What can be ranked: a `Linker`, or a model that is trained."""

    columns: tuple[str, ...]

    @property
    def count(self) -> int:
        """N"""
        ...

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """A function of queries (B, 2), with what no query changes made once. What it gives is a function of some
        candidates, a slice or their numbers (n,): their scores (n, B) by column, each written over by the next.

        asked (Q, 2): all that will be asked, in this order, for those who make something of many queries at a time.
        """
        ...


def blocks_of(scores: Tensor) -> Block:
    """One column whose scores (B, N) are all there already."""
    turned = scores.T.contiguous()
    return lambda rows: iter((turned[rows].clone(),))  # a look may write into it


def ranked(linker: Ranker, asked: np.ndarray, known: Known, look: Look | None = None) -> np.ndarray:
    """Filtered ranks of the true tails by each column of a linker's scores. asked (Q, 3) -> (Q, C) float64, from 1

    rank = 1 + the number of better candidates + half of the number of equal ones, other known answers left out; see
    `fusion.metrics.ranking.filtered_ranks`. Queries are asked in the order of their relations, so that what a relation
    needs is made seldom, and one with several true tails to rank once. look: sees every block of the last column: rows
    (b,) of asked, the number of the first candidate, and scores (n, b), other known answers at -inf.
    """
    order = np.lexsort((asked[:, 0], asked[:, 1]))
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(asked[order][:, :2], axis=0) != 0).any(1)
    again, owner = order[~fresh], (np.cumsum(fresh) - 1)[~fresh]
    first = order[fresh]
    found = np.empty((len(asked), len(linker.columns)))
    with torch.inference_mode():
        scores_of = linker.ranker(torch.from_numpy(asked[first, :2].astype(np.int64)))
        for start in range(0, len(first), QUERIES):
            rows = first[start : start + QUERIES]
            part = slice(*np.searchsorted(owner, (start, start + len(rows))))
            block = scores_of(torch.from_numpy(asked[rows, :2].astype(np.int64)))
            _rank(found, asked, (rows, again[part]), owner[part] - start, block, linker.count, known, look)
    return found


def _rank(
    found: np.ndarray, asked: np.ndarray, parts: tuple[np.ndarray, np.ndarray], owner: np.ndarray, block: Block,
    count: int, known: Known, look: Look | None,
) -> None:  # fmt: skip
    """Fill in the ranks of rows of `asked`: of B queries, and of further answers to them, of which `owner` tells whose.

    parts (B,) and (B',) rows; owner (B',) int, in 0..B-1; count: N
    """
    size = max(1, CELLS // len(parts[0]))
    whose = (torch.arange(len(parts[0])), torch.from_numpy(owner))
    counts = [
        _Counts(asked[rows], known, _own(block, asked[rows, 2], at, size), size)
        for rows, at in zip(parts, whose, strict=True) if len(rows)
    ]  # fmt: skip
    further, last = whose[1].to(counts[0].rows.device), found.shape[1] - 1
    for start in range(0, count, size):
        left_out = [one.part(start) for one in counts]
        for column, scores in enumerate(block(slice(start, min(start + size, count)))):
            seen = [scores, *(scores.index_select(1, further) for _ in counts[1:])]
            for one, some, part, rows in zip(counts, seen, left_out, parts, strict=False):
                one.add(column, part, some)
                if look is not None and column == last:
                    look(rows, start, one.without_others(part, some))
    for one, rows in zip(counts, parts, strict=False):
        found[rows] = one.ranks().T.cpu().numpy()


def _own(block: Block, truth: np.ndarray, whose: Tensor, size: int) -> Tensor:
    """Scores of answers (b,) to the queries `whose` (b,), made as those of all others are. -> (C, b)"""
    numbers = torch.from_numpy(truth.astype(np.int64))
    made = []
    for some, at in zip(numbers.split(size), whose.split(size), strict=True):
        made.append(torch.stack([scores[range(len(some)), at] for scores in block(some)]))
    return torch.cat(made, 1)


class _Counts:
    """How many candidates are ahead of the answers to b queries, by column, counted in blocks of `size` candidates."""

    def __init__(self, asked: np.ndarray, known: Known, own: Tensor, size: int) -> None:
        """asked (b, 3), own (C, b): the scores of its answers"""
        row, tail = known.tails(asked)
        other = tail != asked[row, 2]
        rows = np.concatenate((row[other], np.arange(len(asked))))  # left out are other answers, and the answer itself
        tails = np.concatenate((tail[other], asked[:, 2])).astype(np.int64)
        order = np.argsort(tails, kind="stable")
        tails, device = tails[order], own.device
        self.rows = torch.from_numpy(rows[order]).to(device)
        self.places = torch.from_numpy(tails % size * len(asked) + rows[order]).to(device)  # in the scores of its block
        self.others = torch.from_numpy(order < other.sum()).to(device)
        self.size, self.tails = size, tails
        margin = TOLERANCE * own.abs()
        self.over, self.under = own + margin, own - margin
        self.twice = torch.zeros(own.shape, dtype=torch.float64, device=device)  # better ones by 2, equal ones by 1
        self.values = own.new_empty(len(own), len(tails))  # the scores of all that is left out
        self.reached = own.new_empty(size, len(asked))

    def part(self, start: int) -> slice:
        """Which of those that are left out are in the block from `start` on."""
        return slice(*self.tails.searchsorted((start, start + self.size)))

    def add(self, column: int, part: slice, scores: Tensor) -> None:
        """Count the candidates of a block by their scores (n, b)."""
        reached, twice = self.reached[: len(scores)], self.twice[column]
        twice += torch.gt(scores, self.over[column], out=reached).sum(0)  # exact: whole numbers below 2^24
        twice += torch.ge(scores, self.under[column], out=reached).sum(0)
        if part.stop > part.start:
            torch.take(scores, self.places[part], out=self.values[column, part])

    def without_others(self, part: slice, scores: Tensor) -> Tensor:
        """The scores (n, b), which are written over, with other known answers at -inf."""
        scores.view(-1)[self.places[part][self.others[part]]] = -torch.inf
        return scores

    def ranks(self) -> Tensor:
        """(C, b) float64, from 1"""
        ahead = (self.values > self.over[:, self.rows]).double() + (self.values >= self.under[:, self.rows]).double()
        return 1 + self.twice.index_add(1, self.rows, ahead, alpha=-1) / 2
