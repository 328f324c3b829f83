"""Directions of views that agree: how strongly in the fitted rows and elsewhere, row by row, and from which inputs."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views.base import Picture, nothing
from fusion.views.palette import CATEGORIES, DIVERGING, INK, scale
from fusion.views.sheet import Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, say
from fusion.words import t

if TYPE_CHECKING:
    from torch import Tensor

    from fusion.signals import Canonical, Trace
    from fusion.types import Sample

MOST_COMPONENTS = 24
MOST_COLUMNS = 10  # input columns of one view, the strongest
MOST_HEAT = 8  # components of the heat map
SURE = 0.05  # p below which a component counts as linked


def agreement(signal: Canonical, sample: Sample, trace: Trace) -> Picture:
    """Is the agreement real? Two bars a component, fitted rows and held-out rows, with the p-value above them.

    With more than two views a bar is the mean over their pairs; the table has every pair.
    """
    key, title = f"agreement-{signal.name}", t("views.canonical.title")
    fitted = _numbers(signal.value)  # (K, P)
    other = None if signal.held_out is None else _numbers(signal.held_out)
    p = None if signal.p is None else _numbers(signal.p)
    shown = min(len(fitted), MOST_COMPONENTS)
    names = [_component(k) for k in range(len(fitted))]
    sheet = Sheet(key, 300, top=52, bottom=44)
    numbers = [str(k + 1) for k in range(shown)]
    _bars(sheet, numbers, fitted[:shown].mean(1), t("views.canonical.fitted", rows=f"{signal.rows:,}"), INK, "/")
    if other is not None:
        said = t("views.canonical.held_out", rows=f"{signal.held_out_rows:,}")
        _bars(sheet, numbers, other[:shown].mean(1), said, CATEGORIES[0], "")
    lowest = min(0.0, *(float(one[:shown].mean(1).min()) for one in (fitted, other) if one is not None))
    if p is not None:
        tops = np.maximum(fitted[:shown].mean(1), 0)
        for k in range(shown):
            sheet.note(
                t("views.canonical.p", value=_chance(float(p[k]))), x=k, y=float(tops[k]), xref="x", yref="y",
                yanchor="bottom", textangle=-90 if shown > 8 else 0, font={"size": 10},
            )  # fmt: skip
    sheet.set(
        barmode="group", yaxis={"range": [lowest * 1.1, 1.18], "title": {"text": t("views.axis.correlation")}},
        xaxis={"type": "category", "title": {"text": t("views.axis.component")}},
    )  # fmt: skip
    table = pd.DataFrame({t("views.axis.component"): names})
    for at, (a, b) in enumerate(combinations(signal.modalities, 2)):
        pair = t("views.canonical.pair", first=say(a), second=say(b))
        table[t("views.canonical.column_fitted", pair=pair)] = fitted[:, at]
        if other is not None:
            table[t("views.canonical.column_held_out", pair=pair)] = other[:, at]
    table[t("views.canonical.eigenvalue")] = _numbers(signal.eigenvalues)
    if p is not None:
        table[t("views.canonical.chance")] = p
    finding = join(_finding(signal, fitted, other, p), limit_note(shown, len(fitted)))
    return Picture(
        key, title, sheet.figure(), t("views.canonical.alt", finding=finding), table, finding,
        t("views.canonical.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _finding(signal: Canonical, fitted: np.ndarray, other: np.ndarray | None, p: np.ndarray | None) -> str:
    """The first component in numbers, how many are real, and what is missing to know."""
    first = {"fitted": num(float(fitted[0].mean())), "rows": f"{signal.rows:,}"}
    if other is None:
        said = t("views.canonical.only_fitted", **first)
    else:
        said = t("views.canonical.both", **first, held_out=num(float(other[0].mean())))
        lost = float(fitted.mean() - other.mean())
        said = join(said, t("views.canonical.lost", value=num(lost)))
    if p is not None:
        sure = int((p < SURE).sum())
        said = join(said, t("views.canonical.sure", count=sure, all=len(p), rounds=f"{signal.rounds:,}"))
    return said


def pairs(
    signal: Canonical, sample: Sample, trace: Trace, *, component: int = 0, views: tuple[str, str] | None = None
) -> Picture:
    """Do two views place a row alike? A point a row, the score of one view against that of the other, and y = x.

    component: counted from 0; views: two of the signal's, the first two without a choice.
    """
    first, second = views or signal.modalities[:2]
    component = min(component, signal.value.shape[0] - 1)
    key = f"scores-{signal.name}"
    title = t("views.scores_of.title", component=component + 1, first=say(first), second=say(second))
    x, y = (_numbers(signal.scores[m])[:, component] for m in (first, second))
    if len(x) < 3:
        return nothing(key, title, t("views.none.points"), signal)
    reach = 1.08 * float(max(np.abs(x).max(), np.abs(y).max(), 1e-6))
    sheet = Sheet(key, 420, top=10, bottom=44)
    sheet.add(
        "scatter", x=x, y=y, mode="markers", showlegend=False,
        marker={"size": 6, "opacity": 0.6, "color": CATEGORIES[0], "line": {"width": 0}},
        hovertemplate="%{x:.2f}, %{y:.2f}<extra></extra>",
    )  # fmt: skip
    sheet.add(
        "scatter", x=[-reach, reach], y=[-reach, reach], mode="lines", showlegend=False, hoverinfo="skip",
        line={"color": INK, "width": 1.5, "dash": "dash"},
    )  # fmt: skip
    sheet.set(
        xaxis={"range": [-reach, reach], "title": {"text": t("views.scores_of.axis", name=say(first))}},
        yaxis={"range": [-reach, reach], "title": {"text": t("views.scores_of.axis", name=say(second))},
               "scaleanchor": "x", "constrain": "domain"},
    )  # fmt: skip
    spread = float(x.std() * y.std())
    facts = {
        "value": num(float(((x - x.mean()) * (y - y.mean())).mean() / spread) if spread else 0.0),
        "count": f"{len(x):,}", "kind": t(f"views.scores_of.{'fitted' if signal.held_out is None else 'held_out'}"),
        "far": num(float(np.abs(x - y).max())),
    }  # fmt: skip
    finding = t("views.scores_of.finding", **facts)
    table = pd.DataFrame({say(first): x, say(second): y, t("views.scores_of.apart"): np.abs(x - y)})
    return Picture(
        key, title, sheet.figure(), t("views.scores_of.alt", finding=finding), table, finding,
        t("views.scores_of.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def loadings(signal: Canonical, sample: Sample, trace: Trace) -> Picture:
    """Which inputs does a component follow? The strongest columns of each view, a column a component."""
    key, title = f"loadings-{signal.name}", t("views.loadings.title")
    rows, labels, parts, total = [], [], [], 0
    best = ("", 0.0, 0)  # label, loading, component
    for m in signal.modalities:
        values = _numbers(signal.loadings[m])  # (D, K)
        shown = values[:, :MOST_HEAT]
        strongest = np.sort(np.argsort(-np.abs(shown).max(1), kind="stable")[:MOST_COLUMNS])
        names = [t("views.loadings.column", name=say(m), number=int(d) + 1) for d in range(len(values))]
        rows.append(shown[strongest])
        labels += [names[d] for d in strongest]
        d, k = np.unravel_index(int(np.abs(shown).argmax()), shown.shape)
        if abs(shown[d, k]) >= abs(best[1]):
            best = (names[int(d)], float(shown[d, k]), int(k))
        whole = pd.DataFrame(values, columns=[_component(i) for i in range(values.shape[1])])
        whole.insert(0, t("views.loadings.input"), names)
        parts.append(whole)
        total += len(values)
    cells = np.concatenate(rows).astype(np.float32)
    components = [str(k + 1) for k in range(cells.shape[1])]
    sheet = heat(key, len(labels), extra=20)
    sheet.add(
        "heatmap", z=cells, x=components, y=distinct([clean(name, 24) for name in labels]),
        colorscale=scale(DIVERGING), zmin=-1, zmax=1, xgap=1, ygap=1, colorbar=bar(t("views.loadings.bar")),
        text=[[num(round(float(v), 2)) for v in row] for row in cells], texttemplate="%{text}",
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"title": {"text": t("views.axis.component")}, "tickangle": 0})
    redundancy = _numbers(signal.redundancy)  # (V, K)
    explained = t("views.list.comma").join(
        f"{say(m)} {num(float(redundancy[v].sum()))}" for v, m in enumerate(signal.modalities)
    )
    facts = {"name": best[0], "value": num(best[1]), "component": best[2] + 1, "redundancy": explained}
    finding = join(t("views.loadings.finding", **facts), limit_note(len(labels), total))
    return Picture(
        key, title, sheet.figure(), t("views.loadings.alt", finding=finding), pd.concat(parts, ignore_index=True),
        finding, t("views.loadings.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _numbers(value: Tensor) -> np.ndarray:
    return value.detach().cpu().float().numpy()


def _component(number: int) -> str:
    return t("views.family.component", name=number + 1)


def _chance(p: float) -> str:
    """A p-value with as many digits as a permutation test can have."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _bars(sheet: Sheet, numbers: list[str], values: np.ndarray, name: str, colour: str, pattern: str) -> None:
    sheet.add(
        "bar", x=numbers, y=values.astype(np.float32), name=clean(name, 60),
        marker={"color": colour, "line": {"color": INK, "width": 1},
                "pattern": {"shape": pattern, "fgcolor": "#FFFFFF", "size": 6}},
        hovertemplate="%{x}: %{y:.3f}<extra></extra>",
    )  # fmt: skip
