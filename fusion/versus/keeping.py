"""A comparison over a data set, kept by content below the user's folder, so that a page opens it at once."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from fusion.files import atomic_folder, digest, home
from fusion.metrics.intervals import Interval
from fusion.versus.moving import Moved
from fusion.versus.sets import Figure, SetCompared

if TYPE_CHECKING:
    from pathlib import Path

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

KEPT_AS = "versus 1"  # kind and version of what is kept


def place(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> Path:
    """The folder of a comparison: of these weights, these settings and this data."""
    return home() / "versus" / digest(KEPT_AS, a.digest, b.digest, dataset.digest)[:24]


def stored(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> SetCompared | None:
    """What was compared before, None when it wasn't (or can't be read: it is made again)."""
    import pandas as pd

    folder = place(a, b, dataset)
    try:
        told = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        frame = pd.read_parquet(folder / "rows.parquet")
        with np.load(folder / "moved.npz", allow_pickle=False) as arrays:
            movement = tuple(
                Moved(**one, ids=tuple(map(str, arrays[f"{i}_ids"])), groups=tuple(map(str, arrays[f"{i}_groups"])),
                      a=arrays[f"{i}_a"], b=arrays[f"{i}_b"], far=arrays[f"{i}_far"])
                for i, one in enumerate(told.pop("movement"))
            )  # fmt: skip
        figures = tuple(
            Figure(**one | {"change": None if one["change"] is None else Interval(**one["change"])})
            for one in told.pop("figures")
        )
        return SetCompared(**told | {"a": a.name, "b": b.name}, frame=frame, figures=figures, movement=movement)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep(made: SetCompared, a: Checkpoint, b: Checkpoint, dataset: DataSet) -> None:
    """Write a comparison at once."""
    told = {name: getattr(made, name) for name in ("kind", "data", "a", "b", "split", "value")}
    told["figures"] = [asdict(one) for one in made.figures]
    told["movement"] = [
        {"space": one.space, "disparity": one.disparity, "explained": one.explained} for one in made.movement
    ]
    arrays = {
        f"{i}_{name}": np.asarray(getattr(one, name))
        for i, one in enumerate(made.movement)
        for name in ("ids", "groups", "a", "b", "far")
    }
    with atomic_folder(place(a, b, dataset)) as aside:
        made.frame.to_parquet(aside / "rows.parquet", index=False, compression="zstd")
        np.savez_compressed(aside / "moved.npz", **arrays)  # type: ignore[arg-type]
        (aside / "meta.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
