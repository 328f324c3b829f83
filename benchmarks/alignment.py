"""Entity alignment: cost of an epoch at the size of DBP15K zh_en, of a ranking, and what the bundled checkpoints reach.

Epochs are timed on random features and edges of the paper's counts (38,960 entities, 298,096 neighbours, 4,500 links),
each in a process of its own, whose peak memory counts everything. Figures are those kept with checkpoints: the bundled
ones, and `mclea-zh_en`, `mclea-fr_en` where they were trained: python -m fusion train mclea --data dbp15k:FOLDER
--name mclea-zh_en. No picture comes with DBP15K. Untrained: the names' own features, ranked with CSLS.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Row, Times, alternately, at_least, at_most, between, ratio, spread
from fusion import checkpoints
from fusion.metrics.ranking import rank_pairs
from fusion.models import MODELS
from fusion.types import Batch, FusionError, Graph

ENTITIES, NEIGHBOURS, LINKS, TEST, WIDTH = 38_960, 298_096, 4_500, 10_500, 800
PAIRS = {"mclea": LINKS, "meaformer": 3_500}  # links a step
FEATURES = {"image": 2048, "attribute": 1000, "relation": 1000, "name": 300, "char": 1811}
SURFACE = {"mclea": tuple(FEATURES), "meaformer": ("image", "attribute", "relation")}  # as in the official figures
LIMITS = {"mclea": (15, 2.5), "meaformer": (30, 3.0)}  # CPU seconds, GB
EPOCHS = 3
BUNDLED = ("mclea-emoji", "meaformer-emoji")
FOLDERS = {"zh_en": "mclea-zh_en", "fr_en": "mclea-fr_en"}


def measure(checkpoint: str) -> list[Row]:
    """Costs, then figures. The checkpoint is not used. Raises FusionError when an epoch can't be run."""
    rows = [row for key in PAIRS for row in _epoch_rows(key)] + _ranking()
    for name in BUNDLED:
        rows += _emoji(name)
    for folder, name in FOLDERS.items():
        rows += _dbp15k(folder, name)
    return rows


