"""What is kept of link prediction: predictors, inspected questions, all held-out questions, as in `cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import cache

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.inspection import Predictor
    from fusion.links.observed import LinkObservation
    from fusion.links.whole import LinkSet
    from fusion.types import Image


@st.cache_resource(max_entries=2, show_spinner=False)
def _predictor(folder: str, digest: str, data: str, _checkpoint: Checkpoint, _data: DataSet) -> Predictor:
    from fusion.links.inspection import Predictor

    return Predictor.open(_checkpoint, _data)


def predictor(found: Checkpoint, dataset: DataSet) -> Predictor:
    """A checkpoint of one graph at work on it; the last two stay loaded. Raises FusionError when they don't fit."""
    return _predictor(str(found.folder), found.digest, dataset.digest, found, dataset)


Key = tuple[str, str, str, int, str, str, str]  # checkpoint, data, head, relation, tail, picture, description


@st.cache_resource(max_entries=48, show_spinner=False)
def _looked(key: Key, _predictor: Predictor, _image: Image | None, _text: str | None) -> LinkObservation:
    _, _, head, relation, tail, _, _ = key
    return _predictor.inspect(head, relation, tail or None, image=_image, text=_text)


def looked(
    found: Checkpoint, dataset: DataSet, head: str, relation: int, tail: str = "", *, image: Image | None = None,
    text: str | None = None,
) -> LinkObservation:  # fmt: skip
    """One question looked into, with another picture or description of its head; the same content is run once.

    Raises FusionError for unknown names or a picture that can't be used.
    """
    from fusion.files import digest

    picture = "" if image is None else cache.content(image)
    said = "" if text is None else digest(text)
    key = (found.digest, dataset.digest, head, relation, tail, picture, said)
    return _looked(key, predictor(found, dataset), image, text)


@st.cache_resource(max_entries=6, show_spinner=False)
def _whole(checkpoint: str, data: str, _found: Checkpoint, _data: DataSet) -> LinkSet | None:
    from fusion.links.whole import stored

    return stored(_found, _data)


def whole(found: Checkpoint, dataset: DataSet) -> LinkSet | None:
    """What was computed of all held-out questions of a data set, None when it wasn't yet."""
    kept = _whole(found.digest, dataset.digest, found, dataset)
    if kept is None:
        _whole.clear(found.digest, dataset.digest)
    return kept
