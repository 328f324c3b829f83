"""What is kept of systems that read streams: readers, inspected samples, whole sets, as in `cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import cache

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.encoders.sound import Spectrogram
    from fusion.streams.inspection import Reader
    from fusion.streams.observed import StreamObservation
    from fusion.streams.whole import StreamedSet
    from fusion.types import Audio, Sample


@st.cache_resource(max_entries=2, show_spinner=False)
def _reader(folder: str, digest: str, data: str, _checkpoint: Checkpoint, _data: DataSet) -> Reader:
    from fusion.streams.inspection import Reader

    return Reader.open(_checkpoint, _data)


def reader(found: Checkpoint, dataset: DataSet) -> Reader:
    """A checkpoint of streams at work; the last two stay loaded. Raises FusionError when data and it don't fit."""
    return _reader(str(found.folder), found.digest, dataset.digest, found, dataset)


@st.cache_resource(max_entries=48, show_spinner=False)
def _looked(key: tuple[str, str, str, str, str], _reader: Reader, _sample: Sample) -> StreamObservation:
    from fusion.explain import edits

    return _reader.inspect(_sample, edits.read(key[-1], _reader.names))


def looked(found: Checkpoint, dataset: DataSet, sample: Sample, own: str, edit: str) -> StreamObservation:
    """One sample looked into after some edits; the same content is run once. own: digest of parts brought along

    Raises FusionError for parts that can't be read, for edits that can't be made or leave nothing.
    """
    return _looked((found.digest, dataset.digest, sample.id, own, edit), reader(found, dataset), sample)


@st.cache_resource(max_entries=6, show_spinner=False)
def _whole(checkpoint: str, data: str, _found: Checkpoint, _data: DataSet) -> StreamedSet | None:
    from fusion.streams.whole import stored

    return stored(_found, _data)


def whole(found: Checkpoint, dataset: DataSet) -> StreamedSet | None:
    """What was computed of all samples of a data set, None when it wasn't yet."""
    kept = _whole(found.digest, dataset.digest, found, dataset)
    if kept is None:
        _whole.clear(found.digest, dataset.digest)
    return kept


@st.cache_resource(max_entries=16, show_spinner=False)
def _spectrogram(key: str, _audio: Audio) -> Spectrogram:
    from fusion.encoders.sound import spectrogram

    return spectrogram(_audio)


def spectrogram(audio: Audio) -> Spectrogram:
    """Power by time and frequency of a recording. Raises FusionError on what can't be read."""
    return _spectrogram(cache.content(audio), audio)
