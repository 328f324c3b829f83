"""Exact nearest neighbours in blocks: never N x N in memory, the same answer whatever the block and the row order.

A block of scores is taken in float32, which is fast. What float32 could have got wrong lies within a margin that
follows from D, so only scores within that margin are taken again in float64. Scores that float64 can't tell apart
either are equal, and equal scores go by index here and against the model in `fusion.metrics.retrieval`.

Source: the error of a sum of D products, |fl(x.y) - x.y| <= D u |x| |y| with u the unit roundoff (Higham, Accuracy and
Stability of Numerical Algorithms, ch. 3).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal

import numpy as np
from torch import Tensor

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = np.ndarray
Vectors = np.ndarray | Tensor
BLOCK = 16_000_000  # scores held at once, 64 MB in float32
_PAIRS = 4_000_000  # numbers gathered at once when pairs are taken again, 32 MB in float64


def matrix(vectors: Vectors, what: str = "vectors") -> Array:
    """Vectors as a float array (N, D) on the CPU, float64 when they came so and float32 otherwise.

    Raises FusionError when there are not N rows of D finite numbers.
    """
    if isinstance(vectors, Tensor):
        vectors = vectors.detach().cpu()
        vectors = (vectors if vectors.dtype.itemsize == 8 else vectors.float()).numpy()
    array = np.asarray(vectors)
    array = np.ascontiguousarray(array, dtype=np.float64 if array.dtype == np.float64 else np.float32)
    if array.ndim != 2 or array.size == 0:
        raise FusionError(f"The {what} have shape {array.shape}; give N rows of D numbers, at least one of each.")
    if not np.isfinite(array).all():
        rows = int((~np.isfinite(array).all(axis=1)).sum())
        raise FusionError(f"{rows} of {len(array)} rows of the {what} hold NaN or infinity; leave them out first.")
    return array


def unit(vectors: Vectors, what: str = "vectors") -> Array:
    """Each row divided by its length. (N, D) -> (N, D) float64; a row of zeros stays zero."""
    rows = matrix(vectors, what).astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)  # (N, 1)
    rows /= np.where(length > 0, length, 1.0)
    return rows


def squares(vectors: Array) -> Array:
    """Squared length of each row, summed in float64. (N, D) -> (N,)"""
    return np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64, casting="same_kind")


def blocks(rows: int, columns: int, chunk: int | None = None) -> Iterator[slice]:
    """Slices that cover `rows`, each of at most `chunk` rows or of BLOCK scores against `columns`."""
    step = max(1, chunk if chunk is not None else BLOCK // max(columns, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def together(queries: Vectors, keys: Vectors) -> tuple[Array, Array]:
    """Both as float arrays. Raises FusionError when they differ in width D."""
    Q, K = matrix(queries, "queries"), matrix(keys, "keys")
    if Q.shape[1] != K.shape[1]:
        raise FusionError(f"Queries have {Q.shape[1]} numbers each and keys {K.shape[1]}; they are of two spaces.")
    return Q, K


class Scores:
    """How near queries (Q, D) and keys (K, D) are, higher is nearer, in blocks and pair by pair.

    "cosine": q.k / |q| |k|, 0 for a row of zeros. "distance": q.k - |k|^2 / 2 around the middle of the keys, which
    falls as the straight distance rises. `margin` (Q,) is what float32 may be off by, `tolerance` (Q,) float64.
    """

    def __init__(self, queries: Array, keys: Array, kind: Literal["cosine", "distance"]) -> None:
        self.queries, self.keys, self.kind = queries, keys, kind
        self.middle = np.zeros(keys.shape[1], dtype=np.float32)
        if kind == "distance":  # far from zero, squares would swallow the differences
            self.middle = keys.mean(axis=0, dtype=np.float64).astype(np.float32)
            self.scale_q, self.scale_k = np.ones(len(queries)), np.ones(len(keys))
            self.fast = tuple((A - self.middle).astype(np.float32, copy=False) for A in (queries, keys))
            lengths = [np.sqrt(squares(A)) for A in self.fast]
            self.bias = (-0.5 * lengths[1] ** 2).astype(np.float32)  # (K,)
            scale = lengths[0] * lengths[1].max() + 0.5 * lengths[1].max() ** 2
        else:
            self.scale_q, self.scale_k = (_inverse(np.sqrt(squares(A))) for A in (queries, keys))
            pairs = ((queries, self.scale_q), (keys, self.scale_k))
            self.fast = tuple((A * by.astype(A.dtype)[:, None]).astype(np.float32, copy=False) for A, by in pairs)
            self.bias = np.zeros(len(keys), dtype=np.float32)
            scale = np.ones(len(queries))
        terms = keys.shape[1] + 8  # D products, rounding both factors twice, the bias
        self.margin = 2 * terms * float(np.finfo(np.float32).eps) * scale
        self.tolerance = np.maximum(terms * float(np.finfo(np.float64).eps) * scale, 1e-300)

    def block(self, part: slice) -> Array:
        """Scores of some queries against all keys, float32. -> (q, K)"""
        scores = self.fast[0][part] @ self.fast[1].T
        if self.kind == "distance":
            scores += self.bias
        return scores

    def pairs(self, rows: Array, columns: Array) -> Array:
        """Scores of chosen pairs in float64. rows (P,), columns (P,) -> (P,)"""
        scores = np.empty(len(rows))
        for part in blocks(len(rows), 1, max(1, _PAIRS // self.keys.shape[1])):
            i, j = rows[part], columns[part]
            q, k = (A.astype(np.float64) - self.middle for A in (self.queries[i], self.keys[j]))
            scores[part] = np.einsum("pd,pd->p", q, k) * self.scale_q[i] * self.scale_k[j]
            if self.kind == "distance":
                scores[part] -= 0.5 * np.einsum("pd,pd->p", k, k)
        return scores

    @functools.cached_property
    def _wide(self) -> tuple[Array, Array]:
        """The keys as float64, ready to be multiplied, and what is taken from their scores. -> (K, D), (K,)"""
        K = (self.keys.astype(np.float64) - self.middle) * self.scale_k[:, None]
        return K, 0.5 * squares(K) if self.kind == "distance" else np.zeros(len(K))

    def exact(self, part: slice, rows: Array, columns: Array) -> Array:
        """`pairs` for rows (P,) counted from the start of `part`, by whole blocks when P is a good share of them."""
        if len(rows) * 8 < (part.stop - part.start) * len(self.keys):
            return self.pairs(rows + part.start, columns)
        scores = np.empty(len(rows))  # many equal vectors: one product of matrices is cheaper than many pairs
        for inner in blocks(part.stop - part.start, len(self.keys) * 2):
            low, high = np.searchsorted(rows, (inner.start, inner.stop))
            few = slice(part.start + inner.start, part.start + inner.stop)
            keys, less = self._wide
            Q = (self.queries[few].astype(np.float64) - self.middle) * self.scale_q[few, None]
            whole = Q @ keys.T - less  # (q, K)
            scores[low:high] = whole[rows[low:high] - inner.start, columns[low:high]]
        return scores


def _inverse(lengths: Array) -> Array:
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def top(scores: Scores, k: int, skip: Array | None = None, chunk: int | None = None) -> tuple[Array, Array]:
    """The k keys of highest score for each query, best first; equal scores go by index.

    skip (Q,) int names one key for each query that is left out (a point among its own neighbours).
    -> (Q, k) int64 indices and (Q, k) float64 scores; k is cut to the number of keys that are left.
    """
    count, keys = len(scores.queries), len(scores.keys)
    k = min(k, keys - (skip is not None))
    found, best = np.empty((count, k), dtype=np.int64), np.empty((count, k))
    if k < 1:
        return found, best
    for part in blocks(count, keys, chunk):
        block = scores.block(part)
        here = np.arange(part.stop - part.start)
        if skip is not None:
            block[here, skip[part]] = -np.inf
        kth = np.partition(block, keys - k, axis=1)[:, keys - k]  # (q,)
        rows, columns = np.nonzero(block >= (kth - 2 * scores.margin[part])[:, None])
        if skip is not None:
            kept = columns != skip[part][rows]
            rows, columns = rows[kept], columns[kept]
        values = scores.exact(part, rows, columns)
        level = np.rint(values / (2 * scores.tolerance[part][rows]))  # equal but for rounding: equal
        order = np.lexsort((columns, -level, rows))
        first = np.searchsorted(rows, here)  # rows stay sorted
        wanted = order[first[:, None] + np.arange(k)]  # (q, k)
        found[part], best[part] = columns[wanted], values[wanted]
    return found, best


def nearest(
    queries: Vectors, keys: Vectors, k: int, *, skip: Array | None = None, chunk: int | None = None
) -> tuple[Array, Array]:
    """The k keys nearest to each query by straight distance. -> (Q, k) int64, (Q, k) float64 distances, nearest first.

    skip (Q,) int: one key for each query that is left out. Equal distances go by index.
    Raises FusionError when the widths differ or a number isn't finite.
    """
    Q, K = together(queries, keys)
    index, _ = top(Scores(Q, K, "distance"), k, skip, chunk)
    distance = np.empty(index.shape)
    for part in blocks(len(Q), 1, max(1, _PAIRS // (K.shape[1] * max(index.shape[1], 1)))):
        apart = Q[part].astype(np.float64)[:, None, :] - K[index[part]]  # (q, k, D)
        distance[part] = np.sqrt(np.einsum("qkd,qkd->qk", apart, apart))
    return index, distance
