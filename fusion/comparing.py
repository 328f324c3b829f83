"""Spaces side by side for a checkpoint or a data set: what goes in, what a checkpoint makes of it, measured once.

What goes in are the features that the checkpoint reads, of sequences their mean over the steps; what it makes are its
signals (fusion/gathering.py). Measured by fusion/streams/side_by_side.py and kept by content below the user's folder.
N samples or entities, D features.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion import checkpoints, gathering
from fusion.data import open_data
from fusion.files import atomic_file, digest, home
from fusion.streams import inputs, runs
from fusion.streams.baselines import pooled
from fusion.streams.side_by_side import Space, compare
from fusion.streams.spaces import views_of
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.streams.inputs import Streams

KEPT_AS = "spaces 2"  # kind and version of what is kept
Views = dict[str, np.ndarray]  # {m: (N, D) float32}, NaN in rows without the view
Progress = Callable[[int, int], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Compared:
    """Spaces of one data set side by side."""

    data: str
    checkpoint: str  # "" where none was asked
    rows: dict[str, int]  # {split: samples}
    spaces: list[Space]


def place(checkpoint: Checkpoint | None, dataset: DataSet) -> Path:
    """The file in which the comparison of this content is kept."""
    own = "" if checkpoint is None else checkpoint.digest
    return home() / "spaces" / f"{digest(KEPT_AS, own, dataset.digest)[:24]}.json"


def stored(checkpoint: Checkpoint | None, dataset: DataSet) -> Compared | None:
    """What was measured before, None when it wasn't (or can't be read: it is measured again)."""
    try:
        found = json.loads(place(checkpoint, dataset).read_text(encoding="utf-8"))
        return Compared(**{**found, "spaces": [Space(**one) for one in found["spaces"]]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def named(what: str, data: str | None = None) -> tuple[Checkpoint | None, DataSet]:
    """The checkpoint and the data set that a word means: a checkpoint with its own set or another one, or a data set.

    Raises FusionError where it is neither.
    """
    known = {one.name for one in checkpoints.listed()}
    if what not in known and not (Path(what).expanduser() / "config.json").is_file():
        if data:
            raise FusionError(f'--data goes with a checkpoint, and "{what[:80]}" is none; known: {", ".join(known)}.')
        return None, _opened(what)
    found = checkpoints.find(what)
    return found, _opened(data or found.data)


def _opened(spec: str) -> DataSet:
    gathering.ready(spec)
    return open_data(spec)


def compared(
    checkpoint: Checkpoint | None, dataset: DataSet, progress: Progress | None = None, say: Say | None = None
) -> Compared:
    """Measure every space, and keep it; what was kept before is returned at once.

    Raises FusionError where there are fewer than two views, or too few rows to count.
    """
    before = stored(checkpoint, dataset)
    if before is not None:
        return before
    spec = dataset.spec or dataset.key
    if checkpoint is None:
        streams = inputs.read(dataset if dataset.kind == "streams" else open_data(f"views:{spec}"))
        ids, split, raw, learned = streams.ids, streams.split, _pooled(streams), {}
    elif gathering.named(spec):  # of signals no signals are gathered: the space is asked itself
        task = runs.task_of(checkpoint, dataset)
        streams = inputs.read(dataset).of(task.streams.names)
        ids, split, raw = streams.ids, streams.split, _pooled(streams)
        learned = {"": views_of(runs.load(checkpoint), task.streams, torch.arange(len(streams)))}
    else:
        signals = f"{gathering.PREFIX}:{checkpoint.name}@{spec}"
        gathering.ready(signals, progress)
        streams = inputs.read(open_data(signals))
        ids, split = streams.ids, streams.split
        learned = families(_pooled(streams), checkpoint)
        raw = _of_rows(ids, *_inputs(checkpoint, dataset))
        raw = {m: x for m, x in raw.items() if any(m in views for views in learned.values())}
    spaces = compare(raw if len(raw) > 1 else {}, learned, np.asarray(split), say)
    rows = {name: int((np.asarray(split) == at).sum()) for at, name in enumerate(("train", "valid", "test"))}
    made = Compared(spec, "" if checkpoint is None else checkpoint.name, rows, spaces)
    path = place(checkpoint, dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(asdict(made)) + "\n", encoding="utf-8")
    return made


def families(views: Views, checkpoint: Checkpoint) -> dict[str, Views]:
    """The learned spaces: signals called <space>_<modality> by space, all others as one. -> {space: {m: (N, D)}}

    A space with one view, or whose views have different widths, is none.
    """
    own = [_plain(m) for m in checkpoint.config.get("modalities", ())]
    found: dict[str, Views] = {}
    for name, table in views.items():
        m = next((m for m in sorted(own, key=len, reverse=True) if name.endswith(f"_{m}")), None)
        space, view = ("", name) if m is None else (name.removesuffix(f"_{m}"), m)
        found.setdefault(space, {})[view] = table
    several = {space: tables for space, tables in found.items() if len({x.shape[1] for x in tables.values()}) == 1}
    return {space: tables for space, tables in several.items() if len(tables) > 1}


def _plain(name: str) -> str:
    """A modality as signals are called in a file of views."""
    return re.sub(r"[^a-z0-9_]+", "_", name.lower())


def _inputs(checkpoint: Checkpoint, dataset: DataSet) -> tuple[list[str], Views]:
    """The features that a checkpoint reads: ids, {m: (N, D)}."""
    ids = [sample.id for sample in dataset.samples]
    if dataset.kind == "streams":
        streams = inputs.read(runs.fitting(checkpoint, dataset)).of(checkpoint.config["modalities"])
        return list(streams.ids), {_plain(m): x for m, x in _pooled(streams).items()}
    if dataset.kind == "pairs":
        streams = inputs.read(open_data(f"views:{dataset.spec or dataset.key}"))
        return list(streams.ids), _pooled(streams)
    if dataset.kind == "graph":
        from fusion.alignment.inspection import Aligner

        features = Aligner.open(checkpoint, dataset).features
    else:
        from fusion.links.inspection import Predictor

        features = Predictor.open(checkpoint, dataset).features
    nothing = torch.tensor(float("nan"))
    tables = {_plain(m): torch.where(features.known[m][:, None], x, nothing) for m, x in features.features.items()}
    return ids, {m: x.float().numpy() for m, x in tables.items() if x.shape[1] > 1}


def _pooled(streams: Streams) -> Views:
    """The mean over the steps of each modality, NaN where a sample lacks it."""
    found = {}
    for at, (m, table) in enumerate(pooled(streams, torch.arange(len(streams))).items()):
        values = table.float().numpy().copy()
        values[~streams.present[:, at]] = np.nan
        found[m] = values
    return found


def _of_rows(wanted: list[str] | tuple[str, ...], ids: list[str], views: Views) -> Views:
    """Views in the order of other ids, NaN for one that they lack."""
    where = {id: row for row, id in enumerate(ids)}
    rows = np.array([where.get(id, -1) for id in wanted])
    made = {}
    for m, table in views.items():
        values = table[rows].copy()
        values[rows < 0] = np.nan
        made[m] = values
    return made
