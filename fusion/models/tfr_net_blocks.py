"""What TFR-Net is made of: how it reads a batch, its pooling of steps, and what a guess is made by and judged by.

Paper: Yuan, Li, Xu, Yu, ACM MM 2021, doi:10.1145/3474085.3475585; released code: Columbine21/TFR-Net@1da0157. Equations
are numbered in fusion/models/tfr_net.py: the pooling is eq. (3), a guess is made by eq. (2a) and judged
by eq. (4) and (5).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import setting
from fusion.blocks.prenorm import later
from fusion.blocks.recurrent import bidirectional
from fusion.blocks.sequences import check_streams, visible
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.types import Batch, Fixed


class Pool(nn.Module):
    """Eq. (3): from the steps of a modality to its utterance vector u."""

    def __init__(self, width: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, hidden, layers, batch_first=True, bidirectional=True)
        self.gate = nn.Conv1d(2 * hidden, 1, 3, padding=1)
        self.linear = nn.Linear(width + 2 * hidden, hidden)

    def forward(
        self, h: Tensor, real: Tensor, everywhere: bool, fixed: Mapping[str, Fixed] = setting.NOTHING, name: str = ""
    ) -> dict[str, Tensor]:
        """h (B, T, M D), real (B, T) bool -> "gru" (B, T, 2K), "gate" (B, T), "utterance" (B, K), "winner" (B, K) int.

        The maximum runs over real steps, or `everywhere`; without a real step u is 0. fixed, name: see blocks.setting
        """
        lengths = real.sum(1)
        read = bidirectional(self.gru, h, lengths.clamp(min=1))
        there = (lengths > 0)[:, None]
        read = read * there[..., None]
        gate = setting.gate(fixed, name, torch.sigmoid(self.gate(read.transpose(1, 2)).squeeze(1)))
        return {"gru": read, "gate": gate} | self.pooled(h, gate[..., None] * read.tanh(), real, everywhere)

    def pooled(self, h: Tensor, gated: Tensor, real: Tensor, everywhere: bool) -> dict[str, Tensor]:
        """The maximum of eq. (3). gated (B, T, 2K) -> "utterance" (B, K) before dropout, "winner" (B, K) its steps"""
        scores = self.linear(torch.cat((h, gated), -1))  # (B, T, K); tanh grows, so the maximum may go first
        if not everywhere:
            scores = scores.masked_fill(~real[..., None], -torch.inf)
        best, winner = scores.max(1)
        there = real.any(1, keepdim=True)
        return {"utterance": torch.where(there, best.tanh(), 0.0), "winner": winner}


def padded(x: Tensor, length: int) -> Tensor:
    """Zeros at the end up to a length. (B, T, ...) -> (B, length, ...)"""
    missing = length - x.shape[1]
    return F.pad(x, (0, 0) * (x.ndim - 2) + (0, missing)) if missing else x


def read(
    batch: Batch, modalities: Sequence[str], widths: Sequence[int], steps: Sequence[int]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What is read of a batch, in the trained lengths. -> {m: (B, T_m, D_m)} zero where unseen, {m: (B, T_m)} real

    Raises FusionError on features that don't fit, on a mask with holes, and on a sample without any step.
    """
    check_streams(batch, modalities, widths)
    lengths = dict(zip(modalities, steps, strict=True))
    for m, longest in lengths.items():
        mask = batch.mask[m]
        if mask.shape[1] > longest:
            raise FusionError(
                f'"{m}" has {mask.shape[1]} steps; this checkpoint reads {longest}. Shorten it, or train a new one.'
            )
        holes = (mask[:, 1:] & ~mask[:, :-1]).any(1)
        if holes.any():
            row = batch.ids[int(holes.nonzero()[0])]
            raise FusionError(f'The real steps of "{m}" of sample "{row}" must come first and padding after them.')
    real = {m: padded(batch.mask[m] & batch.has(m)[:, None], lengths[m]) for m in modalities}
    empty = ~torch.stack([some.any(1) for some in real.values()]).any(0)
    if empty.any():
        row = batch.ids[int(empty.nonzero()[0])]
        raise FusionError(f'Sample "{row}" has not one step in any modality; give it one, or leave it out.')
    seen = {m: torch.where(visible(batch, m)[..., None], batch.features[m], 0.0) for m in modalities}
    return {m: padded(x, lengths[m]) for m, x in seen.items()}, real


def deepened(
    encoder: nn.Module, h: Tensor, real: Tensor, axis: str, causal: bool, trace: bool
) -> tuple[Tensor, list[Tensor]]:
    """The encoder of eq. (2a) along an axis. h (B, T, M D), real (B, T) bool -> (B, T, M D), attention a layer"""
    x = h if axis == "time" else h.permute((2, 0, 1) if axis == "batch" else (0, 2, 1))  # tokens second
    count = x.shape[1]
    unseen = later(count, count, x.device) if causal else None
    if axis == "time":  # a key that is padding is unseen; the first one never, so that no row is empty
        padding = ~real
        padding[:, 0] = False
        unseen = padding[:, None, None] if unseen is None else unseen | padding[:, None, None]
    x, attention = encoder(math.sqrt(x.shape[-1]) * x, None, unseen, trace=trace)
    return (x if axis == "time" else x.permute((1, 2, 0) if axis == "batch" else (0, 2, 1))), attention


def filling(guess: Tensor, truth: Tensor, hidden: Tensor, empty: bool) -> tuple[Tensor, Tensor]:
    """The two parts of eq. (4), before kappa. guess, truth (B, T, D), hidden (B, T) bool -> (), ()

    empty: whether the constant of eq. (5) counts where nothing was hidden.
    """
    made, wanted = (torch.where(hidden[..., None], x, 0.0) for x in (guess, truth))
    entries = hidden.sum() * guess.shape[-1]
    smooth = F.smooth_l1_loss(made, wanted, reduction="sum") / (entries + 1e-4)
    moments = cmd(made.flatten(0, 1), wanted.flatten(0, 1)) / (entries + 1e-4)
    return smooth, moments if empty else torch.where(entries > 0, moments, 0.0)


def cmd(one: Tensor, other: Tensor) -> Tensor:
    """Central moment discrepancy of two sets of rows, eq. (5), moments 1 to 3, no scaling. (N, D), (N, D) -> ()"""
    means = one.mean(0), other.mean(0)
    centred = one - means[0], other - means[1]
    gaps = [means[0] - means[1], *((centred[0] ** k).mean(0) - (centred[1] ** k).mean(0) for k in (2, 3))]
    return torch.stack([(gap.square().sum() + 1e-12).sqrt() for gap in gaps]).sum()
