"""The emoji graphs: the same emoji as drawn by Noto and named in English, and as drawn by Fluent and named in Chinese.

Built by tools/build_emoji.py; its counts, baselines and warnings are in assets/data/emoji/card.md. A link is the same
code point, which nothing that a model reads holds: rows and ids are shuffled in each graph.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graphs import GraphSet
from fusion.files import ASSETS, digest, file_digest
from fusion.types import Image, Part, Sample, Text

ROOT = ASSETS / "data"
FOLDER = ROOT / "emoji"
TITLES = ("English, Noto", "中文, Fluent")
LANGUAGES = ("en", "zh")


def meta() -> dict[str, Any]:
    """Counts, the word "silver", and the baselines that a model stands beside. Any: what JSON holds."""
    return json.loads((FOLDER / "meta.json").read_text("utf-8"))


def load() -> DataSet:
    """The data set: pictures, names and keywords of both graphs, their triples, and 1,586 links."""
    import pandas as pd  # slow to import

    rows: list[dict[str, Any]] = pd.read_parquet(FOLDER / "entities.parquet").to_dict(orient="records")  # type: ignore[assignment]  # pandas types a record's keys so
    samples = tuple(_sample(row) for row in rows)
    said = meta()
    with np.load(FOLDER / "graph.npz", allow_pickle=False) as stored:
        triples, links, split = (stored[name] for name in ("triples", "links", "split"))
    number = {word: at for at, word in enumerate(dict.fromkeys(word for row in rows for word in row["words"]))}
    counts = [(at, number[word], 1) for at, row in enumerate(rows) for word in row["words"]]
    side = np.array([row["side"] for row in rows], dtype=np.uint8)
    kinds = tuple(row["kind"] for row in rows)
    graph = GraphSet(
        TITLES, side, triples, tuple(said["relations"]), links, split, tuple(number), np.array(counts, np.int32), kinds
    )
    pictures = sorted({str(row["image"]) for row in rows if row["image"]})
    held = digest(
        *(file_digest(FOLDER / name) for name in ("entities.parquet", "graph.npz")),
        *(file_digest(ROOT / name) for name in pictures),
    )
    return DataSet(
        "emoji", "Emoji, two ways", samples, word="silver", root=ROOT, digest=held, spec="emoji", graph=graph
    )


def _sample(row: dict[str, Any]) -> Sample:
    parts: dict[str, Part] = {}
    if row["image"]:
        parts["image"] = Image(path=ROOT / row["image"])
    if row["name"]:
        parts["name"] = Text(row["name"])
    if len(row["words"]):
        parts["description"] = Text((", " if row["side"] == 0 else "、").join(row["words"]))
    note = {"graph": TITLES[row["side"]], "language": LANGUAGES[row["side"]], "kind": row["kind"]}
    return Sample(row["id"], parts, note=note | ({"emoji": row["emoji"]} if row["emoji"] else {}))
