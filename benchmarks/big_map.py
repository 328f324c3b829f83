"""The Map page of a data set of 10,000 pairs in a real headless Chromium, from its link to the points on screen.

The vectors are there, as after `observe`; PCA, labels, transfer and painting are all in the time. The server
has shown the page with other data before. Each run is another data set, so nothing of it was kept.

Below, the same canvas with 50,000 and 500,000 points in 40 clusters on a page of its own:
from its link to the points on screen, in a tab without a cache; and from the end of a lasso round about
a quarter of them to these points standing out on the map, with the script run again. Processor seconds are those of
the server and of all of Chromium's processes together.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser, Page

from benchmarks.map import PAIRS, vectors
from benchmarks.measuring import Row, at_most, spread
from fusion import checkpoints, observations
from fusion.checkpoints import Checkpoint
from fusion.data import gallery, open_data
from tests.browser.chromium import browser, settled
from tests.browser.server import ROOT, Server, serve

REPEATS = 3
CLOUDS = {50_000: (2.5, 1.2), 500_000: (3.0, 1.5)}  # points: seconds to the first picture, to what a lasso holds
STAGE = """[...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')]
    .map(part => part.shadowRoot?.querySelector('.stage')).find(Boolean)"""
DRAWN = f"() => {STAGE}?.dataset.drawn"
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
        *clouds(),
    ]


def clouds(repeats: int = REPEATS) -> list[Row]:
    """The canvas with very many points: first picture and lasso."""
    rows = []
    with serve(app=ROOT / "tests/browser/cloud_page.py", PYTHONPATH=str(ROOT)) as server, browser() as chrome:
        for count, (first, answer) in CLOUDS.items():
            times = [_cloud(chrome, server, count) for _ in range(repeats + 1)][1:]  # the first one imports
            for at, (name, bar) in enumerate((("first picture", first), ("what a lasso holds stands out", answer))):
                wall, cpu = [run[2 * at] for run in times], [run[2 * at + 1] for run in times]
                said = f"{count:,} points: {name}"
                rows.append(at_most(said, float(np.median(wall)), "s", bar, n=repeats, spread=spread(wall, 2)))
                rows.append(
                    Row(f"{said}, processor time", float(np.median(cpu)), "s", n=repeats, spread=spread(cpu, 2))
                )
    return rows


def _cloud(chrome: Browser, server: Server, count: int) -> tuple[float, float, float, float]:
    """Seconds and processor seconds of the first picture, then of a lasso."""
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    started, spent = time.perf_counter(), _spent()
    page.goto(f"{server.url}/?n={count}", wait_until="commit")
    page.wait_for_function(DRAWN, timeout=240_000, polling="raf")
    page.evaluate(PAINTED)
    first, first_spent = time.perf_counter() - started, _spent() - spent
    page.get_by_text("rows 0").wait_for(timeout=240_000)
    _draw(page)
    started, spent = time.perf_counter(), _spent()
    page.mouse.up()
    page.wait_for_function(f"() => {STAGE}?.dataset.chosen", timeout=240_000, polling="raf")
    page.evaluate(PAINTED)
    answer, answer_spent = time.perf_counter() - started, _spent() - spent
    page.close()
    return first, first_spent, answer, answer_spent


def _draw(page: Page) -> None:
    """A lasso of many corners round the middle, up to its last one."""
    stage = page.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    angles = np.linspace(0, 2 * np.pi, 60)
    at = np.stack((np.cos(angles), np.sin(angles)), 1) * box["height"] / 5
    at += (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*at[0].tolist())
    page.mouse.down()
    for x, y in at[1:].tolist():
        page.mouse.move(x, y)


def _spent() -> float:
    """Processor seconds so far of all that this process has started, and of what those have."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
        ticks[int(folder.name)] = int(fields[11]) + int(fields[12])
    found, total = [os.getpid()], 0
    while found:
        children = parents.get(found.pop(), [])
        total += sum(ticks.get(child, 0) for child in children)
        found += children
    return total / os.sysconf("SC_CLK_TCK")


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
