"""Small pictures of few numbers: shares of modalities, lengths by word, and what changed when an input was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fusion.views import base
from fusion.views.base import Picture
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Effects, ModalityWeights, Norms, Trace
    from fusion.types import Sample


def weights(signal: ModalityWeights, sample: Sample, trace: Trace, *, usual: np.ndarray | None = None) -> Picture:
    """How much does the model listen to each input? Bars, with the usual value as a tick.

    usual (3, M): the tenth percentile, median and ninetieth percentile of a data set.
    """
    key, title = f"weights-{signal.name}", t("views.weights.title")
    values = base.array(signal.value)
    names = [base.say(m) for m in signal.modalities]
    labels = base.distinct([base.clean(n, 20) for n in names])
    figure = base.canvas(key, 80 + 34 * len(names), right=48)
    figure.add_trace(
        go.Bar(
            x=values, y=labels, orientation="h", text=[base.num(float(v)) for v in values], textposition="outside",
            marker={"color": [base.COLOURS.get(m, base.CATEGORIES[i % 10]) for i, m in enumerate(signal.modalities)],
                    "line": {"color": base.INK, "width": 1}},
            cliponaxis=False, hovertemplate="%{y}: %{x:.3f}<extra></extra>", showlegend=False,
        )
    )  # fmt: skip
    top, order = int(values.argmax()), np.argsort(-values)
    facts = {
        "top": names[top], "value": base.num(float(values[top])),
        "all": t("views.list.comma").join(f"{names[i]} {base.num(float(values[i]))}" for i in order),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.modality"): names, t("views.axis.weight"): values})
    finding = t("views.weights.finding", **facts)
    if usual is not None:
        low, median, high = np.asarray(usual, np.float32)
        figure.add_trace(
            go.Scatter(
                x=median, y=labels, mode="markers", name=t("views.weights.usual"),
                marker={"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": base.INK}},
                error_x={"type": "data", "symmetric": False, "array": high - median, "arrayminus": median - low,
                         "color": base.INK, "thickness": 2, "width": 4},
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
            )
        )  # fmt: skip
        table[t("views.weights.usual")] = median
        finding = base.join(finding, t("views.weights.compare", top=names[top], value=base.num(float(median[top]))))
        figure.update_layout(margin={"t": 34})
    figure.update_xaxes(range=[0, max(1.0, float(values.max()))], title={"text": t("views.axis.weight")}, nticks=5)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return Picture(
        key, title, figure, t("views.weights.alt", **facts), table, finding, t("views.weights.shows"),
        base.caveat(signal, "caveat.weights"),
    )  # fmt: skip


def norms(signal: Norms, sample: Sample, trace: Trace) -> Picture:
    """Does anything come through? The length of one vector relative to another, word by word."""
    key, title = f"norms-{signal.name}", t("views.norms.title")
    rows = base.rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = rows.mean(base.array(signal.value))
    shown = rows.head(base.MOST_ROWS)
    part = values[: len(shown)]
    figure = base.canvas(key, 80 + 24 * len(shown), right=44)
    figure.add_trace(
        go.Bar(
            x=part, y=shown.labels(), orientation="h", marker={"color": base.INK}, showlegend=False, cliponaxis=False,
            text=[base.num(float(v)) for v in part], textposition="outside",
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )  # fmt: skip
    figure.update_xaxes(range=[0, float(part.max() or 1) * 1.12], title={"text": t("views.axis.ratio")}, nticks=5)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False, tickmode="linear", dtick=1)
    best, least = int(values.argmax()), int(values.argmin())
    facts = {
        "mean": base.num(float(values.mean())), "word": base.plain(rows.names[best]),
        "value": base.num(float(values[best])), "low_word": base.plain(rows.names[least]),
        "low": base.num(float(values[least])),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.word"): rows.plain(), t("views.axis.ratio"): values})
    return Picture(
        key, title, figure, t("views.norms.alt", **facts), table,
        base.join(t("views.norms.finding", **facts), base.limit_note(len(shown), len(rows))), t("views.norms.shows"),
        base.caveat(signal, "views.hides"),
    )  # fmt: skip


def drop(signal: Effects, sample: Sample, trace: Trace) -> Picture:
    """What changes when an input goes away? One panel a number, one bar a condition, a dashed line where it was.

    Every bar starts at zero and is labelled with its value and its signed change in words.
    """
    key, title = f"drop-{signal.name}", t("views.drop.title")
    values = base.array(signal.value)  # (V, O)
    conditions = [base.say(c) for c in signal.conditions]
    names = [base.say(o) for o in signal.observables]
    change = values - values[:1]
    figure = _panels(key, values, change, conditions, names)
    said = tuple(answer or t("views.drop.nothing") for answer in signal.said[0]) if signal.said else ()
    table = pd.DataFrame(values, columns=base.distinct(names))
    table.insert(0, t("views.axis.condition"), conditions)
    if said:
        table[t("views.axis.prediction")] = [base.plain(s, 300) for s in said]
    for i, name in enumerate(names):
        table[t("views.drop.change", name=name)] = [base.signed(float(v)) for v in change[:, i]]
    sentences = [_sentence(values, change, row, conditions, names, said) for row in range(1, len(conditions))]
    finding = base.join(*sentences) or t("views.drop.none")
    highest = np.nanmax(values, axis=0)
    before = (
        t("views.drop.was", name=name, value=base.num(float(values[0, i])), high=base.num(float(highest[i])))
        for i, name in enumerate(names)
    )
    alt = base.join(
        t("views.drop.alt", count=len(conditions), names=t("views.list.comma").join(names)), *before, finding
    )
    return Picture(key, title, figure, alt, table, finding, t("views.drop.shows"), base.caveat(signal, "caveat.drop"))


def _sentence(
    values: np.ndarray, change: np.ndarray, row: int, conditions: list[str], names: list[str], said: tuple[str, ...]
) -> str:
    """ "Image removed: match 0.73 → 0.41 (−0.32 ↓ lower), gate ...; the prediction stays the same." """
    moves = t("views.list.comma").join(
        t("views.drop.move", name=name, before=base.num(float(values[0, i])), after=base.num(float(values[row, i])),
          change=base.signed(float(change[row, i])))
        for i, name in enumerate(names) if np.isfinite(values[row, i])
    )  # fmt: skip
    if not said:
        answer = ""
    elif said[row] == said[0]:
        answer = t("views.drop.same")
    else:
        answer = t("views.drop.differs", before=base.plain(said[0], 120), after=base.plain(said[row], 120))
    return t("views.drop.sentence", condition=conditions[row], moves=moves, answer=answer)


def _panels(key: str, values: np.ndarray, change: np.ndarray, conditions: list[str], names: list[str]) -> go.Figure:
    """A panel an observable, under each other so that a phone shows them whole."""
    count, lines = len(names), len(conditions)
    labels = base.distinct([base.clean(c, 22) for c in conditions])
    height = 46 + 28 * lines
    figure = make_subplots(
        rows=count, cols=1, subplot_titles=[base.clean(n, 40) for n in names],
        vertical_spacing=min(0.3, 46 / (height * count)) if count > 1 else 0,
        figure=base.canvas(key, height * count + 24, top=28, bottom=24),
    )  # fmt: skip
    for i in range(count):
        column = values[:, i]
        low, high = min(0.0, float(np.nanmin(column))), max(0.0, float(np.nanmax(column)))
        room = (high - low or 1.0) * 0.75  # for the label at the end of the longest bar
        words = [base.num(float(column[0]))] + [
            f"{base.num(float(v))} ({base.signed(float(c))})" if np.isfinite(v) else t("views.drop.unknown")
            for v, c in zip(column[1:], change[1:, i], strict=True)
        ]
        figure.add_trace(
            go.Bar(
                x=column, y=labels, orientation="h", text=words, textposition="outside", cliponaxis=False,
                marker={"color": [base.CATEGORIES[0]] + [base.CATEGORIES[4]] * (lines - 1),
                        "pattern": {"shape": [""] + ["/"] * (lines - 1), "fgcolor": "#FFFFFF", "size": 5,
                                    "fillmode": "overlay"}},
                hovertemplate="%{y}: %{x:.3f}<extra></extra>", showlegend=False,
            ),
            row=i + 1, col=1,
        )  # fmt: skip
        if np.isfinite(column[0]):
            figure.add_vline(
                x=float(column[0]), line={"color": base.INK, "width": 1.5, "dash": "dash"}, row=i + 1, col=1
            )
        figure.update_xaxes(range=[low * 1.75 if low < 0 else 0, high + room], nticks=4, row=i + 1, col=1)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    figure.update_annotations(x=0, xanchor="left", selector={"showarrow": False})
    return figure
