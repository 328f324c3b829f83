"""What is in the list: the most suspicious, a random draw, a selection or all; by verdict, by words, by any column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import state, triage_list
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from pages.parts.triage_run import Opened

TAKES = (50, 200, 1000, 5000)
SORTED = ("FLOAT", "DOUBLE", "INTEGER", "BIGINT")  # columns that a list can be sorted by
HIDDEN = ("row", "rank", "exchanged", "picture")  # of no use to a person
MANY = 12  # characters of a value on a button


def show(opened: Opened) -> None:
    """The row of controls, and the filters that are on."""
    now = triage_list.wanted(opened)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="triage_filters"):
        chosen = state.selection()
        shows = [s for s in triage_list.SHOWS if s != "sel" or (chosen.ids and chosen.data == opened.spec)]
        _pick("show", shows, now.show, lambda one: t(f"queue.show.{one}", count=len(chosen.ids)), 165)
        if now.show == "top":
            takes = [one for one in TAKES if one < opened.store.count] or [opened.store.count]
            _pick("take", [*takes] if now.take in takes else [*takes, now.take], now.take, lambda n: f"{n:,}", 88)
        _pick("status", triage_list.STATUSES, now.status, lambda one: t(f"queue.status.{one}"), 160)
        sorts = ["suspicion", *(c for c, kind in opened.store.columns.items() if kind in SORTED and c != "suspicion"
                                and c not in HIDDEN)]  # fmt: skip
        _pick("sort", sorts, now.sort, column, 150)
        st.session_state["triage_find"] = now.find
        st.text_input(
            t("queue.find"), key="triage_find", width=130, placeholder=t("match.filter.example"),
            on_change=lambda: state.put(find=st.session_state["triage_find"].strip()[:200], pair=None),
        )  # fmt: skip
        more = st.popover(t("queue.filter"), key="triage_more", on_change="rerun")
        with more:
            if more.open:
                _more(opened)
        if opened.store.meta.get("calibration"):
            own = st.popover(t("queue.weights"), key="triage_weights", on_change="rerun")
            with own:
                if own.open:
                    _weights(opened, dict(now.weights))
    _on(now.where)
    if now.weights:
        told = (
            t("queue.weights.off")
            if now.sort == "suspicion"
            else t("queue.weights.idle", order=plain(column(now.sort)))
        )
        st.button(told, key="triage_weights_off", type="tertiary", on_click=state.put,
                  kwargs={"weights": None, "pair": None})  # fmt: skip


def _weights(opened: Opened, now: dict[str, float]) -> None:
    """A number a part: how much it weighs in an order of one's own."""
    from pages.parts import triage_pair

    told: dict[str, float] = (opened.store.meta.get("calibration") or {}).get("weights") or {}
    st.caption(t("queue.weights.tell"))
    chosen = {
        name: st.number_input(triage_pair.named(name), 0.0, 1e5, float({**told, **now}.get(name, 0.0)), 0.1,
                              key=f"triage_weight_{name}", format="%.3g")
        for name in opened.parts
    }  # fmt: skip
    st.button(
        t("queue.weights.on"), key="triage_weights_on", type="primary", on_click=state.put,
        kwargs={"weights": json.dumps(chosen, separators=(",", ":")), "sort": None, "pair": None},
    )  # fmt: skip


def _pick(name: str, options: object, now: object, said: object, width: int) -> None:
    """One choice that the address keeps as `name`."""
    key = f"triage_{name}"
    st.session_state[key] = now
    st.selectbox(
        t(f"queue.{name}"), options, key=key, format_func=said, width=width,  # type: ignore[call-overload]
        on_change=lambda: state.put(**{name: st.session_state[key], "pair": None}),
    )  # fmt: skip


