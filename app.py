"""Home: what this is, three ways to use it, three stories to open, what there is beyond pairs, and what is loaded."""

from __future__ import annotations

import streamlit as st

from fusion.words import current, t
from pages.parts import beyond, cache, chrome, demo, recent, state, tour

if demo.asked():
    demo.show()
    st.stop()
chrome.boot("home")
with chrome.guard("tour.title"):
    tour.show()

with st.container(horizontal=False, key="ways"):
    for column, (way, page, query) in zip(
        st.columns(3),
        (("look", "inspect", {}), ("tell", "home", {"mode": "demo"}), ("find", "match", {})),
        strict=True,
    ):
        with column, st.container(border=True, height="stretch", key=f"way_{way}"):
            st.markdown(f"##### {t(f'home.way.{way}')}")
            st.markdown(t(f"home.way.{way}.tell"))
            chrome.link(page, f"**{t(f'home.way.{way}.link')}** →", **query)

with chrome.guard("home.recent"):
    recent.show()

st.header(t("home.stories"), anchor=False)
st.markdown(t("home.stories.lead"))
with chrome.guard("home.stories"):
    from fusion.data import gallery

    language = current()
    for column, story in zip(st.columns(3), gallery.stories(), strict=False):
        with column, st.container(border=True, height="stretch", key=f"story_{story.id}"):
            image = story.sample().image()
            if image is not None:
                st.image(cache.shown(image), width="stretch", alt=t("home.story.alt", title=story.title[language]))
            st.markdown(f"**{chrome.plain(story.title[language])}**")
            st.markdown(f"“{chrome.plain(story.text)}”")
            st.caption(chrome.plain(story.tell[language], 400))
            chrome.link("inspect", f"**{t('home.story.open')}** →", story=story.id)

with chrome.guard("home.beyond"):
    beyond.show()

st.header(t("home.here"), anchor=False)
with chrome.guard("home.here"):
    from fusion import device

    found = cache.checkpoints()
    told = device.describe()
    left, middle, right = st.columns(3)
    with left, st.container(border=True, height="stretch", key="card_device"):
        st.metric(t("home.device"), told.get("name", told["device"].upper()), help=t("home.device.help"))
        st.caption(t("home.device.gpu") if "name" in told else t("home.device.why", threads=told["threads"]))
    with middle, st.container(border=True, height="stretch", key="card_found"):
        st.metric(t("home.checkpoints"), len(found))
        st.caption(", ".join(chrome.plain(one.name, 40) for one in found[:6]) if found else t("empty.ckpt.why"))
        chrome.link("checkpoints", t("home.checkpoints.link"))
    with right, st.container(border=True, height="stretch", key="card_data"):
        st.metric(t("home.data"), t("home.data.pairs", count=f"{len(cache.data('gloss')):,}"))
        st.caption(t("home.data.tell"))
        chrome.link("checkpoints", t("home.data.link"), tab="data")
    if found:
        cache.warm(state.get("ckpt") or found[0].name)
tour.button()
