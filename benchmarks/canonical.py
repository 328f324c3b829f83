"""MCCA and KCCA on planted views: time, memory and held-out correlation of many rows, and cca-zoo's numbers.

Views are tanh(z A) + 0.3 (z A)^2 + 0.3 noise of three common signals (the KCCA kernel: rbf, gamma 0.002, c 0.05).
Every run has a process of its own; its time is that of `solve`, without making the data, and its memory the most that
the process held, all libraries included. One thread's processor seconds stand for the bar: two idle cores take less.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.measuring import Row, at_most
from fusion.types import Batch, FusionError

NAMES = ("text", "image")
# What is measured: system, rows, columns of each view, settings, bars in seconds and GB.
RUNS: dict[str, tuple[str, int, int, dict[str, Any], float, float]] = {
    "MCCA, 1,000,000 x 256, two views, streamed": ("mcca", 1_000_000, 256, {}, 60.0, 1.5),
    "KCCA, 10,000 x 64, two views, 1,024 landmarks": ("kcca", 10_000, 64, {"landmarks": 1024}, 6.0, 2.0),
    "KCCA, 100,000 x 64, two views, 1,024 landmarks": ("kcca", 100_000, 64, {"landmarks": 1024}, 60.0, 2.0),
    "KCCA, 2,000 x 64, two views, exact": ("kcca", 2_000, 64, {}, 0.0, 0.0),
    "KCCA, 2,000 x 64, two views, 1,024 landmarks": (
        "kcca", 2_000, 64, {"method": "nystrom", "landmarks": 1024}, 0.0, 0.0,
    ),
}  # fmt: skip
KERNEL = {"gamma": (0.002,), "c": (0.05,)}
BLOCK, OTHER = 16_384, 1_000


class Planted:
    """Batches of planted views, made anew on every pass; `seconds` is what making them took."""

    def __init__(self, rows: int, width: int, seed: int) -> None:
        self.rows, self.width, self.seed, self.seconds = rows, width, seed, 0.0
        self.maps = [torch.randn(3, width, generator=torch.Generator().manual_seed(v)) for v in range(len(NAMES))]

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(100 + self.seed)
        for start in range(0, self.rows, BLOCK):
            began = time.process_time()
            count = min(BLOCK, self.rows - start)
            z, features = torch.randn(count, 3, generator=generator), {}
            for m, a in zip(NAMES, self.maps, strict=True):
                line = z @ a
                noise = torch.randn(count, self.width, generator=generator)
                features[m] = (line.tanh() + 0.3 * line.square() + 0.3 * noise)[:, None]
            mask = dict.fromkeys(NAMES, torch.ones(count, 1, dtype=torch.bool))
            made = Batch(
                features=features, pooled={}, mask=mask, kept=mask, present=torch.ones(count, 2, dtype=torch.bool),
                modalities=NAMES, ids=tuple(str(i) for i in range(start, start + count)),
            )  # fmt: skip
            self.seconds += time.process_time() - began
            yield made


def one(name: str) -> dict[str, float]:
    """Solve in this process. -> wall and processor seconds, GB, least held-out correlation"""
    from fusion.models import MODELS

    torch.set_num_threads(1)
    system, rows, width, settings, _, _ = RUNS[name]
    kind, own = MODELS[system], KERNEL if system == "kcca" else {}
    model: Any = kind(
        kind.Config(modalities=NAMES, widths=(width,) * 2, steps=(1, 1), components=3, **{**own, **settings})
    )
    data = Planted(rows, width, seed=0)
    wall, cpu = time.perf_counter(), time.process_time()
    model.solve(data)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    share = (cpu - data.seconds) / cpu  # of the wall that was not spent on making the data
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    other = {m: next(iter(Planted(OTHER, width, seed=1))).features[m][:, 0] for m in NAMES}
    held_out = [float(value) for value in model.correlations(other)[:, 0]]
    return {"wall": wall * share, "cpu": cpu - data.seconds, "memory": memory, "held_out": min(held_out)}


def apart(name: str) -> dict[str, float]:
    """The same in a process of its own. Raises FusionError when that fails."""
    code = f"import json; from benchmarks import canonical; print(json.dumps(canonical.one({name!r})))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if run.returncode:
        raise FusionError(f"{name} failed: {run.stderr.strip().splitlines()[-1]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def runs(names: list[str]) -> Iterator[Row]:
    """Rows of some runs, and what landmarks lose against all rows when both were measured."""
    held_out: dict[str, float] = {}
    for name in names:
        found = apart(name)
        rows, seconds, memory = RUNS[name][1], RUNS[name][4], RUNS[name][5]
        held_out[name] = found["held_out"]
        if seconds:
            words = f"at most {seconds:g} s on two idle cores"
            yield at_most(f"{name}: processor time, one thread", found["cpu"], "s", seconds, words, n=rows)
            yield Row(f"{name}: wall time, the machine being shared", found["wall"], "s", n=rows)
            yield at_most(f"{name}: memory", found["memory"], "GB", memory, n=rows)
        else:
            yield Row(f"{name}: processor time", found["cpu"], "s", n=rows)
        yield Row(f"{name}: least held-out correlation", found["held_out"], n=OTHER)
    exact, near = list(RUNS)[-2:]
    if exact in held_out and near in held_out:
        lost = held_out[exact] - held_out[near]
        yield at_most("held-out correlation lost to landmarks, 2,000 rows", max(0.0, lost), "", 0.02, n=OTHER)


def compared() -> Iterator[Row]:
    """Largest differences to cca-zoo over views of several sizes, ridges and kernels. Needs the package."""
    try:
        import cca_zoo
        from cca_zoo.linear import MCCA as TheirMCCA
        from cca_zoo.nonparametric import KCCA as TheirKCCA
    except ImportError:
        raise FusionError("cca-zoo is not installed; make setup-dev brings it.") from None
    from fusion.blocks.canonical import correlations
    from fusion.models import kcca, mcca

    worst = {"correlations": 0.0, "projections": 0.0}
    cases = [((12, 9), 0.0), ((12, 9, 7), 0.2), ((12, 9, 7, 5), 0.6), ((150, 90), 0.3), ((12, 9), 1.0)]
    for linear in (True, False):
        for widths, c in cases if linear else cases[1:]:
            names = tuple(f"view {v}" for v in range(len(widths)))
            generator = torch.Generator().manual_seed(sum(widths))
            z = torch.randn(100, 3, generator=generator, dtype=torch.float64)
            data = {
                m: torch.tanh(z @ torch.randn(3, width, generator=generator, dtype=torch.float64))
                + 0.4 * torch.randn(100, width, generator=generator, dtype=torch.float64)
                for m, width in zip(names, widths, strict=True)
            }
            shared: dict[str, Any] = {
                "modalities": names, "widths": widths, "steps": (1,) * len(names), "components": 3, "c": (c,),
                "ridge_unit": "identity",
            }  # fmt: skip
            ours: Any = mcca.MCCA(mcca.Config(**shared)) if linear else kcca.KCCA(kcca.Config(**shared, gamma=(0.05,)))
            theirs = TheirMCCA(3, shrinkage=c) if linear else TheirKCCA(3, shrinkage=c, kernel="rbf", gamma=0.05)
            ours.solve(data)
            given = [x.numpy() for x in data.values()]
            reference = torch.stack([torch.from_numpy(x) for x in theirs.fit(given).transform(given)])
            made = torch.stack(list(ours.transform(data).values()))
            sign = (made[0] * reference[0]).sum(0).sign()
            away = (correlations(list(made)) - correlations(list(reference))).abs().max()
            scale = reference.abs().amax((1, 2), keepdim=True)
            worst["correlations"] = max(worst["correlations"], float(away))
            worst["projections"] = max(worst["projections"], float(((made - sign * reference) / scale).abs().max()))
    shown, count = f"cca-zoo {cca_zoo.__version__}", 2 * len(cases) - 1
    for what, limit in (("correlations", 1e-6), ("projections", 1e-5)):
        yield at_most(f"largest difference to {shown}, {what}", worst[what], "", limit, f"below {limit:g}", n=count)


def measure(checkpoint: str) -> list[Row]:
    """Every run, then cca-zoo. The checkpoint is not used."""
    return [*runs(list(RUNS)), *compared()]


def main() -> None:
    """Some runs by a part of their name: python -m benchmarks.canonical [PART ...]; "zoo" compares with cca-zoo."""
    parts = sys.argv[1:] or ["CCA", "zoo"]
    found = list(runs([name for name in RUNS if any(part in name for part in parts)]))
    for row in [*found, *(compared() if "zoo" in parts else ())]:
        met = {None: "", True: "yes", False: "NO"}[row.met]
        print(f"{row.name:70} {row.value:12.3g} {row.unit:3} {met:4} {row.bar}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
