"""A tour of six steps for the first visit: what there is, in the order in which one meets it; skipped with a click."""

from __future__ import annotations

import streamlit as st

from fusion import kept
from fusion.words import t
from pages.parts import chrome

STEPS = ("sample", "attention", "effect", "set", "graphs", "own")


def show() -> None:
    """The tour over the page: by itself once on a machine, then when it is asked for."""
    if not kept.seen("tour"):
        kept.mark("tour")
        _turn(0)
    if "tour" in st.session_state:
        st.dialog(t("tour.title"), on_dismiss=_end)(_step)()


def button() -> None:
    """A way to see it again."""
    st.button(t("tour.again"), key="tour_again", type="tertiary", on_click=_turn, args=(0,))


def _step() -> None:
    chrome.speak()
    at = st.session_state.get("tour", 0)
    st.caption(t("tour.at", at=at + 1, count=len(STEPS)))
    st.markdown(f"##### {t(f'tour.{STEPS[at]}')}")
    st.markdown(t(f"tour.{STEPS[at]}.tell"))
    last = at == len(STEPS) - 1
    with st.container(horizontal=True, vertical_alignment="center", key="tour_steps"):
        st.button(t("tour.back"), key="tour_back", disabled=at == 0, on_click=_turn, args=(at - 1,))
        if not last:
            st.button(t("tour.next"), key="tour_next", type="primary", on_click=_turn, args=(at + 1,))
        st.space("stretch")
        if st.button(t("tour.done" if last else "tour.skip"), key="tour_end", type="primary" if last else "tertiary"):
            _end()
            st.rerun()


def _turn(to: int) -> None:
    st.session_state["tour"] = to


def _end() -> None:
    st.session_state.pop("tour", None)
