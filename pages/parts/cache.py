"""The only caches of the app: models, data sets, observations, inspections, pictures and thumbnails.

Keys are names, numbers and content hashes, never tensors or models, so equal content is computed once for all visitors
and nothing is mistaken for something else. The heavy library is imported inside functions: a heading comes first.
"""

from __future__ import annotations

import base64
import io
import threading
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from fusion.types import FusionError
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from pathlib import Path

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.inference import Observation, Pipeline
    from fusion.models.base import FusionModel
    from fusion.observations import Observed
    from fusion.types import Audio, Image, Sample

T = TypeVar("T")
SHOWN = 768  # pixels: the longer side of a picture in a page
THUMB = 72


def checkpoints() -> list[Checkpoint]:
    """Every checkpoint that can be read, looked through again only when a folder of theirs has changed."""
    from fusion import checkpoints as library

    found = [path for root in library.roots() if root.is_dir() for path in root.glob("*/config.json")]
    times = [(str(path), path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) for path in found]
    return list(_listed(repr(times)))  # one string: Streamlit takes a millisecond to hash so many numbers one by one


@st.cache_resource(max_entries=4, show_spinner=False)
def _listed(folders: str) -> list[Checkpoint]:
    from fusion import checkpoints as library

    return [_kept(str(one.folder), _stamp(one), one) for one in library.listed()]


def checkpoint(name: str) -> Checkpoint:
    """The checkpoint of a name, or of a folder that a person opened here.

    Raises FusionError when there is none, with the same words for a folder that a link may not open.
    """
    from fusion import checkpoints as library
    from fusion import kept

    found = next((one for one in checkpoints() if one.name == name), None)  # to read every folder takes a while
    if found is None:
        if not kept.allowed(name):
            raise FusionError(t("error.folder"))
        found = library.find(name)
    return _kept(str(found.folder), _stamp(found), found)


def _stamp(found: Checkpoint) -> tuple[tuple[int, int], ...]:
    states = (path.stat() for path in sorted(found.folder.iterdir()) if path.is_file())
    return tuple((state.st_mtime_ns, state.st_size) for state in states)


@st.cache_resource(max_entries=64, show_spinner=False)
def _kept(folder: str, stamp: tuple[tuple[int, int], ...], _found: Checkpoint) -> Checkpoint:
    return _found  # with its sha256, which takes a second for large weights


@st.cache_resource(max_entries=2, show_spinner=False)
def _pipeline(folder: str, digest: str, _checkpoint: Checkpoint) -> Pipeline:
    from fusion.inference import Pipeline

    return Pipeline.open(_checkpoint)


def pipeline(found: Checkpoint) -> Pipeline:
    """A checkpoint ready to run; the last two stay loaded."""
    return _pipeline(str(found.folder), found.digest, found)


def parameters(found: Checkpoint) -> int:
    """How many numbers a checkpoint learned. Raises FusionError when it can't be loaded."""
    from pages.parts.kinds import reads

    return _parameters(found.digest, found) if reads(found) != "pairs" else _size(pipeline(found).model)


@st.cache_data(max_entries=64, show_spinner=False)
def _parameters(digest: str, _found: Checkpoint) -> int:
    from fusion import checkpoints as library

    return _size(library.load(_found))


def _size(model: FusionModel) -> int:
    return sum(p.numel() for p in model.parameters())


@st.cache_resource(max_entries=6, show_spinner=False)
def data(spec: str) -> DataSet:
    """A data set by key or path, read once; `forget_data` reads it again."""
    from fusion.data import open_data

    return open_data(spec)


def forget_data(spec: str) -> None:
    """Let the next look at a data set read its files again."""
    data.clear(spec)


@st.cache_resource(max_entries=6, show_spinner=False)
def _observed(checkpoint: str, data: str, _found: Checkpoint, _data: DataSet) -> Observed | None:
    from fusion.observations import stored

    return stored(_found, _data)


def observed(found: Checkpoint, dataset: DataSet) -> Observed | None:
    """What was computed of a whole data set, None when it wasn't yet."""
    kept = _observed(found.digest, dataset.digest, found, dataset)
    if kept is None:
        _observed.clear(found.digest, dataset.digest)
    return kept


@st.cache_resource(max_entries=48, show_spinner=False)
def _inspected(
    checkpoint: str, sample: str, id: str, donor: str, line: str, _pipeline: Pipeline, _sample: Sample,
    _donor: Sample | None, _made: Sequence[Edit], _other: Sample | None,
) -> Observation:  # fmt: skip
    return _pipeline.inspect(_sample, _donor, _made, _other)


def inspected(
    found: Checkpoint, sample: Sample, donor: Sample | None, made: Sequence[Edit] = (), other: Sample | None = None
) -> Observation:
    """One sample through a checkpoint, after edits; the same content is run once, whoever asks. other: of a swap"""
    from fusion.explain import edits
    from fusion.inference import sample_digest

    exchanged = "" if donor is None else sample_digest(donor)
    return _inspected(
        found.digest, sample_digest(sample), sample.id, exchanged, edits.write(made), pipeline(found), sample, donor,
        made, other,
    )  # fmt: skip


