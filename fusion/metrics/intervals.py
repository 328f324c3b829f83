"""How sure a number is: bootstrap intervals over rows or whole groups of rows, and the interval of a share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.metrics.behaviour import spearman
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Array = np.ndarray
_CELLS = 4_000_000  # weights held at once, 32 MB


@dataclass(frozen=True)
class Interval:
    """A number and where it would lie if other rows had been drawn."""

    value: float  # from all rows, not the middle of the resamples
    low: float
    high: float
    level: float = 0.95
    resamples: int = 0  # 0: by formula
    seed: int = 0

    def excludes(self, number: float = 0.0) -> bool:
        """Whether a number lies outside the interval."""
        return not self.low <= number <= self.high


def percentile_interval(value: float, draws: Array, level: float, seed: int) -> Interval:
    """The interval that holds the middle `level` of the resampled values. draws (R,)"""
    tail = 50 * (1 - level)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(float(value), float(low), float(high), level, len(draws), seed)


def resampled(rows: int, n: int, seed: int, groups: Array | None = None) -> Iterator[Array]:
    """n bootstrap samples of row numbers, drawn with replacement; whole groups (rows,) at a time where given."""
    random = np.random.default_rng(seed)
    if groups is None:
        for _ in range(n):
            yield random.integers(0, rows, rows)
        return
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    if len(code) != rows:
        raise FusionError(f"{len(code)} group names came for {rows} rows; give one for each.")
    order = np.argsort(code, kind="stable")
    size = np.bincount(code)
    start = np.cumsum(size) - size
    for _ in range(n):
        drawn = random.integers(0, len(size), len(size))
        length = size[drawn]
        before = np.repeat(np.cumsum(length) - length, length)
        yield order[np.repeat(start[drawn], length) + np.arange(length.sum()) - before]


def bootstrap(
    values: Array,
    statistic: Callable[[Array], float] = np.mean,
    *,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
    groups: Array | None = None,
) -> Interval:
    """Percentile bootstrap interval of a statistic of rows. values (N, ...) -> Interval, in the statistic's unit.

    `groups` (N,) resamples whole groups: rows that share a picture are not independent.
    Raises FusionError on no rows. Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    """
    values = np.asarray(values)
    if len(values) == 0:
        raise FusionError("There is no row to resample; choose at least one.")
    draws = np.array([statistic(values[rows]) for rows in resampled(len(values), n, seed, groups)])
    return percentile_interval(statistic(values), draws, level, seed)


def paired_bootstrap(
    values_a: Array,
    values_b: Array,
    statistic: Callable[[Array], float] = np.mean,
    *,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
    groups: Array | None = None,
) -> Interval:
    """Interval of statistic(a) - statistic(b) when both were measured on the same rows, resampled together.

    values_a (N, ...), values_b (N, ...): hits for a recall, counts (N, 3) for an F1, [true, false] scores (N, 2) for
    an AUC. Above zero: a is better beyond the draw of the rows. Raises FusionError when the lengths differ.
    Source: Efron and Tibshirani 1993, ch. 13.
    """
    a, b = np.asarray(values_a), np.asarray(values_b)
    if len(a) != len(b) or len(a) == 0:
        raise FusionError(f"A paired comparison needs the same rows on both sides; {len(a)} and {len(b)} came.")
    draws = [statistic(a[rows]) - statistic(b[rows]) for rows in resampled(len(a), n, seed, groups)]
    return percentile_interval(statistic(a) - statistic(b), np.array(draws), level, seed)


def auc_interval(
    scores_true: Array,
    scores_false: Array,
    *,
    paired: bool = False,
    seed: int = 0,
    n: int = 1000,
    level: float = 0.95,
) -> Interval:
    """AUC of true (T,) against false (F,) scores with its bootstrap interval, in [0, 1]; ties count half.

    Not paired: both sets are resampled on their own. Paired (T = F): row i of both comes from one item, and items are
    resampled. Source: Efron and Tibshirani 1993; the AUC as in `fusion.metrics.matching.auc`.
    """
    true, false = np.asarray(scores_true, dtype=np.float64), np.asarray(scores_false, dtype=np.float64)
    if len(true) == 0 or len(false) == 0 or (paired and len(true) != len(false)):
        raise FusionError(f"An AUC needs true and false scores, as many when paired; {len(true)}, {len(false)} came.")
    both = np.concatenate([true, false])
    order = np.argsort(both, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(both[order]) != 0])  # where each different score starts
    random = np.random.default_rng(seed)
    draws = [_weighted_auc(np.ones((1, len(true))), np.ones((1, len(false))), order, first)]
    step = max(1, _CELLS // len(both))
    for start in range(0, n, step):
        count = min(step, n - start)
        w_true = random.multinomial(len(true), np.full(len(true), 1 / len(true)), count)  # (r, T) times drawn
        w_false = w_true if paired else random.multinomial(len(false), np.full(len(false), 1 / len(false)), count)
        draws.append(_weighted_auc(w_true, w_false, order, first))
    values = np.concatenate(draws)
    return percentile_interval(values[0], values[1:], level, seed)


def spearman_interval(
    a: Array, b: Array, *, seed: int = 0, n: int = 1000, level: float = 0.95, groups: Array | None = None
) -> Interval | None:
    """Rank correlation of two columns with its bootstrap interval, in [-1, 1]; None when one of them is constant.

    a (N,), b (N,); `groups` (N,) resamples whole groups. A resample in which a column is constant counts as 0.
    Raises FusionError when lengths differ or a number isn't finite. Source: Spearman 1904; Efron and Tibshirani 1993.
    """
    value = spearman(a, b)
    if value is None:
        return None
    draws = []
    step = max(1, _CELLS // len(a))
    rows = resampled(len(a), n, seed, groups)
    for start in range(0, n, step):
        times = np.stack([np.bincount(next(rows), minlength=len(a)) for _ in range(min(step, n - start))])  # (r, N)
        x, y = (_centred_ranks(np.asarray(side).ravel(), times) for side in (a, b))
        size = np.sqrt((times * x * x).sum(1) * (times * y * y).sum(1))
        draws.append(np.divide((times * x * y).sum(1), size, out=np.zeros(len(times)), where=size > 0))
    return percentile_interval(value, np.concatenate(draws), level, seed)


def _centred_ranks(values: Array, times: Array) -> Array:
    """Mean rank of each row among rows that count several times, less the mean of all. (N,), (r, N) -> (r, N)"""
    unique, code = np.unique(values, return_inverse=True)
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(code[order]) != 0])
    many = np.add.reduceat(times[:, order], first, axis=1)  # (r, different values)
    middle = np.cumsum(many, axis=1) - (many - 1) / 2
    assert many.shape[1] == len(unique)
    return middle[:, code] - (times.sum(1, keepdims=True) + 1) / 2


def _weighted_auc(w_true: Array, w_false: Array, order: Array, first: Array) -> Array:
    """AUC when each score counts as often as its weight. (r, T), (r, F) -> (r,)"""
    none_true, none_false = np.zeros_like(w_true), np.zeros_like(w_false)
    true = np.add.reduceat(np.hstack([w_true, none_false])[:, order], first, axis=1)  # (r, different scores)
    false = np.add.reduceat(np.hstack([none_true, w_false])[:, order], first, axis=1)
    below = np.cumsum(false, axis=1) - false
    return (true * (below + 0.5 * false)).sum(axis=1) / (true.sum(axis=1) * false.sum(axis=1))


def wilson(hits: int, total: int, level: float = 0.95) -> Interval:
    """Interval of a share, (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), in [0, 1].

    Raises FusionError without a trial. Source: Wilson 1927, JASA 22.
    """
    from statistics import NormalDist

    if total < 1 or not 0 <= hits <= total:
        raise FusionError(f"{hits} of {total} is not a share; count at least one trial.")
    p, z = hits / total, NormalDist().inv_cdf(0.5 + level / 2)
    middle = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * np.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    low = float(middle - half) if hits else 0.0  # exactly, where rounding would leave a trace
    return Interval(p, low, float(middle + half) if hits < total else 1.0, level)
