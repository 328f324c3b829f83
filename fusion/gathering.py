"""Embeddings of a whole data set under a checkpoint, gathered into one file as views (fusion/data/kept_signals.py).

A checkpoint of pairs gives its aligned texts and images, one of entities a table a modality, one of sequences the
embeddings of single modalities. Fused vectors are left out: they are made of the others. N samples, D features.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusion import checkpoints
from fusion.data import open_data, view_files
from fusion.data.feature_files import KNOWN
from fusion.data.kept_signals import PREFIX, parted, place
from fusion.files import atomic_file
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Views with what stands beside them; a view that a sample lacks is a row of zeros."""

    ids: list[str]
    splits: list[str]
    views: dict[str, np.ndarray]  # {name: (N, D) float32}
    label: np.ndarray | None = None  # (N,) classes by name, "" where unknown, or scores


def named(spec: str | None) -> bool:
    """Whether a spec names signals."""
    return (spec or "").startswith(f"{PREFIX}:")


def ready(spec: str, progress: Progress | None = None) -> None:
    """Gather what a data set of signals needs; any other spec is left alone."""
    if named(spec):
        gather(spec.removeprefix(f"{PREFIX}:"), progress)


def gather(rest: str, progress: Progress | None = None) -> Path:
    """Run the data set of "CHECKPOINT@DATA" where it was not run before, and keep its embeddings. -> the file

    Raises FusionError where the checkpoint or its data can't be read, or give fewer than two views.
    """
    name, data = parted(rest)
    checkpoint = checkpoints.find(name)
    spec, path = data or checkpoint.data, place(rest)
    if named(spec):
        raise FusionError("Signals of signals are not gathered; name the data set that the first ones are of.")
    dataset = open_data(spec)
    content = {"data": spec, "checkpoint": checkpoint.digest, "content": dataset.digest}
    if path.is_file() and view_files.about(path) == content:
        return path
    made = {"pairs": _pairs, "graph": _graph, "triples": _triples, "streams": _streams}[dataset.kind](
        checkpoint, dataset, progress
    )
    there = {view: np.abs(values).sum(1) > 0 for view, values in made.views.items()}
    if sum(bool(known.any()) for known in there.values()) < 2:
        raise FusionError(f'"{checkpoint.name}" gives fewer than two views of "{dataset.name}"; choose another one.')
    tables = {re.sub(r"[^a-z0-9_]+", "_", view.lower()): values for view, values in made.views.items()}
    tables |= {f"{view}{KNOWN}": known for view, known in zip(tuple(tables), there.values(), strict=True)}
    beside = {} if made.label is None else {"label": made.label}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as aside, aside.open("wb") as stream:
        np.savez(
            stream, allow_pickle=False, about=np.array(json.dumps(content)), ids=np.array(made.ids),
            split=np.array(made.splits), **tables, **beside,
        )  # fmt: skip
    return path


def _pairs(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Gathered:
    from fusion import observations
    from fusion.inference import Pipeline

    found = observations.stored(checkpoint, dataset)
    found = found or observations.observe(Pipeline.open(checkpoint), dataset, progress)
    return Gathered([s.id for s in dataset.samples], [s.split for s in dataset.samples], dict(found.vectors))


def _graph(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Gathered:
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import stored, whole

    found = stored(checkpoint, dataset) or whole(Aligner.open(checkpoint, dataset), progress)
    assert dataset.graph is not None, "it is of this kind"
    known = {m: found.frame[f"known_{m}"].to_numpy(bool) for m in found.modalities}
    views = {m: found.vectors(m) * known[m][:, None] for m in found.modalities}
    return Gathered(
        [s.id for s in dataset.samples], [dataset.graph.split_of(row) for row in range(len(dataset))], views
    )


def _triples(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Gathered:
    from fusion.links.inspection import FUSED, Predictor
    from fusion.links.whole import stored, whole

    found = stored(checkpoint, dataset) or whole(Predictor.open(checkpoint, dataset), progress)
    views = {branch: found.vectors(branch) for branch in found.branches if branch != FUSED}
    return Gathered([s.id for s in dataset.samples], [s.split for s in dataset.samples], views)


def _streams(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Gathered:
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import stored, whole

    found = stored(checkpoint, dataset) or whole(Reader.open(checkpoint, dataset), progress)
    frame = found.frame
    lone = [name for name, level in found.levels.items() if level in found.modalities]
    views = {name: found.vectors(name) for name in lone}
    for name in lone:
        views[name] = views[name] * frame[f"has_{found.levels[name]}"].to_numpy(bool)[:, None]
    label = None
    if found.answers:
        values = frame["target"]
        label = values.fillna("").to_numpy(str) if found.classes else values.to_numpy(np.float64)
    return Gathered(frame["id"].astype(str).tolist(), frame["split"].tolist(), views, label)
