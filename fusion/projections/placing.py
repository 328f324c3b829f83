"""Placing vectors that a map never saw, without fitting it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import matrix, nearest
from fusion.projections.layouts import AMONG, SETTINGS, among_neighbours
from fusion.projections.pca import onto
from fusion.projections.vectors import coded
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.neighbours import Array, Vectors
    from fusion.projections.store import Projection


def place(
    projection: Projection,
    vectors: Vectors,
    new: Vectors,
    *,
    labels: Sequence[str] | Array | None = None,
    new_labels: Sequence[str] | None = None,
) -> tuple[Array, Array]:
    """Where new vectors (K, D) lie on a map of `vectors` (N, D), and whether each is far from everything on it.

    By the axes for PCA; for UMAP and t-SNE the mean of the points of the 15 nearest fitted vectors by inverse distance,
    which doesn't depend on what else is placed. Far: its mean distance to those 15 is beyond that of every sampled
    fitted vector of its group. `labels` are those the map was made with, `new_labels` those of the new vectors.
    -> points (K, A) float32 and far (K,) bool. Raises FusionError when widths, counts or labels don't fit the map.
    """
    X, Y = (matrix(a, name).astype(np.float32, copy=False) for a, name in ((vectors, "vectors"), (new, "new vectors")))
    if len(X) != len(projection.points) or X.shape[1] != Y.shape[1] or X.shape[1] != projection.means.shape[1]:
        raise FusionError(f"The map is of {len(projection.points)} vectors of {projection.means.shape[1]} numbers; "
                          f"{X.shape} and {Y.shape} came. Use the vectors that it was made of.")  # fmt: skip
    names, code = coded(labels, len(X))
    groups = [""] * len(Y) if new_labels is None else [str(label) for label in new_labels]
    if names != projection.groups or len(groups) != len(Y) or not set(groups) <= set(names):
        raise FusionError(f"The map knows the groups {', '.join(map(repr, projection.groups))}; "
                          "give each vector, old and new, one of them.")  # fmt: skip
    here = np.array([names.index(group) for group in groups])  # (K,)
    fitted = X[projection.fitted]
    if projection.centred:
        fitted = fitted - projection.means[code[projection.fitted]]
        Y = Y - projection.means[here]
    if projection.method in SETTINGS:
        points, distance = among_neighbours(Y, fitted, projection.points[projection.fitted])
    else:
        points, distance = onto(Y, projection.axes, projection.origin), nearest(Y, fitted, AMONG)[1].mean(axis=1)
    return points, distance > projection.reach[here]
