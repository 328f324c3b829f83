"""What training told epoch by epoch, kept in the run's folder: mean losses by term, and validation figures.

home()/runs/<title>/history.jsonl, one line an epoch. A run that goes on adds to it; where an epoch was told twice,
since a run was killed before it was kept, the later line counts. Nothing reads it but pictures.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from fusion import jobs
from fusion.files import home

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

NAME = "history.jsonl"
FIRST = ("stage", "epoch", "best", "time")  # columns that are no measure


def begin(folder: Path) -> None:
    """Start anew: what an earlier run of the folder told is of another one."""
    (folder / NAME).unlink(missing_ok=True)


def add(
    folder: Path | None, stage: str, epoch: int, losses: Mapping[str, float], scores: Mapping[str, float], *,
    best: bool = False,
) -> None:  # fmt: skip
    """Keep what an epoch gave. Nothing where no folder is kept, or where nothing was measured."""
    if folder is None or not (losses or scores):
        return
    jobs.note("run", folder.name)
    values = {f"loss {k}": v for k, v in losses.items()} | dict(scores)
    line = {"stage": stage, "epoch": epoch, "best": best, "time": time.time(), "values": values}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / NAME).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def read(title: str) -> pd.DataFrame:
    """(epochs, columns): stage, epoch, best, time, then each measure, losses as "loss <term>". Empty without a history.

    Epochs count on through the stages of a run; `epoch` is from 1 in each stage, `step` from 1 in the whole run.
    """
    import pandas as pd

    path = home() / "runs" / title / NAME
    if "/" in title or title.startswith(".") or not path.is_file():
        return pd.DataFrame(columns=[*FIRST, "step"])
    kept: dict[tuple[str, int], dict[str, object]] = {}
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:  # what follows the last line end is half written
        told = json.loads(line)
        key = (told["stage"], told["epoch"])
        before = kept.get(key, {})
        kept[key] = {**before, **{name: told[name] for name in FIRST}, **told["values"]}  # a resumed run repeats scores
    frame = pd.DataFrame(list(kept.values()))
    frame["step"] = range(1, len(frame) + 1)
    return frame


def titles() -> list[str]:
    """Runs with a history, the one that was added to last first."""
    found = [(path.stat().st_mtime, path.parent.name) for path in (home() / "runs").glob(f"*/{NAME}")]
    return [title for _, title in sorted(found, reverse=True)]
