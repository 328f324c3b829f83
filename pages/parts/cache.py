"""What is loaded once for everybody: models, data sets, observations, thumbnails. Keys are names, numbers and hashes."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError, Image

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation, Pipeline
    from fusion.observations import Observed
    from fusion.types import Sample


def checkpoints() -> list[Checkpoint]:
    """Every readable checkpoint, bundled ones first."""
    from fusion.checkpoints import listed  # imports torch

    return listed()


def checkpoint(name: str) -> Checkpoint:
    """The checkpoint of a name or folder. Raises FusionError when there is none."""
    from fusion.checkpoints import find

    return find(name)


def pipeline(name: str) -> Pipeline:
    """A checkpoint with its encoders, loaded once and shared. Raises FusionError when it can't be loaded."""
    found = checkpoint(name)
    return _pipeline(str(found.folder), weights(found))


@st.cache_resource(max_entries=2, show_spinner=False)
def _pipeline(folder: str, digest: str) -> Pipeline:
    import torch

    from fusion.checkpoints import read
    from fusion.inference import Pipeline

    torch.set_num_threads(min(torch.get_num_threads(), 4))  # a pass of one sample gains nothing from more
    return Pipeline.open(read(Path(folder)))


def weights(found: Checkpoint) -> str:
    """sha256 of a checkpoint's weights, read again only when the file changed."""
    about = (found.folder / "weights.safetensors").stat()
    return _weights(str(found.folder), about.st_mtime_ns, about.st_size)


@st.cache_data(max_entries=64, show_spinner=False)
def _weights(folder: str, changed: int, size: int) -> str:
    from fusion.checkpoints import read

    return read(Path(folder)).digest


def dataset(spec: str) -> DataSet:
    """A data set by key or path; one by path is read again when its file or folder changed. Raises FusionError."""
    from fusion.data import DATASETS, open_data

    if spec in DATASETS:
        return DATASETS[spec]()
    path = Path(spec).expanduser()
    try:
        about = path.stat()
    except (OSError, ValueError):
        return open_data(spec)  # raises with a sentence
    return _dataset(spec, about.st_mtime_ns, about.st_size)


@st.cache_resource(max_entries=4, show_spinner=False)
def _dataset(spec: str, changed: int, size: int) -> DataSet:
    from fusion.data import open_data

    return open_data(spec)


class _NotYet(Exception):
    """Nothing is stored; raised so that the answer isn't cached."""


def observed(found: Checkpoint, spec: str) -> Observed | None:
    """What was computed for a whole data set under a checkpoint, None when it wasn't yet. Raises FusionError."""
    data = dataset(spec)
    try:
        return _observed(str(found.folder), weights(found), spec, data.digest)
    except _NotYet:
        return None


@st.cache_resource(max_entries=4, show_spinner=False)
def _observed(folder: str, digest: str, spec: str, content: str) -> Observed:
    from fusion.checkpoints import read
    from fusion.observations import stored

    found = stored(read(Path(folder)), dataset(spec))
    if found is None:
        raise _NotYet
    return found


def observation(name: str, sample: Sample, donor: Sample | None) -> Observation:
    """One sample under a checkpoint, run once for the same content. Raises FusionError."""
    from fusion.inference import sample_digest

    opened = pipeline(name)
    other = sample_digest(donor) if donor is not None else ""
    return _observation(opened.checkpoint.digest, sample_digest(sample), other, opened, sample, donor)


@st.cache_resource(max_entries=16, show_spinner=False)
def _observation(
    digest: str, content: str, other: str, _pipeline: Pipeline, _sample: Sample, _donor: Sample | None
) -> Observation:
    return _pipeline.inspect(_sample, _donor)


def picture(image: Image, side: int = 768) -> bytes:
    """An upright JPEG of at most `side` pixels. Raises FusionError on what is no picture."""
    from fusion.files import digest

    if image.data is not None:
        return _picture(digest(image.data), 0, side, image)
    assert image.path is not None
    try:
        changed = image.path.stat().st_mtime_ns
    except OSError:
        raise FusionError(f'The picture "{image.path.name}" is gone; put it back, or open another sample.') from None
    return _picture(str(image.path), changed, side, image)


@st.cache_data(max_entries=2000, show_spinner=False)
def _picture(name: str, changed: int, side: int, _image: Image) -> bytes:
    opened = _image.open()
    opened.thumbnail((side, side))
    buffer = io.BytesIO()
    opened.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def thumbnail(path: str | Path, side: int = 96) -> str:
    """A small picture as a data address for tables; "" when the file can't be read."""
    try:
        return "data:image/jpeg;base64," + base64.b64encode(picture(Image(path=Path(path)), side)).decode()
    except FusionError:
        return ""
