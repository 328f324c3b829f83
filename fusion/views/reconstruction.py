"""What was hidden and what a model makes of it: truth against guess over time, and how far the guess is off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import COLOURS, INK
from fusion.views.sheet import Sheet
from fusion.views.speech import caveat, clean, num, percent, plain, say, step
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Reconstruction, Trace
    from fusion.types import Sample

MOST_FEATURES = 4
MOST_LABELS = 30  # steps whose names fit under a picture
PANEL = 84  # pixels of one feature
SHADE = "rgba(122,122,122,0.22)"  # INK, thin


@dataclass(frozen=True)
class _Told:
    """The real steps of one sample as both pictures read them."""

    names: tuple[str, ...]  # T'
    number: np.ndarray  # (T',) from 1
    truth: np.ndarray  # (T', D)
    guess: np.ndarray  # (T', D)
    hidden: np.ndarray  # (T',) bool
    scale: np.ndarray  # (D,)
    error: np.ndarray  # (T',) mean smooth L1 over the features, in their spreads
    usual: np.ndarray  # (T',) that of the mean of the steps that were seen


def smooth_l1(gap: np.ndarray) -> np.ndarray:
    """Half the square up to 1, the distance less a half beyond."""
    size = np.abs(gap)
    return np.where(size < 1, 0.5 * size**2, size - 0.5)


def _told(signal: Reconstruction, trace: Trace) -> _Told:
    mask = base.flags(signal.mask)
    at = np.flatnonzero(mask)
    truth, guess = base.array(signal.truth)[at], base.array(signal.value)[at]
    hidden, scale = base.flags(signal.hidden)[at], base.array(signal.scale)
    seen = truth[~hidden]
    middle = seen.mean(0) if len(seen) else np.zeros_like(scale)
    steps = next(iter(trace.steps.get(signal.steps, ())), None)
    labels = steps.labels if steps is not None else ()
    names = tuple(step(labels[i]) if i < len(labels) and labels[i] else str(i + 1) for i in at)
    return _Told(
        names, at + 1, truth, guess, hidden, scale,
        smooth_l1((guess - truth) / scale).mean(1), smooth_l1((middle - truth) / scale).mean(1),
    )  # fmt: skip


def lines(signal: Reconstruction, sample: Sample, trace: Trace) -> Picture:
    """Does the guess follow the truth where steps were hidden? A panel each for the features that vary most.

    Hidden steps are shaded; a guess is marked where it counts, at hidden steps.
    """
    key = f"guess-{signal.name}"
    modality = say(signal.steps)
    title = t("views.reconstruction.title", modality=modality)
    told = _told(signal, trace)
    if not len(told.names):
        return base.nothing(key, title, t("views.reconstruction.absent", modality=modality), signal)
    order = np.argsort(-told.truth.std(0), kind="stable")[:MOST_FEATURES]
    names = [t("views.reconstruction.feature", number=int(f) + 1) for f in order]
    count, colour = len(order), COLOURS.get(signal.steps, "#D55E00")
    panels = PANEL * count + 20 * (count - 1)
    sheet = Sheet(key, 112 + panels, top=50, bottom=52)
    sheet.set(legend={"y": 1 + 18 / panels})  # above the name of the first feature
    where = np.where(told.hidden, 7, 0)
    for row, feature in enumerate(order):
        axis = "" if row == 0 else str(row + 1)
        shared = {"x": told.number, "yaxis": f"y{axis}", "legendgroup": "a", "showlegend": row == 0}
        sheet.add(
            "scatter", y=told.truth[:, feature], mode="lines", line={"color": INK, "width": 2},
            name=t("views.reconstruction.truth"), hovertemplate="%{x}: %{y:.3g}<extra></extra>", **shared,
        )  # fmt: skip
        sheet.add(
            "scatter", y=told.guess[:, feature], mode="lines+markers", name=t("views.reconstruction.guess"),
            line={"color": colour, "width": 2, "dash": "dot"}, marker={"size": where, "color": colour, "opacity": 1},
            hovertemplate="%{x}: %{y:.3g}<extra></extra>", **{**shared, "legendgroup": "b"},
        )  # fmt: skip
        top = 1 - row / count
        sheet.set(**{f"yaxis{axis}": {"domain": [top - 0.82 / count, top - 0.06 / count], "nticks": 3}})
        sheet.note(names[row], x=0, xref="paper", xanchor="left", y=top - 0.04 / count, yref="paper", yanchor="bottom")
    _shade(sheet, told)
    sheet.set(xaxis={**_ticks(told), "anchor": f"y{count}" if count > 1 else "y"})
    finding = _finding(told, modality)
    table = pd.DataFrame({t("views.axis.step"): [plain(n) for n in told.names], t("views.axis.hidden"): _said(told)})
    for name, feature in zip(names, order, strict=True):
        table[f"{name}, {t('views.reconstruction.truth')}"] = told.truth[:, feature]
        table[f"{name}, {t('views.reconstruction.guess')}"] = told.guess[:, feature]
    return Picture(
        key, title, sheet.figure(),
        t("views.reconstruction.alt", modality=modality, features=t("views.list.comma").join(names), finding=finding),
        table, finding, t("views.reconstruction.shows", modality=modality), caveat(signal, "views.hides"),
    )  # fmt: skip


def errors(signal: Reconstruction, sample: Sample, trace: Trace) -> Picture:
    """Where is the guess far off? One bar a step, hidden steps in colour, beside what the mean would have missed by."""
    key = f"errors-{signal.name}"
    modality = say(signal.steps)
    title = t("views.reconstruction.errors", modality=modality)
    told = _told(signal, trace)
    if not len(told.names):
        return base.nothing(key, title, t("views.reconstruction.absent", modality=modality), signal)
    sheet = Sheet(key, 230, top=30, bottom=52)
    colour = COLOURS.get(signal.steps, "#D55E00")
    for hidden, name, look in (
        (True, t("views.reconstruction.hidden"), {"color": colour}),
        (False, t("views.reconstruction.seen"), {"color": "rgba(0,0,0,0)", "line": {"color": INK, "width": 1}}),
    ):
        at = told.hidden == hidden
        sheet.add(
            "bar", x=told.number[at], y=told.error[at], name=name, marker=look,
            hovertemplate="%{x}: %{y:.3g}<extra></extra>",
        )  # fmt: skip
    sheet.add(
        "scatter", x=told.number, y=told.usual, mode="lines", name=t("views.reconstruction.usual"),
        line={"color": INK, "width": 1.5, "dash": "dash"}, hovertemplate="%{x}: %{y:.3g}<extra></extra>",
    )  # fmt: skip
    _shade(sheet, told)
    sheet.set(
        xaxis=_ticks(told), yaxis={"title": {"text": t("views.axis.error")}, "rangemode": "tozero", "nticks": 4},
        bargap=0.1, barmode="overlay",
    )  # fmt: skip
    among = np.flatnonzero(told.hidden) if told.hidden.any() else np.arange(len(told.names))
    worst, best = int(among[told.error[among].argmax()]), int(among[told.error[among].argmin()])
    facts = {
        "worst": plain(told.names[worst]), "high": num(float(told.error[worst])),
        "best": plain(told.names[best]), "low": num(float(told.error[best])),
        "share": percent(float((told.error[among] < told.usual[among]).mean())), "modality": modality,
    }  # fmt: skip
    finding = t("views.reconstruction.step_finding" if told.hidden.any() else "views.reconstruction.nothing", **facts)
    table = pd.DataFrame({
        t("views.axis.step"): [plain(n) for n in told.names], t("views.axis.hidden"): _said(told),
        t("views.axis.error"): told.error, t("views.reconstruction.usual"): told.usual,
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.reconstruction.error_alt", finding=finding, **facts), table, finding,
        t("views.reconstruction.error_shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _finding(told: _Told, modality: str) -> str:
    """How far off the guesses are where they count, beside the mean of what was seen."""
    if not told.hidden.any():
        return t("views.reconstruction.nothing", modality=modality)
    return t(
        "views.reconstruction.finding", modality=modality, hidden=int(told.hidden.sum()), count=len(told.names),
        error=num(float(told.error[told.hidden].mean())), mean=num(float(told.usual[told.hidden].mean())),
    )  # fmt: skip


def _said(told: _Told) -> list[str]:
    words = t("views.reconstruction.seen"), t("views.reconstruction.hidden")
    return [words[int(h)] for h in told.hidden]


def _shade(sheet: Sheet, told: _Told) -> None:
    """Grey behind every run of hidden steps, over all panels."""
    edges = np.diff(np.concatenate(([0], told.hidden.astype(int), [0])))
    for first, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        sheet.shapes.append({
            "type": "rect", "x0": float(told.number[first]) - 0.5, "x1": float(told.number[end - 1]) + 0.5, "y0": 0,
            "y1": 1, "xref": "x", "yref": "paper", "fillcolor": SHADE, "line": {"width": 0}, "layer": "below",
        })  # fmt: skip


def _ticks(told: _Told) -> dict[str, object]:
    """The axis of steps: their names where they fit, else numbers."""
    axis: dict[str, object] = {
        "title": {"text": t("views.axis.step")}, "showgrid": False,
        "range": [float(told.number[0]) - 0.6, float(told.number[-1]) + 0.6],
    }  # fmt: skip
    if len(told.names) > MOST_LABELS:
        return {**axis, "nticks": 10}
    return {**axis, "tickvals": told.number, "ticktext": [clean(n, 10) for n in told.names], "tickangle": -35}
