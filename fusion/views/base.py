"""What every view returns and reads: the Picture, and the numbers of one sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from fusion.views.sheet import Sheet
from fusion.views.speech import caveat

if TYPE_CHECKING:
    from collections.abc import Hashable

    import numpy as np
    import plotly.graph_objects as go
    from torch import Tensor

    from fusion.signals import Signal
    from fusion.types import Sample

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

    @property
    def counted(self) -> bool:
        """Whether there are numbers to show beside the drawing."""
        return len(self.table) > 0

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


def absent(modality: str, sample: Sample) -> bool:
    """Whether a sample has no picture for a modality that is one; its weights would be about nothing."""
    return modality == "image" and sample.image() is None


def nothing(key: str, title: str, reason: str, signal: Signal | None = None) -> Picture:
    """A picture that says in one sentence why there is nothing to draw."""
    sheet = Sheet(key, 90, bottom=8)
    sheet.set(xaxis={"visible": False}, yaxis={"visible": False})
    sheet.note(reason, x=0.5, y=0.5, xref="paper", yref="paper")
    return Picture(key, title, sheet.figure(), reason, pd.DataFrame(), reason, reason, caveat(signal, "views.hides"))
