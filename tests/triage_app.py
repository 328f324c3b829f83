"""A small run on disk for the pages of triage: pictures, a list of pairs, and what made-up vectors said of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from fusion.triage import running
from fusion.triage.store import Store
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