@st.cache_resource(max_entries=2, show_spinner=False)
def _aligner(folder: str, digest: str, data: str, _checkpoint: Checkpoint, _data: DataSet) -> Aligner:
    from fusion.alignment.inspection import Aligner

    return Aligner.open(_checkpoint, _data)


def aligner(found: Checkpoint, dataset: DataSet) -> Aligner:
    """A checkpoint of two graphs at work on them; the last two stay loaded."""
    return _aligner(str(found.folder), found.digest, dataset.digest, found, dataset)


@st.cache_resource(max_entries=48, show_spinner=False)
def _looked(key: tuple[str, str, str, str, str, bool], _aligner: Aligner, _image: Image | None) -> EntityObservation:
    _, _, id, against, _, recomputed = key
    return _aligner.inspect(id, image=_image, against=against or None, recomputed=recomputed)


def looked(
    found: Checkpoint, dataset: DataSet, id: str, *, image: Image | None = None, against: str = "",
    recomputed: bool = False,
) -> EntityObservation:  # fmt: skip
    """One entity looked into, with another picture where one is given; the same content is run once.

    Raises FusionError for unknown ids or a picture that can't be used.
    """
    picture = "" if image is None else content(image)
    return _looked((found.digest, dataset.digest, id, against, picture, recomputed), aligner(found, dataset), image)


@st.cache_resource(max_entries=6, show_spinner=False)
def _aligned(checkpoint: str, data: str, _found: Checkpoint, _data: DataSet) -> AlignedSet | None:
    from fusion.alignment.whole import stored

    return stored(_found, _data)


def aligned(found: Checkpoint, dataset: DataSet) -> AlignedSet | None:
    """What was computed of all entities of a data set, None when it wasn't yet."""
    kept = _aligned(found.digest, dataset.digest, found, dataset)
    if kept is None:
        _aligned.clear(found.digest, dataset.digest)
    return kept


@st.cache_resource(max_entries=256, show_spinner=False)
def _made(key: tuple[Hashable, ...], _make: Callable[[], T]) -> T:
    return _make()


def made(make: Callable[[], T], *key: Hashable) -> T:
    """What `make` returns, kept under names, numbers and hashes; the language is part of the key."""
    from fusion.words import current

    return _made((current(), *key), make)


@st.cache_data(max_entries=64, show_spinner=False)
def _shown(key: str, _image: Image) -> bytes:
    opened = _image.open()
    opened.thumbnail((SHOWN, SHOWN))
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def shown(image: Image) -> bytes:
    """A picture as an upright JPEG of at most 768 pixels. Raises FusionError on what can't be read."""
    return _shown(content(image), image)


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(key: str, side: int, _image: Image) -> str:
    opened = _image.open()
    opened.thumbnail((side, side))
    buffer = io.BytesIO()
    opened.save(buffer, "WEBP", quality=72)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(image: Image | None, side: int = THUMB) -> str | None:
    """A small picture as a data address; None without one or where it can't be read."""
    from fusion.types import FusionError

    if image is None:
        return None
    try:
        return _thumbnail(content(image), side, image)
    except FusionError:
        return None


def content(image: Image | Audio) -> str:
    """What a picture or a recording is known by: its bytes, or path, size and time of a file."""
    from fusion.files import digest

    if image.data is not None:
        return digest(image.data)
    assert image.path is not None, "it has bytes or a path"
    if not image.path.is_file():
        return f"{image.path} absent"
    state = image.path.stat()
    return f"{image.path} {state.st_size} {state.st_mtime_ns}"


def asset(path: Path) -> str:
    """A file of our own as text, read once a version."""
    return _asset(str(path), path.stat().st_mtime_ns, path)


@st.cache_data(max_entries=8, show_spinner=False)
def _asset(key: str, time: int, _path: Path) -> str:
    return _path.read_text("utf-8")


_warming = threading.Lock()
_warmed: set[str] = set()


def warm(name: str) -> None:
    """Load the library and a checkpoint in a thread of its own, so that the first inspection finds them ready."""
    with _warming:
        if name in _warmed:
            return
        _warmed.add(name)
    thread = threading.Thread(target=_warm, args=(name,), daemon=True, name="warm")
    thread.start()


def _warm(name: str) -> None:
    import fusion.views  # noqa: F401  what a page needs next
    from fusion import checkpoints as library
    from fusion.inference import Pipeline
    from fusion.types import FusionError
    from pages.parts.kinds import reads

    try:
        found = library.find(name)
        if reads(found) == "pairs":
            Pipeline.open(found)  # its encoders stay loaded, and they are what takes time
    except FusionError:
        return  # the page that needs it says what is wrong with it
