"""Voices that add up: what each modality said for and against every class at one word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, PATTERNS
from fusion.views.rows import rows_of
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Parts, Trace
    from fusion.types import Sample

MOST_CLASSES = 16


def bars(
    signal: Parts, sample: Sample, trace: Trace, *, word: int | None = None, step_class: int | None = None
) -> Picture | None:
    """Who spoke for this tag? Signed bars of each voice, stacked, with their sum as a mark; None without classes.

    `word` is a group number; None takes the word where the voices after the first speak loudest. `step_class` is the
    class to tell about; None takes the one with the highest sum.
    """
    if signal.mask is None:
        return None
    key, title = f"parts-{signal.name}", t("views.parts.title")
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = np.moveaxis(rows.first(np.moveaxis(base.array(signal.value), 1, 0)), 0, 1)  # (V, G, C)
    others = np.abs(values[1:2] if len(values) > 1 else values).max((0, 2))
    at = rows.place(word)
    at = int(others.argmax()) if at is None else at
    here = values[:, at].astype(np.float32)  # (V, C)
    total = here.sum(0)
    chosen = int(total.argmax()) if step_class is None else step_class
    shown = np.sort(np.argsort(-total)[:MOST_CLASSES]) if total.size > MOST_CLASSES else np.arange(total.size)
    voices = [say(v) for v in signal.voices]
    classes = [say(c) for c in signal.classes]
    sheet = _draw(key, signal, here[:, shown], [classes[c] for c in shown], voices)
    if chosen in shown:
        line = int(np.flatnonzero(shown == chosen)[0])
        sheet.frame((0, 1), (line - 0.5, line + 0.5), width=1.5)
        sheet.shapes[-1]["xref"] = "paper"
    sums = t("views.list.plus").join(f"{v} {_sign(float(here[i, chosen]))}" for i, v in enumerate(voices))
    loud = np.unravel_index(int(np.abs(here).argmax()), here.shape)
    facts = {
        "word": plain(rows.names[at]), "class": classes[chosen], "sum": sums,
        "total": num(float(total[chosen])), "name": say(signal.total), "voice": voices[loud[0]],
        "largest": num(float(here[loud])), "largest_class": classes[loud[1]],
    }  # fmt: skip
    table = pd.DataFrame(here.T, columns=distinct(voices))
    table.insert(0, t("views.axis.class"), classes)
    table[t("views.axis.sum")] = total
    note = limit_note(len(shown), len(classes))
    return Picture(
        key, title, sheet.figure(), t("views.parts.alt", **facts), table, join(t("views.parts.finding", **facts), note),
        t("views.parts.shows", name=say(signal.total)), caveat(signal, "views.hides"),
    )  # fmt: skip


def _sign(value: float) -> str:
    """A number with its sign, minus as a reader writes it."""
    return ("−" if value < 0 else "+") + num(abs(value))


def _draw(key: str, signal: Parts, here: np.ndarray, classes: list[str], voices: list[str]) -> Sheet:
    """Stacked signed bars by class, one colour and pattern a voice, an upright mark at the sum."""
    labels = distinct([clean(c, 12) for c in classes])
    sheet = Sheet(key, 96 + 26 * len(labels), top=56)
    taken = [COLOURS.get(voice) for voice in signal.voices]
    spare = iter([colour for colour in CATEGORIES if colour not in taken] * 3)
    for i, voice in enumerate(voices):
        pattern = {"shape": PATTERNS[i % len(PATTERNS)], "fgcolor": "#FFFFFF", "size": 6, "fillmode": "overlay"}
        sheet.add(
            "bar", x=here[i], y=labels, orientation="h", name=clean(voice, 24),
            marker={"color": taken[i] or next(spare), "pattern": pattern},
            hovertemplate="%{y}: %{x:+.2f}<extra>" + clean(voice, 24) + "</extra>",
        )  # fmt: skip
    sheet.add(
        "scatter", x=here.sum(0), y=labels, mode="markers", name=t("views.axis.sum"),
        marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": INK}},
        hovertemplate="%{y}: %{x:+.2f}<extra>" + t("views.axis.sum") + "</extra>",
    )  # fmt: skip
    sheet.set(
        barmode="relative", yaxis={**LINES, "showgrid": False},
        xaxis={"zeroline": True, "zerolinecolor": INK, "zerolinewidth": 1.5, "title": {"text": t("views.axis.logit")}},
    )  # fmt: skip
    return sheet
