"""UMAP and t-SNE: maps on which near vectors stay near. Imported only when asked for; slow, so see `background`.

Sources: McInnes, Healy, Melville 2018, arXiv 1802.03426, by the package umap-learn; van der Maaten, Hinton 2008 with
the Barnes-Hut sums of van der Maaten 2014, by scikit-learn.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.neighbours import blocks, nearest
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.neighbours import Array

AMONG = 15  # neighbours that a placed point is the mean of
LEAST = 10  # rows below which neighbourhoods mean nothing


@dataclass(frozen=True)
class UmapSettings:
    """How UMAP is fitted; the defaults are those of its authors."""

    neighbours: int = 15  # how many near vectors each one keeps
    min_dist: float = 0.1  # how close points may lie on the map, in map units
    fitted: int = 10_000  # rows that are fitted at most; of more a seeded sample, and the rest are placed


@dataclass(frozen=True)
class TsneSettings:
    """How t-SNE is fitted; the defaults are those of scikit-learn."""

    perplexity: float = 30.0  # about how many near vectors each one keeps
    fitted: int = 5_000  # rows that are fitted at most: its cost a row is several times that of UMAP


Settings = UmapSettings | TsneSettings
SETTINGS: dict[str, type[Settings]] = {"umap": UmapSettings, "tsne": TsneSettings}


def fit_layout(vectors: Array, settings: Settings, seed: int, dims: int = 2) -> tuple[Array, Array]:
    """A map of rows (N, D): at most `settings.fitted` of them fitted, the rest placed among those.

    One thread and a seed: bit for bit the same on one machine, not across machines. dims: 2 or 3.
    -> points (N, dims) float32 in map units and the fitted rows (F,) int64, ascending.
    Raises FusionError below ten rows.
    """
    if len(vectors) < LEAST:
        raise FusionError(
            f"A map of neighbours needs at least {LEAST} vectors and {len(vectors)} came; look at the PCA map instead."
        )
    fitted = np.arange(len(vectors))
    if len(vectors) > settings.fitted:
        fitted = np.sort(np.random.default_rng(seed).choice(len(vectors), settings.fitted, replace=False))
    fit: Callable[..., Array] = _umap if isinstance(settings, UmapSettings) else _tsne
    found = fit(vectors[fitted], settings, seed, dims)
    points = np.empty((len(vectors), dims), dtype=np.float32)
    points[fitted] = found
    rest = np.setdiff1d(np.arange(len(vectors)), fitted)
    points[rest] = among_neighbours(vectors[rest], vectors[fitted], found)[0]
    return points, fitted


def _umap(X: Array, settings: UmapSettings, seed: int, dims: int) -> Array:
    k = min(settings.neighbours, len(X) - 1)
    index, distance = nearest(X, X, k - 1, skip=np.arange(len(X)))  # exact, and spares half a minute of compilation
    index = np.hstack([np.arange(len(X))[:, None], index])  # UMAP counts a row among its own neighbours
    distance = np.hstack([np.zeros((len(X), 1)), distance]).astype(np.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)  # says that `transform` can't be used
        from umap import UMAP  # seconds, and hundreds of megabytes

        model = UMAP(
            n_components=dims,
            n_neighbors=k,
            min_dist=settings.min_dist,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(index, distance),
            init="spectral" if len(X) > 2 * settings.neighbours else "random",  # spectral needs more rows
        )
        return np.asarray(model.fit_transform(X), dtype=np.float32)


def _tsne(X: Array, settings: TsneSettings, seed: int, dims: int) -> Array:
    from sklearn.manifold import TSNE

    model = TSNE(
        n_components=dims,
        perplexity=min(settings.perplexity, (len(X) - 1) / 3),  # it looks at three times as many neighbours
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(model.fit_transform(X), dtype=np.float32)


def among_neighbours(new: Array, fitted: Array, points: Array) -> tuple[Array, Array]:
    """Where new rows (K, D) belong on a map: mean of the points of their 15 nearest fitted rows by inverse distance.

    fitted (F, D), points (F, A). A row equal to a fitted one lies on its point. -> (K, A) float32, independent of what
    else is placed, and the mean distance to those neighbours (K,) float64.
    """
    where, far = np.empty((len(new), points.shape[1]), dtype=np.float32), np.empty(len(new))
    for part in blocks(len(new), len(fitted)):
        index, distance = nearest(new[part], fitted, AMONG)  # (k, 15)
        same = distance <= 1e-6 * np.maximum(distance[:, -1:], np.finfo(np.float64).tiny)
        weight = np.where(same.any(axis=1, keepdims=True), same, 1.0 / np.where(same, 1.0, distance))
        weight /= weight.sum(axis=1, keepdims=True)
        where[part] = np.einsum("kn,knc->kc", weight, points[index].astype(np.float64))
        far[part] = distance.mean(axis=1)
    return where, far
