"""Batches that differ only where nothing may be read."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fusion.types import Batch

Pairs = list[tuple[Batch, Batch]]


def noise(batch: Batch, modality: str, where: Tensor) -> Batch:
    """The batch with other content at some steps, or of some entities, of a modality. where (B, T) or (N,) bool"""
    changed = torch.where(where[..., None], 5 * torch.randn_like(batch.features[modality]), batch.features[modality])
    return replace(batch, features={**batch.features, modality: changed})
