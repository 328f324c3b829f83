"""Voices that add up: what each modality said for and against every class at one word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fusion.views import base
from fusion.views.base import Picture
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Parts, Trace
    from fusion.types import Sample

MOST_CLASSES = 16


def bars(
    signal: Parts, sample: Sample, trace: Trace, *, word: int | None = None, step_class: int | None = None
) -> Picture:
    """Who spoke for this tag? Signed bars of each voice, stacked, with their sum as a mark.

    `word` is a group number; None takes the word where the voices after the first speak loudest. `step_class` is the
    class to tell about; None takes the one with the highest sum.
    """
    key, title = f"parts-{signal.name}", t("views.parts.title")
    rows = base.rows_of(trace, signal.steps, base.flags(signal.mask))
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
    voices = [base.say(v) for v in signal.voices]
    classes = [base.say(c) for c in signal.classes]
    figure = _draw(key, signal, here[:, shown], [classes[c] for c in shown], voices)
    if chosen in shown:
        line = int(np.flatnonzero(shown == chosen)[0])
        figure.add_hrect(
            y0=line - 0.5, y1=line + 0.5, line={"color": base.INK, "width": 1.5, "dash": "dot"},
            fillcolor="rgba(0,0,0,0)",
        )  # fmt: skip
    sums = t("views.list.plus").join(f"{v} {_sign(float(here[i, chosen]))}" for i, v in enumerate(voices))
    loud = np.unravel_index(int(np.abs(here).argmax()), here.shape)
    facts = {
        "word": base.plain(rows.names[at]), "class": classes[chosen], "sum": sums,
        "total": base.num(float(total[chosen])), "name": base.say(signal.total), "voice": voices[loud[0]],
        "largest": base.num(float(here[loud])), "largest_class": classes[loud[1]],
    }  # fmt: skip
    table = pd.DataFrame(here.T, columns=base.distinct(voices))
    table.insert(0, t("views.axis.class"), classes)
    table[t("views.axis.sum")] = total
    note = base.limit_note(len(shown), len(classes))
    return Picture(
        key, title, figure, t("views.parts.alt", **facts), table, base.join(t("views.parts.finding", **facts), note),
        t("views.parts.shows", name=base.say(signal.total)), base.caveat(signal, "views.hides"),
    )  # fmt: skip


def _sign(value: float) -> str:
    """A number with its sign, minus as a reader writes it."""
    return ("−" if value < 0 else "+") + base.num(abs(value))


def _draw(key: str, signal: Parts, here: np.ndarray, classes: list[str], voices: list[str]) -> go.Figure:
    """Stacked signed bars by class, one colour and pattern a voice, a diamond at the sum."""
    labels = base.distinct([base.clean(c, 12) for c in classes])
    figure = base.canvas(key, 96 + 26 * len(labels), top=56)
    taken = [base.COLOURS.get(v) for v in signal.voices]
    spare = iter([c for c in base.CATEGORIES if c not in taken] * 3)
    for i, voice in enumerate(voices):
        figure.add_trace(
            go.Bar(
                x=here[i], y=labels, orientation="h", name=voice,
                marker={"color": taken[i] or next(spare),
                        "pattern": {"shape": base.PATTERNS[i % len(base.PATTERNS)], "fgcolor": "#FFFFFF", "size": 6,
                                    "fillmode": "overlay"}},
                hovertemplate="%{y}: %{x:+.2f}<extra>" + base.clean(voice, 24) + "</extra>",
            )
        )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=here.sum(0), y=labels, mode="markers", name=t("views.axis.sum"),
            marker={"symbol": "line-ns", "size": 18, "line": {"width": 3, "color": base.INK}},
            hovertemplate="%{y}: %{x:+.2f}<extra>" + t("views.axis.sum") + "</extra>",
        )
    )  # fmt: skip
    figure.update_layout(barmode="relative")
    figure.update_xaxes(zeroline=True, zerolinecolor=base.INK, zerolinewidth=1.5, title={"text": t("views.axis.logit")})
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickmode="linear", dtick=1)
    return figure
