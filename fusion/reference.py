"""What a checkpoint's numbers are compared with: held-out scores, calibration, and where its training data lie.

Made once by `make` from held-out observations and kept beside the weights as reference.safetensors; small (kB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fusion.files import atomic_file
from fusion.types import FusionError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "reference.safetensors"
AXES = 64  # principal axes in which the distance from the training data is measured
FAR = 0.99  # share of held-out items nearer than the threshold


@dataclass(frozen=True)
class Place:
    """The training data of one modality's pooled features: their principal axes, and how far off them is far."""

    mean: np.ndarray  # (D,)
    axes: np.ndarray  # (D, AXES), orthogonal, scaled so that training data have unit variance along each
    threshold: float  # of `distance`

    def distance(self, pooled: np.ndarray) -> np.ndarray:
        """Share of the distance from the mean that the principal axes don't hold, in [0, 1]. (B, D) -> (B,)

        What is unlike the training data differs in directions in which those don't vary: photographs lie no further out
        along the axes of drawn pictures than other drawings, and far off them.
        """
        centred = pooled - self.mean
        unit = self.axes / np.linalg.norm(self.axes, axis=0)
        off = centred - (centred @ unit) @ unit.T
        return np.linalg.norm(off, axis=-1) / np.maximum(np.linalg.norm(centred, axis=-1), 1e-12)

    def far(self, pooled: np.ndarray) -> np.ndarray:
        """Which rows lie beyond the threshold. (B, D) -> (B,) bool"""
        return self.distance(pooled) > self.threshold


@dataclass(frozen=True)
class Reference:
    """Held-out match scores of true and exchanged pairs, the calibration made from them, and the training places."""

    true: np.ndarray  # (n,) match score of held-out true pairs
    shuffled: np.ndarray  # (n,) of the same texts with another item's image
    same_group: np.ndarray  # (k,) with an image of the same group; empty when groups are unknown
    knots: np.ndarray  # (J, 2) score -> probability of a true pair at equal odds, increasing in both columns
    places: dict[str, Place]

    def percentile(self, score: float) -> float:
        """Share of held-out true pairs that score lower, in [0, 1]."""
        return float(np.mean(self.true < score))

    def calibrated(self, score: np.ndarray | float) -> np.ndarray:
        """Probability that a pair is true when true and exchanged pairs are equally many. -> like score, in [0, 1]"""
        return np.asarray(np.interp(score, self.knots[:, 0], self.knots[:, 1]))


def place(train: np.ndarray, held_out: np.ndarray) -> Place:
    """Fit a Place on training features (N, D); the threshold is a quantile of held-out ones."""
    mean = train.mean(0)
    covariance = np.cov((train - mean).T.astype(np.float64))
    values, vectors = np.linalg.eigh(covariance)
    top = np.argsort(values)[::-1][: min(AXES, len(train) - 1)]
    axes = (vectors[:, top] / np.sqrt(np.maximum(values[top], 1e-12))).astype(np.float32)
    fitted = Place(mean.astype(np.float32), axes, 0.0)
    return Place(fitted.mean, axes, float(np.quantile(fitted.distance(held_out), FAR)))


def save(folder: Path, reference: Reference) -> None:
    """Write reference.safetensors into a checkpoint folder."""
    scores = {"true": reference.true, "shuffled": reference.shuffled, "same_group": reference.same_group}
    arrays: dict[str, np.ndarray] = {name: np.ascontiguousarray(value, np.float32) for name, value in scores.items()}
    arrays["knots"] = np.ascontiguousarray(reference.knots, np.float32)
    for name, fitted in reference.places.items():
        arrays[f"place.{name}.mean"] = fitted.mean
        arrays[f"place.{name}.axes"] = np.ascontiguousarray(fitted.axes.astype(np.float16))
        arrays[f"place.{name}.threshold"] = np.asarray([fitted.threshold], np.float32)
    with atomic_file(folder / NAME) as aside:
        save_file(arrays, aside)


def load(folder: Path) -> Reference | None:
    """The reference of a checkpoint folder, None when it has none. Raises FusionError on a broken file."""
    path = folder / NAME
    if not path.exists():
        return None
    try:
        arrays = load_file(path)
        names = {name.split(".")[1] for name in arrays if name.startswith("place.")}
        places = {
            name: Place(
                arrays[f"place.{name}.mean"],
                arrays[f"place.{name}.axes"].astype(np.float32),
                float(arrays[f"place.{name}.threshold"][0]),
            )
            for name in names
        }
        return Reference(arrays["true"], arrays["shuffled"], arrays["same_group"], arrays["knots"], places)
    except (SafetensorError, KeyError, OSError) as error:
        raise FusionError(f'{NAME} of "{folder.name}" can\'t be read ({error}); remove it or copy it again.') from None
