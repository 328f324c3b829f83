"""Link prediction: what a training step, a ranking and a question cost at the size of DB15K.

Random triples of the paper's counts (12,842 entities, 279 relations, 9,902 to test), relations and entities as uneven
as there: about 104 relations in a batch of 256 queries, and 14,300 different queries among 19,804. Features are random,
pooled to 256 as published. Processor seconds of all threads: two, or OMP_NUM_THREADS. The released arithmetic, its
defects repaired (`benchmarks.links_plain`), runs in the same process, step by step in turn with ours, so that their
ratio says the same on a slow and on a busy machine: a step may take half of it, all questions to rank 15 seconds where
it takes 140, which are computed from some. Beside the ranking stands the bare product of as many vectors, which no way
of ranking all branches can leave out. Figures are those kept with checkpoints, where they are:
imf-keywords, and imf-wn9 and imf-db15k beside networks that read the structure alone, with the same budget:
python -m fusion train imf --data triples:FOLDER --name imf-wn9 --minutes M; again with --set modalities=structure
--name imf-wn9-structure.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.links_plain import Plain, Training, ranks
from benchmarks.measuring import Row, Times, at_least, at_most, between, ratio, spread
from fusion.links.inputs import Fusing, asking
from fusion.links.ranking import ranked
from fusion.models.imf import BRANCHES, IMF, MODALITIES, Config
from fusion.types import Batch, FusionError

ENTITIES, RELATIONS, TEST, BATCH, WIDTH = 12_842, 279, 9_902, 256, 256
STEPS, QUESTIONS, PLAIN_QUESTIONS = 7, 10, 512
THREADS = int(os.environ.get("OMP_NUM_THREADS", 2))
LIMITS = {"step": 3.15, "ranking": 15.0, "question": 300.0}
SHARES = {"step": 0.5, "ranking": 15 / 140}  # of what the released arithmetic takes


def measure(checkpoint: str) -> list[Row]:
    """Costs. The checkpoint is not used. Raises FusionError when they can't be run."""
    command = [sys.executable, "-m", "benchmarks.links"]
    calm = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait by spinning would count as work
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False, env=calm
    )
    if done.returncode:
        raise FusionError(f"The costs of IMF can't be measured: {done.stderr.strip().splitlines()[-1:]}")
    said = json.loads(done.stdout.splitlines()[-1])
    middle = {name: float(np.median(values)) for name, values in said.items()}
    many = f"ranking {2 * TEST:,} queries over {ENTITIES:,} entities"
    shares = [one / other for one, other in zip(said["step"], said["plain step"], strict=True)]
    return [
        at_most(
            f"one step of IMF, {BATCH} queries, processor time", middle["step"], "CPU-s", LIMITS["step"], n=STEPS,
            spread=spread(said["step"], 2),
        ),
        Row(
            "the released arithmetic's step", middle["plain step"], "CPU-s", n=STEPS,
            spread=spread(said["plain step"], 2),
        ),
        at_most(
            f"one step / the released arithmetic's, {THREADS} threads", ratio(said["step"], said["plain step"]), "",
            SHARES["step"], n=STEPS, spread=spread(shares, 2),
        ),
        Row("relations in that batch", middle["relations"]),
        at_most(
            f"{many}, four branches and their decision, processor time", middle["ranking"], "CPU-s", LIMITS["ranking"]
        ),
        Row(f"the released arithmetic's ranking, from {PLAIN_QUESTIONS} queries", middle["plain ranking"], "CPU-s"),
        at_most(
            f"ranking / the released arithmetic's, {THREADS} threads", middle["ranking"] / middle["plain ranking"], "",
            SHARES["ranking"], "at most 15 / 140",
        ),
        Row("the bare products of that ranking", middle["product"], "CPU-s"),
        at_most(
            "one question, tables ready", middle["question"], "ms", LIMITS["question"], n=QUESTIONS,
            spread=spread(said["question"]),
        ),
        *reached(),
    ]  # fmt: skip


def reached() -> list[Row]:
    """What the checkpoints that are here reach on the triples to test, from their own files."""
    from fusion import checkpoints

    found = {one.name: one.metrics for one in checkpoints.listed() if one.model == "imf" and "test" in one.metrics}
    rows = []
    for name, metrics in found.items():
        alone = found.get(f"{name}-structure")
        for subset in (None, *metrics["test"]["subsets"]):
            of = "" if subset is None else f", {SUBSETS.get(subset, subset)}"
            test = metrics["test"] if subset is None else metrics["test"]["subsets"][subset]
            said = f"MRR, {name}{of}"
            if alone is not None:
                other = alone["test"] if subset is None else alone["test"]["subsets"][subset]
                limit, words = other["mrr"], f"above {other['mrr']:.3f}, the structure alone"
                rows.append(at_least(said, test["mrr"], "", limit, words, n=test["n"]))
            else:
                rows.append(Row(said, test["mrr"], n=test["n"]))
            rows += [Row(f"{said}, {way}", test[way]["mrr"], n=test["n"]) for way in ("tail", "head")]
        rows += _margins(name, metrics)
    return rows


SUBSETS = {"clean": "neither elsewhere nor turned round in train", "own words": "neither name in the other",
           "own keywords": "keywords not in the name"}  # fmt: skip