def column(name: str) -> str:
    """What a reader calls a column: the suspicion, a part of it, or what the set itself calls it."""
    from pages.parts import triage_pair

    if name == "suspicion":
        return t("queue.suspicion")
    if name.startswith("part_"):
        return t("queue.part.of", name=triage_pair.named(name.removeprefix("part_")))
    return name.removeprefix("note_")


def clear() -> None:
    """Back to the most suspicious, without any filter."""
    state.put(**{**triage_list.FIRST, "take": 50})


def _more(opened: Opened) -> None:
    """One more filter: a column, then its values or its range."""
    names = [name for name in opened.store.columns if name not in HIDDEN]
    name = st.selectbox(t("queue.column"), names, index=None, key="triage_column", format_func=column, width=260)
    if name is None:
        st.caption(t("queue.column.tell"))
        return
    kind = opened.store.columns[name]
    if kind in SORTED:
        _range(opened, name, kind)
    else:
        _values(opened, name)


def _range(opened: Opened, name: str, kind: str) -> None:
    span = opened.store.span(name)
    if span is None:
        st.caption(t("queue.column.empty"))
        return
    whole = kind in ("INTEGER", "BIGINT")
    low, high = (int(one) if whole else float(one) for one in span)
    with st.container(horizontal=True, gap="small"):
        least = st.number_input(t("queue.least"), value=low, key=f"triage_low_{name}", width=130)
        most = st.number_input(t("queue.most"), value=high, key=f"triage_high_{name}", width=130)
    more = [*([(name, ">=", least)] if least > low else []), *([(name, "<=", most)] if most < high else [])]
    st.button(t("queue.add"), key="triage_add", type="primary", disabled=not more, on_click=_add, args=(opened, *more))
    if not more:
        st.caption(t("queue.add.whole"))


def _values(opened: Opened, name: str) -> None:
    found = opened.store.facets(name)
    counts = {("" if value is None else value): count for value, count in found}
    if len(found) <= 100 and (len(found) < opened.store.count or len(found) < 3):
        chosen = st.multiselect(
            t("queue.values"), list(counts), key=f"triage_values_{name}", width=320,
            format_func=lambda v: f"{plain(str(v), 40) or t('queue.nothing')} ({counts[v]:,})",
        )  # fmt: skip
        values = tuple(None if value == "" and None in dict(found) else value for value in chosen)
        st.button(t("queue.add"), key="triage_add", type="primary", disabled=not chosen, on_click=_add,
                  args=(opened, (name, "in", values)))  # fmt: skip
    words = st.text_input(t("queue.contains"), key=f"triage_words_{name}", width=320)
    st.button(t("queue.add.words"), key="triage_add_words", disabled=not words.strip(), on_click=_add,
              args=(opened, (name, "contains", words.strip())))  # fmt: skip


def _add(opened: Opened, *more: tuple[str, str, object]) -> None:
    triage_list.write((*triage_list.read(opened), *more))
    st.session_state["triage_column"] = None


def _on(where: tuple[tuple[str, str, object], ...]) -> None:
    """The filters that are on, each a button that takes it off."""
    if not where:
        return
    with st.container(horizontal=True, gap="small", key="triage_on_filters"):
        for i, one in enumerate(where):
            st.button(
                t("queue.off", filter=_said(one)), key=f"triage_off_{i}", type="tertiary",
                on_click=triage_list.write, args=(tuple(w for j, w in enumerate(where) if j != i),),
            )  # fmt: skip


def _said(one: tuple[str, str, object]) -> str:
    name, how, value = one
    if isinstance(value, tuple):
        shown = ", ".join(plain(str(v) or t("queue.nothing"), MANY) for v in value[:3]) + (
            " …" if len(value) > 3 else ""
        )
    else:
        shown = f"{value:.3g}" if isinstance(value, float) else plain(str(value), 30)
    signs = {"in": "=", "contains": "∋", ">=": "≥", "<=": "≤"}
    return f"{plain(column(name), 30)} {signs.get(how, plain(how))} {shown}"
