"""Entity spans of the gloss test split under every bundled network: whole spans right, with and without the picture.

Gold tags were read one by one by one reader; silver tags were made by a rule from capitals. The text-only network is
the same one trained without pictures. Differences resample sentences that share a picture together.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from benchmarks.held_out import HeldOut, held_out
from benchmarks.measuring import Row, at_least, between
from fusion import checkpoints, evaluation
from fusion.data import gloss
from fusion.metrics.intervals import bootstrap, paired_bootstrap
from fusion.metrics.tagging import f1_of_counts, span_counts


def measure(checkpoint: str) -> list[Row]:
    """F1 of the checkpoint, of its text-only twins, and their difference. Raises FusionError without the checkpoint."""
    own = checkpoints.find(checkpoint)
    others = [c for c in checkpoints.listed() if c.name != own.name and c.name.startswith(f"{own.name}-")]
    rows: list[Row] = []
    for tags in ("gold", "silver"):
        counts, pictures = _counts(own.name, tags)
        rows.append(_f1(f"{own.name}, {tags} tags", counts, pictures))
        removed, _ = _counts(own.name, tags, bare=True)
        rows.append(_f1(f"{own.name} with the picture taken away, {tags} tags", removed, pictures))
        rows.append(_gain(f"with the picture less without it, same network, {tags} tags", counts, removed, pictures))
        for other in others:
            theirs, _ = _counts(other.name, tags)
            rows.append(_f1(f"{other.name}, {tags} tags", theirs, pictures))
            rows.append(_gain(f"{own.name} less {other.name}, {tags} tags", counts, theirs, pictures,
                              bar=tags == "gold" and other.name.endswith("-text")))  # fmt: skip
    return rows


def _counts(name: str, tags: str, *, bare: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Spans right, said and there by sentence (N, 3), and which picture each sentence has (N,)."""
    test = _encoded(name, tags)
    pictures = test.features.image_of.numpy().copy()
    features = test.features
    if bare:
        features = replace(features, image_of=features.image_of.clone().fill_(-1))
    said = evaluation.outputs(test.model, features, pad=test.pads).tags
    return span_counts(evaluation.gold_tags(features, test.model.classes), said), pictures


@functools.cache
def _encoded(name: str, tags: str) -> HeldOut:
    return held_out(name, gloss.load("test", tags=tags))


def _f1(name: str, counts: np.ndarray, pictures: np.ndarray) -> Row:
    found = bootstrap(counts, f1_of_counts, groups=pictures)
    return Row(f"span F1 of {name}", found.value, n=len(counts), spread=between(found.low, found.high))


def _gain(name: str, own: np.ndarray, other: np.ndarray, pictures: np.ndarray, *, bar: bool = False) -> Row:
    found = paired_bootstrap(own, other, f1_of_counts, groups=pictures)
    said = {"n": len(own), "spread": between(found.low, found.high)}
    if bar:
        return at_least(f"span F1: {name}", found.value, "", 0.0, "at least 0", **said)
    return Row(f"span F1: {name}", found.value, **said)  # type: ignore[arg-type]
