"""The suspicion that a pair is wrong, 0..1, from its parts, learned without a label.

Each row is set beside itself with an exchanged half (`triage.parts`): that pair is wrong for sure, and the row is taken
as right, which all but a few are. Two steps of logistic regression tell them apart:

    l_p = a_p . x_p + c_p                 a part on its own, x_p its one or two figures    part_p = sigmoid(l_p)
    suspicion = sigmoid(b + sum_p w_p l_p)                                                 w_p, a_p >= 0

so a part, and the suspicion, never fall when a figure rises. Rows fall into FOLDS folds by their content, and all that
is applied to a fold was learned on the others: no row calibrates itself. Rows that are wrong blur the two kinds, but
they blur them evenly; leaving out the most suspicious and learning again was measured, and gained nothing.
0.5 means: as likely a true as an exchanged pair, were there as many of both. It is a ranking, not the chance of an
error. A part that a row doesn't have adds nothing for it. Parts that can't be said of exchanged pairs (a loss, whether
the input is far) take part as percentiles in the plain mean alone; in the calibrated score they are shown and not used.

    scored(frame, vectors, kind="pairs", how="calibrated") -> (frame, Calibration)
        the frame with part_<name> in 0..1, suspicion in 0..1 and rank from 1 (both empty where a row has no part)
    reweighed(frame, weights, calibration) -> (N,) suspicion under weights of one's own
    how="percentile": suspicion = mean of the parts' percentile ranks, every part weighing the same

Source: logistic calibration, Platt 1999; learning from exchanged pairs is noise-contrastive estimation (Gutmann and
Hyvärinen 2010, AISTATS), cross-fitting as in stacked generalisation (Wolpert 1992).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fusion.metrics.calibration import logit
from fusion.metrics.matching import auc
from fusion.triage.parts import PARTS, Raw, prepared, raw
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data.dataset import DataKind
    from fusion.triage.engine import Progress

Array = np.ndarray
How = Literal["calibrated", "percentile"]
FOLDS = 5
FEWEST = 20  # rows below which nothing is learned, and parts are ranked instead
_RIDGE = 1.0  # prior variance of a standardised weight


@dataclass(frozen=True)
class Calibration:
    """How the suspicion of a run was made: what a page prints under the table."""

    how: How
    weights: dict[str, float]  # {part: w_p}, mean over the folds; all 1 for percentiles
    bias: float = 0.0  # b
    missing: tuple[str, ...] = ()  # parts that nothing speaks of
    unused: tuple[str, ...] = ()  # parts that are shown, and not used: they can't be calibrated
    apart: dict[str, float] = field(default_factory=dict)  # {part or "suspicion": AUC of exchanged against own pairs}
    learned: int = 0  # rows that it was learned from
    compared: int = 0  # rows that each was compared with

    def told(self) -> dict[str, Any]:
        """As JSON holds it. Any: what JSON holds."""
        return asdict(self)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Calibration:
        """From `told`. Raises FusionError when it isn't one."""
        try:
            names = {"missing": tuple(told["missing"]), "unused": tuple(told["unused"])}
            return cls(**{**told, **names})
        except (KeyError, TypeError):
            raise FusionError("The calibration of this run can't be read; run the inspection again.") from None