def _margins(name: str, metrics: Mapping[str, Any]) -> list[Row]:
    """How far the mean of the seeds is above each baseline and its own best branch."""
    seeds = len(metrics.get("seeds", [])) or 1
    return [
        at_least(
            f"MRR of {name} less that of {other}", one["value"], "", 0.0, f"above 0 ({other}: {one['other']:.3f})",
            n=seeds, spread=between(one["low"], one["high"]),
        )
        for other, one in metrics.get("margin", {}).items()
    ]  # fmt: skip


def triples(count: int, generator: np.random.Generator) -> np.ndarray:
    """Random triples (count, 3), some relations and entities far more frequent than others."""
    relations, entities = (np.arange(1, size + 1, dtype=float) for size in (RELATIONS, ENTITIES))
    rare, often = relations**-1.3 / (relations**-1.3).sum(), entities**-0.75 / (entities**-0.75).sum()
    head = generator.integers(0, ENTITIES, count)
    relation, tail = generator.choice(RELATIONS, count, p=rare), generator.choice(ENTITIES, count, p=often)
    return np.stack((head, relation, tail), 1)


def queries(asked: np.ndarray) -> np.ndarray:
    """Both directions. (E, 3) -> (2 E, 3)"""
    back = np.stack((asked[:, 2], asked[:, 1] + RELATIONS, asked[:, 0]), 1)
    return np.concatenate((asked, back))


def costs() -> dict[str, list[float]]:
    """Train a few steps of ours and of the released arithmetic in turn, rank by both, ask, in this process."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    linker, plain = _ours(), Plain(ENTITIES, RELATIONS, WIDTH)
    found = _steps(linker, plain, generator)
    model = linker.model.eval()
    test, times = queries(triples(TEST, generator)), {name: Times() for name in ("ranking", "plain", "question")}
    with times["plain"].one():
        ranks(plain, generator.permutation(test)[:PLAIN_QUESTIONS], {}, BATCH)
    with times["ranking"].one():
        ranked(linker, test, _Nothing())  # type: ignore[arg-type]  # no other answer is known
    ready = replace(linker.batch, pooled=model.tables(linker.batch))
    for number in range(QUESTIONS + 1):
        with times["question"].one(), torch.inference_mode():
            model(asking(ready, torch.from_numpy(test[number : number + 1])))
    return found | {
        "ranking": times["ranking"].cpu, "plain ranking": [times["plain"].cpu[0] * len(test) / PLAIN_QUESTIONS],
        "product": [_product(len(np.unique(test[:, :2], axis=0)))],
        "question": [1000 * one for one in times["question"].wall[1:]],
    }  # fmt: skip


def _ours() -> Fusing:
    """IMF as published, with random features."""
    model = IMF(Config())
    batch = Batch(
        features={"image": torch.rand(ENTITIES, 4096), "text": torch.rand(ENTITIES, 768)}, pooled={}, mask={}, kept={},
        present=torch.ones(ENTITIES, 3, dtype=torch.bool), modalities=MODALITIES, ids=(),
    )  # fmt: skip
    model.begin(batch)
    linker = Fusing(model, batch)
    linker.to(torch.device("cpu"))
    return linker


def _steps(linker: Fusing, plain: Plain, generator: np.random.Generator) -> dict[str, list[float]]:
    """Processor seconds of steps on the same batches, and the relations in each."""
    optimiser = torch.optim.AdamW(linker.model.parameters(), lr=5e-4, fused=True)
    linker.model.train()
    released, ours, theirs, relations = Training(plain), Times(), Times(), []
    train = np.unique(queries(triples(79_222, generator))[:, :2], axis=0)
    for number in range(STEPS + 2):  # the first ones are slower: memory is asked for
        query = torch.from_numpy(train[generator.choice(len(train), BATCH, replace=False)])
        row = torch.arange(BATCH).repeat_interleave(2)
        tail = torch.randint(ENTITIES // 2, (2 * BATCH,)) * 2 + torch.arange(2).repeat(BATCH)
        with ours.one():
            loss = torch.stack(list(linker.terms(query, row, tail, number).values())).sum()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(linker.model.parameters(), 10.0)
            optimiser.step()
        with theirs.one():
            released.step(query, row, tail)
        relations.append(float(len(query[:, 1].unique())))
    return {"step": ours.cpu[2:], "plain step": theirs.cpu[2:], "relations": relations}


def _product(count: int) -> float:
    """Processor seconds of scoring every entity for `count` vectors of each branch, and no more."""
    left, right, into, times = (
        torch.rand(count, WIDTH),
        torch.rand(ENTITIES, WIDTH),
        torch.empty(ENTITIES, 512),
        Times(),
    )
    with times.one():
        for _ in BRANCHES:
            for rows in left.split(512):
                torch.mm(right, rows.T, out=into[:, : len(rows)])
    return times.cpu[0]


class _Nothing:
    """No known answers."""

    def tails(self, query: np.ndarray) -> tuple[np.ndarray, Any]:
        """As Known.tails."""
        none = np.zeros(0, dtype=np.int64)
        return none, none


if __name__ == "__main__":
    print(json.dumps(costs()))
