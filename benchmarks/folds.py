"""Five folds over the pictures' definitions: networks trained without a fold, measured on it, beside untrained ConSE.

Training takes hours and is done by `python -m benchmarks.protocol`; this reads the scores that it kept. Intervals
resample pairs, all seeds of a pair together. No epoch is chosen on a test fold. Recipes before this one were changed
three times after looking at these folds' figures; this one (the start, and the held matching path) was chosen on inner
validation folds, whose pairs are the test fold of another run: mildly optimistic.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks import protocol
from benchmarks.measuring import Row, at_least, between
from fusion import evaluation, experiment
from fusion.data import gloss
from fusion.encoders import image_encoder, text_encoder
from fusion.encoders.conse import Conse
from fusion.files import home
from fusion.metrics.matching import auc
from fusion.metrics.retrieval import ranks, recall_at
from fusion.types import FusionError


def measure(checkpoint: str) -> list[Row]:
    """Figures of the kept folds. The checkpoint is not used. Raises FusionError when no fold was kept."""
    paths = sorted((home() / "protocol").glob("*-*.npz"))
    if not paths:
        raise FusionError("No fold was kept; run python -m benchmarks.protocol first.")
    results: list[dict[str, Any]] = [dict(np.load(path)) for path in paths]
    said = json.loads(json.dumps(protocol.pooled(results)))
    pairs, seeds = said["pairs"], said["seeds"]
    over = f"mean of five folds, {seeds} seed{'s' if seeds > 1 else ''}"

    def figure(key: str) -> dict[str, Any]:
        spread = f"{said['sd_over_seeds'][key]:.3f} between seeds, {said['sd_over_folds'][key]:.3f} between folds"
        return {"value": said["mean"][key], "n": pairs, "spread": spread}

    auc, near, r10 = figure("auc"), figure("auc_group"), figure("r10")
    gain = said["r10_gain_over_conse"]
    estimates = [(rate, protocol.planted(results, rate)) for rate in (0.0, 0.1, 0.2, 0.4)]
    together = {name: said[f"{name}_all_folds"] for name in ("auc", "r10")}
    return [
        at_least(f"AUC, true against random pictures, {over}", unit="", limit=0.81, words="above .81", **auc),
        at_least("AUC, true against pictures of the same group", unit="", limit=0.73, words="above .73", **near),
        at_least("R@10, text to picture, among the fold's pictures", unit="", limit=0.50, words="above .50", **r10),
        Row("R@1", **figure("r1")),
        Row("R@5", **figure("r5")),
        Row("R@10 of ConSE, same pairs", **figure("conse_r10")),
        Row("R@10 less that of ConSE, paired", gain[0], "", "interval above 0", gain[1] > 0, pairs, between(*gain[1:])),
        Row("AUC over all folds together", together["auc"][0], n=pairs, spread=between(*together["auc"][1:])),
        Row("R@10 over all folds together", together["r10"][0], n=pairs, spread=between(*together["r10"][1:])),
        *(
            Row(
                f"share of wrong pairs estimated with {rate:.0%} planted, mean of {len(found)} draws of half the pairs",
                float(found.mean()), "", "within .05", bool(abs(found.mean() - rate) <= 0.05), pairs // 2,
                f"{np.mean(np.abs(found - rate) <= 0.05):.0%} of single estimates within .05",
            )
            for rate, found in estimates
        ),
        *untrained(),
    ]  # fmt: skip


def untrained() -> list[Row]:
    """ConSE over all definitions as one gallery, five times the size of a fold's."""
    made = experiment.material(gloss.protocol())
    pairs, conse = made.features, Conse(text_encoder("minilm"), image_encoder("efficientnet-lite0"))
    text = np.asarray(conse.embed_texts(pairs.text_pooled))
    image = np.asarray(conse.embed_images(pairs.image_pooled[pairs.image_of]))
    own = (text * image).sum(1)
    found = recall_at(ranks(text, image), (1, 5, 10))
    rows = [Row(f"R@{k} of ConSE, all definitions as one gallery", found[k], n=len(own)) for k in found]
    for group, words in ((None, "random pictures"), (made.group, "pictures of the same group")):
        drawn = [evaluation.negatives(pairs, i, group).numpy() for i in range(protocol.DRAWS)]
        differ = drawn[0] != np.arange(len(own))
        wrong = np.concatenate([(text * image[other]).sum(1)[differ] for other in drawn])
        rows.append(Row(f"AUC of ConSE against {words}", auc(np.tile(own[differ], len(drawn)), wrong), n=len(own)))
    return rows
