"""The Map page's work for 10,000 pairs, 20,000 points of 384 numbers, once their vectors are there.

Centring, PCA and the figure with its table and 50 pair lines; then the figure as the JSON that the browser gets.
Vectors are seeded, in 40 clusters with a gap between texts and images.
"""

from __future__ import annotations

import os
import tempfile

import numpy as np

from benchmarks.measuring import Row, Times, at_most, milliseconds, spread

PAIRS, WIDTH, CLUSTERS, REPEATS = 10_000, 384, 40, 7


def vectors(pairs: int = PAIRS, seed: int = 0) -> dict[str, np.ndarray]:
    """Unit vectors of texts and images, each (pairs, WIDTH) float32."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(CLUSTERS, WIDTH))
    cluster = random.integers(0, CLUSTERS, pairs)
    gap = random.normal(size=(2, WIDTH)) * 0.7
    made = {}
    for name, offset in zip(("text", "image"), gap, strict=True):
        x = centres[cluster] + offset + random.normal(size=(pairs, WIDTH))
        made[name] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return made


def measure(checkpoint: str) -> list[Row]:
    """Time fresh vectors each time, because a map is kept on disk by content."""
    with tempfile.TemporaryDirectory(prefix="fusion-bench-home-") as folder:
        os.environ["FUSION_HOME"] = folder
        return _measure()


def _measure() -> list[Row]:
    from fusion.projections import project
    from fusion.views import embedding

    fit, draw, send, all_ = Times(), Times(), Times(), Times()
    ids = [f"pair-{i:05d}" for i in range(PAIRS)] * 2
    kinds = np.repeat(["text", "image"], PAIRS)
    size = 0
    for turn in range(REPEATS + 1):
        halves = vectors(seed=turn)
        rows = np.concatenate([halves["text"], halves["image"]])
        lines = np.stack((np.arange(50), PAIRS + np.arange(50)), 1)
        apart = np.linalg.norm(rows[lines[:, 0]] - rows[lines[:, 1]], axis=1)
        with all_.one():
            with fit.one():
                made = project(rows, "pca", labels=kinds, centred=True)
            with draw.one():
                picture = embedding.scatter(made.points, kinds.tolist(), ids, pairs=lines, distances=apart)
            with send.one():
                size = len(str(picture.figure.to_json()))
    for times in (fit, draw, send, all_):
        del times.wall[0], times.cpu[0]  # the first one imports
    return [
        milliseconds("PCA of 20,000 x 384 with centring, kept on disk", fit),
        milliseconds("figure, table and text alternative", draw),
        milliseconds("figure as JSON", send),
        Row("size of that JSON", size / 1e6, "MB"),
        at_most("all of it, server time", all_.median, "s", 1.0, n=REPEATS, spread=spread(all_.wall, 2)),
        Row("all of it, processor time", float(np.median(all_.cpu)), "s", n=REPEATS, spread=spread(all_.cpu, 2)),
    ]
