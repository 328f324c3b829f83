"""Pictures of one sample of several modalities: its sound, its answer from each subset, its neighbours by label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, DIVERGING, INK, SEQUENTIAL, SHAPES, TEXT, scale
from fusion.views.sheet import LINES, Sheet, bar
from fusion.views.speech import answered, caveat, clean, distinct, join, limit_note, num, percent, plain, say, signed
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.signals import Effects

LOWEST = -80.0  # dB, the dark end of a spectrogram
QUIET = -60.0  # dB, below it a moment is called quiet
TICKS = (125, 250, 500, 1000, 2000, 4000)  # Hz
MOST_CLASSES = 8
CELL = 46  # pixels of one neighbour


class Heard(Protocol):
    """Power of a recording by frequency and time."""

    @property
    def db(self) -> np.ndarray:
        """(K, F), 0 is full scale."""
        ...

    @property
    def seconds(self) -> np.ndarray:
        """(F,)"""
        ...

    @property
    def hertz(self) -> np.ndarray:
        """(K,), rising."""
        ...


def spectrogram(heard: Heard) -> Picture:
    """What is there to hear, and when? Time to the right, frequency upwards, bright where it is loud."""
    key, title = "spectrogram", t("views.spectrogram.title")
    db, seconds, hertz = np.asarray(heard.db, np.float32), heard.seconds, heard.hertz
    sheet = Sheet(key, 316, top=62, bottom=56)
    bands = np.arange(len(hertz))
    sheet.add(
        "heatmap", z=np.clip(db, LOWEST, 0), x=np.asarray(seconds, np.float32), y=bands, zmin=LOWEST, zmax=0,
        colorscale=scale(SEQUENTIAL), colorbar=bar(t("views.axis.decibel")),
        customdata=np.broadcast_to(np.round(hertz).astype(int)[:, None], db.shape),
        hovertemplate="%{x:.2f} s, %{customdata} Hz: %{z:.0f} dB<extra></extra>",
    )  # fmt: skip
    shown: list[int] = []
    for one in TICKS:
        close = bool(shown) and np.interp(one, hertz, bands) - np.interp(shown[-1], hertz, bands) < len(bands) / 12
        if hertz[0] <= one <= hertz[-1] and not close:  # low bands lie close together
            shown.append(one)
    sheet.set(
        xaxis={"title": {"text": t("views.axis.seconds")}, "nticks": 6},
        yaxis={"title": {"text": t("views.axis.hertz")}, "tickvals": np.interp(shown, hertz, bands).tolist(),
               "ticktext": [f"{one:,}" for one in shown]},
    )  # fmt: skip
    power = 10 ** (db / 10)
    loud = 10 * np.log10(power.sum(0))  # (F,)
    band, moment = np.unravel_index(int(db.argmax()), db.shape)
    facts = {
        "length": num(float(seconds[-1])), "hertz": f"{hertz[band]:,.0f}", "at": num(float(seconds[moment])),
        "value": num(float(db[band, moment])), "quiet": percent(float((loud < QUIET).mean())),
    }  # fmt: skip
    table = pd.DataFrame({
        t("views.axis.seconds"): np.round(seconds, 3), t("views.axis.decibel"): loud.astype(np.float32),
        t("views.spectrogram.loudest"): np.round(hertz[db.argmax(0)]).astype(int),
    })  # fmt: skip
    return Picture(
        key, title, sheet.figure(), t("views.spectrogram.alt", **facts), table, t("views.spectrogram.finding", **facts),
        t("views.spectrogram.shows"), t("views.spectrogram.hides"),
    )  # fmt: skip


def span_of(signals: Sequence[Effects], classes: bool) -> tuple[float, float]:
    """The lowest and the highest answer of some observations, 0 among them: one axis for all; chances go up to 1."""
    values = [float(v) for signal in signals for v in signal.value[0, :, 0]]
    return min(0.0, *values), 1.0 if classes else max(0.0, *values)


def subsets(signal: Effects, classes: bool, span: tuple[float, float] | None = None) -> Picture:
    """Who answers what from which modalities? A bar a subset, all of them first, nothing last.

    classes: whether the value is a chance, of the class that is answered from all; span: of the axis, see `span_of`
    """
    key, title = f"answers-{signal.name}", t("views.answers.title")
    values = signal.value[0, :, 0].detach().cpu().float().numpy()
    conditions, said = signal.conditions, signal.said[0] if signal.said else ("",) * len(values)
    names = [say(one) for one in conditions]
    answers = [answered(one) if one else "" for one in said]
    lines = distinct([clean(name, 26) for name in names])
    low, high = span or span_of([signal], classes)
    room = 0.32 * ((high - low) or 1.0)  # for a number, in a picture of half a phone too
    shown = percent if classes else num
    sheet = Sheet(key, 96 + 36 * len(values), top=14, right=16)
    sheet.add(
        "bar", x=values, y=lines, orientation="h", showlegend=False, cliponaxis=False,
        text=[shown(float(v)) for v in values],
        textposition="outside", hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"color": [_colour(one) for one in conditions], "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.rule(float(values[0]))
    if low < 0:
        sheet.rule(0, dash="solid", width=1)
    sheet.set(
        xaxis={"title": {"text": t("views.axis.chance" if classes else "views.axis.answer")}, "nticks": 5,
               "range": [low - (room if low < 0 else 0), high + room]},
        yaxis={**LINES, "showgrid": False, "tickmode": "array", "tickvals": list(range(len(lines))),
               "ticktext": [f"{line}<br><b>{clean(a, 22)}</b>" if a else line
                            for line, a in zip(lines, answers, strict=True)]},
    )  # fmt: skip
    far = int(np.abs(values - values[0]).argmax())
    others = [i for i, one in enumerate(answers) if i and one and one != answers[0]]
    counted = sum(bool(one) for one in answers) - 1
    facts = {
        "value": shown(float(values[0])), "said": answers[0], "far": names[far], "far_value": shown(float(values[far])),
        "change": signed(float(values[far] - values[0])), "differ": str(len(others)), "count": str(counted),
        "names": t("views.list.semicolon").join(f"{names[i]}: {answers[i]}" for i in others[:4]),
    }  # fmt: skip
    finding = t("views.answers.finding_class" if classes else "views.answers.finding", **facts)
    if answers[0] and counted:
        finding = join(finding, t("views.answers.differ" if others else "views.answers.same", **facts))
    table = pd.DataFrame({
        t("views.axis.condition"): names, t("views.axis.chance" if classes else "views.axis.answer"): values,
        t("views.axis.prediction"): answers,
    })  # fmt: skip
    alt = t("views.answers.alt", all=t("views.list.comma").join(
        f"{name} {shown(float(v))}" for name, v in zip(names, values, strict=True)
    ))  # fmt: skip
    return Picture(
        key, title, sheet.figure(), alt, table, finding,
        t("views.answers.shows_class" if classes else "views.answers.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _colour(condition: str) -> str:
    return COLOURS.get(condition.removeprefix("only_"), INK) if condition.startswith("only_") else INK


def chances(now: Mapping[str, float], was: Mapping[str, float] | None = None) -> Picture:
    """How likely is each class? The likeliest ones, before the edits as an open mark."""
    key, title = "chances", t("views.chances.title")
    order = sorted(now, key=lambda one: max(now[one], (was or now)[one]), reverse=True)
    shown = order[:MOST_CLASSES]
    names = {one: answered(one) for one in order}
    lines = distinct([clean(names[one], 24) for one in shown])
    values = np.asarray([now[one] for one in shown], np.float32)
    sheet = Sheet(key, 92 + 30 * len(shown), top=26 if was else 10, right=16)
    sheet.add(
        "bar", x=values, y=lines, orientation="h", name=t("views.chances.now"), showlegend=was is not None,
        marker={"color": CATEGORIES[0]}, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    ends = np.asarray([max(now[one], 0.0 if was is None else was[one] + 0.006) for one in shown], np.float32)
    sheet.add(
        "scatter", x=ends, y=lines, mode="text", text=[f" {percent(float(v))}" for v in values], hoverinfo="skip",
        textposition="middle right", showlegend=False, cliponaxis=False,
    )  # fmt: skip
    table = pd.DataFrame({
        t("views.chances.class"): [names[one] for one in order],
        t("views.axis.probability"): np.asarray([now[one] for one in order], np.float32),
    })  # fmt: skip
    best = max(now, key=now.__getitem__)
    second = sorted(now.values())[-2] if len(now) > 1 else 0.0
    facts = {"best": names[best], "value": percent(now[best]), "lead": percent(now[best] - second)}
    finding = t("views.chances.finding", **facts)
    if was is not None:
        sheet.add(
            "scatter", x=np.asarray([was[one] for one in shown], np.float32), y=lines, mode="markers",
            name=t("views.chances.was"), marker={"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": INK}},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        table[t("views.chances.was")] = np.asarray([was[one] for one in order], np.float32)
        most = max(now, key=lambda one: abs(now[one] - was[one]))
        moved = {"name": names[most], "before": percent(was[most]), "after": percent(now[most])}
        finding = join(finding, t("views.chances.moved", **moved))
    sheet.set(
        xaxis={"range": [0, 1.12], "title": {"text": t("views.axis.probability")}, "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )
    alt = t("views.chances.alt", all=t("views.list.comma").join(f"{names[one]} {percent(now[one])}" for one in shown))
    return Picture(
        key, title, sheet.figure(), alt, table, join(finding, limit_note(len(shown), len(order))),
        t("views.chances.shows"), t("views.chances.hides"),
    )  # fmt: skip


@dataclass(frozen=True)
class Near:
    """The nearest samples of a set by one embedding, the nearest first."""

    name: str  # of the embedding
    modality: str  # of one, of two ("a+b"), or "fused"
    ids: tuple[str, ...]  # (K,)
    cosine: np.ndarray  # (K,)
    labels: tuple[str | float | None, ...]  # (K,) class or score, None where unknown
    called: tuple[str, ...] = ()  # (K,) what a reader calls them


def neighbours(
    found: Sequence[Near], label: str | float | None, classes: Sequence[str] = (),
    span: tuple[float, float] = (-1, 1), usual: float | None = None,
) -> Picture:  # fmt: skip
    """Do the nearest samples carry the same label? A row an embedding, a mark a neighbour in the colour of its label.

    label: of the sample itself, or what is answered; usual: the share of all samples with that class, or the mean
    distance of all scores from that score. Marks are ids.
    """
    key, title = "neighbours", t("views.near.title")
    order = sorted(found, key=_level)  # one modality, then pairs, then all
    lines = distinct([clean(say(one.name), 30) for one in order])
    most = max((len(one.ids) for one in order), default=0)
    sheet = Sheet(key, 146 + CELL * len(order), top=66, bottom=56, right=10)
    hover = lambda near, i: (  # noqa: E731
        f"{clean((near.called or near.ids)[i], 40)}<br>{clean(_called(near.labels[i]), 30)}, {near.cosine[i]:.3f}"
    )
    cells = [(row, i) for row, near in enumerate(order) for i in range(len(near.ids))]
    marks: list[tuple[str, ...]] = []
    groups = _groups(order, cells, classes)
    for name, some, colour, symbol in groups:
        marker: dict[str, object] = {"size": 26, "symbol": symbol, "line": {"width": 1, "color": INK}}
        if colour is None:
            values = [order[row].labels[i] for row, i in some]
            marker |= {
                "color": [np.nan if v is None else v for v in values], "cmin": span[0], "cmax": span[1],
                "colorscale": scale(DIVERGING), "colorbar": bar(t("views.axis.answer")),
            }  # fmt: skip
        else:
            marker["color"] = colour
        sheet.add(
            "scatter", x=[i + 1 for _, i in some], y=[lines[row] for row, _ in some], mode="markers", name=name,
            showlegend=colour is not None, marker=marker, text=[hover(order[row], i) for row, i in some],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
        marks.append(tuple(order[row].ids[i] for row, i in some))
    sheet.clicks()
    sheet.set(
        xaxis={"range": [0.5, most + 0.5], "dtick": 1, "tick0": 1, "title": {"text": t("views.near.place")}},
        yaxis={**LINES, "showgrid": False, "categoryorder": "array", "categoryarray": lines},
    )
    table = pd.DataFrame([
        {
            t("views.near.embedding"): say(near.name), t("views.near.place"): i + 1, "id": near.ids[i],
            t("views.axis.cosine"): np.float32(near.cosine[i]), t("views.near.label"): plain(_called(near.labels[i])),
        }
        for near in order for i in range(len(near.ids))
    ])  # fmt: skip
    each = [(say(near.name), _agree(near, label)) for near in order]
    said = percent if classes else num
    finding = _near_finding(each, label, bool(classes), usual)
    alt = t("views.near.alt", all=t("views.list.comma").join(f"{name} {said(value)}" for name, value in each))
    return Picture(
        key, title, sheet.figure(), alt, table, finding, t("views.near.shows"), t("views.near.hides"), tuple(marks)
    )


def _level(near: Near) -> tuple[int, str]:
    size = 9 if near.modality == "fused" else near.modality.count("+")
    return size, near.modality


def _groups(
    order: Sequence[Near], cells: list[tuple[int, int]], classes: Sequence[str]
) -> list[tuple[str, list[tuple[int, int]], str | None, str]]:
    """Marks that share a colour: name, cells, colour (None: by score), shape."""
    if not classes:
        return [("", cells, None, "square")]
    found = []
    shapes = list(dict.fromkeys(SHAPES.values()))
    for at, name in enumerate([*classes, None]):
        some = [(row, i) for row, i in cells if order[row].labels[i] == name]
        if some:
            colour = TEXT if name is None else CATEGORIES[at % len(CATEGORIES)]
            told = t("views.near.unknown") if name is None else clean(answered(name), 24)
            found.append((told, some, colour, shapes[at % len(shapes)]))
    return found


def _called(label: str | float | None) -> str:
    if label is None or (isinstance(label, float) and not np.isfinite(label)):
        return t("views.near.unknown")
    return answered(label) if isinstance(label, str) else num(float(label))


def _agree(near: Near, label: str | float | None) -> float:
    """Share of the neighbours with the same class, or the mean distance of their scores."""
    known = [one for one in near.labels if one is not None]
    if label is None or not known:
        return float("nan")
    if isinstance(label, str):
        return float(np.mean([one == label for one in known]))
    return float(np.mean([abs(float(one) - label) for one in known]))


def _near_finding(each: list[tuple[str, float]], label: str | float | None, classes: bool, usual: float | None) -> str:
    known = [(name, value) for name, value in each if np.isfinite(value)]
    if label is None or not known:
        return t("views.near.none")
    sign = 1 if classes else -1
    best = max(known, key=lambda one: sign * one[1])
    worst = min(known, key=lambda one: sign * one[1])
    said = percent if classes else num
    facts = {
        "label": _called(label), "best": best[0], "value": said(best[1]), "worst": worst[0], "low": said(worst[1]),
        "usual": "–" if usual is None else said(usual),
    }  # fmt: skip
    return t("views.near.class_finding" if classes else "views.near.finding", **facts)
