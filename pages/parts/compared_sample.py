"""One sample under two checkpoints, on the Compare page: both answers, the numbers, and each signal with its change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import Task
from fusion.words import t
from pages.parts import cache, chrome, grid, reporting, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.versus import SampleCompared
    from fusion.versus.signals import Lone


def show(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> None:
    """Which sample, then everything of it."""
    from fusion.versus.fit import task_of

    if task_of(a) is Task.REPRESENTATION:
        st.info(t("versus.unanswered"))
        return
    id = _id(a, b, dataset)
    if id is None:
        return
    key = (a.digest, b.digest, dataset.digest, id)
    found: SampleCompared = cache.made(lambda: _compared(a, b, dataset, id), "versus_sample", *key)
    reporting.compared(a, b, dataset, id)
    _answers(found)
    links(dataset, (a.name, b.name), id)
    _pictures(found, key)
    if found.apart:
        _apart(found.apart)


def _compared(a: Checkpoint, b: Checkpoint, dataset: DataSet, id: str) -> SampleCompared:
    from fusion.versus import compare_sample

    return compare_sample(a, b, dataset, id)


def _id(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> str | None:
    """The sample of the address, else the one on which they differ most, else the first."""
    from fusion import versus

    known = state.get("id")
    kept = versus.stored(a, b, dataset)
    if not known:
        known = str(kept.frame["id"].iloc[0]) if kept is not None else _first(dataset)
    st.session_state["versus_id"] = known
    st.text_input(
        t("versus.id"), key="versus_id", width=420, on_change=lambda: state.put(id=st.session_state["versus_id"])
    )
    if (dataset.kind == "triples" and known.count("|") == 2) or known in dataset.index:
        return known
    st.error(t("versus.unknown", id=plain(known, 60)))
    return None


def _first(dataset: DataSet) -> str:
    return dataset.samples[0].id if dataset.kind != "triples" and dataset.samples else ""


def links(dataset: DataSet, names: tuple[str, str], id: str | None) -> None:
    """Ways to the Inspect page with A and, where B is a checkpoint of its own, with B."""
    if id is None:
        return
    more = {"data": dataset.spec or dataset.key, "id": id}
    if dataset.kind == "triples":
        head, relation, tail = id.split("|")
        more |= {"id": head, "rel": relation, "against": tail}
    with st.container(horizontal=True, width="content"):
        chrome.link("inspect", t("versus.look.a"), **more | {"ckpt": names[0]})
        if not state.get("switch"):
            chrome.link("inspect", t("versus.look.b"), **more | {"ckpt": names[1]})


def _answers(found: SampleCompared) -> None:
    from fusion.views.speech import answered

    text, image = found.sample.text(), found.sample.image()
    with st.container(border=True, key="card_versus_answers"):
        with st.container(horizontal=True, vertical_alignment="center", key="versus_sample"):
            if image is not None:
                st.image(cache.shown(image), width=96, alt=t("versus.picture"))
            if text:
                st.markdown(f"“{plain(text, 400)}”")
        for column, letter, name, said in zip(st.columns(2), "AB", (found.a, found.b), found.said, strict=True):
            with column:
                st.caption(f"{letter}: {plain(name, 80)}")
                st.markdown(f"**{plain(answered(said), 300) if said else t('versus.silent')}**")
        truth = plain(answered(found.truth), 200)
        st.caption(t("versus.truth", truth=truth) if found.truth else t("versus.truth.none"))
        if found.same:
            st.info(t("versus.same"))


def _pictures(found: SampleCompared, key: tuple[str, ...]) -> None:
    """Numbers, heads, and the chosen signal: under A, under B, and what changed."""
    from fusion.report.versus import both, pictures_of_sample
    from fusion.views import versus

    for picture in cache.made(lambda: pictures_of_sample(found, (found.a, found.b)), "versus_numbers", *key):
        grid.show(lambda picture=picture: picture, picture.key)
    order = sorted(found.signals, key=lambda one: (one.kind in ("Embedding", "Effects"), -one.mean))
    options = {one.name: one for one in order if one.axes}
    if not options:
        st.info(t("versus.signal.none"))
        return
    now = _signal(options)
    chosen = options[now]
    choice = {"head": chosen.where[0]} if chosen.kind == "Attention" else {}
    pictures = cache.made(lambda: [both(found, now, side, **choice) for side in (0, 1)], "versus_both", *key, now)
    for column, letter, drawn in zip(st.columns(2), "ab", pictures, strict=True):
        with column:
            for picture in drawn:
                grid.show(lambda picture=picture: picture, f"versus_signal_{letter}")
    grid.show(lambda: cache.made(lambda: versus.change(chosen), "versus_change", *key, now), "versus_change")


def _signal(options: dict) -> str:  # type: ignore[type-arg]  # {name: Difference}
    """The signal to look at, the one that changed most at first; in the address as `layer`."""
    from fusion.views.speech import num, say

    known = state.get("layer")
    st.session_state["versus_signal"] = known if known in options else next(iter(options))
    st.selectbox(
        t("versus.signal"), list(options), key="versus_signal", width=420,
        format_func=lambda one: t("versus.signal.option", name=say(one), change=num(options[one].mean)),
        on_change=lambda: state.put(layer=st.session_state["versus_signal"]),
    )  # fmt: skip
    return st.session_state["versus_signal"]


def _apart(found: tuple[Lone, ...]) -> None:
    from fusion.views.speech import say

    with st.expander(t("versus.apart", count=len(found))):
        for one in found:
            st.markdown(f"- {plain(say(one.name))}: {t(f'versus.apart.{one.why}', a=one.told[0], b=one.told[1])}")
