"""A page of a whole data set under a checkpoint: what its Match and Fusion pages show, as pictures that stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.report.sets.entities import entities_page
from fusion.report.sets.links import links_page
from fusion.report.sets.pairs import pairs_page
from fusion.report.sets.streams import streams_page

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusion.checkpoints import Checkpoint
    from fusion.views.page import Page


def set_page(checkpoint: Checkpoint, data: str, progress: Callable[[int, int], None] | None = None) -> Page:
    """Every sample of a data set under a checkpoint, run now where that was not kept before. Raises FusionError."""
    from fusion.data import open_data
    from fusion.models import MODELS
    from fusion.types import Task

    dataset, task = open_data(data), MODELS[checkpoint.model].card.tasks[0]
    make = {Task.ALIGNMENT: entities_page, Task.LINKS: links_page, Task.TAGGING: pairs_page}.get(task, streams_page)
    return make(checkpoint, dataset, progress)


__all__ = ["entities_page", "links_page", "pairs_page", "set_page", "streams_page"]
