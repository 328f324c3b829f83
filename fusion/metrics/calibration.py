"""Does a probability of .8 mean right eight times in ten: reliability, its error, and two ways to correct it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion.metrics.matching import scores
from fusion.types import FusionError

Array = np.ndarray


@dataclass(frozen=True)
class Reliability:
    """What was promised and what came, bin by bin."""

    edges: Array  # (K + 1,) of the bins
    promised: Array  # (K,) mean probability in each bin
    observed: Array  # (K,) share of true pairs in each bin
    counts: Array  # (K,) int64, none is empty
    ece: float  # expected calibration error: sum of counts / N * |observed - promised|, in [0, 1]
    bins: str  # "equal mass" | "equal width"


@dataclass(frozen=True)
class Platt:
    """A logistic curve from a score to a probability: sigmoid(slope * s + offset)."""

    slope: float
    offset: float

    def __call__(self, values: Array) -> Array:
        """Calibrated probability of each score, (N,) -> (N,) in (0, 1)."""
        return _sigmoid(self.slope * np.asarray(values, dtype=np.float64) + self.offset)


@dataclass(frozen=True)
class Isotonic:
    """A rising line from a score to a probability, level beyond its ends."""

    at: Array  # (K,) scores, ascending
    probability: Array  # (K,) rising

    def __call__(self, values: Array) -> Array:
        """Calibrated probability of each score, (N,) -> (N,) in [0, 1]."""
        return np.interp(np.asarray(values, dtype=np.float64), self.at, self.probability)


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -x))


def logit(probability: Array) -> Array:
    """log(p / (1 - p)) with p kept 1e-7 away from 0 and 1; what `fit_platt` should be given for probabilities."""
    p = np.clip(np.asarray(probability, dtype=np.float64), 1e-7, 1 - 1e-7)
    return np.log(p) - np.log1p(-p)


def reliability(probability: Array, truth: Array, bins: int = 10, *, equal_mass: bool = True) -> Reliability:
    """Reliability curve and expected calibration error of the probability that a pair is true.

    probability (N,) in [0, 1], truth (N,) bool. Equal mass puts as many pairs in each bin, equal probabilities always
    together; otherwise bins are equal steps of [0, 1]. Empty bins are left out. Raises FusionError on anything outside
    [0, 1]. Source: Naeini, Cooper, Hauskrecht 2015, AAAI; the share of true pairs decides the curve, so state it.
    """
    p, y = scores(probability, "pair"), np.asarray(truth, dtype=bool).ravel()
    if len(p) != len(y) or p.min() < 0 or p.max() > 1:
        raise FusionError(f"{len(p)} scores came for {len(y)} pairs, from {p.min():.3g} to {p.max():.3g}; "
                          "a reliability curve needs one probability in [0, 1] for each pair.")  # fmt: skip
    if equal_mass:
        inner = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1], method="inverted_cdf"))
        edges = np.r_[0.0, inner[(inner > 0) & (inner < 1)], 1.0]
        place = np.searchsorted(edges[1:-1], p, side="left")  # equal to an edge: the bin below it
    else:
        edges = np.linspace(0, 1, bins + 1)
        place = np.minimum((p * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=len(edges) - 1)
    some = counts > 0
    promised = np.bincount(place, weights=p, minlength=len(counts))[some] / counts[some]
    observed = np.bincount(place, weights=y, minlength=len(counts))[some] / counts[some]
    kept = np.r_[edges[:-1][some], edges[-1]]
    ece = float((counts[some] * np.abs(observed - promised)).sum() / len(p))
    return Reliability(kept, promised, observed, counts[some], ece, "equal mass" if equal_mass else "equal width")


def fit_platt(scores_true: Array, scores_false: Array, prior: float = 0.5) -> Platt:
    """The logistic curve that best tells true from false scores when a share `prior` of pairs is true.

    scores_true (T,), scores_false (F,), any unit (give `logit` of a probability). Targets are drawn in by one count,
    so that separable scores still give a finite slope. Newton's method. Source: Platt 1999; Lin, Lin, Weng 2007.
    """
    true, false = scores(scores_true, "true"), scores(scores_false, "false")
    s = np.concatenate([true, false])
    middle, spread = s.mean(), s.std() or 1.0
    x = (s - middle) / spread
    target = np.r_[np.full(len(true), (len(true) + 1) / (len(true) + 2)), np.full(len(false), 1 / (len(false) + 2))]
    weight = np.r_[np.full(len(true), prior / len(true)), np.full(len(false), (1 - prior) / len(false))]
    design = np.stack([x, np.ones_like(x)], axis=1)  # (N, 2)
    curve = np.zeros(2)
    loss = _cross_entropy(design @ curve, target, weight)
    for _ in range(100):
        p = _sigmoid(design @ curve)
        slope = design.T @ (weight * (p - target))
        bend = (design * (weight * p * (1 - p))[:, None]).T @ design + 1e-12 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (after := _cross_entropy(design @ (curve - size * step), target, weight)) > loss and size > 1e-10:
            size /= 2  # a full step may overshoot where the curve is flat
        curve, before, loss = curve - size * step, loss, min(after, loss)
        if before - loss < 1e-14:
            break
    return Platt(float(curve[0] / spread), float(curve[1] - curve[0] * middle / spread))


def _cross_entropy(z: Array, target: Array, weight: Array) -> float:
    return float((weight * (np.logaddexp(0.0, z) - target * z)).sum())


def fit_isotonic(scores_true: Array, scores_false: Array, prior: float = 0.5) -> Isotonic:
    """The rising step line that best tells true from false scores when a share `prior` of pairs is true.

    Follows any shape, and overfits below some hundred pairs. Source: Zadrozny and Elkan 2002, KDD.
    """
    from sklearn.isotonic import IsotonicRegression  # slow to import

    true, false = scores(scores_true, "true"), scores(scores_false, "false")
    weight = np.r_[np.full(len(true), prior / len(true)), np.full(len(false), (1 - prior) / len(false))]
    model = IsotonicRegression(y_min=0.0, y_max=1.0)
    model.fit(np.r_[true, false], np.r_[np.ones(len(true)), np.zeros(len(false))], sample_weight=weight)
    return Isotonic(np.asarray(model.X_thresholds_), np.asarray(model.y_thresholds_))
