"""The first look at an inspected sample: the sentence with its names, five numbers, what to know before believing."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import current, t
from pages.parts import cache, chrome
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.inference import Observation, Span

TYPES = {"PER": "#0072B2", "LOC": "#009E73", "ORG": "#CC79A7", "MISC": "#E69F00"}
LONGEST = 600  # characters of the sentence on top


def welcome() -> None:
    """Before a sample is chosen: what to do, and three stories that fill everything in."""
    with st.container(border=True, key="card_welcome"):
        st.markdown(f"#### {t('inspect.welcome')}")
        st.markdown(t("inspect.welcome.tell"))
        from fusion.data import gallery

        for column, story in zip(st.columns(3), gallery.stories(), strict=False):
            image = story.sample().image()
            with column:
                if image is not None:
                    st.image(cache.shown(image), width="stretch", alt=t("home.story.alt", title=story.title[current()]))
                chrome.link("inspect", f"**{plain(story.title[current()])}**", story=story.id)


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

    entities, match, gate, most, badge = st.columns(5, gap="xsmall")
    names = ", ".join(sorted({span.type for span in seen.spans}))
    entities.metric(
        t("verdict.entities"),
        len(seen.spans),
        names or None,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t("verdict.entities.help"),
        height="stretch",
    )
    where = None if seen.percentile is None else t("verdict.percentile", share=percent(seen.percentile))
    sure = "" if seen.calibrated is None else t("verdict.calibrated", value=num(seen.calibrated))
    match.metric(
        t("verdict.match"),
        "–" if seen.match is None else num(seen.match),
        where,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=f"{t('verdict.match.help')} {sure}",
        height="stretch",
    )
    gate.metric(
        t("verdict.gate"),
        "–" if seen.mean_gate is None else num(seen.mean_gate),
        None if seen.mean_gate is None else t("verdict.gate.neutral"),
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t("verdict.gate.help"),
        height="stretch",
    )
    top = max(seen.shares, key=seen.shares.__getitem__, default="") if any(seen.shares.values()) else ""
    most.metric(
        t("verdict.most"),
        say(top) if top else "–",
        percent(seen.shares[top]) if top else None,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t("verdict.most.help"),
        height="stretch",
    )
    badge.metric(
        t("verdict.badge"),
        t(f"verdict.badge.{seen.badge}"),
        t(f"verdict.badge.{seen.badge}.short"),
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t("verdict.badge.help"),
        height="stretch",
    )
