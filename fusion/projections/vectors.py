"""What is done to vectors before they are mapped: names of their groups as numbers, and centring by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import matrix
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.neighbours import Array, Vectors


def coded(labels: Sequence[str] | Array | None, rows: int) -> tuple[tuple[str, ...], Array]:
    """Different labels in order, and the place of each row's label among them. -> names (C,), (rows,) int64

    Without labels all rows are in one group "". Raises FusionError when there isn't one label a row.
    """
    if labels is None:
        return ("",), np.zeros(rows, dtype=np.int64)
    if len(labels) != rows:
        raise FusionError(f"{len(labels)} labels came for {rows} vectors; give one for each.")
    names, code = np.unique(np.asarray(labels).astype(str), return_inverse=True)
    return tuple(str(name) for name in names), code.astype(np.int64)


def group_means(vectors: Array, code: Array, groups: int) -> Array:
    """Mean of each group's rows, summed in float64. (N, D), (N,) -> (C, D) float32"""
    means = np.empty((groups, vectors.shape[1]), dtype=np.float32)
    for group in range(groups):
        means[group] = vectors[code == group].mean(axis=0, dtype=np.float64)
    return means


def centre(vectors: Vectors, labels: Sequence[str] | Array) -> Array:
    """Each row less the mean of its label's rows, which takes away the modality gap. (N, D) -> (N, D) float32

    Raises FusionError when there isn't one label a row.
    """
    X = matrix(vectors).astype(np.float32, copy=False)
    names, code = coded(labels, len(X))
    return X - group_means(X, code, len(names))[code]
