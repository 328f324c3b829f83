"""The same numbers as cca-zoo where no golden case looks: sizes, ridges by view, kernels, widths, view counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fusion.blocks.canonical import correlations
from fusion.models import kcca, mcca

linear = pytest.importorskip("cca_zoo.linear")
nonparametric = pytest.importorskip("cca_zoo.nonparametric")

ROWS, OTHER = 70, 31


def views(widths: tuple[int, ...], rows: int = ROWS, seed: int = 0) -> dict[str, np.ndarray]:
    """Views with three things in common, in units of their own and away from zero, as on every call."""
    maps = [np.random.default_rng(v).normal(size=(3, width)) for v, width in enumerate(widths)]
    random = np.random.default_rng(100 + seed)
    shared = random.normal(size=(rows, 3)) * [1.0, 0.8, 0.6]
    return {
        f"view {v}": 3 * v + (1 + v) * (np.tanh(shared @ a) + 0.4 * random.normal(size=(rows, a.shape[1])))
        for v, a in enumerate(maps)
    }


def same(ours: Any, theirs: Any, widths: tuple[int, ...], tolerance: float = 1e-5) -> None:
    """Correlations within 1e-6, scores and eigenvectors within 1e-5 of their size, in fitted and in other rows."""
    train, other = views(widths), views(widths, OTHER, seed=1)
    ours.solve(train)
    theirs.fit(list(train.values()))
    first = None
    for data in (train, other):
        mine = torch.stack(list(ours.transform(data).values()))
        reference = torch.stack([torch.from_numpy(one) for one in theirs.transform(list(data.values()))])
        torch.testing.assert_close(correlations(list(mine)), correlations(list(reference)), atol=1e-6, rtol=0)
        if first is None:
            first = (mine[0] * reference[0]).sum(0).sign()
        error = (mine - first * reference).abs().amax((1, 2)) / reference.abs().amax((1, 2))
        assert error.max() < tolerance, error


@pytest.mark.parametrize(
    ("widths", "c"),
    [
        ((7, 5), (0.0,)), ((7, 5), (1.0,)), ((5, 9, 4), (0.0,)), ((5, 9, 4), (0.3, 0.0, 1.0)), ((8, 3, 6, 5), (0.1,)),
        ((8, 3, 6, 5), (0.05, 0.2, 0.6, 0.9)), ((90, 120), (0.4,)), ((90, 4, 75), (0.2, 0.1, 0.7)), ((90, 80), (1.0,)),
    ],
)  # fmt: skip
def test_mcca_is_that_of_cca_zoo(widths: tuple[int, ...], c: tuple[float, ...]) -> None:
    names = tuple(f"view {v}" for v in range(len(widths)))
    config = mcca.Config(
        modalities=names, widths=widths, steps=(1,) * len(widths), components=3, c=c, ridge_unit="identity"
    )
    shrinkage = list(c) if len(c) > 1 else c[0]
    same(mcca.MCCA(config), linear.MCCA(3, shrinkage=shrinkage), widths)


@pytest.mark.parametrize(
    ("widths", "c", "kernel", "gamma"),
    [
        ((7, 5), (0.1,), "rbf", None), ((7, 5), (0.05, 0.4), "rbf", [0.02, 0.3]), ((7, 5), (1.0,), "rbf", 0.05),
        ((5, 9, 4), (0.2,), "rbf", [0.1, None, 0.03]), ((8, 3, 6, 5), (0.1,), "rbf", None),
        ((7, 5), (0.2,), "linear", None), ((5, 9, 4), (0.3,), "polynomial", [0.02, 0.01, 0.03]),
        ((90, 5), (0.3,), "linear", None), ((90, 120, 80), (0.2,), "rbf", None),
        ((7, 5), (0.2,), ["rbf", "linear"], 0.1),
    ],
)  # fmt: skip
def test_kcca_is_that_of_cca_zoo(widths: tuple[int, ...], c: tuple[float, ...], kernel: Any, gamma: Any) -> None:
    names = tuple(f"view {v}" for v in range(len(widths)))
    given = gamma if isinstance(gamma, list) else [gamma]
    config = kcca.Config(
        modalities=names, widths=widths, steps=(1,) * len(widths), components=2, c=c, ridge_unit="identity",
        kernel=tuple(kernel) if isinstance(kernel, list) else (kernel,), gamma=tuple(one or 0.0 for one in given),
        width="features", degree=2,
    )  # fmt: skip
    theirs = nonparametric.KCCA(
        2, shrinkage=list(c) if len(c) > 1 else c[0], kernel=kernel, gamma=gamma, degree=2, coef0=1.0
    )
    same(kcca.KCCA(config), theirs, widths)


def test_maxvar_is_gcca_of_cca_zoo() -> None:
    widths = (5, 9, 4)
    config = mcca.Config(
        modalities=("view 0", "view 1", "view 2"), widths=widths, steps=(1, 1, 1), components=3, c=(0.0,),
        objective="maxvar",
    )  # fmt: skip
    train = views(widths)
    model = mcca.MCCA(config)
    model.solve(train)
    theirs = linear.GCCA(3).fit(list(train.values()))
    reference = [torch.from_numpy(one) for one in theirs.transform(list(train.values()))]
    torch.testing.assert_close(model.correlations(train), correlations(reference), atol=1e-6, rtol=0)
