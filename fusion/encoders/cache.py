"""Features on disk by content: each picture, text and recording is encoded once, whatever data set it comes in.

A key is the hash of (encoder, its weights, its preprocessing, the content). Rows lie in shards: one safetensors file of
up to a few hundred rows in half precision, written aside and renamed, so that two processes can work at once and a kill
loses at most one shard. Shards are memory-mapped, so a training step reads the rows that it needs and no more. A shard
whose checksum is wrong is dropped and its rows are encoded again. Above the size limit the shards that were not used
for longest go first.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fusion.encoders.base import Encoded
from fusion.encoders.shards import Features, Progress, Space, Work
from fusion.files import digest, home
from fusion.types import FusionError, Sample, Text

if TYPE_CHECKING:
    from fusion.encoders.audio import AudioEncoder
    from fusion.encoders.image import ImageEncoder
    from fusion.encoders.text import TextEncoder
    from fusion.types import Audio, Image

VERSION = "features-1"
PICTURES_A_SHARD = 64  # 8 MB of 49 x 1280 in half precision
TEXTS_A_SHARD = 256
SOUNDS_A_SHARD = 128  # 4 MB of 94 x 160 in half precision


class FeatureCache:
    """The features that were computed on this machine, below one folder."""

    def __init__(self, folder: Path | None = None, limit_gb: float | None = None) -> None:
        """`folder`: FUSION_HOME/features unless given. `limit_gb`: FUSION_CACHE_GB, 2 unless given."""
        self.folder = folder if folder is not None else home() / "features"
        self.limit = int(2**30 * (limit_gb if limit_gb is not None else _limit_gb()))

    def images(
        self,
        encoder: ImageEncoder,
        samples: Sequence[Sample],
        progress: Progress | None = None,
        *,
        pooled_only: bool = False,
    ) -> Features:
        """Region features of every sample's picture; a picture that can't be opened is absent and named in `broken`.

        With `pooled_only` there are no regions, T is 0, and a picture takes a twentieth of the room.
        """
        from fusion.encoders.pictures import open_picture  # Pillow is slow to import and texts need none of it

        keys, broken = _picture_keys(encoder, samples)
        by_key = {key: sample for key, sample in zip(keys, samples, strict=True) if key is not None}

        def prepare(wanted: list[str]) -> tuple[list[str], Tensor]:
            pixels, good = [], []
            for key in wanted:
                image = by_key[key].image()
                assert image is not None
                try:
                    pixels.append(encoder.prepare([open_picture(image)]))
                    good.append(key)
                except FusionError as error:
                    broken.update({s.id: str(error) for s, other in zip(samples, keys, strict=True) if other == key})
            return good, torch.cat(pixels) if pixels else encoder.prepare([])

        def pooled(pixels: Tensor) -> Encoded:
            made = encoder.encode_pixels(pixels)
            return replace(made, steps=made.steps[:, :0], mask=made.mask[:, :0])

        steps = 0 if pooled_only else encoder.grid[0] * encoder.grid[1]
        name = f"{encoder.name}-pooled" if pooled_only else encoder.name
        space = Space(self.folder, name, steps, encoder.width, encoder.pooled_width)
        work = Work(prepare, pooled if pooled_only else encoder.encode_pixels, PICTURES_A_SHARD)
        return self._trimmed(space.collect([s.id for s in samples], keys, work, broken, progress))

    def texts(
        self,
        encoder: TextEncoder,
        samples: Sequence[Sample],
        length: int,
        padding: Literal["read", "zero"] = "read",
        progress: Progress | None = None,
    ) -> Features:
        """Features of every sample's text, padded to `length`; a sample without a text is absent."""
        parts = [sample.parts.get("text") for sample in samples]
        start = (VERSION, encoder.name, encoder.digest, encoder.preprocessing, str(length), padding)
        keys = [digest(*start, part.raw, *part.words) if isinstance(part, Text) else None for part in parts]
        by_key = {
            key: part for key, part in zip(keys, parts, strict=True) if key is not None and isinstance(part, Text)
        }

        def prepare(wanted: list[str]) -> tuple[list[str], list[Text]]:
            return wanted, [by_key[key] for key in wanted]

        def encode(texts: list[Text]) -> Encoded:
            return encoder.encode(texts, length=length, padding=padding)

        space = Space(self.folder, f"{encoder.name}-{length}-{padding}", length, encoder.width, encoder.pooled_width)
        work = Work(prepare, encode, TEXTS_A_SHARD)
        return self._trimmed(space.collect([s.id for s in samples], keys, work, {}, progress))

    def sounds(self, encoder: AudioEncoder, samples: Sequence[Sample], progress: Progress | None = None) -> Features:
        """Features of every sample's recording; one that can't be heard is absent and named in `broken`."""
        from fusion.encoders.sound import Sound, open_sound  # NumPy's part of it, which texts don't need

        start = (VERSION, encoder.name, encoder.digest, encoder.preprocessing)
        keys, broken = _file_keys(start, samples, [sample.audio() for sample in samples], "recording")
        by_key = {key: sample for key, sample in zip(keys, samples, strict=True) if key is not None}

        def prepare(wanted: list[str]) -> tuple[list[str], list[Sound]]:
            sounds, good = [], []
            for key in wanted:
                audio = by_key[key].audio()
                assert audio is not None
                try:
                    sounds.append(open_sound(audio))
                    good.append(key)
                except FusionError as error:
                    broken.update({s.id: str(error) for s, other in zip(samples, keys, strict=True) if other == key})
            return good, sounds

        def encode(sounds: list[Sound]) -> Encoded:
            return encoder.encode(sounds, encoder.steps)

        space = Space(self.folder, encoder.name, encoder.steps, encoder.width, encoder.pooled_width)
        work = Work(prepare, encode, SOUNDS_A_SHARD)
        return self._trimmed(space.collect([s.id for s in samples], keys, work, broken, progress))

    def _trimmed(self, features: Features) -> Features:
        self.trim(features.files())
        return features

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*.safetensors")) if self.folder.is_dir() else 0

    def trim(self, used: frozenset[Path] = frozenset()) -> None:
        """Delete the shards that were not used for longest until the limit holds, never those in `used`."""
        files = []
        for path in self.folder.glob("*/*.safetensors"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process deleted it
                continue
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self.limit:
                return
            if path not in used:
                path.unlink(missing_ok=True)
                total -= size


def _picture_keys(encoder: ImageEncoder, samples: Sequence[Sample]) -> tuple[list[str | None], dict[str, str]]:
    """The key of each sample's picture, None without one; and the samples whose file can't be read."""
    start = (VERSION, encoder.name, encoder.digest, encoder.preprocessing)
    return _file_keys(start, samples, [sample.image() for sample in samples], "picture")


def _file_keys(
    start: tuple[str, ...], samples: Sequence[Sample], parts: Sequence[Image | Audio | None], what: str
) -> tuple[list[str | None], dict[str, str]]:
    """The key of each part's content, None without one; and the samples whose file can't be read."""
    keys: list[str | None] = []
    broken: dict[str, str] = {}
    for sample, part in zip(samples, parts, strict=True):
        if part is None:
            keys.append(None)
            continue
        try:
            content = part.data if part.data is not None else Path(str(part.path)).read_bytes()
            keys.append(digest(*start, content))
        except OSError:
            keys.append(None)
            broken[sample.id] = f'The {what} of "{sample.id}" can\'t be read; check its path.'
    return keys, broken


def _limit_gb() -> float:
    said = os.environ.get("FUSION_CACHE_GB", "2")
    try:
        return max(0.0, float(said))
    except ValueError as error:
        raise FusionError(f'FUSION_CACHE_GB is "{said}"; set it to a number of gigabytes, such as 2.') from error
