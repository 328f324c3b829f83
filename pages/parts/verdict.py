"""The first look at an inspected sample: the sentence with its names, five numbers, what to know before believing."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import current, t
from pages.parts import cache, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.inference import Observation, Span

TYPES = {"PER": "#0072B2", "LOC": "#009E73", "ORG": "#CC79A7", "MISC": "#E69F00"}
CELL = 124  # pixels: five in a row beside the input, two on a phone
LONGEST = 600  # characters of the sentence on top


def welcome() -> None:
    """Before a sample is chosen: what to do, and three stories that fill everything in."""
    with st.container(border=True, key="card_welcome"):
        st.markdown(f"#### {t('inspect.welcome')}")
        st.markdown(t("inspect.welcome.tell"))
        from fusion.data import gallery

        for column, story in zip(st.columns(3), gallery.stories(), strict=False):
            title, image = story.title[current()], story.sample().image()
            with column, st.container(border=True, height="stretch", key=f"story_{story.id}"):
                if image is not None:
                    st.image(cache.shown(image), width="stretch", alt=t("home.story.alt", title=title))
                st.markdown(f"**{plain(title)}**")
                st.button(t("home.story.open"), key=f"open_{story.id}", on_click=state.put, kwargs={"story": story.id})


def strip(seen: Observation) -> None:
    """The sentence, five numbers, notices."""
    notices = {notice.key: notice for notice in seen.notices}
    if "notice.unknown" in notices:  # no score without this warning before it
        notice = notices.pop("notice.unknown")
        st.warning(t(notice.key, **notice.values))
    if seen.sample.text().strip():
        _sentence(seen.sample.text(), seen.spans)
    _metrics(seen)
    for key, notice in notices.items():
        (st.warning if key.startswith("notice.far") else st.info)(t(key, **notice.values))


def _sentence(text: str, spans: tuple[Span, ...]) -> None:
    """The text with its entities marked; every letter of it is escaped."""
    pieces, at = [], 0
    shown = text[:LONGEST]
    for span in spans:
        if span.start < at or span.end > len(shown):
            continue
        colour = TYPES.get(span.type, "#7A7A7A")
        pieces.append(_safe(shown[at : span.start]))
        kind = _safe(t(f"type.{span.type}") if span.type in TYPES else span.type)
        sure = f"<small>{kind} {span.probability:.0%}</small>"
        pieces.append(f'<mark style="--c:{colour}">{_safe(shown[span.start : span.end])}{sure}</mark>')
        at = span.end
    pieces.append(_safe(shown[at:]) + ("…" if len(text) > LONGEST else ""))
    st.html(f'<p class="fs-sentence" dir="auto">{"".join(pieces)}</p>')


def _safe(text: str) -> str:
    kept = "".join(c if c.isprintable() and not "\ud800" <= c <= "\udfff" else " " for c in text)
    return html.escape(kept)


def _metrics(seen: Observation) -> None:
    from fusion.views.speech import num, percent, say

    names = ", ".join(sorted({span.type for span in seen.spans}))
    where = None if seen.percentile is None else t("verdict.percentile", share=percent(seen.percentile))
    sure = "" if seen.calibrated is None else t("verdict.calibrated", value=num(seen.calibrated))
    top = max(seen.shares, key=seen.shares.__getitem__, default="") if any(seen.shares.values()) else ""
    gate, match = ("–" if value is None else num(value) for value in (seen.mean_gate, seen.match))
    neutral = None if seen.mean_gate is None else t("verdict.gate.neutral")
    share = percent(seen.shares[top]) if top else None
    together = t(f"verdict.badge.{seen.badge}"), t(f"verdict.badge.{seen.badge}.short")
    cells = (
        ("verdict.entities", str(len(seen.spans)), names or None, t("verdict.entities.help")),
        ("verdict.match", match, where, f"{t('verdict.match.help')} {sure}"),
        ("verdict.gate", gate, neutral, t("verdict.gate.help")),
        ("verdict.most", say(top) if top else "–", share, t("verdict.most.help")),
        ("verdict.badge", *together, t("verdict.badge.help")),
    )
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict"):
        for key, value, under, told in cells:
            st.metric(t(key), value, under, delta_color="off", delta_arrow="off", help=told, width=CELL)
