"""Attention with dropout and a mask on a processor: worked off in tiles that fit its cache, with gradients of its own.

The same numbers as softmax(Q K^T / sqrt(D/H) + mask), dropout, times V. What no row of a tile sees is not computed, and
the dropped entries come from 16 random bits each, which is several times cheaper than one draw an entry.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fusion.blocks.dropping import draws, keep

TILE = 2**18  # entries of one tile: one megabyte
HEADS = 6  # of a tile, at least, when they are long: fewer would leave more of what nobody sees in it


def attend(q: Tensor, k: Tensor, v: Tensor, unseen: Tensor | None, rate: float) -> Tensor:
    """q (B, H, Q, D/H), k and v (B, H, K, D/H), unseen (Q, K) bool, True = may not be seen -> (B, H, Q, D/H)

    Every query must see a key.
    """
    return _Attend.apply(q, k, v, unseen, rate)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Tile:
    """Some queries, the keys up to the last that one of them sees, and what is added to the scores of the last keys."""

    rows: slice
    end: int
    start: int  # first key that some row may not see
    mask: Tensor | None  # (q, end - start), 0 or -inf


def _tiles(q: Tensor, keys: int, unseen: Tensor | None) -> tuple[int, list[_Tile]]:
    """Of q (B H, Q, D/H). -> how many of the B H a tile holds, the tiles of each such group"""
    pairs, queries = q.shape[:2]
    group = min(pairs, max(HEADS, TILE // max(1, queries * keys)))
    size = max(1, TILE // max(1, group * keys))
    starts, ends = [keys] * queries, [keys] * queries
    if unseen is not None:
        starts = torch.where(unseen.any(1), unseen.int().argmax(1), keys).tolist()
        ends = (keys - (~unseen).flip(1).int().argmax(1)).tolist()
    tiles = []
    for first in range(0, queries, size):
        rows = slice(first, min(first + size, queries))
        start, end, mask = min(starts[rows]), max(ends[rows]), None
        if unseen is not None and start < end:
            hidden = unseen[rows, start:end]
            mask = torch.zeros(hidden.shape, dtype=q.dtype).masked_fill_(hidden, -torch.inf)
        tiles.append(_Tile(rows, end, start, mask))
    return group, tiles


class _Attend(torch.autograd.Function):
    # Products with a narrow right side are slow: those over keys are made as (narrow, K) x (K, Q) instead.
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, unseen: Tensor | None, rate: float) -> Tensor:
        scale, shape = 1 / math.sqrt(q.shape[-1]), q.shape[:2]
        q = (q * scale).flatten(0, 1).contiguous()
        across, values = (x.transpose(2, 3).flatten(0, 1).contiguous() for x in (k, v))  # (B H, D/H, K)
        out = torch.empty_like(q.transpose(1, 2), memory_format=torch.contiguous_format)  # (B H, D/H, Q)
        (group, tiles), saved = _tiles(q, k.shape[2], unseen), list[Tensor]()
        wanted = any(ctx.needs_input_grad[:3])
        for first in range(0, len(q), group):
            queries, keys, held, to = (x[first : first + group] for x in (q, across, values, out))
            for tile in tiles:
                scores = queries[:, tile.rows] @ keys[..., : tile.end]  # (group, q, K')
                if tile.mask is not None:
                    scores[..., tile.start :] += tile.mask
                weights = scores.softmax(-1)
                bits = draws(weights.shape) if rate else None
                used = weights if bits is None else keep(bits, rate, q.dtype).mul_(weights)
                to[..., tile.rows] = held[..., : tile.end] @ used.transpose(1, 2)
                if wanted:
                    saved += [weights] if bits is None else [weights, bits]
        if rate:
            out /= 1 - rate
        if wanted:
            ctx.save_for_backward(q, across, values, out, *saved)
            ctx.tiles, ctx.group, ctx.rate, ctx.scale = tiles, group, rate, scale
        return out.transpose(1, 2).unflatten(0, shape)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        q, across, values, out, *saved = ctx.saved_tensors
        rate, shape = ctx.rate, upstream[0].shape[:2]
        grad = upstream[0].flatten(0, 1).transpose(1, 2).contiguous()  # (B H, D/H, Q)
        # the sum over keys of weight times its gradient is the product of the output with its own gradient
        own = (grad * out).sum(1)[..., None]  # (B H, Q, 1)
        if rate:
            grad = grad / (1 - rate)
        rows, turned = grad.transpose(1, 2).contiguous(), q.transpose(1, 2)
        of_q, of_k, of_v = torch.empty_like(out), torch.zeros_like(across), torch.zeros_like(values)
        left = iter(saved)
        for first in range(0, len(q), ctx.group):
            each = slice(first, first + ctx.group)
            for tile in ctx.tiles:
                weights = next(left)
                kept = keep(next(left), rate, q.dtype) if rate else None
                change = rows[each, tile.rows] @ values[each, :, : tile.end]  # (group, q, K')
                if kept is not None:
                    change.mul_(kept)
                change.sub_(own[each, tile.rows]).mul_(weights)
                used = weights if kept is None else kept.mul_(weights)
                of_v[each, :, : tile.end] += grad[each, :, tile.rows] @ used
                of_k[each, :, : tile.end] += turned[each, :, tile.rows] @ change
                of_q[each, :, tile.rows] = across[each, :, : tile.end] @ change.transpose(1, 2)
        made = of_q.transpose(1, 2) * ctx.scale, of_k.transpose(1, 2), of_v.transpose(1, 2)
        return *(x.unflatten(0, shape) for x in made), None, None
