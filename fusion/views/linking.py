"""All held-out questions of a link predictor: what it decides by, and by which relations fusion helps or hurts.

R relations, C branches, N entities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.links import pair_name
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import clean, distinct, join, limit_note, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.views.faithful import Line

MOST_RELATIONS = 40
BINS = 50


def decision(weights: Mapping[str, float], alone: Sequence[Line], whole: Line) -> Picture:
    """Does the weight of a branch go with what it can do? Weights at the left, MRR of each branch alone at the right.

    alone: MRR of each branch by itself, in the order of the weights; whole: that of the decision.
    """
    key, title = "decision", t("views.decision.title")
    branches = list(weights)
    values = np.asarray([weights[one] for one in branches], np.float32)
    labels = distinct([clean(say(one), 18) for one in branches])
    colours = [COLOURS.get(one, CATEGORIES[i % 10]) for i, one in enumerate(branches)]
    mrr, low, high = (
        np.asarray([getattr(one, name) for one in alone], np.float32) for name in ("value", "low", "high")
    )
    sheet = Sheet(key, 110 + 40 * len(branches), top=26, right=16)
    sheet.add(
        "bar", x=values, y=labels, orientation="h", showlegend=False, cliponaxis=False, textposition="outside",
        text=[num(round(float(v), 3)) for v in values], hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"color": colours, "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.add(
        "scatter", x=mrr, y=labels, mode="markers+text", showlegend=False, xaxis="x2", yaxis="y", cliponaxis=False,
        text=[num(round(float(v), 3)) for v in mrr], textposition="top center",
        marker={"size": 10, "color": colours, "line": {"width": 1, "color": INK}},
        error_x={"type": "data", "symmetric": False, "array": high - mrr, "arrayminus": mrr - low, "thickness": 2,
                 "width": 4, "color": INK},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(
        xaxis={"domain": [0, 0.44], "range": [0, max(1.3 * float(values.max()), 0.4)], "nticks": 4,
               "title": {"text": t("views.axis.weight")}},
        xaxis2={"domain": [0.54, 1], "anchor": "y", "range": [0, 1.15 * max(float(high.max()), whole.value)],
                "nticks": 4, "title": {"text": t("views.axis.mrr")}},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    sheet.rule(1 / len(branches))
    sheet.rule(whole.value, axis="2")
    sheet.shapes[-1]["yref"] = "y domain"  # the panels share their lines
    top, best = int(values.argmax()), int(mrr.argmax())
    facts = {
        "top": say(branches[top]), "weight": num(float(values[top])), "best": say(branches[best]),
        "alone": num(round(float(mrr[best]), 3)), "whole": num(round(whole.value, 3)),
        "even": num(1 / len(branches)), "low": num(round(whole.low, 3)), "high": num(round(whole.high, 3)),
        "all": t("views.list.comma").join(f"{say(n)} {num(float(v))}" for n, v in zip(branches, values, strict=True)),
    }  # fmt: skip
    same = float(np.ptp(values)) < 5e-3
    table = pd.DataFrame({
        t("views.axis.branch"): [*map(say, branches), t("views.links.decision")],
        t("views.axis.weight"): [*values.tolist(), None], t("views.axis.mrr"): [*mrr.tolist(), whole.value],
        t("views.axis.low95"): [*low.tolist(), whole.low], t("views.axis.high95"): [*high.tolist(), whole.high],
    })  # fmt: skip
    finding = t("views.decision.even" if same else "views.decision.finding", **facts)
    return Picture(
        key, title, sheet.figure(), t("views.decision.alt", **facts), table, finding, t("views.decision.shows"),
        t("views.decision.hides"),
    )  # fmt: skip


def by_relation(names: Sequence[str], counts: np.ndarray, values: np.ndarray, columns: Sequence[str]) -> Picture:
    """By which relations does which branch find the answer? MRR, relations down, the decision and branches across.

    names R, counts (R,) questions, values (R, 1 + C), the decision first; columns C, the branches.
    """
    key, title = "by_relation", t("views.by_relation.title")
    if not len(names):
        return base.nothing(key, title, t("views.none.questions"))
    shown = [int(at) for at in np.argsort(-np.asarray(counts), kind="stable")[:MOST_RELATIONS]]
    across = [t("views.links.decision"), *(clean(say(one), 14) for one in columns)]
    z = np.asarray(values, np.float32)[shown]
    sheet = heat(key, round(1.3 * len(shown)), longest=10)
    sheet.add(
        "heatmap", z=z, x=distinct(across), xgap=2, ygap=2, colorscale=scale(SEQUENTIAL), zmin=0, zmax=1,
        y=distinct([f"{clean(names[i], 24)} ({int(counts[i]):,})" for i in shown]), colorbar=bar(t("views.axis.mrr")),
        text=[[num(round(float(v), 2)) for v in row] for row in z], texttemplate="%{text}",
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"tickangle": -35})
    top, least = int(np.asarray(values)[:, 0].argmax()), int(np.asarray(values)[:, 0].argmin())
    said = []
    for where in shown[:3]:  # of the largest, which branch does best
        best = int(np.asarray(values)[where, 1:].argmax())
        said.append(t(
            "views.by_relation.best", name=plain(names[where]), branch=say(columns[best]),
            value=num(round(float(values[where, 1 + best]), 3)), whole=num(round(float(values[where, 0]), 3)),
        ))  # fmt: skip
    facts = {
        "count": len(names), "easy": plain(names[top]), "high": num(round(float(values[top, 0]), 3)),
        "hard": plain(names[least]), "low": num(round(float(values[least, 0]), 3)),
        "most": num(round(float(np.asarray(values).max()), 3)),
    }  # fmt: skip
    table = pd.DataFrame(np.asarray(values, np.float32), columns=distinct([across[0], *map(say, columns)]))
    table.insert(0, t("views.axis.relation"), [plain(name, 80) for name in names])
    table.insert(1, t("views.axis.questions"), np.asarray(counts))
    finding = join(t("views.by_relation.finding", **facts), *said, limit_note(len(shown), len(names)))
    return Picture(
        key, title, sheet.figure(), t("views.by_relation.alt", **facts), table, finding,
        t("views.by_relation.shows"), t("views.by_relation.hides"),
    )  # fmt: skip


def agreement(cosines: np.ndarray, pairs: Sequence[tuple[str, str]], whole: np.ndarray) -> Picture:
    """Do an entity's rows of two modalities point the same way? Counts of their cosines over entities that have both.

    cosines (N, P); pairs P; whole (N, P) bool: both are really there.
    """
    key, title = "agreement", t("views.agreement.title")
    edges = np.linspace(-1, 1, BINS + 1)
    middle = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    sheet = Sheet(key, 320, top=44)
    rows = []
    for i, pair in enumerate(pairs):
        found = np.asarray(cosines)[np.asarray(whole)[:, i], i]
        name = pair_name(pair)
        if not len(found):
            continue
        share = 100 * np.histogram(found, edges)[0] / len(found)
        sheet.add(
            "scatter", x=middle, y=share.astype(np.float32), mode="lines", name=clean(name, 30),
            line={"color": CATEGORIES[(0, 1, 2)[i % 3]], "width": 2, "shape": "hvh",
                  "dash": ("solid", "dash", "dot")[i % 3]},
            hovertemplate="%{x:.2f}: %{y:.1f} %<extra>" + clean(name, 30) + "</extra>",
        )  # fmt: skip
        rows.append((name, len(found), *np.percentile(found, [10, 50, 90]).tolist()))
    if not rows:
        return base.nothing(key, title, t("views.none.points"))
    sheet.rule(0, dash="solid", width=1)
    sheet.set(
        xaxis={"range": [-1, 1], "title": {"text": t("views.axis.cosine")}, "nticks": 6},
        yaxis={"rangemode": "tozero", "title": {"text": t("views.axis.share_of_entities")}, "nticks": 5},
    )
    top, least = max(rows, key=lambda one: one[3]), min(rows, key=lambda one: one[3])
    facts = {
        "top": top[0], "high": num(round(top[3], 3)), "low_pair": least[0], "low": num(round(least[3], 3)),
        "count": f"{top[1]:,}", "pairs": len(rows),
    }  # fmt: skip
    columns = [t("views.axis.pair"), t("views.axis.count"), "P10", "P50", "P90"]
    finding = t("views.agreement.finding" if len(rows) > 1 else "views.agreement.single", **facts)
    return Picture(
        key, title, sheet.figure(), t("views.agreement.alt", **facts), pd.DataFrame(rows, columns=columns), finding,
        t("views.agreement.shows"), t("views.agreement.hides"),
    )  # fmt: skip


def gained(found: Sequence[Line]) -> str:
    """One sentence on the relations where the decision is surely above or below its best branch."""
    up = [one for one in found if one.low > 0]
    down = [one for one in found if one.high < 0]
    if not up and not down:
        return t("views.gained.none", count=len(found))
    return join(
        t("views.gained.up", count=len(up), names=_named(sorted(up, key=lambda one: -one.value))) if up else "",
        t("views.gained.down", count=len(down), names=_named(sorted(down, key=lambda one: one.value))) if down else "",
        t("views.gained.open", share=percent(1 - (len(up) + len(down)) / len(found))),
    )  # fmt: skip


def _named(lines: Sequence[Line]) -> str:
    """The first three with their numbers."""
    return t("views.list.comma").join(
        f"{plain(one.name)} {'+' if one.value > 0 else ''}{num(round(one.value, 3))}" for one in lines[:3]
    )
