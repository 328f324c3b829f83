"""Planted mismatch: a share of the pictures of the gloss test split change places, and the share is estimated back.

The estimate is a mixture of the validation scores kept with the checkpoint. Calibration is measured on test pairs and
as many exchanged ones, which is what equal odds means.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.held_out import HeldOut, held_out
from benchmarks.measuring import Row, at_most, between
from fusion import evaluation
from fusion.data import gloss
from fusion.data.dataset import DataSet
from fusion.data.mismatch import mismatch
from fusion.metrics.calibration import reliability
from fusion.metrics.mismatch import fit_mixture, mismatch_rate

RATES = (0.0, 0.1, 0.2, 0.4)
SEEDS = range(5)


def measure(checkpoint: str) -> list[Row]:
    """Estimates by rate, and the calibration error. Raises FusionError without the checkpoint or its reference."""
    test = held_out(checkpoint, gloss.load("test"))
    rows: list[Row] = []
    errors: list[float] = []
    for rate in RATES:
        found, planted = zip(*(_estimate(test, rate, seed) for seed in SEEDS), strict=True)
        error = np.abs(np.array(found) - np.array(planted))
        errors += error.tolist()
        off = abs(float(np.mean(found)) - float(np.mean(planted)))
        rows.append(Row(
            f"estimated rate with {rate:.0%} planted, mean of {len(SEEDS)} seeds", 100 * float(np.mean(found)), "%",
            "within 5 points", off <= 0.05, len(test.features), between(100 * min(found), 100 * max(found), 1),
        ))  # fmt: skip
    rows.append(at_most("largest error of a single estimate", 100 * max(errors), "points", 5, n=len(errors)))
    return rows + calibration(test)


def _estimate(test: HeldOut, rate: float, seed: int) -> tuple[float, float]:
    """Estimated and planted share of exchanged pairs."""
    dataset = DataSet("test", "gloss test", tuple(test.samples))
    changed, planted = mismatch(dataset, rate, seed)
    own = dataset.index
    pictures = [own[sample.note.get("image_of", sample.id)] for sample in changed.samples]
    match = test.outputs(torch.tensor(pictures)).match
    known = test.compared()
    rates = mismatch_rate(fit_mixture(known.true, known.shuffled), match, seed=seed, n=1)
    return rates.value, float(planted.mean())


def calibration(test: HeldOut) -> list[Row]:
    """ECE of the score and of the calibrated probability at equal odds, and the reliability curve of the latter."""
    known = test.compared()
    own = test.outputs().match
    true, wrong = [], []
    for seed in SEEDS:
        rows = evaluation.negatives(test.features, seed)
        differ = (test.features.image_of[rows] != test.features.image_of).numpy()
        true.append(own[differ])
        wrong.append(test.outputs(rows).match[differ])
    scores = np.concatenate([*true, *wrong])
    truth = np.repeat([True, False], [sum(map(len, true)), sum(map(len, wrong))])
    calibrated = np.clip(known.calibrated(scores), 0, 1)
    curve = reliability(calibrated, truth)
    raw = reliability(np.clip(scores, 0, 1), truth)
    said = [
        Row("ECE of the score as it is, equal odds, 10 bins of equal mass", raw.ece, n=len(scores)),
        Row("ECE of the calibrated probability", curve.ece, n=len(scores)),
    ]
    return said + [
        Row(f"share of true pairs where {promised:.2f} was promised", float(observed), n=int(count))
        for promised, observed, count in zip(curve.promised, curve.observed, curve.counts, strict=True)
    ]
