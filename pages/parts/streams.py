"""Inspect for a system that reads streams: one sample, what is answered, and what edits of it change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import chrome, editing, recent, state, stream_cache, stream_figures, stream_finder, stream_tabs
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.streams.observed import Answer, StreamObservation
    from fusion.streams.whole import StreamedSet
    from pages.parts.stream_finder import Chosen

CELL, WORD, WIDE = 116, 140, 176  # pixels of a number, of one word, and of an answer in words


def show() -> None:
    """The input at the left, what came of it at the right."""
    dataset, checkpoint = chrome.dataset("streams"), chrome.checkpoint()
    if dataset is None or checkpoint is None:
        return
    if stream_figures.unanswered(checkpoint):
        st.info(t("streams.unlabelled", name=plain(checkpoint.name, 60)))
        return
    problems = stream_finder.from_address(checkpoint, dataset)
    now = stream_finder.chosen(dataset)
    whole = stream_cache.whole(checkpoint, dataset)
    left, right = st.columns((0.28, 0.72), gap="medium")
    with left, st.container(key="input"), chrome.guard("inspect.input"):
        stream_finder.show(checkpoint, dataset, whole, now)
    with right:
        for problem in problems:
            st.error(problem)
        if now is not None:
            with chrome.guard("inspect.verdict"):
                _looked(checkpoint, dataset, now)
        elif not problems:
            _welcome(dataset, whole)


def _looked(checkpoint: Checkpoint, dataset: DataSet, now: Chosen) -> None:
    with st.spinner(t("streams.wait"), show_time=True):
        seen = stream_cache.looked(checkpoint, dataset, now.sample, now.own, state.get("edit"))
    name = t("streams.own") if now.own and not now.sample.text() else stream_finder.called(now.sample)
    st.markdown(f"##### {plain(name, 300)}")
    strip(seen)
    if not now.own or set(now.sample.parts) == {"text"}:  # a picture or recording of one's own is in no link
        recent.note("inspect", checkpoint, dataset, name)
    stream_tabs.show(checkpoint, dataset, seen, now)


def _welcome(dataset: DataSet, whole: StreamedSet | None) -> None:
    """Before a sample is chosen: what to do, and three to begin with, a badly answered one first."""
    with st.container(border=True, key="card_welcome"):
        st.markdown(f"#### {t('streams.welcome')}")
        st.markdown(t("streams.welcome.tell"))
        for at, (column, sample) in enumerate(zip(st.columns(3), stream_finder.first(dataset, whole), strict=False)):
            with column, st.container(border=True, height="stretch", key=f"first_{at}"):
                image = sample.image()
                name = plain(stream_finder.called(sample), 90)
                if image is not None:
                    with chrome.guard("inspect.input"):
                        stream_finder.seen(image, name, 128)
                st.markdown(f"**{name}**")
                st.button(t("home.story.open"), key=f"open_{at}", on_click=stream_finder.take, args=(sample.id,))


def said(answer: Answer) -> str:
    """An answer in words: the class, or the part of the scale that a score lies in, else the number."""
    from fusion.views.speech import answered, num

    return answered(answer.said) if answer.said else num(answer.strength)


def strength(answer: Answer) -> str:
    """The number behind it: the score, or the chance of the class."""
    from fusion.views.speech import num, percent

    return percent(answer.strength) if answer.score is None else num(round(answer.score, 2))


def strip(seen: StreamObservation) -> None:
    """What is answered, the truth, who counts most, how they go together; what edits changed; then the notices."""
    from fusion.views.speech import num, percent, say, signed, tell

    low, high = (num(value) for value in seen.scale)
    top = max(seen.shares, key=seen.shares.__getitem__, default="")
    under = strength(seen.answer)
    if seen.answer.score is not None:
        under = t("streams.on", value=under, low=low, high=high)
    cells = [
        ("answer", said(seen.answer), under),
        ("truth", *_truth(seen)),
        ("most", say(top) if top else "–", percent(seen.shares[top]) if top else None),
        ("badge", t(f"verdict.badge.{seen.badge}"), t(f"verdict.badge.{seen.badge}.short")),
    ]
    if seen.before is not None:
        moved = strength(seen.before)
        if seen.answer.score is not None:
            moved = signed(seen.answer.strength - seen.before.strength)
        cells.append(("before", said(seen.before), moved))
    widths = {"answer": WIDE, "before": WIDE, "most": WORD, "badge": WORD}
    widths |= {"truth": WIDE} if isinstance(seen.truth, str) else {}
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict"):
        for key, value, below in cells:
            st.metric(
                t(f"streams.verdict.{key}"), value, below, delta_color="off", delta_arrow="off",
                width=widths.get(key, CELL),
                help=t(f"streams.verdict.{key}.help"),
            )  # fmt: skip
    if seen.before is not None:
        same = said(seen.before) == said(seen.answer)
        facts = {
            "before": said(seen.before), "was": strength(seen.before), "after": said(seen.answer),
            "now": strength(seen.answer), "edits": edits_in_words(seen),
        }  # fmt: skip
        st.markdown(plain(t("streams.moved.same" if same else "streams.moved", **facts), 600))
    worth = t("views.list.comma").join(f"{say(m)} {_plus(value)}" for m, value in seen.shapley.items())
    st.caption(plain(t("streams.badge_rule", worth=worth), 900))
    for notice in seen.notices:
        values = {k: say(v) if k == "modality" and isinstance(v, str) else v for k, v in notice.values.items()}
        st.info(plain(tell(notice.key, values), 500))


def _truth(seen: StreamObservation) -> tuple[str, str | None]:
    from fusion.views.speech import num, say

    if seen.truth is None:
        return "–", t("streams.truth.none")
    if isinstance(seen.truth, str):
        return say(seen.truth), t("streams.right" if seen.truth == seen.answer.said else "streams.other")
    return num(seen.truth), t("streams.off", value=num(round(abs(seen.answer.strength - seen.truth), 2)))


def _plus(value: float) -> str:
    from fusion.views.speech import num

    return ("−" if value < 0 else "+") + num(round(abs(value), 3))


def edits_in_words(seen: StreamObservation) -> str:
    """ "sound removed, half of the text's steps dropped" """

    return t("views.list.comma").join(editing.told(edit, seen.trace_before or seen.trace) for edit in seen.edits)
