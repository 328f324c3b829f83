"""Planted mismatch: a share of the pictures of the gloss test split change places, and the share is estimated back.

The estimate is a mixture of the held-out scores kept with the checkpoint, which are of drawn pictures; four fifths of
the split are flags, which the score hardly tells apart, so its drawn pictures are reported by themselves, too.
Calibration is measured on test pairs and as many exchanged ones, which is what equal odds means.
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
from fusion.metrics.matching import auc
from fusion.metrics.mismatch import Mixture, fit_mixture, mismatch_rate
from fusion.types import Sample

RATES = (0.0, 0.1, 0.2, 0.4)
SEEDS = range(5)


def measure(checkpoint: str) -> list[Row]:
    """Estimates by rate, and the calibration error. Raises FusionError without the checkpoint or its reference."""
    test = held_out(checkpoint, gloss.load("test"))
    known = test.compared()
    drawn = held_out(checkpoint, _drawn("test"))
    mixture = fit_mixture(known.true, known.shuffled)
    return [
        *_rates("whole test split", test, mixture),
        *_rates("drawn pictures", drawn, mixture),
        *calibration("whole test split", test),
        *calibration("drawn pictures", drawn),
    ]


def _drawn(split: str) -> list[Sample]:
    return [sample for sample in gloss.load(split) if sample.note["group"] != "Flags"]


def _rates(name: str, test: HeldOut, mixture: Mixture) -> list[Row]:
    """Estimates for every planted rate, and how far the two kinds of pairs lie apart at all."""
    rows = [Row(f"{name}: AUC of true against exchanged pairs", auc(*_scores(test)), n=len(test.features))]
    errors: list[float] = []
    for rate in RATES:
        pairs = [_estimate(test, mixture, rate, seed) for seed in SEEDS]
        found, planted = (np.array(column) for column in zip(*pairs, strict=True))
        errors += np.abs(found - planted).tolist()
        off = abs(float(found.mean() - planted.mean()))
        rows.append(Row(
            f"{name}: estimated with {rate:.0%} planted, mean of {len(SEEDS)} seeds", 100 * float(found.mean()), "%",
            "within 5 points", off <= 0.05, len(test.features), between(100 * found.min(), 100 * found.max(), 1),
        ))  # fmt: skip
    most = 100 * max(errors)
    return [*rows, at_most(f"{name}: largest error of a single estimate", most, "points", 5, n=len(errors))]


def _estimate(test: HeldOut, mixture: Mixture, rate: float, seed: int) -> tuple[float, float]:
    """Estimated and planted share of exchanged pairs."""
    dataset = DataSet("test", "gloss test", tuple(test.samples))
    changed, planted = mismatch(dataset, rate, seed)
    own = dataset.index
    pictures = [own[sample.note.get("image_of", sample.id)] for sample in changed.samples]
    match = test.outputs(torch.tensor(pictures)).match
    return mismatch_rate(mixture, match, seed=seed, n=1).value, float(planted.mean())


def _scores(found: HeldOut) -> tuple[np.ndarray, np.ndarray]:
    """Scores of true pairs, and of the same texts with random other pictures, in the same order, once a seed."""
    own = found.outputs().match
    true, wrong = [], []
    for seed in SEEDS:
        rows = evaluation.negatives(found.features, seed)
        differ = (found.features.image_of[rows] != found.features.image_of).numpy()
        true.append(own[differ])
        wrong.append(found.outputs(rows).match[differ])
    return np.concatenate(true), np.concatenate(wrong)


def calibration(name: str, test: HeldOut) -> list[Row]:
    """ECE of the score and of the calibrated probability at equal odds, and the reliability curve of the latter."""
    true, wrong = _scores(test)
    scores, truth = np.concatenate((true, wrong)), np.repeat([True, False], [len(true), len(wrong)])
    curve = reliability(np.clip(test.compared().calibrated(scores), 0, 1), truth)
    raw = reliability(np.clip(scores, 0, 1), truth)
    return [
        Row(f"{name}: ECE of the score as it is, equal odds, 10 bins of equal mass", raw.ece, n=len(scores)),
        Row(f"{name}: ECE of the calibrated probability", curve.ece, n=len(scores)),
        *(
            Row(f"{name}: share of true pairs where {promised:.2f} was promised", float(observed), n=int(count))
            for promised, observed, count in zip(curve.promised, curve.observed, curve.counts, strict=True)
        ),
    ]
