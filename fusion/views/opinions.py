"""What each voice answers on its own, beside what they answer together: modalities and branches that may disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, percent, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Opinions, Trace
    from fusion.types import Sample

MOST_CLASSES = 16


def voices(signal: Opinions, sample: Sample, trace: Trace) -> Picture:
    """Do the voices agree, and whose answer is the joint one? A bar a voice for a score, a row a voice for classes."""
    from fusion.signals import Opinions

    title = t("views.opinions.title")
    if sum(not one.classes for one in trace.of(Opinions)) > 1:  # several answers: of which one this is
        title = t("views.opinions.title_of", name=say(signal.name))
    return _classes(signal) if signal.classes else _scores(signal, title)


def _scores(signal: Opinions, title: str) -> Picture:
    """One bar a voice on the scale of the answer, an upright line at what they answer together."""
    key = f"opinions-{signal.name}"
    values, spoke = base.array(signal.value), base.flags(signal.present)  # (V,), (V,)
    together = float(base.array(signal.together[:, None])[0])
    names = [say(voice) for voice in signal.voices]
    labels = distinct([clean(name, 20) for name in names])
    shown = np.where(spoke, values, 0).astype(np.float32)
    low, high = min(0.0, together, float(shown.min())), max(0.0, together, float(shown.max()))
    room = 0.2 * ((high - low) or 1.0)  # for the numbers at the ends of the bars
    sheet = Sheet(key, 104 + 34 * len(names), top=26, right=24)
    sheet.add(
        "bar", x=shown, y=labels, orientation="h", showlegend=False, textposition="outside", cliponaxis=False,
        text=[num(float(v)) if s else t("views.opinions.silent") for v, s in zip(shown, spoke, strict=True)],
        marker={"color": _colours(signal), "line": {"color": INK, "width": 1}},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.rule(0, dash="solid", width=1)
    sheet.rule(together)
    sheet.note(
        t("views.opinions.together", value=num(together)), x=together, xref="x", y=1, yref="paper", yanchor="bottom"
    )
    sheet.set(
        xaxis={"title": {"text": t("views.axis.answer")}, "nticks": 5,
               "range": [low - (room if low < 0 else 0), high + room]},
        yaxis={**LINES, "showgrid": False},
    )  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.voice"): [*names, t("views.opinions.all")],
        t("views.axis.answer"): np.append(np.where(spoke, values, np.nan), together).astype(np.float32),
    })  # fmt: skip
    facts = {
        "together": num(together),
        "all": t("views.list.comma").join(
            f"{name} {num(float(v)) if s else t('views.opinions.silent')}"
            for name, v, s in zip(names, values, spoke, strict=True)
        ),
    }  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.opinions.alt", **facts), table, _spread(values, spoke, names, together),
        t("views.opinions.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _spread(values: np.ndarray, spoke: np.ndarray, names: list[str], together: float) -> str:
    """Who is nearest to the joint answer and who furthest, and whether two stand on different sides of zero."""
    heard = np.flatnonzero(spoke)
    if not len(heard):
        return t("views.opinions.nobody", together=num(together))
    if len(heard) == 1:
        at = int(heard[0])
        return t("views.opinions.one", name=names[at], value=num(float(values[at])), together=num(together))
    away = np.abs(values[heard] - together)
    near, far = int(heard[away.argmin()]), int(heard[away.argmax()])
    finding = t(
        "views.opinions.finding", together=num(together), near=names[near], near_value=num(float(values[near])),
        far=names[far], far_value=num(float(values[far])),
    )  # fmt: skip
    low, high = int(heard[values[heard].argmin()]), int(heard[values[heard].argmax()])
    if values[low] < 0 < values[high]:
        finding = join(finding, t("views.opinions.sides", low=names[low], high=names[high]))
    return finding


def _classes(signal: Opinions) -> Picture:
    """Probabilities by voice: a row each, the joint answer last and framed, the best class of a row starred."""
    key, title = f"opinions-{signal.name}", t("views.opinions.title")
    spoke = base.flags(signal.present)  # (V,)
    values = np.vstack([base.array(signal.value), base.array(signal.together)])  # (V + 1, C)
    values[:-1][~spoke] = np.nan
    names = [*(say(voice) for voice in signal.voices), t("views.opinions.all")]
    classes = [say(c) for c in signal.classes]
    best = [int(np.nanargmax(row)) if np.isfinite(row).all() else -1 for row in values]
    order = np.argsort(-np.nanmax(values, 0), kind="stable")[:MOST_CLASSES]
    shown = np.sort(order)
    sheet = heat(key, len(names), longest=12)
    cells = values[:, shown].astype(np.float32)
    said = [
        [_cell(float(v), c == best[row]) for v, c in zip(line, shown, strict=True)] for row, line in enumerate(cells)
    ]
    sheet.add(
        "heatmap", z=cells, x=distinct([clean(classes[c], 14) for c in shown]),
        y=distinct([clean(name, 20) for name in names]), colorscale=scale(SEQUENTIAL), zmin=0, zmax=1, xgap=2, ygap=2,
        colorbar=bar(t("views.axis.probability")), texttemplate="%{text}", text=said,
        hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.frame((-0.5, len(shown) - 0.5), (len(names) - 1.5, len(names) - 0.5))
    sheet.set(xaxis={"tickangle": -35})
    table = pd.DataFrame(values.astype(np.float32), columns=distinct(classes))
    table.insert(0, t("views.axis.voice"), names)
    joint = best[-1]
    each = t("views.list.comma").join(
        f"{name} {classes[at]} {percent(float(values[row, at]))}" if at >= 0
        else f"{name} {t('views.opinions.silent')}"
        for row, (name, at) in enumerate(zip(names[:-1], best[:-1], strict=True))
    )  # fmt: skip
    facts = {"together": classes[joint], "value": percent(float(values[-1, joint])), "all": each}
    other = [name for name, at in zip(names[:-1], best[:-1], strict=True) if at not in (joint, -1)]
    finding = t("views.opinions.class_finding", **facts)
    if other:
        finding = join(finding, t("views.opinions.other", names=t("views.list.comma").join(other)))
    note = limit_note(len(shown), len(classes))
    return Picture(
        key, title, sheet.figure(), t("views.opinions.class_alt", **facts), table, join(finding, note),
        t("views.opinions.class_shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _cell(value: float, best: bool) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{num(round(value, 2))} ★" if best else num(round(value, 2))


def _colours(signal: Opinions) -> list[str]:
    return [COLOURS.get(voice, CATEGORIES[i % len(CATEGORIES)]) for i, voice in enumerate(signal.voices)]
