"""What stands on every page: heading, navigation, language, checkpoint and data, help.

`boot` is the first line of a page and safe alone, for a link may open any page on a fresh server. The heading is sent
before anything heavy is imported.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from fusion import words
from fusion.files import ASSETS
from fusion.words import t
from pages.parts import pickers, state

PAGES = {
    "home": "app.py",
    "inspect": "pages/inspect.py",
    "map": "pages/map.py",
    "match": "pages/match.py",
    "checkpoints": "pages/checkpoints.py",
}
BRAND = ASSETS / "brand"
ROOT = ASSETS.parent


def boot(page: str) -> state.View:
    """Page settings, language, heading and side bar. `page` is a key of PAGES. -> the View"""
    state.speak()
    st.set_page_config(
        page_title=f"{t(f'{page}.title')} · Fusionscope", page_icon=str(BRAND / "icon.png"), layout="wide",
        initial_sidebar_state="auto",
    )  # fmt: skip
    _remember()
    st.html(BRAND / "style.css")
    st.logo(str(BRAND / "mark.svg"), size="large")
    st.title(t(f"{page}.title"), anchor=False)
    st.markdown(t(f"{page}.lead"))
    with st.sidebar:
        _navigation(page)
        chosen = st.container(border=True, key="chrome-chosen")
        _language()
        _help()
    with chosen:
        pickers.boxes()  # imports torch on a fresh server: everything above is on screen by then
        _device()
    return state.view()


def _remember() -> None:
    """Write what was chosen on other pages into the address of this one, so that it can be copied."""
    now = state.view()
    for name in state.SHARED:
        value = getattr(now, name)
        if value and st.query_params.get(name) != value:
            st.query_params[name] = value


def _navigation(page: str) -> None:
    with st.container(key="chrome-nav", gap="xxsmall"):
        for name, file in PAGES.items():
            if (ROOT / file).exists():
                st.page_link(file, label=t(f"{name}.nav"), disabled=name == page, query_params=state.carried())


def _language() -> None:
    def take() -> None:
        state.choose(lang=st.session_state["pick-lang"])

    st.session_state["pick-lang"] = words.current()
    st.segmented_control(
        t("app.language"), list(words.LANGUAGES), format_func=words.LANGUAGES.get, key="pick-lang", required=True,
        on_change=take, label_visibility="collapsed", width="stretch",
    )  # fmt: skip


def _help() -> None:
    with st.popover(t("app.help"), width="stretch"):
        st.markdown(t("app.help_text"))


def _device() -> None:
    from fusion import device

    found, _ = device.best()
    st.caption(t("app.device", device=str(found)))


