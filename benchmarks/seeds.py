"""The same training from several seeds: held-out figures of the gloss test split as each checkpoint keeps them.

Read from `NAME-s37`, `NAME-s38` ... (python -m fusion train maf --data gloss --seed 37 --name NAME-s37); the bundled
checkpoint is the one of seed 37, whatever the others reach.
"""

from __future__ import annotations

import numpy as np

from benchmarks.measuring import Row, between
from fusion import checkpoints
from fusion.cards import ROWS
from fusion.types import FusionError

PARTS = {"test": "whole test split", "pictures": "drawn pictures"}


def measure(checkpoint: str) -> list[Row]:
    """Mean and range over the seeds. Raises FusionError where fewer than two were trained."""
    start = f"{checkpoints.find(checkpoint).name}-s"
    found = [c for c in checkpoints.listed() if c.name.startswith(start) and c.name[len(start) :].isdigit()]
    if len(found) < 2:
        raise FusionError(f'{len(found)} checkpoints are named "{start}..."; train two seeds or more first.')
    rows = []
    for part, words in PARTS.items():
        kept = [c.metrics[part] for c in found]
        for key, name in ROWS.items():
            values = np.array([one[key] for one in kept])
            said = f"{between(values.min(), values.max())} over {len(found)} seeds"
            rows.append(Row(f"{words}: {name}", float(values.mean()), n=kept[0]["n"], spread=said))
    return rows
