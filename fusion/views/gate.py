"""Gates: how much of a modality each word lets in, and whether anything comes through an open gate."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.signals import Norms
from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import COLOURS, INK, SEQUENTIAL, SHAPES, scale, thin
from fusion.views.rows import Rows, rows_of
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, join, limit_note, num, percent, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Gate, Trace
    from fusion.types import Sample

BLOCKS = 32  # neighbouring features shown as one cell


def steps(signal: Gate, sample: Sample, trace: Trace, *, word: int | None = None) -> Picture:
    """How open is the gate at each word, and does it matter?

    Left: the mean over features with its P10-P90 spread, beside the untrained value. Right, where the model measures
    it: the length of what came through relative to the word's own vector. Marks of curves 0 to 2 are group numbers.
    """
    key, title = f"steps-{signal.name}", t("views.gate.title", modality=say(signal.modality))
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = base.array(signal.value)
    by_word = rows.mean(values[:, None] if values.ndim == 1 else values)  # (G, D)
    mean = by_word.mean(1)
    low, high = np.percentile(by_word, (10, 90), axis=1).astype(np.float32)
    norms = next((n for n in trace.of(Norms) if n.steps == signal.steps), None)
    through = None if norms is None else rows.mean(base.array(norms.value))
    shown = rows.head(base.MOST_ROWS)
    sheet = _strip(key, shown, signal, (mean, low, high), through, word)
    lowest, highest = int(mean.argmin()), int(mean.argmax())
    facts = {
        "modality": say(signal.modality), "mean": num(float(mean.mean())),
        "low_word": plain(rows.names[lowest]), "low": num(float(mean[lowest])),
        "high_word": plain(rows.names[highest]), "high": num(float(mean[highest])),
        "neutral": num(signal.neutral), "closed": percent(float((by_word < 0.1).mean())),
        "open": percent(float((by_word > 0.9).mean())),
    }  # fmt: skip
    columns: dict[str, object] = {
        t("views.axis.word"): rows.plain(), t("views.axis.gate"): mean, t("views.axis.p10"): low,
        t("views.axis.p90"): high,
    }  # fmt: skip
    finding = t("views.gate.finding", **facts)
    if through is not None:
        columns[t("views.axis.through")] = through
        most = int(through.argmax())
        length = {"value": num(float(through[most])), "mean": num(float(through.mean()))}
        finding = join(finding, t("views.gate.through", word=plain(rows.names[most]), **length))
    marks = (shown.index,) * (1 if through is None else 2)
    return Picture(
        key, title, sheet.figure(), t("views.gate.alt", **facts), pd.DataFrame(columns),
        join(finding, limit_note(len(shown), len(rows))), t("views.gate.shows", **facts),
        caveat(signal, "views.hides"), marks,
    )  # fmt: skip


def _strip(
    key: str, rows: Rows, signal: Gate, gate: tuple[np.ndarray, np.ndarray, np.ndarray], through: np.ndarray | None,
    word: int | None,
) -> Sheet:  # fmt: skip
    """One line a word: the gate with its spread, and beside it the length of what came through."""
    mean, low, high = (part[: len(rows)] for part in gate)
    labels = rows.labels()
    colour = COLOURS.get(signal.modality, INK)
    sheet = Sheet(key, 92 + 24 * len(rows), right=12, top=26)
    sheet.add(
        "scatter", x=mean, y=labels, mode="markers", showlegend=False, hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"symbol": SHAPES.get(signal.modality, "circle"), "size": 11, "color": colour},
        error_x={"type": "data", "symmetric": False, "array": high - mean, "arrayminus": mean - low, "thickness": 5,
                 "width": 0, "color": thin(colour, 0.45)},
    )  # fmt: skip
    sheet.rule(signal.neutral)
    sheet.note(
        t("views.gate.neutral", value=num(signal.neutral)), x=signal.neutral, xref="x", y=1, yref="paper",
        yanchor="bottom",
    )  # fmt: skip
    first: dict[str, object] = {
        "range": [0, 1], "tickvals": [0, 0.25, 0.5, 0.75, 1], "title": {"text": t("views.axis.gate")},
        "domain": [0, 1 if through is None else 0.66],
    }  # fmt: skip
    sheet.set(xaxis=first, yaxis={**LINES, "categoryorder": "array", "categoryarray": labels})
    if through is not None:
        part = through[: len(rows)]
        sheet.add(
            "bar", x=part, y=labels, orientation="h", marker={"color": INK}, showlegend=False, xaxis="x2",
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )  # fmt: skip
        longest = float(part.max() or 1) * 1.08
        second = {"range": [0, longest], "nticks": 3, "domain": [0.71, 1], "title": {"text": t("views.axis.through")}}
        sheet.set(xaxis2=second)
    if (at := rows.place(word)) is not None:
        sheet.frame((0, 1), (at - 0.5, at + 0.5))
        sheet.shapes[-1]["xref"] = "paper"
    sheet.clicks()
    return sheet


def blocks(signal: Gate, sample: Sample, trace: Trace, *, word: int | None = None, own: bool = False) -> Picture:
    """Which features does each word open? Words against blocks of neighbouring features.

    The colour runs from 0 to 1, or over this sample's own range when `own`.
    """
    key, title = f"blocks-{signal.name}", t("views.blocks.title")
    rows = rows_of(trace, signal.steps, base.flags(signal.mask))
    if not len(rows):
        return base.nothing(key, title, t("views.none.words"), signal)
    values = base.array(signal.value)
    by_word = rows.mean(values[:, None] if values.ndim == 1 else values)  # (G, D)
    count = min(BLOCKS, by_word.shape[1])
    edges = np.linspace(0, by_word.shape[1], count + 1).astype(int)
    sums = np.add.reduceat(by_word, edges[:-1], axis=1)
    cells = (sums / np.diff(edges)).astype(np.float32)  # (G, blocks)
    shown = rows.head(base.MOST_CELLS)
    names = [t("views.blocks.block", first=a + 1, last=b) for a, b in pairwise(edges)]
    sheet = heat(key, len(shown), extra=16)
    sheet.add(
        "heatmap", z=cells[: len(shown)], x=names, y=shown.labels(14), colorscale=scale(SEQUENTIAL), ygap=1,
        zmin=float(cells.min()) if own else 0, zmax=float(cells.max()) if own else 1,
        colorbar=bar(t("views.axis.gate")),
        hovertemplate="%{y}, %{x}<br>%{z:.3f}<extra></extra>",
    )  # fmt: skip
    if (at := shown.place(word)) is not None:
        sheet.frame((-0.5, count - 0.5), (at - 0.5, at + 0.5))
    every = max(1, count // 4)
    starts = [str(edge + 1) for edge in edges[:-1][::every]]
    title_below = {"text": t("views.axis.feature")}
    sheet.set(xaxis={"tickvals": names[::every], "ticktext": starts, "tickangle": 0, "title": title_below})
    q, k = np.unravel_index(int(cells.argmax()), cells.shape)
    lq, lk = np.unravel_index(int(cells.argmin()), cells.shape)
    facts = {
        "count": count, "words": len(rows), "high": num(float(cells[q, k])), "low": num(float(cells[lq, lk])),
        "high_word": plain(rows.names[q]), "low_word": plain(rows.names[lq]), "high_block": names[k],
        "low_block": names[lk], "spread": num(float(by_word.std(1).mean())),
    }  # fmt: skip
    table = pd.DataFrame(cells, columns=names)
    table.insert(0, t("views.axis.word"), rows.plain())
    return Picture(
        key, title, sheet.figure(), t("views.blocks.alt", **facts), table,
        join(t("views.blocks.finding", **facts), limit_note(len(shown), len(rows))),
        t("views.blocks.shows_own" if own else "views.blocks.shows_fixed"), caveat(signal, "views.hides"),
    )  # fmt: skip
