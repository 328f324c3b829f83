"""Views of any data: what its samples have of each modality, as sequences without a score or a class.

`views:KEY_OR_PATH` opens a set of pairs or of entities so that a system of a shared space can be fitted on it: each
kind of part (text, image, name, description ...) is a view. `views:FILE` takes tables of features from a file
(fusion/data/view_files.py). N samples, M views.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fusion.data import view_files
from fusion.data.dataset import DataSet
from fusion.data.splitting import splits
from fusion.data.streams import StreamSet
from fusion.files import digest
from fusion.types import Audio, FusionError, Image, Modality, Numbers, Part, Sample, Text

PREFIX = "views"
KINDS: dict[type, tuple[str, str]] = {Text: ("text", "token"), Image: ("image", "region"), Audio: ("audio", "frame")}


def read(rest: str, open_data: Callable[[str], DataSet]) -> DataSet:
    """What `views:` names. open_data: opens the set that lies behind the views.

    Raises FusionError where that can't be opened, or has fewer than two views.
    """
    if rest.startswith(f"{PREFIX}:"):
        raise FusionError(f"{PREFIX}:{PREFIX}: says the same twice; write {PREFIX}: once.")
    path = view_files.recognised(rest)
    return view_files.read(path) if path is not None else of(open_data(rest))


def of(dataset: DataSet) -> DataSet:
    """A data set as views, without its labels. Raises FusionError where its samples have fewer than two."""
    spec = f"{PREFIX}:{dataset.spec or dataset.key}"
    found = dataset.streams
    notes = ["Opened as views: nothing is to be answered, so the labels of this set are not read."]
    if found is None:
        found, told = _parts(dataset)
        notes += told
    samples = tuple(replace(one, target=None, split=found.split_of(row)) for row, one in enumerate(dataset.samples))
    return replace(
        dataset, key=f"{PREFIX}-{dataset.key}", samples=samples, digest=digest(PREFIX, dataset.digest),
        notes=(*dataset.notes, *notes), spec=spec, graph=None, triples=None, streams=unlabelled(found),
    )  # fmt: skip


def unlabelled(streams: StreamSet) -> StreamSet:
    """The same samples with nothing to answer."""
    return replace(streams, target=np.full(len(streams), np.nan, np.float32), classes=(), words=())


def _parts(dataset: DataSet) -> tuple[StreamSet, list[str]]:
    """Views by the names of the samples' parts, and what was done about splits. Raises FusionError."""
    modalities = []
    for name in dict.fromkeys(name for sample in dataset.samples for name in sample.parts):
        kinds = {type(sample.parts[name]) for sample in dataset.samples if name in sample.parts}
        if len(kinds) == 1 and (kind := kinds.pop()) in KINDS:
            modalities.append(Modality(name, KINDS[kind][0], 0, unit=KINDS[kind][1]))
    table = [[_there(sample.parts.get(one.name)) for one in modalities] for sample in dataset.samples]
    present = np.array(table, dtype=bool).reshape(len(dataset), len(modalities))
    used = [at for at in range(len(modalities)) if present[:, at].any()]
    if len(used) < 2:
        raise FusionError(
            f'"{dataset.name}" has {modalities[used[0]].name + " alone" if used else "no texts and no pictures"}, and '
            "views are two or more; choose a set of pairs, or a file of two tables: views:FILE.npz."
        )
    split, told = splits([_name(dataset, sample, row) for row, sample in enumerate(dataset.samples)], _held(dataset))
    made = StreamSet(
        dataset.name, tuple(modalities[at] for at in used), {}, {}, present[:, used],
        np.full(len(dataset), np.nan, np.float32), split, groups=tuple(_held(dataset)),
    )  # fmt: skip
    return made, told


def _there(part: Part | None) -> bool:
    return part is not None and not (isinstance(part, Text) and not part.raw.strip()) and not isinstance(part, Numbers)


def _name(dataset: DataSet, sample: Sample, row: int) -> str:
    """The split of a sample, that of its link where it is an entity to align."""
    return dataset.graph.split_of(row) if dataset.graph is not None else sample.split


def _held(dataset: DataSet) -> list[str]:
    """What no two splits should share: the picture of a pair, or the sample itself."""
    found = []
    for sample in dataset.samples:
        image = sample.image() if dataset.kind == "pairs" else None
        found.append(sample.id if image is None or image.path is None else digest(str(image.path))[:16])
    return found
