"""Does one half of a pair find the other: rank of the partner, recall at k, reciprocal rank, hubs.

Scores are cosines: rows are brought to length one first. The number of candidates changes every figure here, so each
result carries it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import Scores, blocks, matrix, together, top
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.neighbours import Array, Vectors


@dataclass(frozen=True)
class Retrieval:
    """How well queries find their own partners among candidates."""

    recall: dict[int, float]  # share of queries with their partner among the first k, by k
    mrr: float  # mean of 1 / rank
    median: float  # median rank, 1 is best
    queries: int
    candidates: tuple[int, int]  # fewest and most candidates that a query chose from
    ranks: Array  # (N,) int64


@dataclass(frozen=True)
class Hubness:
    """How unevenly keys turn up in lists of the nearest k, beside what chance alone would give."""

    counts: Array  # (K,) int64, in how many lists each key is
    skewness: float  # third standardised moment of the counts, 0 is even
    never: float  # share of keys in no list
    chance_skewness: float  # the same for keys drawn at random
    chance_never: float
    k: int


def ranks(
    queries: Vectors,
    keys: Vectors,
    *,
    partner: Array | None = None,
    groups: Array | None = None,
    chunk: int | None = None,
) -> Array:
    """Rank of each query's own partner by cosine: 1 + the number of other keys that score as high or higher.

    queries (N, D), keys (K, D); partner (N,) int is the row of each query's key, row i for query i by default.
    groups (N,): a query chooses among the partners of its own group only (the folds of a protocol, one category).
    -> (N,) int64, 1 is best; ties count against the model, so equal vectors everywhere give the last rank.
    Raises FusionError when widths or lengths disagree or a number isn't finite. Source: standard.
    """
    Q, K = together(queries, keys)
    partner = _partners(partner, len(Q), len(K))
    result = np.empty(len(Q), dtype=np.int64)
    for rows in _members(groups, len(Q)):
        own = partner[rows]
        if groups is None:
            result[rows] = _ranks(Scores(Q, K, "cosine"), own, chunk)
        else:
            candidates, place = np.unique(own, return_inverse=True)
            result[rows] = _ranks(Scores(Q[rows], K[candidates], "cosine"), place, chunk)
    return result


def _partners(partner: Array | None, queries: int, keys: int) -> Array:
    if partner is None:
        if queries != keys:
            raise FusionError(f"There are {queries} queries and {keys} keys; say which key is each query's partner.")
        return np.arange(queries)
    partner = np.asarray(partner, dtype=np.int64)
    if partner.shape != (queries,) or partner.min(initial=0) < 0 or partner.max(initial=0) >= keys:
        raise FusionError(f"Partners need one row number below {keys} for each of the {queries} queries.")
    return partner


def _members(groups: Array | None, rows: int) -> list[Array]:
    """Row numbers of each group, in order of the groups' names."""
    if groups is None:
        return [np.arange(rows)]
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    if len(code) != rows:
        raise FusionError(f"{len(code)} group names came for {rows} queries; give one for each.")
    order = np.argsort(code, kind="stable")
    return np.split(order, np.cumsum(np.bincount(code))[:-1])


def _ranks(scores: Scores, partner: Array, chunk: int | None) -> Array:
    result = np.empty(len(partner), dtype=np.int64)
    own = scores.pairs(np.arange(len(partner)), partner)  # (N,) float64
    for part in blocks(len(partner), len(scores.keys), chunk):
        block, middle = scores.block(part), own[part]
        block[np.arange(len(middle)), partner[part]] = -np.inf  # a partner doesn't compete with itself
        above = block > np.nextafter((middle + scores.margin[part]).astype(np.float32), np.float32(np.inf))[:, None]
        close = block >= np.nextafter((middle - scores.margin[part]).astype(np.float32), -np.float32(np.inf))[:, None]
        close &= ~above
        rows, columns = np.nonzero(close)
        ahead = scores.exact(part, rows, columns) >= (middle - 2 * scores.tolerance[part])[rows]
        result[part] = 1 + above.sum(axis=1) + np.bincount(rows[ahead], minlength=len(middle))
    return result


def recall_at(ranks: Array, ks: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """R@k: share of queries with their partner among the first k, in [0, 1]. (N,) -> {k: share}. Source: standard."""
    return {k: float(np.mean(_some(ranks) <= k)) for k in ks}


def mrr(ranks: Array) -> float:
    """Mean reciprocal rank, mean of 1 / rank, in (0, 1]. ranks (N,). Source: standard."""
    return float(np.mean(1.0 / _some(ranks)))


def median_rank(ranks: Array) -> float:
    """Median rank, 1 is best. ranks (N,). Source: standard."""
    return float(np.median(_some(ranks)))


def _some(ranks: Array) -> Array:
    if len(ranks) == 0:
        raise FusionError("There is no query to take a mean over; choose at least one pair.")
    return np.asarray(ranks)


def retrieve(
    queries: Vectors, keys: Vectors, *, ks: Sequence[int] = (1, 5, 10), groups: Array | None = None
) -> Retrieval:
    """Every figure of one direction; row i of the queries belongs to row i of the keys. See `ranks`."""
    place = ranks(queries, keys, groups=groups)
    sizes = [len(rows) for rows in _members(groups, len(place))]
    return Retrieval(recall_at(place, ks), mrr(place), median_rank(place), len(place), (min(sizes), max(sizes)), place)


def both_directions(
    x: Vectors, y: Vectors, *, ks: Sequence[int] = (1, 5, 10), groups: Array | None = None
) -> tuple[Retrieval, Retrieval]:
    """`retrieve` from x (N, D) to y (N, D), and from y to x."""
    return retrieve(x, y, ks=ks, groups=groups), retrieve(y, x, ks=ks, groups=groups)


def top_k(query: Vectors, keys: Vectors, k: int, chunk: int | None = None) -> tuple[Array, Array]:
    """The k keys (K, D) of highest cosine to a query (D,), or to each of (Q, D), best first, equal ones by index.

    -> (k,) or (Q, k) int64 indices and float64 cosines. Raises FusionError as `ranks` does.
    """
    single = query.ndim == 1
    Q, K = together(query[None] if single else query, keys)
    index, score = top(Scores(Q, K, "cosine"), k, chunk=chunk)
    return (index[0], score[0]) if single else (index, score)


def hubness(queries: Vectors, keys: Vectors, k: int = 10) -> Hubness:
    """How often each key is among the k nearest of a query: N_k(j), its skewness, and the share of keys never found.

    The chance figures are those of a binomial count with p = k / K for each query. High dimensions make hubs of
    themselves: read the two together. Source: Radovanovic, Nanopoulos, Ivanovic 2010, JMLR 11.
    """
    Q, K = matrix(queries, "queries"), matrix(keys, "keys")
    index, _ = top_k(Q, K, k)
    counts = np.bincount(index.ravel(), minlength=len(K))  # (K,)
    spread = counts.std()
    skewness = float(np.mean(((counts - counts.mean()) / spread) ** 3)) if spread > 0 else 0.0
    p = index.shape[1] / len(K)
    chance = (1 - 2 * p) / np.sqrt(len(Q) * p * (1 - p)) if p < 1 else 0.0
    never = float(np.mean(counts == 0))
    return Hubness(counts, skewness, never, float(chance), float((1 - p) ** len(Q)), index.shape[1])
