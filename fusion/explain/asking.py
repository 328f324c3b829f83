"""One sample at one model, ready for questions: explanations beside their test, with what they share run once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.device import exclusive
from fusion.explain import curves, methods, targets
from fusion.explain.curves import Trial
from fusion.explain.methods import METHODS, Told, weights_of
from fusion.explain.players import asking, modalities_of, steps_of
from fusion.explain.targets import ANSWER, Target
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.signals import FusionOutput
    from fusion.types import Batch


@dataclass(frozen=True, eq=False)
class Judged:
    """An explanation, and whether the answer follows it."""

    told: Told
    trial: Trial

    @property
    def method(self) -> str:
        """Its key in METHODS."""
        return self.told.explanation.method

    @property
    def verdict(self) -> str:
        """better | none | worse than random orders, by the area under the deletion curve; "" where it can't be told."""
        return self.trial.verdict()


@dataclass(eq=False)
class Case:
    """A sample at a model. `prior`: what a model that doesn't answer from nothing would say of it, by class or ""."""

    model: FusionModel
    batch: Batch  # B = 1
    lock: str  # of device.exclusive
    prior: Mapping[str, float] = field(default_factory=dict)  # {class, or "" of a score: target from nothing}
    whole_only: bool = False  # words, regions and steps can be judged, not modalities alone
    _output: FusionOutput | None = None
    _chance: dict[tuple[str, bool], Trial] = field(default_factory=dict)

    @property
    def output(self) -> FusionOutput:
        """What the model says of the sample, with its trace."""
        found = self._output
        if found is None:
            with torch.inference_mode(), exclusive(self.lock):
                found = self._output = self.model(self.batch, trace=True)
        return found

    def target(self, line: str) -> Target:
        """The number that a line names. Raises FusionError for one that the model lacks."""
        found = targets.read(line, self.model, self.output)
        return replace(found, nothing=self.prior.get(found.label)) if found.kind == ANSWER else found

    def rows(self, method: str, *, whole: bool = False, pairs: int = 8) -> int:
        """About how many rows an explanation and its test run through the model. Raises FusionError."""
        players = len(modalities_of(self.batch) if whole else steps_of(self.batch))
        if method == "shapley":
            own = 2**players if whole else METHODS[method].rows(players) * pairs // 8
        else:
            own = METHODS[method].rows(players)
        points = max(min(curves.STEPS, players) - 1, 0)
        return own + 2 * points + (0 if self._chance else curves.DRAWS * points)

    def applying(self, line: str, *, whole: bool = False) -> dict[str, str]:
        """Which methods can explain a number: {method: "" or why not}, without running what is dear."""
        found = {}
        for key, method in METHODS.items():
            why = ""
            if method.reads == "weights":
                why = "parts" if not whole else "" if _weighs(self) else "weights"
            elif whole and method.reads != "hiding":
                why = "steps"
            elif method.reads == "attention" and not _attends(self, line, key):
                why = "attention"
            elif key == "grad_cam" and not any(methods.is_picture(self.batch, m) for m in self.batch.modalities):
                why = "picture"
            found[key] = why
        return found

    def judge(
        self, line: str, method: str = methods.FIRST, *, whole: bool = False, pairs: int = 8, seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Judged:  # fmt: skip
        """An explanation of a number and its test. Raises FusionError for a target or a method that doesn't apply."""
        with exclusive(self.lock):
            target = self.target(line)
            told = methods.explain(
                self.model, self.batch, target, method, whole=whole, pairs=pairs, seed=seed, progress=progress
            )
            key = (str(target), whole)
            chance = self._chance.get(key)
            found = curves.trial(
                asking(self.model, methods.fresh(self.batch), target, told.players), told.values, seed=seed,
                signed=METHODS[method].signed, chance=() if chance is None else chance.random,
            )  # fmt: skip
            self._chance.setdefault(key, found)
        return Judged(told, found)


def _weighs(case: Case) -> bool:
    return weights_of(case.output.trace, case.batch) is not None


def _attends(case: Case, line: str, kind: str) -> bool:
    """Whether attention says anything of a part that can be hidden."""
    from fusion.explain import attending

    batch = methods.fresh(case.batch)
    if not attending.attention_signals(case.output.trace, case.batch):
        return False
    try:
        told = attending.attributions(case.model, batch, case.target(line), kind)[0]
    except FusionError:
        return False
    return not set(told).isdisjoint(steps_of(batch).of)


def case_line(case: Case) -> str:
    """The first kind of target that a model has, in the form of a line."""
    kind = targets.known(case.model, case.output)[0]
    return "tag:0" if kind == targets.TAG else kind


def concord(found: Sequence[Judged]) -> np.ndarray:
    """Rank correlations of methods over the parts that all judge; shares are compared with sizes. -> (K, K)"""
    if not found:
        return np.zeros((0, 0))
    judged = set.intersection(*(set(one.told.judged) for one in found))
    players = found[0].told.players
    mine = torch.tensor([m in judged for m in players.of])
    if not bool(mine.any()):
        return np.full((len(found), len(found)), np.nan)
    directed = all(METHODS[one.method].signed for one in found)
    return curves.agreement([(one.told.values if directed else one.told.values.abs())[mine] for one in found])
