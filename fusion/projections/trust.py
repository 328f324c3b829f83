"""How far to trust a map: which neighbours it invents, which it loses, and whether partners still find each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import blocks, matrix
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.neighbours import Array, Vectors


@dataclass(frozen=True)
class Quality:
    """Figures of one map, on a sample of its points; neighbours are those within the sample."""

    trustworthiness: float  # [0, 1], 1: near on the map is near in truth
    continuity: float  # [0, 1], 1: near in truth is near on the map
    overlap: float  # [0, 1] share of the 10 nearest that are the same
    partner_first: float | None  # [0, 1] share of pairs whose partner is the nearest of all partners, in the vectors
    partner_first_map: float | None  # the same on the map
    points: int  # how many points were compared
    pairs: int  # how many pairs, each a query and a candidate
    k: int
    seed: int


def quality(
    vectors: Vectors,
    points: Array,
    *,
    k: int = 15,
    sample: int = 2000,
    seed: int = 0,
    pairs: Array | None = None,
) -> Quality:
    """Trustworthiness T and continuity at k, overlap of the nearest 10, and how often a partner comes first.

    vectors (N, D), as they were mapped, and points (N, 2), by straight distance.
    T = 1 - 2 / (n k (2 n - 3 k - 1)) * sum over i, and j near i on the map but not in truth, of (rank of j - k);
    continuity exchanges the roles. A rank is 1 + the number of points strictly nearer. pairs (P, 2) int are rows of
    partners: whole pairs are sampled, each first row looks for its own among the second rows, ties against it.
    Raises FusionError below four points. Source: Venna and Kaski 2001, ICANN.
    """
    X, Y = matrix(vectors).astype(np.float64), matrix(points, "points").astype(np.float64)
    if len(X) != len(Y) or len(X) < 4:
        raise FusionError(f"{len(X)} vectors and {len(Y)} points came; quality compares as many of both, at least 4.")
    random = np.random.default_rng(seed)
    some = None if pairs is None else _some(np.asarray(pairs, dtype=np.int64).reshape(-1, 2), sample // 2, random)
    rows = _some(np.arange(len(X)), sample, random) if some is None or len(some) < 2 else np.unique(some)
    n = len(rows)
    k = min(k, max(1, (n - 1) // 2))  # T is only defined below n / 2
    lost, invented, shared = _compare(X[rows], Y[rows], k, min(10, n - 1))
    scale = 2.0 / (n * k * (2 * n - 3 * k - 1))
    first = [None, None] if some is None or len(some) < 2 else [_first(A[some[:, 0]], A[some[:, 1]]) for A in (X, Y)]
    count = 0 if some is None else len(some)
    return Quality(1.0 - scale * invented, 1.0 - scale * lost, shared, first[0], first[1], n, count, k, seed)


def _some(rows: Array, size: int, random: np.random.Generator) -> Array:
    return rows if len(rows) <= size else rows[np.sort(random.choice(len(rows), size, replace=False))]


def _squares(A: Array, part: slice) -> Array:
    """Squared distances of some rows to all. (n, D) -> (b, n) float64; a row is infinitely far from itself"""
    length = np.einsum("nd,nd->n", A, A)
    apart = length[part, None] + length - 2.0 * (A[part] @ A.T)
    apart[np.arange(len(apart)), np.arange(part.start, part.stop)] = np.inf
    return apart


def _compare(X: Array, Y: Array, k: int, few: int) -> tuple[float, float, float]:
    """Sum of (rank - k) over neighbours lost and over neighbours invented, and the overlap of the nearest `few`."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    lost = invented = shared = 0.0
    for part in blocks(len(X), len(X), 128):
        near = [_squares(A, part) for A in (X, Y)]  # two of (b, n)
        order = [np.argsort(apart, axis=1, kind="stable")[:, : max(k, few)] for apart in near]
        lost += _beyond(near[1], order[0][:, :k], k)
        invented += _beyond(near[0], order[1][:, :k], k)
        shared += float((order[0][:, :few, None] == order[1][:, None, :few]).sum())
    return lost, invented, shared / (few * len(X))


def _beyond(apart: Array, neighbours: Array, k: int) -> float:
    """Sum over the given neighbours of how far beyond k their rank by these distances is. (b, n), (b, k)"""
    own = np.take_along_axis(apart, neighbours, axis=1)  # (b, k)
    total = 0.0
    for column in range(own.shape[1]):  # k passes over the block hold less than one pass over (b, k, n)
        rank = 1 + (apart < own[:, column : column + 1]).sum(axis=1)
        total += float(np.maximum(rank - k, 0).sum())
    return total


def _first(queries: Array, keys: Array) -> float:
    """Share of queries that have no other key as near as their own. (P, D), (P, D) -> [0, 1]"""
    hits = 0
    for part in blocks(len(queries), len(keys), 512):
        own = np.einsum("pd,pd->p", queries[part] - keys[part], queries[part] - keys[part])
        length = np.einsum("pd,pd->p", keys, keys)
        apart = np.einsum("pd,pd->p", queries[part], queries[part])[:, None] + length - 2.0 * queries[part] @ keys.T
        apart[np.arange(len(own)), np.arange(part.start, part.stop)] = np.inf
        slack = 1e-12 * (1.0 + length.max())
        hits += int((apart.min(axis=1) > own + slack).sum())
    return hits / len(queries)
