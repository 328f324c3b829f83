"""The reviewer: the keys of the page as a browser gives them, and the name that verdicts are kept under.

A name that was typed is remembered by the browser and stays out of the address, so that whoever gets a link judges
under a name of their own. A link that was made with a name in it may still bring one; the page then asks.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import streamlit as st
from streamlit.components.v2 import component

from fusion.words import t
from pages.parts import state
from pages.parts.chrome import plain

TURN = "triage_turn"  # how many keys were answered: the browser sends the next one when it grows
COOKIE = "fusionscope_who"
HERE = Path(__file__).parent

_hands = component(
    "fusionscope_keys", html='<span class="told" role="status"></span>', css=".told { font-size: .85rem; }",
    js=(HERE / "triage_keys.js").read_text("utf-8"),
)  # fmt: skip


def answered() -> None:
    """A key was dealt with, whatever came of it."""
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def show(*, failed: bool) -> None:
    """The part in the browser: keys wait for their pair. Drawn after the buttons, so that they know theirs."""
    who = state.get("who")
    typed = "" if who and who == state.linked("who") else COOKIE
    _hands(
        key="triage_hands", width="content",
        data={"turn": st.session_state.get(TURN, 0), "failed": failed, "who": who, "cookie": typed,
              "waiting": t("queue.waiting", count="{count}")},
    )  # fmt: skip


def recall() -> None:
    """Take the name that this browser remembers, once a visit and where no link brings another."""
    if st.session_state.get("triage_recalled"):
        return
    st.session_state["triage_recalled"] = True
    name = " ".join(unquote(st.context.cookies.get(COOKIE, "")).split())[:80]
    if name and name == state.linked("who"):
        state.own("who")
    elif name and not state.get("who"):
        state.put(who=name)


def ask() -> None:
    """Say that the name came with the link, and let it be taken or refused; verdicts are kept meanwhile."""
    who = state.get("who")
    if not who or who != state.linked("who"):
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage_linked"):
        st.markdown(t("queue.who.linked", who=plain(who, 40)), width="content")
        st.button(t("queue.who.me"), key="triage_me", type="tertiary", on_click=state.own, args=("who",))
        st.button(t("queue.who.other"), key="triage_not_me", type="tertiary", on_click=_other)


def _other() -> None:
    state.put(who=None)
    state.own("who")
    st.session_state["triage_who"] = ""
