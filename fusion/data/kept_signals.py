"""Signals of a checkpoint as views: the embeddings that it made of every sample of a data set, gathered into a file.

`signals:CHECKPOINT` or `signals:CHECKPOINT@DATA`; fusion/gathering.py writes the files, below the user's folder, and
says what is in them. What a sample says to a person comes from the data set itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from fusion.data import view_files
from fusion.data.dataset import DataSet
from fusion.files import digest, home, shorten
from fusion.types import FusionError

PREFIX = "signals"


def parted(rest: str) -> tuple[str, str]:
    """Checkpoint and data set of a spec, without its prefix; "" for the data set that the checkpoint was trained on."""
    name, _, data = rest.partition("@")
    return name, data


def place(rest: str) -> Path:
    """The file that the signals are gathered in."""
    return home() / PREFIX / f"{digest(rest)[:24]}.npz"


def read(rest: str, open_data: Callable[[str], DataSet]) -> DataSet:
    """What was gathered. Raises FusionError where nothing was, or the data set behind it is no longer there."""
    path = place(rest)
    if not path.is_file():
        raise FusionError(
            f'The signals "{shorten(rest, 120)}" are not gathered yet; gather them: python -m fusion data '
            f"{PREFIX}:{shorten(rest, 120)}"
        )
    found, about = view_files.read(path), view_files.about(path)
    behind = open_data(about.get("data", ""))
    said = {sample.id: sample for sample in behind.samples}
    samples = tuple(
        replace(one, parts={**one.parts, **said[one.id].parts}, note=said[one.id].note) if one.id in said else one
        for one in found.samples
    )
    notes = (
        f'These are embeddings that the checkpoint "{parted(rest)[0]}" makes of {behind.name}: views of one model '
        "agree as far as it was trained to make them, which says nothing of the data alone.",
    )
    return replace(
        found, key=f"{PREFIX}-{digest(rest)[:8]}", name=f"{parted(rest)[0]}: {behind.name}", samples=samples,
        word=behind.word, root=behind.root, notes=(*behind.notes, *found.notes, *notes), spec=f"{PREFIX}:{rest}",
    )  # fmt: skip
