"""A run over a million made-up pairs, its features given (64 numbers a half): asked in a process of its own.

Shards, vectors, suspicion and the sorted file are written as in any run, at 512 pairs a shard; a tenth of the pairs is
wrong. Then another process opens the run, and shows pages, filters and counts, five times each; the slowest kind of
question counts, by its median. Memory is the highest that a process ever took, PyTorch and pandas included.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measuring import Row, at_most, spread
from fusion.data.dataset import DataSet
from fusion.files import digest
from fusion.observations import Chunk
from fusion.triage import running
from fusion.triage.engine import Inspector
from fusion.triage.store import Condition, Store
from fusion.types import Image, Sample, Text

COUNT, WIDTH, REPEATS = 1_000_000, 64, 5
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
        Row("rows on disk", made["bytes"] / 1e6, "MB", n=COUNT),
    ]  # fmt: skip


def _child(program: str, folder: str) -> dict[str, float]:
    said = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


def write(folder: Path) -> None:
    """The run, and what it took, as JSON."""
    running.Inspector = Given  # type: ignore[misc,assignment]
    dataset, ended = pairs(), [0.0]
    samples = _memory()
    started = time.perf_counter()

    def progress(done: int, total: int) -> None:
        ended[0] = time.perf_counter()

    store = running.inspect_set(dataset, out=folder / "run", progress=progress)
    done = time.perf_counter()
    size = (store.folder / store.meta["rows"]).stat().st_size
    print(json.dumps({"seconds": done - started, "after": done - ended[0], "memory": _memory(), "samples": samples,
                      "bytes": size}))  # fmt: skip


def ask(folder: Path) -> None:
    """Times of every kind of question, as JSON."""
    started = time.perf_counter()
    store = Store.open(folder / "run")
    opened = time.perf_counter() - started
    ids = [str(row) for row in range(0, COUNT, COUNT // 200)]
    some = [Condition("note_group", "in", ["group 3", "group 5"]), Condition("part_cosine", ">", 0.5)]
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
    times: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(REPEATS):
        for name, question in asked.items():
            started = time.perf_counter()
            question()
            times[name].append(time.perf_counter() - started)
    print(json.dumps({"open": opened, "questions": times, "memory": _memory()}))


def _memory() -> float:
    """Most resident memory of this process so far, GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
