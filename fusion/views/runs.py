"""How training went: one small plot a loss term or validation figure, of one run or of two over each other.

E epochs, P plots. Each plot has its own axis: terms have different units, and their sum says little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK, TEXT
from fusion.views.sheet import Sheet
from fusion.views.speech import clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST = 10  # plots in one picture
HIGH, APART, LABEL = 84, 34, 18  # pixels of a plot, between two, and of the words above each
LOSS = "loss "  # begins the name of a term
DASHES, MARKS = ("solid", "dash"), ("circle", "diamond")
SCORE = "score"  # what an epoch is chosen by, the higher the better
KNOWN = (SCORE, "complete", "hidden")  # measures with words of their own here


@dataclass(frozen=True, eq=False)
class Run:
    """What a run told: a row an epoch with its stage, epoch, step, whether it was the best yet, and its measures."""

    name: str
    frame: pd.DataFrame  # (E, columns), see fusion.histories.read

    @property
    def measures(self) -> list[str]:
        """Validation figures, the one that is maximised first, then losses."""
        own = [str(c) for c in self.frame.columns if c not in ("stage", "epoch", "best", "time", "step")]
        return sorted(own, key=lambda one: (one.startswith(LOSS), one != SCORE))

    @property
    def chosen(self) -> dict[str, Any] | None:
        """The epoch that was kept: the last one that was the best of its stage. Any: a word, or a number."""
        best = np.flatnonzero(self.frame["best"].to_numpy(bool))
        return {str(k): v for k, v in self.frame.iloc[int(best[-1])].items()} if len(best) else None


def named(measure: str) -> str:
    """What a reader calls a measure: "loss answer" is the term answer of the loss."""
    if measure.startswith(LOSS):
        return t("views.runs.loss", name=say(measure.removeprefix(LOSS)))
    return t(f"views.runs.{measure}") if measure in KNOWN else say(measure)


def curves(runs: Sequence[Run]) -> Picture:
    """Does each term fall, and which epoch was kept? A plot a measure, a line a run; a ring marks the epoch."""
    key, title = "curves", t("views.runs.title")
    shown = [run for run in runs if len(run.frame)]
    if not shown:
        return base.nothing(key, title, t("views.runs.none"))
    every = list(dict.fromkeys(name for run in shown for name in run.measures))
    measures = every[:MOST]
    several = len(shown) > 1
    top = LABEL + (26 if several else 6)
    inner = HIGH * len(measures) + APART * (len(measures) - 1)
    sheet = Sheet(key, top + inner + 40, top=top, bottom=40, right=12)
    names = distinct([clean(run.name, 34) for run in shown])
    for at, measure in enumerate(measures):
        axis = str(at + 1) if at else ""
        start = 1 - at * (HIGH + APART) / inner
        sheet.set(**{f"yaxis{axis}": {"domain": [max(0.0, start - HIGH / inner), start], "nticks": 5}})
        sheet.note(
            clean(named(measure), 60), x=0, xanchor="left", xref="paper", y=start, yanchor="bottom", yref="paper",
            font={"color": TEXT, "size": 12},
        )  # fmt: skip
        for order, run in enumerate(shown):
            if measure in run.frame:
                _line(sheet, run, measure, f"y{axis}", names[order], order, legend=several and at == 0)
    longest = max(len(run.frame) for run in shown)
    ticks = {"dtick": 1} if longest <= 12 else {"nticks": 8}
    sheet.set(
        xaxis={"title": {"text": t("views.runs.axis")}, "anchor": f"y{len(measures)}" if len(measures) > 1 else "y",
               "range": [0.6, longest + 0.4], "tickformat": "d", **ticks},
        hovermode="x unified", hoversubplots="axis", legend={"yanchor": "top", "y": 1 + top / inner},
    )  # fmt: skip
    said = join(*(_told(run, several) for run in shown), limit_note(len(measures), len(every)))
    return Picture(
        key, title, sheet.figure(), t("views.runs.alt", count=len(measures), finding=said), _table(shown, every), said,
        t("views.runs.shows"), t("views.runs.hides"),
    )  # fmt: skip


def _line(sheet: Sheet, run: Run, measure: str, axis: str, name: str, order: int, *, legend: bool) -> None:
    colour, frame = CATEGORIES[order], run.frame
    values = frame[measure].to_numpy(np.float32)
    there = np.isfinite(values)
    few = int(there.sum()) < 3  # a line of one or two points needs marks to be seen
    sheet.add(
        "scatter", x=frame["step"].to_numpy(np.float32)[there], y=values[there], yaxis=axis, name=name,
        mode="lines+markers" if few else "lines", showlegend=legend, legendgroup=name,
        line={"color": colour, "width": 2, "dash": DASHES[order % 2]}, marker={"size": 7, "symbol": MARKS[order % 2]},
        hovertemplate="%{y:.4~g}<extra>" + clean(named(measure), 30) + (f" · {name}" if order else "") + "</extra>",
    )  # fmt: skip
    kept = run.chosen
    if kept is not None and np.isfinite(kept[measure]):
        at, value = (np.array([kept[name]], np.float32) for name in ("step", measure))
        sheet.add(
            "scatter", x=at, y=value, yaxis=axis, mode="markers",
            showlegend=False, hoverinfo="skip",
            marker={"size": 11, "symbol": f"{MARKS[order % 2]}-open", "color": colour, "line": {"width": 2}},
        )  # fmt: skip
    stages = frame["stage"].to_numpy()
    for at in np.flatnonzero(stages[1:] != stages[:-1]) if order == 0 else ():
        sheet.shapes.append(
            {"type": "line", "x0": at + 1.5, "x1": at + 1.5, "y0": 0, "y1": 1, "xref": "x", "yref": f"{axis} domain",
             "line": {"color": INK, "width": 1, "dash": "dot"}}
        )  # fmt: skip


def _told(run: Run, several: bool) -> str:
    """How each loss went in the last stage, and where the best epoch was."""
    frame = run.frame
    last = frame.loc[(frame["stage"] == frame["stage"].iloc[-1]).to_numpy(bool), :]
    parts = []
    for measure in run.measures:
        values = last[measure].to_numpy(float) if measure.startswith(LOSS) else np.zeros(0)
        values = values[np.isfinite(values)]
        if len(values) > 1:
            way = "fell" if values[-1] < values[0] else "rose"
            parts.append(t(f"views.runs.{way}", name=plain(named(measure)), first=num(values[0]), last=num(values[-1])))
    said = t("views.runs.epochs", count=len(last), parts=t("views.list.comma").join(parts)) if parts else ""
    kept = run.chosen
    if kept is not None and SCORE in frame:
        best = t("views.runs.best", name=plain(named(SCORE)), value=num(float(kept[SCORE])), epoch=int(kept["epoch"]))
        said = join(said, best)
    said = said or t("views.runs.one")
    return t("views.runs.of", name=plain(run.name), said=said) if several else said


def _table(runs: Sequence[Run], measures: Sequence[str]) -> pd.DataFrame:
    """A row an epoch of each run."""
    columns = {"stage": t("views.runs.stage"), "epoch": t("views.runs.axis"), "best": t("views.runs.kept")}
    columns |= {name: named(name) for name in measures}
    parts = []
    for run in runs:
        part = run.frame.reindex(columns=list(columns)).rename(columns=columns)
        part.insert(0, t("views.runs.run"), run.name)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
