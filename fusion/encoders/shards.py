"""Files of feature rows: written once, memory-mapped, checked, joined when small; and a data set's view on them."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fusion.encoders.base import Encoded
from fusion.files import atomic_file, digest
from fusion.types import FusionError

SMALL, SMALL_SHARDS = 16, 32  # rows of a small shard, and how many small ones there may be before they are joined
TENSORS = ("steps", "pooled", "mask", "extra")
_DAMAGED = (SafetensorError, OSError, ValueError, KeyError)
Progress = Callable[[int, int], None]  # (done, of how many)


@dataclass(frozen=True)
class Shard:
    """Rows of one file, memory-mapped."""

    path: Path
    keys: tuple[str, ...]
    steps: Tensor  # (n, T, D) float16
    pooled: Tensor  # (n, D') float32
    mask: Tensor  # (n, T) bool
    extra: Tensor  # (n, 2) float32: share of unknown pieces, words cut


@dataclass(frozen=True)
class Features:
    """Features of N samples: pooled vectors in memory, steps read from disk row by row when asked for."""

    ids: tuple[str, ...]
    pooled: Tensor  # (N, D') float32, zeros where absent
    mask: Tensor  # (N, T) bool, False where absent
    present: Tensor  # (N,) bool
    unknown: tuple[float, ...]  # N shares, 0 for pictures
    truncated: tuple[int, ...]  # N counts of words, 0 for pictures
    broken: dict[str, str]  # id -> why its picture could not be opened
    _shards: tuple[Shard, ...]
    _where: Tensor  # (N, 2) long: shard and row in it, -1 where absent
    _width: int  # D

    def __len__(self) -> int:
        return len(self.ids)

    def files(self) -> frozenset[Path]:
        """The files that its rows lie in."""
        return frozenset(shard.path for shard in self._shards)

    def steps(self, index: Tensor | Sequence[int] | slice) -> Tensor:
        """Steps of some rows, in the order given. -> (B, T, D) float32, zeros where absent"""
        where = self._where[index if isinstance(index, slice) else torch.as_tensor(index, dtype=torch.long)]
        made = torch.zeros(len(where), self.mask.shape[1], self._width)
        for shard in where[:, 0].unique().tolist():
            if shard >= 0:
                rows = (where[:, 0] == shard).nonzero().squeeze(1)
                made[rows] = self._shards[shard].steps[where[rows, 1]].float()
        return made

    def rows(self, index: Tensor | Sequence[int] | slice) -> Encoded:
        """Features of some rows, in the order given, without names."""
        rows = torch.arange(len(self))[index] if isinstance(index, slice) else torch.as_tensor(index, dtype=torch.long)
        order = rows.tolist()
        return Encoded(
            self.steps(rows),
            self.pooled[rows],
            self.mask[rows],
            unknown=tuple(self.unknown[i] for i in order),
            truncated=tuple(self.truncated[i] for i in order),
        )

    def batches(self, size: int) -> Iterator[tuple[slice, Encoded]]:
        """Which rows, and their features, in order, `size` at a time."""
        for start in range(0, len(self), size):
            chosen = slice(start, min(start + size, len(self)))
            yield chosen, self.rows(chosen)


@dataclass(frozen=True)
class Work:
    """How missing rows are made: the slow reading of files, which runs one group ahead, and the encoder itself."""

    prepare: Callable[[list[str]], tuple[list[str], Any]]  # keys -> the good ones, and what `encode` takes
    encode: Callable[[Any], Encoded]
    size: int  # rows of a shard

    def groups(self, keys: list[str]) -> Iterator[tuple[list[str], Any]]:
        """Prepared groups in order; the next one is read while the caller encodes."""
        with ThreadPoolExecutor(1) as pool:
            ahead = None
            for start in range(0, len(keys), self.size):
                current, ahead = ahead, pool.submit(self.prepare, keys[start : start + self.size])
                if current is not None:
                    yield current.result()
            if ahead is not None:
                yield ahead.result()


class Space:
    """The shards of one encoder and one shape of rows."""

    def __init__(self, folder: Path, name: str, steps: int, width: int, pooled_width: int) -> None:
        self.folder = folder / f"{re.sub(r'[^A-Za-z0-9.+-]', '_', name)[:60]}-{digest(name)[:8]}"
        self.steps, self.width, self.pooled_width = steps, width, pooled_width

    def collect(
        self,
        ids: Sequence[str],
        keys: Sequence[str | None],
        work: Work,
        broken: dict[str, str],
        progress: Progress | None,
    ) -> Features:
        """Read what is there, encode the rest a shard at a time, and point every sample at its row."""
        self._tidy()
        shards = self._open(frozenset(key for key in keys if key is not None))
        known = {key for shard in shards for key in shard.keys}
        missing = [key for key in dict.fromkeys(keys) if key is not None and key not in known]
        report = progress or (lambda done, total: None)
        report(0, len(missing))
        for group, (good, prepared) in enumerate(work.groups(missing), 1):
            if good:
                shards.append(self._write(work.encode(prepared), good))
            report(min(group * work.size, len(missing)), len(missing))
        place = {key: (s, row) for s, shard in enumerate(shards) for row, key in enumerate(shard.keys)}
        found = [place.get(key, (-1, -1)) if key is not None else (-1, -1) for key in keys]
        where = torch.tensor(found, dtype=torch.long).reshape(-1, 2)
        return self._features(tuple(ids), tuple(shards), where, broken)

    def _features(
        self, ids: tuple[str, ...], shards: tuple[Shard, ...], where: Tensor, broken: dict[str, str]
    ) -> Features:
        pooled, mask = torch.zeros(len(ids), self.pooled_width), torch.zeros(len(ids), self.steps, dtype=torch.bool)
        extra = torch.zeros(len(ids), 2)
        for index, shard in enumerate(shards):
            rows = (where[:, 0] == index).nonzero().squeeze(1)
            source = where[rows, 1]
            pooled[rows], mask[rows], extra[rows] = shard.pooled[source], shard.mask[source], shard.extra[source]
        unknown, cut = tuple(extra[:, 0].tolist()), tuple(int(count) for count in extra[:, 1].tolist())
        return Features(ids, pooled, mask, where[:, 0] >= 0, unknown, cut, broken, shards, where, self.width)

    def _open(self, wanted: frozenset[str]) -> list[Shard]:
        """The sound shards that hold a wanted row, touched so that they count as used; damaged ones are deleted."""
        found = []
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                keys = _keys(path)
                if wanted.isdisjoint(keys):
                    continue
                found.append(self._read(path, keys))
                os.utime(path)
            except FileNotFoundError:  # another process trimmed or joined it
                continue
            except _DAMAGED:
                path.unlink(missing_ok=True)
        return found

    def _read(self, path: Path, keys: tuple[str, ...]) -> Shard:
        """A shard, memory-mapped. Raises ValueError when its bytes or its shapes are not what they should be."""
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in TENSORS}
            said = stream.metadata()["crc"]
        count = len(keys)
        shapes = (count, self.steps, self.width), (count, self.pooled_width), (count, self.steps), (count, 2)
        if tuple(tuple(tensor.shape) for tensor in tensors.values()) != shapes or _checksum(tensors) != said:
            raise ValueError(f"{path.name} is damaged")
        return Shard(path, keys, **tensors)

    def _write(self, encoded: Encoded, keys: list[str]) -> Shard:
        count = len(keys)
        extra = torch.zeros(count, 2)
        if encoded.unknown:
            extra = torch.tensor(list(zip(encoded.unknown, encoded.truncated, strict=True)), dtype=torch.float32)
        limit = torch.finfo(torch.float16).max
        tensors = {
            "steps": encoded.steps.cpu().clamp(-limit, limit).to(torch.float16).contiguous(),
            "pooled": encoded.pooled.cpu().float().contiguous(),
            "mask": encoded.mask.cpu().contiguous(),
            "extra": extra,
        }
        return self._save(tensors, tuple(keys))

    def _save(self, tensors: dict[str, Tensor], keys: tuple[str, ...]) -> Shard:
        path = self.folder / f"{digest(*keys)[:24]}.safetensors"
        try:
            with atomic_file(path) as aside:
                save_file(tensors, aside, metadata={"keys": json.dumps(keys), "crc": _checksum(tensors)})
        except OSError as error:
            raise FusionError(
                f'Features can\'t be saved in "{self.folder.parent}" ({error.strerror}); free space or set FUSION_HOME.'
            ) from error
        try:
            return self._read(path, keys)
        except FileNotFoundError:  # another process has joined it with others already
            return Shard(path, keys, **tensors)

    def _tidy(self) -> None:
        """Join small shards once there are many: dropping one picture at a time makes files of one row."""
        small = [path for path in self.folder.glob("*.safetensors") if _rows(path) <= SMALL]
        if len(small) < SMALL_SHARDS:
            return
        parts = []
        for path in small:
            try:
                parts.append(self._read(path, _keys(path)))
            except _DAMAGED:
                continue  # `_open` deletes it; another process may have joined it already
        rows = {key: (shard, row) for shard in parts for row, key in enumerate(shard.keys)}
        if not rows:
            return
        tensors = {name: torch.stack([getattr(shard, name)[row] for shard, row in rows.values()]) for name in TENSORS}
        joined = self._save(tensors, tuple(rows))
        for shard in parts:
            if shard.path != joined.path:
                shard.path.unlink(missing_ok=True)


def _keys(path: Path) -> tuple[str, ...]:
    """The keys of a shard, from its header alone."""
    with safe_open(path, framework="pt") as stream:
        return tuple(json.loads((stream.metadata() or {})["keys"]))


def _rows(path: Path) -> int:
    """How many rows a shard has, 0 when that can't be read."""
    try:
        return len(_keys(path))
    except _DAMAGED:
        return 0


def _checksum(tensors: dict[str, Tensor]) -> str:
    state = 0
    for name in sorted(tensors):
        state = zlib.crc32(np.ascontiguousarray(tensors[name].numpy()).view(np.uint8).reshape(-1).data, state)
    return f"{state:08x}"
