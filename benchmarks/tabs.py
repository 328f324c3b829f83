"""Two people with two checkpoints at one server while a training job runs: are both right, and does one wait for long?

Two threads inspect the same samples, each under its own checkpoint (the bundled one, and the bundled one with its
weights moved a little), as two tabs do; `python -m fusion train` runs beside them. Encoders are shared and guarded by
locks, so what counts is how long a thread stood before a lock that the other held, against the longest forward pass
that was made behind one. Both threads' answers are compared with those given one after the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import fusion.encoders.image
import fusion.encoders.text
import fusion.inference
from benchmarks.measuring import Row, at_most, spread
from fusion import checkpoints, device
from fusion.data import gloss
from fusion.files import ROOT
from fusion.inference import Pipeline
from fusion.types import Sample

SAMPLES, ROUNDS = 10, 3
SHARED = (fusion.inference, fusion.encoders.text, fusion.encoders.image)


def measure(checkpoint: str) -> list[Row]:
    """Run the two threads and the job. Raises FusionError without the checkpoint."""
    own = checkpoints.find(checkpoint)
    samples = gloss.load("test")[:SAMPLES]
    with tempfile.TemporaryDirectory(prefix="fusion-bench-tabs-") as folder:
        pipelines = [Pipeline.open(own), Pipeline.open(_moved(own, Path(folder) / "moved"))]
        alone = [_all(one, samples) for one in pipelines]
        waits: list[float] = []
        passes: list[float] = []
        together: list[Any] = [None, None]
        with _training(Path(folder) / "home"), _timed(waits, passes):
            threads = [
                threading.Thread(target=lambda at=at, one=one: together.__setitem__(at, _all(one, samples * ROUNDS)))
                for at, one in enumerate(pipelines)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    wrong = sum(
        said != alone[at][i % len(samples)] for at, answers in enumerate(together) for i, said in enumerate(answers)
    )
    longest = max(passes)
    return [
        at_most("answers that differ from those given alone", float(wrong), "", 0, n=2 * SAMPLES * ROUNDS, spread=""),
        Row("the longest pass behind a lock", longest * 1000, "ms", n=len(passes), spread=spread(passes, 1, 1000)),
        at_most("the longest wait for a lock / the longest pass", max(waits) / longest, "x", 1, n=len(waits),
                spread=spread([wait / longest for wait in waits], 2)),
    ]  # fmt: skip


def _all(pipeline: Pipeline, samples: list[Sample]) -> list[tuple[float | None, float | None, tuple[str, ...]]]:
    """What one tab would show of each sample, to the last digit."""
    seen = [pipeline.inspect(sample) for sample in samples]
    return [(one.match, one.mean_gate, tuple(span.text for span in one.spans)) for one in seen]


def _moved(own: checkpoints.Checkpoint, folder: Path) -> checkpoints.Checkpoint:
    """A checkpoint that answers otherwise: the weights times 1 + noise of a hundredth."""
    model = checkpoints.load(own)
    generator = torch.Generator().manual_seed(0)
    for value in model.parameters():
        value.mul_(1 + 0.01 * torch.randn(value.shape, generator=generator))
    return checkpoints.save(
        folder, model, encoders=own.encoders, data=own.data, metrics={}, card="", origin={"trained": "here"}
    )


@contextmanager
def _training(home: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "fusion", "train", "maf", "--data", "gloss", "--minutes", "5", "--name", "busy"]
    environment = {**os.environ, "FUSION_HOME": str(home), "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(10)  # until it works
        assert job.poll() is None, "the training job ended at once"
        yield
        assert job.poll() is None, "the training job ended before the inspections"
    finally:
        job.kill()
        job.wait()


@contextmanager
def _timed(waits: list[float], passes: list[float]) -> Iterator[None]:
    """Note how long each guarded pass waits for its lock and how long it then takes."""

    @contextmanager
    def exclusive(name: str) -> Iterator[None]:
        asked = time.perf_counter()
        with device.exclusive(name):
            began = time.perf_counter()
            yield
            passes.append(time.perf_counter() - began)
        waits.append(began - asked)

    patches = [mock.patch.object(module, "exclusive", exclusive) for module in SHARED]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()
