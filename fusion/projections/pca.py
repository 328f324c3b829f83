"""Principal components: the two or three directions in which vectors differ most. Source: Hotelling 1933."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import blocks

if TYPE_CHECKING:
    from fusion.neighbours import Array

_ROWS = 2048  # summed in float32; the sums of these are added in float64


def principal_axes(vectors: Array, dims: int = 2) -> tuple[Array, Array, Array]:
    """The main axes of rows x (N, D): eigenvectors of (x - mean)'(x - mean), largest first.

    -> axes (dims, D) float32, each with its largest number positive so that a map never flips; mean (D,) float64; and
    the share of all variance that each axis holds, (dims,) in [0, 1]. Axes beyond the rank of x are zero.
    """
    rows, width = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    if rows < width:  # fewer rows than numbers: N x N is the smaller matrix with the same eigenvalues
        centred = vectors.astype(np.float64) - mean
        values, left = np.linalg.eigh(centred @ centred.T)
        axes = (centred.T @ left[:, -dims:]).T[::-1] if rows > 1 else np.zeros((1, width))
    else:
        values, right = np.linalg.eigh(_scatter(vectors, mean.astype(np.float32)))
        axes = right[:, -dims:].T[::-1]
    spread = np.maximum(values[::-1], 0.0)
    total = spread.sum()
    wide = spread[:dims] > total * 1e-12
    length = np.linalg.norm(axes, axis=1)
    axes = np.where((wide[: len(axes)] & (length > 0))[:, None], axes / np.where(length > 0, length, 1.0)[:, None], 0.0)
    axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)[:, None]
    padded, share = np.zeros((dims, width), dtype=np.float32), np.zeros(dims)
    padded[: len(axes)] = axes
    share[: len(wide)] = np.where(wide, spread[:dims] / (total if total > 0 else 1.0), 0.0)
    return padded, mean, share


def _scatter(vectors: Array, mean: Array) -> Array:
    """Sum of (x - mean)(x - mean)', less what the rounding of the mean adds. (N, D), (D,) -> (D, D) float64"""
    total = np.zeros((vectors.shape[1], vectors.shape[1]))
    left = np.zeros(vectors.shape[1])
    for part in blocks(len(vectors), 1, _ROWS):
        piece = (vectors[part] - mean).astype(np.float32, copy=False)
        total += piece.T @ piece
        left += piece.sum(axis=0, dtype=np.float64)
    return total - np.outer(left, left) / len(vectors)


def onto(vectors: Array, axes: Array, mean: Array) -> Array:
    """Where rows fall on the axes. (N, D), (A, D), (D,) -> (N, A) float32"""
    return ((vectors - mean.astype(np.float32)) @ axes.T).astype(np.float32)
