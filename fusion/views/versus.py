"""One sample under two checkpoints: what changed in a signal, in its heads, and in the numbers of the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import DIVERGING, INK, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import clean, distinct, join, num, plain, say, step
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.versus.samples import Number
    from fusion.versus.signals import Axis, Difference

LINE = 30  # pixels of a line of a dumbbell
SIDES = ("#0072B2", "#D55E00")  # A and B


def change(one: Difference) -> Picture:
    """What changed in one signal, cell by cell: bars of one axis, a map of two; of three the slice that changed most.

    Orange: B more. Blue: A more.
    """
    key, title = f"change-{one.name}", t("views.versus.change.title", name=say(one.name))
    values, axes = one.change, one.axes
    if values.ndim == 3:
        values, axes = values[one.where[0]], axes[1:]
        title = t("views.versus.change.slice", name=say(one.name), of=_label(one.axes[0], one.where[0]))
    if not np.isfinite(values).any():
        return base.nothing(key, title, t("views.versus.change.none"))
    finding = _moved_most(one)
    sheet, table = _bars(key, values, axes[0]) if values.ndim == 1 else _map(key, values, axes)
    return Picture(
        key, title, sheet.figure(), join(title, finding), table, finding, t("views.versus.change.shows"),
        t("views.versus.change.hides"),
    )  # fmt: skip


def _moved_most(one: Difference) -> str:
    if one.same:
        return t("views.versus.change.same", name=say(one.name))
    named = (_label(axis, i) for axis, i in zip(one.axes, one.where, strict=True))
    return t(
        "views.versus.change.finding", name=say(one.name), where=t("views.list.comma").join(named),
        change=signed_number(one.most), mean=num(one.mean),
    )  # fmt: skip


def _label(axis: Axis, at: int) -> str:
    if axis.of in ("head", "dimension"):
        return t(f"views.versus.axis.{axis.of}", number=axis.names[at])
    name = axis.names[at]
    return plain(step(name) if axis.of not in ("modality", "voice", "condition", "observable", "class") else say(name))


def signed_number(value: float) -> str:
    """A change with its sign: +0.12."""
    return ("+" if value > 0 else "") + num(value)


def _bars(key: str, values: np.ndarray, axis: Axis) -> tuple[Sheet, pd.DataFrame]:
    shown = slice(0, base.MOST_ROWS)
    names = distinct([clean(_label(axis, i), 24) for i in range(len(values))[shown]])
    top = float(np.nanmax(np.abs(values[shown]))) or 1.0
    sheet = Sheet(key, 70 + 26 * len(names), right=24)
    sheet.add(
        "bar", x=values[shown], y=names, orientation="h", showlegend=False, cliponaxis=False, textposition="outside",
        text=[signed_number(float(v)) for v in values[shown]], hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"color": [SIDES[1] if v > 0 else SIDES[0] for v in values[shown]], "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.rule(0, dash="solid")
    sheet.set(
        xaxis={"range": [-1.35 * top, 1.35 * top], "nticks": 5, "title": {"text": t("views.versus.change.unit")}},
        yaxis={**LINES, "showgrid": False},
    )
    return sheet, pd.DataFrame({t("views.versus.where"): names, t("views.versus.change.unit"): values[shown]})


def _map(key: str, values: np.ndarray, axes: Sequence[Axis]) -> tuple[Sheet, pd.DataFrame]:
    rows = [i for i in range(values.shape[0]) if np.isfinite(values[i]).any()][: base.MOST_CELLS]
    columns = [i for i in range(values.shape[1]) if np.isfinite(values[:, i]).any()][: base.MOST_CELLS]
    part = values[np.ix_(rows, columns)]
    y = distinct([clean(_label(axes[0], i), 18) for i in rows])
    x = distinct([clean(_label(axes[1], i), 18) for i in columns])
    top = float(np.nanmax(np.abs(part))) or 1.0
    sheet = heat(key, len(y), longest=max(map(len, x), default=0))
    sheet.add(
        "heatmap", z=part, x=x, y=y, colorscale=scale(DIVERGING), zmin=-top, zmax=top,
        colorbar=bar(t("views.versus.change.unit")), hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    table = pd.DataFrame(part, columns=x)
    table.insert(0, t("views.versus.where"), y)
    return sheet, table


def heads(found: Sequence[Difference]) -> Picture | None:
    """Which heads changed? Layer by head: how much larger B's largest weight of a query is than A's, in the mean.

    None without attention in both.
    """
    found = [one for one in found if one.kind == "Attention"]
    if not found:
        return None
    key, title = "change-heads", t("views.versus.heads.title")
    widest = max(len(one.change) for one in found)
    values = np.full((len(found), widest), np.nan, np.float32)
    for row, one in enumerate(found):
        asked = np.isfinite(one.a).any(axis=(0, 2))
        focus = [np.nanmax(side[:, asked], axis=2).mean(axis=1) for side in (one.a, one.b)]
        values[row, : len(focus[0])] = focus[1] - focus[0]
    names = distinct([
        clean(t("views.versus.heads.road", queries=say(one.road[0]), keys=say(one.road[1]), layer=one.road[2] + 1), 34)
        for one in found
    ])  # fmt: skip
    top = float(np.nanmax(np.abs(values)))
    columns = [str(i + 1) for i in range(widest)]
    sheet = heat(key, len(names))
    sheet.add(
        "heatmap", z=values, x=columns, y=names, colorscale=scale(DIVERGING), zmin=-(top or 1), zmax=top or 1,
        xgap=1, ygap=1, colorbar=bar(t("views.versus.heads.unit")),
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    finding = t("views.versus.heads.same")
    if top >= 5e-4:
        facts = {}
        for name, at in (("most", np.nanargmax(values)), ("least", np.nanargmin(values))):
            row, head = np.unravel_index(int(at), values.shape)
            facts |= {
                name: signed_number(float(values[row, head])),
                f"{name}_at": f"{names[row]}, {t('views.versus.axis.head', number=head + 1)}",
            }
        finding = t("views.versus.heads.finding", **facts)
    table = pd.DataFrame(values, columns=columns)
    table.insert(0, t("views.axis.road"), names)
    return Picture(
        key, title, sheet.figure(), join(title, finding), table, finding, t("views.versus.heads.shows"),
        t("views.versus.heads.hides"),
    )  # fmt: skip


def numbers(found: Sequence[Number], names: tuple[str, str], *, ranked: bool) -> Picture | None:
    """The numbers of a sample under both, a line each. ranked: those that are ranks, on a scale of ratios."""
    shown = [one for one in found if (one.of[0] == "rank") == ranked and one.a is not None and one.b is not None]
    if not shown:
        return None
    key = "versus-ranks" if ranked else "versus-numbers"
    title = t(f"views.versus.numbers.{'ranks' if ranked else 'title'}")
    labels = [called(one.of) for one in shown]
    ends = [(float(one.a or 0), float(one.b or 0)) for one in shown]
    sheet = _dumbbell(key, labels, ends, names)
    sheet.set(xaxis={"type": "log" if ranked else "linear", "nticks": 5, "title": {"text": t("views.axis.value")}})
    score = lambda pair: abs(np.log(pair[1] / pair[0])) if ranked else abs(pair[1] - pair[0])  # noqa: E731
    most = max(range(len(ends)), key=lambda i: score(ends[i]))
    finding = t("views.versus.numbers.same")
    if score(ends[most]) > 1e-6:
        finding = t(
            "views.versus.numbers.finding", name=labels[most], a=num(ends[most][0]), b=num(ends[most][1]),
        )  # fmt: skip
    rows = [[label, a, b, b - a] for label, (a, b) in zip(labels, ends, strict=True)]
    columns = [t("views.versus.what"), plain(names[0]), plain(names[1]), t("views.versus.change.unit")]
    return Picture(
        key, title, sheet.figure(), join(title, finding), pd.DataFrame(rows, columns=columns), finding,
        t("views.versus.numbers.shows"), t("views.versus.numbers.hides"),
    )  # fmt: skip


def called(of: tuple[str, str]) -> str:
    """What a number is called: "rank by name", "chance of Symbols"."""
    kind, name = of
    return t(f"views.versus.number.{kind}.of", name=say(name)) if name else t(f"views.versus.number.{kind}")


def _dumbbell(key: str, labels: Sequence[str], ends: Sequence[tuple[float, float]], names: tuple[str, str]) -> Sheet:
    rows = distinct([clean(label, 30) for label in labels])
    sheet = Sheet(key, 96 + LINE * len(rows), top=30, right=16)
    for row, (a, b) in zip(rows, ends, strict=True):
        sheet.add("scatter", x=[a, b], y=[row, row], mode="lines", showlegend=False, hoverinfo="skip",
                  line={"color": INK, "width": 2})  # fmt: skip
    for i, name in enumerate(names):
        sheet.add(
            "scatter", x=[pair[i] for pair in ends], y=rows, mode="markers", name=f"{'AB'[i]}: {clean(name, 28)}",
            marker={"color": SIDES[i], "size": 11, "symbol": ("circle", "diamond")[i]},
            hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        )  # fmt: skip
    sheet.set(yaxis={**LINES, "showgrid": False}, xaxis={"showgrid": True})
    return sheet
