"""A latent space over a data set: which dimensions are in use, and whether what is made from it hangs together.

N samples, Z latent dimensions, M modalities, C classes. Coherence is judged by classifiers of each modality that were
trained on real samples alone; it says nothing of how varied or how sharp what is made is: read it with a measure of
quality. Sources: Burda et al. 2016, ICLR (active units); Shi et al. 2019, NeurIPS (coherence).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fusion.types import FusionError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ACTIVE = 0.01  # variance of the posterior means above which a dimension is in use (Burda et al. 2016)


def active_units(means: ArrayLike, threshold: float = ACTIVE) -> np.ndarray:
    """Which dimensions' posterior means vary over the samples. means (N, Z) -> (Z,) bool

    Raises FusionError for fewer than two samples.
    """
    return variance(means) > threshold


def variance(means: ArrayLike) -> np.ndarray:
    """Variance of the posterior means over the samples. (N, Z) -> (Z,). Raises FusionError for fewer than two."""
    table = np.asarray(means, np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise FusionError(f"Means of shape {table.shape} came; give two samples or more, each a row.")
    return table.var(0)


def by_dimension(kl: ArrayLike) -> np.ndarray:
    """Mean KL of each dimension over the samples. (N, Z) nats -> (Z,) nats"""
    return np.asarray(kl, np.float64).mean(0)


def joint_coherence(said: Sequence[ArrayLike]) -> float:
    """Share of samples on whose class all modalities agree. said: M of (N,) classes -> 0..1"""
    table = np.stack([np.asarray(one) for one in said])
    if len(table) < 2:
        raise FusionError("Coherence compares two modalities or more; one came.")
    return float((table == table[0]).all(0).mean())


def macro_accuracy(said: ArrayLike, true: ArrayLike) -> float:
    """Mean over the classes of the share that is found, so that each class counts the same. (N,), (N,) -> 0..1"""
    found, target = np.asarray(said), np.asarray(true)
    if len(found) != len(target) or not len(target):
        raise FusionError(f"{len(found)} answers came for {len(target)} classes; give one for each, and some.")
    return float(np.mean([(found[target == one] == one).mean() for one in np.unique(target)]))


def by_size(cross: Mapping[tuple[tuple[str, ...], str], float]) -> dict[int, float]:
    """Coherence of every (given modalities, made modality), averaged by how many were given; given ones left out.

    >>> by_size({(("a",), "b"): 0.5, (("b",), "a"): 0.7, (("a",), "a"): 1.0})
    {1: 0.6}
    """
    sizes: dict[int, list[float]] = {}
    for (given, made), value in cross.items():
        if made not in given:
            sizes.setdefault(len(given), []).append(value)
    return {size: round(float(np.mean(values)), 12) for size, values in sorted(sizes.items())}
