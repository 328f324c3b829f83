"""Home's cards beyond pairs: align the entities of two graphs, predict the links of one, answer from several
modalities of which some may be missing; each with an example.
"""

from __future__ import annotations

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, using

# One example of a bundled data set for each: what Inspect opens with.
EXAMPLES: dict[str, dict[str, str]] = {
    "emoji": {"id": "en-0101"},  # a curling stone: no modality finds it alone, all together do
    # French fries and food: the graph alone puts it at place 25, its name's words bring it up
    "keywords": {"id": "k-2581", "rel": "hasKeyword", "against": "k-0899"},
    "emoji-groups": {"id": "v1fa98"},  # a long drum: heard, written and drawn, and any of the three may go
    "emotions": {"id": "e1f31a"},  # a new moon with a face: words and drawing say different things
}


def show() -> None:
    """A card for each kind of checkpoint that is here and was trained on a bundled data set; nothing without one."""
    found = {}
    for one in cache.checkpoints():
        if one.data in EXAMPLES and using.reads_of(one) == using.kind_of(one.data):
            found.setdefault(one.data, one)
    if not found:
        return
    st.header(t("home.beyond"), anchor=False)
    st.markdown(t("home.beyond.lead"))
    here = [(data, query) for data, query in EXAMPLES.items() if data in found]
    places = [column for _ in range(0, len(here), 2) for column in st.columns(2)]
    for column, (data, query) in zip(places, here, strict=False):
        more = {"ckpt": found[data].name, "data": data}
        with column, st.container(border=True, height="stretch", key=f"beyond_{data}"):
            st.markdown(f"##### {t(f'home.beyond.{data}')}")
            st.markdown(t(f"home.beyond.{data}.tell"))
            with st.container(horizontal=True):
                chrome.link("inspect", f"**{t(f'home.beyond.{data}.link')}** →", **more, **query)
                chrome.link("match", f"{t('home.beyond.match')} →", **more)
