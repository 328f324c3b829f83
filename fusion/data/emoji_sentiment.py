"""How people use emoji: a score from the readings of tweets, for an emoji's name and two drawings of it.

The ratings are the Emoji Sentiment Ranking 1.0 and share-alike: they lie in a folder of their own with its licence
(assets/share-alike), and the program works without it. Names, keywords and pictures are those of the permissive sets.
"""

from __future__ import annotations

import csv
import json
from typing import Any

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.streams import SENTIMENT, StreamSet, split_numbers
from fusion.files import ASSETS, digest, file_digest
from fusion.types import FusionError, Image, Modality, Sample, Text

ROOT = ASSETS / "data"
FOLDER = ASSETS / "share-alike" / "emotions"
TITLE = "Feelings of emoji"
MODALITIES = (
    Modality("text", "text", 0, unit="token"), Modality("image", "image", 0, unit="region"),
    Modality("image2", "image", 0, unit="region"),
)  # fmt: skip


def there() -> bool:
    """Whether the share-alike folder came along."""
    return (FOLDER / "ratings.tsv").is_file()


def meta() -> dict[str, Any]:
    """Counts, and the word "share-alike". Any: what JSON holds."""
    return json.loads((FOLDER / "meta.json").read_text("utf-8"))


def load() -> DataSet:
    """The data set. Raises FusionError when the share-alike folder was left out."""
    if not there():
        raise FusionError("The ratings of emoji are not here: assets/share-alike was left out of this copy; add it.")
    import pandas as pd  # slow to import

    rows: list[dict[str, Any]] = pd.read_parquet(ROOT / "names" / "items.parquet").to_dict(orient="records")  # type: ignore[assignment]  # pandas types a record's keys so
    known = {row["id"]: row for row in rows}
    with (FOLDER / "ratings.tsv").open(encoding="utf-8", newline="") as stream:
        rated = list(csv.DictReader(stream, delimiter="\t"))
    samples = tuple(_sample(row, known[row["id"]]) for row in rated)
    score = np.array([sample.target for sample in samples], dtype=np.float32)
    streams = StreamSet(
        TITLE, MODALITIES, {}, {}, np.ones((len(samples), len(MODALITIES)), dtype=bool), score,
        split_numbers([sample.split for sample in samples]), scale=(-1.0, 1.0), words=SENTIMENT,
    )  # fmt: skip
    pictures = sorted({known[row["id"]][kind] for row in rated for kind in ("image", "image2")})
    held = digest(
        file_digest(FOLDER / "ratings.tsv"), file_digest(ROOT / "names" / "items.parquet"),
        *(file_digest(ROOT / name) for name in pictures),
    )  # fmt: skip
    return DataSet(
        "emotions", TITLE, samples, word="share-alike", root=ROOT, digest=held, notes=_notes(meta()["counts"]),
        spec="emotions", streams=streams,
    )  # fmt: skip


def _notes(counts: dict[str, Any]) -> tuple[str, ...]:
    return (
        "Emoji Sentiment Ranking 1.0 (Kralj Novak and others, 2015), CC BY-SA 4.0; the score is (positive - negative) "
        "/ occurrences in tweets that people read.",
        f"{counts['positive'] / counts['emoji']:.0%} of the scores are positive: accuracy says nothing here, look at r "
        "and MAE.",
        f"With {counts['test']} emoji to test on, a difference in r below about 0.13 is noise.",
        "The score says how an emoji is used, which isn't in its drawing: pictures are bound to be weak. The two "
        "drawings are nearly copies of each other, and no modality is a sequence in time.",
    )


def _sample(row: dict[str, str], item: dict[str, Any]) -> Sample:
    negative, neutral, positive = (int(row[name]) for name in ("negative", "neutral", "positive"))
    total = negative + neutral + positive
    return Sample(
        f"e{row['id'][1:]}",
        {"text": Text(item["text"]), "image": Image(ROOT / item["image"]), "image2": Image(ROOT / item["image2"])},
        row["split"],
        float(np.float32((positive - negative) / total)),
        {"emoji": item["emoji"], "group": item["group"], "occurrences": str(total)},
    )
