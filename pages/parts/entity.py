"""Inspect for a graph checkpoint: one entity, its counterpart, and what the model did with the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import beside, cache, chrome, entity_tabs, finder, recent, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.alignment.observed import EntityObservation
    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

CELL = 124  # pixels: five numbers in a row beside the input, two on a phone


def show() -> None:
    """The input at the left, what came of it at the right."""
    dataset, checkpoint = chrome.dataset("graph"), chrome.checkpoint()
    if dataset is None or checkpoint is None:
        return
    problem = finder.from_address(dataset)
    aligned = cache.aligned(checkpoint, dataset)
    left, right = st.columns((0.28, 0.72), gap="medium")
    with left, st.container(key="input"), chrome.guard("inspect.input"):
        finder.show(dataset, aligned)
    with right:
        if problem:
            st.error(problem)
        elif not state.get("id"):
            _welcome(dataset, aligned)
        else:
            with chrome.guard("inspect.verdict"):
                _looked(checkpoint, dataset)


def _looked(checkpoint: Checkpoint, dataset: DataSet) -> None:
    id, image = state.get("id"), finder.picture()
    recomputed = bool(st.session_state.get("recomputed"))
    with st.spinner(t("entity.wait"), show_time=True):
        cache.aligner(checkpoint, dataset)
        try:
            seen = cache.looked(
                checkpoint, dataset, id, image=image, against=state.get("against"), recomputed=recomputed
            )
        except FusionError:
            if state.get("against"):  # of the same graph: the link is wrong, the entity itself can be shown
                st.button(t("entity.against.drop"), key="against_away", on_click=state.put, kwargs={"against": None})
            raise
    before = None
    if image is not None:
        before = cache.looked(checkpoint, dataset, id, against=state.get("against"), recomputed=recomputed)
    strip(seen, before)
    if before is not None:
        beside.moved(dataset, before, seen)
    recent.note("inspect", checkpoint, dataset, finder.name_of(seen.sample))
    entity_tabs.show(checkpoint, dataset, seen, "" if image is None else cache.content(image))


def _welcome(dataset: DataSet, aligned: AlignedSet | None) -> None:
    """Before an entity is chosen: what to do, and three to begin with."""
    with st.container(border=True, key="card_welcome"):
        st.markdown(f"#### {t('entity.welcome')}")
        st.markdown(t("entity.welcome.tell"))
        for column, sample in zip(st.columns(3), finder.first(dataset, aligned), strict=False):
            with column, st.container(border=True, height="stretch", key=f"first_{sample.id}"):
                image = sample.image()
                if image is not None:
                    st.image(cache.shown(image), width=128, alt=t("entity.picture.of", name=finder.name_of(sample)))
                st.markdown(f"**{plain(finder.name_of(sample), 60)}**")
                st.caption(plain(finder.title_of(dataset, sample.id), 40))
                st.button(t("home.story.open"), key=f"open_{sample.id}", on_click=finder.take, args=(sample.id,))


def strip(seen: EntityObservation, before: EntityObservation | None) -> None:
    """Five numbers, against those with the entity's own picture where another one was put in; then the notices."""
    from fusion.views.speech import num, percent, say, tell

    best = seen.candidates[0]
    lead = best.score - seen.candidates[1].score if len(seen.candidates) > 1 else float("nan")
    joint = next((c.joint for c in seen.candidates if c.id == seen.other.id), None)
    joint = float(seen.drop.value[0, 0, 1]) if joint is None else joint
    top = max(seen.weights, key=seen.weights.__getitem__)
    goal = seen.partner.id if seen.partner is not None else None
    right = sum(vote == goal for vote in seen.votes.values())
    worth = max(seen.shapley, key=lambda m: abs(seen.shapley[m]), default="")
    among = t("entity.among", count=f"{seen.among:,}")
    cells = [
        ("rank", "–" if seen.rank is None else f"{seen.rank:,}", among),
        ("joint", num(joint), t("entity.lead", value=num(lead))),
        ("listens", say(top), percent(seen.weights[top])),
        ("counts", say(worth) if worth else "–", num(seen.shapley[worth]) if worth else ""),
        ("votes", t("entity.votes.of", right=right, count=len(seen.votes)) if goal else "–", t("entity.votes.short")),
    ]
    if before is not None and before.rank is not None and seen.rank is not None:
        cells[0] = ("rank", f"{seen.rank:,}", t("entity.rank.was", rank=f"{before.rank:,}"))
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict"):
        for key, value, under in cells:
            st.metric(
                t(f"entity.verdict.{key}"), value, under or None, delta_color="off", delta_arrow="off", width=CELL,
                help=t(f"entity.verdict.{key}.help"),
            )  # fmt: skip
    for notice in seen.notices:
        st.info(tell(notice.key, notice.values))
