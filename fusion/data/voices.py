"""Emoji groups by picture, name and synthetic voice: what Unicode files an emoji under, from three modalities.

Built by tools/build_voices.py; its counts, baselines and warnings are in assets/data/voices/card.md. The speech was
made by a synthesiser from the very name that is the text, and is kept as log-mel steps alone, with a few recordings to
be played. Pictures are those of the names set.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.streams import StreamSet, split_numbers
from fusion.files import ASSETS, digest, file_digest
from fusion.types import Audio, Image, Modality, Numbers, Part, Sample, Text

ROOT = ASSETS / "data"
FOLDER = ROOT / "voices"
TITLE = "Emoji groups by picture, name and synthetic voice"


def meta() -> dict[str, Any]:
    """Counts, voices and the word "synthetic voice". Any: what JSON holds."""
    return json.loads((FOLDER / "meta.json").read_text("utf-8"))


def load() -> DataSet:
    """The data set: pictures and names to encode, speech as steps of 320 ms (fusion.encoders.sound.stacked)."""
    import pandas as pd  # slow to import

    said = meta()
    rows: list[dict[str, Any]] = pd.read_parquet(FOLDER / "items.parquet").to_dict(orient="records")  # type: ignore[assignment]  # pandas types a record's keys so
    items = pd.read_parquet(ROOT / "names" / "items.parquet", columns=["id", "image", "emoji"]).set_index("id")
    with np.load(FOLDER / "speech.npz", allow_pickle=False) as stored:
        steps, length = stored["steps"], stored["length"].astype(np.int64)
    speech = np.zeros((len(rows), int(length.max()), steps.shape[1]), dtype=np.float32)
    real = np.arange(speech.shape[1])[None] < length[:, None]
    speech[real] = steps.astype(np.float32) / said["byte"] - 2
    classes = tuple(sorted({row["group"] for row in rows}))
    target = np.array([classes.index(row["group"]) for row in rows], dtype=np.int64)
    pictures, marks = items["image"].to_dict(), items["emoji"].to_dict()
    samples = []
    for at, row in enumerate(rows):
        heard: Part = Audio(FOLDER / row["sample"]) if row["sample"] else Numbers(speech[at, : length[at]])
        parts: dict[str, Part] = {"text": Text(row["name"]), "image": Image(ROOT / pictures[row["of"]]), "audio": heard}
        note = {"emoji": marks[row["of"]], "group": row["group"], "voice": row["voice"]}
        samples.append(Sample(row["id"], parts, row["split"], int(target[at]), note))
    modalities = (
        Modality("text", "text", 0, unit="token"), Modality("image", "image", 0, unit="region"),
        Modality("audio", "audio", speech.shape[2], speech.shape[1], "frame"),
    )  # fmt: skip
    streams = StreamSet(
        TITLE, modalities, {"audio": speech}, {"audio": length}, np.ones((len(rows), 3), dtype=bool), target,
        split_numbers([row["split"] for row in rows]), classes, groups=tuple(row["stem"] for row in rows),
        note={"audio": "mel"},
    )  # fmt: skip
    used = sorted({pictures[row["of"]] for row in rows})
    held = digest(
        *(file_digest(FOLDER / name) for name in ("items.parquet", "speech.npz")),
        *(file_digest(ROOT / name) for name in used),
    )
    return DataSet(
        "emoji-groups", TITLE, tuple(samples), word="synthetic voice", root=ROOT, digest=held, notes=_notes(),
        spec="emoji-groups", streams=streams,
    )  # fmt: skip


def _notes() -> tuple[str, ...]:
    return (
        "The voice is synthetic: a program spoke the very name that is the text, so that sound and text say the same "
        "thing. Good to see what a system does without one of them, no measure of understanding speech.",
        "The groups are Unicode's; no person checked them, and some emoji would fit into two.",
    )
