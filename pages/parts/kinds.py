"""What kind of data set a checkpoint reads: by its task, never by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataKind as Kind

KINDS: tuple[Kind, ...] = ("pairs", "graph", "triples", "streams")  # in the order in which they are offered
READS: dict[Task, Kind] = {
    Task.TAGGING: "pairs", Task.ALIGNMENT: "graph", Task.LINKS: "triples", Task.REGRESSION: "streams",
    Task.CLASSES: "streams", Task.REPRESENTATION: "streams",
}  # fmt: skip


def reads(checkpoint: Checkpoint) -> Kind:
    """The kind of data set that a checkpoint reads. Raises FusionError for a task that no page shows."""
    from fusion.models import MODELS  # brings torch, which a heading doesn't wait for

    task = MODELS[checkpoint.model].card.tasks[0]
    if task not in READS:
        raise FusionError(f'"{checkpoint.name}" has the task {task.value}, which no page shows; choose another one.')
    return READS[task]
