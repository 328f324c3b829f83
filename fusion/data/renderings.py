"""Emoji renderings: one emoji as Noto draws it, as Fluent draws it, and by its English name.

Drawings are those of the names set; groups and the split are those of the emoji groups (fusion/data/voices.py), so that
names of one thing stay in one split. Left out are emoji that Fluent doesn't draw, and those whose Fluent drawing is,
point by point, that of an emoji before them: two views of one thing must tell it apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusion.data import voices
from fusion.data.dataset import DataSet
from fusion.data.streams import StreamSet, split_numbers
from fusion.files import digest, file_digest
from fusion.types import Image, Modality, Part, Sample, Text

KEY = "renderings"
TITLE = "Emoji as two vendors draw them, and their names"
MODALITIES = (
    Modality("image", "image", 0, unit="region"), Modality("drawing", "image", 0, unit="region"),
    Modality("text", "text", 0, unit="token"),
)  # fmt: skip  # Noto, Fluent, the name


def load() -> DataSet:
    """The data set; every sample has all three views, its class is its group."""
    rows, repeated, undrawn = _drawn()
    classes = tuple(sorted({row["group"] for row in rows}))
    target = np.array([classes.index(row["group"]) for row in rows], dtype=np.int64)
    samples, held = [], []
    for row, number in zip(rows, target, strict=True):
        parts: dict[str, Part] = {
            "image": Image(voices.ROOT / row["image"]), "drawing": Image(voices.ROOT / row["image2"]),
            "text": Text(row["name"]),
        }  # fmt: skip
        note = {"emoji": row["emoji"], "group": row["group"]}
        samples.append(Sample(f"r{row['of'][1:]}", parts, row["split"], int(number), note))
        held.append(f"{row['of']}\t{row['name']}\t{row['group']}\t{row['split']}\t{row['noto']}\t{row['fluent']}")
    streams = StreamSet(
        TITLE, MODALITIES, {}, {}, np.ones((len(rows), len(MODALITIES)), dtype=bool), target,
        split_numbers([row["split"] for row in rows]), classes, groups=tuple(row["stem"] for row in rows),
    )  # fmt: skip
    return DataSet(
        KEY, TITLE, tuple(samples), word="silver", root=voices.ROOT, digest=digest(KEY, *held),
        notes=_notes(repeated, undrawn), spec=KEY, streams=streams,
    )  # fmt: skip


def _drawn() -> tuple[list[dict[str, Any]], int, int]:
    """Rows that both vendors draw, with the digests of their files; how many repeat a drawing; how many have none.

    Any: what a table holds.
    """
    import pandas as pd  # slow to import

    named = pd.read_parquet(voices.FOLDER / "items.parquet", columns=["of", "name", "group", "stem", "split"])
    pictures = pd.read_parquet(voices.ROOT / "names" / "items.parquet", columns=["id", "image", "image2", "emoji"])
    both = named.merge(pictures, left_on="of", right_on="id", how="left", validate="one_to_one")
    kept: list[dict[str, Any]] = []
    seen: set[str] = set()
    repeated = undrawn = 0
    for row in both.to_dict(orient="records"):
        if not row["image2"]:
            undrawn += 1
            continue
        fluent = file_digest(voices.ROOT / str(row["image2"]))
        if fluent in seen:
            repeated += 1
            continue
        seen.add(fluent)
        kept.append({**row, "noto": file_digest(voices.ROOT / str(row["image"])), "fluent": fluent})
    return kept, repeated, undrawn


def _notes(repeated: int, undrawn: int) -> tuple[str, ...]:
    return (
        "Noto and Fluent draw after the same code chart, and often in the same colours: that drawings find each "
        "other says less about a system than it would for photographs of one thing.",
        "The name is Unicode's and the groups are too; no person checked either, and many names say what is drawn word "
        "by word.",
        f"{undrawn} emoji without a Fluent drawing and {repeated} whose Fluent drawing repeats another's are left out, "
        "and so are flags; names of one thing (a man, a woman running) are in one split.",
    )
