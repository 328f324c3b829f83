"""Whether a weight or a gate means anything: coverage, effects of removal, and numbers with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.fusing import MOST_POINTS, SEED, Weighed
from fusion.views.palette import CATEGORIES, COLOURS, INK, SHAPES
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, distinct, join, limit_note, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 40


def coverage(seen: Weighed) -> Picture:
    """How many entities really have each modality? The rest was filled in or is empty."""
    key, title = "coverage", t("views.coverage.title")
    names = seen.names
    there = seen.known.mean(0).astype(np.float32) * 100
    labels = distinct([clean(n, 20) for n in names])
    sheet = Sheet(key, 100 + 34 * len(names), top=36, right=20)
    for name, values, pattern in (
        (t("views.fusing.known"), there, ""), (t("views.fusing.filled"), 100 - there, "/"),
    ):  # fmt: skip
        sheet.add(
            "bar", x=values, y=labels, orientation="h", name=name,
            marker={"color": seen.colours if not pattern else INK, "line": {"color": INK, "width": 1},
                    "pattern": {"shape": pattern, "fgcolor": "#FFFFFF", "size": 6, "fillmode": "overlay"}},
            hovertemplate="%{y}: %{x:.1f} %<extra>" + name + "</extra>",
        )  # fmt: skip
    sheet.set(
        barmode="stack",
        xaxis={"range": [0, 100], "title": {"text": t("views.axis.share_of_entities")}, "nticks": 6},
        yaxis={**LINES, "showgrid": False},
    )
    least = int(there.argmin())
    facts = {
        "name": names[least], "share": percent(float(there[least]) / 100), "count": f"{len(seen):,}",
        "whole": percent(float(seen.known.all(1).mean())) if len(seen) else "–", "most": f"{float(there.max()):.3g}",
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.modality"): names, t("views.fusing.known"): seen.known.sum(0),
        t("views.fusing.filled"): (~seen.known).sum(0), t("views.axis.share_of_entities"): there,
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.coverage.alt", **facts), table, t("views.coverage.finding", **facts),
        t("views.coverage.shows"), t("views.coverage.hides"),
    )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One number with its interval."""

    name: str
    value: float
    low: float
    high: float
    count: int


