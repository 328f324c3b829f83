"""Small pictures of few numbers: shares of modalities, lengths by word, and what changed when an input was changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK
from fusion.views.rows import rows_of
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import WITH, caveat, clean, distinct, folded, join, limit_note, num, plain, say, signed
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Effects, ModalityWeights, Norms, Trace
    from fusion.types import Sample


MOST_CONDITIONS = 12


def weights(
    signal: ModalityWeights, sample: Sample, trace: Trace, *, usual: np.ndarray | None = None,
    filled: Sequence[str] = (),
) -> Picture:  # fmt: skip
    """How much does the model listen to each input? Bars, with the usual value as a tick.

    usual (3, M): the tenth percentile, median and ninetieth percentile of a data set; filled: modalities whose features
    were made up, which are marked.
    """
    key, title = f"weights-{signal.name}", t("views.weights.title")
    values = base.array(signal.value)
    voices = [m.removeprefix(WITH) for m in signal.modalities]  # a component of several, or a modality
    names = [" + ".join(say(one) for one in m.split("+")) for m in voices]
    names = [t("views.weights.filled", name=n) if m in filled else n for n, m in zip(names, voices, strict=True)]
    labels = distinct([folded(n, 24) for n in names])
    colours = [COLOURS.get(m, CATEGORIES[i % 10]) for i, m in enumerate(voices)]
    pattern = {"shape": ["/" if m in filled else "" for m in signal.modalities], "fgcolor": "#FFFFFF", "size": 6}
    sheet = Sheet(key, 80 + 34 * len(names), right=48)
    sheet.add(
        "bar", x=values, y=labels, orientation="h", text=[num(float(v)) for v in values],
        textposition="outside" if usual is None else "none",  # else beside the band, which would cross it
        marker={"color": colours, "line": {"color": INK, "width": 1}, "pattern": {**pattern, "fillmode": "overlay"}},
        cliponaxis=False, showlegend=False, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    top, order = int(values.argmax()), np.argsort(-values)
    facts = {
        "top": names[top], "value": num(float(values[top])),
        "all": t("views.list.comma").join(f"{names[i]} {num(float(values[i]))}" for i in order),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.modality"): names, t("views.axis.weight"): values})
    finding = t("views.weights.finding", **facts)
    if usual is not None:
        low, median, high = np.asarray(usual, np.float32)
        sheet.add(
            "scatter", x=median, y=labels, mode="markers", name=t("views.weights.usual"),
            marker={"symbol": "line-ns", "size": 20, "line": {"width": 3, "color": INK}},
            error_x={"type": "data", "symmetric": False, "array": high - median, "arrayminus": median - low,
                     "color": INK, "thickness": 2, "width": 4},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        for row, end in enumerate(np.maximum(values, high)):
            sheet.note(num(float(values[row])), x=float(end), y=row, xanchor="left", yanchor="middle", xshift=6)
        table[t("views.weights.usual")] = median
        finding = join(finding, t("views.weights.compare", top=names[top], value=num(float(median[top]))))
        sheet.set(margin={"t": 34})
    sheet.set(
        xaxis={"range": [0, _end(values, usual)], "title": {"text": t("views.axis.weight")}, "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )
    return Picture(
        key, title, sheet.figure(), t("views.weights.alt", **facts), table, finding, t("views.weights.shows"),
        caveat(signal, "caveat.weights"),
    )  # fmt: skip


def _end(values: np.ndarray, usual: np.ndarray | None) -> float:
    """Where an axis of shares ends: at 1, or nearer where none of many modalities comes near it."""
    highest = float(values.max() if usual is None else max(values.max(), np.max(usual)))
    return max(1.0, highest) if highest > 0.5 else 0.6


def norms(signal: Norms, sample: Sample, trace: Trace) -> Picture:
    """Does anything come through? The length of one vector relative to another, word by word."""
    key, title = f"norms-{signal.name}", t("views.norms.title")
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = rows.mean(base.array(signal.value))
    shown = rows.head(base.MOST_ROWS)
    part = values[: len(shown)]
    sheet = Sheet(key, 80 + 24 * len(shown), right=44)
    sheet.add(
        "bar", x=part, y=shown.labels(), orientation="h", marker={"color": INK}, showlegend=False, cliponaxis=False,
        text=[num(float(v)) for v in part], textposition="outside", hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(
        xaxis={"range": [0, float(part.max() or 1) * 1.12], "title": {"text": t("views.axis.ratio")}, "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )
    best, least = int(values.argmax()), int(values.argmin())
    facts = {
        "mean": num(float(values.mean())), "word": plain(rows.names[best]),
        "value": num(float(values[best])), "low_word": plain(rows.names[least]),
        "low": num(float(values[least])),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.word"): rows.plain(), t("views.axis.ratio"): values})
    return Picture(
        key, title, sheet.figure(), t("views.norms.alt", **facts), table,
        join(t("views.norms.finding", **facts), limit_note(len(shown), len(rows))), t("views.norms.shows"),
        caveat(signal, "views.hides"),
    )  # fmt: skip


def drop(signal: Effects, sample: Sample, trace: Trace) -> Picture | None:
    """What changes when an input goes away? One panel a number, one bar a condition, a dashed line where it was.

    Every bar starts at zero and is labelled with its value and its signed change in words. None for more conditions
    than can be told apart, which `subsets` draws.
    """
    if len(signal.conditions) > MOST_CONDITIONS:
        return None
    key, title = f"drop-{signal.name}", t("views.drop.title")
    values = base.array(signal.value)  # (V, O)
    conditions = [say(c) for c in signal.conditions]
    names = [say(o) for o in signal.observables]
    change = values - values[:1]
    sheet = _panels(key, values, change, conditions, names)
    said = tuple(answer or t("views.drop.nothing") for answer in signal.said[0]) if signal.said else ()
    table = pd.DataFrame(values, columns=distinct(names))
    table.insert(0, t("views.axis.condition"), conditions)
    if said:
        table[t("views.axis.prediction")] = [plain(s, 300) for s in said]
    for i, name in enumerate(names):
        table[t("views.drop.change", name=name)] = [signed(float(v)) for v in change[:, i]]
    sentences = [_sentence(values, change, row, conditions, names, said) for row in range(1, len(conditions))]
    moves = [_moves(values, change, row, conditions, names) for row in range(1, len(conditions))]
    finding = join(*sentences) or t("views.drop.none")
    highest = np.nanmax(values, axis=0)
    before = (
        t("views.drop.was", name=name, value=num(float(values[0, i])), high=num(float(highest[i])))
        for i, name in enumerate(names)
    )
    alt = join(t("views.drop.alt", count=len(conditions), names=t("views.list.comma").join(names)), *before, *moves)
    return Picture(
        key, title, sheet.figure(), alt, table, finding, t("views.drop.shows"), caveat(signal, "caveat.drop")
    )


def _move(values: np.ndarray, change: np.ndarray, row: int, name: str, i: int) -> str:
    """ "match 0.73 → 0.41 (−0.32 ↓ lower)" """
    before, after = num(float(values[0, i])), num(float(values[row, i]))
    return t("views.drop.move", name=name, before=before, after=after, change=signed(float(change[row, i])))


def _moves(values: np.ndarray, change: np.ndarray, row: int, conditions: list[str], names: list[str]) -> str:
    """Everything that moved under one condition."""
    known = [_move(values, change, row, name, i) for i, name in enumerate(names) if np.isfinite(values[row, i])]
    return t("views.drop.sentence", condition=conditions[row], moves=t("views.list.comma").join(known), answer="")


def _sentence(
    values: np.ndarray, change: np.ndarray, row: int, conditions: list[str], names: list[str], said: tuple[str, ...]
) -> str:
    """What moved most under one condition, and what became of the prediction."""
    known = [i for i in range(len(names)) if np.isfinite(change[row, i])]
    most = max(known, key=lambda i: abs(change[row, i]), default=None)
    move = t("views.drop.unknown") if most is None else _move(values, change, row, names[most], most)
    answer = ""
    if said:
        same = said[row] == said[0]
        answer = t("views.drop.same") if same else t("views.drop.differs", after=plain(said[row], 80))
    return t("views.drop.sentence", condition=conditions[row], moves=move, answer=answer)


def _panels(key: str, values: np.ndarray, change: np.ndarray, conditions: list[str], names: list[str]) -> Sheet:
    """A panel an observable, under each other so that a phone shows them whole."""
    lines = len(conditions)
    labels = distinct([clean(condition, 22) for condition in conditions])
    inner, between = 42 * lines, 50  # pixels of a panel, and from one to the next for ticks and a title
    height = len(names) * (inner + between)
    sheet = Sheet(key, height + 12, top=28, bottom=28)
    whole = height - 44  # what the margins leave
    colours = [CATEGORIES[0]] + [CATEGORIES[4]] * (lines - 1)
    pattern = {"shape": ["", *["/"] * (lines - 1)], "fgcolor": "#FFFFFF", "size": 5, "fillmode": "overlay"}
    for i, name in enumerate(names):
        column = values[:, i]
        axis = "" if i == 0 else str(i + 1)
        low, high = min(0.0, float(np.nanmin(column))), max(0.0, float(np.nanmax(column)))
        room = (high - low or 1.0) * 0.9  # for the label at the end of the longest bar
        top = 1 - i * (inner + between) / whole
        panel = {
            "domain": [max(0.0, top - inner / whole), top],
            "anchor": f"x{axis}",
            "ticklabelposition": "inside top",
        }
        names_down = {"categoryorder": "array", "categoryarray": labels, "showgrid": False}
        sheet.set(**{
            f"xaxis{axis}": {"range": [low * 1.75, high + room], "nticks": 4, "anchor": f"y{axis}"},
            f"yaxis{axis}": {**LINES, **panel, **names_down},
        })  # fmt: skip
        said = [f"{num(float(v))} ({signed(float(c))})" for v, c in zip(column, change[:, i], strict=True)]
        sheet.add(
            "bar", x=column, y=labels, orientation="h", marker={"color": colours, "pattern": pattern},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>", showlegend=False, xaxis=f"x{axis}", yaxis=f"y{axis}",
            offset=0.02, width=0.44,  # under its name, which stands inside the panel: a phone has no room beside it
        )  # fmt: skip
        for row in np.flatnonzero(np.isfinite(column)):  # right of the dashed line, also where a bar ends before it
            at = {"x": float(np.fmax(column[row], column[0])), "y": int(row) + 0.24, "xshift": 5}
            text = said[row] if row else num(float(column[0]))
            sheet.note(text, xref=f"x{axis}", yref=f"y{axis}", xanchor="left", yanchor="middle", **at)
        sheet.note(
            f"<b>{clean(name, 40)}</b>", x=0, xref="paper", xanchor="left", y=top, yref="paper", yanchor="bottom"
        )
        for row in np.flatnonzero(~np.isfinite(column)):
            at = {"xref": f"x{axis}", "yref": f"y{axis}", "xanchor": "left", "yanchor": "top"}
            sheet.note(t("views.drop.unknown"), x=low, y=labels[row], **at)
        if np.isfinite(column[0]):
            sheet.rule(float(column[0]), axis=axis)
    return sheet
