"""How far canonical correlations are real: against exchanged rows, and on rows that were not fitted.

Permutation with maxima: Westfall and Young 1993; with earlier components removed: Winkler and others 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fusion.blocks.canonical import Solution, correlations, fitted_correlations, solve
from fusion.blocks.whitening import Basis, pairs

GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5)  # shrinkages that are tried
HOPELESS = 0.5  # p above which later components are not tried: theirs can't be smaller


def permutation_test(factors: Sequence[Tensor], components: int, rounds: int = 200, seed: int = 0) -> Tensor:
    """Chance of a link as strong as each component where rows don't belong together. factors V of (n, r) -> (K,)

    `factors` are whitened, Q_v with Q_v'Q_w = C_vw: only the small eigenproblem is solved again, not the whitening.
    Rows of every view but the first are exchanged, each in its own order. The statistic is the largest eigenvalue with
    the earlier components removed from each view; p = (1 + rounds at least as large) / (1 + rounds), never below that
    of an earlier component.
    """
    whole = _between(factors)
    turned = _turns(whole, [q.shape[1] for q in factors], components)
    rotated = [q @ t for q, t in zip(factors, turned, strict=True)]
    real, found, worst = _between(rotated), [], 0.0
    for k in range(components):
        if worst > HOPELESS:
            found.append(1.0)
            continue
        observed, generator = _largest(real, k), np.random.default_rng(seed)
        hits = 0
        for _ in range(rounds):
            mixed = [rotated[0]] + [
                q[torch.from_numpy(generator.permutation(len(q))).to(q.device)] for q in rotated[1:]
            ]
            hits += _largest(_between(mixed), k) >= observed * (1 - 1e-12)
        worst = max(worst, (1 + hits) / (1 + rounds))
        found.append(worst)
    return torch.tensor(found, dtype=torch.float64)


def _between(factors: Sequence[Tensor]) -> dict[tuple[int, int], Tensor]:
    return {(a, b): factors[a].T @ factors[b] for a, b in pairs(len(factors))}


def _turns(between: dict[tuple[int, int], Tensor], ranks: Sequence[int], components: int) -> list[Tensor]:
    """Orthogonal turns of each view that bring its part of the components to the first columns. -> V of (r, r)"""
    like = next(iter(between.values()))
    ones = tuple(like.new_ones(r) for r in ranks)
    basis = Basis((), ones, between, (), 0, 1.0)
    z = solve(basis, ones, components).weights
    return [torch.linalg.qr(part, mode="complete").Q for part in z]


def _largest(between: dict[tuple[int, int], Tensor], removed: int) -> float:
    """The largest eigenvalue of G without the first columns of every view."""
    left = {pair: block[removed:, removed:] for pair, block in between.items()}
    if len(left) == 1:
        block = left[0, 1]
        gram = block @ block.T if block.shape[0] <= block.shape[1] else block.T @ block
        return float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt())
    ranks = {v: block.shape[side] for pair, block in left.items() for side, v in enumerate(pair)}
    sizes = [ranks[v] for v in sorted(ranks)]
    starts = np.cumsum([0, *sizes])
    g = left[0, 1].new_zeros(int(starts[-1]), int(starts[-1]))
    for (a, b), block in left.items():
        g[starts[a] : starts[a + 1], starts[b] : starts[b + 1]] = block
        g[starts[b] : starts[b + 1], starts[a] : starts[a + 1]] = block.T
    return float(torch.linalg.eigvalsh(g)[-1])


@dataclass(frozen=True)
class Choice:
    """The shrinkage that does best on rows that were not fitted, with what every one of the grid does."""

    c: float
    grid: tuple[float, ...]
    held_out: tuple[float, ...]  # mean correlation over components and pairs, by shrinkage
    fitted: tuple[float, ...]  # the same in the rows that were fitted


def choose(tried: Sequence[Solution], basis: Basis, held_out: Sequence[Tensor], grid: Sequence[float]) -> Choice:
    """Which of some solutions does best on rows that were not fitted. held_out V of (n, r), along the axes

    The axes don't depend on the ridge, so a whole grid costs one decomposition of the data.
    """
    other = [
        float(correlations([x @ w for x, w in zip(held_out, one.weights, strict=True)]).mean()) for one in tried
    ]  # fmt: skip
    own = [float(fitted_correlations(basis, one).mean()) for one in tried]
    return Choice(float(grid[int(np.argmax(other))]), tuple(grid), tuple(other), tuple(own))