def _epoch_rows(key: str) -> list[Row]:
    command = [sys.executable, "-m", "benchmarks.alignment", key]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FusionError(f"An epoch of {key} can't be run: {done.stderr.strip().splitlines()[-1:]}")
    said = json.loads(done.stdout)
    seconds, memory = LIMITS[key]
    name = f"one epoch of {MODELS[key].card.name}, {len(SURFACE[key]) + 1} modalities"
    middle = sorted(said["cpu"])[len(said["cpu"]) // 2]
    return [
        at_most(f"{name}, processor time", middle, "CPU-s", seconds, n=EPOCHS, spread=spread(said["cpu"])),
        at_most(f"{name}, peak memory of the process", said["gb"], "GB", memory),
    ]


def epoch(key: str) -> dict[str, Any]:
    """Train a few epochs in this process. -> CPU seconds of each, peak memory in GB"""
    from fusion.alignment.training import AlignmentRecipe, fit

    torch.manual_seed(0)
    modalities = (*SURFACE[key], "graph")
    config = MODELS[key].Config(
        entities=ENTITIES, modalities=modalities, input_widths=tuple(FEATURES.get(m, 300) for m in modalities),
        **({"widths": tuple(300 if m == "graph" else 100 for m in modalities)} if key == "mclea" else {}),
    )  # fmt: skip
    model, half = MODELS[key](config), ENTITIES // 2
    ends = torch.randint(0, half, (2, (NEIGHBOURS - ENTITIES) // 2)) + half * torch.randint(
        0, 2, ((NEIGHBOURS - ENTITIES) // 2,)
    )
    batch = Batch(
        features={m: torch.rand(ENTITIES, FEATURES[m]) for m in SURFACE[key]}, pooled={}, mask={}, kept={},
        present=torch.ones(ENTITIES, len(modalities), dtype=torch.bool), modalities=modalities, ids=(),
        graph=Graph(ends, torch.zeros(ends.shape[1], dtype=torch.long), (torch.arange(ENTITIES) >= half).long()),
        query=torch.zeros(0, 2, dtype=torch.long),
    )  # fmt: skip
    pairs = torch.stack((torch.randperm(half)[: LINKS + 20], half + torch.randperm(half)[: LINKS + 20]), 1)
    recipe = AlignmentRecipe(epochs=EPOCHS + 1, batch=PAIRS[key], check=10**6, patience=10**6, start=False)
    times, run = Times(), fit(model, batch, pairs[:LINKS], pairs[LINKS:], recipe)
    next(run)  # the check before the first epoch
    for _ in range(EPOCHS):
        with times.one():
            next(run)
    return {"cpu": times.cpu, "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def _ranking() -> list[Row]:
    """Both directions with CSLS beside one bare product of the same vectors."""
    torch.manual_seed(0)
    left = torch.nn.functional.normalize(torch.randn(TEST, WIDTH), dim=1)
    right = torch.nn.functional.normalize(left + 0.8 * torch.randn(TEST, WIDTH) / WIDTH**0.5, dim=1)

    def product(_: int) -> None:
        for rows in left.split(512):
            rows @ right.T

    times = alternately({"rank": lambda _: rank_pairs(left, right), "product": product}, repeats=3, warm=1)
    said = ratio(times["rank"].cpu, times["product"].cpu)
    return [
        at_most(
            f"ranking {TEST:,} pairs, both directions, CSLS, over the bare product, processor time", said, "times", 2.5,
            n=3,
        ),
        Row(f"ranking {TEST:,} pairs of width {WIDTH}", sorted(times["rank"].cpu)[1], "CPU-s", n=3),
    ]  # fmt: skip


def _emoji(name: str) -> list[Row]:
    """H@1 over seeds, its margin over untrained features, and whether weights can be trusted."""
    found = checkpoints.find(name).metrics
    test, seeds = found["test"], found["seeds"]
    mean = sum(one["hits1"] for one in seeds) / len(seeds)
    each = (
        f"{min(one['hits1'] for one in seeds):.3f} to {max(one['hits1'] for one in seeds):.3f} over {len(seeds)} seeds"
    )
    said = f"{name}, links to test"
    rows = [
        at_least(f"H@1, {said}", mean, "", 0.762, "above .762, the best untrained sum", n=test["n"], spread=each),
        Row(f"H@1 back, {said}", sum(one["back_hits1"] for one in seeds) / len(seeds), n=test["n"]),
        Row(f"MRR, {said}", sum(one["mrr"] for one in seeds) / len(seeds), n=test["n"]),
    ]
    for how, one in found["margin"].items():
        csls = "with CSLS" if how == "csls" else "without CSLS"
        rows.append(
            Row(
                f"H@1 of {name} less {one['over']}, untrained, {csls}",
                one["value"],
                bar="above 0 by its interval",
                met=one["low"] > 0,
                n=test["n"],
                spread=between(one["low"], one["high"]),
            )
        )
    best = max(test["alone"], key=lambda m: test["alone"][m]["hits1"])
    alone = test["alone"][best]["hits1"]
    rows.append(
        at_least(f"H@1 of {name} less its best single modality, {best}", test["hits1"] - alone, "", 0.0, "above 0")
    )
    for m, value in (found.get("stability") or {}).items():
        if value is not None:
            rows.append(Row(f"weights of {m} in {name}: Spearman between seeds", value))
    for m, one in test["faithful"].items():
        if one is not None:
            rows.append(
                Row(
                    f"weights of {m} in {name}: Spearman with the effect of removal",
                    one[0],
                    n=2 * test["n"],
                    spread=between(one[1], one[2], 2),
                )
            )
    return rows


def _dbp15k(folder: str, name: str) -> list[Row]:
    """One kept run; nothing where it wasn't trained here."""
    kept = {one.name: one for one in checkpoints.listed()}
    if name not in kept:
        print(f"{folder} is not measured: there is no checkpoint {name}.", file=sys.stderr)
        return []
    found = kept[name].metrics
    test, names = found["test"], found["test"]["untrained"]["name"]
    bar = ("at least .10 above untrained names", names["hits1"] + 0.10) if folder == "zh_en" else ("above .95", 0.95)
    n, low, high = test["n"], test["hits1_low"], test["hits1_high"]
    return [
        at_least(
            f"H@1, DBP15K {folder}, no pictures", test["hits1"], "", bar[1], bar[0], n=n, spread=between(low, high)
        ),
        Row(f"H@1 of its names untrained, {folder}", names["hits1"], n=n),
        Row(f"H@10, {folder}", test["hits10"], n=n),
        Row(f"MRR, {folder}", test["mrr"], n=n),
        at_most(f"training {folder}", found["seconds"] / 60, "minutes", 30),
    ]


if __name__ == "__main__":
    started = time.monotonic()
    print(json.dumps(epoch(sys.argv[1])))
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
