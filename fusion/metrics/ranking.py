"""Alignment as ranking: does an entity find its counterpart among the entities of the other graph, both ways.

Ranks are counted block by block, never sorted: rank_i = #{j: s_ij >= s_ii}, so that a tie counts against the model.
Scores nearer to each other than rounding can tell apart (1e-6 in float32, 1e-12 in float64, relative to 1 + |s|) are
ties, and `Ranking.ties` says how many queries have one. Blocks may be of any size; the device is that of the vectors.

CSLS: 2 s_ij - mean of the k best of row i - mean of the k best of column j.
Sources: Lample et al. 2018 (CSLS); MCLEA, arXiv:2209.00891, eq. (8), for 1 - squared distance as the similarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MEASURES = ("squared", "cosine", "cityblock")
BLOCK = 512  # rows at a time
KEEP = 2**29  # bytes of blocks that may stay for a second pass; the others are made again


@dataclass(frozen=True)
class Ranking:
    """Where each query's partner stands in one direction."""

    ranks: Tensor  # (P,) int64, 1 is best
    ties: int  # queries whose partner has the score of another candidate
    candidates: int  # that each query chose from; every figure here depends on it

    def hits(self, k: int) -> float:
        """Share of queries with their partner among the first k, in [0, 1]."""
        return float((self.ranks <= k).double().mean())

    @property
    def mrr(self) -> float:
        """Mean of 1 / rank, in (0, 1]."""
        return float((1 / self.ranks.double()).mean())

    @property
    def mean(self) -> float:
        """Mean rank, 1 is best."""
        return float(self.ranks.double().mean())


@dataclass(frozen=True)
class _Scores:
    """Similarities of queries to candidates, made a block of rows at a time."""

    left: Tensor  # (Q, D)
    right: Tensor  # (K, D)
    measure: str
    ready: tuple[Tensor, Tensor]  # what is multiplied for one block

    def block(self, rows: slice) -> Tensor:
        """-> (rows, K), higher is nearer"""
        if self.measure == "cityblock":
            return torch.cdist(self.left[rows], self.right, p=1).neg_().add_(1)
        product = self.ready[0][rows] @ self.ready[1].T
        return product.clamp_(max=1) if self.measure == "squared" else product  # a squared distance is never below 0

    def own(self) -> Tensor:
        """Of row i and candidate i, (Q,)"""
        if self.measure == "cityblock":
            return 1 - (self.left - self.right).abs().sum(1)
        if self.measure == "squared":
            return 1 - (self.left - self.right).square().sum(1)
        return (self.left * self.right).sum(1)


def _scores(left: Tensor, right: Tensor, measure: str) -> _Scores:
    """Rows brought to length 1; a squared distance becomes one product of rows with two more columns."""
    if measure not in MEASURES:
        raise FusionError(f'There is no measure "{measure}"; use one of {", ".join(MEASURES)}.')
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[1] or not len(left) or not len(right):
        raise FusionError(f"Vectors of shape {tuple(left.shape)} and {tuple(right.shape)} can't be compared; give rows "
                          "of one width, at least one on each side.")  # fmt: skip
    for name, side in (("left", left), ("right", right)):
        if not torch.isfinite(side).all():
            raise FusionError(f"Some {name} vectors hold NaN or infinite numbers; leave those entities out first.")
    left, right = (F.normalize(side, dim=1, eps=1e-12) for side in (left, right))
    if measure != "squared":
        return _Scores(left, right, measure, (left, right))
    a, b = (side.square().sum(1, keepdim=True) for side in (left, right))
    one = torch.cat((2 * left, 1 - a, -torch.ones_like(a)), 1)
    other = torch.cat((right, torch.ones_like(b), b), 1)
    return _Scores(left, right, measure, (one, other))


def _slices(count: int, block: int) -> Iterator[slice]:
    return (slice(start, min(start + block, count)) for start in range(0, count, block))


