"""Losses that more than one system uses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def unit(x: Tensor) -> Tensor:
    """Rows scaled to length 1, zero rows left at zero. (..., D) -> (..., D)"""
    return F.normalize(x, dim=-1, eps=1e-12)


def info_nce(left: Tensor, right: Tensor, temperature: float, left_share: float) -> Tensor:
    """Two-way contrastive loss: each row's partner against all other rows of the batch.

    S_ab = cos(left_a, right_b) / temperature; share * CE(S, id) + (1 - share) * CE(S^T, id). (B, D), (B, D) -> () nats.
    Source: van den Oord et al. 2018; MAF eq. (7) with share = 0.7 and temperature = 0.179.
    """
    similarity = unit(left) @ unit(right).T / temperature  # (B, B)
    partner = torch.arange(len(left), device=left.device)
    forth, back = F.cross_entropy(similarity, partner), F.cross_entropy(similarity.T, partner)
    return left_share * forth + (1 - left_share) * back
