"""What was opened last: noted by the pages, and shown on Home as links that bring it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion import kept
from fusion.words import t
from pages.parts import chrome, headings, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

LONGEST = 160  # characters kept of a sentence


def note(page: str, checkpoint: Checkpoint, dataset: DataSet, told: str = "") -> None:
    """Remember the view that is open, once for each piece of work; a picture of one's own can't be brought back.

    told: what was looked at on Inspect, where it isn't the text on the desk.
    """
    query = {"ckpt": checkpoint.name, "data": dataset.spec or dataset.key} | state.work()
    desk = state.desk()
    known = "id" in query or "story" in query
    if page == "inspect" and not told and (not known or (desk.edited and "text" not in query)):
        return
    if st.session_state.get("noted") == (page, query):
        return
    st.session_state["noted"] = (page, query)
    if page == "inspect":
        opened = kept.Opened(page, query, (told or desk.text)[:LONGEST])
    else:
        opened = kept.Opened(page, query, dataset.key, len(state.selection().ids) if "sel" in query else 0)
    kept.remember(opened)


def show() -> None:
    """The last five, newest first, or that there are none yet."""
    st.header(t("home.recent"), anchor=False)
    found = [one for one in kept.recent() if one.page in headings.PAGES]
    if not found:
        st.caption(t("home.recent.none"))
        return
    with st.container(border=True, gap="xsmall", key="card_recent"):
        for one in found:
            query = {**one.query, "lang": state.get("lang")} if state.get("lang") else dict(one.query)
            st.page_link(chrome.path_of(one.page), label=_label(one), query_params=query)


def _label(one: kept.Opened) -> str:
    """The page, and what was looked at there."""
    page = f"**{t(f'{one.page}.nav')}** · "
    if one.page == "inspect":
        return page + (f"“{plain(one.told, 90)}”" if one.told.strip() else t("home.recent.picture"))
    name = chrome.data_name(one.query.get("data", "gloss"))
    return page + (t("home.recent.selection", count=f"{one.count:,}", data=name) if one.count else name)
