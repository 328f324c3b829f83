"""The Map page of a data set of 10,000 pairs in a real headless Chromium, from its link to the points on screen.

The vectors are there, as after `observe`; PCA, figure, transfer and WebGL (in software) are all in the time. The server
has shown the page with other data before. Each run is another data set, so nothing of it was kept.
"""

from __future__ import annotations

import csv
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser

from benchmarks.map import PAIRS, vectors
from benchmarks.measuring import Row, at_most, spread
from fusion import checkpoints, observations
from fusion.checkpoints import Checkpoint
from fusion.data import gallery, open_data
from tests.browser.chromium import browser, settled
from tests.browser.server import Server, serve

REPEATS = 3
DRAWN = "() => document.querySelector('.js-plotly-plot .gl-container canvas') !== null"
PAINTED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def measure(checkpoint: str) -> list[Row]:
    """Open three data sets. Raises FusionError without the checkpoint."""
    found = checkpoints.find(checkpoint)
    with tempfile.TemporaryDirectory(prefix="fusion-bench-map-") as folder:
        home = Path(folder) / "home"
        shutil.copytree(found.folder, home / "checkpoints" / found.name)
        specs = [_data(Path(folder) / f"pairs{turn}", home, found, turn) for turn in range(REPEATS + 1)]
        with serve(FUSION_HOME=str(home), FUSION_DATA_ROOTS=folder) as server, browser() as chrome:
            _open(chrome, server, found.name, specs[0])
            seconds = [_open(chrome, server, found.name, spec) for spec in specs[1:]]
            again = [_open(chrome, server, found.name, spec) for spec in specs[1:]]
    middle, after = sorted(seconds)[REPEATS // 2], sorted(again)[REPEATS // 2]
    return [
        at_most("link to points on screen", middle, "s", 2, n=REPEATS, spread=spread(seconds, 2)),
        Row("the same a second time", after, "s", n=REPEATS, spread=spread(again, 2)),
    ]


def _data(folder: Path, home: Path, found: Checkpoint, seed: int) -> str:
    """Write pairs.csv and what `observe` would keep of it, with seeded vectors. -> its path"""
    folder.mkdir(parents=True)
    pictures = [Path(str(sample.image().path)) for sample in gallery.load()[::3]]  # type: ignore[union-attr]
    for picture in pictures:
        shutil.copy(picture, folder)
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["id", "image", "text"])
        for i in range(PAIRS):
            table.writerow([f"{seed}-{i}", pictures[i % len(pictures)].name, f"Sentence {i} of the set {seed}."])
    dataset = open_data(str(folder / "pairs.csv"))
    random, halves = np.random.default_rng(seed), vectors(seed=seed)
    numbers = {name: random.random(PAIRS).astype(np.float32) for name in ("match", "match_shuffled", "mean_gate")}
    frame = pd.DataFrame({
        "id": [s.id for s in dataset.samples], "split": "", "text": [s.text() for s in dataset.samples],
        "image": [str(s.image().path) for s in dataset.samples], "problem": "", "entities": "", **numbers,  # type: ignore[union-attr]
        "far": False, "cosine": (halves["text"] * halves["image"]).sum(1),
        "rank_text": random.integers(1, PAIRS, PAIRS).astype(np.float32),
        "rank_image": random.integers(1, PAIRS, PAIRS).astype(np.float32),
    })  # fmt: skip
    key = observations._key(found, dataset)
    observed = observations.Observed(dataset.key, found.name, frame, halves)
    observations.save(observed, home / "observations" / key, key)
    return str(folder / "pairs.csv")


def _open(chrome: Browser, server: Server, checkpoint: str, spec: str) -> float:
    """Seconds until the points are painted."""
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    started = time.perf_counter()
    page.goto(f"{server.url}/map?ckpt={checkpoint}&data={spec}", wait_until="commit")
    page.wait_for_function(DRAWN, timeout=240_000, polling="raf")
    page.evaluate(PAINTED)
    seconds = time.perf_counter() - started
    settled(page, 240)
    page.close()
    return seconds