def scored(
    frame: pd.DataFrame,
    vectors: Mapping[str, Array],
    *,
    kind: DataKind = "pairs",
    how: How = "calibrated",
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, Calibration]:
    """The rows with their parts, suspicion and rank, in the same order. See the module and `parts`.

    how "calibrated" falls back to "percentile" where fewer than FEWEST rows, or no part, can be calibrated; the
    Calibration says which it was. progress: called with pairs compared and their number. Raises FusionError when
    vectors and rows don't go together.
    """
    if how not in ("calibrated", "percentile"):
        raise FusionError(f'There is no suspicion "{how}"; choose calibrated or percentile.')
    frame, sides = prepared(kind, frame, vectors)
    known = raw(frame, vectors, sides=sides, seed=seed, progress=progress)
    fold = (known.marks % np.uint64(FOLDS)).astype(np.int64)
    able = [name for name in known.own if _learnable(known, fold, name)] if how == "calibrated" else []
    shares = {name: percentiles(values.mean(1)) for name, values in known.own.items() if name not in able}
    if able:
        parts, suspicion, calibration = _calibrated(known, fold, able)
        parts |= shares
    else:
        parts = shares
        suspicion = _mean(list(parts.values()), len(frame))
        calibration = Calibration("percentile", dict.fromkeys(parts, 1.0))
    unused = tuple(name for name in PARTS if name in parts and name not in calibration.weights)
    calibration = Calibration(
        calibration.how, calibration.weights, calibration.bias, known.missing, unused, calibration.apart,
        calibration.learned, known.compared,
    )  # fmt: skip
    columns = {f"part_{name}": parts[name].astype(np.float32) for name in PARTS if name in parts}
    made = frame.assign(**columns, suspicion=suspicion)
    return made.assign(rank=ranked(suspicion, made["id"].astype(str).to_numpy(object))), calibration


def reweighed(frame: pd.DataFrame, weights: Mapping[str, float], calibration: Calibration) -> Array:
    """Suspicion of scored rows under other weights, sigmoid(b + sum w_p logit(part_p)) or the weighted mean. -> (N,)

    weights {part: at least 0}; parts without one weigh nothing. Raises FusionError on a part that isn't there.
    """
    for name, weight in weights.items():
        if f"part_{name}" not in frame or not weight >= 0:
            raise FusionError(f'"{name}" can\'t weigh {weight:g}; give parts of this run weights of 0 or more.')
    table = {name: frame[f"part_{name}"].to_numpy(np.float64, na_value=np.nan) for name in weights}
    known = {name: np.isfinite(values) for name, values in table.items()}
    some = np.any([known[name] for name in weights], axis=0) if weights else np.zeros(len(frame), bool)
    if calibration.how == "calibrated":
        total = np.full(len(frame), calibration.bias)
        for name, weight in weights.items():
            total += weight * np.where(known[name], logit(table[name]), 0.0)
        return np.where(some, _sigmoid(total), np.nan)
    total = sum((weights[name] * np.nan_to_num(table[name]) for name in weights), np.zeros(len(frame)))
    count = sum((weights[name] * known[name] for name in weights), np.zeros(len(frame)))
    return np.divide(total, count, out=np.full(len(frame), np.nan), where=count > 0)


def percentiles(values: Array) -> Array:
    """Share of the rows that lie lower, equal ones half: (N,) -> (N,) in (0, 1), NaN stays; 0.5 where all are equal."""
    from scipy.stats import rankdata  # slow to import

    known = np.isfinite(values)
    found = np.full(len(values), np.nan)
    if known.any():
        found[known] = (rankdata(values[known]) - 0.5) / known.sum()
    return found


def ranked(suspicion: Array, ids: Array) -> Array:
    """1 for the most suspicious; equal ones by id, and rows without a suspicion last. (N,), (N,) -> (N,) int64"""
    # Sorted as objects: an array of text pads every id to the longest, which can be gigabytes.
    by_id = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    order = by_id[np.argsort(-np.nan_to_num(suspicion, nan=-1.0)[by_id], kind="stable")]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(1, len(order) + 1)
    return place


def _learnable(known: Raw, fold: Array, name: str) -> bool:
    """Whether every fold leaves enough own and exchanged pairs that have the part."""
    if name not in known.exchanged:
        return False
    rows = fold[known.fitted]
    sides = [np.isfinite(known.own[name][known.fitted]).all(1), np.isfinite(known.exchanged[name]).all(1)]
    return all((side & (rows != one)).sum() >= FEWEST * (FOLDS - 1) / FOLDS for side in sides for one in range(FOLDS))


