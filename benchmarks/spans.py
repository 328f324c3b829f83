"""Entity spans of the gloss test split: whole spans right, with and without the picture, with and without word shapes.

Networks of the same settings and seeds are trained with pictures (`NAME-s37` ...), without any (`NAME-text-s37` ...),
and both again on encoder outputs without word shapes (`NAME-plain-...`): python -m fusion train maf --data gloss
[--set use_image=false] [--set shape_width=0] --seed 37 --name ... Gold tags were read one by one by one reader; silver
tags were made by a rule from capitals. Counts of all seeds of a sentence are added and drawn together; differences
resample sentences that share a picture together.
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
from fusion.types import FusionError


def measure(checkpoint: str) -> list[Row]:
    """F1 of the checkpoint and of its trained twins. Raises FusionError without them."""
    own = checkpoints.find(checkpoint).name
    with_picture, text_only = _seeds(f"{own}-s"), _seeds(f"{own}-text-s")
    plain, plain_text = _seeds(f"{own}-plain-s"), _seeds(f"{own}-plain-text-s")
    rows: list[Row] = []
    for tags in ("gold", "silver"):
        counts, pictures = _counts((own,), tags)
        rows.append(_f1(f"{own} (bundled), {tags} tags", counts, pictures))
        removed, _ = _counts((own,), tags, bare=True)
        rows.append(_gain(f"with the picture less without it, bundled network, {tags} tags", counts, removed, pictures))
        for names, others, what in ((with_picture, text_only, "word shapes"), (plain, plain_text, "no word shapes")):
            said = f"{what}, {tags} tags, {len(names)} seed{'s' if len(names) > 1 else ''}"
            counts, pictures = _counts(names, tags)
            theirs, _ = _counts(others, tags)
            rows.append(_f1(f"trained with pictures, {said}", counts, pictures, _apart(names, tags)))
            rows.append(_f1(f"trained without, {said}", theirs, pictures, _apart(others, tags)))
            rows.append(_gain(f"with pictures less without, {said}", counts, theirs, pictures, bar=tags == "gold"))
    return rows


def _seeds(start: str) -> tuple[str, ...]:
    names = tuple(c.name for c in checkpoints.listed() if c.name.startswith(start) and c.name[len(start) :].isdigit())
    if not names:
        raise FusionError(f'There is no checkpoint "{start}37"; train it first: see the head of benchmarks/spans.py.')
    return names


def _counts(names: tuple[str, ...], tags: str, *, bare: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Spans right, said and there by sentence, added over networks (N, 3), and which picture each sentence has (N,)."""
    parts = [_counted(name, tags, bare) for name in names]
    return np.sum([counts for counts, _ in parts], 0), parts[0][1]


@functools.cache
def _counted(name: str, tags: str, bare: bool) -> tuple[np.ndarray, np.ndarray]:
    test = _encoded(name, tags)
    pictures = test.features.image_of.numpy().copy()
    features = test.features
    if bare:
        features = replace(features, image_of=features.image_of.clone().fill_(-1))
    said = evaluation.outputs(test.model, features, pad=test.pads).tags
    return span_counts(evaluation.gold_tags(features, test.model.classes), said), pictures


def _apart(names: tuple[str, ...], tags: str) -> str:
    """Spread over seeds, "" for one."""
    each = [f1_of_counts(_counted(name, tags, False)[0]) for name in names]
    return f"; {min(each):.3f} to {max(each):.3f} over seeds" if len(each) > 1 else ""


@functools.cache
def _encoded(name: str, tags: str) -> HeldOut:
    return held_out(name, gloss.load("test", tags=tags))


def _f1(name: str, counts: np.ndarray, pictures: np.ndarray, apart: str = "") -> Row:
    found = bootstrap(counts, f1_of_counts, groups=pictures)
    return Row(f"span F1, {name}", found.value, n=len(counts), spread=between(found.low, found.high) + apart)


def _gain(name: str, own: np.ndarray, other: np.ndarray, pictures: np.ndarray, *, bar: bool = False) -> Row:
    found = paired_bootstrap(own, other, f1_of_counts, groups=pictures)
    said = {"n": len(own), "spread": between(found.low, found.high)}
    if bar:
        return at_least(f"span F1: {name}", found.value, "", 0.0, "at least 0", **said)
    return Row(f"span F1: {name}", found.value, **said)  # type: ignore[arg-type]
