"""A contact sheet: the samples chosen on the map side by side, each with a link that opens it in Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache
from pages.parts.chrome import link, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.data import DataSet
    from fusion.types import Sample

MOST = 60  # samples at once
SIDE = 72  # pixels of a picture
CARD = 86  # pixels of a card
LONGEST = 48  # characters of a link


def show(dataset: DataSet, ids: Sequence[str]) -> None:
    """Pictures of the samples with these ids, as many as fit, evenly taken; nothing where none has a picture."""
    known = [id for id in ids if id in dataset.index]
    some = [known[at] for at in spread(len(known))]
    samples = [dataset.get(id) for id in some]
    faces = [cache.thumbnail(one.image(), SIDE) for one in samples]
    if not any(faces):
        return  # words alone are read in the table
    with st.container(border=True, key="card_contact"):
        st.markdown(f"##### {t('map.contact')}")
        if len(some) < len(known):
            st.caption(t("map.contact.some", shown=f"{len(some):,}", count=f"{len(known):,}"))
        with st.container(horizontal=True, gap="small", key="contact"):
            for at, (sample, face) in enumerate(zip(samples, faces, strict=True)):
                with st.container(width=CARD, gap=None, key=f"contact_{at}"):
                    if face:
                        st.image(face, width=SIDE, alt=t("entity.picture.of", name=plain(_name(sample), 80)))
                    else:
                        st.caption(t("map.contact.blank"))
                    name = plain(_name(sample), LONGEST)
                    link("inspect", name, data=dataset.spec or dataset.key, id=sample.id)


def spread(count: int, most: int = MOST) -> list[int]:
    """Places of up to `most` of some samples, evenly from the first to the last.

    >>> spread(3), spread(10, 4)
    ([0, 1, 2], [0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def _name(sample: Sample) -> str:
    """Its words, or what it is called."""
    return sample.text().strip() or sample.called()
