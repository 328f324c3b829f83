"""Fitting a map once, and keeping it on disk under the digest of everything that it depends on."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from fusion.files import atomic_file, digest, home
from fusion.neighbours import matrix, nearest
from fusion.projections.layouts import AMONG, SETTINGS, Settings, fit_layout
from fusion.projections.pca import onto, principal_axes
from fusion.projections.vectors import coded, group_means
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fusion.neighbours import Array, Vectors

METHODS = ("pca", *SETTINGS)
_FORMAT = "2"  # of the stored file and of what this code computes
_LIBRARIES = {
    "pca": ("numpy",), "umap": ("numpy", "umap-learn", "pynndescent", "numba", "scipy"),
    "tsne": ("numpy", "scikit-learn", "scipy"),
}  # fmt: skip
_PROBES = 128  # fitted rows whose own neighbour distances say how far is far
_KEPT = 200  # maps kept on disk, some 200 kB each


@dataclass(frozen=True)
class Projection:
    """A map of N vectors, and what is needed to place another one on it."""

    points: Array  # (N, A) float32, in map units; A is 2 or 3
    method: str  # "pca" | "umap" | "tsne" | "as is" (vectors of no more than A numbers need no map)
    seed: int
    seconds: float  # that fitting took
    digest: str
    explained: tuple[float, ...] | None  # share of variance of each axis, PCA only
    fitted: Array  # (F,) int64 rows that were fitted; the rest were placed
    groups: tuple[str, ...]  # labels, ("",) without
    centred: bool  # whether each group's mean was taken away
    means: Array  # (C, D) float32 what was taken from each group, zeros when not centred
    reach: Array  # (C,) float64 farthest mean distance to its 15 neighbours among sampled fitted rows of each group
    axes: Array  # (A, D) float32 of PCA, (0, D) for the others
    origin: Array  # (D,) float64 mean of the (centred) vectors


def projection_digest(
    vectors: Vectors,
    method: str = "pca",
    *,
    seed: int = 0,
    labels: Sequence[str] | Array | None = None,
    centred: bool = False,
    settings: Settings | None = None,
    dims: int = 2,
) -> str:
    """Name of the map that `project` gives for the same arguments: hash of content, parameters and versions.

    64 hex digits. The seed and the settings don't count for PCA. Raises FusionError on an unknown method.
    """
    return _digest(_given(vectors, labels), method, seed, centred, settings, dims)


@dataclass(frozen=True, eq=False)
class _Given:
    """Vectors in single precision, and the group of each as a number."""

    X: Array  # (N, D) float32
    names: tuple[str, ...]  # of the groups
    code: Array  # (N,)


def _given(vectors: Vectors, labels: Sequence[str] | Array | None) -> _Given:
    X = matrix(vectors).astype(np.float32, copy=False)
    return _Given(X, *coded(labels, len(X)))


def _digest(given: _Given, method: str, seed: int, centred: bool, settings: Settings | None, dims: int) -> str:
    if method not in METHODS:
        raise FusionError(f'There is no map "{method}"; choose one of {", ".join(METHODS)}.')
    if dims not in (2, 3):
        raise FusionError(f"A map has 2 or 3 dimensions and {dims} were asked for; choose one of these.")
    method = _simplest(method, given.X.shape[1])
    told = {
        "method": method,
        "shape": given.X.shape,
        "dims": dims,
        "centred": centred,
        "groups": given.names,
        "versions": {name: version(name) for name in _LIBRARIES[method]},
    }
    if method in SETTINGS:
        told |= {"seed": seed, "settings": asdict(_settings(method, settings))}
    return digest(_FORMAT, json.dumps(told, sort_keys=True), given.X.tobytes(), given.code.tobytes())


def _settings(method: str, settings: Settings | None) -> Settings:
    """Those given, or the method's own. Raises FusionError for those of another method."""
    kind = SETTINGS[method]
    if settings is not None and not isinstance(settings, kind):
        raise FusionError(f"{type(settings).__name__} are not for a {method} map; give {kind.__name__}.")
    return settings or kind()


