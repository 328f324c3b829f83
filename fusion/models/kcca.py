"""KCCA: directions of two or more views whose scores agree, in the feature space of a kernel.

Bach and Jordan 2002 (regularised, "square"); Hardoon, Szedmak, Shawe-Taylor 2004, doi:10.1162/0899766042321814
("norm"); Kuss and Graepel 2003 (centring). Nystroem: Williams and Seeger 2001. There is no released program; numbers
are compared with jameschapman19/cca_zoo@4.0.1.

    rho = a' K_x K_y b / sqrt(a' K_x^2 a  b' K_y^2 b),  K centred in feature space                               (1)
    K = U L U',  F = U sqrt(L);  MCCA of the F_v, fusion/models/mcca.py;  alpha_v = U_v L_v^(-1/2) w_v           (2)
    score of z = (k_z - mean(k_z) - column means + grand mean) alpha,  k_z = k(z - mean, X - mean)               (3)

x_v (n, D_v), K_v (n, n), alpha_v (n, K). An unregularised K_v of full rank agrees with anything: c = 0 is refused for
rbf. `ridge` says what stands for K^2: fusion/blocks/whitening.py. `kpls` has a' K a for it, which gives no correlation
but a covariance; it is there to compare. Above `limit` rows, F comes from landmarks (`nystrom`) or random waves, and
the score is (f(z) - mean of F) u. Rows are centred before the kernel, which makes all kernels safe from a shift;
centre=False leaves both centrings out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fusion.blocks import kernels
from fusion.blocks.canonical import Objective, Solution
from fusion.blocks.kernels import Kernel
from fusion.blocks.whitening import Basis, Moments, middle, whitening
from fusion.models.base import Remark
from fusion.models.shared_inputs import CELLS
from fusion.models.shared_settings import Settings
from fusion.models.shared_space import Fitted, SharedSpace
from fusion.types import Card, FusionError, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FULL_RANK = ("rbf",)  # kernels whose Gram matrix has no direction without variance


@dataclass(frozen=True)
class Config(Settings):
    """Settings of KCCA; `gamma`, `method` and `stored` are what was used after `solve`."""

    c: tuple[float, ...] = (0.05,)
    objective: Literal["gevp", "sumcor", "maxvar", "kpls"] = "gevp"
    ridge: Literal["norm", "square", "ridge"] = "norm"
    kernel: tuple[Literal["linear", "rbf", "polynomial"], ...] = ("rbf",)  # one for all views or one each
    gamma: tuple[float, ...] = (0.0,)  # one for all views or one each; 0: by `width`
    width: Literal["median", "features"] = "median"  # 1 / (2 med^2) of the distances, or 1 / D
    degree: int = 3  # of polynomial
    offset: float = 1.0  # of polynomial
    centre: bool = True  # False: neither rows nor kernel are centred; linear and polynomial then know a shift
    method: Literal["exact", "nystrom", "waves"] = "exact"  # of up to `limit` rows, waves only for rbf
    limit: int = 2000  # rows; above it exact becomes nystrom
    landmarks: int = 1024  # or waves
    choice: Literal["uniform", "spread"] = "uniform"  # of landmarks; spread: k-means++
    stored: int = 0  # rows, landmarks or waves of a solved model

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("kernel", "gamma"):
            if len(getattr(self, name)) not in (1, len(self.modalities)):
                raise FusionError(
                    f"{name} has {len(getattr(self, name))} entries for {len(self.modalities)} modalities; give one "
                    "for all or one of each."
                )
        if self.method == "waves" and any(one != "rbf" for one in self.kernel):
            raise FusionError("Random waves make an rbf kernel only; choose the kernel rbf, or the method nystrom.")
        for kernel, c in zip(self.kinds(), self.ridges(), strict=True):
            if kernel in FULL_RANK and c == 0 and self.objective != "kpls":
                raise FusionError(
                    f"c = 0 with the kernel {kernel} makes any two views agree perfectly; set c above 0, 0.05 say."
                )

    @classmethod
    def ranges(cls) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each setting."""
        return super().ranges() | {
            "gamma": (0, 1e12), "degree": (1, 20), "offset": (0, 1e12), "limit": (3, 20_000),
            "landmarks": (2, 20_000), "stored": (0, 20_000),
        }  # fmt: skip

    def kinds(self) -> tuple[Kernel, ...]:
        """Kernel of each view."""
        return self.kernel if len(self.kernel) > 1 else self.kernel * len(self.modalities)

    def gammas(self) -> tuple[float, ...]:
        """gamma of each view, 0 where it is not set."""
        return self.gamma if len(self.gamma) > 1 else self.gamma * len(self.modalities)


