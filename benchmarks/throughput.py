"""2,000 pairs through `observe` and `inspect-set`, as they are run anywhere, against the two encoders in a bare loop.

The pairs are different JPEG files of 320 pixels made from the pictures of the gloss and emoji name sets, with their
sentences, in a CSV. The loop opens the same files and runs both encoders in groups of 32 in the order of the file.
`observe` adds the checks of a file from outside, the model on the own and on an exchanged picture, tags in words, and
ranks among all pairs; `inspect-set` opens the checkpoint anew, keeps each shard on the disk, scores all pairs and sorts
them. The loop runs before and after the two, and the mean of both counts.
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from pathlib import Path

import PIL.Image
import torch

from benchmarks.measuring import Row, Times, at_least
from fusion import checkpoints, observations
from fusion.data import gloss, names, open_data
from fusion.data.dataset import DataSet
from fusion.features import encode_texts
from fusion.inference import Pipeline
from fusion.triage.running import inspect_set
from fusion.types import Image

PAIRS, SIDE, GROUP = 2000, 320, 32


def make(folder: Path, pairs: int = PAIRS) -> Path:
    """Write `pairs` JPEG files and pairs.csv; no two files are the same. -> path of the CSV"""
    samples = [*gloss.load(), *names.load("train")]
    samples = [sample for sample in samples if sample.image() is not None]
    step = max(1, len(samples) // pairs)
    folder.mkdir(exist_ok=True)
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "text"])
        for number in range(pairs):
            sample = samples[number * step % len(samples)]
            picture = sample.image()
            assert picture is not None
            square = picture.open().resize((SIDE, SIDE), PIL.Image.Resampling.BICUBIC)
            square.putpixel((number % SIDE, number // SIDE), (number % 256, number // 256, 128))  # no two are the same
            square.save(folder / f"{number:05d}.jpg", quality=90)
            table.writerow([f"{number:05d}.jpg", sample.text()])
    return folder / "pairs.csv"


def bare(pipeline: Pipeline, dataset: DataSet) -> None:
    """The two encoders in a loop, and nothing kept."""
    limit = pipeline.model.config.max_length
    with torch.inference_mode():
        for start in range(0, len(dataset), GROUP):
            group = dataset.samples[start : start + GROUP]
            opened = []
            for sample in group:
                picture = sample.parts["image"]
                assert isinstance(picture, Image)
                assert picture.path is not None
                with PIL.Image.open(picture.path) as file:
                    opened.append(file.convert("RGB"))
            pipeline.image.encode(opened)
            encode_texts(pipeline.text, group, limit, pipeline.pads is not None)


def measure(checkpoint: str) -> list[Row]:
    """Run loop, observe, loop. Raises FusionError without the checkpoint."""
    found = checkpoints.find(checkpoint)
    pipeline = Pipeline.open(found)
    pairs = int(os.environ.get("FUSION_BENCH_PAIRS", PAIRS))
    with tempfile.TemporaryDirectory(prefix="fusion-bench-pairs-") as folder:
        started = time.perf_counter()
        dataset = open_data(str(make(Path(folder), pairs)))
        made = time.perf_counter() - started
        os.environ["FUSION_HOME"] = str(Path(folder) / "home")  # what `observe` keeps goes with the folder
        bare(pipeline, dataset.head(2 * GROUP))
        observations.observe(pipeline, dataset.head(2 * GROUP))
        inspect_set(dataset.head(2 * GROUP), found)
        loop, whole, ranked = Times(), Times(), Times()
        with loop.one():
            bare(pipeline, dataset)
        with whole.one():
            observations.observe(pipeline, dataset)
        with ranked.one():
            inspect_set(dataset, found)
        with loop.one():
            bare(pipeline, dataset)
    n = len(dataset)
    alone, alone_cpu = sum(loop.wall) / 2, sum(loop.cpu) / 2
    return [
        Row("encoders alone in a bare loop", n / alone, "pairs/s", n=n,
            spread=f"{n / max(loop.wall):.1f} to {n / min(loop.wall):.1f}"),
        Row("observe", n / whole.wall[0], "pairs/s", n=n),
        at_least("throughput of observe / bare loop", alone / whole.wall[0], "x", 0.9, n=n),
        Row("the same in processor time", alone_cpu / whole.cpu[0], "x", n=n),
        Row("inspect-set", n / ranked.wall[0], "pairs/s", n=n),
        at_least("throughput of inspect-set / bare loop", alone / ranked.wall[0], "x", 0.9, n=n),
        Row("that in processor time", alone_cpu / ranked.cpu[0], "x", n=n),
        Row("processor time of observe", 1000 * whole.cpu[0] / n, "ms a pair", n=n),
        Row("making the files (not counted)", made, "s", n=n),
    ]  # fmt: skip
