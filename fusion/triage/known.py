"""The runs that this machine knows, by their folders: what each is of, and how far it is.

runs() -> [Run]                    every run on this machine, the newest first, finished or not
read_meta(folder) -> dict | None   the facts of one
remember(folder)                   have a run outside the user's folder listed, too
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.files import digest, home, shorten
from fusion.types import FusionError

VERSION = 1  # of a run's folder
META, SHARDS, VECTORS, KNOWN = "meta.json", "shards", "vectors", "known"
META_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Run:
    """A run on this machine as its folder tells it."""

    folder: Path
    meta: Mapping[str, Any]
    done: int  # samples that are looked at
    finished: bool

    @property
    def count(self) -> int:
        """Samples of the data set."""
        return int(self.meta.get("count", 0))


def runs() -> list[Run]:
    """Every run on this machine that has a folder still, the newest first; those elsewhere are remembered by path."""
    folders = [path.parent for path in (home() / "triage").glob(f"*/{META}")]
    for note in (home() / "triage" / KNOWN).glob("*.txt"):
        folders.append(Path(note.read_text(encoding="utf-8")))
    found = []
    for folder in dict.fromkeys(folders):
        try:
            meta = read_meta(folder)
        except FusionError:
            continue
        if meta is None or meta.get("version") != VERSION:
            continue
        finished = bool(meta.get("rows"))
        done = int(meta.get("count", 0)) if finished else _done(folder, meta)
        found.append(Run(folder, meta, done, finished))
    return sorted(found, key=lambda run: str(run.meta.get("began", "")), reverse=True)


def remember(folder: Path) -> None:
    """Have a run outside the user's folder listed by `runs`."""
    where = home() / "triage"
    resolved = folder.resolve()
    if resolved.parent != where.resolve():
        note = where / KNOWN / f"{digest(str(resolved))[:16]}.txt"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(str(resolved), encoding="utf-8")


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The facts of a run, None without any. Raises FusionError when they can't be read."""
    path = folder / META
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > META_BYTES:
            raise ValueError("too long")
        meta = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(meta, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise FusionError(f'"{META}" in "{shorten(folder.name)}" can\'t be read; run it again elsewhere.') from error
    return meta


def _done(folder: Path, meta: Mapping[str, Any]) -> int:
    shards = len(list((folder / SHARDS).glob("[0-9]*.parquet")))
    return min(shards * int(meta.get("size", 0)), int(meta.get("count", 0)))