def _simplest(method: str, width: int) -> str:
    return "pca" if width <= 3 else method  # three numbers or fewer: a turn of the axes loses least


def project(
    vectors: Vectors,
    method: str = "pca",
    *,
    seed: int = 0,
    labels: Sequence[str] | Array | None = None,
    centred: bool = False,
    settings: Settings | None = None,
    dims: int = 2,
) -> Projection:
    """A map of vectors (N, D) by "pca", "umap" or "tsne", in 2 or 3 dimensions, from the disk when it was made before.

    labels (N,) name each row's group (its modality): with `centred` each group's mean is taken away first, and `place`
    judges how far is far group by group. Vectors of no more than `dims` numbers are shown as they are, of three always
    by PCA. Raises FusionError on an unknown method, numbers that aren't finite, or fewer than ten vectors for UMAP and
    t-SNE.
    """
    given = _given(vectors, labels)
    key = _digest(given, method, seed, centred, settings, dims)
    known = cached(key)
    if known is not None:
        return known
    start = time.perf_counter()
    X, names, code = given.X, given.names, given.code
    method = _simplest(method, X.shape[1])
    seed = seed if method in SETTINGS else 0
    means = group_means(X, code, len(names)) if centred else np.zeros((len(names), X.shape[1]), dtype=np.float32)
    if centred:
        X = X - means[code]
    fitted, explained = np.arange(len(X)), None
    axes, origin = np.zeros((0, X.shape[1]), dtype=np.float32), np.zeros(X.shape[1])
    if X.shape[1] <= 2:
        method, axes = "as is", np.eye(dims, X.shape[1], dtype=np.float32)
        points = onto(X, axes, origin)
    elif method == "pca":
        axes, origin, share = principal_axes(X, dims)
        points, explained = onto(X, axes, origin), tuple(map(float, share))
    else:
        points, fitted = fit_layout(X, _settings(method, settings), seed, dims)
    reach = _reach(X[fitted], code[fitted], len(names), seed)
    seconds = time.perf_counter() - start
    made = Projection(points, method, seed, seconds, key, explained, fitted, names, centred, means, reach, axes, origin)
    save(made)
    return made


def _reach(fitted: Array, code: Array, groups: int, seed: int) -> Array:
    """Farthest mean distance to its 15 nearest other fitted rows, among sampled rows of each group. -> (C,)"""
    random, reach = np.random.default_rng(seed), np.zeros(groups)
    for group in range(groups):
        rows = np.flatnonzero(code == group)
        if len(rows) == 0 or len(fitted) < 2:
            continue
        probe = np.sort(random.choice(rows, min(len(rows), max(32, _PROBES // groups)), replace=False))
        _, distance = nearest(fitted[probe], fitted, AMONG, skip=probe)
        reach[group] = distance.mean(axis=1).max()
    return reach


def folder() -> Path:
    """Where maps are kept."""
    return home() / "projections"


def path_of(key: str) -> Path:
    """The file of a map."""
    return folder() / f"{key}.npz"


def save(projection: Projection) -> Path:
    """Write a map whole or not at all, and drop the oldest beyond 200. -> its file"""
    told = asdict(projection)
    arrays = {name: value for name, value in told.items() if isinstance(value, np.ndarray)}
    rest = json.dumps({name: value for name, value in told.items() if name not in arrays})
    path = path_of(projection.digest)
    with atomic_file(path) as aside, aside.open("wb") as stream:
        np.savez(stream, allow_pickle=False, told=np.frombuffer(rest.encode(), dtype=np.uint8), **arrays)
    maps = sorted(folder().glob("*.npz"), key=lambda file: file.stat().st_mtime)
    for old in maps[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def cached(key: str) -> Projection | None:
    """The map of that digest when it was made before, else None; a file that can't be read counts as not there."""
    try:
        with path_of(key).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files if name != "told"}
            told = json.loads(stored["told"].tobytes())
        told |= {"groups": tuple(told["groups"]), "explained": tuple(told["explained"]) if told["explained"] else None}
        return Projection(**told, **arrays)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
