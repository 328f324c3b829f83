"""Explanations against what is known: planted carriers, identities, randomised weights, passes and time.

The planted set has one carrier among three modalities and little noise (`planted:one-clear`); a share is what the
carrier moved of all that modalities moved, a mean over test samples. Parts are hidden or differentiated step by step
and added up, but occlusion and Shapley values are asked of whole modalities: of many steps that repeat each other each
looks small alone. Attention has no direction, so its share is that of its mass. The random network is the trained one
with the numbers of each weight shuffled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Row, at_least, at_most, between
from benchmarks.planted import RECIPE, Opened, opened, trained
from fusion.explain import curves, methods, sampling, targets
from fusion.explain.players import asking, modalities_of, worth
from fusion.explain.targets import Target
from fusion.types import Batch, FusionError

SYSTEMS = ("early", "late", "hierarchical", "hybrid", "cross_attention", "hscl", "tfr_net", "tate")
HIDING, SLOPES = ("occlusion", "shapley"), ("integrated", "gradient_x_input")
LOOKED = ("raw", "mean", "rollout", "relevance")
SAMPLES, DRAWS = 24, 3
CARRIER = "audio"


@dataclass(frozen=True)
class Known:
    """A trained system and the samples to test that it is asked about."""

    system: str
    model: Any
    cases: list[Batch]
    target: Target


def known(at: Opened, system: str) -> Known:
    """Train a system and take its samples."""
    model = trained(system, at.streams, RECIPE)
    nothing = float(at.streams.target[at.streams.rows("train")].mean())
    cases = [at.streams.batch(torch.tensor([row]), named=True) for row in at.test[:SAMPLES].tolist()]
    return Known(system, model, cases, Target(targets.ANSWER, nothing=nothing))


def share(one: Known, method: str) -> float | None:
    """Share of the carrier in what moved, None where the method doesn't apply."""
    found = []
    for batch in one.cases:
        try:
            told = methods.explain(one.model, batch, one.target, method, whole=method in HIDING)
        except FusionError:
            return None
        moved = {m: abs(value) for m, value in methods.totals(told).items()}
        if method in LOOKED and set(moved) != set(batch.modalities):
            return None
        found.append(moved[CARRIER] / max(sum(moved.values()), 1e-12))
    return float(np.mean(found))


def _missed(model: Any, batch: Batch) -> float:
    """The absolute error of one answer."""
    assert batch.target is not None, "planted samples have one"
    with torch.inference_mode():
        return abs(float(model(batch, trace=False).prediction[0]) - float(batch.target[0]))


def shares(at: Opened, systems: Sequence[str]) -> Iterator[Row]:
    """Shares of the planted carrier, gaps, and what is left under random weights."""
    for system in systems:
        one = known(at, system)
        error = float(np.mean([_missed(one.model, batch) for batch in one.cases]))
        yield Row(f"{system}: mean absolute error, of {at.chance:.2f} from nothing", error, n=SAMPLES)
        for method in (*HIDING, *SLOPES):
            value = share(one, method)
            assert value is not None
            yield at_least(f"{system}: share of the carrier by {method}", value, "", 0.8, n=SAMPLES)
        for method in LOOKED:
            value = share(one, method)
            if value is not None:
                yield Row(f"{system}: share of the carrier by {method} attention", value, n=SAMPLES)
        yield from _identities(one)
        yield from _randomised(one)


def _identities(one: Known) -> Iterator[Row]:
    missed, gaps = [], []
    for batch in one.cases:
        told = methods.explain(one.model, batch, one.target, "shapley", whole=True)
        ends = torch.tensor([[False] * len(told.players), [True] * len(told.players)])
        none, everything = worth(one.model, batch, one.target, told.players, ends).tolist()
        missed.append(abs(float(told.values.sum()) - (everything - none)))
        gap = methods.explain(one.model, batch, one.target, "integrated").explanation.gap
        assert gap is not None
        gaps.append(gap)
    yield at_most(f"{one.system}: Shapley values miss f(all) - f(none) by", max(missed), "", 1e-5, n=SAMPLES)
    yield at_most(f"{one.system}: largest gap of integrated gradients", 100 * max(gaps), "%", 2, n=SAMPLES)


