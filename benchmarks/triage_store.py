"""A run over a million made-up pairs, its features given (64 numbers a half): asked in a process of its own.

Shards, vectors, suspicion and the sorted file are written as in any run, at 512 pairs a shard; a tenth of the pairs is
wrong. Then another process opens the run, and shows pages, filters and counts, five times each; the slowest kind of
question counts, by its median. Partners and near duplicates, each time of another row, are found by lists (FAISS) and,
apart from those questions, by the scan of all rows. Memory is the highest that a process ever took, PyTorch and pandas
included.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import Row, at_most, spread
from fusion.data.dataset import DataSet
from fusion.files import digest, home
from fusion.observations import Chunk
from fusion.triage import index, partners, running
from fusion.triage.conditions import Condition
from fusion.triage.engine import Inspector
from fusion.triage.store import Store
from fusion.types import Image, Sample, Text

COUNT, WIDTH, REPEATS = 1_000_000, 64, 5
PROBES = 20  # rows whose nearest are found by lists and by the scan
ASK = "import sys; from pathlib import Path; from benchmarks import triage_store as t; t.ask(Path(sys.argv[1]))"
WRITE = "import sys; from pathlib import Path; from benchmarks import triage_store as t; t.write(Path(sys.argv[1]))"


class Given(Inspector):
    """Pairs whose features are there already."""

    def __init__(self, data: DataSet, checkpoint: object = None) -> None:
        super().__init__(data, None)

    def _pipeline_of(self, samples: list[Sample]) -> Chunk:  # type: ignore[override]
        rows = np.arange(len(samples)) + int(samples[0].id)
        random = np.random.default_rng(int(samples[0].id))
        text, noise = random.standard_normal((2, len(samples), WIDTH), np.float32)
        image = np.where((rows % 10 == 0)[:, None], noise, text + noise)
        text, image = (half / np.linalg.norm(half, axis=1, keepdims=True) for half in (text, image))
        match = random.random((2, len(samples)), np.float32)
        columns = {
            "match": match[0] ** 0.3, "match_shuffled": match[1] ** 3, "mean_gate": random.random(len(samples)),
            "far": rows % 50 == 0, "exchanged": np.roll(rows, 7) - rows, "text": text, "image": image,
        }  # fmt: skip
        return Chunk(columns, [], {})


def pairs() -> DataSet:
    """The pairs as a reader would give them."""
    root = Path("pictures")
    samples = tuple(
        Sample(
            str(row), {"text": Text(f"A caption of a dozen words or so that tells of picture number {row}"),
                       "image": Image(path=root / f"{row % 1000:03d}/{row}.jpg")},
            ("train", "valid", "test")[row % 3], note={"group": f"group {row % 40}", "source": f"source {row % 7}"},
        )
        for row in range(COUNT)
    )  # fmt: skip
    return DataSet("million", "A million pairs", samples, digest=digest("million"))


def measure(checkpoint: str) -> list[Row]:
    """Write the run, then ask it. checkpoint: not used, the features are given."""
    with tempfile.TemporaryDirectory(prefix="fusion-bench-triage-") as folder:
        made = _child(WRITE, folder)
        told = _child(ASK, folder)
    slow = max(told["questions"].items(), key=lambda item: float(np.median(item[1])))
    page = told["questions"]["ranked page"]
    return [
        at_most("store opens", told["open"], "s", 2),
        at_most("ranked page", float(np.median(page)), "s", 1, n=REPEATS, spread=spread(page, 3)),
        at_most(f"slowest of {len(told['questions'])} questions: {slow[0]}", float(np.median(slow[1])), "s", 1,
                n=REPEATS, spread=spread(slow[1], 3)),
        at_most("memory of the process that asks", told["memory"], "GB", 2),
        *(Row(name, float(np.median(times)), "s", n=REPEATS, spread=spread(times, 3))
          for name, times in told["questions"].items() if name not in (slow[0], "ranked page")),
        Row("whole run but for features: shards, suspicion, sorting", made["seconds"], "s", n=COUNT),
        Row("of it suspicion and sorting", made["after"], "s", n=COUNT),
        Row("memory of the run", made["memory"], "GB"),
        Row("of it the samples", made["samples"], "GB"),
        Row("of it the lists of both sides", made["lists"], "s", n=COUNT),
        Row("rows on disk", made["bytes"] / 1e6, "MB", n=COUNT),
        Row("lists on disk", made["lists_bytes"] / 1e6, "MB", n=COUNT),
        Row("the sides of the run, opened before the first of these", told["finder"], "s"),
        *(Row(f"{name}, by the scan", float(np.median(times)), "s", n=REPEATS, spread=spread(times, 3))
          for name, times in told["scans"].items()),
        *(Row(f"of the {k} nearest found by lists", share, n=PROBES) for k, share in told["found"].items()),
    ]  # fmt: skip


def _child(program: str, folder: str) -> dict[str, Any]:  # Any: what JSON holds
    own = os.environ | {"FUSION_HOME": str(Path(folder) / "home")}  # the lists go there, and with the folder
    said = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True, env=own)
    return json.loads(said.stdout.splitlines()[-1])


def write(folder: Path) -> None:
    """The run, and what it took, as JSON."""
    running.Inspector = Given  # type: ignore[misc,assignment]
    dataset, ended, sorting = pairs(), [0.0], [0.0]
    samples = _memory()
    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        ended[0] = time.perf_counter()

    def indexed(*given: Any) -> bool:
        before = time.perf_counter()
        made = partners.indexed(*given)
        sorting[0] = time.perf_counter() - before
        return made

    running.indexed = indexed  # type: ignore[assignment]
    store = running.inspect_set(dataset, out=folder / "run", progress=progress)
    done = time.perf_counter()
    size = (store.folder / store.meta["rows"]).stat().st_size
    lists = sum(path.stat().st_size for path in (home() / "triage" / "indexes").rglob("*") if path.is_file())
    print(json.dumps({"seconds": done - started, "after": done - ended[0] - sorting[0], "memory": _memory(),
                      "samples": samples, "bytes": size, "lists": sorting[0], "lists_bytes": lists}))  # fmt: skip


def ask(folder: Path) -> None:
    """Times of every kind of question, as JSON."""
    started = time.perf_counter()
    store = Store.open(folder / "run")
    opened = time.perf_counter() - started
    ids = [str(row) for row in range(0, COUNT, COUNT // 200)]
    some = [Condition("note_group", "in", ["group 3", "group 5"]), Condition("part_cosine", ">", 0.5)]
    rows = itertools.cycle(str(row) for row in range(7, COUNT, COUNT // 29))
    near: dict[str, Callable[[], object]] = {
        "partners of a row": lambda: partners.better(store, next(rows)),
        "near duplicates of a row": lambda: partners.near_duplicates(store, next(rows)),
    }
    asked: dict[str, Callable[[], object]] = {
        "ranked page": lambda: store.page(limit=100),
        "page 9,000 of 10,000": lambda: store.page(offset=900_000, limit=100),
        "page by another column": lambda: store.page("part_cosine", limit=100),
        "page by a text column": lambda: store.page("text", limit=100),
        "filter: text contains": lambda: store.page(where=[Condition("text", "contains", "number 77777")], limit=100),
        "filter: two columns": lambda: store.page(where=some, limit=100),
        "filter: deep in": lambda: store.page(where=[Condition("split", "=", "test")], offset=300_000, limit=100),
        "filter: 200 ids": lambda: store.page(where=[Condition("id", "in", ids)], limit=100),
        "filter: none of 200 ids": lambda: store.page(where=[Condition("id", "not in", ids)], limit=100),
        "filter: nothing meets it": lambda: store.page(where=[Condition("text", "contains", "zebra")], limit=100),
        "count": lambda: store.count_of(some),
        "facets": lambda: store.facets("note_group", [Condition("far", "=", False)]),
        "span": lambda: store.span("match"),
        "one row": lambda: store.row("654321"),
        "place of a row": lambda: store.place("654321", some),
        "20 rows by id": lambda: store.take(ids[:20]),
        "random 50": lambda: store.sample(50, seed=1),
        "1,000 vectors": lambda: np.asarray(store.vectors("text")[::1000]).sum(),
    }
    times = _times(asked)
    started = time.perf_counter()
    finder = partners.finder(store)
    made = time.perf_counter() - started
    partners.better(store, next(rows))  # imports FAISS
    times |= _times(near)
    memory = _memory()
    found = _found(finder)
    index.EXACT_ROWS = COUNT + 1
    print(json.dumps({"open": opened, "questions": times, "memory": memory, "finder": made, "found": found,
                      "scans": _times(near)}))  # fmt: skip


def _times(asked: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each kind of question, one kind after the other, REPEATS times."""
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(REPEATS):
        for name, question in asked.items():
            started = time.perf_counter()
            question()
            times[name].append(time.perf_counter() - started)
    return times


def _found(finder: partners.Finder) -> dict[str, float]:
    """Of the 5 and the 64 nearest images of some images by the scan, the share that lists find."""
    images = finder.vectors["image"]
    shares: dict[str, list[float]] = {"5": [], "64": []}
    for row in range(0, COUNT, COUNT // PROBES):
        query = np.asarray(images[row], np.float32)
        by_scan, by_lists = (rows[0].tolist() for rows in (
            partners.nearest(images, query, 64), finder.nearest("image", query, 64)))  # fmt: skip
        for k, share in shares.items():
            share.append(len({*by_scan[: int(k)]} & {*by_lists[: int(k)]}) / int(k))
    return {k: float(np.mean(share)) for k, share in shares.items()}


def _memory() -> float:
    """Most resident memory of this process so far, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
