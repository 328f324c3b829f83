"""How far points moved between two spaces: turned, mirrored and scaled to fit each other first, and only then compared.

Two trainings give axes that mean nothing to each other, so distances are taken after the best rotation. N samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion.metrics.geometry import procrustes

Array = np.ndarray
POINTS = 2_000  # of a picture


@dataclass(frozen=True, eq=False)
class Moved:
    """Two sets of points in one plane, and how far each point moved in the whole space."""

    space: str  # name of the embedding
    ids: tuple[str, ...]  # N
    groups: tuple[str, ...]  # N, what colours them; "" without
    a: Array  # (N, 2)
    b: Array  # (N, 2) after the best rotation
    far: Array  # (N,) distance, in units of the mean distance from the centre in A
    disparity: float  # what stays apart of all, 0 (a rotated copy) to 2
    explained: float  # share of A's variance that the plane shows


def fitted(x: Array, y: Array) -> tuple[Array, Array]:
    """Both centred and brought to one mean size, y turned onto x. x (N, D), y (N, E) -> (N, max(D, E)) each

    The narrower one gets empty columns. Source: Schoenemann 1966.
    """
    width = max(x.shape[1], y.shape[1])
    made = []
    for side in (x, y):
        wide = np.zeros((len(side), width))
        wide[:, : side.shape[1]] = side
        wide -= wide.mean(axis=0)
        size = np.sqrt((wide**2).sum(axis=1).mean())
        made.append(wide / size if size > 0 else wide)
    u, _, v = np.linalg.svd(made[1].T @ made[0])
    return made[0], made[1] @ (u @ v)


def moved(space: str, ids: Array, groups: Array, x: Array, y: Array) -> Moved | None:
    """Two embeddings of the same samples, row by row; None with fewer than three, or where all lie on one point.

    x (N, D), y (N, E). Samples that have none (rows of zeros) are left out.
    """
    there = (np.abs(x).sum(axis=1) > 0) & (np.abs(y).sum(axis=1) > 0)
    ids, groups, x, y = ids[there], groups[there], x[there].astype(np.float64), y[there].astype(np.float64)
    if len(ids) < 3:
        return None
    first, second = fitted(x, y)
    left = procrustes(first, second)
    if not np.isfinite(left):
        return None
    _, values, axes = np.linalg.svd(first, full_matrices=False)
    plane = axes[:2].T  # (D, 2)
    shown = float((values[:2] ** 2).sum() / (values**2).sum())
    return Moved(
        space, tuple(map(str, ids)), tuple(map(str, groups)), (first @ plane).astype(np.float32),
        (second @ plane).astype(np.float32), np.linalg.norm(second - first, axis=1).astype(np.float32), left, shown,
    )  # fmt: skip
