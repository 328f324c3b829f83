"""What every benchmark returns, and how a time is taken on a machine that may be doing other things."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

REPEATS = 20
BUNDLED = "maf-gloss"


@dataclass(frozen=True)
class Row:
    """One measured number, and the bar that it should clear."""

    name: str
    value: float
    unit: str = ""
    bar: str = ""  # in words, "" where there is none
    met: bool | None = None  # None where there is no bar
    n: int = 1  # how many runs, rows or photographs it comes from
    spread: str = ""  # in the unit of the value: 10th to 90th percentile of runs, or a 95 % interval


@dataclass
class Times:
    """Wall and processor seconds of repeated runs; processor seconds hardly change when others use the machine."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Time the block as one more run. Processor seconds are those of this process, all threads."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    @property
    def median(self) -> float:
        """Median wall seconds."""
        return float(np.median(self.wall))


def spread(values: list[float], digits: int = 1, scale: float = 1.0) -> str:
    """The 10th to the 90th percentile of runs in words; `scale` turns seconds into the unit shown."""
    low, high = np.percentile(np.asarray(values) * scale, [10, 90])
    return f"{low:.{digits}f} to {high:.{digits}f}"


def between(low: float, high: float, digits: int = 3) -> str:
    """An interval in words."""
    return f"{low:.{digits}f} to {high:.{digits}f}"


def at_most(name: str, value: float, unit: str, limit: float, words: str = "", **others: object) -> Row:
    """A row whose bar is an upper limit. words: the bar as it should read, the limit with its unit by default."""
    said = words or f"at most {limit:g} {unit}".strip()
    return Row(name, value, unit, said, bool(value <= limit), **others)  # type: ignore[arg-type]


def at_least(name: str, value: float, unit: str, limit: float, words: str = "", **others: object) -> Row:
    """A row whose bar is a lower limit."""
    said = words or f"at least {limit:g} {unit}".strip()
    return Row(name, value, unit, said, bool(value >= limit), **others)  # type: ignore[arg-type]


def milliseconds(name: str, times: Times, **others: object) -> Row:
    """Median wall time of runs, without a bar."""
    return Row(name, times.median * 1000, "ms", n=len(times.wall), spread=spread(times.wall, 1, 1000), **others)  # type: ignore[arg-type]


def alternately(runs: dict[str, Callable[[int], object]], repeats: int = REPEATS, warm: int = 2) -> dict[str, Times]:
    """Time several things in turn, so that a busy spell of the machine meets them all. Each gets the turn's number."""
    for turn in range(warm):
        for run in runs.values():
            run(turn)
    times = {name: Times() for name in runs}
    for turn in range(repeats):
        for name, run in runs.items():
            with times[name].one():
                run(turn)
    return times


def ratio(above: list[float], below: list[float]) -> float:
    """Median of the ratios of paired runs."""
    return float(np.median(np.asarray(above) / np.asarray(below)))
