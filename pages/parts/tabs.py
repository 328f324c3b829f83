"""Lazy tabs of a page: only the open one draws, and the address names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator


def opened(page: str, keys: Sequence[str]) -> tuple[str, DeltaGenerator]:
    """Draw the tabs of a page, named `<page>.tab.<key>` in the words. -> the open one's key and the place to draw in"""
    names = {key: t(f"{page}.tab.{key}") for key in keys}
    widget = f"{page}_tabs"
    asked = state.get("tab") if state.get("tab") in names else keys[0]
    if st.session_state.get(widget) not in names.values():  # the first look, or another language since the last
        st.session_state[widget] = names[asked]
    places = st.tabs(list(names.values()), key=widget, on_change="rerun")
    for key, place in zip(names, places, strict=True):
        if place.open:
            state.put(tab=key if key != keys[0] else None)
            return key, place
    return keys[0], places[0]  # a test without a browser has no open tab
