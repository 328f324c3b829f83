"""The gloss pictures: WordNet glosses with silver entity tags, each with a picture of its headword or a country's flag.

How the set was made, its counts and its warnings are in assets/data/gloss/card.md. Tags are *silver*: made by a rule.
The sentences with read tags ("gold", read once, one reader) are in the test split.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from fusion.encoders.words import split_words
from fusion.files import ASSETS
from fusion.types import FusionError, Image, Sample, Text

if TYPE_CHECKING:
    import pandas as pd

FOLDER = ASSETS / "data" / "gloss"
SPLITS = ("train", "valid", "test")
KINDS = ("LOC", "PER", "ORG", "MISC")
TAGS = ("O", *(f"{place}-{kind}" for kind in KINDS for place in "BI"))
SOURCES = ("silver", "gold")
NOTED = ("part", "kind", "emoji", "name", "group", "subgroup", "synset", "headword", "text_full", "image2")


@functools.cache
def frame() -> pd.DataFrame:
    """Every row, struck links as well; spans as JSON. All callers share one table: copy before changing."""
    import pandas as pd  # slow to import, and the models don't need it

    return pd.read_parquet(FOLDER / "items.parquet")


def meta() -> dict[str, Any]:
    """Counts, sources with licence and sha256, the word "silver". Any: what JSON holds."""
    return json.loads((FOLDER / "meta.json").read_text("utf-8"))


def load(split: str | None = None, *, tags: str = "silver") -> list[Sample]:
    """The sentences of a split (None: all) whose picture link was not struck, as text and image with BIO tags by word.

    tags "silver" gives the rule's tags, "gold" only the sentences whose tags were read, with those tags.
    Raises FusionError on another split or source of tags.
    """
    if split is not None and split not in SPLITS:
        raise FusionError(f'The gloss set has no split "{split}"; it has {", ".join(SPLITS)}. Choose one of them.')
    if tags not in SOURCES:
        raise FusionError(f'The gloss set has no tags "{tags}"; it has {" and ".join(SOURCES)}. Choose one of them.')
    table = frame()
    chosen = table["link_ok"] & (table[tags] != "")
    if split is not None:
        chosen &= table["split"] == split
    return [sample(row, tags) for row in table.loc[chosen].to_dict(orient="records")]


def protocol() -> list[Sample]:
    """All definitions of part `picture`, struck or not, for five-fold matching; the fold is in the note."""
    table = frame()
    return [sample(row, "silver") for row in table.loc[table["protocol"]].to_dict(orient="records")]


def sample(row: dict[Any, Any], tags: str = "silver") -> Sample:
    """One row of `frame` as a sample. Any: pandas types a record's keys and values so."""
    note = {name: str(row[name]) for name in (*NOTED, "fold", "link_ok")}
    spans = json.loads(row[tags])
    return Sample(
        id=row["id"],
        split=row["split"],
        parts={"text": Text(row["text"]), "image": Image(path=FOLDER / row["image"])},
        target=tags_by_word(row["text"], spans),
        note=note | {"tags": tags},
    )


def tags_by_word(text: str, spans: list[list[Any]]) -> tuple[str, ...]:
    """BIO tags, one a word of `split_words`, from [start, end, kind] spans in characters. Any: JSON mixes int and str.

    >>> tags_by_word("the Black Sea coast", [[4, 13, "LOC"]])
    ('O', 'B-LOC', 'I-LOC', 'O')
    """
    found = []
    for start, end in split_words(text):
        tag = "O"
        for first, last, kind in spans:
            if first <= start and end <= last:
                tag = f"{'B' if start == first else 'I'}-{kind}"
        found.append(tag)
    return tuple(found)
