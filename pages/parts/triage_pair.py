"""The pair that is judged: its halves, what speaks against it part by part, and what others said of it."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, stream_finder, triage_run
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Audio, Image
    from pages.parts.triage_run import Opened

ORDER = ("match", "cosine", "rank", "margin", "neighbours", "conflict", "loss", "far")  # parts with a word each
SAID = 0.5  # of a part above which it speaks against the pair
REASONS = 3  # sentences at most
OTHERWISE = ("match", "cosine", "rank", "neighbours")  # parts that other kinds of sets say in other words
SIDE = 512  # pixels of a picture at most
LONGEST = 900  # characters of a text


def show(opened: Opened, row: Mapping[str, object]) -> None:
    """The halves of a pair and why it is suspected."""
    with st.container(key="triage_halves"):
        _halves(opened, row)
    st.markdown(f"**{t('queue.why')}** {reason(opened, row)}")
    st.html(bars(opened, row))
    problem = str(row.get("problem") or "")
    if problem:
        st.warning(plain(problem, 300))


def _halves(opened: Opened, row: Mapping[str, object]) -> None:
    """Both halves of the pair, or both ends of the link."""
    streams = seen(opened, row) if opened.kind == "streams" else {}
    image, text = (None if streams else opened.image(row)), opened.told(row)
    linked = opened.kind in ("graph", "triples")
    beside = bool(streams) or image is not None
    left, right = st.columns([2, 3], gap="medium") if beside else (None, st.container())
    if left is not None:
        with left:
            if image is not None:
                _picture(image, str(row["id"]))
            _streams(streams, str(row["id"]))
    with right:
        if text:
            st.html(f'<p class="fs-sentence">{html.escape(text[:LONGEST])}</p>')
        other = opened.image(row, right=True) if linked else None
        if other is not None:
            _picture(other, str(row["id"]), 160)
        best = str(row.get("best_name") or "")
        if linked and best and best not in (row.get("partner_name"), row.get("tail_name")):
            st.markdown(t("queue.best", name=plain(best, 120)))
        if opened.kind == "pairs" and not text:
            st.caption(t("queue.no_text"))
        if opened.kind == "pairs" and image is None:
            st.caption(t("queue.no_picture"))
        notes = [(name[5:], str(value)) for name, value in row.items() if name.startswith("note_") and _there(value)]
        if notes:
            st.caption(" · ".join(f"{plain(name, 24)}: {plain(value, 60)}" for name, value in notes[:4]))
        if "said" in row and _there(row.get("target")):
            st.caption(t("queue.answered", said=plain(str(row["said"]), 60), target=plain(str(row["target"]), 60)))


def seen(opened: Opened, row: Mapping[str, object]) -> dict[str, Image | Audio]:
    """What can be seen and heard of a sample of several streams, by the names of the streams."""
    from fusion.types import Audio, Image

    dataset = triage_run.dataset_of(opened)
    sample = None if dataset is None else dataset.find(str(row["id"]))
    parts = {} if sample is None else sample.parts
    return {name: part for name, part in parts.items() if isinstance(part, (Image, Audio))}


def _streams(streams: Mapping[str, Image | Audio], id: str) -> None:
    """Pictures side by side, each under its name; recordings below them."""
    from fusion.types import Image
    from fusion.views.speech import say

    pictures = {name: part for name, part in streams.items() if isinstance(part, Image)}
    for place, (name, part) in zip(st.columns(max(len(pictures), 1), gap="small"), pictures.items(), strict=False):
        with place:
            if len(streams) > 1:
                st.caption(plain(say(name), 40))
            _picture(part, id)
    for name, sound in streams.items():
        if not isinstance(sound, Image):
            st.caption(plain(say(name), 40))
            with guard("error.picture"):
                stream_finder.seen(sound, say(name))


def _picture(image: Image, id: str, width: int | None = None) -> None:
    """A picture within the page itself: a file of the server's would be gone when a key comes before it was fetched."""
    small = cache.thumbnail(image, SIDE)
    if small is None:
        st.caption(t("queue.no_picture"))
    else:
        st.image(small, width=width or "stretch", alt=t("queue.picture", id=plain(id, 60)))


def reason(opened: Opened, row: Mapping[str, object]) -> str:
    """Why a row stands where it does, in sentences: the parts that speak against it, the loudest first."""
    found = [(name, value) for name, value in parts(opened, row) if value is not None and value >= SAID]
    if not found:
        return t("queue.reason.none")
    first = sorted(found, key=lambda one: -one[1])[:REASONS]
    return " ".join(_reason(opened, row, name) for name, _ in first)


def _reason(opened: Opened, row: Mapping[str, object], name: str) -> str:
    """What one part says; of links in other words than of texts and pictures."""
    if name in OTHERWISE and opened.kind != "pairs":
        return t(f"queue.reason.link.{name}")
    return t(f"queue.reason.{name}", value=_number(row.get(name))) if name in ORDER else named(name)


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
