"""A data set under two checkpoints: whether one is better, and which points or ranks moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK, SHAPES, thin
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, join, limit_note, num, percent, plain, say
from fusion.views.versus import SIDES, signed_number
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.versus.moving import Moved
    from fusion.versus.sets import Figure

MOST_POINTS = 1_000  # of each half of a map
RINGED = 20  # points that moved farthest


def figures(found: Sequence[Figure], names: tuple[str, str]) -> Picture:
    """Is B better? B - A of each figure with its interval; a bar that crosses zero says that it is open."""
    key, title = "versus-figures", t("views.versus.figures.title")
    told = [t(f"views.versus.figure.{one.name}") for one in found]
    labels = [
        f"{clean(name, 30)}<br>{num(one.a)} → {num(one.b)}" for name, one in zip(told, found, strict=True)
    ]  # two figures never have one name
    known = [one.change for one in found if one.change is not None]
    sheet = Sheet(key, 80 + 44 * len(found), right=16)
    change = np.asarray([one.b - one.a for one in found], np.float32)
    low, high = (
        np.asarray([getattr(one.change, side) if one.change else one.b - one.a for one in found], np.float32)
        for side in ("low", "high")
    )
    sheet.add(
        "scatter", x=change, y=labels, mode="markers", showlegend=False,
        error_x={"type": "data", "symmetric": False, "array": high - change, "arrayminus": change - low,
                 "color": INK, "thickness": 2, "width": 6},
        marker={"size": 11, "symbol": ["diamond" if one.verdict in ("a", "b") else "diamond-open" for one in found],
                "color": [{"a": SIDES[0], "b": SIDES[1]}.get(one.verdict, INK) for one in found]},
        hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
    )  # fmt: skip
    sheet.rule(0, dash="solid")
    sheet.set(
        xaxis={"title": {"text": t("views.versus.figures.axis")}, "nticks": 5}, yaxis={**LINES, "showgrid": False}
    )
    finding = join(*(_verdict(one, name, names) for one, name in zip(found, told, strict=True)))
    columns = [
        t(f"views.versus.figures.{name}") for name in ("name", "n", "a", "b", "change", "low", "high", "verdict")
    ]
    rows = [
        [name, one.n, one.a, one.b, one.b - one.a, one.change.low if one.change else np.nan,
         one.change.high if one.change else np.nan, _better(one, names)]
        for name, one in zip(told, found, strict=True)
    ]  # fmt: skip
    hides = t("views.versus.figures.hides") if known else t("views.versus.figures.few")
    return Picture(
        key, title, sheet.figure(), join(title, finding), pd.DataFrame(rows, columns=columns), finding,
        t("views.versus.figures.shows"), hides,
    )  # fmt: skip


def _better(one: Figure, names: tuple[str, str]) -> str:
    if one.change is None:
        return t("views.versus.better.few")
    return t(f"views.versus.better.{one.verdict}", a=plain(names[0]), b=plain(names[1]))


def _verdict(one: Figure, name: str, names: tuple[str, str]) -> str:
    if one.change is None:
        return t("views.versus.figures.without", name=name, a=num(one.a), b=num(one.b))
    return t(
        "views.versus.figures.finding", name=name, a=num(one.a), b=num(one.b), low=signed_number(one.change.low),
        high=signed_number(one.change.high), verdict=_better(one, names),
    )  # fmt: skip


def maps(one: Moved, names: tuple[str, str]) -> Picture:
    """Where do the points lie under each? B's space turned and scaled to fit A's, both in the plane that A spreads in.

    The farthest movers are ringed in both.
    """
    key, title = f"versus-map-{one.space}", t("views.versus.maps.title", space=say(one.space))
    count = len(one.ids)
    some = np.arange(count)
    if count > MOST_POINTS:
        some = np.sort(np.random.default_rng(0).choice(count, MOST_POINTS, replace=False))
    far = np.argsort(-one.far)[:RINGED]
    groups = list(dict.fromkeys(sorted(one.groups)))
    coloured = 1 < len(groups) <= len(CATEGORIES)
    code = np.asarray([groups.index(g) for g in one.groups]) if coloured else np.zeros(count, int)
    sheet = Sheet(key, 470, top=44, bottom=20)
    both = np.concatenate([one.a[some], one.b[some]])
    low, high = both.min(0), both.max(0)
    room = 0.06 * (high - low + 1e-9)
    shapes = list(dict.fromkeys(SHAPES.values()))
    for panel, points in enumerate((one.a, one.b)):
        axes = {"xaxis": "x" if not panel else "x2", "yaxis": "y" if not panel else "y2"}
        for g, name in enumerate(groups if coloured else [""]):
            rows = some[code[some] == g]
            sheet.add(
                "scatter", x=points[rows, 0], y=points[rows, 1], mode="markers", name=clean(say(name), 22), **axes,
                legendgroup=str(g), showlegend=coloured and not panel,
                marker={"color": CATEGORIES[g % len(CATEGORIES)], "size": 5, "opacity": 0.75,
                        "symbol": shapes[g % len(shapes)]},
                customdata=[clean(one.ids[i], 40) for i in rows], hovertemplate="%{customdata}<extra></extra>",
            )  # fmt: skip
        sheet.add(
            "scatter", x=points[far, 0], y=points[far, 1], mode="markers", hoverinfo="skip", showlegend=False, **axes,
            marker={"symbol": "circle-open", "size": 11, "color": INK, "line": {"width": 1.5}},
        )  # fmt: skip
        sheet.note(
            f"{'AB'[panel]}: {clean(names[panel], 26)}", x=(0.24, 0.76)[panel], y=1.0, xref="paper", yref="paper",
            yanchor="bottom", xanchor="center",
        )  # fmt: skip
    plain_axis = {"showticklabels": False, "showgrid": False}
    x_range, y_range = [[float(low[i] - room[i]), float(high[i] + room[i])] for i in (0, 1)]
    sheet.set(
        xaxis={**plain_axis, "domain": [0, 0.49], "range": x_range}, yaxis={**plain_axis, "range": y_range},
        xaxis2={**plain_axis, "domain": [0.51, 1], "range": x_range, "anchor": "y2"},
        yaxis2={**plain_axis, "range": y_range, "anchor": "x2"}, legend={"y": -0.02, "yanchor": "top"},
    )  # fmt: skip
    sheet.shapes += [
        {"type": "rect", "xref": "paper", "yref": "paper", "x0": x0, "x1": x1, "y0": 0, "y1": 1,
         "line": {"color": thin(INK, 0.5), "width": 1}}
        for x0, x1 in ((0, 0.49), (0.51, 1))
    ]  # fmt: skip
    top = int(far[0])
    finding = join(
        t("views.versus.maps.finding", disparity=num(one.disparity), id=plain(one.ids[top]), 
          far=num(float(one.far[top])), median=num(float(np.median(one.far)))),
        limit_note(len(some), count),
    )  # fmt: skip
    order = np.argsort(-one.far)
    table = pd.DataFrame({
        "id": [one.ids[i] for i in order], t("views.versus.maps.group"): [one.groups[i] for i in order],
        t("views.versus.maps.far"): one.far[order],
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), join(title, finding), table, finding,
        t("views.versus.maps.shows", share=percent(one.explained)), t("views.versus.maps.hides"),
    )  # fmt: skip


def ranks(a: np.ndarray, b: np.ndarray, ids: Sequence[str], names: tuple[str, str]) -> Picture:
    """Whose rank changed? A point a sample, A's rank across and B's up; below the line B finds it sooner. a, b (N,)"""
    key, title = "versus-rank-moves", t("views.versus.ranks.title")
    there = np.isfinite(a) & np.isfinite(b)
    a, b, ids = a[there], b[there], [one for one, known in zip(ids, there, strict=True) if known]
    if not len(a):
        return base.nothing(key, title, t("views.versus.change.none"))
    order = np.argsort(-np.abs(np.log(b / a)), kind="stable")
    shown = order[:MOST_POINTS]
    top = float(max(a.max(), b.max(), 10))
    jitter = np.exp(np.random.default_rng(0).uniform(-0.12, 0.12, (2, len(shown))))
    sheet = Sheet(key, 440)
    sheet.add("scatter", x=[0.8, top * 1.3], y=[0.8, top * 1.3], mode="lines", hoverinfo="skip", showlegend=False,
              line={"color": INK, "width": 1.5, "dash": "dash"})  # fmt: skip
    sheet.add(
        "scatter", x=a[shown] * jitter[0], y=b[shown] * jitter[1], mode="markers", showlegend=False,
        marker={"size": 6, "opacity": 0.6, "color": [SIDES[1] if b[i] < a[i] else SIDES[0] if b[i] > a[i] else INK
                                                     for i in shown]},
        customdata=[[clean(ids[i], 40), int(a[i]), int(b[i])] for i in shown],
        hovertemplate="%{customdata[0]}: %{customdata[1]} → %{customdata[2]}<extra></extra>",
    )  # fmt: skip
    for axis, name in zip(("xaxis", "yaxis"), names, strict=True):
        label = t("views.versus.ranks.axis", name=clean(name, 28))
        ends = [np.log10(0.75), np.log10(top * 1.35)]
        sheet.set(**{axis: {"type": "log", "range": ends, "title": {"text": label}, "dtick": 1}})
    sooner, later = int((b < a).sum()), int((b > a).sum())
    finding = t(
        "views.versus.ranks.finding", sooner=f"{sooner:,}", later=f"{later:,}", same=f"{len(a) - sooner - later:,}",
        b=plain(names[1]),
    )  # fmt: skip
    table = pd.DataFrame({"id": [ids[i] for i in order], "A": a[order], "B": b[order]})
    return Picture(
        key, title, sheet.figure(), join(title, finding), table, join(finding, limit_note(len(shown), len(a))),
        t("views.versus.ranks.shows"), t("views.versus.ranks.hides"),
    )  # fmt: skip
