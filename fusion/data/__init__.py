"""Data sets: the bundled ones by key, the user's own by path.

A path is a table of pairs (.csv, .tsv, .parquet, .jsonl), a folder of pictures with .txt captions, or a folder of
tweets in the IMGID format. `dbp15k:PATH` and `fb15k_db15k:PATH` are folders of two graphs to align, `triples:PATH` is
one of a graph whose triples are split, `triples_own:PATH` the same, split anew. `mmsa:PATH` is the safe copy of a
feature file of several modalities, `views:SPEC` opens what any of these hold, or tables of features in a .npz,
.safetensors or .parquet file, as views of the same things, `signals:CHECKPOINT@DATA` is what was gathered of a
checkpoint, and `stamps` is what `data get stamps` fetched. A set is of pairs, of two graphs, of triples or of sequences
(`DataSet.kind`), and a model takes one of the four.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from fusion.data.dataset import DataKind, DataSet
from fusion.files import ASSETS, digest, file_digest, shorten
from fusion.types import FusionError, Sample

__all__ = ["DATASETS", "DataSet", "bundled", "kind_of", "open_data", "pairs_only"]


@cache
def _gloss() -> DataSet:
    from fusion.data import gloss  # pandas is slow to import

    return _bundled("gloss", "Gloss and picture", "silver", gloss.load())


@cache
def _gallery() -> DataSet:
    from fusion.data import gallery

    return _bundled("gallery", "Gallery", "illustrative", gallery.load())


@cache
def _emoji() -> DataSet:
    from fusion.data import emoji

    return emoji.load()


@cache
def _keywords() -> DataSet:
    from fusion.data import keywords

    return keywords.load()


def _voices() -> DataSet:
    from fusion.data import voices

    return voices.load()


def _emotions() -> DataSet:
    from fusion.data import emoji_sentiment

    return emoji_sentiment.load()


@cache
def _digits() -> DataSet:
    from fusion.data import digits

    return digits.load()


@cache
def _renderings() -> DataSet:
    from fusion.data import renderings

    return renderings.load()


def _stamps() -> DataSet:
    from fusion.data import stamps

    return stamps.load()


DATASETS: dict[str, Callable[[], DataSet]] = {
    "gloss": _gloss,
    "gallery": _gallery,
    "emoji": _emoji,
    "keywords": _keywords,
    "emoji-groups": _voices,
    "digits": _digits,
    "renderings": _renderings,
} | ({"emotions": _emotions} if (ASSETS / "share-alike" / "emotions").is_dir() else {})
FETCHED: dict[str, Callable[[], DataSet]] = {"stamps": _stamps}  # by key too, once `data get` has got them
KINDS: dict[str, DataKind] = {
    "emoji": "graph",
    "keywords": "triples",
    "emoji-groups": "streams",
    "digits": "streams",
    "renderings": "streams",
    "emotions": "streams",
    "stamps": "streams",
}  # of those of DATASETS that aren't pairs, known without reading them
PREFIXES: dict[str, DataKind] = {
    "dbp15k": "graph",
    "fb15k_db15k": "graph",
    "triples": "triples",
    "triples_own": "triples",
    "mmsa": "streams",
    "planted": "streams",
    "views": "streams",
    "signals": "streams",
}


def bundled(kind: DataKind = "pairs") -> tuple[str, ...]:
    """Keys of the bundled sets of one kind."""
    return tuple(key for key in DATASETS if kind_of(key) == kind)


def kind_of(spec: str) -> DataKind:
    """The kind of the set that a key or path names, without opening it."""
    return KINDS.get(spec) or PREFIXES.get(spec.partition(":")[0]) or "pairs"


def pairs_only(dataset: DataSet) -> DataSet:
    """The same data set. Raises FusionError when it is one of graphs, which models of pairs can't read."""
    if dataset.kind != "pairs":
        holds, does = {
            "graph": ("two graphs to align", "aligns entities"),
            "triples": ("a graph whose links are to be predicted", "predicts links"),
            "streams": ("sequences of several modalities", "predicts a score or a class"),
        }[dataset.kind]
        raise FusionError(
            f'"{dataset.name}" holds {holds}, and this takes images with sentences; choose '
            f"{' or '.join(bundled())}, or a system that {does}."
        )
    return dataset


def open_data(spec: str | Path) -> DataSet:
    """A data set by key or by path; opening a path again reads it again.

    Raises FusionError when there is nothing at the path, or nothing in it that can be read.
    """
    if str(spec) in DATASETS:
        return DATASETS[str(spec)]()
    if str(spec) in FETCHED:
        return FETCHED[str(spec)]()
    prefix, _, rest = str(spec).partition(":")
    if prefix == "planted":
        from fusion.data import planted

        return planted.read(rest)
    if prefix == "views":
        from fusion.data import views

        return views.read(rest, open_data)
    if prefix == "signals":
        from fusion.data import kept_signals

        return kept_signals.read(rest, open_data)
    if prefix in PREFIXES:
        return _graph(prefix, rest)
    path = _there(str(spec))
    if path.is_dir():
        from fusion.data import captions, twitter

        return twitter.read(path) if twitter.is_twitter(path) else captions.read(path)
    from fusion.data import pairs

    return pairs.read(path)


def _graph(prefix: str, path: str) -> DataSet:
    """The graphs or sequences in a folder. Raises FusionError when there is none, or nothing in it can be used."""
    from fusion.data import dbp15k, fb15k_db15k, mmsa, triple_files

    folder = _there(path)
    if not folder.is_dir():
        raise FusionError(f'"{shorten(folder.name)}" is a file; {prefix}: takes the folder that the files lie in.')
    if prefix == triple_files.OWN:
        return triple_files.read(folder, own=True)
    readers = {"dbp15k": dbp15k.read, "fb15k_db15k": fb15k_db15k.read, mmsa.PREFIX: mmsa.read}
    readers[triple_files.PREFIX] = triple_files.read
    return readers[prefix](folder)


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
        "file, of a folder of pictures with .txt captions, or of a Twitter folder; or dbp15k:FOLDER or "
        "fb15k_db15k:FOLDER for two graphs, triples:FOLDER for one, or mmsa:FOLDER for imported features."
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
