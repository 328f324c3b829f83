"""Transformer layers whose queries come from one modality and whose keys and values come from another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Fixed

HIDDEN = -10_000.0  # added to the score of a key that may not be seen; exp of it is 0 in float32


class CrossLayer(nn.Module):
    """A post-norm BERT layer over two modalities; both residuals are those of the query side.

    A = softmax(X W_Q (V W_K)^T / sqrt(D/H) + mask); X' = LN(X + W_o A V W_Val); O = LN(X' + W_2 GELU(W_1 X')).
    With `inner` 0 the last step is left out: O = X'.
    Source: Devlin et al. 2019 for the layer (GELU exact, LN eps 1e-12), Tsai et al. 2019 for crossing modalities.
    """

    inner: nn.Linear | None

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        assert width % heads == 0, f"width {width} does not divide into {heads} heads"
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, eps=1e-12)
        if inner:
            self.inner = nn.Linear(width, inner)
            self.outer = nn.Linear(inner, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)
        else:
            self.inner = None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        seen: Tensor,
        *,
        trace: bool,
        dropped: bool = False,
        fixed: Mapping[str, Fixed] = setting.NOTHING,
        name: str = "",
    ) -> tuple[Tensor, Tensor | None]:
        """queries (B, Q, D), keys (B, K, D), seen (B, K) bool -> (B, Q, D), attention (B, H, Q, K) or None.

        A sample in which no key may be seen attends to all of them, as the additive mask of the released code does.
        The attention is that before dropout, or with `dropped` the one that was used. fixed, name: see blocks.setting
        """
        q, k, v = (self._split(f(x)) for f, x in ((self.query, queries), (self.key, keys), (self.value, keys)))
        mask = (~seen).to(q.dtype)[:, None, None, :] * HIDDEN  # (B, 1, 1, K)
        if trace or name in fixed:
            attention = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask, dim=-1)  # (B, H, Q, K)
            attention = setting.heads(fixed, name, attention)
            used = self.dropout(attention)
            attention, context = used if dropped else attention, used @ v
        else:
            attention = None
            rate = self.dropout.p if self.training else 0.0
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)
        context = context.transpose(1, 2).flatten(2)  # (B, Q, D)
        hidden = self.attended_norm(queries + self.dropout(self.attended(context)))
        if self.inner is None:
            return hidden, attention
        return self.norm(hidden + self.dropout(self.outer(F.gelu(self.inner(hidden))))), attention

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, H, T, D/H)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
