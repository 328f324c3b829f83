"""The layer x head map: what every head of a model does, and the way into each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.signals import Attention
from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CHOSEN, SEQUENTIAL, scale
from fusion.views.rows import rows_of
from fusion.views.sheet import Sheet, bar
from fusion.views.speech import clean, num, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Trace
    from fusion.types import Sample

STATISTICS = ("top", "entropy", "real")
CELL = 28  # pixels: square markers fill a cell only at a known size


def statistic(weights: np.ndarray, names: str, real: np.ndarray) -> np.ndarray:
    """One number a head. weights (H, Q, K), rows summing to one; real (K,) bool -> (H,)

    "top": the mean over queries of the largest weight. "entropy": the mean entropy in nats. "real": the mean share on
    steps that are words or regions, the rest being on marks such as [CLS]. (The plain mean of a row that sums to one
    is 1/K whatever the head does, so it is not offered.)
    """
    if weights.shape[1] == 0 or weights.shape[2] == 0:
        return np.zeros(len(weights), np.float32)
    if names == "entropy":
        logs = np.log(np.where(weights > 0, weights, 1))
        return -(weights * logs).sum(-1).mean(-1)
    if names == "real":
        return weights[..., real].sum(-1).mean(-1)
    return weights.max(-1).mean(-1)


def _stacks(signals: tuple[Attention, ...]) -> list[list[Attention]]:
    """Attention signals by what looks at what, in the model's order."""
    stacks: dict[tuple[str, str], list[Attention]] = {}
    for signal in signals:
        stacks.setdefault((signal.queries, signal.keys), []).append(signal)
    return list(stacks.values())


def _numbers(signal: Attention, trace: Trace, name: str) -> tuple[np.ndarray, float]:
    """The statistic of every head, and that of their mean. -> (H,), one number"""
    weights = base.array(signal.value)
    asking = rows_of(trace, signal.queries, base.flags(signal.query_mask)).member.any(axis=0)
    asking = asking if asking.any() else base.flags(signal.query_mask)
    keys = base.flags(signal.key_mask)
    real = np.any(rows_of(trace, signal.keys, keys).member, axis=0)[keys]
    weights = weights[:, asking][..., keys]
    return statistic(weights, name, real), float(statistic(weights.mean(0, keepdims=True), name, real)[0])


def heads(
    signal: Attention, sample: Sample, trace: Trace, *, name: str = "top", chosen: tuple[str, int | None] | None = None
) -> Picture:
    """Which head is worth opening? Each square is one head; the column apart is the mean of its layer's heads.

    `name` is one of STATISTICS; `chosen` = (signal name, head or None for the mean) is ringed. Marks are such pairs.
    """
    stacks = _stacks(trace.of(Attention) or (signal,))
    x: list[int] = []
    y: list[float] = []
    values: list[float] = []
    marks: list[tuple[str, int | None]] = []
    rows: list[tuple[str, str, str, float]] = []
    ticks: list[tuple[float, str]] = []
    titles: list[tuple[float, str]] = []
    widest = max(item.value.shape[1] for stack in stacks for item in stack)
    line = 0.0
    for stack in stacks:
        road = t("views.heads.road", queries=say(stack[0].queries), keys=say(stack[0].keys))
        titles.append((line, road))
        line += 1
        for item in stack:
            numbers, mean = _numbers(item, trace, name)
            count = len(numbers)
            x += [*range(1, count + 1), widest + 2]
            y += [line] * (count + 1)
            values += [*numbers.tolist(), mean]
            marks += [*((item.name, head) for head in range(count)), (item.name, None)]
            layer = str(item.layer + 1)
            rows += [(road, layer, str(head + 1), float(v)) for head, v in enumerate(numbers)]
            rows.append((road, layer, t("views.heads.mean"), mean))
            ticks.append((line, layer))
            line += 1
    sheet = _draw(x, y, values, (widest, line), ticks, titles, name)
    if chosen in marks:
        at = marks.index(chosen)
        sheet.add(
            "scatter", x=[x[at]], y=[y[at]], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "square-open", "size": CELL, "color": CHOSEN, "line": {"width": 3}},
        )  # fmt: skip
    unit = t(f"views.heads.statistic.{name}")
    columns = [t("views.axis.road"), t("views.axis.layer"), t("views.axis.head"), unit]
    single = [i for i, mark in enumerate(marks) if mark[1] is not None]
    order = sorted(single, key=lambda i: values[i], reverse=True)
    best = order[0]
    facts = {
        "road": rows[best][0], "layer": rows[best][1], "head": rows[best][2], "value": num(values[best]),
        "statistic": unit, "median": num(float(np.median([values[i] for i in single]))), "count": len(single),
        "layers": len(ticks), "lowest": num(min(values[i] for i in single)),
    }  # fmt: skip
    return Picture(
        "heads", t("views.heads.title"), sheet.figure(), t("views.heads.alt", **facts),
        pd.DataFrame(rows, columns=columns), t("views.heads.finding", **facts),
        t("views.heads.shows"), t("views.heads.hides"), (tuple(marks),),
    )  # fmt: skip


def _draw(
    x: list[int], y: list[float], values: list[float], size: tuple[int, float], ticks: list[tuple[float, str]],
    titles: list[tuple[float, str]], name: str,
) -> Sheet:  # fmt: skip
    """The squares at a fixed size: CELL pixels a head and a layer."""
    widest, lines = size
    sheet = Sheet("heads", round(lines * CELL) + 24 + 74, left=34, top=24, bottom=74, right=6)
    sheet.add(
        "scatter", x=np.asarray(x, np.float32), y=np.asarray(y, np.float32), mode="markers", showlegend=False,
        marker={
            "symbol": "square", "size": CELL - 1, "color": np.asarray(values, np.float32), "line": {"width": 0},
            "colorscale": scale(SEQUENTIAL), "cmin": 0, "cmax": max(values, default=1.0) or 1.0,
            "colorbar": bar(t(f"views.heads.statistic.{name}"), below=True),
        },
        hovertemplate=t("views.heads.hover") + "<extra></extra>",
    )  # fmt: skip
    sheet.clicks()
    for place, text in titles:
        sheet.note(clean(text, 40), x=0.5, y=place + 0.12, xanchor="left")
    shown = list(range(1, widest + 1)) if widest <= 12 else [1, *range(4, widest + 1, 4)]
    fixed = {"showgrid": False, "automargin": False}
    sheet.set(
        width=(widest + 2) * CELL + 40, margin={"pad": 0, "autoexpand": False},
        xaxis={**fixed, "range": [0.5, widest + 2.5], "side": "top", "tickangle": 0,
               "tickvals": [*shown, widest + 2], "ticktext": [*map(str, shown), t("views.heads.mean")]},
        yaxis={**fixed, "range": [lines - 0.5, -0.5], "tickvals": [place for place, _ in ticks],
               "ticktext": [label for _, label in ticks]},
    )  # fmt: skip
    return sheet
