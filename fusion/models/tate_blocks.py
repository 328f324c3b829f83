"""What TATE is made of: its block, its readout, its divergence, and all that one pass makes.

Paper: Zeng, Liu, Zhou, SIGIR 2022, arXiv:2204.13707; released code: JaydenZeng/TATE@e450189. Equations are numbered
in fusion/models/tate.py: a block is eq. (1), a readout eq. (3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.sequences import check_streams, visible
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.models.tate import Config
    from fusion.types import Batch

MASKED = -(2.0**32) + 1  # score of a key that may not be read, the released code's
CLIP = 1e-7  # lowest probability inside the divergence, the released code's


@dataclass(frozen=True)
class Inside:
    """What went on in one block."""

    attention: Tensor | None  # (B, H, T, T), 0 in rows of queries that are left out; None where it was not asked for
    after: Tensor  # (B, T, d), Y


class Block(nn.Module):
    """B_d of eq. (1): attention without biases and output map, then a feed-forward part of width 4d, both post-norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.attended_norm = nn.LayerNorm(width, eps=1e-8)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width, eps=1e-8)

    def forward(
        self, x: Tensor, counts: Tensor, asking: Tensor | None, rate: float, *, trace: bool
    ) -> tuple[Tensor, Inside]:
        """x (B, T, d); counts (B, T) how many rows a key stands for, 0 none; asking (B, T) bool, None: all queries."""
        q, k, v = (self._split(f(x)) for f in (self.query, self.key, self.value))
        bias = torch.where(counts > 0, counts.clamp(min=1e-30).log(), MASKED).to(q)[:, None, None, :]  # (B, 1, 1, T)
        if trace:
            attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias, -1)
            attention = attention if asking is None else attention * asking[:, None, :, None]
            context = F.dropout(attention, rate, training=rate > 0) @ v
        else:
            attention = None
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=rate)
            context = context if asking is None else context * asking[:, None, :, None]
        after = self.attended_norm(x + context.transpose(1, 2).flatten(2))
        return self.norm(after + self.outer(F.relu(self.inner(after)))), Inside(attention, after)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, H, T, d/H)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Readout(nn.Module):
    """Eq. (3): one vector of many positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.content, self.gate = (nn.Linear(width, width, bias=False) for _ in range(2))  # W_u, W_m
        self.score = nn.Linear(width, 1, bias=False)  # W_r

    def forward(self, x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, d), counts (B, T) as in a block -> o (B, d), a (B, T)"""
        scores = self.score(self.content(x) * torch.sigmoid(self.gate(x))).squeeze(-1)
        share = torch.where(counts > 0, scores + counts.clamp(min=1e-30).log(), MASKED).softmax(-1)
        return (share[..., None] * x).sum(1), share


@dataclass(frozen=True, eq=False)
class Sure:
    """What each modality says alone, and the weight that this gives it."""

    pooled: Tensor  # (B, M, D)
    opinion: Tensor  # (B, M, C), probabilities
    weight: Tensor  # (B, M)


@dataclass(frozen=True, eq=False)
class Made:
    """What one pass makes, in the order of the computation; positions of all modalities lie one after the other."""

    there: Tensor  # (B, M) bool, modalities of which something was seen
    seen: tuple[Tensor, ...]  # M of (B, T_m) bool, steps that were read
    real: tuple[Tensor, ...]  # M of (B, T_m) bool, no padding; rows of a missing modality are real
    counts: tuple[Tensor, ...]  # M of (B, T_m), how many rows each stands for as a key, 0 none
    projected: tuple[Tensor, ...]  # M of (B, T_m, D)
    own: tuple[Tensor, ...]  # M of (B, T_m, D), E_m
    shared: tuple[tuple[Tensor, Tensor], ...]  # of each pair (B, T_m, D / (M - 1)) from either side
    sure: Sure | None  # where modalities are weighted
    tag: Tensor  # (B, M + 1)
    tagged: Tensor  # (B, T, D + M + 1), U
    encoded: Tensor  # Enc
    decoded: Tensor  # Dec
    readout: Tensor  # (B, T), a
    fused: Tensor  # (B, D + M + 1), o
    prediction: Tensor  # (B,) or (B, C)
    inside: Mapping[str, Inside]  # of the block of each modality, "joint" and "decoder"

    def extras(self) -> dict[str, Tensor]:
        """What the loss needs."""
        return {
            "there": self.there, "counts": torch.cat(self.counts, 1), "tag": self.tag, "tagged": self.tagged,
            "encoded": self.encoded, "decoded": self.decoded,
        }  # fmt: skip


def divergence(x: Tensor, y: Tensor) -> Tensor:
    """Sum of both Kullback-Leibler divergences between the softmaxes of two rows, in nats. (..., d) -> (...)"""
    p, q = (one.softmax(-1).clamp(CLIP, 1.0) for one in (x, y))
    return ((p - q) * (p.log() - q.log())).sum(-1)


def read(config: Config, batch: Batch) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    """Of each modality: features, 0 where nothing is seen (B, T, D), what is seen, what is real, counts (B, T)."""
    check_streams(batch, config.modalities, config.widths)
    features, seen, real, counts = [], [], [], []
    for m, steps in zip(config.modalities, config.steps, strict=True):
        see, x = visible(batch, m), batch.features[m]
        if see.shape[1] > steps:
            raise FusionError(f'"{m}" has {see.shape[1]} steps and this model reads {steps}; cut it to that.')
        more = (steps if config.padding == "attended" else max(see.shape[1], 1)) - see.shape[1]
        see, mask = F.pad(see, (0, more)), F.pad(batch.mask[m], (0, more))
        there, one = see.any(1, keepdim=True), torch.arange(mask.shape[1], device=mask.device) < 1
        features.append(torch.where(see[..., None], F.pad(x, (0, 0, 0, more)), 0.0))
        seen.append(see)
        if config.padding == "attended":
            real.append(mask | ~there)
            counts.append(torch.ones_like(mask, dtype=x.dtype))
        else:
            real.append(torch.where(there, mask, one))
            counts.append(torch.where(there, 1.0, steps).to(x.dtype) * real[-1])
    nothing = ~torch.cat(seen, 1).any(1)
    if nothing.any():
        row = batch.ids[int(nothing.nonzero()[0])]
        raise FusionError(f'Every step of sample "{row}" is hidden or padding; show one of them, or leave it out.')
    return features, seen, real, counts
