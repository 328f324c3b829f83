"""How many pairs of an unlabelled set don't belong together, from scores of pairs known to be true and shuffled.

The unlabelled scores are a mixture, f(s) = (1 - pi) f_true(s) + pi f_false(s), of two densities that the calibration
pairs show. The densities are histograms over bins that hold equally many calibration scores; pi, the rate of
mismatches, is the value of highest likelihood, found exactly because the likelihood is concave in it.

It holds as far as the calibration pairs look like the unlabelled ones: mismatches that are nearly right (another
picture of the same thing) are rarer among shuffled pairs and are undercounted, and a mismatch already hidden among the
"true" calibration pairs is subtracted from the rate.
Source: maximum likelihood for mixing shares, as in Saerens, Latinne, Decaestecker 2002, Neural Computation 14.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion.metrics.intervals import Interval, percentile_interval
from fusion.metrics.matching import scores

Array = np.ndarray
BINS = 10  # more bins gained nothing at 500 to 3,000 pairs in simulation, and biased smaller sets
_SMOOTH = 0.5  # counts added to each bin, so that no bin is impossible
APART = 0.15  # drawn pictures of three splits lay 0.07 to 0.11 from their reference, flags 0.25 to 0.35


@dataclass(frozen=True)
class Mixture:
    """What the calibration pairs say: bins of the score, and how true and false pairs fall into them."""

    edges: Array  # (K - 1,) inner edges
    true: Array  # (K,) int64 counts of true pairs
    false: Array  # (K,) int64 counts of shuffled pairs

    def count(self, values: Array) -> Array:
        """How many scores fall in each bin. values (N,) -> (K,) int64"""
        return np.bincount(self.place(values), minlength=len(self.true))

    def place(self, values: Array) -> Array:
        """The bin of each score. (N,) -> (N,) int64"""
        return np.searchsorted(self.edges, np.asarray(values, dtype=np.float64), side="right")

    def posterior(self, values: Array, rate: float) -> Array:
        """Probability that each pair is a mismatch when a share `rate` is: pi f_false / f. (N,) -> (N,)"""
        f_true, f_false = _density(self.true), _density(self.false)
        return (rate * f_false / ((1 - rate) * f_true + rate * f_false))[self.place(values)]


def fit_mixture(scores_true: Array, scores_false: Array, bins: int = BINS) -> Mixture:
    """The two densities over bins of equal calibration mass, both kinds weighing the same.

    scores_true (T,), scores_false (F,): more shuffled than true pairs are welcome. Any rising change of the scores
    leaves the result as it is. Raises FusionError on no scores or NaN.
    """
    true, false = scores(scores_true, "true"), scores(scores_false, "false")
    steps = np.linspace(0, 1, bins + 1)[1:-1]
    both = np.concatenate([true, false])
    order = np.argsort(both, kind="stable")
    weight = np.r_[np.full(len(true), 0.5 / len(true)), np.full(len(false), 0.5 / len(false))][order]
    edges = np.unique(both[order][np.minimum(np.searchsorted(np.cumsum(weight), steps), len(both) - 1)])
    mixture = Mixture(edges, np.zeros(len(edges) + 1, dtype=np.int64), np.zeros(len(edges) + 1, dtype=np.int64))
    return Mixture(edges, mixture.count(true), mixture.count(false))


def mismatch_rate(
    mixture: Mixture, unlabelled: Array, *, seed: int = 0, n: int = 1000, level: float = 0.95
) -> Interval:
    """Share of mismatched pairs among unlabelled ones, in [0, 1], with its bootstrap interval.

    unlabelled (N,) scores. Both the calibration pairs and the unlabelled ones are resampled, so the interval holds
    the uncertainty of both. Raises FusionError on no scores or NaN. Source: the module.
    """
    counts = mixture.count(scores(unlabelled, "unlabelled"))
    random = np.random.default_rng(seed)
    draw = lambda bins: random.multinomial(bins.sum(), bins / bins.sum(), n)  # noqa: E731  (n, K)
    true, false, mixed = (np.vstack([c, draw(c)]) for c in (mixture.true, mixture.false, counts))
    rates = _most_likely(_density(true), _density(false), mixed.astype(np.float64))
    return percentile_interval(rates[0], rates[1:], level, seed)


def unlike(own_false: Array, known_false: Array) -> bool:
    """Whether a data set's own shuffled pairs score otherwise than those of the calibration: then the rate misleads.

    own_false (M,), known_false (F,): both are known to be wrong, so they fall alike where the sets are alike. Compared
    by the largest distance of the two cumulated shares, which must exceed APART and what chance gives once in 100.
    Raises FusionError on no scores or NaN. Source: the two-sample test of Smirnov 1948.
    """
    own, known = np.sort(scores(own_false, "shuffled")), np.sort(scores(known_false, "false"))
    at = np.concatenate([own, known])
    share = [np.searchsorted(side, at, side="right") / len(side) for side in (own, known)]
    chance = 1.63 * np.sqrt(1 / len(own) + 1 / len(known))  # 99 % point of the statistic for large samples
    return bool(np.abs(share[0] - share[1]).max() > max(APART, chance))


def _density(counts: Array) -> Array:
    smooth = counts + _SMOOTH
    return smooth / smooth.sum(axis=-1, keepdims=True)


def _most_likely(f_true: Array, f_false: Array, counts: Array) -> Array:
    """argmax over pi of sum counts log((1 - pi) f_true + pi f_false), by halving. (R, K) three times -> (R,)"""
    low, high = np.zeros(len(counts)), np.ones(len(counts))
    for _ in range(50):  # 2^-50
        middle = (low + high) / 2
        mixed = f_true + middle[:, None] * (f_false - f_true)
        rising = (counts * (f_false - f_true) / mixed).sum(axis=1) > 0
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return (low + high) / 2
