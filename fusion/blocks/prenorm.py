"""A pre-norm transformer that reads one sequence, or one sequence looking at another.

With x the queries, s the source (x itself where there is none), one norm LN_0 for both sides and Y the heads' context,

    x <- x + drop(W_o MHA(LN_0 x, LN_0 s, LN_0 s)),  x <- x + drop(W_2 drop(ReLU(W_1 LN_1 x))),  last LN

in every layer; the source stays what it was. Source: Tsai et al. 2019 (MulT), as TFR-Net uses it in its eq. (1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import tiled
from fusion.blocks.dropping import Dropout


class Attend(nn.Module):
    """Attention of H heads whose three input maps lie in one matrix. A = softmax(Q K^T / sqrt(D/H) + mask)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        assert width % heads == 0, f"width {width} does not divide into {heads} heads"
        self.heads, self.rate = heads, dropout
        self.maps = nn.Parameter(torch.empty(3 * width, width))  # rows of queries, keys, values
        self.bias = nn.Parameter(torch.zeros(3 * width))
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.maps)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(
        self, queries: Tensor, source: Tensor | None, unseen: Tensor | None, *, trace: bool
    ) -> tuple[Tensor, Tensor | None]:
        """queries (B, Q, D), source (B, K, D), unseen (Q, K) or (B, 1, Q, K) bool -> (B, Q, D), attention (B, H, Q, K).

        The attention is that before dropout, None where no trace is wanted. Every query must see a key.
        """
        if source is None:
            q, k, v = (self._split(x) for x in F.linear(queries, self.maps, self.bias).chunk(3, -1))
        else:
            width = queries.shape[-1]
            q = self._split(F.linear(queries, self.maps[:width], self.bias[:width]))
            k, v = (self._split(x) for x in F.linear(source, self.maps[width:], self.bias[width:]).chunk(2, -1))
        attention = None
        rate = self.rate if self.training else 0.0
        if trace:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if unseen is not None:
                scores = scores.masked_fill(unseen, -torch.inf)
            attention = scores.softmax(-1)  # (B, H, Q, K)
            context = F.dropout(attention, rate) @ v if rate else attention @ v
        elif q.device.type == "cpu" and (unseen is None or unseen.ndim == 2):
            context = tiled.attend(q, k, v, unseen, rate)
        else:
            seen = None if unseen is None else ~unseen
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=rate)
        return self.out(context.transpose(1, 2).flatten(2)), attention

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, D/H)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Layer(nn.Module):
    """One layer of eq. (1)."""

    def __init__(self, width: int, heads: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.attend = Attend(width, heads, attention_dropout)
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(
        self, x: Tensor, source: Tensor | None, unseen: Tensor | None, *, trace: bool
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, Q, D), source (B, K, D) -> (B, Q, D), attention (B, H, Q, K) or None"""
        looked_at = None if source is None else self.norm(source)
        attended, attention = self.attend(self.norm(x), looked_at, unseen, trace=trace)
        x = x + self.dropout(attended)
        return x + self.dropout(self.outer(self.dropout(F.relu(self.inner(self.inner_norm(x)))))), attention


class PreNorm(nn.Module):
    """Layers of eq. (1) and the last norm. Inputs are scaled by sqrt(D) and carry their positions already."""

    def __init__(self, width: int, heads: int, layers: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, dropout, attention_dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, source: Tensor | None = None, unseen: Tensor | None = None, *, trace: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """x (B, Q, D), source (B, K, D) -> (B, Q, D), attention of each layer (B, H, Q, K) where asked for"""
        x, source = self.dropout(x), None if source is None else self.dropout(source)
        attentions = []
        for layer in self.layers:
            x, attention = layer(x, source, unseen, trace=trace)
            if attention is not None:
                attentions.append(attention)
        return self.norm(x), attentions


def later(queries: int, keys: int, device: torch.device) -> Tensor:
    """What a causal mask hides: key s from query t where s >= t + 1 + |Q - K|. -> (Q, K) bool

    Where the two lengths differ nearly nothing is hidden; key 0 never is.
    """
    everything = torch.ones(queries, keys, dtype=torch.bool, device=device)
    return everything.triu(1 + abs(queries - keys))


def sinusoids(count: int, width: int, device: torch.device) -> Tensor:
    """Of positions 1 to T: first half sines, second half cosines of frequencies 10000^(-i / (D/2 - 1)). -> (T, D)"""
    half = width // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10_000) / (half - 1)))
    angles = torch.arange(1, count + 1, device=device)[:, None] * rates
    table = torch.cat((angles.sin(), angles.cos()), 1)
    return F.pad(table, (0, width - 2 * half))
