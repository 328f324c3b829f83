"""MCCA: directions of two or more views whose scores agree, from covariances alone.

Hotelling 1936, doi:10.1093/biomet/28.3-4.321 (two views); Kettenring 1971, doi:10.1093/biomet/58.3.433 (several:
SUMCOR, MAXVAR); Vinod 1976 (ridge). There is no released program; numbers are compared with
jameschapman19/cca_zoo@4.0.1.

    X_v = U_v S_v W_v',  d_v = ((1 - c) l_v + c m_v)^(-1/2),  l_v = S_v^2 / (n - 1)                             (1)
    G = [d_v W_v' Sigma_vw W_w d_w] without diagonal blocks = Z L Z',  u_v = sqrt(V) W_v d_v Z_v                (2)

which maximises sum_(v != w) u_v' Sigma_vw u_w with sum_v u_v' R_v u_v = V, R_v = (1 - c) Sigma_vv + c m_v I, m_v the
mean of l_v (`ridge_unit`: or 1). x_v (n, D_v) rows, u_v (D_v, K); scores (x_v - mean) u_v (n, K).
`sumcor` holds every view at unit variance, `maxvar` finds the one score that all views predict best.

Rows are read once. Up to 16 million numbers they are kept and (1) is an SVD; of more only means and cross-products are
added up, with a sample of rows for the signs, the picture and the permutation test.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fusion.blocks.canonical import Objective, Solution, spreads
from fusion.blocks.whitening import Basis, Moments, thin, whitening
from fusion.models.shared_settings import Settings
from fusion.models.shared_space import PERMUTED, Fitted, SharedSpace
from fusion.types import Card, FusionError, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HELD = 2**24  # numbers of all views, 128 MB, up to which rows are kept


@dataclass(frozen=True)
class Config(Settings):
    """Settings of MCCA."""

    objective: Literal["gevp", "sumcor", "maxvar"] = "gevp"


class Reservoir:
    """Rows of a stream, each as likely to be kept as the others: those with the smallest of seeded random numbers."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.generator = size, torch.Generator().manual_seed(seed)
        self.keys = torch.zeros(0, dtype=torch.float64)
        self.rows: list[Tensor] = []

    def add(self, block: Sequence[Tensor]) -> None:
        """V of (b, D)"""
        drawn = torch.rand(len(block[0]), generator=self.generator, dtype=torch.float64)
        keys = torch.cat((self.keys, drawn))
        kept = keys.argsort()[: self.size].sort().values  # in their order
        old, new = kept[kept < len(self.keys)], kept[kept >= len(self.keys)] - len(self.keys)
        home = block[0].device
        before = self.rows or [x[:0] for x in block]
        self.rows = [torch.cat((a[old.to(home)], b[new.to(home)])) for a, b in zip(before, block, strict=True)]
        self.keys = keys[kept]


class MCCA(SharedSpace):
    """Linear directions, one matrix a view."""

    card = Card(
        key="mcca",
        name="MCCA",
        title="Canonical correlation of several views",
        paper="Hotelling 1936, Biometrika 28; Kettenring 1971, Biometrika 58, doi:10.1093/biomet/58.3.433",
        official="none; compared with jameschapman19/cca_zoo@4.0.1",
        tasks=(Task.REPRESENTATION,),
        shows=("Embedding", "ModalityScores", "Opinions", "Canonical"),
    )
    Config = Config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those that all have, and u of each view."""
        own = {f"weights_{v}": (width, self.config.components) for v, width in enumerate(self.config.widths)}
        return super().shapes() | own

    @property
    def objective(self) -> Objective:
        """What is solved for."""
        return self.config.objective

    def fit(self, rows: Iterator[list[Tensor]], told: list[str]) -> Fitted:
        """Axes of rows kept, or of a stream added up, eq. (1)."""
        kept: list[list[Tensor]] = []
        moments, sample, cells = None, Reservoir(PERMUTED, self.config.seed), 0
        for block in rows:
            cells += sum(x.numel() for x in block)
            if moments is None:
                kept.append(block)
                if cells <= HELD:
                    continue
                moments = Moments([x.shape[1] for x in block], block[0].device)
            for one in kept or [block]:
                moments.add(one)
                sample.add(one)
            kept.clear()
        count = moments.rows if moments is not None else sum(len(block[0]) for block in kept)
        if count < 3:
            raise FusionError(f"{count} rows have every view; directions need three or more. Give more rows.")
        if moments is not None:
            constant = [moments.constant(v) for v in range(len(moments.means))]
            basis, held = moments.basis(self.config.ddof, told), sample.rows
        else:
            held = [torch.cat(parts) for parts in zip(*kept, strict=True)]
            constant = [x.amin(0) == x.amax(0) for x in held]
            basis = thin(held, ddof=self.config.ddof, told=told)
        return Fitted(basis, held, constant, [int((~one).sum()) for one in constant])

    def features(self, fitted: Fitted, rows: Sequence[Tensor]) -> list[Tensor]:
        """(x - mean) W. V of (n, D) -> V of (n, r)"""
        basis = fitted.basis
        return [(x - mean) @ axes for x, mean, axes in zip(rows, basis.means, basis.axes, strict=True)]

    def place(self, fitted: Fitted, solution: Solution) -> dict[str, Tensor]:
        """Means and u, eq. (2)."""
        basis = fitted.basis
        made = {f"mean_{v}": mean for v, mean in enumerate(basis.means)}
        parts = zip(basis.axes, solution.weights, fitted.constant, strict=True)
        weights = (torch.where(still[:, None], 0.0, axes @ w) for axes, w, still in parts)
        return made | {f"weights_{v}": u for v, u in enumerate(weights)}

    def project(self, view: int, x: Tensor) -> Tensor:
        """(x - mean) u. (B, D) -> (B, K)"""
        return (x - getattr(self, f"mean_{view}")) @ getattr(self, f"weights_{view}")

    def loadings(self, fitted: Fitted, solution: Solution, scores: Sequence[Tensor]) -> list[Tensor]:
        """Correlation of each input column with the score of its view, from covariances. -> V of (D, K)"""
        basis, found = fitted.basis, []
        parts = zip(basis.axes, basis.variance, solution.weights, spreads(basis, solution), strict=True)
        for axes, variance, w, spread in parts:
            shared = axes @ (variance[:, None] * w)  # covariance of column and score
            size = (axes.square() @ variance).sqrt()[:, None] * spread
            found.append(torch.where(size > 0, shared / size.clamp(min=1e-300), 0.0).clamp(-1, 1))
        return found

    def whiten(self, basis: Basis, c: Sequence[float]) -> list[Tensor]:
        """d of eq. (1). -> V of (r,)"""
        return [
            whitening(variance, one, basis.freedom, basis.rows, self.config.ridge_unit)
            for variance, one in zip(basis.variance, c, strict=True)
        ]