def _randomised(one: Known) -> Iterator[Row]:
    for method in SLOPES:
        found = []
        for seed in range(DRAWS):
            other = curves.randomised(one.model, seed)
            for batch in one.cases[: SAMPLES // 3]:
                own = methods.explain(one.model, batch, one.target, method).values
                found.append(curves.agreement([own, methods.explain(other, batch, one.target, method).values])[0, 1])
        value = abs(float(np.nanmean(found)))
        low, high = np.nanpercentile(found, [10, 90])
        yield at_most(
            f"{one.system}: {method} under random weights, rank correlation", value, "", 0.3, n=len(found),
            spread=between(low, high, 2),
        )  # fmt: skip


class Counted(torch.nn.Module):
    """A model that counts the rows of each pass."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.rows = model, []
        self.card, self.task, self.classes, self.modalities = model.card, model.task, model.classes, model.modalities

    def forward(self, batch: Batch, *, trace: bool = True) -> Any:
        """The model's own answer."""
        self.rows.append(len(batch))
        return self.model(batch, trace=trace)


def cost(checkpoint: str) -> Iterator[Row]:
    """Passes and time of what the pages ask for."""
    from fusion import checkpoints
    from fusion.data import open_data
    from fusion.inference import Pipeline
    from fusion.streams.inspection import Reader

    six, batch = _six()
    counted: Any = Counted(six)
    target = Target(targets.ANSWER, "x", nothing=0.0)
    parts = modalities_of(batch)
    sampling.exact(asking(counted, batch, target, parts), len(parts))
    yield Row(
        "Shapley values of six modalities: passes", len(counted.rows), bar="at most 2", met=len(counted.rows) <= 2
    )
    ratios = []
    rows = batch.rows([0] * 64)
    for _ in range(9):
        started = time.process_time()
        with torch.inference_mode():
            six(rows, trace=False)
        plain = time.process_time() - started
        started = time.process_time()
        sampling.exact(asking(six, batch, target, parts), len(parts))
        ratios.append((time.process_time() - started) / plain)
    ratio = float(np.median(ratios))
    low, high = np.percentile(ratios, [10, 90])
    yield at_most(
        "Shapley values of six modalities: time of 64 rows in one batch", ratio, "times", 3, n=9,
        spread=between(low, high, 1),
    )  # fmt: skip
    pipeline = Pipeline.open(checkpoints.find(checkpoint))
    data = open_data("gloss")
    sample = next(one for one in data.samples if one.image() is not None)
    case = pipeline.case(sample)
    counted = Counted(case.model)
    seen = methods.explain(counted, case.batch, case.target("match"), "occlusion", modalities=("image",))
    passes = len(counted.rows)
    yield Row(f"occlusion of {len(seen.players)} regions: passes", passes, bar="at most 2", met=passes <= 2)
    yield from _edited(pipeline, sample)
    reader = Reader.open(checkpoints.find("tate-groups"))
    id = reader.dataset.samples[3].id
    yield from _timed("tate-groups", lambda edit: reader.inspect(id, edit), ("text", "image"))


def _edited(pipeline: Any, sample: Any) -> Iterator[Row]:
    yield from _timed(pipeline.checkpoint.name, lambda edit: pipeline.inspect(sample, None, edit), ("text", "image"))


def _timed(name: str, run: Any, modalities: tuple[str, ...]) -> Iterator[Row]:
    """Wall milliseconds of an inspection after each of some edits, the first of its kind left out."""
    from fusion.explain import edits

    lines = ("text:hide:0", "image:hide:3+4", "image:remove", "text:drop:0.5", "image:noise:1", "image:paint:10+11")
    run(edits.read(lines[0], modalities))
    taken = []
    for line in lines * 3:
        made = edits.read(line, modalities)
        started = time.perf_counter()
        run(made)
        taken.append(1000 * (time.perf_counter() - started))
    value = float(np.median(taken))
    low, high = np.percentile(taken, [10, 90])
    yield at_most(
        f"{name}: a warm edit to its numbers, without the browser", value, "ms", 400, n=len(taken),
        spread=between(low, high, 0),
    )  # fmt: skip


def _six() -> tuple[Any, Batch]:
    """A system of six modalities with random weights, and one sample."""
    from fusion.models import MODELS

    names = tuple("abcdef")
    torch.manual_seed(0)
    config = MODELS["tate"].Config(modalities=names, widths=(64,) * 6, steps=(16,) * 6, classes=("x", "y"), width=60)
    model = MODELS["tate"](config).eval()
    mask = {m: torch.ones(1, 16, dtype=torch.bool) for m in names}
    features = {m: torch.randn(1, 16, 64) for m in names}
    return model, Batch(features, {}, mask, mask, torch.ones(1, 6, dtype=torch.bool), names, ("one",))


def measure(checkpoint: str) -> list[Row]:
    """All rows. Raises FusionError without the checkpoint."""
    torch.set_num_threads(1)
    return [*shares(opened("one-clear"), SYSTEMS), *cost(checkpoint)]