def lines(
    found: Sequence[Line], *, key: str, title: str, axis: str, shows: str, hides: str, neutral: float | None = None,
    span: tuple[float, float] = (0.0, 1.0),
) -> Picture:  # fmt: skip
    """Some numbers with their 95 % intervals, one under the other; an upright line at the value that says nothing."""
    if not found:
        return base.nothing(key, title, t("views.none.points"))
    labels = distinct([f"{clean(one.name, 26)} ({one.count:,})" for one in found])
    values = np.asarray([one.value for one in found], np.float32)
    low, high = (np.asarray([getattr(one, side) for one in found], np.float32) for side in ("low", "high"))
    sheet = Sheet(key, 92 + 30 * len(found), top=20, right=16)
    sheet.add(
        "scatter", x=values, y=labels, mode="markers+text", showlegend=False, cliponaxis=False,
        text=[num(round(float(v), 3)) for v in values], textposition="top center",
        marker={"size": 9, "color": CATEGORIES[0]},
        error_x={"type": "data", "symmetric": False, "array": high - values, "arrayminus": values - low,
                 "thickness": 2, "width": 4, "color": INK},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    if neutral is not None:
        sheet.rule(neutral)
    sheet.set(xaxis={"range": list(span), "title": {"text": axis}, "nticks": 6}, yaxis={**LINES, "showgrid": True})
    top, least = int(values.argmax()), int(values.argmin())
    said = lambda i: t(  # noqa: E731
        "views.lines.one", name=plain(found[i].name), value=num(float(values[i])), low=num(float(low[i])),
        high=num(float(high[i])), count=f"{found[i].count:,}",
    )  # fmt: skip
    finding = t("views.lines.finding", high=said(top), low=said(least)) if len(found) > 1 else said(0)
    table = pd.DataFrame({
        t("views.axis.what"): [plain(one.name) for one in found], axis: values, t("views.axis.low95"): low,
        t("views.axis.high95"): high, t("views.axis.count"): [one.count for one in found],
    })  # fmt: skip
    return Picture(key, title, sheet.figure(), finding, table, finding, shows, hides)


@dataclass(frozen=True)
class Rank:
    """A rank correlation with its 95 % interval."""

    value: float
    low: float
    high: float


def honest(seen: Weighed, modality: str, effect: np.ndarray, correlation: Rank | None) -> Picture:
    """Does a weight say what the modality does? Weight of each entity against how far its partner falls without it.

    effect (N,) in ranks, NaN where there is no partner. Marks are rows.
    """
    key, title = f"honest-{modality}", t("views.honest.title", name=say(modality))
    at = seen.modalities.index(modality)
    has = np.flatnonzero(np.isfinite(effect))
    if not len(has):
        return base.nothing(key, title, t("views.none.pairs"))
    if len(has) > MOST_POINTS:
        has = np.sort(np.random.default_rng(SEED).choice(has, MOST_POINTS, replace=False))
    total = int(np.isfinite(effect).sum())
    lifted = np.sign(effect) * np.log10(1 + np.abs(effect))  # ranks spread over orders of magnitude
    sheet = Sheet(key, 380, top=36)
    marks = []
    for there, symbol, colour in ((True, SHAPES.get(modality, "circle"), seen.colours[at]), (False, "x-open", INK)):
        rows = has[seen.known[has, at] == there]
        if not len(rows):
            continue
        name = t("views.fusing.known" if there else "views.fusing.filled")
        sheet.add(
            "scatter", x=seen.weights[rows, at].astype(np.float32), y=lifted[rows].astype(np.float32), mode="markers",
            name=name, marker={"symbol": symbol, "size": 7, "color": colour, "opacity": 0.5},
            hovertemplate="%{x:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
        marks.append(tuple(rows.tolist()))
    sheet.clicks()
    reach = int(np.ceil(np.abs(lifted[has]).max())) or 1
    ticks = [sign * step for sign in (-1, 1) for step in range(1, reach + 1)]
    named = [0, *ticks]
    said = ["0", *[("−" if v < 0 else "+") + f"{10 ** abs(v):,}" for v in ticks]]
    low, high = float(lifted[has].min()), float(lifted[has].max())
    sheet.set(
        xaxis={"title": {"text": t("views.axis.weight")}, "nticks": 6},
        yaxis={"title": {"text": t("views.axis.effect")}, "tickvals": named, "ticktext": said,
               "range": [low - 0.2, high + 0.2], "zeroline": True, "zerolinecolor": INK},
    )  # fmt: skip
    fell = float((effect[np.isfinite(effect)] > 0).mean())
    facts = {
        "name": say(modality), "count": f"{total:,}", "fell": percent(fell),
        "worst": f"{int(np.nanmax(effect)):,}", "high": num(float(seen.weights[has, at].max())),
    }  # fmt: skip
    if correlation is None:
        finding = t("views.honest.same", **facts)
    else:
        sure = correlation.low > 0 or correlation.high < 0
        way = "none" if not sure else "up" if correlation.value > 0 else "down"
        finding = t(
            f"views.honest.{way}", **facts, rho=num(correlation.value), low=num(correlation.low),
            upper=num(correlation.high),
        )  # fmt: skip
    table = pd.DataFrame({t("views.axis.weight"): seen.weights[has, at], t("views.axis.effect"): effect[has]})
    return Picture(
        key, title, sheet.figure(), join(t("views.honest.alt", **facts), finding), table,
        join(finding, limit_note(len(has), total)), t("views.honest.shows"), t("views.honest.hides"), tuple(marks),
    )  # fmt: skip


def gates(values: np.ndarray, modality: str) -> Picture:
    """How far do the gates of a whole data set open? Counts of the mean gate of each sample. values (N,) in [0, 1]"""
    key, title = "gates", t("views.gates.title")
    found = np.asarray(values, np.float64)
    found = found[np.isfinite(found)]
    if not len(found):
        return base.nothing(key, title, t("views.none.points"))
    counts, edges = np.histogram(found, BINS)
    sheet = Sheet(key, 300, top=10)
    sheet.add(
        "bar", x=((edges[1:] + edges[:-1]) / 2).astype(np.float32), y=counts.astype(np.float32), showlegend=False,
        marker={"color": COLOURS.get(modality, INK)}, width=float(edges[1] - edges[0]) * 0.94,
        hovertemplate="%{x:.3f}: %{y}<extra></extra>",
    )  # fmt: skip
    sheet.rule(float(np.median(found)))
    sheet.set(
        xaxis={"title": {"text": t("views.axis.gate")}, "nticks": 6},
        yaxis={"rangemode": "tozero", "title": {"text": t("views.axis.count")}, "nticks": 5},
    )
    low, high = np.percentile(found, [10, 90])
    facts = {
        "count": f"{len(found):,}", "mean": num(float(found.mean())), "low": num(float(low)), "high": num(float(high)),
        "name": say(modality), "most": f"{int(counts.max()):,}", "least": num(float(found.min())),
        "widest": num(float(found.max())),
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.from"): edges[:-1].astype(np.float32), t("views.axis.to"): edges[1:].astype(np.float32),
        t("views.axis.count"): counts,
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.gates.alt", **facts), table, t("views.gates.finding", **facts),
        t("views.gates.shows", name=say(modality)), t("views.gates.hides"),
    )  # fmt: skip


def gate_match(gate: np.ndarray, match: np.ndarray, modality: str, correlation: Rank | None) -> Picture:
    """Does the gate close where the two don't fit? Mean gate of each sample against its match score. Marks are rows.

    gate (N,), match (N,), NaN where there is no picture.
    """
    key, title = "gate_match", t("views.gate_match.title")
    has = np.flatnonzero(np.isfinite(gate) & np.isfinite(match))
    if not len(has):
        return base.nothing(key, title, t("views.none.points"))
    total = len(has)
    if total > MOST_POINTS:
        has = np.sort(np.random.default_rng(SEED).choice(has, MOST_POINTS, replace=False))
    sheet = Sheet(key, 360, top=10)
    sheet.add(
        "scatter", x=match[has].astype(np.float32), y=gate[has].astype(np.float32), mode="markers", showlegend=False,
        marker={"symbol": SHAPES.get(modality, "circle"), "size": 6, "color": COLOURS.get(modality, INK),
                "opacity": 0.45},
        hovertemplate="%{x:.3f}, %{y:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.clicks()
    sheet.set(
        xaxis={"range": [-0.02, 1.02], "title": {"text": t("views.axis.score")}, "nticks": 6},
        yaxis={"title": {"text": t("views.axis.gate")}, "nticks": 6},
    )
    facts = {"count": f"{total:,}", "name": say(modality), "widest": num(float(gate[has].max()))}
    if correlation is None:
        finding = t("views.gate_match.same", **facts)
    else:
        sure = correlation.low > 0 or correlation.high < 0
        way = "none" if not sure else "up" if correlation.value > 0 else "down"
        finding = t(
            f"views.gate_match.{way}", **facts, rho=num(correlation.value), low=num(correlation.low),
            upper=num(correlation.high),
        )  # fmt: skip
    table = pd.DataFrame({t("views.axis.score"): match[has], t("views.axis.gate"): gate[has]})
    return Picture(
        key, title, sheet.figure(), join(t("views.gate_match.alt", **facts), finding), table,
        join(finding, limit_note(len(has), total)), t("views.gate_match.shows"), t("views.gate_match.hides"),
        (tuple(has.tolist()),),
    )  # fmt: skip
