"""Spaces side by side on the Fusion page: the same held-out rows raw, centred, by MCCA, by KCCA, and as learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.comparing import Compared
    from fusion.data import DataSet
    from fusion.streams.side_by_side import Space


def show(checkpoint: Checkpoint, dataset: DataSet) -> None:
    """The comparison once it is there, else the offer to make it."""
    from fusion import comparing

    st.markdown(t("beside.tell"))
    found = comparing.stored(checkpoint, dataset)
    if found is None:
        with st.container(border=True, key="card_beside_offer"):
            st.markdown(f"**{t('beside.none', name=plain(checkpoint.name, 60))}**")
            key = f"spaces-{checkpoint.digest[:16]}-{dataset.digest[:16]}"
            arguments = ["spaces", str(checkpoint.folder), "--data", dataset.spec or dataset.key, "--json"]
            work.follow(key, arguments, t("beside.before"), t("work.compute"))
        return
    pair = _pair(found)
    _picture(found, pair, (checkpoint.digest, dataset.digest))
    _notes(found)


def _pair(found: Compared) -> tuple[str, str]:
    """The two views that are looked at, kept in the address."""
    from fusion.views.speech import say

    options = list(dict.fromkeys("+".join(one["views"]) for space in found.spaces for one in space.pairs))
    now = state.get("what") if state.get("what") in options else options[0]
    if len(options) > 1:
        st.selectbox(
            t("beside.pair"), options, index=options.index(now), key="beside_pair",
            format_func=lambda one: t("beside.pair.named", names=t("views.list.plus").join(map(say, one.split("+")))),
            on_change=lambda: state.put(what=st.session_state["beside_pair"]),
        )  # fmt: skip
    first, second = now.split("+")
    return first, second


def _picture(found: Compared, pair: tuple[str, str], key: tuple[str, str]) -> None:
    from fusion.views import beside

    rows = [(space, one) for space in found.spaces for one in space.pairs if tuple(one["views"]) == pair]
    several = len({space.name for space, _ in rows if space.kind == "learned"}) > 1
    names = [beside.called(space.kind, space.name if several else "") for space, _ in rows]
    make = lambda: beside.spaces(names, [one for _, one in rows])  # noqa: E731
    grid.show(lambda: cache.made(make, "beside", *key, *pair), "beside")


def _notes(found: Compared) -> None:
    """What was fitted and how, and which spaces have no figures."""
    from fusion.views.beside import called

    lacking: dict[str, list[str]] = {}
    for space in found.spaces:
        if space.why:
            lacking.setdefault(_why(space), []).append(called(space.kind, space.name))
    for reason, names in lacking.items():
        st.info(t("beside.lacks", space=t("views.list.comma").join(names), reason=reason))
    for space in found.spaces:
        if space.facts and not space.why:
            st.caption(_fitted(space))


def _why(space: Space) -> str:
    from fusion.views.speech import say

    if space.why == "widths":
        told = (f"{say(m)} {width:,}" for m, width in space.facts["widths"].items())
        return t("beside.why.widths", widths=t("views.list.comma").join(told))
    if space.why == "rows":
        return t("beside.why.rows", count=space.facts["rows"], least=space.facts["least"])
    return plain(str(space.facts["reason"]), 400)


def _fitted(space: Space) -> str:
    from fusion.views.beside import called
    from fusion.views.speech import num

    facts = space.facts
    told = t(
        "beside.fitted", space=called(space.kind, space.name), rows=f"{facts['rows']:,}", valid=f"{facts['valid']:,}",
        c=num(facts["c"]), components=facts["components"],
    )  # fmt: skip
    if facts.get("method") == "nystrom":
        told += " " + t("beside.landmarks", count=f"{facts['stored']:,}")
    return told
