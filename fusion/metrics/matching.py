"""Does a match score separate pairs that belong together from pairs that don't, and what does a threshold keep.

"True" scores are those of pairs that belong together, "false" ones those of shuffled pairs. How the false pairs were
drawn (any other item, or one of the same group) changes every figure, so say it beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion.types import FusionError

Array = np.ndarray


@dataclass(frozen=True)
class Curves:
    """What each threshold keeps: a pair is kept when its score is at least the threshold."""

    thresholds: Array  # (K,) ascending
    precision: Array  # (K,) share of the kept that are true; 1 where nothing is kept
    recall: Array  # (K,) share of the true that are kept
    f1: Array  # (K,)
    false_rate: Array  # (K,) share of the false that are kept
    kept_true: Array  # (K,) int64
    kept_false: Array  # (K,) int64

    def best(self) -> float:
        """The threshold of highest F1, the lowest of equal ones."""
        return float(self.thresholds[int(np.argmax(self.f1))])


def scores(values: Array, what: str) -> Array:
    """Scores as (N,) float64. Raises FusionError when there are none or one is NaN."""
    array = np.asarray(values, dtype=np.float64).ravel()
    unknown = int(np.isnan(array).sum())
    if len(array) == 0 or unknown:
        raise FusionError(f"There are {len(array)} {what} scores, {unknown} of them NaN; give at least one and no NaN.")
    return array


def auc(scores_true: Array, scores_false: Array) -> float:
    """Chance that a true pair scores above a false one, ties half: P(s_t > s_f) + P(s_t = s_f) / 2, in [0, 1].

    scores_true (T,), scores_false (F,). Exact. Source: Mann and Whitney 1947, Ann. Math. Stat. 18.
    """
    true, false = scores(scores_true, "true"), np.sort(scores(scores_false, "false"))
    below, up_to = np.searchsorted(false, true, side="left"), np.searchsorted(false, true, side="right")
    return float((below.sum() + up_to.sum()) / (2.0 * len(true) * len(false)))


def precision_recall_f1(scores_true: Array, scores_false: Array, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and F1 of keeping every pair that scores at least the threshold, each in [0, 1].

    Precision is 1 where nothing is kept. Source: standard.
    """
    found = curves(scores_true, scores_false, np.array([threshold]))
    return float(found.precision[0]), float(found.recall[0]), float(found.f1[0])


def curves(scores_true: Array, scores_false: Array, thresholds: Array | None = None) -> Curves:
    """Precision, recall, F1 and false rate at every threshold, all at once.

    thresholds (K,), 201 even steps from the lowest to the highest score by default. -> Curves of (K,) arrays.
    """
    true, false = np.sort(scores(scores_true, "true")), np.sort(scores(scores_false, "false"))
    if thresholds is None:
        thresholds = np.linspace(min(true[0], false[0]), max(true[-1], false[-1]), 201)
    thresholds = np.sort(np.asarray(thresholds, dtype=np.float64))
    kept_true = len(true) - np.searchsorted(true, thresholds, side="left")  # (K,)
    kept_false = len(false) - np.searchsorted(false, thresholds, side="left")
    kept = kept_true + kept_false
    precision = np.where(kept > 0, kept_true / np.maximum(kept, 1), 1.0)
    return Curves(
        thresholds,
        precision,
        kept_true / len(true),
        2 * kept_true / (len(true) + kept),  # 2 TP / (2 TP + FP + FN)
        kept_false / len(false),
        kept_true,
        kept_false,
    )


def roc(scores_true: Array, scores_false: Array) -> tuple[Array, Array, Array]:
    """Every corner of the ROC curve: false rate, recall and the threshold of each, from nothing kept to all kept.

    -> three (K,) arrays, K at most T + F + 1; the first threshold is infinite. The area under it is `auc`.
    """
    values = np.unique(np.concatenate([scores(scores_true, "true"), scores(scores_false, "false")]))
    found = curves(scores_true, scores_false, np.r_[values, np.inf])
    return found.false_rate[::-1], found.recall[::-1], found.thresholds[::-1]


def percentile(score: float | Array, among: Array) -> float | Array:
    """Share of scores that lie below, equal ones half, in percent: where one pair stands among others.

    score () or (N,), among (K,) -> the same shape, 0 to 100.
    """
    order = np.sort(scores(among, "reference"))
    below, up_to = np.searchsorted(order, score, side="left"), np.searchsorted(order, score, side="right")
    share = 100.0 * (below + up_to) / (2 * len(order))
    return float(share) if np.ndim(score) == 0 else share
