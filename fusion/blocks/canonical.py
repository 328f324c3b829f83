"""Directions of several views that agree, in closed form: thin factors or one streamed pass, then one eigenproblem.

Hotelling 1936; Kettenring 1971 (several sets); Vinod 1976 (ridge). Axes and d: fusion/blocks/whitening.py.

    X_v = U_v S_v W_v',  variance l = S^2 / (n - 1),  d_v = ((1 - c) l + c m)^(-1/2),  m = mean l, or 1         (1)
    C_vw = d_v W_v' Sigma_vw W_w d_w,  G = [C_vw] with zero diagonal blocks,  G = Z L Z',  u_v = sqrt(V) W_v d_v Z_v (2)

X_v (n, D_v) centred, W_v (D_v, r_v) the axes of a view, Sigma_vw (D_v, D_w) covariances. (2) maximises the sum of the
covariances between all scores X_v u_v with sum_v u_v' R_v u_v = V, R_v = (1 - c) Sigma_vv + c m I. L lies in
[-1, V - 1] and is a correlation only for V = 2, c = 0. Nothing is inverted: directions without variance are cut.

V views, n rows, r axes, K components, P pairs of views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from fusion.blocks.whitening import EPS, Basis, Pair, middle, pairs, steady

LARGE = 1024  # rows of an eigenproblem above which only the components asked for are worked out
SQUARED = 1e-4  # a squared correlation of this or more keeps twelve digits
Objective = Literal["gevp", "sumcor", "maxvar"]


def links(basis: Basis, d: Sequence[Tensor]) -> dict[Pair, Tensor]:
    """C of eq. (2): covariances between whitened axes. d V of (r,) -> {(v, w): (r_v, r_w)}"""
    return {(a, b): d[a][:, None] * cross * d[b] for (a, b), cross in basis.cross.items()}


@dataclass(frozen=True)
class Solution:
    """Directions in the coordinates of each view's axes, eq. (2)."""

    eigenvalues: Tensor  # (K,), falling
    weights: tuple[Tensor, ...]  # V of (r, K): u_v = axes @ weights

    def flipped(self, sign: Tensor) -> Solution:
        """With the sign of some components turned in all views together. sign (K,) of -1 and 1"""
        return Solution(self.eigenvalues, tuple(one * sign for one in self.weights))


def solve(
    basis: Basis, d: Sequence[Tensor], components: int, objective: Objective = "gevp",
    *, diagonal: Literal["zero", "kept"] = "zero", told: list[str] | None = None,
) -> Solution:  # fmt: skip
    """The K best directions for a whitening. d V of (r,)

    gevp: eq. (2). maxvar: one score per row that all views predict best, the first left singular vectors of the
    whitened views side by side, which is (2) with its diagonal blocks kept. sumcor: each view at unit variance,
    alternating from (2).
    """
    said, count = told if told is not None else [], len(basis.ranks)
    between = links(basis, d)
    kept = diagonal == "kept" or objective == "maxvar"
    own = [one * v * one for one, v in zip(d, basis.variance, strict=True)] if kept else None
    eigenvalues, z = _top(between, basis.ranks, components, own, said)
    if objective == "sumcor":
        eigenvalues, z, _ = alternate(between, z)
    return Solution(eigenvalues, tuple(math.sqrt(count) * one[:, None] * part for one, part in zip(d, z, strict=True)))


def _top(
    between: Mapping[Pair, Tensor], ranks: Sequence[int], components: int, own: Sequence[Tensor] | None, told: list[str]
) -> tuple[Tensor, list[Tensor]]:
    """The largest eigenvalues of G with their vectors by view. -> (K,), V of (r, K)"""
    if len(ranks) == 2 and own is None:
        u, values, w = _pair(between[0, 1], components, told)
        return values, [u / math.sqrt(2), w / math.sqrt(2)]
    starts = np.cumsum([0, *ranks]).tolist()
    like = between[0, 1]
    g = torch.zeros(starts[-1], starts[-1], dtype=like.dtype, device=like.device)
    for (a, b), block in between.items():
        g[starts[a] : starts[a + 1], starts[b] : starts[b + 1]] = block
        g[starts[b] : starts[b + 1], starts[a] : starts[a + 1]] = block.T
    if own is not None:
        g.diagonal().copy_(torch.cat(list(own)))
    if len(g) > LARGE and g.device.type == "cpu":
        found = scipy.linalg.eigh(g.numpy(), subset_by_index=(len(g) - components, len(g) - 1), driver="evr")
        values, vectors = torch.from_numpy(found[0]), torch.from_numpy(found[1])
    else:
        values, vectors = steady(torch.linalg.eigh, g, told)
    values, vectors = values.flip(0)[:components], vectors.flip(1)[:, :components]
    return values, list(vectors.split(list(ranks)))


