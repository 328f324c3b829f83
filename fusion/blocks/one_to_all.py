"""Every query against every candidate: the loss of 1-N training, with its gradient made where the scores lie.

Source: Dettmers et al. 2018 (ConvE) for 1-N training; the joint term is IMF eq. (4), doi:10.1145/3543507.3583554.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence


class _OneToAll(torch.autograd.Function):
    """`one_to_all`; keeps one number a branch, candidate and row until the backward pass, and turns it into the
    gradient where it lies. Candidates come first in memory: a block of them by all rows is a product that is fast."""

    BLOCK = 1024  # candidates at a time: what stays in a processor's cache

    @staticmethod
    def forward(
        ctx: Any, weights: Tensor, offsets: Tensor, true: Tensor, gain: float, base: float, joint: bool,
        *sides: Tensor,
    ) -> Tensor:  # fmt: skip
        voices = len(sides) // 2
        contexts, tables = sides[:voices], sides[voices:]
        size, count = len(contexts[0]), len(tables[0])
        chances = contexts[0].new_empty(voices, count, size)
        losses = torch.zeros(voices + joint, dtype=torch.float64, device=chances.device)
        for block, found in _blocks(true, count, _OneToAll.BLOCK):
            at = found[:, 0] - block.start, found[:, 1]
            for voice in range(voices):
                here = chances[voice, block]
                logits = torch.addmm(offsets[voice], tables[voice][block], contexts[voice].T, out=here)
                losses[voice] += F.softplus(logits).sum() - base * logits.sum() - gain * logits[at].sum()
                logits.sigmoid_()
            if joint:
                yes, no = _chance(chances[:, block], weights)
                losses[-1] -= base * yes.log_().sum() + (1 - base) * no.log_().sum() + gain * (yes[at] - no[at]).sum()
        ctx.save_for_backward(weights, true, chances, *sides)
        ctx.gain, ctx.base, ctx.joint = gain, base, joint
        return (losses / (size * count)).to(chances.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        weights, true, chances, *sides = ctx.saved_tensors
        voices, count, size = chances.shape
        contexts, tables = sides[:voices], sides[voices:]
        given = upstream[0] / (size * count)  # (V + joint,)
        of_weights, of_offsets = torch.zeros_like(weights), torch.zeros_like(weights)
        of_contexts = [torch.zeros_like(one) for one in contexts]
        of_tables = [torch.empty_like(one) if ctx.needs_input_grad[6 + voices + v] else None
                     for v, one in enumerate(tables)]  # fmt: skip
        for block, found in _blocks(true, count, _OneToAll.BLOCK):
            here, at = chances[:, block], (found[:, 0] - block.start, found[:, 1])
            slope = _joint_slope(here, weights, at, ctx.gain, ctx.base).mul_(given[-1]) if ctx.joint else None
            for voice in range(voices):
                change = _logit_slope(here[voice], slope, weights[voice], at, given[voice], ctx.gain, ctx.base)
                if slope is not None:
                    of_weights[voice] += torch.dot(slope.view(-1), here[voice].reshape(-1))
                of_offsets[voice] += change.sum()
                of_contexts[voice].addmm_(change.T, tables[voice][block])
                table = of_tables[voice]
                if table is not None:
                    torch.mm(change, contexts[voice], out=table[block])
        return of_weights, of_offsets, None, None, None, None, *of_contexts, *of_tables


def _blocks(true: Tensor, count: int, most: int) -> list[tuple[slice, Tensor]]:
    """0 to count in blocks, each with its own pairs of (K, 2) pairs in ascending order of their first number."""
    starts = torch.arange(0, count, most, device=true.device)
    edges = [*torch.searchsorted(true[:, 0].contiguous(), starts).tolist(), len(true)]
    return [
        (slice(start, min(start + most, count)), true[edges[i] : edges[i + 1]])
        for i, start in enumerate(range(0, count, most))
    ]


def _chance(chances: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """sum_k w_k y_k and 1 minus it, never below what has a logarithm. (V, n, B), (V,) -> (n, B) twice"""
    yes = torch.tensordot(weights, chances, 1)
    return yes.clamp_(min=1e-30), (1 - yes).clamp_(min=1e-12)


def _joint_slope(chances: Tensor, weights: Tensor, at: tuple[Tensor, Tensor], gain: float, base: float) -> Tensor:
    """Derivative of the joint term by its chance y: -t / y + (1 - t) / (1 - y). (V, n, B) -> (n, B)"""
    yes, no = _chance(chances, weights)
    here = yes[at], no[at]
    slope = no.reciprocal_().mul_(1 - base).sub_(yes.reciprocal_(), alpha=base)
    slope[at] -= gain / here[0] + gain / here[1]
    return slope


def _logit_slope(
    chance: Tensor, slope: Tensor | None, weight: Tensor, at: tuple[Tensor, Tensor], given: Tensor, gain: float,
    base: float,
) -> Tensor:  # fmt: skip
    """Derivative by one branch's logits: g (y_k - t) + slope w_k y_k (1 - y_k). (n, B) -> (n, B)"""
    change = (chance - base).mul_(given)
    change[at] -= given * gain
    if slope is not None:
        change.add_((chance - chance.square()).mul_(slope), alpha=float(weight))
    return change


def one_to_all(
    contexts: Sequence[Tensor], tables: Sequence[Tensor], true: Tensor, *, gain: float, base: float,
    weights: Tensor | None = None, offsets: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Binary cross-entropy of every query against every candidate, of V branches and, with weights, of their average.

    l_k = c_k E_k^T + o_k, y_k = sigmoid(l_k); target t = gain * (1 where true) + base; the mean over B N of each
    branch, then of y = sum_k w_k y_k. contexts V of (B, D), tables V of (N, D), true (K, 2) int, row and candidate of
    every true answer, each once; weights (V,), which sum to 1; offsets (V,) -> (V,) or (V + 1,) nats.
    Source: IMF eq. (4), doi:10.1145/3543507.3583554. The B N scores are made in blocks of candidates and never copied.
    """
    ordered = true[torch.argsort(true[:, 1], stable=True)].flip(1)  # candidate and row, candidates in order
    zero = contexts[0].new_zeros(len(contexts))
    shares = zero if weights is None else weights
    shifts = zero if offsets is None else offsets
    made = _OneToAll.apply(shares, shifts, ordered, gain, base, weights is not None, *contexts, *tables)
    return made  # type: ignore[no-any-return]  # apply is untyped
