"""Inspect for a link predictor: one question, its answer, and what each branch made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.links.lines import read_of
from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, finder, link_cache, link_finder, link_tabs, recent, state
from pages.parts import link_question as questions
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.observed import LinkObservation
    from fusion.links.whole import LinkSet
    from pages.parts.link_question import Question

CELL = 124  # pixels: five numbers in a row beside the input, two on a phone


def show() -> None:
    """The input at the left, what came of it at the right."""
    dataset, checkpoint = chrome.dataset("triples"), chrome.checkpoint()
    if dataset is None or checkpoint is None:
        return
    problems = questions.from_address(dataset)
    question = questions.asked(dataset)
    whole = link_cache.whole(checkpoint, dataset)
    left, right = st.columns((0.28, 0.72), gap="medium")
    with left, st.container(key="input"), chrome.guard("inspect.input"):
        link_finder.show(dataset, whole, question)
    with right:
        for problem in problems:
            st.error(problem)
        if question is not None:
            with chrome.guard("inspect.verdict"):
                _looked(checkpoint, dataset, question)
        elif not problems:
            _welcome(dataset, whole)


def _looked(checkpoint: Checkpoint, dataset: DataSet, question: Question) -> None:
    image, text = finder.picture(), link_finder.text(question)
    ask = lambda **own: link_cache.looked(  # noqa: E731
        checkpoint, dataset, question.head, question.relation, question.tail, **own
    )
    with st.spinner(t("entity.wait"), show_time=True):
        link_cache.predictor(checkpoint, dataset)
        try:
            seen = ask(image=image, text=text)
        except FusionError:
            if question.tail:  # the link may name an answer that can't be asked about
                st.button(t("links.tail.drop"), key="against_away", on_click=state.put, kwargs={"against": None})
            raise
    before = ask() if image is not None or text is not None else None
    triples = questions.triples_of(dataset)
    asked = questions.said(triples, finder.name_of(seen.head), seen.relation)
    st.markdown(f"##### {plain(asked, 200)}")
    strip(dataset, seen, before)
    if before is not None:
        moved(dataset, before, seen)
    recent.note("inspect", checkpoint, dataset, asked)
    own = "" if image is None else cache.content(image)
    link_tabs.show(checkpoint, dataset, seen, own, text)


def _welcome(dataset: DataSet, whole: LinkSet | None) -> None:
    """Before a question is asked: what to do, and three to begin with, a wrongly answered one first."""
    found = questions.first(dataset)
    if whole is not None and len(worst := link_finder.wrong(whole)):
        row = worst.iloc[0]
        wrong = questions.Question(str(row["head"]), int(row["relation"]), str(row["tail"]))
        found = [wrong, *(one for one in found if one != wrong)][:3]
    triples = questions.triples_of(dataset)
    with st.container(border=True, key="card_welcome"):
        st.markdown(f"#### {t('links.welcome')}")
        st.markdown(t("links.welcome.tell"))
        for at, (column, question) in enumerate(zip(st.columns(3), found, strict=False)):
            with column, st.container(border=True, height="stretch", key=f"first_{at}"):
                sample = dataset.get(question.head)
                name, image = finder.name_of(sample), sample.image()
                if image is not None:
                    st.image(cache.shown(image), width=128, alt=t("entity.picture.of", name=name))
                st.markdown(f"**{plain(questions.said(triples, name, question.relation), 90)}**")
                st.button(t("home.story.open"), key=f"open_{at}", on_click=link_finder.ask, args=(dataset, question))


def strip(dataset: DataSet, seen: LinkObservation, before: LinkObservation | None) -> None:
    """Five numbers, a sentence on who put the answer where, then the notices."""
    from fusion.views.speech import num, percent, say, tell

    first = seen.candidates[0]
    ranks = {branch: seen.rank_by[branch] for branch in read_of(seen.decision) if branch in seen.rank_by}
    best = min(ranks, key=ranks.__getitem__, default="")
    top = max(seen.decision, key=seen.decision.__getitem__)
    among = t("entity.among", count=f"{seen.among:,}")
    if before is not None and before.rank is not None:
        among = t("entity.rank.was", rank=f"{before.rank:,}")
    voted = sum(vote == first.id for vote in seen.votes.values())
    cells = [
        ("rank", "–" if seen.rank is None else f"{seen.rank:,}", among),
        ("answer", finder.name_of(dataset.get(first.id)), t("links.chance", value=num(first.score))),
        ("best", say(best) if best else "–", t("links.place", rank=f"{seen.rank_by[best]:,}") if best else None),
        ("agree", t("entity.votes.of", right=voted, count=len(seen.votes)), t("links.agree.short")),
        ("listens", say(top), percent(seen.decision[top])),
    ]
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict"):
        for key, value, under in cells:
            st.metric(
                t(f"links.verdict.{key}"), value, under, delta_color="off", delta_arrow="off", width=CELL,
                help=t(f"links.verdict.{key}.help"),
            )  # fmt: skip
    st.markdown(plain(_sentence(dataset, seen), 600))
    for notice in seen.notices:
        st.info(tell(notice.key, notice.values))


def _sentence(dataset: DataSet, seen: LinkObservation) -> str:
    """What was looked for, and who helped or hindered."""
    from fusion.views.speech import join, say

    if seen.tail is None or seen.rank is None:
        return t("links.sentence.open", first=finder.name_of(dataset.get(seen.candidates[0].id)))
    listed = lambda names: t("views.list.comma").join(  # noqa: E731
        t("views.pulled.one", name=say(one), rank=f"{seen.rank_by[one]:,}") for one in names
    )
    read = set(read_of(seen.decision))
    raised, lowered = ([one for one in names if one in read] for names in (seen.raised, seen.lowered))
    where = t(f"links.split.{seen.split or 'none'}")
    return join(
        t("links.sentence.says", first=finder.name_of(dataset.get(seen.candidates[0].id))),
        t("links.sentence", tail=finder.name_of(seen.tail), where=where),
        t("links.sentence.raised", names=listed(raised)) if raised else "",
        t("links.sentence.lowered", names=listed(lowered)) if lowered else "",
    )


def moved(dataset: DataSet, before: LinkObservation, after: LinkObservation) -> None:
    """What another picture or text changed, a row a number; the answer asked about stays the same."""
    import pandas as pd

    from fusion.views.speech import num, say, signed
    from pages.parts import grid

    chance = lambda seen: next((c.score for c in seen.candidates if c.id == seen.told.id), None)  # noqa: E731
    rows: list[tuple[str, float | None, float | None]] = []
    if before.told.id == after.told.id:
        rows = [(t("links.moved.rank"), before.rank, after.rank)]
        rows += [(t("links.moved.chance"), chance(before), chance(after))]
        rows += [
            (t("links.moved.rank_by", name=say(one)), rank, after.rank_by.get(one))
            for one, rank in before.rank_by.items()
        ]  # fmt: skip
    was, now = (plain(finder.name_of(dataset.get(one.candidates[0].id)), 60) for one in (before, after))
    said = lambda value: "–" if value is None else num(value)  # noqa: E731
    table = pd.DataFrame({
        t("entity.moved.what"): [name for name, _, _ in rows],
        t("entity.moved.before"): [said(a) for _, a, _ in rows],
        t("entity.moved.after"): [said(b) for _, _, b in rows],
        t("entity.moved.change"): ["–" if a is None or b is None else signed(b - a) for _, a, b in rows],
    })  # fmt: skip
    with st.container(border=True, key="card_moved"):
        st.markdown(f"##### {t('links.moved')}")
        st.markdown(t("entity.moved.same" if was == now else "entity.moved.first", before=was, after=now))
        if len(table):
            st.dataframe(table, hide_index=True, key="moved", alt=t("entity.moved.alt", count=len(table)))
            grid.download(table, "moved", "csv_moved")
