"""Fusion on planted sequences, where it is known which modality carries the answer (fusion/data/planted.py).

Mean absolute error of a score in [-3, 3] on 300 samples to test, networks of one size, complete data in training: each
system, early fusion, and the same network on each modality alone, beside the answer from nothing and a reader who knows
the plan. Where the answer needs two modalities a system should beat every single one and early fusion; with a carrier
removed it should know no more than nothing. Late fusion and attention within modalities add what each says, so they
can't solve xor; one softmax gate can be right in three of its four cases at best. Then the same systems trained with
modalities hidden at random (rate 0.3): the mean error over rates from 0 to 1 of hiding, where TFR-Net and TATE should
beat early fusion.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Row, at_least, at_most
from fusion import missing
from fusion.data import planted
from fusion.models import MODELS
from fusion.streams.evaluation import answers, curve, from_nothing
from fusion.streams.inputs import Streams, read
from fusion.streams.training import StreamRecipe, fit
from fusion.types import Batch

SMALL = {"width": 32, "heads": 4}
# What is measured: a key of MODELS, and its settings at the size of these sets.
SYSTEMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "early": ("early", SMALL), "late": ("late", SMALL), "hierarchical": ("hierarchical", SMALL),
    "hybrid": ("hybrid", SMALL), "concat": ("feature", {**SMALL, "operator": "concat"}),
    "gmu": ("feature", {**SMALL, "operator": "gmu"}), "softmax": ("feature", {**SMALL, "operator": "softmax"}),
    "self_attention": ("feature", {**SMALL, "operator": "self_attention"}),
    "cross_attention": ("feature", {**SMALL, "operator": "cross_attention"}),
    "co_attention": ("feature", {**SMALL, "operator": "co_attention"}),
    "joint": ("feature", {**SMALL, "operator": "joint"}),
    "tensor": ("feature", {**SMALL, "operator": "tensor", "width": 12}),
    "low_rank": ("feature", {**SMALL, "operator": "low_rank"}),
    "multiplicative": ("feature", {**SMALL, "operator": "multiplicative"}),
    "hscl": ("hscl", {"projection": 32}), "tfr_net": ("tfr_net", {}), "tate": ("tate", {"width": 32}),
}  # fmt: skip
# Who can't solve xor, and the least error by mathematics, of that of knowing nothing: what they add up, or its sign.
ONE_BY_ONE = {"late": 1.0, "self_attention": 1.0, "softmax": 0.25}
NEED_TWO = ("xor", "xor-steps", "additive", "additive-steps")
SETS = ("xor", "xor-steps", "additive", "one")
HIDDEN_SETS = ("additive", "redundant")
TOLERATED = ("tfr_net", "tate")
RECIPE = StreamRecipe(epochs=40, rate=3e-3, hide_rate=0.0, patience=10, teacher_epochs=10)
HIDING = StreamRecipe(epochs=40, rate=3e-3, hide=missing.MODALITIES, hide_rate=0.3, patience=10, teacher_epochs=10)
NO_BETTER = 0.9  # of the error of knowing nothing, once the modality with the answer is gone


@dataclass(frozen=True)
class Opened:
    """One planted set, ready to train on."""

    name: str
    found: planted.Planted
    streams: Streams

    @property
    def test(self) -> torch.Tensor:
        """Its rows to test."""
        return self.streams.rows("test")

    @property
    def true(self) -> np.ndarray:
        """The scores to test."""
        return self.streams.target[self.test].numpy()

    def error(self, said: np.ndarray) -> float:
        """Mean absolute error of some answers to the test rows."""
        return float(np.abs(said - self.true).mean())

    @property
    def chance(self) -> float:
        """The error of the best constant, or of one that knows the distribution: the smallest that needs no sample."""
        constant = np.abs(self.true[:, None] - np.unique(self.true)[None]).mean(0).min()
        return float(min(constant, self.error(from_nothing(self.streams, self.test))))


def opened(name: str) -> Opened:
    """A set of planted.PLANS on the scale of its training samples."""
    return Opened(name, planted.named(name), read(planted.read(name)).scaled())


def trained(system: str, streams: Streams, recipe: StreamRecipe, seed: int = 0) -> Any:
    """One system after its recipe, at its best epoch. -> the model, in evaluation mode"""
    key, settings = SYSTEMS[system]
    config = MODELS[key].Config(
        modalities=streams.names, widths=streams.widths, steps=tuple(streams.steps[m] for m in streams.names),
        classes=streams.classes, **settings,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = MODELS[key](config)
    for _ in fit(model, streams, StreamRecipe(**{**vars(recipe), "seed": seed})):
        pass
    return model.eval()


def error_of(model: Any, at: Opened, streams: Streams | None = None, without: str = "") -> float:
    """Its error on the samples to test, all of them or after one modality was removed."""

    def removed(batch: Batch) -> Batch:
        return batch.without(without) if without else batch

    return at.error(answers(model, streams or at.streams, at.test, removed))


def complete(at: Opened, systems: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """Errors with complete data, and with each carrier removed."""
    chance = at.chance
    yield Row(f"{at.name}: nothing known", chance, n=len(at.test))
    yield Row(f"{at.name}: a reader who knows the plan", at.error(at.found.oracle()[at.test.numpy()]), n=len(at.test))
    alone = {}
    for m in at.streams.names:
        part = at.streams.of([m]).scaled()
        alone[m] = float(np.mean([error_of(trained("early", part, RECIPE, seed), at, part) for seed in seeds]))
        yield Row(f"{at.name}: {m} alone", alone[m], n=len(seeds))
    early = 0.0
    for system in ("early", *(one for one in systems if one != "early")):
        models = [trained(system, at.streams, RECIPE, seed) for seed in seeds]
        errors = [error_of(model, at) for model in models]
        yield _row(at, system, errors, min(alone.values()), early)
        if system == "early":
            early = float(np.mean(errors))
        for m in at.found.plan.carriers if at.found.plan.kind in ("xor", "one") else ():
            gone = float(np.mean([error_of(model, at, without=m) for model in models]))
            words = f"at least {NO_BETTER:g} of {chance:.2f}, nothing known"
            yield at_least(f"{at.name}: {system} without {m}", gone, "", NO_BETTER * chance, words, n=len(seeds))


def _row(at: Opened, system: str, errors: Sequence[float], alone: float, early: float) -> Row:
    """The error of one system, with the bar that it has on this set."""
    value, said = float(np.mean(errors)), f"{at.name}: {system}"
    shown = {"n": len(errors), "spread": f"{min(errors):.3f} to {max(errors):.3f}"}
    if at.found.plan.kind == "xor" and system in ONE_BY_ONE:
        least = NO_BETTER * ONE_BY_ONE[system] * at.chance
        return at_least(said, value, "", least, f"at least {least:.2f}: it can't do better", **shown)
    if at.name not in NEED_TWO or system == "early":
        return at_most(said, value, "", alone, f"below {alone:.3f}, the best modality alone", **shown)
    return at_most(said, value, "", min(alone, early), f"below {min(alone, early):.3f}, alone and early", **shown)


def hiding(at: Opened, systems: Sequence[str], seeds: Sequence[int]) -> Iterator[Row]:
    """Mean error over rates of hidden modalities, of systems that were trained with some hidden."""
    early = 0.0
    for system in ("early", *(one for one in systems if one != "early")):
        areas = []
        for seed in seeds:
            model = trained(system, at.streams, HIDING, seed)
            areas.append(-float(curve(model, at.streams, at.test, missing.MODALITIES, seeds=(0, 1, 2)).area.mean()))
        value, said = float(np.mean(areas)), f"{at.name}, mean over rates of hidden modalities: {system}"
        shown = {"n": len(seeds), "spread": f"{min(areas):.3f} to {max(areas):.3f}"}
        if system == "early":
            early = value
        if system in TOLERATED:
            yield at_most(said, value, "", early, f"below {early:.3f}, early", **shown)
        else:
            yield Row(said, value, **shown)


def measure(checkpoint: str) -> list[Row]:
    """Every system on every set. The checkpoint is not used."""
    torch.set_num_threads(1)
    return list(rows(list(SYSTEMS), SETS, HIDDEN_SETS, (0,)))


def rows(
    systems: Sequence[str], sets: Sequence[str], hidden_sets: Sequence[str], seeds: Sequence[int]
) -> Iterator[Row]:
    """Rows as they are measured."""
    for name in sets:
        yield from complete(opened(name), systems, seeds)
    for name in hidden_sets:
        yield from hiding(opened(name), systems, seeds)


def main() -> None:
    """Some systems on some sets: python -m benchmarks.planted SYSTEM ... --sets xor one --hidden redundant --seeds 3"""
    parser = argparse.ArgumentParser(description=(main.__doc__ or "").splitlines()[0])
    parser.add_argument("systems", nargs="*", default=list(SYSTEMS), metavar="SYSTEM", help=", ".join(SYSTEMS))
    parser.add_argument("--sets", nargs="*", default=SETS, choices=list(planted.PLANS))
    parser.add_argument("--hidden", nargs="*", default=HIDDEN_SETS, choices=list(planted.PLANS))
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in rows(options.systems, options.sets, options.hidden, range(options.seeds)):
        met = {None: "", True: "yes", False: "NO"}[row.met]
        print(f"{row.name:60} {row.value:8.3f}  {met:4} {row.bar}  {row.spread}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
