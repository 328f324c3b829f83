"""Which signals follow what removal does, a line a signal; and a model beside its additive projection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import INK
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, distinct, join, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.explain.additive import Split
    from fusion.explain.trust import Row

MARKS = {"follows": ("circle", "#0072B2"), "unrelated": ("circle-open", INK), "opposite": ("x", "#D55E00"),
         "unknown": ("line-ns-open", INK)}  # fmt: skip


def called(row: Row) -> str:
    """What a reader calls a signal of a modality."""
    if row.kind == "steps":
        return t("views.trusted.steps", name=say(row.modality))
    return t("views.trusted.signal", signal=say(row.signal), name=say(row.modality))


def numbers(rows: Sequence[Row]) -> pd.DataFrame:
    """The table of all signals, as it is shown and downloaded."""
    why = lambda one: t(f"trust.why.{one.why}") if one.why else ""  # noqa: E731
    return pd.DataFrame({
        t("views.trusted.column.signal"): [plain(called(one)) for one in rows],
        t("views.trusted.column.verdict"): [t(f"trust.verdict.{one.verdict}") for one in rows],
        t("views.trusted.column.trust"): [t(f"trust.deserves.{str(one.trusted).lower()}") for one in rows],
        t("views.trusted.column.rho"): _column(rows, "rho"),
        t("views.trusted.column.shuffled"): _column(rows, "shuffled"),
        t("views.trusted.column.stable"): _column(rows, "stable"),
        t("views.trusted.column.better"): _column(rows, "better"),
        t("views.trusted.column.n"): [one.n for one in rows],
        t("views.trusted.column.why"): [why(one) for one in rows],
        t("views.axis.low95"): _column(rows, "low"), t("views.axis.high95"): _column(rows, "high"),
    })  # fmt: skip


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    found = [getattr(one, name) for one in rows]
    return np.asarray([np.nan if one is None else one for one in found], np.float32)


def signals(rows: Sequence[Row]) -> Picture:
    """The rank correlation of each signal with the effect of removal, with its interval; the mark is the verdict."""
    key, title = "trusted", t("views.trusted.title")
    if not rows:
        return base.nothing(key, title, t("views.trusted.none"))
    labels = distinct([clean(called(one), 40) for one in rows])
    sheet = Sheet(key, 96 + 26 * len(rows), top=36, right=16)
    for word, (symbol, colour) in MARKS.items():
        at = [i for i, one in enumerate(rows) if one.verdict == word and one.rho is not None]
        if not at:
            continue
        value, low, high = (_column([rows[i] for i in at], name) for name in ("rho", "low", "high"))
        sheet.add(
            "scatter", x=value, y=[labels[i] for i in at], mode="markers", name=t(f"trust.verdict.{word}"),
            marker={"size": 10, "symbol": symbol, "color": colour, "line": {"color": colour, "width": 2}},
            error_x={"type": "data", "symmetric": False, "array": high - value, "arrayminus": value - low,
                     "thickness": 2, "width": 4, "color": colour},
            hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        )  # fmt: skip
    sheet.rule(0.0)
    for label, one in zip(labels, rows, strict=True):
        if one.rho is None:
            sheet.note(t(f"trust.why.{one.why}"), x=-1, xref="x", y=label, yref="y", xanchor="left")
    sheet.set(
        xaxis={"range": [-1.05, 1.05], "title": {"text": t("views.axis.spearman")}, "nticks": 6},
        yaxis={**LINES, "showgrid": True, "categoryarray": labels},
    )
    finding = _finding(rows)
    alt = join(t("views.trusted.alt", count=len(rows)), finding)
    return Picture(
        key, title, sheet.figure(), alt, numbers(rows), finding, t("views.trusted.shows"), t("views.trusted.hides")
    )


def _finding(rows: Sequence[Row]) -> str:
    """How many deserve trust, which is the best, and which one misleads most."""
    good = sorted((one for one in rows if one.trusted and one.rho is not None), key=lambda one: -(one.rho or 0))
    told = [t("views.trusted.finding", good=len(good), count=len(rows))]
    if good:
        told.append(t("views.trusted.best", name=plain(called(good[0])), rho=num(good[0].rho or 0.0)))
    bad = [one for one in rows if one.verdict == "opposite" and one.rho is not None]
    if bad:
        worst = min(bad, key=lambda one: one.rho or 0)
        told.append(t("views.trusted.worst", name=plain(called(worst)), rho=num(worst.rho or 0.0)))
    return join(*told)


def added(split: Split) -> Picture:
    """Does a model only add up? What it answers for each row against its additive projection."""
    first, rest = say(split.modality), t("views.list.plus").join(say(m) for m in split.rest)
    key, title = f"added-{split.modality}", t("views.added.title", first=first, rest=rest)
    own, projected = (np.asarray(one, np.float32) for one in (split.own, split.added))
    same = np.asarray(split.same, bool)
    sheet = Sheet(key, 400, top=36, right=16)
    low, high = float(min(own.min(), projected.min())), float(max(own.max(), projected.max()))
    room = 0.04 * (high - low) or 1.0
    sheet.add(
        "scatter", x=[low - room, high + room], y=[low - room, high + room], mode="lines", showlegend=False,
        hoverinfo="skip", line={"color": INK, "dash": "dash", "width": 1},
    )  # fmt: skip
    marks: list[tuple[str, ...]] = [()]
    for alike, (symbol, colour) in ((True, ("circle", "#0072B2")), (False, ("x", "#D55E00"))):
        at = np.flatnonzero(same == alike)
        if not len(at):
            continue
        name = t(f"views.added.{'same' if alike else 'other'}")
        sheet.add(
            "scatter", x=projected[at], y=own[at], mode="markers", name=name, marker={"symbol": symbol, "size": 7,
            "color": colour, "opacity": 0.6}, customdata=[plain(split.ids[i]) for i in at],
            hovertemplate="%{customdata}: %{x:.2f}, %{y:.2f}<extra></extra>",
        )  # fmt: skip
        marks.append(tuple(split.ids[i] for i in at))
    sheet.clicks()
    unit = t(f"views.added.unit.{split.figure or 'accuracy'}")
    common = {"range": [low - room, high + room], "nticks": 6}
    sheet.set(
        xaxis={"title": {"text": t("views.added.axis.added", unit=unit)}, **common},
        yaxis={"title": {"text": t("views.added.axis.own", unit=unit)}, **common},
    )
    table = pd.DataFrame({
        t("views.added.column.id"): [plain(one) for one in split.ids], t("views.added.column.own"): own,
        t("views.added.column.added"): projected, t("views.added.column.left"): own - projected,
        t("views.added.column.same"): same,
    })  # fmt: skip
    finding = _gained(split, first, rest)
    return Picture(
        key, title, sheet.figure(), join(t("views.added.alt", count=split.n), finding), table, finding,
        t("views.added.shows", first=first, rest=rest), t("views.added.hides"), tuple(marks),
    )  # fmt: skip


def _gained(split: Split, first: str, rest: str) -> str:
    """What interaction is worth, and what another row's part changes."""
    told = [t("views.added.share", share=percent(split.share), count=split.n)]
    if split.figure and split.whole is not None and split.additive is not None:
        figures = {"whole": num(split.whole), "added": num(split.additive), "gain": num(split.gain or 0.0)}
        if split.low is None or split.high is None:
            told.append(t(f"views.added.few.{split.figure}", **figures))
        else:
            sure = "above" if split.low > 0 else "below" if split.high < 0 else "none"
            told.append(t(f"views.added.{split.figure}", **figures))
            told.append(t(f"views.added.sure.{sure}", low=num(split.low), high=num(split.high), **figures))
    flips = {"own": percent(split.flipped[split.modality]), "others": percent(split.flipped["rest"])}
    told.append(t("views.added.flipped", first=first, rest=rest, **flips))
    return join(*told)
