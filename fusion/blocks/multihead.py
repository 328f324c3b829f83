"""Attention of several heads as torch's MultiheadAttention stores it, with its weights told, and a layer around it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def positions(steps: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines of a step's number, at falling rates; of an odd width the last cosine is left out. (T, D)

    Source: Vaswani et al. 2017.
    """
    rate = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000.0) / width))
    angle = torch.arange(steps, device=like.device)[:, None] * rate  # (T, D/2)
    return torch.stack((angle.sin(), angle.cos()), -1).flatten(1)[:, :width].to(like.dtype)


class MultiHead(nn.Module):
    """A = softmax(X W_Q (V W_K)^T / sqrt(D/H)) over the steps that are seen; W_o (A V W_V) + b.

    The three maps lie in one matrix where queries and keys have one width, as in torch, so that its Xavier init and
    the names of others' weights stay the same. Keys and values may be of another width, queries and output have D.
    """

    def __init__(self, width: int, heads: int, dropout: float, other: int | None = None) -> None:
        super().__init__()
        assert width % heads == 0, f"width {width} does not divide into {heads} heads"
        self.heads, self.rate = heads, dropout
        other = width if other is None else other
        if other == width:
            self.maps = nn.Parameter(torch.empty(3 * width, width))
        else:
            self.query_map = nn.Parameter(torch.empty(width, width))
            self.key_map = nn.Parameter(torch.empty(width, other))
            self.value_map = nn.Parameter(torch.empty(width, other))
        self.bias = nn.Parameter(torch.zeros(3 * width))
        self.output = nn.Linear(width, width)
        nn.init.zeros_(self.output.bias)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1 and not name.startswith("output"):
                nn.init.xavier_uniform_(parameter)

    def forward(self, queries: Tensor, keys: Tensor, seen: Tensor, *, trace: bool = False) -> tuple[Tensor, Tensor]:
        """queries (B, Q, D), keys (B, K, D'), seen (B, K) bool -> (B, Q, D), attention (B, H, Q, K) where asked for.

        Each sample must see a step. The attention is that before dropout; asking changes no bit of the rest where no
        derivative is wanted.
        """
        maps = self.maps.chunk(3) if hasattr(self, "maps") else (self.query_map, self.key_map, self.value_map)
        read = (queries, keys, keys)
        q, k, v = (
            F.linear(x, weight, bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for x, weight, bias in zip(read, maps, self.bias.chunk(3), strict=True)
        )  # (B, H, T, D/H)
        mask = seen[:, None, None, :]
        rate = self.rate if self.training else 0.0
        attention = q.new_zeros(0)
        if trace:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            attention = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        if trace and torch.is_grad_enabled():
            context = F.dropout(attention, rate) @ v  # through the weights told, so that they have a derivative
        else:
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        return self.output(context.transpose(1, 2).flatten(2)), attention


class EncoderLayer(nn.Module):
    """X' = LN(X + A(X)), Y = LN(X' + W_2 ReLU(W_1 X' + b) + b): the post-norm layer of Vaswani et al. 2017."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiHead(width, heads, dropout)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.attended_norm, self.norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """(B, T, D), (B, T) bool -> (B, T, D); a sample must see a step"""
        x = self.attended_norm(x + self.dropout(self.attention(x, x, seen)[0]))
        return self.norm(x + self.dropout(self.outer(self.dropout(F.relu(self.inner(x))))))
