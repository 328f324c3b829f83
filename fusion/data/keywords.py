"""The emoji and keywords graph: which keyword an emoji has, to be predicted; emoji have a Noto picture and a name.

Built by tools/build_keywords.py; its counts and warnings are in assets/data/keywords/card.md. Entities are emoji,
keywords that several emoji share, and the subgroups and groups that emoji are filed under; rows and ids are shuffled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.triples import TripleSet
from fusion.files import ASSETS, digest, file_digest
from fusion.types import Image, Part, Sample, Text

ROOT = ASSETS / "data"
FOLDER = ROOT / "keywords"
TITLE = "Emoji and keywords"


def meta() -> dict[str, Any]:
    """Counts, the word "silver", and the test triples that can be copied from a name. Any: what JSON holds."""
    return json.loads((FOLDER / "meta.json").read_text("utf-8"))


def load() -> DataSet:
    """The data set: pictures and names of the entities, and their triples in three splits."""
    import pandas as pd  # slow to import

    rows: list[dict[str, Any]] = pd.read_parquet(FOLDER / "entities.parquet").to_dict(orient="records")  # type: ignore[assignment]  # pandas types a record's keys so
    said = meta()
    with np.load(FOLDER / "graph.npz", allow_pickle=False) as stored:
        triples, split = stored["triples"], stored["split"]
    graph = TripleSet(
        TITLE, triples, split, tuple(said["relations"]), tuple(row["kind"] for row in rows), entities=len(rows)
    )
    pictures = sorted({str(row["image"]) for row in rows if row["image"]})
    held = digest(
        *(file_digest(FOLDER / name) for name in ("entities.parquet", "graph.npz")),
        *(file_digest(ROOT / name) for name in pictures),
    )
    notes = (_note(said["counts"]),)
    return DataSet(
        "keywords", TITLE, tuple(map(_sample, rows)), word="silver", root=ROOT, digest=held, notes=notes,
        spec="keywords", triples=graph,
    )  # fmt: skip


def spelled_within(triples: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Triples (E, 3) with one end's name inside the other's, letter for letter, parts of words too. -> (E,) bool

    More than the whole words of `fusion.links.evaluation.words_within`: a model may copy pieces of words, too.
    names: N, "" where an entity has none.
    """
    low = [name.casefold().strip() for name in names]
    pairs = ((low[head], low[tail]) for head, tail in triples[:, [0, 2]].tolist())
    return np.array([bool(a and b) and (a in b or b in a) for a, b in pairs], dtype=bool)


def _note(counts: dict[str, Any]) -> str:
    return (
        f"{counts['test_keywords_copied']} of the {counts['test_keywords']} test triples of hasKeyword have the "
        "keyword in the emoji's name, to be copied from there: look at the figures without them."
    )


def _sample(row: dict[str, Any]) -> Sample:
    parts: dict[str, Part] = {"image": Image(path=ROOT / row["image"])} if row["image"] else {}
    note = {"graph": TITLE, "kind": row["kind"]} | ({"emoji": row["emoji"]} if row["emoji"] else {})
    return Sample(row["id"], parts | {"name": Text(row["name"])}, note=note)
