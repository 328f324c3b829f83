"""Two checkpoints over one data set, against running each alone: bundled pairs of systems, nothing kept before.

Each run is a process of its own with its own folder, loading included; the ratio is of the comparison to the sum of
both runs, in processor seconds and on the clock. Rows that differ are those that the two answer differently.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import Row, at_most, between
from fusion import checkpoints

ROOT = Path(__file__).resolve().parent.parent
PAIRS = (("late-groups", "early-groups", "emoji-groups"),)
REPEATS = 3


def measure(checkpoint: str) -> list[Row]:
    """Each pair of checkpoints, three times."""
    return [row for pair in PAIRS for row in _pair(*pair)]


def _pair(a: str, b: str, data: str) -> list[Row]:
    cpu, wall, differ, rows = [], [], 0, 0
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory(prefix="fusion-compare-") as folder:
            bare = [_bare(name, Path(folder)) for name in (a, b)]
            _run(Path(folder) / "warm", "observe", data, f"--checkpoint={bare[0]}")  # files are read once for all
            alone = [_run(Path(folder) / one.name, "observe", data, f"--checkpoint={one}") for one in bare]
            both = _run(Path(folder) / "both", "compare", *map(str, bare), f"--data={data}")
        cpu.append(both[0] / sum(one[0] for one in alone))
        wall.append(both[1] / sum(one[1] for one in alone))
        differ, rows = both[2]["differ"], both[2]["samples"]
    name = f"{a} and {b}"
    return [
        at_most(f"{name}: processor time of both runs", float(np.median(cpu)), "times", 1.5, n=REPEATS,
                spread=between(min(cpu), max(cpu), 2)),
        Row(f"{name}: time of both runs", float(np.median(wall)), "times", n=REPEATS,
            spread=between(min(wall), max(wall), 2)),
        Row(f"{name}: answered differently, of {rows:,}", differ, n=rows),
    ]  # fmt: skip


def _bare(name: str, folder: Path) -> Path:
    """A copy of a checkpoint without what is kept beside it."""
    made = folder / "checkpoints" / name
    shutil.copytree(checkpoints.find(name).folder, made, ignore=shutil.ignore_patterns("observations"))
    return made


def _run(home: Path, *words: str) -> tuple[float, float, dict[str, int]]:
    """One command in a folder of its own. -> processor seconds, seconds, what it printed"""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "fusion", *words, "--json"], cwd=ROOT, check=True, capture_output=True,
        env=os.environ | {"FUSION_HOME": str(home)},
    )  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, wall, json.loads(done.stdout)
