"""Views with known common signals: z ~ N(0, 1), tanh(z A) + 0.3 (z A)^2 + 0.3 noise, with fixed A a view."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fusion.models import kcca, mcca

NAMES = ("text", "image", "audio", "graph")


def views(widths: tuple[int, ...] = (6, 4, 5), rows: int = 80, seed: int = 0, signals: int = 3) -> dict[str, Tensor]:
    """{m: (rows, width)} float64; other rows of the same views for another seed."""
    maps = [
        torch.randn(signals, width, generator=torch.Generator().manual_seed(v), dtype=torch.float64)
        for v, width in enumerate(widths)
    ]
    generator = torch.Generator().manual_seed(1000 + seed)
    z = torch.randn(rows, signals, generator=generator, dtype=torch.float64)
    noise = lambda a: 0.3 * torch.randn(rows, a.shape[1], generator=generator, dtype=torch.float64)  # noqa: E731
    return {m: torch.tanh(z @ a) + 0.3 * (z @ a).square() + noise(a) for m, a in zip(NAMES, maps, strict=False)}


def settings(given: dict[str, Tensor], **switches: Any) -> dict[str, Any]:
    """Sizes of some views, three components."""
    sizes = {"modalities": tuple(given), "widths": tuple(x.shape[1] for x in given.values()), "components": 3}
    return {**sizes, "steps": (1,) * len(given), **switches}


def linear(given: dict[str, Tensor], **switches: Any) -> mcca.MCCA:
    """MCCA solved on some views."""
    model = mcca.MCCA(mcca.Config(**settings(given, **switches)))
    model.solve(given)
    return model


def kernel(given: dict[str, Tensor], **switches: Any) -> kcca.KCCA:
    """KCCA solved on some views."""
    model = kcca.KCCA(kcca.Config(**settings(given, **switches)))
    model.solve(given)
    return model


def aligned(ours: Tensor, theirs: Tensor) -> Tensor:
    """Scores with the sign of each component turned to that of others. (n, K) -> (n, K)"""
    return ours * (ours * theirs).sum(0).sign()
