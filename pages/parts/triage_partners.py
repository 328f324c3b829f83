"""What would fit a suspected pair better, and what is nearly the same as it, side by side with the pair.

What stands beside the next pair is looked for while one reads, so that a key doesn't wait for it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, triage_list, triage_pair
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.triage.partners import Duplicate, Partner, Proposals
    from fusion.types import Image
    from pages.parts.triage_run import Opened

SHOWN = 3  # of each list
QUICK = 50_000  # rows up to which every pair is compared with all without being asked
SIDE = 96  # pixels of a picture
NEXT = "triage_ahead"  # of this visit: what is looked for before it is asked for
_worker = ThreadPoolExecutor(1, "triage-ahead")


@dataclass(frozen=True)
class Found:
    """What stands beside a pair, with the rows that are shown of it."""

    proposals: Proposals | None
    same: list[Duplicate]
    rows: dict[str, Mapping[str, object]]  # by id


def show(opened: Opened, row: Mapping[str, object]) -> None:
    """Better partners first, then near duplicates; of a large run when asked for."""
    id, large = str(row["id"]), opened.store.count > QUICK
    key = _key(opened, id)
    if large and st.session_state.get("triage_partners") != key:
        if not st.button(t("queue.partners.look"), key="triage_partners_go"):
            return
        st.session_state["triage_partners"] = key
    found = cache.made(lambda: _ahead(key) or find(opened, id), *key)
    if found.proposals is not None:
        _better(opened, found.proposals, found)
    if found.same:
        st.markdown(f"**{t('queue.near')}**")
        told = {one.id: _same(one) if one.same else _highest(one) for one in found.same}
        _beside(opened, found, told, "near")
    if not large:
        _look_ahead(opened, id)


def _key(opened: Opened, id: str) -> tuple[object, ...]:
    return ("triage_partners", str(opened.folder), opened.stamp, id)


def find(opened: Opened, id: str) -> Found:
    """What stands beside a pair."""
    from fusion.triage.partners import better, near_duplicates

    proposals, same = better(opened.store, id, SHOWN), near_duplicates(opened.store, id, SHOWN)
    others = [*proposals.right, *proposals.left] if proposals is not None else []
    ids = dict.fromkeys(one.id for one in (*others, *same))
    records = opened.store.take(ids).to_dict("records") if ids else []
    return Found(proposals, same, {str(row["id"]): row for row in records})


def _look_ahead(opened: Opened, id: str) -> None:
    """Look for what stands beside the next pair of the list while this one is read."""
    listing = st.session_state.get(triage_list.KEPT)
    ids = [] if listing is None else listing.ids
    after = ids[ids.index(id) + 1 :][:1] if id in ids else []
    before = st.session_state.get(NEXT)
    if after and (before is None or before[0] != _key(opened, after[0])):
        if before is not None:
            before[1].cancel()
        st.session_state[NEXT] = (_key(opened, after[0]), _worker.submit(find, opened, after[0]))


def _ahead(key: tuple[object, ...]) -> Found | None:
    """What was looked for ahead; None where it was something else."""
    known = st.session_state.get(NEXT)
    return known[1].result() if known is not None and known[0] == key and not known[1].cancelled() else None


def _same(one: Duplicate) -> str:
    """What is equal: the text, the picture, or both."""
    from fusion.views.speech import say

    names = (say("image" if name == "picture" else name) for name in one.same)
    return t("queue.near.same", what=t("views.list.plus").join(names))


def _highest(one: Duplicate) -> str:
    from fusion.views.speech import num, say

    side, value = max(one.cosines.items(), key=lambda found: found[1])
    return t("queue.near.cosine", side=say(side), value=num(value))


def _better(opened: Opened, found: Proposals, beside: Found) -> None:
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
        _beside(opened, beside, {one.id: t("queue.fit", value=num(one.fit)) for one in better}, key)


def _beside(opened: Opened, found: Found, told: Mapping[str, str], key: str) -> None:
    """Small pictures with their texts, each a way to that pair."""
    with st.container(key=f"triage_beside_{key}"):
        columns = st.columns(SHOWN, gap="small")
    for place, (column, (id, label)) in enumerate(zip(columns, told.items(), strict=False)):
        row = found.rows[id]
        with column, st.container(border=True, height="stretch", key=f"triage_{key}_{place}"):
            small = cache.thumbnail(_picture(opened, row, found, key), SIDE)
            if small is not None:
                st.image(small, width=SIDE, alt=t("queue.picture", id=plain(id, 60)))
            text = opened.told(row, half=key)
            if text:
                st.caption(plain(text, 90))
            st.button(label, key=f"triage_{key}_{id}", type="tertiary", on_click=triage_list.goto, args=(id,),
                      help=t("queue.better.go", id=plain(id, 60)))  # fmt: skip


def _picture(opened: Opened, row: Mapping[str, object], found: Found, key: str) -> Image | None:
    """The picture of a row: of linked entities of the one meant, of several streams that of the side that fits."""
    if opened.kind != "streams":
        return opened.image(row, right=key == "right")
    from fusion.types import Image

    streams = triage_pair.seen(opened, row)
    sides = found.proposals.sides[key == "right" :][:1] if found.proposals is not None and key != "near" else ()
    of = [name for name in streams if any(side == name or side.endswith(f"_{name}") for side in sides)]
    pictures = [part for name in (*of, *streams) if isinstance(part := streams[name], Image)]
    return pictures[0] if pictures else None
