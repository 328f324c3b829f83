"""The steps of a modality as a reader meets them: whole words instead of pieces, regions in rows and columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.views.speech import clean, distinct, plain, say, step
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import Trace


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
    names = [step(steps.groups[g]) for g in present]
    if modality == "modalities":  # these steps have technical names, not words of a person
        names = [say(name) for name in names]
    return Rows(tuple(names), tuple(present), member)


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
