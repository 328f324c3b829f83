"""The suspicion under weights of one's own, asked of the rows where they lie: `score.reweighed` in SQL.

    Weighing.of({"match": 1.0, "rank": 0.5}, calibration)
    .sql(names) -> (expression, its values)     log odds where the run is calibrated, else a weighted mean; empty for a
                                                row that has none of the parts

Log odds order as the suspicion does, and go on telling rows apart where it is 1 to the last digit. Weights are
parameters of the query; a part's column is named by who asks, who checks that it is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.files import shorten
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.triage.score import Calibration

EDGE = 1e-7  # how far a part is kept from 0 and 1, as `metrics.calibration.logit` does
STEEP = 40.0  # log odds beyond which a suspicion is 0 or 1


@dataclass(frozen=True)
class Weighing:
    """Weights of parts, and how the run made its suspicion."""

    weights: tuple[tuple[str, float], ...]
    calibrated: bool
    bias: float = 0.0

    @classmethod
    def of(cls, weights: Mapping[str, float], calibration: Calibration) -> Weighing:
        """Weights {part: at least 0} for a run. Raises FusionError on a weight that is none."""
        for name, weight in weights.items():
            if not 0 <= weight < np.inf:
                raise FusionError(f'"{shorten(name)}" can\'t weigh {weight:g}; give parts weights of 0 or more.')
        told = tuple((name, float(weight)) for name, weight in weights.items())
        return cls(told, calibration.how == "calibrated", float(calibration.bias))

    def sql(self, names: Mapping[str, str]) -> tuple[str, list[float]]:
        """The expression that orders rows, the most suspicious highest, and its values. names: {part: its column}"""
        if not self.weights:
            return "NULL::DOUBLE", []
        known = {name: f"isfinite(TRY_CAST({names[name]} AS DOUBLE))" for name, _ in self.weights}
        inner = f"least(greatest(TRY_CAST({{}} AS DOUBLE), {EDGE}), {1 - EDGE})"
        value = {name: inner.format(names[name]) for name, _ in self.weights}
        heavy = [weight for _, weight in self.weights]
        if self.calibrated:
            odds = {name: f"ln({one}) - ln(1 - {one})" for name, one in value.items()}
            total = " + ".join(f"?::DOUBLE * CASE WHEN {known[n]} THEN {odds[n]} ELSE 0 END" for n in odds)
            some = " OR ".join(f"coalesce({one}, false)" for one in known.values())
            return f"CASE WHEN {some} THEN ?::DOUBLE + {total} END", [self.bias, *heavy]
        total = " + ".join(
            f"?::DOUBLE * CASE WHEN {known[n]} THEN TRY_CAST({names[n]} AS DOUBLE) ELSE 0 END" for n in known
        )
        count = " + ".join(f"?::DOUBLE * CASE WHEN {known[n]} THEN 1 ELSE 0 END" for n in known)
        return f"({total}) / nullif({count}, 0)", [*heavy, *heavy]

    def suspicion(self, ordered: np.ndarray) -> np.ndarray:
        """The suspicion of what `sql` gave, 0..1. (N,) -> (N,) float64, NaN stays"""
        values = np.asarray(ordered, np.float64)
        return 1 / (1 + np.exp(-np.clip(values, -STEEP, STEEP))) if self.calibrated else values
