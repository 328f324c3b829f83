"""Attention with dropout and a mask on a processor: worked off in tiles that fit its cache, with gradients of its own.

The same numbers as softmax(Q K^T / sqrt(D/H) + mask), dropout, times V. What no row of a tile sees is not computed, and
the dropped entries come from 16 random bits each, which is several times cheaper than one draw an entry.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

TILE = 2**17  # entries of one tile: half a megabyte


def attend(q: Tensor, k: Tensor, v: Tensor, unseen: Tensor | None, rate: float) -> Tensor:
    """q (B, H, Q, D/H), k and v (B, H, K, D/H), unseen (Q, K) bool, True = may not be seen -> (B, H, Q, D/H)

    Every query must see a key.
    """
    return _Attend.apply(q, k, v, unseen, rate)  # type: ignore[no-any-return]


def _tiles(queries: int, keys: int, heads: int, unseen: Tensor | None) -> list[tuple[int, int, int, int]]:
    """First and last query of each tile, first key that some row may not see, end of the keys that some row sees."""
    size = max(1, TILE // max(1, heads * keys))
    starts, ends = [keys] * queries, [keys] * queries
    if unseen is not None:
        hidden = unseen.any(1)
        starts = torch.where(hidden, unseen.int().argmax(1), keys).tolist()
        ends = (keys - (~unseen).flip(1).int().argmax(1)).tolist()
    tiles = []
    for first in range(0, queries, size):
        last = min(first + size, queries)
        tiles.append((first, last, min(starts[first:last]), max(ends[first:last])))
    return tiles


def kept(shape: torch.Size, rate: float, device: torch.device) -> Tensor:
    """Which entries dropout keeps, each with probability 1 - rate to within 2^-17. -> bool"""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    return bits >= round(rate * 2**16) - 2**15


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, unseen: Tensor | None, rate: float) -> Tensor:
        size, heads, queries, each = q.shape
        scale = 1 / math.sqrt(each)
        q, k, v = (q * scale).contiguous(), k.contiguous(), v.contiguous()
        out = torch.empty_like(q)
        tiles = _tiles(queries, k.shape[2], heads, unseen)
        wanted, saved = any(ctx.needs_input_grad[:3]), list[Tensor]()
        for b in range(size):
            for first, last, start, end in tiles:
                scores = q[b, :, first:last] @ k[b, :, :end].transpose(1, 2)  # (H, q, K')
                if unseen is not None and start < end:
                    scores[..., start:].masked_fill_(unseen[first:last, start:end], -torch.inf)
                weights = torch.softmax(scores, -1, out=scores) if not wanted else scores.softmax(-1)
                used = weights
                if rate:
                    keep = kept(weights.shape, rate, q.device)
                    used = weights * keep
                    saved += [weights, keep]
                else:
                    saved.append(weights)
                out[b, :, first:last] = used @ v[b, :, :end]
                if not wanted:
                    saved.clear()
        if rate:
            out /= 1 - rate
        if wanted:
            ctx.save_for_backward(q, k, v, out, *saved)
            ctx.tiles, ctx.rate, ctx.scale = tiles, rate, scale
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *saved = ctx.saved_tensors
        grad, rate = upstream[0].contiguous(), ctx.rate
        # the sum over keys of weight times its gradient is the product of the output with its own gradient
        own = (grad * out).sum(-1, keepdim=True)  # (B, H, Q, 1)
        if rate:
            grad = grad / (1 - rate)
        of_q, of_k, of_v = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        at = 0
        for b in range(len(q)):
            for first, last, _, end in ctx.tiles:
                weights = saved[at]
                keep = saved[at + 1] if rate else None
                at += 2 if rate else 1
                up = grad[b, :, first:last]  # (H, q, D/H)
                change = up @ v[b, :, :end].transpose(1, 2)  # (H, q, K')
                if keep is not None:
                    change.mul_(keep)
                change.sub_(own[b, :, first:last]).mul_(weights)
                used = weights if keep is None else weights * keep
                of_v[b, :, :end] += used.transpose(1, 2) @ up
                of_q[b, :, first:last] = change @ k[b, :, :end]
                of_k[b, :, :end] += change.transpose(1, 2) @ q[b, :, first:last]
        return of_q * ctx.scale, of_k, of_v, None, None
