"""What every picture is made of: the Picture itself, colours, axes, numbers in words, and steps as a reader names them.

Figures carry no text colour and no background, so that the page's theme (or the report's) gives both; marks that need
"the text colour" take INK, a grey that keeps 4:1 on white and on the dark background alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fusion import words
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from torch import Tensor

    from fusion.signals import Signal, Trace
    from fusion.types import Sample

INK = "#7A7A7A"
SEQUENTIAL = (
    "#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838",
)  # fmt: skip  # cividis
DIVERGING = (
    "#084594", "#3869A8", "#688CBC", "#97B0CF", "#C7D3E3", "#E9D7C7", "#DCB797", "#CE9866", "#C17836", "#B35806",
)  # fmt: skip
CATEGORIES = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#999933", "#332288", "#7A7A7A",
)  # fmt: skip  # Okabe-Ito first
COLOURS = {
    "text": "#0072B2", "image": "#D55E00", "video": "#D55E00", "graph": "#009E73", "audio": "#CC79A7",
    "attribute": "#E69F00", "relation": "#56B4E9", "name": "#882255", "character": "#999933", "fused": INK, "bias": INK,
}  # fmt: skip
SHAPES = {
    "text": "circle", "image": "diamond", "video": "diamond", "graph": "square", "audio": "triangle-up",
    "attribute": "cross", "relation": "x", "name": "pentagon", "character": "star", "fused": "hexagon",
}  # fmt: skip
PATTERNS = ("", "/", ".", "x", "-", "|", "+", "\\")  # a second sign beside the colour, by order
MOST_ROWS = 100  # words in a picture with one line a word
MOST_CELLS = 200  # rows or columns of a heat map


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawing with everything that makes it readable without looking: text alternative, numbers, one-line finding.

    `marks` names what can be clicked: marks[curve][point] is the identity of that point, in the terms of the view
    (a region's index, a word's index, a signal and head, a sample's id).
    """

    key: str  # stable: file name, widget key, uirevision
    title: str
    figure: go.Figure
    alt: str
    table: pd.DataFrame
    finding: str
    shows: str  # one sentence on what it shows
    hides: str  # one sentence on what it doesn't
    marks: tuple[tuple[Hashable, ...], ...] = ()

    def pick(self, curve: int, point: int) -> Hashable | None:
        """What a click on point `point` of curve `curve` chose, None where nothing is to be chosen."""
        if 0 <= curve < len(self.marks) and 0 <= point < len(self.marks[curve]):
            return self.marks[curve][point]
        return None


def array(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor of one sample, without its first axis. (1, ...) -> (...) float32"""
    assert tensor.shape[0] == 1, f"a picture shows one sample, not {tensor.shape[0]}: use trace.at(row)"
    return tensor[0].detach().cpu().float().numpy()


def flags(tensor: Tensor) -> np.ndarray:
    """A mask of one sample, without its first axis. (1, T) bool -> (T,) bool"""
    return tensor[0].detach().cpu().bool().numpy()


def num(value: float) -> str:
    """A number with three significant digits at most: 0.731, 12.3, 1,240, -0.0042, 0."""
    if not np.isfinite(value):
        return "–"
    if abs(value) < 1e-6:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    digits = 3 if abs(value) >= 0.1 else 2
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{places}f}"


def percent(share: float) -> str:
    """A share as a percentage with two or three significant digits: 62 %, 4.1 %, under 0.1 %."""
    value = 100 * share
    if not np.isfinite(value):
        return "–"
    if 0 < value < 0.1:
        return t("views.percent", value="< 0.1")
    return t("views.percent", value=f"{value:.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}")


def signed(change: float) -> str:
    """A change with its sign, an arrow and a word: "−0.32 ↓ lower"."""
    if abs(change) < 5e-4:
        return t("views.change.none")
    way = "up" if change > 0 else "down"
    return t(f"views.change.{way}", value=num(abs(change)))


def say(name: str) -> str:
    """What a reader calls a technical name ("image", "match_score"), itself when the catalogue has no word for it."""
    key = "name." + re.sub(r"\W+", "_", name.strip().lower())
    return t(key) if key in words.catalogue(words.current()) else name


def caveat(signal: Signal | None, fallback: str) -> str:
    """What a picture of a signal doesn't show: the signal's caveat, or the view's own sentence (a key)."""
    if signal is None or not signal.caveat:
        return t(fallback)
    known = signal.caveat in words.catalogue(words.current())
    return t(signal.caveat) if known else signal.caveat  # a plugin writes its own sentence


def clean(text: str, longest: int = 16) -> str:
    """A label from words of a person: one line, no markup that Plotly would read, cut with an ellipsis."""
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\u2028\u2029]+", " ", text).strip() or "·"
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")


