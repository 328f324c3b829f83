"""The input of Inspect for a link predictor: a head by name or chance, a relation, an answer, a picture, a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import finder, state
from pages.parts import link_question as questions
from pages.parts.chrome import plain
from pages.parts.link_question import Question

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data import DataSet
    from fusion.links.whole import LinkSet

HELD_OUT = "test"
LONGEST = 4_000  # characters of a description


def wrong(whole: LinkSet) -> pd.DataFrame:
    """Held-out questions whose answer isn't first, those to test alone where there are any, the worst first."""
    frame = whole.frame
    found = frame[frame["rank"] > 1]
    held = found[found["split"] == HELD_OUT]
    return (held if len(held) else found).sort_values(["rank", "score"], ascending=[False, True], kind="stable")


def show(dataset: DataSet, whole: LinkSet | None, question: Question | None) -> None:
    """Choose the question, and what to put in the place of the head's own picture or text."""
    example = plain(finder.name_of(dataset.samples[0]), 30) if len(dataset) else ""
    st.text_input(
        t("links.search"), key="entity_search", placeholder=t("entity.search.example", name=example),
        help=t("links.search.help"),
    )  # fmt: skip
    finder.results(dataset, lambda sample: plain(questions.kind_of(dataset, sample), 20), take)
    worst = None if whole is None else wrong(whole)
    with st.container(horizontal=True, gap="xsmall", key="rows"):
        st.button(t("links.random"), key="random", on_click=_random, args=(dataset,))
        st.button(
            t("entity.wrong") if worst is None else t("entity.wrong.count", count=f"{len(worst):,}"), key="next_wrong",
            on_click=_wrong, args=(dataset, worst, question), disabled=worst is None or not len(worst),
            help=t("links.wrong.help"),
        )  # fmt: skip
    if question is None:
        return
    _relation(dataset, question)
    _tail(dataset, question)
    put_in = finder.picture() is not None or text(question) is not None
    with st.expander(t("links.instead"), expanded=put_in):
        finder.uploader()
        _description(dataset, question)


def take(id: str) -> None:
    """Ask about another head, by the relation that it has; what was put in for the last one is let go of."""
    state.put(id=id, rel=None, against=None)
    _clear()


def ask(dataset: DataSet, question: Question) -> None:
    """Ask another question."""
    questions.put(dataset, question)
    _clear()


def _clear() -> None:
    for name in ("entity_picture", "link_text", "link_description"):
        st.session_state.pop(name, None)


def _random(dataset: DataSet) -> None:
    found = questions.chance(dataset, np.random.default_rng())
    if found is not None:
        ask(dataset, found)


def _wrong(dataset: DataSet, worst: pd.DataFrame | None, question: Question | None) -> None:
    """The next question with a wrong answer after the one looked at, the worst one first."""
    if worst is None or not len(worst):
        return
    found = [Question(*row) for row in worst[["head", "relation", "tail"]].itertuples(index=False)]
    at = found.index(question) + 1 if question in found else 0
    ask(dataset, found[at % len(found)])


def _relation(dataset: DataSet, question: Question) -> None:
    """All relations in both directions, those that the head has first."""
    triples = questions.triples_of(dataset)
    own = questions.relations(triples, dataset.index[question.head])
    has = set(own)
    options = [*own, *(one for one in range(2 * len(triples.relations)) if one not in has)]
    st.session_state["link_relation"] = question.relation
    st.selectbox(
        t("links.relation"), options, key="link_relation", help=t("links.relation.help"),
        format_func=lambda one: ("• " if one in has else "") + questions.relation_name(triples, one),
        on_change=lambda: state.put(
            rel=questions.address(triples, st.session_state["link_relation"]), against=None
        ),
    )  # fmt: skip


def _tail(dataset: DataSet, question: Question) -> None:
    """Whom to look for among the answers, where it isn't the first known one."""
    with st.container(key="against_box"):
        if question.tail:
            st.caption(t("links.tail.now", name=plain(finder.name_of(dataset.get(question.tail)), 60)))
            st.button(t("links.tail.drop"), key="against_drop", on_click=state.put, kwargs={"against": None})
        st.text_input(
            t("links.tail"), key="against_id", on_change=_typed, args=(dataset,), placeholder=t("links.tail.tell"),
            help=t("links.tail.help"),
        )  # fmt: skip
    if problem := st.session_state.pop("against_problem", ""):
        st.error(problem)


def _typed(dataset: DataSet) -> None:
    """Take the entity that fits best what was typed."""
    typed = (st.session_state.get("against_id") or "").strip()
    if not typed:
        return
    rows = finder.search(dataset, typed)
    if rows:
        state.put(against=dataset.samples[rows[0]].id)
        st.session_state["against_id"] = ""
    else:
        told = t("entity.search.none", words=plain(typed, 60)) + questions.near(dataset, typed)
        st.session_state["against_problem"] = told


def _description(dataset: DataSet, question: Question) -> None:
    """A text in the place of what the head is called and described as; it stays on this machine and in no link."""
    kept = text(question)
    if "link_description" not in st.session_state:
        st.session_state["link_description"] = kept or ""
    st.text_area(
        t("links.text"), key="link_description", height=80, max_chars=LONGEST, placeholder=_own(dataset, question),
        on_change=lambda: st.session_state.update(
            link_text=(question.head, st.session_state["link_description"].strip())
        ),
        help=t("links.text.help"),
    )  # fmt: skip
    if kept is not None:
        st.button(t("links.text.back"), key="remove_text", type="tertiary", on_click=_own_text)


def _own(dataset: DataSet, question: Question) -> str:
    """What is read of the head without another text."""
    parts = dataset.get(question.head).parts
    said = [getattr(parts.get(name), "raw", "") for name in ("name", "description")]
    return ". ".join(one for one in said if one)[:300]


def _own_text() -> None:
    for name in ("link_text", "link_description"):
        st.session_state.pop(name, None)


def text(question: Question) -> str | None:
    """The text put in for the head that is looked at, None for its own."""
    kept = st.session_state.get("link_text")
    return kept[1] if kept is not None and kept[0] == question.head and kept[1] else None