def _calibrated(known: Raw, fold: Array, able: Sequence[str]) -> tuple[dict[str, Array], Array, Calibration]:
    """Parts, suspicion and weights, each fold by what the others say."""
    own, fitted = known.own, known.fitted
    count, at = len(fold), fold[fitted]
    odds = {name: np.full(count, np.nan) for name in able}
    other = {name: np.full(len(fitted), np.nan) for name in able}  # of the exchanged pairs
    total, wrong = np.full(count, np.nan), np.full(len(fitted), np.nan)
    learned = []
    for one in range(FOLDS):
        rest, mine, theirs = at != one, fold == one, at == one
        table = np.zeros((2 * int(rest.sum()), len(able)))
        for column, name in enumerate(able):
            right, false = own[name][fitted[rest]], known.exchanged[name][rest]
            both = np.concatenate([right, false])
            slope, offset = logistic(both, np.repeat([0.0, 1.0], [len(right), len(false)]))
            table[:, column] = both @ slope + offset
            odds[name][mine] = own[name][mine] @ slope + offset
            other[name][theirs] = known.exchanged[name][theirs] @ slope + offset
        some = np.isfinite(table).any(1)
        label = np.repeat([0.0, 1.0], int(rest.sum()))
        weight, bias = logistic(np.nan_to_num(table[some]), label[some])
        for place, where, values in ((total, mine, odds), (wrong, theirs, other)):
            made = np.stack([values[name][where] for name in able], 1)
            score = np.nan_to_num(made) @ weight + bias
            place[where] = np.where(np.isfinite(made).any(1), score, np.nan)
        learned.append((weight, bias))
    weights = dict(zip(able, np.mean([w for w, _ in learned], 0).round(6).tolist(), strict=True))
    apart = {name: _apart(odds[name][fitted], other[name]) for name in able}
    apart["suspicion"] = _apart(total[fitted], wrong)
    bias = float(np.mean([b for _, b in learned]))
    parts = {name: _sigmoid(values) for name, values in odds.items()}
    return parts, _sigmoid(total), Calibration("calibrated", weights, bias, apart=apart, learned=len(fitted))


def _apart(own: Array, exchanged: Array) -> float:
    """Chance that an exchanged pair scores above an own one."""
    return round(auc(exchanged[np.isfinite(exchanged)], own[np.isfinite(own)]), 6)


def logistic(table: Array, label: Array) -> tuple[Array, float]:
    """Weights of at least 0 that best tell two kinds apart, both kinds weighing the same. -> (K,), offset

    table (P, K), label (P,) of 0 and 1. Rows with NaN are left out. A ridge on standardised columns keeps the weights
    finite where the kinds don't overlap; a constant column weighs nothing.
    """
    from scipy.optimize import minimize  # slow to import

    good = np.isfinite(table).all(1)
    x, y = table[good], label[good]
    middle, spread = x.mean(0), x.std(0)
    flat = spread <= 1e-9 * (1 + np.abs(middle))
    x = np.where(flat, 0.0, (x - middle) / np.where(flat, 1.0, spread))
    weight = np.where(y == 1, 0.5 / max(y.sum(), 1), 0.5 / max((1 - y).sum(), 1))

    def loss(theta: Array) -> tuple[float, Array]:
        z = x @ theta[:-1] + theta[-1]
        value = (weight * (np.logaddexp(0.0, z) - y * z)).sum() + theta[:-1] @ theta[:-1] / (2 * _RIDGE * len(y))
        off = weight * (_sigmoid(z) - y)
        return value, np.r_[x.T @ off + theta[:-1] / (_RIDGE * len(y)), off.sum()]

    start = np.zeros(x.shape[1] + 1)
    bounds = [(0.0, None)] * x.shape[1] + [(None, None)]
    theta = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"gtol": 1e-9, "ftol": 1e-14}).x
    slope = np.where(flat, 0.0, theta[:-1] / np.where(flat, 1.0, spread))
    return slope, float(theta[-1] - slope @ middle)


def _mean(values: Sequence[Array], count: int) -> Array:
    """Mean of the parts that a row has. -> (N,), NaN without any"""
    if not values:
        return np.full(count, np.nan)
    table = np.stack(values)
    some = np.isfinite(table).sum(0)
    return np.where(some > 0, np.nansum(table, 0) / np.maximum(some, 1), np.nan)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))  # NaN stays
