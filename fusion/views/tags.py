"""Tagging: the probability of each class at each word, and the learned scores of going from class to class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CHOSEN, DIVERGING, SEQUENTIAL, scale
from fusion.views.rows import rows_of
from fusion.views.sheet import bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Marginals, Trace, Transitions
    from fusion.types import Sample

SEEN = 0.01  # a class that no word gives this much probability is left out of the figure, not of the table


def marginals(
    signal: Marginals, sample: Sample, trace: Trace, *, path: Sequence[int] | None = None, word: int | None = None
) -> Picture:
    """How sure is the tag of each word? Words against classes; squares mark the sequence that was decoded.

    `path` (T) holds the decoded class of each step, -1 beyond the sequence. A word shows the row of its first piece,
    which is the one that carries its tag.
    """
    key, title = f"marginals-{signal.name}", t("views.marginals.title")
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = rows.first(base.array(signal.value))  # (G, C)
    classes = np.flatnonzero(values.max(0) >= min(SEEN, float(values.max())))
    shown = rows.head(base.MOST_ROWS)
    names = distinct([clean(say(signal.classes[c]), 12) for c in classes])
    labels = shown.labels()
    legend = t("views.axis.probability")
    if path is not None:
        legend += f' &nbsp; <span style="color:#D55E00">□</span> {t("views.marginals.path")}'
    sheet = heat(key, len(shown), longest=max(map(len, names)))
    sheet.add(
        "heatmap", z=values[: len(shown)][:, classes].astype(np.float32), x=names, y=labels, zmin=0, zmax=1, xgap=1,
        ygap=1, colorscale=scale(SEQUENTIAL), colorbar=bar(legend), hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    decoded = None if path is None else rows.first(np.asarray(path, np.int64))
    if decoded is not None:
        where = {int(c): i for i, c in enumerate(classes)}
        at = [(names[where[int(c)]], labels[g]) for g, c in enumerate(decoded[: len(shown)]) if int(c) in where]
        sheet.add(
            "scatter", x=[x for x, _ in at], y=[y for _, y in at], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "square-open", "size": 17, "color": CHOSEN, "line": {"width": 2.5}},
        )  # fmt: skip
    if (line := shown.place(word)) is not None:
        sheet.frame((-0.5, len(names) - 0.5), (line - 0.5, line + 0.5))
    sheet.set(xaxis={"tickangle": -45})
    said = values.argmax(1) if decoded is None else np.where(decoded >= 0, decoded, values.argmax(1))
    sure = values[np.arange(len(values)), said]
    least, most = int(sure.argmin()), int(sure.argmax())
    facts = {
        "word": plain(rows.names[least]), "class": say(signal.classes[said[least]]),
        "value": num(float(sure[least])), "sure_word": plain(rows.names[most]), "words": len(rows),
        "sure": num(float(sure[most])), "sure_class": say(signal.classes[said[most]]),
        "highest": num(float(values.max())),
    }  # fmt: skip
    table = pd.DataFrame(values, columns=distinct([say(c) for c in signal.classes]))
    table.insert(0, t("views.axis.word"), rows.plain())
    if decoded is not None:
        table.insert(1, t("views.axis.tag"), [say(signal.classes[c]) if c >= 0 else "–" for c in decoded])
    return Picture(
        key, title, sheet.figure(), t("views.marginals.alt", **facts), table,
        join(t("views.marginals.finding", **facts), limit_note(len(shown), len(rows))),
        t("views.marginals.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def transitions(signal: Transitions, sample: Sample | None = None, trace: Trace | None = None) -> Picture:
    """Which tag may follow which? Learned scores, with how a sentence starts as first row and ends as last column."""
    key, title = f"transitions-{signal.name}", t("views.transitions.title")
    count = len(signal.classes)
    scores = np.full((count + 1, count + 1), np.nan, np.float32)
    scores[0, :count] = signal.start.detach().cpu().float().numpy()
    scores[1:, :count] = signal.value.detach().cpu().float().numpy()
    scores[1:, count] = signal.end.detach().cpu().float().numpy()
    names = [say(c) for c in signal.classes]
    down = distinct([clean(n, 12) for n in (t("views.transitions.start"), *names)])
    across = distinct([clean(n, 12) for n in (*names, t("views.transitions.end"))])
    limit = float(np.nanmax(np.abs(scores))) or 1.0
    sheet = heat(key, len(down), longest=max(map(len, across)), extra=16)
    sheet.add(
        "heatmap", z=scores, x=across, y=down, zmin=-limit, zmax=limit, colorscale=scale(DIVERGING), xgap=1, ygap=1,
        colorbar=bar(t("views.axis.logit")), hovertemplate="%{y} → %{x}: %{z:.2f}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    sheet.set(
        xaxis={"tickangle": -45, "title": {"text": t("views.axis.to_class")}},
        yaxis={"title": {"text": t("views.axis.from_class")}},
    )
    inner = scores[1:, :count]
    a, b = np.unravel_index(int(inner.argmax()), inner.shape)
    c, d = np.unravel_index(int(inner.argmin()), inner.shape)
    facts = {
        "high_from": names[a], "high_to": names[b], "high": num(float(inner[a, b])),
        "low_from": names[c], "low_to": names[d], "low": num(float(inner[c, d])), "limit": num(limit),
        "count": count,
    }  # fmt: skip
    table = pd.DataFrame(scores, columns=across)
    table.insert(0, t("views.axis.from_class"), [t("views.transitions.start"), *names])
    return Picture(
        key, title, sheet.figure(), t("views.transitions.alt", **facts), table, t("views.transitions.finding", **facts),
        t("views.transitions.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip
