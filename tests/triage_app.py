"""A small run on disk for the pages of triage: pictures, a list of pairs, and what made-up vectors said of them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from fusion.checkpoints import Checkpoint
from fusion.data import DataSet
from fusion.files import home
from fusion.triage import running
from fusion.triage.store import Store
from tests import test_store
from tests.triage_toys import Toy

COUNT = 150


def manifest(folder: Path, count: int = COUNT) -> Path:
    """pairs.csv with a picture of its own colour for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "image", "text", "group"])
        for row in range(count):
            Image.new("RGB", (24, 24), (row % 256, 80, 160)).save(folder / f"{row}.png")
            writer.writerow([f"p{row}", f"{row}.png", f"text {row}", f"g{row % 5}"])
    return folder / "pairs.csv"


def made(path: Path, out: Path | None = None) -> Store:
    """A run over a list, as `python -m fusion inspect-set` keeps it; every tenth pair is wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "Inspector", Toy)
        return running.inspect_set(str(path), out=out)


def rows(at: AppTest) -> list[str]:
    """Ids of the rows in sight."""
    return at.dataframe[0].value["id"].tolist()


def first(store: Store, count: int = 100) -> list[str]:
    """Ids of the most suspicious rows."""
    return store.page(limit=count)["id"].tolist()


@contextmanager
def inspected(
    ids: Sequence[str], checkpoint: Checkpoint, dataset: DataSet, kind: str = "pairs", **more: object
) -> Iterator[Store]:
    """A finished run over some ids among those of this machine, as if Triage had looked at them; gone afterwards.

    more: further columns of the rows.
    """
    count = len(ids)
    frame = pd.DataFrame({"id": ids, "suspicion": np.linspace(0.9, 0.1, count), **more})
    frame["rank"], frame["row"] = np.arange(1, count + 1), np.arange(count)
    told = {
        "kind": kind, "checkpoint": checkpoint.name, "checkpoint_digest": checkpoint.digest, "vectors": {},
        "data": dataset.spec or dataset.key, "data_digest": dataset.digest,
    }  # fmt: skip
    folder = test_store.run(home() / "triage" / "looked-at", frame, **told)
    try:
        yield Store.open(folder)
    finally:
        shutil.rmtree(folder)
