"""How modalities combine over a set of samples: weights beside exact worth, and how many samples combine in which way.

N samples, M modalities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, PATTERNS
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, distinct, num, percent, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.views.faithful import Line

BADGES = ("complement", "dominance", "conflict", "alone")


def worth(shares: Mapping[str, float], weights: Mapping[str, Mapping[str, float]]) -> Picture:
    """Does the model listen to what its answers hang on? Mean share of the worth of each modality, and its weights.

    shares: {modality: mean share of all |Shapley|}; weights: {signal: {modality: mean weight}}, of modalities alone
    """
    key, title = "worth", t("views.worth.title")
    names = list(shares)
    labels = distinct([clean(say(m), 20) for m in names])
    rows = {t("views.worth.share"): [shares[m] for m in names]}
    rows |= {say(signal): [table.get(m, np.nan) for m in names] for signal, table in weights.items()}
    sheet = Sheet(key, 110 + 22 * len(names) * (1 + len(rows)) // 2, top=26 + 20 * len(rows), right=24)
    for at, (label, values) in enumerate(rows.items()):
        sheet.add(
            "bar", x=np.asarray(values, np.float32), y=labels, orientation="h", name=clean(label, 40),
            text=["" if not np.isfinite(v) else num(round(float(v), 3)) for v in values], textposition="outside",
            cliponaxis=False, hovertemplate="%{y}: %{x:.3f}<extra>" + clean(label, 40) + "</extra>",
            marker={"color": [COLOURS.get(m, CATEGORIES[i % 10]) for i, m in enumerate(names)],
                    "line": {"color": INK, "width": 1}, "opacity": 1 if at == 0 else 0.55,
                    "pattern": {"shape": PATTERNS[at % len(PATTERNS)], "fgcolor": "#FFFFFF", "size": 6}},
        )  # fmt: skip
    highest = max((float(np.nanmax(v)) for v in rows.values() if np.isfinite(v).any()), default=1.0)
    sheet.set(
        barmode="group", legend={"orientation": "v", "traceorder": "normal"},
        xaxis={"range": [0, 1.18 * max(highest, 1e-6)], "title": {"text": t("views.axis.share")}, "nticks": 6},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    top = max(shares, key=shares.__getitem__)
    told = [t("views.worth.finding", name=say(top), value=percent(shares[top]))]
    for signal, table in weights.items():
        first = max(table, key=table.__getitem__)
        same = "views.worth.same" if first == top else "views.worth.other"
        told.append(t(same, signal=say(signal), name=say(first), value=num(round(table[first], 3))))
    table = pd.DataFrame({t("views.axis.modality"): [say(m) for m in names], **rows})
    finding = t("views.list.sentence").join(told)
    return Picture(
        key, title, sheet.figure(), t("views.worth.alt", count=len(names), finding=finding), table, finding,
        t("views.worth.shows"), t("views.worth.hides"),
    )  # fmt: skip


def badges(counts: Mapping[str, int], figures: Mapping[str, Line], axis: str) -> Picture:
    """In which way do modalities combine? How many samples have which badge, and the main figure of each at the right.

    counts: {badge: samples}; figures: {badge: the main figure with its interval}, of those whose truth is known
    """
    key, title = "badges", t("views.badges.title")
    there = [one for one in BADGES if counts.get(one)]
    total = sum(counts.values())
    if not there:
        return base.nothing(key, title, t("views.none.points"))
    labels = [t(f"verdict.badge.{one}") for one in there]
    share = np.asarray([100 * counts[one] / total for one in there], np.float32)
    sheet = Sheet(key, 110 + 40 * len(there), top=26, right=16)
    sheet.add(
        "bar", x=share, y=labels, orientation="h", showlegend=False, cliponaxis=False, textposition="outside",
        text=[f"{counts[one]:,}" for one in there], hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        marker={"color": [CATEGORIES[BADGES.index(one)] for one in there], "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    known = [one for one in there if one in figures]
    found = [figures[one] for one in known]
    if found:
        value, low, high = (np.asarray([getattr(f, n) for f in found], np.float32) for n in ("value", "low", "high"))
        sheet.add(
            "scatter", x=value, y=[t(f"verdict.badge.{one}") for one in known], mode="markers+text", showlegend=False,
            xaxis="x2", yaxis="y", cliponaxis=False, text=[num(round(float(v), 3)) for v in value],
            textposition="top center", marker={"size": 10, "color": INK},
            error_x={"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low,
                     "thickness": 2, "width": 4, "color": INK},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        sheet.set(xaxis2={"domain": [0.56, 1], "anchor": "y", "nticks": 4, "title": {"text": axis},
                          "range": _room(low, high)})  # fmt: skip
    sheet.set(
        xaxis={"domain": [0, 0.46 if found else 1], "range": [0, 1.25 * float(share.max())], "nticks": 4,
               "title": {"text": t("views.axis.share_of_samples")}},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    said = t("views.list.comma").join(f"{t(f'verdict.badge.{one}')} {percent(counts[one] / total)}" for one in there)
    facts = {"count": f"{total:,}", "all": said}
    line = lambda one, name: getattr(figures[one], name) if one in figures else None  # noqa: E731
    table = pd.DataFrame({
        t("views.axis.badge"): labels, t("views.axis.count"): [counts[one] for one in there],
        axis: [line(one, "value") for one in there], t("views.axis.low95"): [line(one, "low") for one in there],
        t("views.axis.high95"): [line(one, "high") for one in there],
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.badges.alt", **facts), table, t("views.badges.finding", **facts),
        t("views.badges.shows"), t("views.badges.hides"),
    )  # fmt: skip


def _room(low: Sequence[float] | np.ndarray, high: Sequence[float] | np.ndarray) -> list[float]:
    least, most = float(np.min(low)), float(np.max(high))
    gap = 0.12 * ((most - least) or abs(most) or 1.0)
    return [least - gap, most + gap]
