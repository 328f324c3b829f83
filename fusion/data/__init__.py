"""Data sets: the bundled ones by key, the user's own by path.

A path is a table of pairs (.csv, .tsv, .parquet, .jsonl), a folder of pictures with .txt captions, or a folder of
tweets in the IMGID format.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from fusion.data.dataset import DataSet
from fusion.data.pictures import shorten
from fusion.files import ASSETS, digest, file_digest
from fusion.types import FusionError, Sample

__all__ = ["DATASETS", "DataSet", "open_data"]


@cache
def _gloss() -> DataSet:
    from fusion.data import gloss  # pandas is slow to import

    return _bundled("gloss", "Gloss and picture", "silver", gloss.load())


@cache
def _gallery() -> DataSet:
    from fusion.data import gallery

    return _bundled("gallery", "Gallery", "illustrative", gallery.load())


DATASETS: dict[str, Callable[[], DataSet]] = {"gloss": _gloss, "gallery": _gallery}


def open_data(spec: str | Path) -> DataSet:
    """A data set by key or by path; opening a path again reads it again.

    Raises FusionError when there is nothing at the path, or nothing in it that can be read.
    """
    if str(spec) in DATASETS:
        return DATASETS[str(spec)]()
    path = _there(str(spec))
    if path.is_dir():
        from fusion.data import captions, twitter

        return twitter.read(path) if twitter.is_twitter(path) else captions.read(path)
    from fusion.data import pairs

    return pairs.read(path)


def _there(spec: str) -> Path:
    """The path, made absolute. Raises FusionError when there is no file or folder."""
    known = " or ".join(f'"{key}"' for key in DATASETS)
    try:
        path = Path(spec).expanduser().resolve()
        str(path).encode()  # else no sentence and no link could name it
        if spec.strip() and (path.is_file() or path.is_dir()):
            return path
    except (OSError, ValueError, RuntimeError):  # NUL, too long, a loop of links, no such user, not UTF-8
        pass
    raise FusionError(
        f'There is no data set "{shorten(spec, 200)}"; give {known}, or the path of a .csv, .tsv, .parquet or .jsonl '
        "file, of a folder of pictures with .txt captions, or of a Twitter folder."
    )


def _bundled(key: str, name: str, word: str, samples: list[Sample]) -> DataSet:
    """A set that comes with the program; its digest is that of what its samples say and of their pictures."""
    paths = [image.path if (image := sample.image()) is not None else None for sample in samples]
    pictures = {path: file_digest(path) for path in set(paths) if path is not None}
    said = [
        f"{s.id}\t{s.split}\t{s.text()!r}\t{s.target!r}\t{pictures[path] if path is not None else ''}"
        for s, path in zip(samples, paths, strict=True)
    ]
    root = ASSETS / "data" / key
    return DataSet(key, name, tuple(samples), word=word, root=root, digest=digest(key, *said), spec=key)
