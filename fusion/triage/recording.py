"""The folder of a run as it is written: shards and vectors as they come, the sorted rows at the end.

meta.json            what is looked at, by content, and at the end which file holds the rows
shards/000000.parquet   the scalars of 512 samples, with the hash of their vectors; written aside, then renamed
vectors/<name>.npy   (N, D) float16; its whole room is taken at the beginning, and a shard's lines are written before it
rows-<hash>.parquet  all rows, the most suspicious first, named by its own hash

A run that was killed goes on after its last whole shard: a shard whose file or vectors are damaged is made again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fusion.files import atomic_file, file_digest, shorten
from fusion.triage.engine import Shard
from fusion.triage.known import META, SHARDS, VECTORS
from fusion.triage.tables import said
from fusion.types import FusionError

LOCK = "lock"
GROUP = 50_000  # rows of one group of the sorted file: what a filter skips at once
_HASH = b"vectors"
_OURS = re.compile(r"meta\.json|shards|vectors|lock|rows-.*\.parquet|verdicts\.sqlite.*|\..*")


class Recording:
    """A run's folder, for its one writer."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        self.folder, self.meta = folder, meta

    def write_meta(self, **facts: Any) -> None:
        """Add facts to meta.json. Any: what JSON holds. Raises FusionError where it can't be written."""
        self.meta |= facts
        with writing(self.folder), atomic_file(self.folder / META) as aside:
            aside.write_text(json.dumps(self.meta, ensure_ascii=False, allow_nan=False, indent=1) + "\n", "utf-8")
            aside.chmod(0o644)

    def keep(self, shard: Shard) -> None:
        """Write what came out of a shard: its vectors, then its scalars. Raises FusionError where it can't be."""
        start = shard.number * int(self.meta["size"])
        with writing(self.folder):
            if "vectors" not in self.meta:
                self._room(shard)
            if {name: value.shape[1] for name, value in shard.vectors.items()} != self.meta["vectors"]:
                raise FusionError("A shard has other vectors than the ones before; run it again in another folder.")
            for name, value in shard.vectors.items():
                self._put(name, start, value)
            table = shard.table.replace_schema_metadata({_HASH: _digest(shard.vectors)})
            with atomic_file(self._shard(shard.number)) as aside:
                parquet.write_table(table, aside, compression="zstd")
                aside.chmod(0o644)

    def whole(self) -> list[int]:
        """The numbers of the shards that are whole, vectors included."""
        found = []
        for path in sorted((self.folder / SHARDS).glob("[0-9]*.parquet")):
            number = int(path.stem) if path.stem.isdecimal() else -1
            if 0 <= number < int(self.meta["shards"]) and self._whole(number):
                found.append(number)
        return found

    def table(self) -> pa.Table:
        """The rows of all shards in the order of the data set."""
        tables = [
            parquet.read_table(self._shard(number)).replace_schema_metadata(None)
            for number in range(int(self.meta["shards"]))
        ]
        return pa.concat_tables(tables, promote_options="permissive")

    def vectors(self) -> dict[str, np.ndarray]:
        """All vectors, memory-mapped. -> {name: (N, D) float16}"""
        return {name: np.load(self._lines(name), mmap_mode="r") for name in self.meta.get("vectors", {})}

    def fits(self) -> bool:
        """Whether the files of all vectors are there, whole, and of the shape that meta.json tells."""
        return all(self._fits(name, width) for name, width in self.meta.get("vectors", {}).items())

    def finish(self, table: pa.Table, **facts: Any) -> None:
        """Write the sorted rows, then say in meta.json where they are. Any: what JSON holds."""
        new = self.folder / "rows-new.parquet"
        with writing(self.folder):
            with atomic_file(new) as aside:
                plain = table.replace_schema_metadata(None)
                parquet.write_table(plain, aside, compression="zstd", row_group_size=GROUP)
                aside.chmod(0o644)
            name = f"rows-{file_digest(new)[:16]}.parquet"
            os.replace(new, self.folder / name)
        self.write_meta(rows=name, **facts)

    def _room(self, shard: Shard) -> None:
        """Take the room of all vectors on the disk, so that it can't run out under a run of hours."""
        count = int(self.meta["count"]) if self.meta["shards"] > 1 else len(shard.table)
        for name, value in shard.vectors.items():
            with atomic_file(self._lines(name)) as aside, aside.open("wb") as stream:
                shape = (count, value.shape[1])
                np.lib.format.write_array_header_2_0(stream, {"descr": "<f2", "fortran_order": False, "shape": shape})
                stream.flush()
                size = stream.tell() + count * value.shape[1] * 2
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, size)
                else:
                    stream.truncate(size)
                aside.chmod(0o644)
        self.write_meta(count=count, vectors={name: int(value.shape[1]) for name, value in shard.vectors.items()})

    def _fits(self, name: str, width: int) -> bool:
        try:
            handle = os.open(self._lines(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(handle, "rb") as stream:
                version = np.lib.format.read_magic(stream)
                shape, fortran, kind = np.lib.format.read_array_header_2_0(stream)
                size = stream.tell() + math.prod(shape) * 2
                told = (version, shape, fortran, kind.str)
                whole = told == ((2, 0), (int(self.meta["count"]), width), False, "<f2")
                return whole and os.fstat(stream.fileno()).st_size == size
        except (OSError, EOFError, ValueError):
            return False

    def _put(self, name: str, start: int, value: np.ndarray) -> None:
        handle = os.open(self._lines(name), os.O_RDWR | os.O_NOFOLLOW)  # the folder may have come from anyone
        with os.fdopen(handle, "r+b") as stream:
            stream.seek(_offset(stream) + start * value.shape[1] * 2)
            stream.write(np.ascontiguousarray(value, "<f2").tobytes())
            stream.flush()
            os.fsync(stream.fileno())

    def _whole(self, number: int) -> bool:
        try:
            table = parquet.read_table(self._shard(number))
            told = (table.schema.metadata or {}).get(_HASH, b"")
            start = number * int(self.meta["size"])
            lines = {name: array[start : start + len(table)] for name, array in self.vectors().items()}
            return told == _digest(lines).encode()
        except (OSError, EOFError, ValueError, KeyError, pa.ArrowException):
            return False

    def _shard(self, number: int) -> Path:
        return self.folder / SHARDS / f"{number:06d}.parquet"

    def _lines(self, name: str) -> Path:
        return self.folder / VECTORS / f"{name}.npy"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """The folder, made where it isn't there, with one run at a time in it.

    Raises FusionError when another run writes it, it can't be written, or a link in it leads elsewhere.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        strange = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
        if strange and not (folder / META).exists():
            raise FusionError(
                f'"{shorten(folder.name)}" holds other files, such as "{shorten(strange[0])}"; name a new folder.'
            )
        _within(folder)
        # Not through a link, and not waiting for whoever reads what only has the name of a file.
        lock = os.open(folder / LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    with os.fdopen(lock, "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FusionError(
                f'Another run is writing "{shorten(folder.name)}" now; wait until it ends, or name another folder.'
            ) from error
        yield


def _within(folder: Path) -> None:
    """A folder may have come from anyone: what is written and removed in it must lie in it. Raises FusionError."""
    for name in (SHARDS, VECTORS, LOCK):
        with suppress(FileNotFoundError):
            if stat.S_ISLNK((folder / name).lstat().st_mode):
                raise FusionError(
                    f'"{name}" in "{shorten(folder.name)}" is a link, and nothing is written through one; remove it, '
                    "or name a new folder."
                )


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Errors of the disk in a sentence. Raises FusionError."""
    try:
        yield
    except OSError as error:
        name = shorten(folder.name)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FusionError(
                f'The disk of "{name}" is full. Make room and start the run again: what it did stays.'
            ) from error
        raise FusionError(
            f'Nothing can be written to "{name}": {said(error)}. Name a folder of yours with --out.'
        ) from error


def _offset(stream: Any) -> int:  # Any: a binary file
    stream.seek(0)
    np.lib.format.read_magic(stream)
    np.lib.format.read_array_header_2_0(stream)
    return stream.tell()


def _digest(vectors: Mapping[str, np.ndarray]) -> str:
    state = hashlib.sha256()
    for name in sorted(vectors):
        state.update(name.encode())
        state.update(np.ascontiguousarray(vectors[name], "<f2").tobytes())
    return state.hexdigest()


def clear(folder: Path) -> None:
    """Remove the shards and vectors of a run of which nothing can be used."""
    for path in [*(folder / SHARDS).glob("*.parquet"), *(folder / VECTORS).glob("*.npy")]:
        with suppress(FileNotFoundError):
            path.unlink()
