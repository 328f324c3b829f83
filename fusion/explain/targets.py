"""What is explained: one number that a model gives for each row of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.signals import Marginals, Match
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.signals import FusionOutput
    from fusion.types import Batch

ANSWER, MATCH, TAG = "answer", "match", "tag"
SMALLEST = 1e-12  # probability whose logarithm is still taken


@dataclass(frozen=True)
class Target:
    """One number a row. `answer`: the score, or the log-odds of a class; `match`: its probability, 0 where
    there is no picture; `tag`: the log-odds of a class at one step.

    A line writes it as "answer", "answer:CLASS", "match", "tag:STEP" or "tag:STEP:CLASS", classes by name.
    """

    kind: str  # answer | match | tag
    label: str = ""  # name of the class, "" for scores and matches
    step: int = -1  # of the text, for tags
    nothing: float | None = None  # its value where no modality is there, of models that don't answer from nothing

    def __str__(self) -> str:
        parts = [self.kind, *([str(self.step)] if self.step >= 0 else []), *([self.label] if self.label else [])]
        return ":".join(parts)

    @property
    def needs_trace(self) -> bool:
        """Whether it is read off the trace."""
        return self.kind != ANSWER


def read(text: str, model: FusionModel, output: FusionOutput) -> Target:
    """The target that a line names, with what the model itself answers where the line leaves the class open.

    output: of the sample alone, B = 1, with its trace. Raises FusionError for a target that the model lacks.
    """
    kind, _, rest = text.partition(":")
    has = known(model, output)
    if kind not in has:
        if not has:
            raise FusionError(f"{model.card.name} answers nothing that could be explained; look at its map instead.")
        raise FusionError(f'"{text[:60]}" is no target of {model.card.name}; choose {" or ".join(has)}.')
    if kind == MATCH:
        return Target(MATCH)
    if kind == TAG:
        return _tag(rest, model, output)
    if not model.classes:
        return Target(ANSWER)
    label = rest or model.classes[int(output.prediction[0].argmax())]
    return Target(ANSWER, _class(label, model))


def known(model: FusionModel, output: FusionOutput) -> tuple[str, ...]:
    """Which kinds of target a model has."""
    if model.task in (Task.CLASSES, Task.REGRESSION):
        return (ANSWER,)
    found = [MATCH] if output.trace.first(Match) is not None else []
    return (*found, *([TAG] if output.trace.first(Marginals) is not None else []))


def _tag(rest: str, model: FusionModel, output: FusionOutput) -> Target:
    marginals = output.trace.first(Marginals)
    assert marginals is not None
    place, _, label = rest.partition(":")
    real = int(marginals.mask[0].sum())
    if not place.isdecimal() or int(place) >= real:
        raise FusionError(f'"tag:{rest[:40]}" names no step; write tag:STEP, STEP being 0 to {real - 1}.')
    step = int(place)
    label = label or model.classes[int(marginals.value[0, step].argmax())]
    return Target(TAG, _class(label, model), step)


def _class(label: str, model: FusionModel) -> str:
    if label not in model.classes:
        raise FusionError(f'"{label[:40]}" is none of {", ".join(model.classes)}; name one of them.')
    return label


def numbers(model: FusionModel, output: FusionOutput, target: Target) -> Tensor:
    """The target of each row, differentiable. -> (B,) in units of the score, a probability, or log-odds"""
    if target.kind == MATCH:
        match = output.trace.first(Match)
        assert match is not None
        return match.value.cpu().double()  # not every device has float64
    if target.kind == TAG:
        marginals = output.trace.first(Marginals)
        assert marginals is not None
        return _log_odds(marginals.value[:, target.step, model.classes.index(target.label)].cpu().double())
    value = output.prediction.cpu().double()
    if value.ndim == 1:
        return value
    own = model.classes.index(target.label)
    others = [c for c in range(value.shape[1]) if c != own]
    return value[:, own] - value[:, others].logsumexp(1) if others else value[:, own]


def _log_odds(p: Tensor) -> Tensor:
    inside = p.clamp(SMALLEST, 1 - SMALLEST)
    return inside.log() - torch.log1p(-inside)


def of_batch(model: FusionModel, batch: Batch, target: Target, *, trace: bool = False) -> tuple[Tensor, FusionOutput]:
    """One forward pass. -> the target (B,), the output"""
    output = model(batch, trace=trace or target.needs_trace)
    return numbers(model, output, target), output
