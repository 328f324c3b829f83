"""How good scores and classes are: error, correlation, agreement of sign and of rounded score, accuracy, macro F1.

Sentiment papers print "Acc-2" in two ways that differ by points: negative against not negative over all samples, and
negative against positive over those whose label is not 0. Both are here under their own names, never as "Acc-2".
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def pearson(said: Array, true: Array) -> float:
    """Correlation of two rows of numbers (N,), in [-1, 1]; 0 where one of them is constant."""
    a, b = said - said.mean(), true - true.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-12 else 0.0


def binary(said: Array, true: Array) -> tuple[float, float]:
    """Accuracy and F1 of yes and no, the F1 of both answers weighted by how often they are true. (N,) bool"""
    if not len(true):
        return 0.0, 0.0
    share = []
    for answer in (True, False):
        hit = float(((said == answer) & (true == answer)).sum())
        asked, given = float((true == answer).sum()), float((said == answer).sum())
        share.append((asked / len(true), 2 * hit / (asked + given) if asked + given else 0.0))
    return float((said == true).mean()), sum(weight * f1 for weight, f1 in share)


def of_scores(said: Array, true: Array, scale: tuple[float, float]) -> dict[str, float]:
    """Figures of predicted scores (N,) against true ones (N,) on a scale.

    mae and r; where the scale has a 0 inside: `sign` and `sign_f1` (negative against not negative, all samples),
    `sign_nonzero` and `sign_nonzero_f1` (negative against positive, labels other than 0); acc7 and acc5 where it is
    [-3, 3]: the rounded score, the latter cut at -2 and 2.
    """
    found = {"mae": float(np.abs(said - true).mean()), "r": pearson(said, true)}
    if scale[0] < 0 < scale[1]:
        found["sign"], found["sign_f1"] = binary(said >= 0, true >= 0)
        other = true != 0
        found["sign_nonzero"], found["sign_nonzero_f1"] = binary(said[other] > 0, true[other] > 0)
    if scale == (-3.0, 3.0):
        for name, most in (("acc7", 3), ("acc5", 2)):
            rounded = [np.round(np.clip(values, -most, most)) for values in (said, true)]
            found[name] = float((rounded[0] == rounded[1]).mean())
    return found


def confusion(said: Array, true: Array, classes: int) -> Array:
    """(C, C) counts; row: the true class, column: the one that was said. (N,) int each"""
    return np.bincount(true * classes + said, minlength=classes * classes).reshape(classes, classes)


def of_classes(said: Array, true: Array, classes: int) -> dict[str, float]:
    """Accuracy, macro F1 (the mean over the classes that occur), and the share of the commonest class. (N,) int"""
    table = confusion(said, true, classes)
    hit, asked, given = np.diag(table).astype(float), table.sum(1), table.sum(0)
    there = asked > 0
    f1 = 2 * hit / np.maximum(asked + given, 1)
    return {
        "accuracy": float(hit.sum() / max(1, len(true))), "macro_f1": float(f1[there].mean()) if there.any() else 0.0,
        "majority": float(asked.max() / max(1, len(true))),
    }  # fmt: skip