class _Blocks:
    """The blocks of all rows, as often as wanted; those that fit in `keep` bytes are made once."""

    def __init__(self, scores: _Scores, block: int, keep: int) -> None:
        self.scores, self.size, self.left_over, self.kept = scores, block, keep, dict[int, Tensor]()

    def __iter__(self) -> Iterator[tuple[slice, Tensor]]:
        for rows in _slices(len(self.scores.left), self.size):
            made = self.kept.get(rows.start)
            if made is None:
                made = self.scores.block(rows)
                size = made.numel() * made.element_size()
                if size <= self.left_over:
                    self.left_over -= size
                    self.kept[rows.start] = made
            yield rows, made


def _crowding(blocks: _Blocks, k: int) -> tuple[Tensor, Tensor]:
    """Mean of the k best of each row (Q,) and of each column (K,)."""
    rows_of, best = [], None
    for _, block in blocks:
        rows_of.append(block.topk(min(k, block.shape[1]), 1).values.mean(1))
        top = block.topk(min(k, len(block)), 0).values
        both = top if best is None else torch.cat((best, top))
        best = both.topk(min(k, len(both)), 0).values
    assert best is not None
    return torch.cat(rows_of), best.mean(0)


def similarities(left: Tensor, right: Tensor, measure: str = "squared", *, csls: int = 0) -> Tensor:
    """All scores of a small problem, for a picture or a test. (Q, D), (K, D) -> (Q, K), higher is nearer

    1 - squared distance, cosine or 1 - city-block distance of rows of length 1; re-scaled by CSLS with `csls` > 0.
    """
    scores = _scores(left, right, measure)
    whole = scores.block(slice(0, len(left)))
    if not csls:
        return whole
    by_row, by_column = _crowding(_Blocks(scores, len(left), 0), csls)
    return 2 * whole - by_row[:, None] - by_column[None, :]


def rank_pairs(
    left: Tensor, right: Tensor, *, measure: str = "squared", csls: int = 3, block: int = BLOCK, keep: int = KEEP
) -> tuple[Ranking, Ranking]:
    """Rank of row i's partner, row i of the other side, from left to right and from right to left.

    left, right (P, D); `csls` is its k, 0 leaves the scores as they are. Memory: `keep` bytes and a few blocks.
    Raises FusionError when shapes differ, a number isn't finite, or the measure is unknown.
    """
    if left.shape != right.shape:
        raise FusionError(
            f"{len(left)} left rows and {len(right)} right ones are no pairs; give one row of each a pair."
        )
    scores = _scores(left, right, measure)
    blocks, own = _Blocks(scores, block, keep if csls else 0), scores.own()
    by_row = by_column = torch.zeros_like(own)
    if csls:
        by_row, by_column = (mean / 2 for mean in _crowding(blocks, csls))
    margin = (1e-12 if own.dtype == torch.float64 else 1e-6) * (1 + own.abs())
    ahead, above = (torch.zeros(2, len(own), dtype=torch.long, device=own.device) for _ in range(2))
    for rows, scored in blocks:  # the constant of a row says nothing among its candidates, so only the other one counts
        count = _Counter(scored)
        goal = (own - by_column)[rows, None]
        ahead[0, rows] = count(by_column, goal - margin[rows, None], 1)
        above[0, rows] = count(by_column, goal + margin[rows, None], 1)
        goal, taken_off = (own - by_row)[None, :], by_row[rows, None]
        ahead[1] += count(taken_off, goal - margin, 0)
        above[1] += count(taken_off, goal + margin, 0)
    tied = (ahead - above > 1).sum(1).tolist()  # the partner itself is one
    ranks = ahead.clamp(min=1)
    return Ranking(ranks[0], tied[0], len(own)), Ranking(ranks[1], tied[1], len(own))


