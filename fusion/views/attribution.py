"""What moved a number, step by step, and whether that is true: attributions, deletion curves, how methods agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.attention import VEIL, backdrop, over_picture, put_behind
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, DIVERGING, INK, scale, thin
from fusion.views.rows import grid_of, rows_of
from fusion.views.sheet import LINES, Sheet, bar
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.signals import Attribution, Trace
    from fusion.types import Sample

CHANCE = 0.05  # of random orders may be as good as one that is called better
NAMED = 40  # steps that are drawn with their names, one a line; more are drawn along an axis
# Both directions are seen through where nothing moved, so that the picture itself shows.
BOTH = tuple(
    f"rgba({int(c[1:3], 16)},{int(c[3:5], 16)},{int(c[5:7], 16)},{0.15 + 0.7 * abs(2 * i / 9 - 1):.2f})"
    for i, c in enumerate(DIVERGING)
)


def parts(
    signal: Attribution, sample: Sample, trace: Trace, *, picture: bytes | None = None, fit: str = "pad",
) -> Picture:  # fmt: skip
    """What did each word, region or step move? Heat over a picture; bars by name; bars over time.

    Values are added up over the pieces of a word. Marks are group numbers, or region indices (curve 1 of a picture).
    """
    key, title = f"parts-{signal.name}", t("views.attribution.title", modality=say(signal.steps))
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if base.absent(signal.steps, sample) or not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = rows.total(base.array(signal.value))  # (G,)
    error = None if signal.error is None else rows.total(base.array(signal.error))
    grid = grid_of(trace, signal.steps, base.flags(signal.mask))
    most = float(np.abs(values).max()) or 1.0
    names, marks = rows.plain(), (rows.index,)
    if grid is not None and len(grid.steps) == len(rows):
        names = grid.names()
        texts = [f"{n}<br>{_number(float(v), signal.signed)}" for n, v in zip(names, values, strict=True)]
        sheet = over_picture(
            key, grid, values, texts, (-most if signal.signed else 0, most), t("views.axis.moved"),
            colours=BOTH if signal.signed else VEIL,
        )  # fmt: skip
        behind = backdrop(sample, picture, fit)
        if behind is not None:
            put_behind(sheet, grid, behind)
        marks = ((), tuple(range(len(values))))
    elif len(rows) <= NAMED:
        sheet = _named(key, rows.labels(), values, error, signal)
    else:
        sheet = _in_time(key, values, error, signal)
    order = np.argsort(-np.abs(values))[:3]
    facts = {
        "modality": say(signal.steps), "sum": _number(float(values.sum()), signal.signed), "count": len(values),
        "top": t("views.list.semicolon").join(
            t("views.attribution.one", name=names[i], value=_number(float(values[i]), signal.signed)) for i in order
        ),
        "share": percent(float(np.abs(values[order]).sum() / max(np.abs(values).sum(), 1e-12))),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.step"): names, t("views.axis.moved"): values})
    if error is not None:
        table[t("views.axis.sampling_error")] = error
    finding = t("views.attribution.finding" if signal.signed else "views.attribution.finding_share", **facts)
    return Picture(
        key, title, sheet.figure(), t("views.attribution.alt", **facts), table, finding,
        t("views.attribution.shows" if signal.signed else "views.attribution.shows_share"),
        caveat(signal, "views.hides"), marks,
    )  # fmt: skip


def _number(value: float, direction: bool) -> str:
    return num(value) if not direction else ("−" if value < 0 else "+") + num(abs(value))


def _colours(values: np.ndarray, signal: Attribution) -> list[str] | str:
    """Blue pushes down, brown pushes up; shares have the colour of their modality."""
    if not signal.signed:
        return COLOURS.get(signal.steps, INK)
    return [DIVERGING[-1] if value >= 0 else DIVERGING[0] for value in values]


def _named(key: str, labels: list[str], values: np.ndarray, error: np.ndarray | None, signal: Attribution) -> Sheet:
    sheet = Sheet(key, 70 + 24 * len(labels), right=48)
    spread = {} if error is None else {"error_x": {"type": "data", "array": error, "color": INK, "thickness": 1.5}}
    sheet.add(
        "bar", x=values, y=labels, orientation="h", text=[_number(float(v), signal.signed) for v in values],
        textposition="outside", cliponaxis=False, marker={"color": _colours(values, signal)}, showlegend=False,
        hovertemplate="%{y}: %{x:.4f}<extra></extra>", **spread,
    )  # fmt: skip
    sheet.clicks()
    reach = float(np.abs(values).max()) * (1.7 if (values < 0).any() else 1.3) or 1.0
    sheet.set(
        xaxis={"title": {"text": t("views.axis.moved")}, "range": [-reach if (values < 0).any() else 0, reach],
               "zeroline": True, "zerolinecolor": INK, "nticks": 6},
        yaxis=LINES,
    )  # fmt: skip
    return sheet


def _in_time(key: str, values: np.ndarray, error: np.ndarray | None, signal: Attribution) -> Sheet:
    sheet = Sheet(key, 260, top=10)
    spread = {} if error is None else {"error_y": {"type": "data", "array": error, "color": INK, "thickness": 1}}
    sheet.add(
        "bar", x=np.arange(1, len(values) + 1), y=values, marker={"color": _colours(values, signal)},
        showlegend=False, hovertemplate="%{x}: %{y:.4f}<extra></extra>", **spread,
    )  # fmt: skip
    sheet.clicks()
    sheet.set(
        xaxis={"title": {"text": t("views.axis.step")}, "nticks": 8},
        yaxis={"title": {"text": t("views.axis.moved")}, "zeroline": True, "zerolinecolor": INK, "nticks": 5},
    )
    return sheet


def modalities(values: Mapping[str, float], *, method: str, signed: bool = True) -> Picture:
    """What did each modality as a whole move? One bar each, in the unit of what is explained, or in shares."""
    key, title = f"modalities-{method}", t("views.attribution.whole.title")
    labels = distinct([clean(say(m), 24) for m in values])
    numbers = np.asarray(list(values.values()), np.float32)
    sheet = Sheet(key, 80 + 44 * len(labels), right=56)
    sheet.add(
        "bar", x=numbers, y=labels, orientation="h", showlegend=False, cliponaxis=False,
        text=[_number(float(v), signed) for v in numbers], textposition="outside",
        marker={"color": [COLOURS.get(m, INK) for m in values]}, hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )  # fmt: skip
    reach = float(np.abs(numbers).max(initial=0)) * 1.4 or 1.0
    sheet.set(
        xaxis={"title": {"text": t("views.axis.moved")}, "range": [-reach if (numbers < 0).any() else 0, reach],
               "zeroline": True, "zerolinecolor": INK, "nticks": 6},
        yaxis=LINES,
    )  # fmt: skip
    top = int(np.abs(numbers).argmax())
    facts = {"name": labels[top], "value": _number(float(numbers[top]), signed), "count": len(labels)}
    table = pd.DataFrame({t("views.axis.modality"): labels, t("views.axis.moved"): numbers})
    return Picture(
        key, title, sheet.figure(), t("views.attribution.whole.finding", **facts), table,
        t("views.attribution.whole.finding", **facts),
        t("views.attribution.whole.shows" if signed else "views.attribution.whole.shows_share"),
        t("views.attribution.whole.hides"), (tuple(values),),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Order:
    """What is left of the answer as parts are hidden, or shown, in one order."""

    name: str
    share: np.ndarray  # (F,) of the parts
    value: np.ndarray  # (F,)


def deletion(
    orders: Sequence[Order], chance: Sequence[Order], *, areas: Mapping[str, float], expected: float,
    beaten: Mapping[str, int], inserting: bool = False,
) -> Picture:  # fmt: skip
    """Does the answer follow what a method calls important? One line a method, random orders as a band.

    areas: {method: mean height as a share of the answer}; expected: the mean of random orders; beaten: how many of
    these are worse than each method.
    """
    which = "insertion" if inserting else "deletion"
    key, title = which, t(f"views.{which}.title")
    if not orders or not chance:
        return base.nothing(key, title, t("views.none.points"))
    sheet = Sheet(key, 330 + 18 * len(orders), top=26 + 18 * (len(orders) + 1), right=14)
    table = np.stack([one.value for one in chance])
    share = chance[0].share * 100
    sheet.add(
        "scatter", x=np.r_[share, share[::-1]].astype(np.float32),
        y=np.r_[table.max(0), table.min(0)[::-1]].astype(np.float32), mode="lines", fill="toself",
        fillcolor=thin(INK, 0.25), line={"width": 0}, name=t("views.deletion.random"), hoverinfo="skip",
    )  # fmt: skip
    for at, one in enumerate(orders):
        sheet.add(
            "scatter", x=(one.share * 100).astype(np.float32), y=one.value.astype(np.float32), mode="lines+markers",
            name=one.name, line={"color": CATEGORIES[at % len(CATEGORIES)], "width": 2.5,
                                 "dash": ("solid", "dash", "dot", "dashdot")[at % 4]},
            hovertemplate="%{x:.0f} %: %{y:.3f}<extra>" + clean(one.name, 30) + "</extra>",
        )  # fmt: skip
    sheet.set(
        xaxis={"title": {"text": t(f"views.{which}.axis")}, "range": [0, 100], "ticksuffix": " %"},
        yaxis={"title": {"text": t("views.axis.target")}, "nticks": 6}, legend={"y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip
    best = (max if inserting else min)(areas, key=areas.__getitem__)
    facts = {
        "name": best,
        "value": num(areas[best]),
        "chance": num(expected),
        "count": len(chance),
        "beaten": beaten[best],
    }
    lost = len(chance) - beaten[best]
    verdict = "better" if (1 + lost) / (1 + len(chance)) <= CHANCE else "none"
    if lost / (1 + len(chance)) >= 1 - CHANCE:
        verdict = "worse"
    if 1 / (1 + len(chance)) > CHANCE:
        verdict = "few"
    found = {t("views.axis.share_hidden"): orders[0].share} | {one.name: one.value for one in orders}
    found[t("views.deletion.random")] = table.mean(0)
    lengths = {len(v) for v in found.values()}
    drawn = (
        pd.DataFrame(found) if len(lengths) == 1 else pd.DataFrame({one.name: pd.Series(one.value) for one in orders})
    )
    return Picture(
        key, title, sheet.figure(), t(f"views.{which}.alt", **facts), drawn,
        t(f"views.deletion.{verdict}", **facts), t(f"views.{which}.shows", **facts), t("views.deletion.hides"),
    )  # fmt: skip


def concord(names: Sequence[str], table: np.ndarray) -> Picture:
    """Do methods call the same parts important? table (K, K) of rank correlations, NaN where one can't be told"""
    key, title = "concord", t("views.concord.title")
    if len(names) < 2:
        return base.nothing(key, title, t("views.concord.one"))
    labels = distinct([clean(name, 22) for name in names])
    sheet = Sheet(key, 120 + 34 * len(names), bottom=90, top=10)
    sheet.add(
        "heatmap", z=table.astype(np.float32), x=labels, y=labels, colorscale=scale(DIVERGING), zmin=-1, zmax=1,
        text=[["–" if np.isnan(v) else f"{v:.2f}" for v in row] for row in table], texttemplate="%{text}", xgap=1,
        ygap=1, colorbar=bar(t("views.axis.rank_correlation")), hovertemplate="%{y}, %{x}: %{text}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"tickangle": -40}, yaxis={"autorange": "reversed"})
    upper = table[np.triu_indices(len(names), 1)]
    known = upper[np.isfinite(upper)]
    facts = {"mean": num(float(known.mean())) if len(known) else "–", "count": len(names)}
    if len(known):
        rows, columns = np.triu_indices(len(names), 1)
        low = int(np.nanargmin(upper))
        one, other = names[int(rows[low])], names[int(columns[low])]
        facts |= {"one": plain(one), "other": plain(other), "low": num(float(upper[low]))}
    finding = t("views.concord.finding", **facts) if len(known) else t("views.concord.none")
    frame = pd.DataFrame(table, columns=labels)
    frame.insert(0, t("views.axis.what"), labels)
    return Picture(
        key, title, sheet.figure(), finding, frame, join(finding, limit_note(len(names), len(names))),
        t("views.concord.shows"), t("views.concord.hides"),
    )  # fmt: skip
