"""What would fit a suspected pair better, and what is nearly the same as it, side by side with the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, triage_list
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.triage.partners import Duplicate, Partner, Proposals
    from pages.parts.triage_run import Opened

SHOWN = 3  # of each list
QUICK = 50_000  # rows up to which every pair is compared with all without being asked
SIDE = 96  # pixels of a picture


def show(opened: Opened, row: Mapping[str, object]) -> None:
    """Better partners first, then near duplicates; of a large run when asked for."""
    id = str(row["id"])
    key = ("triage_partners", str(opened.folder), opened.stamp, id)
    if opened.store.count > QUICK and st.session_state.get("triage_partners") != key:
        if not st.button(t("queue.partners.look"), key="triage_partners_go"):
            return
        st.session_state["triage_partners"] = key
    found, same = cache.made(lambda: _found(opened, id), *key)
    if found is not None:
        _better(opened, found)
    if same:
        st.markdown(f"**{t('queue.near')}**")
        rows = opened.store.take([one.id for one in same])
        told = {one.id: _same(one) if one.same else _highest(one) for one in same}
        _beside(opened, rows.to_dict("records"), told, "near")


def _found(opened: Opened, id: str) -> tuple[Proposals | None, list[Duplicate]]:
    from fusion.triage.partners import better, near_duplicates

    return better(opened.store, id, SHOWN), near_duplicates(opened.store, id, SHOWN)


def _same(one: Duplicate) -> str:
    """What is equal: the text, the picture, or both."""
    from fusion.views.speech import say

    names = (say("image" if name == "picture" else name) for name in one.same)
    return t("queue.near.same", what=t("views.list.plus").join(names))


def _highest(one: Duplicate) -> str:
    from fusion.views.speech import num, say

    side, value = max(one.cosines.items(), key=lambda found: found[1])
    return t("queue.near.cosine", side=say(side), value=num(value))


def _better(opened: Opened, found: Proposals) -> None:
    """Other halves that fit better than the own one, each way; a sentence where none does."""
    from fusion.views.speech import num, say

    if not found.better:
        st.caption(t("queue.better.none", fit=num(found.own.fit)))
        return
    first, second = (say(side) for side in found.sides)
    for key, own, other, partners in (
        ("right", first, second, found.right), ("left", second, first, found.left),
    ):  # fmt: skip
        better: list[Partner] = [partner for partner in partners if partner.fit > found.own.fit]
        if not better:
            continue
        st.markdown(
            t("queue.better", one=own, other=other, id=plain(better[0].id, 40), fit=num(better[0].fit),
              own=num(found.own.fit))
        )  # fmt: skip
        rows = opened.store.take([partner.id for partner in better]).to_dict("records")
        _beside(opened, rows, {one.id: t("queue.fit", value=num(one.fit)) for one in better}, key)


def _beside(opened: Opened, rows: Sequence[Mapping[str, object]], told: Mapping[str, str], key: str) -> None:
    """Small pictures with their texts, each a way to that pair."""
    for column, row in zip(st.columns(SHOWN, gap="small"), rows, strict=False):
        id = str(row["id"])
        with column, st.container(border=True, height="stretch", key=f"triage_{key}_{rows.index(row)}"):
            small = cache.thumbnail(opened.image(row, right=key == "right"), SIDE)
            if small is not None:
                st.image(small, width=SIDE, alt=t("queue.picture", id=plain(id, 60)))
            text = opened.told(row, half=key)
            if text:
                st.caption(plain(text, 90))
            st.button(told[id], key=f"triage_{key}_{id}", type="tertiary", on_click=triage_list.goto, args=(id,),
                      help=t("queue.better.go", id=plain(id, 60)))  # fmt: skip
