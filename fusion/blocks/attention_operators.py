"""Operators that make one vector of M sequences by attention: within each, across pairs, together, or jointly.

Each returns (f, internals): f (B, D_f), and what it computed on the way by name. `seen` M of (B, T_m) bool are the
steps that may be read; features elsewhere must be finite, and change nothing.

    SelfAttention   X'_m = BERT layer (X_m), a = softmax_t(u^T tanh(W X'_mt)), f = [a_1^T X'_1; ...; a_M^T X'_M]     (1)
    CrossAttention  A_mn = softmax(X_m W_Q (X_n W_K)^T / sqrt(D/H)), Y_mn = LN(X_m + A_mn X_n W_V),
                    Z_mn = LN(Y_mn + W_2 GELU(W_1 Y_mn)), f = [mean_t Z_12; mean_t Z_13; ...], all ordered pairs     (2)
    CoAttention     L = tanh(X_1 W_b X_2^T), H_1 = tanh(X_1 W_1 + L X_2 W_2), a_1 = softmax_t(H_1 w_1),
                    H_2 = tanh(X_2 W_2 + L^T X_1 W_1), a_2 = softmax_t(H_2 w_2), f = [a_1^T X_1; a_2^T X_2]          (3)
    Joint           X = [X_1 + e_1; ...; X_M + e_M] along time, f = mean_t BERT layer (X)                            (4)

Sources: the BERT layer of (1) and (4) Devlin et al. 2019; (2) Tsai et al. 2019, arXiv:1906.00295; (3) the parallel form
of Lu et al. 2016, arXiv:1606.00061, for M > 2 of every pair.
"""

from __future__ import annotations

import math
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.attention import CrossLayer
from fusion.blocks.sequences import masked_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.blocks.operators import Internals

INNER = 4  # times the width, of the layer behind the attention


def shares(scores: Tensor, seen: Tensor) -> Tensor:
    """Softmax over the last axis among what is seen; all 0 where nothing is. scores (..., K), seen broadcasts to it"""
    lowest = torch.finfo(scores.dtype).min
    return scores.masked_fill(~seen, lowest).softmax(-1) * seen


class Pooling(nn.Module):
    """a = softmax_t(u^T tanh(W X_t)), a^T X."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, D), seen (B, T) -> (B, D), weights (B, T)"""
        weight = shares(self.score(torch.tanh(self.hidden(x)))[..., 0], seen)
        return torch.einsum("bt,btd->bd", weight, x), weight


