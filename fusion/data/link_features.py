"""What link prediction reads of the entities of one graph: a vector of each one's picture, and one of its text.

image   pooled vectors of the entity's picture
text    vectors of its name and its description, where it has them

Rows have length 1. An entity without a picture, or without a text, has the mean of the known rows there, and is marked
as not known; a modality that no entity has is one column of zeros. Source: the inputs of IMF (HestiaSky/IMF-Pytorch,
doi:10.1145/3543507.3583554), whose encoders were others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from fusion.data.dataset import DataSet
from fusion.data.feature_files import Table, read
from fusion.data.graph_features import GraphFeatures, Progress, encoded
from fusion.encoders import Encoder
from fusion.encoders.cache import FeatureCache
from fusion.types import FusionError, Sample, Text

MODALITIES = ("image", "text")
ENCODED = {"image": "efficientnet-lite0", "text": "minilm"}  # by which encoder, unless told
NOTHING = "nothing"  # source of a modality that no entity has


def link_features(
    dataset: DataSet, modalities: Sequence[str] = MODALITIES, files: Sequence[Path] = (),
    progress: Progress | None = None, *, encoders: Mapping[str, str | Encoder] | None = None,
    widths: Mapping[str, int] | None = None, cache: FeatureCache | None = None,
) -> GraphFeatures:  # fmt: skip
    """The features of a data set whose links are to be predicted.

    files: feature files whose tables stand before what would be computed; encoders: {m: name or encoder} where another
    than ENCODED is wanted; widths: {m: D} that a model reads.
    Raises FusionError for another kind of data set, another modality, another width, or a file that doesn't fit.
    """
    tables = link_tables(dataset, modalities, files, progress, encoders=encoders, widths=widths, cache=cache)
    features, known = {}, {}
    for name, table in tables.items():
        known[name] = torch.from_numpy(table.known)
        rows = F.normalize(torch.from_numpy(table.values).float(), dim=1)
        if known[name].any():
            rows[~known[name]] = F.normalize(rows[known[name]].mean(0), dim=0)
        features[name] = rows
        width = (widths or {}).get(name, rows.shape[1])
        if rows.shape[1] != width:
            raise FusionError(
                f'"{dataset.name}" has {rows.shape[1]} features a row in "{name}", and the checkpoint reads {width}; '
                "open the data set, or give the feature file, that it was trained on."
            )
    sources = {name: table.source for name, table in tables.items()}
    return GraphFeatures(tuple(sample.id for sample in dataset.samples), features, known, sources)


def link_tables(
    dataset: DataSet, modalities: Sequence[str] = MODALITIES, files: Sequence[Path] = (),
    progress: Progress | None = None, *, encoders: Mapping[str, str | Encoder] | None = None,
    widths: Mapping[str, int] | None = None, cache: FeatureCache | None = None,
) -> dict[str, Table]:  # fmt: skip
    """As `link_features`, before missing rows are filled and lengths made 1: what a feature file holds."""
    if dataset.triples is None:
        raise FusionError(
            f'"{dataset.name}" holds no graph whose links are to be predicted; open the set keywords, or '
            "triples:FOLDER."
        )
    ids = [sample.id for sample in dataset.samples]
    given: dict[str, Table] = {}
    for path in files:
        held = read(path, ids, widths)
        if not held.keys() & set(MODALITIES):
            raise FusionError(
                f'"{path.name}" holds {", ".join(held)}; link prediction reads {" and ".join(MODALITIES)}. '
                "Name the tables so."
            )
        given |= held
    found = {}
    for name in modalities:
        if name not in MODALITIES:
            raise FusionError(f'There is no modality "{name[:40]}" here; there are {" and ".join(MODALITIES)}.')
        if name in given:
            found[name] = given[name]
        elif not any(_has(sample, name) for sample in dataset.samples):
            found[name] = Table(np.zeros((len(ids), 1), np.float32), np.zeros(len(ids), dtype=bool), NOTHING)
        else:
            by = (encoders or {}).get(name, ENCODED[name])
            texts = [text_of(sample) for sample in dataset.samples]
            found[name] = encoded(name, dataset, by, cache, progress, texts)
    return found


def text_of(sample: Sample) -> str:
    """What the text encoder reads of an entity: its name, its description, or the one and the other; "" without both.

    >>> text_of(Sample("1", {"name": Text("stool"), "description": Text("a seat without a back")}))
    'stool: a seat without a back'
    """
    parts = [sample.parts.get(name) for name in ("name", "description")]
    return ": ".join(part.raw.strip() for part in parts if isinstance(part, Text) and part.raw.strip())


def _has(sample: Sample, modality: str) -> bool:
    return sample.image() is not None if modality == "image" else bool(text_of(sample))
