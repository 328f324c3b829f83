"""The one base class of trained models."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from fusion.signals import Trace

if TYPE_CHECKING:
    from fusion.signals import FusionOutput
    from fusion.types import Batch, Card, Modality, Task


class FusionModel(nn.Module):
    """A fusion model: from a batch of encoder outputs to a prediction and the trace of how it was reached.

    A model holds no device, path or printing. `config` is its frozen dataclass, `classes` the names of its outputs.
    """

    card: ClassVar[Card]
    task: Task
    modalities: tuple[Modality, ...]
    classes: tuple[str, ...]

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Prediction in the shape of the task, fused (B, D) and, when asked for, the trace."""
        raise NotImplementedError

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Named scalar terms whose sum is minimised, each with its weight already in it."""
        raise NotImplementedError

    def learned(self) -> Trace:
        """What does not depend on a sample (transitions, global weights)."""
        return Trace()
