"""The one base class of trained models."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from fusion.signals import Trace
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np

    from fusion.signals import FusionOutput
    from fusion.types import Batch, Card, Modality, Task


WIDEST = 2**20  # no axis of a model is longer; refuses a nonsense config.json before anything is built from it


def check_settings(config: Any, ranges: Mapping[str, tuple[float, float]]) -> None:  # Any: a frozen Config of a model
    """Compare each setting with its annotation, and with its lowest and highest value where `ranges` has them.

    Annotations may be int, float, bool, Literal, tuple[str, ...], whose names must differ, tuple[Literal, ...],
    tuple[int, ...] and tuple[float, ...]. A tuple may be empty where its default is. Raises FusionError.
    """
    empty = {f.name for f in dataclasses.fields(config) if f.default == ()}
    for name, kind in typing.get_type_hints(type(config)).items():
        value, choices = getattr(config, name), typing.get_args(kind)
        if typing.get_origin(kind) is Literal:
            fits, would = value in choices, " or ".join(repr(choice) for choice in choices)
        elif typing.get_origin(kind) is tuple and choices[0] in (int, float):
            low, high = ranges[name]
            types = (int,) if choices[0] is int else (int, float)
            fits = isinstance(value, tuple) and (len(value) > 0 or name in empty)
            fits = fits and all(type(one) in types and low <= one <= high for one in value)
            would = f"a list of {choices[0].__name__} from {low:g} to {high:g}"
        elif typing.get_origin(kind) is tuple and typing.get_origin(choices[0]) is Literal:
            words = typing.get_args(choices[0])
            fits = isinstance(value, tuple) and (len(value) > 0 or name in empty) and all(one in words for one in value)
            would = f"a list of {', '.join(repr(word) for word in words)}"
        elif typing.get_origin(kind) is tuple:
            fits = isinstance(value, tuple) and (len(value) > 0 or name in empty)
            fits = fits and all(isinstance(one, str) for one in value)
            fits, would = fits and len(set(value)) == len(value), "a list of different names"
        elif kind is bool:
            fits, would = isinstance(value, bool), "true or false"
        else:
            low, high = ranges[name]
            number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
            fits, would = number and low <= value <= high, f"{kind.__name__} from {low:g} to {high:g}"
        if not fits:
            raise FusionError(f"The setting {name} is {value!r}; it must be {would}. Change it, or leave it out.")


class FusionModel(nn.Module):
    """A fusion model: from a batch of encoder outputs to a prediction and the trace of how it was reached.

    A model holds no device, path or printing. `config` is its frozen dataclass, `classes` the names of its outputs.
    """

    card: ClassVar[Card]
    Config: ClassVar[type[Any]]  # its frozen dataclass of settings, each system's own
    config: Any  # an instance of it
    task: Task
    modalities: tuple[Modality, ...]
    classes: tuple[str, ...]
    stages: ClassVar[tuple[str, ...]] = ("fusion",)  # of its training, in order; the last one gives the model

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Prediction in the shape of the task, fused (B, D) and, when asked for, the trace."""
        raise NotImplementedError

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised, each with its weight already in it."""
        raise NotImplementedError

    def start(self, stage: str) -> None:
        """Make ready for a stage of training; `loss` is that of the stage."""

    def learned(self) -> Trace:
        """What does not depend on a sample (transitions, global weights)."""
        return Trace()


@dataclass(frozen=True)
class Remark:
    """Something to know before believing a solution; a key of the word catalogues with its values."""

    key: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Solved:
    """What a solution was made of."""

    rows: int  # that every view has
    left_out: tuple[str, ...]  # ids of rows that lack a view
    remarks: tuple[Remark, ...]


class ClosedForm(FusionModel):
    """A model that is solved in one go: buffers in float64, no parameters, nothing to train by steps.

    Sizes that follow from the data (rows kept, components that there are) are in `config` after `solve`, so that a
    checkpoint loads strictly. It stays on the CPU where a device has no float64.
    """

    def solve(
        self,
        blocks: Mapping[str, Tensor | np.ndarray] | Iterable[Batch],
        held_out: Mapping[str, Tensor | np.ndarray] | Iterable[Batch] | None = None,
        *,
        rounds: int = 0,
    ) -> Solved:
        """Fit to views {m: (n, D)}, or to batches read once, and measure on others that are held out.

        rounds: of the permutation test; 0 leaves it out. Raises FusionError where the data allow no solution.
        """
        raise NotImplementedError

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Raises FusionError: there is nothing to descend."""
        raise FusionError(f"{self.card.name} is solved in one go, not trained by steps; call solve with its data.")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ClosedForm:
        """Move to a device but keep float64; stay where a device has none (its conversion raises TypeError)."""
        try:
            probe = fn(torch.zeros((), dtype=torch.float64))
        except TypeError:
            return self
        where = (lambda x: x.to(probe.device)) if probe.dtype != torch.float64 else fn
        super()._apply(where, recurse)  # type: ignore[arg-type]  # of nn.Module, which says nothing of its argument
        return self
