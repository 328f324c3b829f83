"""Spaces side by side: a line a space, a small panel a figure, both ways between two views of the same things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, distinct, percent, say
from fusion.words import t

if TYPE_CHECKING:
    from typing import Any

    Figures = Mapping[str, Any]  # as fusion.streams.side_by_side keeps them of a pair of views

PANELS = (("r1", "r10"), ("neighbours", "gap"), ("alignment", "uniformity"))
SPANS = {"r1": (0.0, 1.0), "r10": (0.0, 1.0), "neighbours": (0.0, 1.0), "gap": (0.0, 2.0), "alignment": (0.0, 4.0)}
TALL = 24  # pixels a line
ROOM = 58  # pixels below a panel for its axis
NEAR = 10  # places among which a partner counts as found


def called(kind: str, name: str = "") -> str:
    """What a reader calls a space; name: of a learned one, where there are several."""
    told = t(f"views.beside.kind.{kind}")
    return t("views.beside.named", kind=told, name=say(name)) if name else told


def spaces(names: Sequence[str], found: Sequence[Figures]) -> Picture:
    """Figures of one pair of views in each of some spaces. names: of the spaces, in the order of `found`"""
    key, title = "beside", t("views.beside.title")
    if not found:
        return base.nothing(key, title, t("views.beside.none"))
    a, b = (say(m) for m in found[0]["views"])
    labels = distinct([clean(name, 22) for name in names])
    panel = ROOM + TALL * len(found)
    sheet = Sheet(key, 40 + panel * len(PANELS), top=34, bottom=0, right=12)
    ways = (t("views.spaces.way", first=a, second=b), t("views.spaces.way", first=b, second=a))
    count = len(PANELS)
    for line, pair in enumerate(PANELS):
        bottom, top = 1 - (line + 1) / count + ROOM / panel / count, 1 - line / count
        y = "" if line == 0 else str(line + 1)
        axis = {**LINES, "domain": [bottom, top], "showgrid": True, "categoryarray": labels}
        sheet.set(**{f"yaxis{y}": {**axis, "anchor": f"x{_number(2 * line)}"}})
        for column, figure in enumerate(pair):
            x = _number(2 * line + column)
            _panel(sheet, figure, labels, found, ways, (x, y), first=line == column == 0)
            side = [0.0, 0.46] if column == 0 else [0.54, 1.0]
            title_of = {"text": t(f"views.beside.panel.{figure}"), "standoff": 4}
            sheet.set(**{f"xaxis{x}": {
                "domain": side, "anchor": f"y{y}", "range": _span(figure, found), "nticks": 3, "tickangle": 0,
                "title": title_of,
            }})  # fmt: skip
    said = _said(names, found)
    return Picture(
        key, title, sheet.figure(), t("views.beside.alt", first=a, second=b, finding=said), _table(names, found, a, b),
        said, t("views.beside.shows"), t("views.beside.hides"),
    )  # fmt: skip


def _number(at: int) -> str:
    return "" if at == 0 else str(at + 1)


def _panel(
    sheet: Sheet, figure: str, labels: list[str], found: Sequence[Figures], ways: tuple[str, str],
    axes: tuple[str, str], *, first: bool,
) -> None:  # fmt: skip
    """One figure of all spaces: two marks where it has two ways or two views, with an interval where it has one."""
    x, y = axes
    values = np.asarray([np.atleast_1d(one[figure]) for one in found], np.float32)  # (spaces, 1 or 2)
    for way in range(values.shape[1]):
        both = values.shape[1] == 2
        mark = {
            "size": 9,
            "color": CATEGORIES[way] if both else INK,
            "symbol": "circle" if way == 0 else "diamond-open",
        }
        if way == 1:
            mark["line"] = {"width": 2}
        more = {}
        if figure in ("r1", "r10"):
            low, high = (
                np.asarray([one[f"{figure}_{side}"][way] for one in found], np.float32) for side in ("low", "high")
            )
            more["error_x"] = {
                "type": "data", "symmetric": False, "array": high - values[:, way], "arrayminus": values[:, way] - low,
                "thickness": 1, "width": 3, "color": INK,
            }  # fmt: skip
        sheet.add(
            "scatter", x=values[:, way], y=labels, mode="markers", marker=mark, name=ways[way], xaxis=f"x{x}",
            yaxis=f"y{y}", legendgroup=ways[way], showlegend=first, cliponaxis=False,
            hovertemplate="%{y}: %{x:.3f}<extra></extra>", **more,
        )  # fmt: skip
    chance = _chance(figure, found[0])
    if chance is not None:
        sheet.rule(chance, axis=x)
        sheet.shapes[-1]["yref"] = f"y{y} domain"  # panels of one line share it


def _chance(figure: str, one: Figures) -> float | None:
    """What a space that knows nothing would give."""
    known = {"r1": 1 / one["n"], "r10": min(1.0, NEAR / one["n"]), "neighbours": one["neighbours_chance"]}
    return known.get(figure)


def _span(figure: str, found: Sequence[Figures]) -> list[float]:
    """From 0 to a little above the largest value, within what the figure can be; uniformity from its lowest to 0."""
    values = np.concatenate([np.atleast_1d(one[figure]) for one in found])
    if figure == "uniformity":
        return [1.1 * float(values.min()) - 0.05, 0.1]
    most = float(values.max())
    if figure in ("r1", "r10"):
        most = max(most, *(max(one[f"{figure}_high"]) for one in found))
    low, high = SPANS[figure]
    return [low - 0.03 * max(most, 0.05), min(1.12 * max(most, 0.05), 1.03 * high)]


def _said(names: Sequence[str], found: Sequence[Figures]) -> str:
    mean = [float(np.mean(one["r10"])) for one in found]
    best, worst = int(np.argmax(mean)), int(np.argmin(mean))
    facts = {
        "best": names[best], "best_value": percent(mean[best]), "worst": names[worst],
        "worst_value": percent(mean[worst]), "count": f"{found[0]['n']:,}",
        "chance": percent(min(1.0, NEAR / found[0]["n"])),
    }  # fmt: skip
    said = t("views.beside.finding", **facts) if len(found) > 1 else t("views.beside.one", **facts)
    if len(found) > 1 and min(found[best]["r10_low"]) <= max(found[worst]["r10_high"]):
        said += " " + t("views.beside.close")
    repeated = max(max(one["repeated"]) for one in found)
    return f"{said} {t('views.beside.repeated', share=percent(repeated))}" if repeated > 0.01 else said


def _table(names: Sequence[str], found: Sequence[Figures], a: str, b: str) -> pd.DataFrame:
    rows = []
    for name, one in zip(names, found, strict=True):
        row: dict[str, object] = {t("views.beside.space"): name, t("views.spaces.n"): one["n"]}
        for way, (first, second) in enumerate(((a, b), (b, a))):
            told = t("views.spaces.way", first=first, second=second)
            for figure, word in (("r1", "r1"), ("r10", "r10"), ("mrr", "mrr"), ("median_rank", "median")):
                row[t("views.beside.column", figure=t(f"views.spaces.{word}"), way=told)] = one[figure][way]
            for figure in ("r1", "r10"):
                sure = f"{one[f'{figure}_low'][way]:.3f}–{one[f'{figure}_high'][way]:.3f}"
                word = t("views.beside.interval", figure=t(f"views.spaces.{figure}"))
                row[t("views.beside.column", figure=word, way=told)] = sure
        row |= {t(f"views.spaces.{one_of}"): one[one_of] for one_of in ("gap", "neighbours", "neighbours_chance")}
        row[t("views.beside.panel.alignment")] = one["alignment"]
        for m, uniform, same in zip((a, b), one["uniformity"], one["repeated"], strict=True):
            row[t("views.beside.column", figure=t("views.beside.panel.uniformity"), way=m)] = uniform
            row[t("views.beside.column", figure=t("views.beside.equal"), way=m)] = same
        rows.append(row)
    return pd.DataFrame(rows)
