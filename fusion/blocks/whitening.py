"""Axes of several views with the variance along them: of rows in memory by SVD, or of a stream added up by blocks.

Source: fusion/blocks/canonical.py, eq. (1); Chan, Golub, LeVeque 1979 (adding up by blocks). Everything is float64:
single precision loses the whitening, whose error grows with the square of the condition number.

V views, n rows, b rows of a block, D columns, r axes, P pairs of views.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import torch
from torch import Tensor

EPS = float(np.finfo(np.float64).eps)
Unit = Literal["scaled", "identity"]
Ridge = Literal["norm", "square", "ridge"]
Pair = tuple[int, int]


def pairs(views: int) -> list[Pair]:
    """Pairs of views in the order of every (K, P) table: (0, 1), (0, 2), ..., (1, 2), ..."""
    return list(combinations(range(views), 2))


def steady(solver: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, told: list[str]) -> tuple[Tensor, ...]:
    """A decomposition on the device of x, or on the CPU where the device's fails; then `told` gets "fell_back"."""
    try:
        return tuple(solver(x))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # documented, but not in its list of names
        if x.device.type == "cpu":
            raise
        told.append("fell_back")
        return tuple(part.to(x.device) for part in solver(x.cpu()))


@dataclass(frozen=True)
class Basis:
    """Each view's own axes with the variance along them, and the covariances between the axes of two views."""

    axes: tuple[Tensor, ...]  # V of (D, r)
    variance: tuple[Tensor, ...]  # V of (r,), falling, > 0
    cross: Mapping[Pair, Tensor]  # {(v, w), v < w: (r_v, r_w)}
    means: tuple[Tensor, ...]  # V of (D,)
    rows: int  # n
    freedom: float  # what covariances were divided by, n - 1 or n

    @property
    def ranks(self) -> tuple[int, ...]:
        """How many directions of each view have variance."""
        return tuple(len(one) for one in self.variance)


def thin(views: Sequence[Tensor], *, ddof: int = 1, centred: bool = True, told: list[str] | None = None) -> Basis:
    """Axes by the SVD of each view, eq. (1): the stable form for rows that fit in memory. views V of (n, D)

    ddof: 1 divides covariances by n - 1, 0 by n. centred=False takes the rows as they are.
    """
    n, said = len(views[0]), told if told is not None else []
    freedom = float(max(1, n - ddof))
    means, left, axes, sizes = [], [], [], []
    for x in views:
        x = x.double()
        mean = middle(x) if centred else torch.zeros_like(x[0])
        u, s, w = steady(lambda a: torch.linalg.svd(a, full_matrices=False), x - mean, said)
        kept = s > s.max() * max(x.shape) * EPS
        means.append(mean)
        left.append(u[:, kept])
        axes.append(w[kept].T)
        sizes.append(s[kept])
    cross = {
        (a, b): sizes[a][:, None] * (left[a].T @ left[b]) * sizes[b] / freedom for a, b in pairs(len(views))
    }  # fmt: skip
    return Basis(tuple(axes), tuple(s.square() / freedom for s in sizes), cross, tuple(means), n, freedom)


def middle(x: Tensor) -> Tensor:
    """Column means; that of a constant column is its value to the last bit. (n, D) -> (D,)"""
    low, high = x.aminmax(dim=0)
    return _middle(x, low, high)