class SelfAttention(nn.Module):
    """Each modality attends to itself and is pooled by attention, eq. (1)."""

    def __init__(self, count: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layer = nn.ModuleList(CrossLayer(width, heads, INNER * width, dropout) for _ in range(count))
        self.pool = nn.ModuleList(Pooling(width) for _ in range(count))
        self.width = count * width

    def forward(
        self, steps: Sequence[Tensor], seen: Sequence[Tensor], *, trace: bool = False
    ) -> tuple[Tensor, Internals]:
        """M of (B, T_m, D), M of (B, T_m) -> f (B, M D); self.m (B, H, T_m, T_m) where asked for, pool.m (B, T_m)"""
        told: Internals = {}
        pooled = []
        for at, (x, real) in enumerate(zip(steps, seen, strict=True)):
            made, attention = self.layer[at](x, x, real, trace=trace)
            vector, told[f"pool.{at}"] = self.pool[at](made, real)
            pooled.append(vector)
            if attention is not None:
                told[f"self.{at}"] = attention
        return torch.cat(pooled, 1), told


class Crossing(nn.Module):
    """Queries of one modality over the steps of another, eq. (2); where the other has none, Y = LN(X)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        assert width % heads == 0, f"width {width} does not divide into {heads} heads"
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.norm, self.last_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, INNER * width), nn.Linear(INNER * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """queries (B, Q, D), keys (B, K, D), seen (B, K) -> Z (B, Q, D), Y (B, Q, D), attention (B, H, Q, K)"""
        q, k, v = (
            f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for f, x in ((self.query, queries), (self.key, keys), (self.value, keys))
        )  # (B, H, T, D/H)
        attention = shares(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), seen[:, None, None, :])
        context = (self.dropout(attention) @ v).transpose(1, 2).flatten(2)
        y = self.norm(queries + self.dropout(context))
        return self.last_norm(y + self.dropout(self.outer(F.gelu(self.inner(y))))), y, attention


class CrossAttention(nn.Module):
    """Every modality reads every other one, eq. (2)."""

    def __init__(self, count: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.pairs = tuple(permutations(range(count), 2))  # who reads whom
        self.cross = nn.ModuleList(Crossing(width, heads, dropout) for _ in self.pairs)
        self.width = len(self.pairs) * width

    def forward(
        self, steps: Sequence[Tensor], seen: Sequence[Tensor], *, trace: bool = False
    ) -> tuple[Tensor, Internals]:
        """M of (B, T_m, D), M of (B, T_m) -> f (B, M (M - 1) D); cross.m.n (B, H, T_m, T_n), read.m.n Y (B, T_m, D)"""
        told: Internals = {}
        pooled = []
        for layer, (m, n) in zip(self.cross, self.pairs, strict=True):
            z, told[f"read.{m}.{n}"], told[f"cross.{m}.{n}"] = layer(steps[m], steps[n], seen[n])
            pooled.append(masked_mean(z, seen[m]))
        return torch.cat(pooled, 1), told


class CoAttending(nn.Module):
    """Two modalities look for the steps that fit each other, eq. (3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.affinity, self.first, self.second = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.first_score, self.second_score = nn.Linear(width, 1, bias=False), nn.Linear(width, 1, bias=False)

    def forward(
        self, x: Tensor, y: Tensor, seen_x: Tensor, seen_y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """x (B, T, D), y (B, K, D) -> pooled x, y (B, D), weights (B, T), (B, K), affinity (B, T, K) in (-1, 1)"""
        both = seen_x[:, :, None] & seen_y[:, None, :]
        affinity = torch.tanh(x @ self.affinity(y).transpose(1, 2)) * both
        mapped_x, mapped_y = self.first(x), self.second(y)
        of_x = shares(self.first_score(torch.tanh(mapped_x + affinity @ mapped_y))[..., 0], seen_x)
        of_y = shares(self.second_score(torch.tanh(mapped_y + affinity.transpose(1, 2) @ mapped_x))[..., 0], seen_y)
        return torch.einsum("bt,btd->bd", of_x, x), torch.einsum("bt,btd->bd", of_y, y), of_x, of_y, affinity


class CoAttention(nn.Module):
    """Every two modalities attend to each other at once, eq. (3)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.pairs = tuple(combinations(range(count), 2))
        self.pair = nn.ModuleList(CoAttending(width) for _ in self.pairs)
        self.width = 2 * len(self.pairs) * width

    def forward(
        self, steps: Sequence[Tensor], seen: Sequence[Tensor], *, trace: bool = False
    ) -> tuple[Tensor, Internals]:
        """f (B, M (M - 1) D); of each pair m < n: co.m.n (B, T_m), co.n.m (B, T_n)"""
        told: Internals = {}
        pooled: list[Tensor] = []
        for block, (m, n) in zip(self.pair, self.pairs, strict=True):
            first, second, told[f"co.{m}.{n}"], told[f"co.{n}.{m}"], _ = block(steps[m], steps[n], seen[m], seen[n])
            pooled += [first, second]
        return torch.cat(pooled, 1), told


class Joint(nn.Module):
    """All steps of all modalities in one sequence, each with its modality's vector, eq. (4)."""

    def __init__(self, count: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.layer = CrossLayer(width, heads, INNER * width, dropout)
        self.modality = nn.Parameter(0.1 * torch.randn(count, width))
        self.width = width

    def forward(
        self, steps: Sequence[Tensor], seen: Sequence[Tensor], *, trace: bool = False
    ) -> tuple[Tensor, Internals]:
        """M of (B, T_m, D), M of (B, T_m) -> f (B, D); where asked for blocks (B, H, M, M) and size (B, M).

        blocks: the attention that steps of one modality give the steps of another, a mean over the first and a sum over
        the second, so that rows sum to one (0 for a modality without steps); size: each one's share of the steps.
        """
        x = torch.cat([one + self.modality[at] for at, one in enumerate(steps)], 1)
        real = torch.cat(list(seen), 1)  # (B, sum T)
        made, attention = self.layer(x, x, real, trace=trace)
        told: Internals = {}
        if attention is not None:
            sizes = [one.shape[1] for one in steps]
            given = torch.stack([one.sum(-1) for one in attention.split(sizes, -1)], -1)  # (B, H, sum T, M)
            rows = [
                (one * own[:, None, :, None]).sum(2) / own.sum(1).clamp(min=1)[:, None, None]
                for one, own in zip(given.split(sizes, 2), seen, strict=True)
            ]  # fmt: skip
            counts = torch.stack([one.sum(1) for one in seen], 1)
            told = {"blocks": torch.stack(rows, 2), "size": counts / counts.sum(1, keepdim=True)}
        return masked_mean(made, real), told
