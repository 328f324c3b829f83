"""The mean gate of a sentence against what removing its picture does to the tags, over the gloss test split.

The effect is the change of the mean marginal probability of the predicted tags (the drop test of every inspection).
Spearman's rank correlation; sentences that share a picture are resampled together.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.held_out import HeldOut, held_out
from benchmarks.measuring import Row, between
from fusion.data import gloss
from fusion.explain.ablation import confidence
from fusion.inference import first_pieces
from fusion.metrics.intervals import bootstrap
from fusion.signals import Gate, Marginals, Norms


def measure(checkpoint: str) -> list[Row]:
    """Correlations with intervals. Raises FusionError without the checkpoint."""
    test = held_out(checkpoint, gloss.load("test"))
    gate, share, match, signed = effects(test)
    group = test.features.image_of.numpy()
    pairs = (
        ("mean gate and the size of the change", gate, np.abs(signed)),
        ("mean gate and the loss of confidence", gate, signed),
        ("length of the gated picture part and the size of the change", share, np.abs(signed)),
        ("match score and the size of the change", match, np.abs(signed)),
    )
    rows = []
    for name, one, other in pairs:
        found = bootstrap(np.stack((one, other), 1), _spearman, groups=group, n=500)
        rows.append(Row(f"Spearman of {name}", found.value, n=len(group), spread=between(found.low, found.high)))
    size = 100 * np.abs(signed)
    low, high = np.percentile(size, [10, 90])
    rows.append(Row("size of the change, median (spread: 10 to 90 % of sentences)", float(np.median(size)), "points",
                    n=len(size), spread=between(low, high, 2)))  # fmt: skip
    return rows


def effects(test: HeldOut, size: int = 64) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean gate, mean length of the gated part, match score, and confidence lost without the picture. -> four (N,)"""
    kept: dict[int, tuple[float, float, float, float]] = {}
    order = torch.argsort(test.features.text_mask.sum(1), stable=True)
    with torch.inference_mode():
        for rows in order.split(size):
            batch = test.features.batch(rows, pad=test.pads)
            own, bare = test.model(batch), test.model(batch.without("image"))
            gate, norm, sure = (own.trace.first(kind) for kind in (Gate, Norms, Marginals))
            unsure = bare.trace.first(Marginals)
            assert gate is not None
            assert norm is not None
            assert sure is not None
            assert unsure is not None
            for i, row in enumerate(rows.tolist()):
                words = first_pieces(test.features.names[row].group)[: gate.mask.shape[1]]
                words = torch.nn.functional.pad(words, (0, gate.mask.shape[1] - len(words)))
                both = torch.stack((sure.value[i], unsure.value[i]))
                loss = confidence(both, own.prediction[i], words)
                kept[row] = (
                    float(gate.value[i].mean(-1)[words].mean()), float(norm.value[i][words].mean()),
                    float(own.extras["match"][i]), float(loss[0] - loss[1]),
                )  # fmt: skip
    table = np.array([kept[row] for row in range(len(test.features))])
    return table[:, 0], table[:, 1], table[:, 2], table[:, 3]


def _spearman(rows: np.ndarray) -> float:
    """Rank correlation of two columns, ties sharing their mean rank. (N, 2) -> ()"""
    from scipy.stats import rankdata

    one, other = rankdata(rows[:, 0]), rankdata(rows[:, 1])
    return float(np.corrcoef(one, other)[0, 1])
