"""The pair that is judged: its halves, what speaks against it part by part, and what others said of it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pages.parts.triage_run import Opened

ORDER = ("match", "cosine", "rank", "margin", "neighbours", "conflict", "loss", "far")  # parts with a word each
SAID = 0.5  # of a part above which it speaks against the pair
REASONS = 3  # sentences at most
NAMES = ("name", "partner_name", "best_name", "head_name", "relation", "tail_name", "head", "tail", "partner")
LONGEST = 900  # characters of a text


def show(opened: Opened, row: Mapping[str, object]) -> None:
    """The halves of a pair and why it is suspected."""
    _halves(opened, row)
    st.markdown(f"**{t('queue.why')}** {reason(opened, row)}")
    st.html(bars(opened, row))
    problem = str(row.get("problem") or "")
    if problem:
        st.warning(plain(problem, 300))


def _halves(opened: Opened, row: Mapping[str, object]) -> None:
    image, text = opened.image(row), str(row.get("text") or "")
    left, right = st.columns([2, 3], gap="medium") if image is not None else (None, st.container())
    if left is not None and image is not None:
        with left:
            try:
                st.image(cache.shown(image), width="stretch", alt=t("queue.picture", id=plain(str(row["id"]), 60)))
            except FusionError as error:
                st.warning(plain(str(error), 200))
    with right:
        if text:
            st.html(f'<p class="fs-sentence">{html.escape(text[:LONGEST])}</p>')
        elif opened.kind == "pairs":
            st.caption(t("queue.no_text"))
        if image is None and opened.kind == "pairs":
            st.caption(t("queue.no_picture"))
        named = [(name, str(row[name])) for name in NAMES if row.get(name) not in (None, "")]
        for name, value in named if opened.kind != "pairs" else ():
            st.markdown(f"{plain(name)}: **{plain(value, 120)}**")
        notes = [(name[5:], str(value)) for name, value in row.items() if name.startswith("note_") and _there(value)]
        if notes:
            st.caption(" · ".join(f"{plain(name, 24)}: {plain(value, 60)}" for name, value in notes[:4]))


def reason(opened: Opened, row: Mapping[str, object]) -> str:
    """Why a row stands where it does, in sentences: the parts that speak against it, the loudest first."""
    found = [(name, value) for name, value in parts(opened, row) if value is not None and value >= SAID]
    if not found:
        return t("queue.reason.none")
    values = {"match": _number(row.get("match")), "cosine": _number(row.get("cosine"))}
    first = sorted(found, key=lambda one: -one[1])[:REASONS]
    return " ".join(t(f"queue.reason.{name}", value=values.get(name, _number(value))) for name, value in first)


def parts(opened: Opened, row: Mapping[str, object]) -> list[tuple[str, float | None]]:
    """Each part that the run has, and its value in 0..1, None where the row has none."""
    known = [name for name in ORDER if name in opened.parts] + [name for name in opened.parts if name not in ORDER]
    return [(name, _float(row.get(f"part_{name}"))) for name in known]


def bars(opened: Opened, row: Mapping[str, object]) -> str:
    """The suspicion and its parts as bars from 0 to 1, each with its number: HTML that says the same without sight."""
    lines = [_bar(t("queue.suspicion"), _float(row.get("suspicion")), "whole")]
    lines += [_bar(named(name), value, "") for name, value in parts(opened, row)]
    return f'<div class="fs-parts" role="list">{"".join(lines)}</div>'


def _bar(name: str, value: float | None, kind: str) -> str:
    told = "–" if value is None else _number(value)
    width = 0 if value is None else round(100 * min(max(value, 0.0), 1.0), 1)
    return (
        f'<div role="listitem" class="{kind}"><span>{html.escape(name)}</span>'
        f'<i aria-hidden="true"><b style="width:{width}%"></b></i><span>{told}</span></div>'
    )


def named(part: str) -> str:
    """What a reader calls a part."""
    return t(f"queue.part.{part}") if part in ORDER else part


def opinions(opened: Opened, id: str, who: str) -> None:
    """What other reviewers said of it, and whether they differ."""
    said = dict(opened.decided().get(id, {}))
    others = {name: verdict for name, verdict in said.items() if name != who}
    if others:
        told = t("views.list.comma").join(
            t("queue.said", who=plain(name, 40) or t("queue.nobody"), verdict=t(f"queue.verdict.{verdict}"))
            for name, verdict in others.items()
        )
        differ = len(set(said.values())) > 1
        (st.warning if differ else st.caption)(t("queue.differ", told=told) if differ else told)


def history(opened: Opened, id: str) -> None:
    """Everything that was ever said of it, on demand."""
    events = opened.verdicts().of(id)
    if not events:
        return
    with st.expander(t("queue.history", count=len(events)), key="triage_history"):
        for one in events:
            who, time = plain(one.reviewer, 40) or t("queue.nobody"), one.time[:19].replace("T", " ")
            said = t("queue.undone") if one.undoes else t(f"queue.verdict.{one.verdict}")
            note = f" — {plain(one.note, 300)}" if one.note else ""
            line = f"{time} UTC · {who} · "
            st.markdown(f"~~{line}{said}~~" if one.undone else f"{line}**{said}**{note}")


def _there(value: object) -> bool:
    return value is not None and str(value).strip() not in ("", "nan", "None")


def _float(value: object) -> float | None:
    if value is None:
        return None
    number = float(value)  # type: ignore[arg-type]  # a number of the table
    return number if np.isfinite(number) else None


def _number(value: object) -> str:
    from fusion.views.speech import num

    number = _float(value)
    return "–" if number is None else num(round(number, 3))