def plain(text: str, longest: int = 40) -> str:
    """The same for sentences, tables and alternatives, where nothing reads markup."""
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\u2028\u2029]+", " ", text).strip() or "·"
    return line if len(line) <= longest else line[: longest - 1] + "…"


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels made different without looking different: a repeated one gets zero-width spaces.

    Plotly merges equal categories of an axis, and hovering must still show the word itself.
    """
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        seen[label] = seen.get(label, -1) + 1
        result.append(label + "\u200b" * seen[label])
    return result


@dataclass(frozen=True)
class Rows:
    """The steps of a modality as a reader meets them: whole words or regions, without the marks of the tokeniser."""

    names: tuple[str, ...]  # G names
    index: tuple[int, ...]  # G group numbers, as in Steps.group
    member: np.ndarray  # (G, T) float32, 1 where the step belongs to the group

    def __len__(self) -> int:
        return len(self.names)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """The mean over the steps of each group. (T, ...) -> (G, ...)"""
        weight = self.member / np.maximum(self.member.sum(1, keepdims=True), 1)
        return np.tensordot(weight, values, axes=1).astype(np.float32)

    def total(self, values: np.ndarray) -> np.ndarray:
        """The sum over the steps of each group. (T, ...) -> (G, ...)"""
        return np.tensordot(self.member, values, axes=1).astype(np.float32)

    def first(self, values: np.ndarray) -> np.ndarray:
        """The value of the first step of each group, which carries a word's tag. (T, ...) -> (G, ...)"""
        return values[self.member.argmax(1)] if len(self) else values[:0]

    def head(self, most: int) -> Rows:
        """The first groups only."""
        return Rows(self.names[:most], self.index[:most], self.member[:most])

    def labels(self, longest: int = 16) -> list[str]:
        """Short, distinct names for an axis."""
        return distinct([clean(name, longest) for name in self.names])

    def plain(self) -> list[str]:
        """Names for a table."""
        return [plain(name) for name in self.names]

    def place(self, group: int | None) -> int | None:
        """Where a group number stands among these rows, None when it is not shown."""
        return self.index.index(group) if group in self.index else None


def rows_of(trace: Trace, modality: str, mask: np.ndarray) -> Rows:
    """The real steps of a modality, grouped by what they belong to; numbered where the trace names none. mask (T,)"""
    steps = next(iter(trace.steps.get(modality, ())), None)
    count = len(mask)
    if steps is None or len(steps.group) == 0:
        found = np.flatnonzero(mask)
        member = np.zeros((len(found), count), np.float32)
        member[np.arange(len(found)), found] = 1
        return Rows(tuple(str(i + 1) for i in found), tuple(int(i) for i in found), member)
    group = np.full(count, -1)
    known = min(count, len(steps.group))
    group[:known] = steps.group[:known]
    group[~mask] = -1
    present = sorted({int(g) for g in group if g >= 0})
    member = (group[None, :] == np.asarray(present, int)[:, None]).astype(np.float32)
    return Rows(tuple(steps.groups[g] for g in present), tuple(present), member)