@dataclass(frozen=True)
class Made:
    """The feature maps of one solution."""

    config: Config  # with method, gamma and stored as they are
    means: list[Tensor]  # V of (D,)
    points: list[Tensor]  # V of (m, D): rows or landmarks, centred; or frequencies (D, R) of waves
    maps: list[Tensor]  # V of (m, r): landmarks -> features; V of (R,) phases of waves; nothing where exact
    column_means: list[Tensor]  # V of (m,), of the kernel or of the waves over the rows that were fitted
    grand_means: list[Tensor]  # V of ()


class KCCA(SharedSpace):
    """Directions in the feature space of a kernel, by their coefficients on the rows or landmarks that are kept."""

    card = Card(
        key="kcca",
        name="KCCA",
        title="Canonical correlation of several views by kernels",
        paper="Bach, Jordan, JMLR 3, 2002; Hardoon, Szedmak, Shawe-Taylor, Neural Computation 16(12), 2004",
        official="none; compared with jameschapman19/cca_zoo@4.0.1",
        tasks=(Task.REPRESENTATION,),
        shows=("Embedding", "ModalityScores", "Opinions", "Canonical"),
    )
    Config = Config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Those that all have, what the kernel compares with, and alpha."""
        found, config = super().shapes(), self.config
        for v, width in enumerate(config.widths):
            waves = config.method == "waves"
            found[f"points_{v}"] = (width, config.stored) if waves else (config.stored, width)
            found |= {f"alpha_{v}": (config.stored, config.components), f"column_means_{v}": (config.stored,)}
            if waves:
                found[f"phases_{v}"] = (config.stored,)
            if config.method == "exact":
                found[f"grand_mean_{v}"] = ()
        return found

    @property
    def objective(self) -> Objective:
        """What is solved for."""
        return "gevp" if self.config.objective == "kpls" else self.config.objective

    @property
    def ridged(self) -> bool:
        """Whether c is read at all."""
        return self.config.objective != "kpls"

    # Solving.

    def fit(self, rows: Iterator[list[Tensor]], told: list[str]) -> Fitted:
        """Axes in feature space, eq. (2); rows are kept, as landmarks are chosen among all of them."""
        blocks = list(rows)
        held = [torch.cat(parts) for parts in zip(*blocks, strict=True)] if blocks else [self.mean_0[None][:0]]
        count = len(held[0])
        if count < 3:
            raise FusionError(f"{count} rows have every view; directions need three or more. Give more rows.")
        constant = [x.amin(0) == x.amax(0) for x in held]
        for m, still in zip(self.config.modalities, constant, strict=True):
            if bool(still.all()):
                raise FusionError(f'"{m}" is the same in every row, so nothing can agree with it; leave it out.')
        config, seed = self.config, self.config.seed
        if config.method == "exact" and count > config.limit:
            told.append("landmarks")
            config = replace(config, method="nystrom")
        means = [middle(x) if config.centre else torch.zeros_like(x[0]) for x in held]
        gamma = tuple(
            given or (kernels.median_width(x, seed) if config.width == "median" else 1 / x.shape[1])
            for x, given in zip(held, config.gammas(), strict=True)
        )
        config = replace(config, gamma=gamma, stored=_stored(config, count))
        apart = [x - mean for x, mean in zip(held, means, strict=True)]
        make = _exact if config.method == "exact" else _mapped
        basis, made = make(config, means, apart, told)
        return Fitted(basis, held, constant, list(basis.ranks), made)

    def features(self, fitted: Fitted, rows: Sequence[Tensor]) -> list[Tensor]:
        """Rows in feature space, along the axes. V of (n, D) -> V of (n, r)"""
        made: Made = fitted.extra
        return [
            torch.cat([_feature(made, v, part - made.means[v]) @ axes for part in x.split(_block(made.config))])
            for v, (x, axes) in enumerate(zip(rows, fitted.basis.axes, strict=True))
        ]

    def place(self, fitted: Fitted, solution: Solution) -> dict[str, Tensor]:
        """Means, the rows or landmarks with alpha, and what centres a new row, eq. (3)."""
        made: Made = fitted.extra
        self.config = replace(made.config, components=self.config.components, shown=self.config.shown)
        found = {f"mean_{v}": mean for v, mean in enumerate(made.means)}
        for v, (axes, w) in enumerate(zip(fitted.basis.axes, solution.weights, strict=True)):
            alpha = axes @ w
            if made.config.method == "nystrom":
                alpha = made.maps[v] @ alpha
            if made.config.method == "waves":
                found[f"phases_{v}"] = made.maps[v]
            if made.config.method == "exact":
                found[f"grand_mean_{v}"] = made.grand_means[v]
            found |= {f"points_{v}": made.points[v], f"alpha_{v}": alpha, f"column_means_{v}": made.column_means[v]}
        return found

    def project(self, view: int, x: Tensor) -> Tensor:
        """Scores of new rows, eq. (3). (B, D) -> (B, K)"""
        parts = (x - getattr(self, f"mean_{view}")).split(_block(self.config))
        return torch.cat([self._row(view, part) @ getattr(self, f"alpha_{view}") for part in parts])

    def _row(self, view: int, x: Tensor) -> Tensor:
        """What alpha is multiplied by. (B, D) centred -> (B, m)"""
        points, means = getattr(self, f"points_{view}"), getattr(self, f"column_means_{view}")
        if self.config.method == "waves":
            return kernels.wave_features(x, points, getattr(self, f"phases_{view}")).sub_(means)
        k = _kernel(self.config, view, x, points)
        if self.config.method == "exact" and self.config.centre:
            return kernels.centre(k, means, getattr(self, f"grand_mean_{view}"))
        return k.sub_(means)

    def loadings(self, fitted: Fitted, solution: Solution, scores: Sequence[Tensor]) -> list[Tensor]:
        """Correlation of each input column with the score of its view, over the rows. -> V of (D, K)"""
        found = []
        for x, given in zip(fitted.rows, scores, strict=True):
            own, columns = given - given.mean(0), x - middle(x)
            size = torch.outer(columns.norm(dim=0), own.norm(dim=0))
            found.append(torch.where(size > 0, columns.T @ own / size.clamp(min=1e-300), 0.0).clamp(-1, 1))
        return found

    def whiten(self, basis: Basis, c: Sequence[float]) -> list[Tensor]:
        """d of each view; 1 for kpls, whose constraint is the norm in feature space. -> V of (r,)"""
        if not self.ridged:
            return [torch.ones_like(variance) for variance in basis.variance]
        unit, ridge, rows = self.config.ridge_unit, self.config.ridge, basis.rows
        full = [rows - 1 if kind in FULL_RANK else 0 for kind in self.config.kinds()]
        return [
            whitening(variance, one, basis.freedom, rows, unit, ridge, directions)
            for variance, one, directions in zip(basis.variance, c, full, strict=True)
        ]

    def _remarks(self, told: Sequence[str]) -> list[Remark]:
        switched = "landmarks" in told
        values = {"limit": f"{self.config.limit:,}", "landmarks": f"{self.config.stored:,}"}
        return [*super()._remarks(told), *([Remark("notice.landmarks", values)] if switched else [])]


def _stored(config: Config, rows: int) -> int:
    """How many rows, landmarks or waves are kept."""
    if config.method == "waves":
        return config.landmarks
    return rows if config.method == "exact" else min(config.landmarks, rows)


def _kernel(config: Config, view: int, x: Tensor, points: Tensor) -> Tensor:
    kind, gamma = config.kinds()[view], config.gammas()[view]
    return kernels.kernel(x, points, kind, gamma, config.degree, config.offset)


def _block(config: Config) -> int:
    """Rows whose kernel against everything kept fits in a block."""
    return max(1, CELLS // max(1, config.stored))


def _exact(config: Config, means: list[Tensor], rows: list[Tensor], told: list[str]) -> tuple[Basis, Made]:
    """Eigenvectors of the Gram matrices, eq. (2)."""
    grams = [_kernel(config, v, x, x) for v, x in enumerate(rows)]
    columns = [k.mean(0) if config.centre else torch.zeros_like(k[0]) for k in grams]
    grand = [one.mean() for one in columns]
    if config.centre:
        grams = [kernels.centre(k, one, g) for k, one, g in zip(grams, columns, grand, strict=True)]
    basis = kernels.exact(grams, config.ddof, told)
    return basis, Made(config, means, rows, [], columns, grand)


def _mapped(config: Config, means: list[Tensor], rows: list[Tensor], told: list[str]) -> tuple[Basis, Made]:
    """Covariances of the features of landmarks or waves, added up block by block."""
    placed = [_points(config, v, x, told) for v, x in enumerate(rows)]
    points, maps = [one for one, _ in placed], [one for _, one in placed]
    sums = [x.new_zeros(config.stored) for x in rows]
    made = Made(config, means, points, maps, sums, [])
    moments = Moments([one.shape[-1] for one in maps], rows[0].device, centred=config.centre, ends=False)
    for block in zip(*(x.split(_block(config)) for x in rows), strict=True):
        raw = [_raw(made, v, part) for v, part in enumerate(block)]
        for total, one in zip(sums, raw, strict=True):
            total += one.sum(0)
        moments.add([one @ m if config.method == "nystrom" else one for one, m in zip(raw, maps, strict=True)])
    columns = [total / len(rows[0]) if config.centre else torch.zeros_like(total) for total in sums]
    return moments.basis(config.ddof, told), replace(made, column_means=columns)


def _points(config: Config, view: int, x: Tensor, told: list[str]) -> tuple[Tensor, Tensor]:
    """Landmarks (m, D) with their map (m, r) to features, or frequencies (D, R) and phases (R,) of waves."""
    if config.method == "waves":
        frequency, phase = kernels.waves(x.shape[1], config.stored, config.gammas()[view], config.seed + view)
        return frequency.to(x.device), phase.to(x.device)
    if config.choice == "spread":
        at = kernels.spread_out(x, config.stored, config.seed)
    else:
        at = kernels.chosen(len(x), config.stored, config.seed)
    points = x[at.to(x.device)]
    return points, kernels.landmark_map(_kernel(config, view, points, points), told)


def _raw(made: Made, view: int, x: Tensor) -> Tensor:
    """Waves, or the kernel against what is kept, not centred. (b, D) -> (b, m)"""
    if made.config.method == "waves":
        return kernels.wave_features(x, made.points[view], made.maps[view])
    return _kernel(made.config, view, x, made.points[view])


def _feature(made: Made, view: int, x: Tensor) -> Tensor:
    """What the axes are multiplied by: a centred kernel row where exact, else centred features. (b, D) -> (b, r)"""
    raw, means = _raw(made, view, x), made.column_means[view]
    if made.config.method == "exact" and made.config.centre:
        return kernels.centre(raw, means, made.grand_means[view])
    return (raw - means) @ made.maps[view] if made.config.method == "nystrom" else raw - means
