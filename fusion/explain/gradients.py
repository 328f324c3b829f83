"""Attributions from derivatives of the target with respect to encoder outputs: gradient x input, integrated
gradients, and Grad-CAM where steps are regions.

    gradient x input   sum_d x_td df/dx_td                                                        (1)
    integrated         sum_d (x - x0)_td sum_k w_k df/dx_td (x0 + a_k (x - x0))                   (2)
    Grad-CAM           relu(sum_d x_rd mean_r' df/dx_r'd)                                         (3)

x0 = 0, which is the training mean where features are standardised. a_k and w_k are middles and lengths of K parts of
[0, 1]: even ones first; where these leave a gap between the sum of (2) and f(x) - f(x0), more of them, and shorter ones
near x0, since a network that normalises its inputs changes all at once there: they end at (k / K)^6. (3) is Grad-CAM at
the last layer of the image encoder, whose map the regions are.
Sources: Sundararajan et al. 2017, arXiv:1703.01365, eq. (3); Selvaraju et al. 2017, arXiv:1610.02391, eq. (1)-(2).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.explain.targets import Target, of_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.models.base import FusionModel
    from fusion.types import Batch

POINTS, MOST_POINTS = 32, 512  # K, at first and at most
ENOUGH = 0.01  # share of the change at which K is not doubled any more
NEAR = 6  # power of the parts' ends
ROWS = 64  # points of one pass


def derivatives(
    model: FusionModel, batch: Batch, target: Target, at: Tensor
) -> tuple[dict[str, Tensor], Tensor]:  # fmt: skip
    """df/dx at points of the line from zeros to a sample. batch B = 1, at (K,) in [0, 1] -> {m: (K, T, D)}, f (K,)

    Recurrent layers of a GPU's own library have no derivative outside training; the plain ones are taken.
    """
    big = batch.rows([0] * len(at))
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        place = at.to(batch.present.device)
        features = {
            m: (x.clone() * place.to(x)[:, None, None]).requires_grad_() for m, x in big.features.items()
        }  # fmt: skip
        pooled = {m: (x.clone() * place.to(x)[:, None]).requires_grad_() for m, x in big.pooled.items()}
        value, _ = of_batch(model, replace(big, features=features, pooled=pooled), target)
        names = list(features)
        found = torch.autograd.grad(value.sum(), [features[m] for m in names], allow_unused=True)
    none = {m: torch.zeros_like(features[m]) for m in names}
    return {m: none[m] if g is None else g.detach() for m, g in zip(names, found, strict=True)}, value.detach().cpu()


def gradient_x_input(model: FusionModel, batch: Batch, target: Target) -> dict[str, Tensor]:
    """Eq. (1). -> {m: (T,)} float64, CPU"""
    slopes, _ = derivatives(model, batch, target, torch.ones(1))
    return {m: (batch.features[m][0] * g[0]).cpu().double().sum(-1) for m, g in slopes.items()}


def integrated(
    model: FusionModel, batch: Batch, target: Target, *, points: int = POINTS
) -> tuple[dict[str, Tensor], float, int]:  # fmt: skip
    """Eq. (2), K doubled until the gap is below `ENOUGH`, or the smallest gap found. -> {m: (T,)}, gap, passes

    The gap is |sum - (f(x) - f(x0))| as a share of |f(x) - f(x0)|.
    """
    with torch.inference_mode():
        ends = torch.tensor([0.0, 1.0])
        big = batch.rows([0, 0])
        line = lambda table: {m: x * ends.to(x).view(-1, *[1] * (x.ndim - 1)) for m, x in table.items()}  # noqa: E731
        value = of_batch(model, replace(big, features=line(big.features), pooled=line(big.pooled)), target)[0].cpu()
    change, passes, count, power = float(value[1] - value[0]), 2, points, 1
    best: tuple[dict[str, Tensor], float] | None = None
    while True:
        ends = (torch.arange(count + 1, dtype=torch.float64) / count) ** power
        at, length = ((ends[1:] + ends[:-1]) / 2).float(), ends.diff()
        total: dict[str, Tensor] = {}
        for some, part in zip(at.split(ROWS), length.split(ROWS), strict=True):
            slopes, _ = derivatives(model, batch, target, some)
            for m, g in slopes.items():
                weighed = torch.einsum("k,ktd->td", part, g.cpu().double())
                total[m] = total[m] + weighed if m in total else weighed
        passes += 2 * count
        parts = {m: (batch.features[m][0].cpu() * g).sum(-1) for m, g in total.items()}
        missed = abs(float(sum(float(part.sum()) for part in parts.values())) - change)
        gap = missed / abs(change) if change else float(missed > 0)
        if best is None or gap < best[1]:
            best = parts, gap
        if gap <= ENOUGH or count * 2 > MOST_POINTS:
            return *best, passes
        count, power = count * 2, NEAR


def grad_cam(
    model: FusionModel, batch: Batch, target: Target, modalities: Sequence[str]
) -> dict[str, Tensor]:  # fmt: skip
    """Eq. (3) over the regions of each modality named. -> {m: (R,)} from 0 up"""
    slopes, _ = derivatives(model, batch, target, torch.ones(1))
    found = {}
    for m in modalities:
        real = (batch.mask[m] & batch.kept[m])[0].cpu()
        x, g = batch.features[m][0].cpu().double(), slopes[m][0].cpu().double()
        weight = g[real].mean(0)
        found[m] = (x @ weight).relu() * real
    return found
