"""Emoji pictures with their names and keywords (CLDR) as text: extra pairs to learn matching and alignment from.

Built by tools/build_names.py. The splits and folds of pictures that the gloss set has too are that set's.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from fusion.files import ASSETS
from fusion.types import Image, Sample, Text

if TYPE_CHECKING:
    import pandas as pd

FOLDER = ASSETS / "data"


@functools.cache
def frame() -> pd.DataFrame:
    """Every row: id, text, image, image2 (below assets/data), emoji, name, group, subgroup, split, fold."""
    import pandas as pd  # slow to import

    return pd.read_parquet(FOLDER / "names" / "items.parquet")


def load(split: str | None = None) -> list[Sample]:
    """The pairs of a split (None: all); they have no tags."""
    table = frame() if split is None else frame()[frame()["split"] == split]
    records: list[dict[str, Any]] = table.to_dict(orient="records")  # type: ignore[assignment, call-overload]  # pandas
    return [
        Sample(
            id=row["id"],
            split=row["split"],
            parts={"text": Text(row["text"]), "image": Image(path=FOLDER / row["image"])},
            note={name: str(row[name]) for name in ("emoji", "name", "group", "subgroup", "fold", "image2")},
        )
        for row in records
    ]
