"""Tagging: the probability of each class at each word, and the learned scores of going from class to class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fusion.views import base
from fusion.views.base import Picture
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
    rows = base.rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = rows.first(base.array(signal.value))  # (G, C)
    classes = np.flatnonzero(values.max(0) >= min(SEEN, float(values.max())))
    shown = rows.head(base.MOST_ROWS)
    names = base.distinct([base.clean(base.say(signal.classes[c]), 12) for c in classes])
    labels = shown.labels()
    figure = base.canvas(key, 120 + 24 * len(shown), top=34 if path is not None else 8)
    figure.add_trace(
        go.Heatmap(
            z=values[: len(shown)][:, classes].astype(np.float32), x=names, y=labels, zmin=0, zmax=1, xgap=1, ygap=1,
            colorscale=base.scale(base.SEQUENTIAL), colorbar=base.bar(t("views.axis.probability"), ypad=50),
            hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    decoded = None if path is None else rows.first(np.asarray(path, np.int64))
    if decoded is not None:
        where = {int(c): i for i, c in enumerate(classes)}
        at = [(names[where[int(c)]], labels[g]) for g, c in enumerate(decoded[: len(shown)]) if int(c) in where]
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in at], y=[y for _, y in at], mode="markers", name=t("views.marginals.path"),
                hoverinfo="skip", showlegend=True,
                marker={"symbol": "square-open", "size": 17, "color": "#D55E00", "line": {"width": 2.5}},
            )
        )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False, tickangle=-45)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickmode="linear", dtick=1)
    said = values.argmax(1) if decoded is None else np.where(decoded >= 0, decoded, values.argmax(1))
    sure = values[np.arange(len(values)), said]
    least, most = int(sure.argmin()), int(sure.argmax())
    facts = {
        "word": base.plain(rows.names[least]), "class": base.say(signal.classes[said[least]]),
        "value": base.num(float(sure[least])), "sure_word": base.plain(rows.names[most]), "words": len(rows),
        "sure": base.num(float(sure[most])), "sure_class": base.say(signal.classes[said[most]]),
        "highest": base.num(float(values.max())),
    }  # fmt: skip
    table = pd.DataFrame(values, columns=base.distinct([base.say(c) for c in signal.classes]))
    table.insert(0, t("views.axis.word"), rows.plain())
    if decoded is not None:
        table.insert(1, t("views.axis.tag"), [base.say(signal.classes[c]) if c >= 0 else "–" for c in decoded])
    return Picture(
        key, title, figure, t("views.marginals.alt", **facts), table,
        base.join(t("views.marginals.finding", **facts), base.limit_note(len(shown), len(rows))),
        t("views.marginals.shows"), base.caveat(signal, "views.hides"),
    )  # fmt: skip


def transitions(signal: Transitions, sample: Sample | None = None, trace: Trace | None = None) -> Picture:
    """Which tag may follow which? Learned scores, with how a sentence starts as first row and ends as last column."""
    key, title = f"transitions-{signal.name}", t("views.transitions.title")
    count = len(signal.classes)
    scores = np.full((count + 1, count + 1), np.nan, np.float32)
    scores[0, :count] = signal.start.detach().cpu().float().numpy()
    scores[1:, :count] = signal.value.detach().cpu().float().numpy()
    scores[1:, count] = signal.end.detach().cpu().float().numpy()
    names = [base.say(c) for c in signal.classes]
    down = base.distinct([base.clean(n, 12) for n in (t("views.transitions.start"), *names)])
    across = base.distinct([base.clean(n, 12) for n in (*names, t("views.transitions.end"))])
    limit = float(np.nanmax(np.abs(scores))) or 1.0
    figure = base.canvas(key, 130 + 24 * len(down))
    figure.add_trace(
        go.Heatmap(
            z=scores, x=across, y=down, zmin=-limit, zmax=limit, colorscale=base.scale(base.DIVERGING), xgap=1, ygap=1,
            colorbar=base.bar(t("views.axis.logit"), ypad=60), hovertemplate="%{y} → %{x}: %{z:.2f}<extra></extra>",
            hoverongaps=False,
        )
    )  # fmt: skip
    figure.update_xaxes(type="category", showgrid=False, tickangle=-45, title={"text": t("views.axis.to_class")})
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, tickmode="linear", dtick=1,
        title={"text": t("views.axis.from_class")},
    )  # fmt: skip
    inner = scores[1:, :count]
    a, b = np.unravel_index(int(inner.argmax()), inner.shape)
    c, d = np.unravel_index(int(inner.argmin()), inner.shape)
    facts = {
        "high_from": names[a], "high_to": names[b], "high": base.num(float(inner[a, b])),
        "low_from": names[c], "low_to": names[d], "low": base.num(float(inner[c, d])), "limit": base.num(limit),
        "count": count,
    }  # fmt: skip
    table = pd.DataFrame(scores, columns=across)
    table.insert(0, t("views.axis.from_class"), [t("views.transitions.start"), *names])
    return Picture(
        key, title, figure, t("views.transitions.alt", **facts), table, t("views.transitions.finding", **facts),
        t("views.transitions.shows"), base.caveat(signal, "views.hides"),
    )  # fmt: skip
