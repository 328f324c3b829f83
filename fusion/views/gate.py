"""Gates: how much of a modality each word lets in, and whether anything comes through an open gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusion.signals import Norms
from fusion.views import base
from fusion.views.base import Picture
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Gate, Trace
    from fusion.types import Sample

BLOCKS = 32  # neighbouring features shown as one cell


def steps(signal: Gate, sample: Sample, trace: Trace, *, word: int | None = None) -> Picture:
    """How open is the gate at each word, and does it matter?

    Left: the mean over features with its P10-P90 spread, beside the untrained value. Right, where the model measures
    it: the length of what came through relative to the word's own vector. Marks of curves 0 to 2 are group numbers.
    """
    key, title = f"steps-{signal.name}", t("views.gate.title", modality=base.say(signal.modality))
    rows = base.rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = base.array(signal.value)
    by_word = rows.mean(values[:, None] if values.ndim == 1 else values)  # (G, D)
    mean = by_word.mean(1)
    low, high = np.percentile(by_word, (10, 90), axis=1).astype(np.float32)
    norms = next((n for n in trace.of(Norms) if n.steps == signal.steps), None)
    through = None if norms is None else rows.mean(base.array(norms.value))
    shown = rows.head(base.MOST_ROWS)
    figure = _strip(key, shown, signal, (mean, low, high), through, word)
    lowest, highest = int(mean.argmin()), int(mean.argmax())
    facts = {
        "modality": base.say(signal.modality), "mean": base.num(float(mean.mean())),
        "low_word": base.plain(rows.names[lowest]), "low": base.num(float(mean[lowest])),
        "high_word": base.plain(rows.names[highest]), "high": base.num(float(mean[highest])),
        "neutral": base.num(signal.neutral), "closed": base.percent(float((by_word < 0.1).mean())),
        "open": base.percent(float((by_word > 0.9).mean())),
    }  # fmt: skip
    columns: dict[str, object] = {
        t("views.axis.word"): rows.plain(), t("views.axis.gate"): mean, t("views.axis.p10"): low,
        t("views.axis.p90"): high,
    }  # fmt: skip
    finding = t("views.gate.finding", **facts)
    if through is not None:
        columns[t("views.axis.through")] = through
        most = int(through.argmax())
        length = {"value": base.num(float(through[most])), "mean": base.num(float(through.mean()))}
        finding = base.join(finding, t("views.gate.through", word=base.plain(rows.names[most]), **length))
    marks = (shown.index,) * (1 if through is None else 2)
    return Picture(
        key, title, figure, t("views.gate.alt", **facts), pd.DataFrame(columns),
        base.join(finding, base.limit_note(len(shown), len(rows))), t("views.gate.shows", **facts),
        base.caveat(signal, "views.hides"), marks,
    )  # fmt: skip


def _strip(
    key: str, rows: base.Rows, signal: Gate, gate: tuple[np.ndarray, np.ndarray, np.ndarray],
    through: np.ndarray | None, word: int | None,
) -> go.Figure:  # fmt: skip
    """One line a word: the gate with its spread, and beside it the length of what came through."""
    mean, low, high = (part[: len(rows)] for part in gate)
    labels = rows.labels()
    colour = base.COLOURS.get(signal.modality, base.INK)
    columns = 1 if through is None else 2
    figure = make_subplots(
        cols=columns, shared_yaxes=True, column_widths=[1] if columns == 1 else [0.68, 0.32], horizontal_spacing=0.05,
        figure=base.canvas(key, 92 + 24 * len(rows), right=12),
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=mean, y=labels, mode="markers", name=t("views.axis.gate"), showlegend=False,
            marker={"symbol": base.SHAPES.get(signal.modality, "circle"), "size": 11, "color": colour, "opacity": 1},
            error_x={"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low,
                     "thickness": 5, "width": 0, "color": _thin(colour)},
            selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    figure.add_vline(x=signal.neutral, line={"color": base.INK, "width": 1.5, "dash": "dash"}, row=1, col=1)
    figure.add_annotation(
        text=t("views.gate.neutral", value=base.num(signal.neutral)), x=signal.neutral, xref="x", y=1, yref="paper",
        yanchor="bottom", showarrow=False,
    )  # fmt: skip
    if through is not None:
        part = through[: len(rows)]
        figure.add_trace(
            go.Bar(
                x=part, y=labels, orientation="h", marker={"color": base.INK}, showlegend=False,
                selected={"marker": {"opacity": 1}}, unselected={"marker": {"opacity": 1}},
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
            ),
            row=1, col=2,
        )  # fmt: skip
        figure.update_xaxes(
            range=[0, float(part.max() or 1) * 1.08], nticks=3, title={"text": t("views.axis.through")}, row=1, col=2
        )
    if (at := rows.place(word)) is not None:
        figure.add_hrect(y0=at - 0.5, y1=at + 0.5, line={"color": "#D55E00", "width": 2}, fillcolor="rgba(0,0,0,0)")
    figure.update_layout(clickmode="event+select", margin={"t": 26})
    figure.update_xaxes(
        range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], title={"text": t("views.axis.gate")}, row=1, col=1
    )
    figure.update_yaxes(
        type="category", autorange="reversed", categoryorder="array", categoryarray=labels, tickmode="linear", dtick=1
    )
    return figure


def _thin(colour: str) -> str:
    """The same colour, half as strong, for a spread under its mean."""
    return f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.45)"


def blocks(signal: Gate, sample: Sample, trace: Trace, *, word: int | None = None, own: bool = False) -> Picture:
    """Which features does each word open? Words against blocks of neighbouring features.

    The colour runs from 0 to 1, or over this sample's own range when `own`.
    """
    key, title = f"blocks-{signal.name}", t("views.blocks.title")
    rows = base.rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = base.array(signal.value)
    by_word = rows.mean(values[:, None] if values.ndim == 1 else values)  # (G, D)
    count = min(BLOCKS, by_word.shape[1])
    edges = np.linspace(0, by_word.shape[1], count + 1).astype(int)
    sums = np.add.reduceat(by_word, edges[:-1], axis=1)
    cells = (sums / np.diff(edges)).astype(np.float32)  # (G, blocks)
    shown = rows.head(base.MOST_CELLS)
    names = [t("views.blocks.block", first=a + 1, last=b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    height = 110 + (22 if len(shown) <= 30 else 14) * len(shown)
    figure = base.canvas(key, height)
    figure.add_trace(
        go.Heatmap(
            z=cells[: len(shown)], x=names, y=shown.labels(14), colorscale=base.scale(base.SEQUENTIAL),
            zmin=float(cells.min()) if own else 0, zmax=float(cells.max()) if own else 1, ygap=1,
            colorbar=base.bar(t("views.axis.gate"), ypad=44),
            hovertemplate="%{y}, %{x}<br>%{z:.3f}<extra></extra>",
        )
    )  # fmt: skip
    if (at := shown.place(word)) is not None:
        figure.add_shape(
            type="rect", x0=-0.5, x1=count - 0.5, y0=at - 0.5, y1=at + 0.5, line={"color": "#D55E00", "width": 2}
        )
    ticks = names[:: max(1, count // 4)]
    figure.update_xaxes(
        type="category", showgrid=False, ticks="", tickvals=ticks, tickangle=0,
        ticktext=[str(a + 1) for a in edges[:-1][:: max(1, count // 4)]], title={"text": t("views.axis.feature")},
    )  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickmode="linear", dtick=1, ticks="")
    q, k = np.unravel_index(int(cells.argmax()), cells.shape)
    lq, lk = np.unravel_index(int(cells.argmin()), cells.shape)
    facts = {
        "count": count, "words": len(rows), "high": base.num(float(cells[q, k])), "low": base.num(float(cells[lq, lk])),
        "high_word": base.plain(rows.names[q]), "low_word": base.plain(rows.names[lq]), "high_block": names[k],
        "low_block": names[lk], "spread": base.num(float(by_word.std(1).mean())),
    }  # fmt: skip
    table = pd.DataFrame(cells, columns=names)
    table.insert(0, t("views.axis.word"), rows.plain())
    return Picture(
        key, title, figure, t("views.blocks.alt", **facts), table,
        base.join(t("views.blocks.finding", **facts), base.limit_note(len(shown), len(rows))),
        t("views.blocks.shows_own" if own else "views.blocks.shows_fixed"), base.caveat(signal, "views.hides"),
    )  # fmt: skip
