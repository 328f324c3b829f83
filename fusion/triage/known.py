"""The runs that this machine knows, by their folders: what each is of, and how far it is.

runs() -> [Run]                    every run on this machine, the newest first, finished or not
read_meta(folder) -> dict | None   the facts of one
remember(folder)                   have a run outside the user's folder listed, too
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fusion.data.dataset import DataKind
from fusion.files import atomic_file, digest, home, shorten
from fusion.types import FusionError

VERSION = 1  # of a run's folder
META, SHARDS, VECTORS, KNOWN = "meta.json", "shards", "vectors", "known"
META_BYTES = 64 * 2**20
MOST = 2**53  # the highest number that is exact wherever JSON is read
_TEXTS = (
    "key", "kind", "data", "data_key", "name", "data_digest", "manifest_digest", "checkpoint", "checkpoint_digest",
    "checkpoint_folder", "began", "made", "engine",
)  # fmt: skip
_COUNTS = ("count", "size", "shards", "workers", "problems", "left_out_count")
_LISTS = ("left_out", "parts")


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
        with suppress(OSError, ValueError):  # a note that was damaged names no folder
            told = Path(note.read_text(encoding="utf-8"))
            folders += [told] if told.is_absolute() else []
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
    """Have a run outside the user's folder listed by `runs`. Raises OSError where the list can't be written."""
    where = home() / "triage"
    resolved = folder.resolve()
    if resolved.parent != where.resolve():
        note = where / KNOWN / f"{digest(str(resolved))[:16]}.txt"
        with atomic_file(note) as aside:
            aside.write_text(str(resolved), encoding="utf-8")


def read_meta(folder: Path) -> dict[str, Any] | None:
    """The facts of a run, None without any; those that are there are of their kind.

    Raises FusionError when they can't be read, or aren't what a run of this format writes.
    """
    path = folder / META
    try:
        if not path.is_file():
            return None
        if path.stat().st_size > META_BYTES:
            raise ValueError("too long")
        meta = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(meta, dict):
            raise ValueError("no object")
        if meta.get("version") == VERSION:
            _check(meta)
    except (OSError, ValueError, RecursionError) as error:
        raise FusionError(f'"{META}" in "{shorten(folder.name)}" can\'t be read; run it again elsewhere.') from error
    return meta


def _check(meta: Mapping[str, Any]) -> None:
    """Raises ValueError on a fact that is of no kind that a run writes: the folder may have come from anyone."""
    texts = [meta.get(name, "") for name in _TEXTS]
    for name in _LISTS:
        told = meta.get(name, [])
        texts += told if isinstance(told, list) else [None]
    right = all(isinstance(text, str) for text in texts) and meta.get("kind", "pairs") in get_args(DataKind)
    right = right and all(_whole(meta.get(name, 1)) for name in _COUNTS)
    vectors, calibration = meta.get("vectors", {}), meta.get("calibration") or {}
    right = right and isinstance(vectors, dict) and all(map(_whole, vectors.values()))
    if not right or not isinstance(calibration, dict) or not _calibrated(calibration):
        raise ValueError("no facts of a run")
    "".join([*texts, *vectors]).encode()  # a lone surrogate could neither be shown nor kept


def _calibrated(told: Mapping[str, Any]) -> bool:
    numbers = [told.get("bias", 0.0), told.get("learned", 0), told.get("compared", 0)]
    for name in ("weights", "apart"):
        values = told.get(name, {})
        numbers += values.values() if isinstance(values, dict) else [""]
    names = [told.get("missing", []), told.get("unused", [])]
    return (
        told.get("how", "percentile") in ("calibrated", "percentile")
        and all(number is None or (_number(number) and math.isfinite(number)) for number in numbers)
        and all(isinstance(group, list) and all(isinstance(name, str) for name in group) for group in names)
    )


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST


def _number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST)


def _done(folder: Path, meta: Mapping[str, Any]) -> int:
    shards = len(list((folder / SHARDS).glob("[0-9]*.parquet")))
    return min(shards * int(meta.get("size", 0)), int(meta.get("count", 0)))