def _pair(block: Tensor, components: int, told: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """The largest singular values with their vectors. (r, s) -> (r, K), (K,), (s, K)

    Of a large block by the eigenvectors of block block', at half the cost, unless a value is too small for its square.
    """
    if min(block.shape) > LARGE // 2 and block.device.type == "cpu":
        short = block if block.shape[0] <= block.shape[1] else block.T
        last = len(short) - 1
        found = scipy.linalg.eigh(
            (short @ short.T).numpy(), subset_by_index=(last + 1 - components, last), driver="evr"
        )
        values, near = (torch.from_numpy(np.ascontiguousarray(np.flip(one, -1))) for one in found)
        if float(values[-1]) > SQUARED:
            values = values.sqrt()
            far = short.T @ near / values
            return (near, values, far) if short is block else (far, values, near)
    u, values, w = steady(lambda a: torch.linalg.svd(a, full_matrices=False), block, told)
    return u[:, :components], values[:components], w[:components].T


def alternate(
    between: Mapping[Pair, Tensor], start: Sequence[Tensor], *, sweeps: int = 1000, tolerance: float = 1e-13
) -> tuple[Tensor, list[Tensor], list[list[float]]]:
    """The sum of all correlations with every view at unit variance, one view at a time while the others stand still.

    Later components stay uncorrelated with the earlier ones within each view. start V of (r, K), from (2).
    -> sum over ordered pairs / V (K,), V of (r, K) of length 1/sqrt(V), and the sum after every sweep by component
    """
    views, count = range(len(start)), len(start)
    found = [one[:, :0] for one in start]
    values, history = [], []
    for k in range(start[0].shape[1]):
        z = [_free(one[:, k], found[v]) for v, one in enumerate(start)]
        pulls = lambda v, z: sum(_block(between, v, w) @ z[w] for w in views if w != v)  # noqa: E731
        total = lambda z: float(sum(z[v] @ pulls(v, z) for v in views))  # noqa: B023, E731
        said = [total(z)]
        for _ in range(sweeps):
            for v in views:
                pull = pulls(v, z)
                pull = pull - found[v] @ (found[v].T @ pull)
                length = pull.norm()
                if length > EPS:
                    z[v] = pull / length
            said.append(total(z))
            if said[-1] - said[-2] <= tolerance * abs(said[-1]):
                break
        found = [torch.cat((f, one[:, None]), 1) for f, one in zip(found, z, strict=True)]
        values.append(said[-1] / count)
        history.append(said)
    return (
        torch.tensor(values, dtype=torch.float64, device=start[0].device),
        [f / math.sqrt(count) for f in found],
        history,
    )


def _block(between: Mapping[Pair, Tensor], v: int, w: int) -> Tensor:
    return between[v, w] if v < w else between[w, v].T


def _free(vector: Tensor, taken: Tensor) -> Tensor:
    """A unit vector near the given one that is orthogonal to those taken; where none is left of it, any other."""
    rest = vector - taken @ (taken.T @ vector)
    if rest.norm() <= 1e-8 * max(1e-300, float(vector.norm())):
        room = torch.eye(len(vector), dtype=vector.dtype, device=vector.device) - taken @ taken.T
        rest = room[:, room.norm(dim=0).argmax()]
    return rest / rest.norm()


def fitted_correlations(basis: Basis, solution: Solution) -> Tensor:
    """Correlations between the scores of each pair of views, in the rows that were fitted. -> (K, P)"""
    w, spread = solution.weights, spreads(basis, solution)
    found = [
        torch.einsum("rk,rs,sk->k", w[a], cross, w[b]) / (spread[a] * spread[b]).clamp(min=1e-300)
        for (a, b), cross in basis.cross.items()
    ]
    return torch.stack(found, 1).clamp(-1, 1)


def spreads(basis: Basis, solution: Solution) -> list[Tensor]:
    """Standard deviation of the scores of each view. -> V of (K,)"""
    return [
        (w.square() * v[:, None]).sum(0).sqrt() for w, v in zip(solution.weights, basis.variance, strict=True)
    ]  # fmt: skip


def correlations(scores: Sequence[Tensor]) -> Tensor:
    """Correlation of each component between each pair of views; 0 where a score never changes. V of (n, K) -> (K, P)"""
    centred = [one.double() - middle(one.double()) for one in scores]
    length = [one.norm(dim=0) for one in centred]
    found = [
        torch.where(length[a] * length[b] > 0, (centred[a] * centred[b]).sum(0), 0.0)
        / (length[a] * length[b]).clamp(min=1e-300)
        for a, b in pairs(len(scores))
    ]
    return torch.stack(found, 1).clamp(-1, 1)


def signs(scores: Tensor) -> Tensor:
    """The sign that makes the largest score of the first view positive, by component. (n, K) -> (K,) of -1 and 1"""
    largest = scores.gather(0, scores.abs().argmax(0, keepdim=True))[0]
    return torch.where(largest < 0, -1.0, 1.0).to(scores.dtype)
