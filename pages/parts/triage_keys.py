"""What a key does: one verdict and on to the next row, one back, or into Inspect. Each key is a button, too.

A verdict is on the disk before the page answers; nothing else is written and no row is asked for. A note without a
verdict is a draft: of one reviewer, one run and one row, and for this visit alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion import kept
from fusion.files import digest
from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, state, triage_hands, triage_list, using
from pages.parts.chrome import plain
from pages.parts.triage_list import TAGGED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pages.parts.triage_run import Opened

KEYS = dict(zip(TAGGED, "1234", strict=True))
FAILED = "triage_failed"  # why the last verdict was not kept
DRAFTS = "triage_drafts"  # notes that no verdict took along yet, by their boxes


def show(opened: Opened, row: Mapping[str, object]) -> None:
    """The buttons with their keys."""
    id, who = str(row["id"]), state.get("who")
    mine = opened.decided().get(id, {}).get(who, "")
    failed = st.session_state.pop(FAILED, "")
    if failed:
        st.error(plain(failed, 400))
    triage_hands.ask()
    with st.container(horizontal=True, gap="small", key="triage_verdicts"):
        for verdict, key in KEYS.items():
            st.button(
                t(f"queue.verdict.{verdict}"), key=f"triage_{verdict}", shortcut=key, help=t(f"queue.{verdict}.help"),
                type="primary" if mine == verdict else "secondary", on_click=decide, args=(opened, id, verdict),
            )  # fmt: skip
        st.button(t("queue.undo"), key="triage_undo", shortcut="U", on_click=undo, args=(opened,),
                  help=t("queue.undo.help"))  # fmt: skip
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="triage_moves"):
        st.button(t("chrome.previous"), key="triage_back", shortcut="K", on_click=move, args=(opened, -1))
        st.button(t("chrome.next"), key="triage_on", shortcut="J", on_click=move, args=(opened, 1))
        if st.button(t("queue.inspect"), key="triage_inspect", shortcut="Enter", disabled=not opens(opened)):
            inspect(opened, row)
        triage_hands.show(failed=bool(failed))


def box(opened: Opened, id: str, who: str) -> str:
    """The key of the box for a note: another for each reviewer, run and row."""
    return f"triage_note_{digest(opened.token, who, id)[:12]}"


def note(opened: Opened, row: Mapping[str, object]) -> None:
    """A place for a few words, kept with the verdict."""
    id, who = str(row["id"]), state.get("who")
    key, before = box(opened, id, who), _note(opened, id, who)
    if key not in st.session_state:
        st.session_state[key] = _drafts().get(key, before)
    st.text_input(
        t("queue.note"), key=key, max_chars=2000, placeholder=t("queue.note.none"), on_change=_noted,
        args=(opened, id, who), help=t("queue.note.help"),
    )  # fmt: skip
    if _drafts().get(key, before) != before:
        st.caption(t("queue.note.draft"))


def move(opened: Opened, by: int) -> None:
    """Look at the row so many further on."""
    triage_hands.answered()
    triage_list.step(opened, by)


def decide(opened: Opened, id: str, verdict: str) -> None:
    """Keep a verdict of this reviewer and go on."""
    triage_hands.answered()
    if _put(opened, id, verdict):
        triage_list.step(opened, 1)


def _put(opened: Opened, id: str, verdict: str) -> bool:
    """Keep a verdict with what stands in the box. -> whether it is kept; if not, the page says why"""
    who = state.get("who")
    key = box(opened, id, who)
    note = st.session_state.get(key, _drafts().get(key, "")).strip()
    try:
        opened.verdicts(who).put(id, verdict, note)
    except FusionError as error:  # said on the page, and the row stays
        st.session_state[FAILED] = str(error)
        return False
    _drafts().pop(key, None)
    return True


def undo(opened: Opened) -> None:
    """Take back this reviewer's last verdict, and look at that row again."""
    triage_hands.answered()
    try:
        id = opened.verdicts(state.get("who")).undo()
    except FusionError as error:
        st.session_state[FAILED] = str(error)
        return
    if id is None:
        st.session_state[FAILED] = t("queue.undo.none")
    else:
        triage_list.goto(id)


def _noted(opened: Opened, id: str, who: str) -> None:
    """A note to a verdict that stands already is kept with it at once; without one, it goes along with the next."""
    key = box(opened, id, who)
    _drafts()[key] = st.session_state[key]
    mine = opened.decided().get(id, {}).get(who, "")
    if mine and st.session_state[key].strip() != _note(opened, id, who):  # a box that is on its way out says it again
        _put(opened, id, mine)


def _drafts() -> dict[str, str]:
    return st.session_state.setdefault(DRAFTS, {})


def _note(opened: Opened, id: str, who: str) -> str:
    """The note of this reviewer's last verdict that holds."""
    if who not in opened.decided().get(id, {}):
        return ""
    found = [one for one in opened.verdicts().of(id) if one.reviewer == who and not one.undone and not one.undoes]
    return found[-1].note if found else ""


def opens(opened: Opened) -> bool:
    """Whether other pages can show the rows of this run: a checkpoint that is still there looked at them."""
    return bool(opened.checkpoint) and any(one.name == opened.checkpoint for one in cache.checkpoints())


def use(opened: Opened) -> None:
    """Use the data set of a run, and the checkpoint that looked at it."""
    if not using.trusted(opened.spec):
        kept.allow(opened.spec)  # a run of this machine's user
    state.put(**{**using.OTHER, "ckpt": opened.checkpoint, "data": opened.spec})


def on_map(opened: Opened, key: str) -> None:
    """A button that opens the map with the verdicts on it, where a checkpoint can draw one."""
    if opens(opened) and st.button(t("queue.map"), key=key, type="tertiary", help=t("queue.map.help")):
        use(opened)
        chrome.go("map", colour="verdict", queue=opened.token)


def inspect(opened: Opened, row: Mapping[str, object]) -> None:
    """Open Inspect with the row, under the checkpoint that looked at it."""
    use(opened)
    if opened.kind == "triples":
        relation = f"{'~' if row['reversed'] else ''}{row['relation_name']}"  # a question that is asked backwards
        chrome.go("inspect", id=str(row["head"]), rel=relation, against=str(row["tail"]))
    elif opened.kind == "graph":
        chrome.go("inspect", id=str(row["id"]), against=str(row["partner"]))
    else:
        chrome.go("inspect", id=str(row["id"]))