@dataclass(frozen=True)
class Grid:
    """Regions of a picture in rows and columns."""

    rows: int
    columns: int
    steps: np.ndarray  # (R,) which step each region is
    row: np.ndarray  # (R,) from 0, at the top
    column: np.ndarray  # (R,) from 0, at the left

    def names(self) -> list[str]:
        """The regions in words."""
        return [t("views.region", row=r + 1, column=c + 1) for r, c in zip(self.row, self.column, strict=True)]

    def place(self, values: np.ndarray) -> np.ndarray:
        """Values of the regions as a map. (R,) -> (rows, columns), NaN where there is no region"""
        result = np.full((self.rows, self.columns), np.nan, np.float32)
        result[self.row, self.column] = values
        return result


def grid_of(trace: Trace, modality: str, mask: np.ndarray) -> Grid | None:
    """The grid that the regions of a picture make, None for a modality without one (a text).

    Positions come from the names of the steps ("row 1, column 3"); unnamed regions of an image make a square.
    """
    steps = next(iter(trace.steps.get(modality, ())), None)
    if steps is None:
        found = np.flatnonzero(mask)
        side = round(len(found) ** 0.5)
        if modality != "image" or side * side != len(found) or side == 0:
            return None
        order = np.arange(len(found))
        return Grid(side, side, found, order // side, order % side)
    if steps.spans:
        return None
    found = [i for i, g in enumerate(steps.group[: len(mask)]) if g >= 0 and mask[i]]
    places = [re.fullmatch(r"\D*(\d+)\D+(\d+)\D*", steps.labels[i]) for i in found]
    pairs = [(int(p[1]), int(p[2])) for p in places if p is not None]
    if not pairs or len(pairs) < len(found) or len(set(pairs)) < len(pairs):
        return None
    at = np.asarray(pairs) - 1
    if at.min() < 0:
        return None
    return Grid(int(at[:, 0].max()) + 1, int(at[:, 1].max()) + 1, np.asarray(found), at[:, 0], at[:, 1])


def canvas(key: str, height: int, *, left: int = 8, bottom: int = 36, top: int = 8, right: int = 8) -> go.Figure:
    """An empty figure: transparent, no title, small margins that grow with the labels, state kept across reruns."""
    figure = go.Figure()
    figure.update_layout(
        template=go.layout.Template(),  # the page's or the report's theme fills it
        height=height, uirevision=key, dragmode=False, hovermode="closest", bargap=0.25,
        margin={"l": left, "r": right, "t": top, "b": bottom, "pad": 2},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "title": {"text": ""}},
    )  # fmt: skip
    figure.update_xaxes(automargin=True, zeroline=False, fixedrange=True, title={"standoff": 6})
    figure.update_yaxes(automargin=True, zeroline=False, fixedrange=True, title={"standoff": 6})
    return figure


def bar(title: str, **more: object) -> dict[str, object]:
    """A colour bar along the bottom with its unit, narrow enough for a phone."""
    return {
        "title": {"text": title, "side": "bottom"}, "orientation": "h", "thickness": 10, "len": 0.9, "x": 0.5,
        "xanchor": "center", "y": 0, "yanchor": "top", "ypad": 34, "nticks": 5, "outlinewidth": 0, **more,
    }  # fmt: skip


def scale(colours: Sequence[str]) -> list[list[float | str]]:
    """Colours as Plotly wants them: pairs of a place in 0..1 and a colour."""
    return [[i / (len(colours) - 1), colour] for i, colour in enumerate(colours)]


def absent(modality: str, sample: Sample) -> bool:
    """Whether a sample has no picture for a modality that is one; its weights would be about nothing."""
    return modality == "image" and sample.image() is None


def nothing(key: str, title: str, reason: str, signal: Signal | None = None) -> Picture:
    """A picture that says in one sentence why there is nothing to draw."""
    figure = canvas(key, 90, bottom=8)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=reason, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return Picture(key, title, figure, reason, pd.DataFrame(), reason, reason, caveat(signal, "views.hides"))


def join(*sentences: str) -> str:
    """Sentences after each other as the language writes them; empty ones fall out."""
    return t("views.list.sentence").join(sentence for sentence in sentences if sentence)


def limit_note(shown: int, count: int) -> str:
    """ "Showing 100 of 312." when something was left out, else nothing."""
    return t("views.showing", shown=shown, count=count) if shown < count else ""