class _Counter:
    """Counts of scores of one block that reach a limit, in buffers that are made once."""

    def __init__(self, scored: Tensor) -> None:
        self.scored, self.shifted, self.reached = scored, torch.empty_like(scored), torch.empty_like(scored)
        self.by: Tensor | None = None

    def __call__(self, taken_off: Tensor, limit: Tensor, dim: int) -> Tensor:
        if self.by is not taken_off:
            torch.sub(self.scored, taken_off, out=self.shifted)
            self.by = taken_off
        torch.ge(self.shifted, limit, out=self.reached)
        return self.reached.sum(dim).long()  # whole numbers up to 2^24 are exact in float32


def top_candidates(
    left: Tensor, right: Tensor, k: int, *, measure: str = "squared", csls: int = 0, block: int = BLOCK,
    keep: int = KEEP,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The k best candidates of each query, best first. (Q, D), (K, D) -> indices and scores (Q, k)

    Raises FusionError as `rank_pairs` does.
    """
    scores = _scores(left, right, measure)
    blocks = _Blocks(scores, block, keep if csls else 0)
    rescale = _rescaling(blocks, csls)
    found = [rescale(rows, scored).topk(min(k, len(right)), 1) for rows, scored in blocks]
    return torch.cat([one.indices for one in found]), torch.cat([one.values for one in found])


def _rescaling(blocks: _Blocks, csls: int) -> Callable[[slice, Tensor], Tensor]:
    if not csls:
        return lambda _, scored: scored
    by_row, by_column = _crowding(blocks, csls)
    return lambda rows, scored: 2 * scored - by_row[rows, None] - by_column


def mutual(
    left: Tensor, right: Tensor, *, measure: str = "squared", csls: int = 0, block: int = BLOCK, keep: int = KEEP
) -> Tensor:
    """Pairs that are each other's nearest, which iterative training takes as new links. -> (pairs, 2) int

    (Q, D), (K, D); of equal scores the first counts. Raises FusionError as `rank_pairs` does.
    """
    scores = _scores(left, right, measure)
    blocks = _Blocks(scores, block, keep if csls else 0)
    rescale = _rescaling(blocks, csls)
    forth, best, back = [], None, None
    for rows, scored in blocks:
        shown = rescale(rows, scored)
        forth.append(shown.argmax(1))
        top, place = shown.max(0)
        if best is None or back is None:
            best, back = top, place + rows.start
        else:
            better = top > best
            best, back = torch.where(better, top, best), torch.where(better, place + rows.start, back)
    assert back is not None
    chosen = torch.cat(forth)  # (Q,)
    own = torch.arange(len(left), device=left.device)
    agreed = own[back[chosen] == own]
    return torch.stack((agreed, chosen[agreed]), 1)


def filtered_ranks(scores: Tensor, truth: Tensor, rows: Tensor, known: Tensor, *, tolerance: float = 1e-6) -> Tensor:
    """Rank of each query's answer among all candidates but its other known answers, by counting.

    rank = 1 + the number of better candidates + half of the number of equal ones; equal are scores within `tolerance`
    of each other, relative to the answer's. So a table of equal scores gives (N + 1) / 2, and never 1.
    scores (B, N), truth (B,) int; rows, known (K,) int: candidate known[k] is an answer of query rows[k]; the truth may
    be among them, each pair comes once -> (B,) float64, from 1
    """
    own = scores.gather(1, truth[:, None])  # (B, 1)
    margin = tolerance * own.abs()
    over, under = own + margin, own - margin
    reached = torch.empty_like(scores)
    above = torch.gt(scores, over, out=reached).sum(1).double()  # whole numbers up to 2^24 are exact in float32
    level = torch.ge(scores, under, out=reached).sum(1).double()
    other = known != truth[rows]
    rows, found = rows[other], scores[rows[other], known[other]]
    for counted, limit, strict in ((above, over, True), (level, under, False)):
        hit = found > limit[rows, 0] if strict else found >= limit[rows, 0]
        counted.index_add_(0, rows[hit], counted.new_full((), -1.0).expand(int(hit.sum())))
    return above + (level - above - 1) / 2 + 1
