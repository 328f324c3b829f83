"""Which two checkpoints can be compared: those of one task that read the same inputs; of others it says what would do.

A difference says something about the systems only where everything else is the same: the question, the answers to
choose from, and what goes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fusion.models import MODELS
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataKind

KINDS: dict[Task, DataKind] = {
    Task.TAGGING: "pairs", Task.ALIGNMENT: "graph", Task.LINKS: "triples", Task.REGRESSION: "streams",
    Task.CLASSES: "streams", Task.REPRESENTATION: "streams",
}  # fmt: skip
DOES = {
    "tagging": "finds names in a sentence with its picture", "alignment": "aligns entities of two graphs",
    "links": "predicts links of a graph", "regression": "answers with a score", "classes": "answers with a class",
    "representation": "makes a shared space and answers nothing",
}  # fmt: skip
NAMED = 6  # checkpoints that a sentence names


def task_of(checkpoint: Checkpoint) -> Task:
    """What a checkpoint does: by its system, and by its classes where the system does both."""
    tasks = MODELS[checkpoint.model].card.tasks
    if Task.CLASSES in tasks and Task.REGRESSION in tasks:
        return Task.CLASSES if checkpoint.config.get("classes") else Task.REGRESSION
    return tasks[0]


def kind_of(checkpoint: Checkpoint) -> DataKind:
    """The kind of data set that a checkpoint reads. Raises FusionError for a task that can't be compared."""
    task = task_of(checkpoint)
    if task not in KINDS:
        raise FusionError(f'"{checkpoint.name}" has the task {task.value}, which is not compared; choose another one.')
    return KINDS[task]


def check(a: Checkpoint, b: Checkpoint, others: Sequence[Checkpoint] = ()) -> None:
    """Raises FusionError where a comparison of two checkpoints would say nothing; others: what could stand for B."""
    problem = why_not(a, b)
    if problem:
        fitting = [one.name for one in others if one.digest != a.digest and not why_not(a, one)]
        names = ", ".join(dict.fromkeys(fitting[:NAMED]))
        instead = f"These would do: {names}." if names else "Compare one with a switch flipped, or train another one."
        raise FusionError(f"{problem} {instead}")


def why_not(a: Checkpoint, b: Checkpoint) -> str:
    """Why two checkpoints can't be compared, in a sentence; "" where they can."""
    first, second = task_of(a), task_of(b)
    if first is not second:
        return f'"{a.name}" {_does(first)} and "{b.name}" {_does(second)}: different tasks have no common answer.'
    kind_of(a)
    if first in (Task.TAGGING, Task.CLASSES) and _words(a, "classes") != _words(b, "classes"):
        return f'"{a.name}" and "{b.name}" choose among different classes ({_some(a)}; {_some(b)}).'
    unlike = [m for m in a.encoders if m in b.encoders and a.encoders[m] != b.encoders[m]]
    if unlike:
        m = unlike[0]
        return (
            f'"{a.name}" reads {m} by the encoder "{a.encoders[m]}" and "{b.name}" by "{b.encoders[m]}": what differs '
            "could come from the encoders alone."
        )
    if KINDS[first] != "pairs" and a.data != b.data:  # a pair of texts and images is read by any
        return f'"{a.name}" knows the samples of "{_short(a.data)}" and "{b.name}" those of "{_short(b.data)}".'
    return ""


def _does(task: Task) -> str:
    return DOES.get(task.value, f"does {task.value}")


def _words(checkpoint: Checkpoint, name: str) -> tuple[str, ...]:
    return tuple(map(str, checkpoint.config.get(name) or ()))


def _some(checkpoint: Checkpoint) -> str:
    found = _words(checkpoint, "classes")
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")


def _short(data: str) -> str:
    return data.rstrip("/").rpartition("/")[2] or data
