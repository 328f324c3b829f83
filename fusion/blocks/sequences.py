"""What models of streams share: which steps may be read, their mean, and what stands for a missing modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.types import Batch

Missing = Literal["token", "zero", "mean"]


def visible(batch: Batch, modality: str) -> Tensor:
    """Steps that a model may read: real, not hidden on purpose, of a modality that is there. -> (B, T) bool"""
    return batch.mask[modality] & batch.kept[modality] & batch.has(modality)[:, None]


def masked_mean(x: Tensor, seen: Tensor) -> Tensor:
    """Mean over the steps that are seen, 0 where none is; what stands elsewhere may be anything, NaN too.

    x (B, T, D), seen (B, T) bool -> (B, D)
    """
    total = torch.where(seen[..., None], x, 0.0).sum(1)
    return total / seen.sum(1, keepdim=True).clamp(min=1).to(x.dtype)


def check_streams(batch: Batch, modalities: Sequence[str], widths: Sequence[int]) -> None:
    """Raises FusionError when a modality is lacking or has another width, or a sample has none of them at all."""
    for modality, width in zip(modalities, widths, strict=True):
        if modality not in batch.features or modality not in batch.modalities:
            have = ", ".join(batch.features) or "none"
            raise FusionError(f'The samples have no modality "{modality}", which this model reads; they have {have}.')
        found = batch.features[modality].shape[-1]
        if found != width:
            raise FusionError(
                f'Features of "{modality}" have {found} numbers a step and this model reads {width}; '
                "make them with the encoder that it was trained with."
            )
    there = torch.stack([batch.has(modality) for modality in modalities], 1).any(1)
    if not there.all():
        row = int((~there).nonzero()[0])
        raise FusionError(
            f'Sample "{batch.ids[row]}" has none of {", ".join(modalities)}; give it one of them, or leave it out.'
        )


class Filling(nn.Module):
    """Vectors of M modalities with something in the place of those that are missing.

    `token`: a learned vector e_m. `zero`: nothing. `mean`: the mean of what was there in training so far.
    """

    def __init__(self, widths: Sequence[int], missing: Missing) -> None:
        super().__init__()
        self.missing = missing
        if missing == "token":
            self.token = nn.ParameterList(nn.Parameter(0.1 * torch.randn(width)) for width in widths)
        if missing == "mean":
            for at, width in enumerate(widths):
                self.register_buffer(f"mean_{at}", torch.zeros(width))
                self.register_buffer(f"count_{at}", torch.zeros(()))

    def forward(self, vectors: Sequence[Tensor], there: Tensor) -> list[Tensor]:
        """vectors M of (B, D_m), there (B, M) bool -> M of (B, D_m)"""
        if self.training and self.missing == "mean":
            self._count(vectors, there)
        return [
            torch.where(there[:, at, None], one, self.substitute(at, one)) for at, one in enumerate(vectors)
        ]  # fmt: skip

    def substitute(self, at: int, like: Tensor) -> Tensor:
        """What stands for one modality. -> (D_m,)"""
        if self.missing == "token":
            return self.token[at]
        if self.missing == "mean":
            mean: Tensor = getattr(self, f"mean_{at}")
            return mean
        return torch.zeros_like(like[0])

    @torch.no_grad()
    def _count(self, vectors: Sequence[Tensor], there: Tensor) -> None:
        for at, one in enumerate(vectors):
            mean, count = getattr(self, f"mean_{at}"), getattr(self, f"count_{at}")
            rows = one[there[:, at]]
            if len(rows):
                count += len(rows)
                mean += (rows.mean(0) - mean) * (len(rows) / count)
