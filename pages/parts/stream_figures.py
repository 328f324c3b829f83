"""What a checkpoint of streams keeps of its figures, beside that of other checkpoints of the same data set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from fusion.streams.figures import (
    BESIDE,
    TURNED,
    hidden,
    interval_of,
    main,
    modalities_of,
    number,
    numbers,
    run_of,
    runs_of,
    subsets_of,
    test_of,
    unanswered,
)  # fmt: skip
from fusion.words import t
from pages.parts import cache, using

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.views.missing import Run

__all__ = [
    "BESIDE", "TURNED", "hidden", "interval_of", "main", "modalities_of", "number", "numbers", "others", "run_of",
    "runs_beside", "runs_of", "subsets_of", "test_of", "unanswered",
]  # fmt: skip


def runs_beside(found: Checkpoint, what: str) -> list[Run]:
    """The curve of a checkpoint, then those of others of its data set; seeds of one system are one curve together."""
    from fusion.views.missing import Run

    groups: dict[str, list[tuple[str, Run]]] = {}
    seen: set[tuple[str, object]] = set()
    for one in (found, *others(found)):
        run, kind = run_of(one, what), _trained_alike(one)
        seed = (kind, one.metrics.get("seed"))
        if run is not None and (seed[1] is None or seed not in seen):  # a bundled copy and one's own are one run
            seen.add(seed)
            groups.setdefault(kind, []).append((one.name, run))
    made = []
    for members in groups.values():
        first = members[0][1]
        alike = [run for _, run in members if np.array_equal(run.rates, first.rates)]
        if len(alike) < 2:
            made += [run for _, run in members]
            continue
        name = t("fusing.together", name=min((name for name, _ in members), key=len), count=len(alike))
        mean = np.mean([run.mean for run in alike], 0)
        low, high = np.min([run.low for run in alike], 0), np.max([run.high for run in alike], 0)
        made.append(Run(name, first.rates, mean, low, high, sum(run.draws for run in alike)))
    return made


def _trained_alike(found: Checkpoint) -> str:
    """What the seeds of one training share: the system, its settings and its recipe."""
    recipe = found.metrics.get("recipe")
    told = {name: value for name, value in recipe.items() if name != "seed"} if isinstance(recipe, dict) else found.name
    return json.dumps([found.model, dict(found.config), told], sort_keys=True, default=str)


def others(found: Checkpoint) -> list[Checkpoint]:
    """Other checkpoints that were trained on the same data set and measured by the same figure."""
    return [
        one for one in cache.checkpoints()
        if one.digest != found.digest and one.data == found.data and using.reads_of(one) == "streams"
        and main(one) == main(found)
    ]  # fmt: skip