def _middle(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.where(low == high, low, x.mean(0))


class Moments:
    """Means and cross-products of several views, added up block by block without keeping a row (Chan's update)."""

    def __init__(
        self, widths: Sequence[int], device: torch.device | str = "cpu", *, centred: bool = True, ends: bool = True
    ) -> None:  # fmt: skip
        """ends: whether to keep the smallest and the largest number of each column, for `constant`."""
        make = lambda *shape: torch.zeros(*shape, dtype=torch.float64, device=device)  # noqa: E731
        views = range(len(widths))
        self.rows, self.centred, self.ends = 0, centred, ends
        self.means = [make(width) for width in widths]
        self.lows = [make(width) + math.inf for width in widths]
        self.highs = [make(width) - math.inf for width in widths]
        self.products = {(a, b): make(widths[a], widths[b]) for a in views for b in views if a <= b}

    def add(self, views: Sequence[Tensor]) -> None:
        """One more block of rows. views V of (b, D)"""
        block = len(views[0])
        if not block:
            return
        total, whole = self.rows + block, [x.double() for x in views]
        means = [self._mean(v, x) for v, x in enumerate(whole)]
        rows = [x - mean for x, mean in zip(whole, means, strict=True)]
        moved = [new - old for new, old in zip(means, self.means, strict=True)]
        for (a, b), product in self.products.items():
            product += _gram(rows[a]) if a == b else rows[a].T @ rows[b]
            product += torch.outer(moved[a], moved[b]) * (self.rows * block / total)
        for v, move in enumerate(moved):
            self.means[v] = self.means[v] + move * (block / total)
        self.rows = total

    def _mean(self, view: int, x: Tensor) -> Tensor:
        """Of the columns of a block, after noting their smallest and largest numbers. (b, D) -> (D,)"""
        if not self.ends:
            return x.mean(0) if self.centred else torch.zeros_like(x[0])
        low, high = x.aminmax(dim=0)
        self.lows[view], self.highs[view] = self.lows[view].minimum(low), self.highs[view].maximum(high)
        return _middle(x, low, high) if self.centred else torch.zeros_like(low)

    def constant(self, view: int) -> Tensor:
        """Columns of a view that were the same in every row. -> (D,) bool"""
        return self.lows[view] == self.highs[view]

    def covariance(self, a: int, b: int, ddof: int = 1) -> Tensor:
        """Between the columns of two views, a <= b. -> (D_a, D_b)"""
        return self.products[a, b] / max(1, self.rows - ddof)

    def basis(self, ddof: int = 1, told: list[str] | None = None) -> Basis:
        """Axes by the eigenvectors of each view's covariance; directions below its rounding error are cut."""
        said, axes, variance = told if told is not None else [], [], []
        for v, mean in enumerate(self.means):
            values, vectors = steady(torch.linalg.eigh, self.covariance(v, v, ddof), said)
            values, vectors = values.flip(0), vectors.flip(1)
            kept = values > values.max() * 4 * max(len(mean), 16) * EPS
            axes.append(vectors[:, kept])
            variance.append(values[kept])
        cross = {
            (a, b): axes[a].T @ self.covariance(a, b, ddof) @ axes[b] for a, b in pairs(len(axes))
        }  # fmt: skip
        return Basis(tuple(axes), tuple(variance), cross, tuple(self.means), self.rows, float(max(1, self.rows - ddof)))


def _gram(x: Tensor) -> Tensor:
    """x'x, of which one half is worked out. (b, D) -> (D, D)"""
    width = x.shape[1]
    found, step = x.new_empty(width, width), max(64, -(-width // 4))
    for start in range(0, width, step):
        panel = x[:, start:].T @ x[:, start : start + step]
        found[start:, start : start + step] = panel
        found[start : start + step, start:] = panel.T
    return found


def whitening(
    variance: Tensor, c: float, freedom: float, rows: int, unit: Unit, ridge: Ridge = "norm", directions: int = 0
) -> Tensor:
    """d of eq. (1): one over the root of what stands for the covariance within a view, along its axes. (r,) -> (r,)

    With l the variance and K the Gram matrix of the rows: `norm` (1-c) l + c m, which is (1-c) K^2 + c k K for kernels
    (Hardoon 2004); `square` (K + n c s / 2)^2 (Bach and Jordan 2002), s the mean of K's diagonal; `ridge`
    (1-c) K^2 + c k^2 I, k the mean eigenvalue of K. unit="identity" puts 1 for m, s and k: c then depends on the unit
    of the view. directions: what m and k are means over, r where it is 0; a kernel of full rank has n - 1, of which
    rounding leaves fewer or more, and landmarks fewer.
    """
    scaled = unit == "scaled"
    mean = float(variance.sum()) / (directions or len(variance)) if scaled else 1.0
    if ridge == "square":
        shift = c / 2 * (float(variance.sum()) if scaled else rows / freedom)
        return variance.sqrt() / (variance + shift)
    if ridge == "ridge":
        within = (1 - c) * variance + c * (mean if scaled else 1 / freedom) ** 2 / variance
    else:
        within = (1 - c) * variance + c * mean
    return within.rsqrt()
