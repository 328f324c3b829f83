"""Feature files of MOSI, MOSEI and SIMS in the schema of the MMSA programs: read once, checked, kept as a safe copy.

`python -m fusion data import mmsa FILE --out FOLDER` reads the pickle with a reader that runs nothing, and writes
plain arrays that are memory-mapped from then on; `mmsa:FOLDER` opens the copy. N samples, T steps, D features.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.pairs import user_key
from fusion.data.streams import StreamSet, split_numbers
from fusion.files import digest, file_digest, shorten
from fusion.types import FusionError, Modality, Numbers, Part, Sample, Text

PREFIX = "mmsa"
FORMAT = "mmsa-1"
META, TABLE = "meta.json", "samples.parquet"
UNITS = {"text": "token", "audio": "frame", "vision": "frame"}
_DAMAGED = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError)


def read(folder: Path) -> DataSet:
    """The data set of a safe copy. Raises FusionError when the folder holds none, or one that was changed."""
    name = shorten(folder.name)
    if not (folder / META).is_file():
        raise FusionError(
            f'"{name}" holds no copy of a feature file; make one: python -m fusion data import mmsa FILE --out FOLDER.'
        )
    import pandas as pd  # slow to import

    try:
        said = json.loads((folder / META).read_text("utf-8"))
        assert said["format"] == FORMAT
        frame = pd.read_parquet(folder / TABLE)
        features = {
            one["name"]: np.load(folder / f"{one['name']}.npy", mmap_mode="r", allow_pickle=False)
            for one in said["modalities"]
            if one["width"]
        }
        length = {one: frame[f"{one}_length"].to_numpy(np.int64) for one in features}
        streams = _streams(said, frame, features, length)
    except (*_DAMAGED, AssertionError) as error:
        raise FusionError(
            f'The copy in "{name}" is damaged ({type(error).__name__}); import the feature file again.'
        ) from None
    for one, values in length.items():
        if len(values) and (int(values.max()) > features[one].shape[1] or int(values.min()) < 0):
            raise FusionError(f'The copy in "{name}" has lengths of {one} that don\'t fit; import the file again.')
    held = digest(FORMAT, said["sha256"], file_digest(folder / META), file_digest(folder / TABLE))
    return DataSet(
        user_key(folder), said["title"], _samples(frame, streams), tuple(said["problems"]), "yours", folder, held,
        tuple(said["notes"]), f"{PREFIX}:{folder}", streams=streams,
    )  # fmt: skip


def _streams(
    said: dict[str, Any], frame: Any, features: dict[str, np.ndarray], length: dict[str, np.ndarray]
) -> StreamSet:  # Any: JSON, and a pandas frame
    modalities = tuple(
        Modality(one["name"], one["name"], one["width"], one["steps"] or None, UNITS[one["name"]])
        for one in said["modalities"]
    )
    present = np.stack([frame[f"{m.name}_present"].to_numpy(bool) for m in modalities], axis=1)
    classes = tuple(said["classes"])
    return StreamSet(
        said["title"], modalities, features, length, present,
        frame["target"].to_numpy(np.int64 if classes else np.float32), split_numbers(frame["split"].tolist()), classes,
        (float(said["scale"][0]), float(said["scale"][1])), tuple(said["words"]), tuple(frame["group"].tolist()),
    )  # fmt: skip


def _samples(frame: Any, streams: StreamSet) -> tuple[Sample, ...]:
    """A sample a row: its text, and views of the numbers that stand for the rest."""
    made = []
    columns = [frame[name].tolist() for name in ("id", "text", "split", "annotation", "group")]
    for row, (id, text, split, annotation, group) in enumerate(zip(*columns, strict=True)):
        parts: dict[str, Part] = {"text": Text(text)} if text else {}
        for name in streams.features:
            if name != "text" and streams.length[name][row]:
                parts[name] = Numbers(streams.steps(name, row))
        target: int | float | None = None
        if streams.known[row]:
            target = streams.target[row].item()
        note = {name: value for name, value in (("annotation", annotation), ("group", group)) if value}
        made.append(Sample(id, parts, split, target, note))
    return tuple(made)
