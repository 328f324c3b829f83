"""What a sample of streams is made of: its words, pictures and recordings, and pictures of its features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, grid, stream_cache, stream_finder
from pages.parts.chrome import plain

if TYPE_CHECKING:
    import numpy as np

    from fusion.views import Picture
    from pages.parts.stream_tabs import Looked

HEARD = "mel"  # the encoder whose steps are a spectrogram


def show(on: Looked) -> None:
    """Each part with what was done to it and what would be answered from it alone."""
    from fusion.views.speech import answered, num, percent, say

    done = {edit.modality: edit for edit in on.seen.edits}
    names = stream_finder.names_of(on.checkpoint)
    for place, modality in zip(st.columns(len(names)), names, strict=True):
        with place, st.container(border=True, height="stretch", key=f"part_{modality}"):
            st.caption(say(modality))
            _part(on, modality)
            if modality in done:
                edit = done[modality]
                told = t(f"streams.done.{edit.how}", name=say(modality), rate=percent(edit.rate))
                st.markdown(f":orange[**{plain(told, 120)}**]")
            alone = on.seen.alone.get(modality)
            if alone is not None:
                said = answered(alone.said) if alone.said else ""
                value = percent(alone.strength) if alone.score is None else num(round(alone.score, 2))
                st.markdown(t("streams.alone", answer=plain(" ".join(one for one in (said, value) if one), 80)))
    if on.seen.split_opinion:
        st.warning(t("streams.split"))


def _part(on: Looked, modality: str) -> None:
    from fusion.types import Audio, Image, Text
    from fusion.views.speech import say

    part = on.seen.sample.parts.get(modality)
    if isinstance(part, Text):
        st.markdown(plain(part.raw, 400) or "–")
    elif isinstance(part, (Image, Audio)):
        with chrome.guard("error.picture"):
            stream_finder.seen(part, say(modality))
    elif (values := features(on, modality)) is not None:
        st.markdown(t("streams.numbers", steps=len(values), width=values.shape[1]))
    else:
        has = stream_finder.there(on.dataset, on.now, modality)
        st.markdown(t("streams.given" if has else "streams.lacks"))


def features(on: Looked, modality: str) -> np.ndarray | None:
    """The numbers that a file gave of a modality of this sample, before any edit. -> (T, D)"""
    from fusion.types import Numbers

    part, streams = on.seen.sample.parts.get(modality), on.dataset.streams
    if isinstance(part, Numbers):
        return part.values
    row = None if on.now.own else on.dataset.index.get(on.seen.sample.id)
    if part is not None or row is None or streams is None or modality not in streams.features:
        return None
    return streams.steps(modality, row) if stream_finder.there(on.dataset, on.now, modality) else None


def pictures(on: Looked) -> None:
    """A spectrogram of what is heard, a heat map of other features that a file gave."""
    from fusion.types import Audio
    from fusion.views import streams

    for modality in stream_finder.names_of(on.checkpoint):
        part, key = on.seen.sample.parts.get(modality), f"features_{modality}"
        if isinstance(part, Audio):
            on.show(lambda part=part: streams.spectrogram(stream_cache.spectrogram(part)), key, edited=False)
        elif (values := features(on, modality)) is not None:
            make = lambda m=modality, values=values: _drawn(on, m, values)  # noqa: E731
            picture = cache.made(make, "streams_features", *on.key, modality)
            if picture is not None:
                grid.show(lambda picture=picture: picture, key)


def _drawn(on: Looked, modality: str, values: np.ndarray) -> Picture | None:
    from fusion.encoders.sound import WIDTH, unstacked
    from fusion.views import features as views
    from fusion.views import streams

    if on.checkpoint.encoders.get(modality) == HEARD and values.shape[1] == WIDTH and len(values):
        return streams.spectrogram(unstacked(values))
    return views.steps(values, modality)
