"""The twelve photographs with a caption that fits, one with a wrong detail and an unrelated one.

They are far from what the bundled model was trained on (drawn pictures and flags). The AUC is that of the fitting
caption's score against the other two, beside the untrained ConSE space; photographs are resampled whole.
"""

from __future__ import annotations

import numpy as np

from benchmarks.held_out import HeldOut, conse_cosines, held_out
from benchmarks.measuring import Row, between
from fusion.data import gallery, gloss
from fusion.metrics.intervals import bootstrap, paired_bootstrap, wilson
from fusion.metrics.matching import auc


def measure(checkpoint: str) -> list[Row]:
    """AUCs with intervals, and how often the notice of far inputs shows. Raises FusionError without the checkpoint."""
    photographs = held_out(checkpoint, gallery.load())
    test = held_out(checkpoint, gloss.load("test"))
    kind = np.array([sample.note["caption"] for sample in photographs.samples])
    group = np.array([sample.note["photograph"] for sample in photographs.samples])
    match, conse = photographs.outputs().match, conse_cosines(photographs.features)
    rows = []
    for name, others in (("the other two", kind != gallery.FITS), ("a wrong detail", kind == gallery.DETAIL),
                         ("an unrelated one", kind == gallery.UNRELATED)):  # fmt: skip
        some = (kind == gallery.FITS) | others
        fits = kind[some] == gallery.FITS
        for what, scores in (("match score", match), ("ConSE", conse)):
            found = bootstrap(np.stack((scores[some], fits), 1), _auc, groups=group[some])
            rows.append(Row(f"AUC of the fitting caption against {name}, {what}", found.value, n=len(set(group)),
                            spread=between(found.low, found.high)))  # fmt: skip
    fits = kind == gallery.FITS
    gain = paired_bootstrap(np.stack((match, fits), 1), np.stack((conse, fits), 1), _auc, groups=group)
    rows.append(Row("AUC against the other two, match score less ConSE", gain.value, n=len(set(group)),
                    spread=between(gain.low, gain.high)))  # fmt: skip
    return [*rows, *_far("gallery", photographs), *_far("gloss test", test)]


def _auc(rows: np.ndarray) -> float:
    """AUC of rows of (score, whether the caption fits). (N, 2) -> ()"""
    fits = rows[:, 1] > 0
    return auc(rows[fits, 0], rows[~fits, 0])


def _far(name: str, found: HeldOut) -> list[Row]:
    """How many pictures and texts are called unlike the training data, each different one counted once."""
    places = found.compared().places
    features = found.features
    pictures = features.image_of[features.image_of >= 0].unique()
    pooled = {"image": features.image_pooled[pictures].numpy(), "text": features.text_pooled.numpy()}
    rows = []
    for modality, place in sorted(places.items()):
        far = place.far(pooled[modality])
        interval = wilson(int(far.sum()), len(far))
        rows.append(Row(f"{name}: {modality}s called unlike the training data", 100 * interval.value, "%", n=len(far),
                        spread=between(100 * interval.low, 100 * interval.high, 1)))  # fmt: skip
    return rows
