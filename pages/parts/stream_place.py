"""A sample of one's own on the Map of a shared space, and what lies nearest to each of its views in the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, stream_cache, stream_finder
from pages.parts.chrome import link, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.projections import Projection
    from fusion.streams.observed import StreamObservation
    from fusion.streams.placing import Found
    from fusion.streams.whole import StreamedSet
    from fusion.views.embedding import Placed
    from pages.parts.place import Rows
    from pages.parts.stream_finder import Chosen

SIDE = 72  # pixels of a picture
CARD = 96  # pixels of a card


@dataclass(frozen=True)
class Own:
    """What was brought, and where each of its views lies."""

    now: Chosen
    vectors: dict[str, np.ndarray]  # {name of an embedding: (K,)}


def brought(checkpoint: Checkpoint, dataset: DataSet, whole: StreamedSet, names: Sequence[str]) -> Own | None:
    """Boxes for parts of one's own, and what lies near to them; parts of Inspect stay. None without any."""
    if not stream_finder.droppable(checkpoint):
        return None
    with st.expander(t("placing.title"), expanded=_own(checkpoint) is not None, key="placing"):
        st.markdown(t("placing.tell"))
        left, right = st.columns((0.36, 0.64), gap="medium")
        with left:
            stream_finder.parts(checkpoint, dataset)
        with right, chrome.guard("placing.title"):
            now = _own(checkpoint)
            if now is None:
                return None
            own = Own(now, _vectors(checkpoint, dataset, now))
            near(dataset, whole, names, own)
            return own
    return None


def _own(checkpoint: Checkpoint) -> Chosen | None:
    """What was brought, where the checkpoint reads any of it: parts may be left from another one."""
    now = stream_finder.own()
    if now is None or not set(now.sample.parts) & set(stream_finder.droppable(checkpoint)):  # left from another one
        return None
    return now


def _vectors(checkpoint: Checkpoint, dataset: DataSet, now: Chosen) -> dict[str, np.ndarray]:
    from fusion.streams.placing import vectors

    make = lambda: vectors(stream_cache.reader(checkpoint, dataset), now.sample)[0]  # noqa: E731
    return cache.made(make, "placing", checkpoint.digest, dataset.digest, now.sample.id, now.own)


def placed(own: Own | None, whole: StreamedSet, rows: Rows, projection: Projection) -> tuple[Placed | None, str]:
    """Its views on the map of all views together; nothing on the map of one embedding, whose points have no views."""
    from fusion.projections import place
    from fusion.views.embedding import Placed

    if own is None:
        return None, ""
    known, width = set(rows.modalities.tolist()), rows.vectors.shape[1]
    found = {
        whole.levels[name]: vector for name, vector in own.vectors.items()
        if whole.levels.get(name) in known and len(vector) == width
    }  # fmt: skip
    if not found:
        return None, ""
    points, _ = place(
        projection, rows.vectors, np.stack(list(found.values())), labels=rows.modalities, new_labels=list(found)
    )
    pair = list(found.values())
    apart = float(np.linalg.norm(pair[0] - pair[1])) if len(pair) == 2 else None
    return Placed(points, tuple(found), apart), own.now.own or own.now.sample.id


def inspected(
    checkpoint: Checkpoint, dataset: DataSet, whole: StreamedSet, now: Chosen, seen: StreamObservation
) -> None:
    """The same of the sample that is inspected, as it is after its edits, where its views share a space."""
    from fusion.signals import Embedding
    from pages.parts import stream_map, stream_space

    names = stream_map.views_of(whole) if stream_space.kept(checkpoint) else ()
    vectors = {
        one.name: one.value[0].float().numpy() for one in seen.trace.of(Embedding)
        if one.name in names and seen.present.get(one.modality)
    }  # fmt: skip
    if len(vectors) and len(names) > 1:
        with st.container(border=True, key="card_across"):
            near(dataset, whole, names, Own(now, vectors))


def near(dataset: DataSet, whole: StreamedSet, names: Sequence[str], own: Own) -> None:
    """For each own view the nearest samples in every other view, with their picture or words."""
    from fusion.streams.placing import across
    from fusion.views.speech import say

    found = across(whole, own.vectors, names)
    if not found:
        return
    st.markdown(f"##### {t('placing.near')}")
    st.caption(t("placing.near.tell"))
    for at, one in enumerate(found):
        st.markdown(t("placing.way", given=say(one.given), seen=say(one.seen)))
        with st.container(horizontal=True, gap="small", key=f"across_{at}"):
            _cards(dataset, one, at)


def _cards(dataset: DataSet, one: Found, at: int) -> None:
    from fusion.types import Image, Text
    from fusion.views.speech import num

    for place, (id, cosine) in enumerate(zip(one.ids, one.cosine, strict=True)):
        sample = dataset.get(id)
        part = sample.parts.get(one.seen)
        with st.container(width=CARD, gap=None, key=f"across_{at}_{place}"):
            if isinstance(part, Image):
                face = cache.thumbnail(part, SIDE)
                if face:
                    st.image(face, width=SIDE, alt=t("entity.picture.of", name=plain(stream_finder.called(sample), 80)))
            elif isinstance(part, Text):
                st.markdown(f"**{plain(part.raw, 60)}**")
            link("inspect", plain(sample.called() if isinstance(part, Text) else stream_finder.called(sample), 40),
                 data=dataset.spec or dataset.key, id=id)  # fmt: skip
            st.caption(t("placing.cosine", value=num(round(cosine, 3))))
