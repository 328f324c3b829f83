"""What a system keeps as data go missing: its main figure by rate and by subset of modalities, its weights by rate.

R rates, V voices (modalities, or what a model weighs). Figures are drawn as a reader knows them: an accuracy, higher is
better, or a mean absolute error, lower is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SHAPES, thin
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_RUNS = 8  # lines in one picture
MOST_SUBSETS = 31  # 2^5 - 1
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MARKS = ("circle", "diamond", "square", "triangle-up", "x", "cross", "star", "pentagon")
WHOLE = ("modalities", "steps")  # what is hidden, where it is no single modality


@dataclass(frozen=True, eq=False)
class Run:
    """The main figure of one system at each rate: the mean over draws, and the lowest and highest of them."""

    name: str
    rates: np.ndarray  # (R,)
    mean: np.ndarray  # (R,) as a reader knows it
    low: np.ndarray
    high: np.ndarray
    draws: int

    @property
    def area(self) -> float:
        """Mean height of the curve, by trapezoids."""
        return _area(self.rates, self.mean)

    @property
    def between(self) -> tuple[float, float]:
        """Mean height of the lowest and of the highest draws."""
        return _area(self.rates, self.low), _area(self.rates, self.high)


def _area(rates: np.ndarray, values: np.ndarray) -> float:
    width = np.diff(rates)
    return float(((values[1:] + values[:-1]) / 2 * width).sum() / width.sum())


def better(figure: str) -> int:
    """1 where a higher figure is the better one, -1 where a lower one is."""
    return -1 if figure == "mae" else 1


def curves(runs: Sequence[Run], *, what: str, figure: str) -> Picture:
    """How much is kept as more goes missing, and who loses least? A line a system, the spread of the draws as a band.

    The first run is the one in use. what: modalities, steps, or one modality; figure: accuracy or mae
    """
    key = f"missing-{what}"
    title = t(f"views.missing.title.{what}") if what in WHOLE else t("views.missing.title.one", name=say(what))
    if not runs:
        return base.nothing(key, title, t("views.missing.none"))
    shown = list(runs[:MOST_RUNS])
    sheet = Sheet(key, 380 + 18 * len(shown), top=26 + 20 * len(shown), right=14)
    names = distinct([clean(run.name, 34) for run in shown])
    for at in reversed(range(len(shown))):  # ours above the others
        run, colour = shown[at], CATEGORIES[at % len(CATEGORIES)]
        veil = {"x": np.r_[run.rates, run.rates[::-1]], "y": np.r_[run.high, run.low[::-1]].astype(np.float32)}
        sheet.add(
            "scatter", **veil, mode="lines", fill="toself", fillcolor=thin(colour, 0.16), line={"width": 0},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        sheet.add(
            "scatter", x=run.rates, y=run.mean.astype(np.float32), mode="lines+markers", legendrank=at,
            name=t("views.missing.legend", name=names[at], area=num(round(run.area, 3))),
            line={"color": colour, "width": 3 if at == 0 else 1.8, "dash": DASHES[at % len(DASHES)]},
            marker={"symbol": MARKS[at % len(MARKS)], "size": 8 if at == 0 else 6},
            hovertemplate="%{x:.1f}: %{y:.3f}<extra>" + names[at] + "</extra>",
        )  # fmt: skip
    axis = t(f"views.missing.axis.{what}") if what in WHOLE else t("views.missing.axis.one", name=say(what))
    sheet.set(
        xaxis={"range": [-0.02, 1.02], "title": {"text": axis}, "nticks": 6, "tickformat": ".0%"},
        yaxis={"title": {"text": t(f"views.missing.figure.{figure}")}, "nticks": 6},
        legend={"orientation": "v", "traceorder": "normal"},
    )
    return Picture(
        key, title, sheet.figure(), t("views.missing.alt", count=len(shown), finding=_lost(shown, figure)),
        _curve_table(shown), join(_lost(shown, figure), limit_note(len(shown), len(runs))),
        t("views.missing.shows", draws=shown[0].draws), t("views.missing.hides"),
    )  # fmt: skip


def _lost(runs: Sequence[Run], figure: str) -> str:
    """What ours keeps, who has the best area, who falls least, and whether the draws tell the first two apart."""
    sign, own = better(figure), runs[0]
    told = t(
        "views.missing.own", name=plain(own.name), start=num(float(own.mean[0])), end=num(float(own.mean[-1])),
        area=num(round(own.area, 3)),
    )  # fmt: skip
    if len(runs) < 2:
        return told
    order = sorted(runs, key=lambda run: -sign * run.area)
    best, second = order[0], order[1]
    fall = lambda run: sign * float(run.mean[0] - run.mean[-1])  # noqa: E731
    least = min(runs, key=fall)
    areas = t("views.list.comma").join(f"{plain(run.name)} {num(round(run.area, 3))}" for run in order)
    told = join(told, t(f"views.missing.best.{figure}", name=plain(best.name), all=areas))
    told = join(told, t("views.missing.least", name=plain(least.name), fall=num(abs(fall(least)))))
    low, high = (best, second) if sign > 0 else (second, best)
    if low.between[0] <= high.between[1]:
        told = join(told, t("views.missing.open", name=plain(best.name), other=plain(second.name)))
    return told


def _curve_table(runs: Sequence[Run]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({
            t("views.axis.system"): plain(run.name, 80), t("views.axis.rate"): run.rates,
            t("views.axis.mean"): run.mean, t("views.axis.lowest"): run.low, t("views.axis.highest"): run.high,
        })
        for run in runs
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Kept:
    """The main figure with some modalities alone."""

    modalities: tuple[str, ...]
    value: float
    count: int  # samples that have one of them


def subsets(
    found: Sequence[Kept], modalities: Sequence[str], *, figure: str, nothing: float,
    interval: tuple[float, float] | None = None,
) -> Picture:  # fmt: skip
    """With which modalities is it good? A bar a subset, the best first; an upright line at the answer from nothing.

    interval: of the figure with all of them; what lies inside isn't told apart
    """
    key, title = "by-subset", t("views.by_subset.title")
    if not found:
        return base.nothing(key, title, t("views.missing.none"))
    sign = better(figure)
    order = sorted(found, key=lambda one: (-sign * one.value, len(one.modalities)))
    shown = order[:MOST_SUBSETS]
    name = lambda one: t("views.list.plus").join(say(m) for m in one.modalities)  # noqa: E731
    values = np.asarray([one.value for one in shown], np.float32)
    labels = distinct([f"{clean(name(one), 34)} ({one.count:,})" for one in shown])
    sheet = Sheet(key, 96 + 30 * len(shown), top=24, right=20)
    sheet.add(
        "bar", x=values, y=labels, orientation="h", showlegend=False, cliponaxis=False, textposition="outside",
        text=[num(round(float(v), 3)) for v in values], hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"color": [_of(one) for one in shown], "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.rule(nothing)
    sheet.note(
        t("views.by_subset.nothing", value=num(round(nothing, 3))), x=nothing, xref="x", y=1, yref="paper",
        yanchor="bottom",
    )  # fmt: skip
    sheet.set(
        xaxis={"range": [0, 1.16 * max(float(values.max()), nothing, 1e-6)], "nticks": 6,
               "title": {"text": t(f"views.missing.figure.{figure}")}},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    finding = _chosen(order, modalities, sign, nothing, interval)
    table = pd.DataFrame({
        t("views.axis.modalities"): [*(plain(name(one), 80) for one in order), t("views.by_subset.none")],
        t(f"views.missing.figure.{figure}"): [*(one.value for one in order), nothing],
        t("views.axis.count"): [*(one.count for one in order), max(one.count for one in order)],
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.by_subset.alt", count=len(order), finding=finding), table,
        join(finding, limit_note(len(shown), len(order))), t("views.by_subset.shows"), t("views.by_subset.hides"),
    )  # fmt: skip


def _of(one: Kept) -> str:
    return COLOURS.get(one.modalities[0], CATEGORIES[0]) if len(one.modalities) == 1 else INK


def _chosen(
    order: Sequence[Kept], modalities: Sequence[str], sign: int, nothing: float, interval: tuple[float, float] | None
) -> str:
    """All of them against the best alone and against the best subset, and which are no better than nothing."""
    name = lambda one: t("views.list.plus").join(say(m) for m in one.modalities)  # noqa: E731
    whole = next((one for one in order if len(one.modalities) == len(modalities)), None)
    single = next((one for one in order if len(one.modalities) == 1), None)
    apart = lambda value: interval is None or not interval[0] <= value <= interval[1]  # noqa: E731
    told = []
    if whole is not None and single is not None:
        way = "even" if not apart(single.value) else "gain" if sign * (whole.value - single.value) > 0 else "loss"
        low, high = interval or (whole.value, whole.value)
        facts = {
            "whole": num(round(whole.value, 3)), "name": name(single), "value": num(round(single.value, 3)),
            "low": num(round(low, 3)), "high": num(round(high, 3)),
        }  # fmt: skip
        told.append(t(f"views.by_subset.{way}", **facts))
    if whole is not None and sign * (order[0].value - whole.value) > 5e-4 and apart(order[0].value):
        told.append(t("views.by_subset.best", name=name(order[0]), value=num(round(order[0].value, 3))))
    useless = [name(one) for one in order if sign * (one.value - nothing) <= 0]
    if useless:
        told.append(t("views.by_subset.useless", names=t("views.list.semicolon").join(useless)))
    return join(*told)


def followed(name: str, table: Mapping[str, Sequence[float]], rates: Sequence[float], what: str) -> Picture:
    """Where does a weight go, or a gate, as data vanish? A line a voice: its mean over the samples at each rate.

    table: {voice: (R,)}, NaN where no sample has one; what: modalities, or the one that vanishes
    """
    key, title = f"followed-{name}-{what}", t("views.followed.title", name=say(name))
    voices = {voice: np.asarray(values, np.float32) for voice, values in table.items()}
    voices = {voice: values for voice, values in voices.items() if np.isfinite(values).any()}
    if not voices:
        return base.nothing(key, title, t("views.followed.none"))
    sheet = Sheet(key, 320, top=44, right=14)
    for at, (voice, values) in enumerate(voices.items()):
        label = clean(say(voice), 28)
        sheet.add(
            "scatter", x=np.asarray(rates, np.float32), y=values, mode="lines+markers", name=label,
            line={"color": COLOURS.get(voice, CATEGORIES[at % 10]), "width": 2, "dash": DASHES[at % len(DASHES)]},
            marker={"symbol": SHAPES.get(voice, MARKS[at % len(MARKS)]), "size": 8},
            hovertemplate="%{x:.0%}: %{y:.3f}<extra>" + label + "</extra>",
        )  # fmt: skip
    axis = t(f"views.missing.axis.{what}") if what in WHOLE else t("views.missing.axis.one", name=say(what))
    sheet.set(
        xaxis={"range": [-0.02, 1.02], "title": {"text": axis}, "nticks": 6, "tickformat": ".0%"},
        yaxis={"title": {"text": t("views.axis.weight")}, "nticks": 6},
    )
    moved = {voice: _moved(values) for voice, values in voices.items()}
    most = max(moved, key=lambda voice: abs(moved[voice][1] - moved[voice][0]))
    start, end = moved[most]
    facts = {"name": say(most), "start": num(start), "end": num(end), "count": len(voices)}
    finding = t("views.followed.same" if abs(end - start) < 5e-3 else "views.followed.finding", **facts)
    numbers = pd.DataFrame({t("views.axis.rate"): np.asarray(rates, np.float32)} | {
        label: values for label, values in zip(distinct([say(v) for v in voices]), voices.values(), strict=True)
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.followed.alt", **facts), numbers, finding, t("views.followed.shows"),
        t("views.followed.hides"),
    )  # fmt: skip


def _moved(values: np.ndarray) -> tuple[float, float]:
    """The first and the last value that there is."""
    there = values[np.isfinite(values)]
    return float(there[0]), float(there[-1])
