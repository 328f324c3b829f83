"""Dropout on a processor from 16 random bits an entry, several times cheaper than torch's one draw an entry.

    dropout(x) = x * kept / (1 - rate),  kept = 1 with probability 1 - rate to within 2^-17, else 0

Elsewhere it is torch's own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Dropout while training, the input itself otherwise; no weights."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape"""
        if not self.training or not self.rate:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.rate)
        return x * keep(draws(x.shape), self.rate, x.dtype).mul_(1 / (1 - self.rate))


def draws(shape: torch.Size) -> Tensor:
    """Evenly distributed numbers of 16 bits. -> int16"""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:count].view(shape)


def keep(bits: Tensor, rate: float, dtype: torch.dtype) -> Tensor:
    """1 where dropout keeps an entry, which it does with probability 1 - rate to within 2^-17, else 0."""
    numbers = bits.to(dtype)  # floats compare several times faster than integers or bools multiply
    return torch.ge(numbers, round(rate * 2**16) - 2**15, out=numbers)
