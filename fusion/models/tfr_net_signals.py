"""What TFR-Net says about how it fused: attention by pair and layer, gates, winners of the maximum, guesses.

Paper: Yuan, Li, Xu, Yu, ACM MM 2021, doi:10.1145/3474085.3475585; released code: Columbine21/TFR-Net@1da0157. Equations
are numbered in fusion/models/tfr_net.py: attention is that of eq. (2), gates and winners are those of eq. (3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.signals import Attention, Embedding, Gate, Reconstruction, Signal, Trace
from fusion.types import Steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

UTTERANCE = "utterance"  # a pseudo-modality of one step: the vector u that the maximum of eq. (3) makes


def signals_of(
    batch: Batch, made: Mapping[str, Tensor], attentions: Mapping[tuple[str, str], list[Tensor]],
    real: Mapping[str, Tensor], hidden: Mapping[str, Tensor], guesses: Mapping[str, Tensor],
    truth: Mapping[str, Tensor],
) -> Trace:  # fmt: skip
    """The trace of a forward pass: `made` and `attentions` of `TFRNet.answer`, and masks, in the trained lengths."""
    signals: list[Signal] = []
    for (queries, keys), stack in attentions.items():
        for layer, value in enumerate(stack):
            name = f"attention_{queries}_{keys}"
            signals.append(
                Attention(
                    name=name if len(stack) == 1 else f"{name}_{layer + 1}", unit="weight", normalised_over=keys,
                    value=value, layer=layer, layers=len(stack), queries=queries, keys=keys,
                    query_mask=real[queries], key_mask=real[keys], caveat="caveat.stream_attention",
                )
            )  # fmt: skip
    for m, mask in real.items():
        signals += [
            Gate(
                name=f"gate_{m}", settable=True, unit="weight", value=made[f"gate/{m}"], modality=m, steps=m, mask=mask,
                caveat="caveat.temporal_gate",
            ),
            _winners(m, made, mask),
            Reconstruction(
                name=f"reconstruction_{m}", unit="none", value=guesses[m], truth=truth[m] * mask[..., None], steps=m,
                mask=mask, hidden=hidden[m], scale=spread(truth[m], mask), caveat="caveat.reconstruction",
            ),
            Embedding(
                name=f"utterance_{m}", unit="none", value=made[f"utterance/{m}"], modality=m,
                caveat="caveat.utterance",
            ),
        ]  # fmt: skip
    signals.append(
        Embedding(name="fused", unit="none", value=made["fused"], modality="fused", caveat="caveat.utterance")
    )
    steps = {m: tuple(_padded(row, real[m].shape[1]) for row in rows) for m, rows in batch.steps.items()}
    one = Steps((UTTERANCE,), (0,), (UTTERANCE,))
    return Trace(tuple(signals), {**steps, UTTERANCE: (one,) * len(batch)})


def _winners(modality: str, made: Mapping[str, Tensor], mask: Tensor) -> Attention:
    """From which steps the units of u came: the share of its K units that each step supplied. -> (B, 1, 1, T)"""
    winner = made[f"winner/{modality}"]  # (B, K)
    share = F.one_hot(winner, mask.shape[1]).to(made["fused"].dtype).mean(1)  # (B, T)
    return Attention(
        name=f"pool_winner_{modality}", unit="weight", normalised_over=modality, value=share[:, None, None], layer=0,
        layers=1, queries=UTTERANCE, keys=modality, query_mask=mask.any(1, keepdim=True), key_mask=mask,
        caveat="caveat.pool_winner",
    )  # fmt: skip


def spread(x: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation of each feature over the real steps of its sample; where that is 0, its size, else 1.

    x (B, T, D), mask (B, T) bool -> (B, D) > 0
    """
    x, weight = x.detach() * mask[..., None], mask[..., None].to(x.dtype)
    count = weight.sum(1).clamp(min=1)  # (B, 1)
    mean = x.sum(1) / count
    deviation = (((x - mean[:, None]) * weight).square().sum(1) / count).sqrt()
    size = x.abs().amax(1)
    constant = deviation <= 1e-6 * size  # rounding of a feature that never changes
    return torch.where(constant, torch.where(size > 0, size, 1.0), deviation)


def _padded(steps: Steps, count: int) -> Steps:
    """Names of padding at the end, which belong to no group."""
    more = count - len(steps.labels)
    return replace(steps, labels=(*steps.labels, *("",) * more), group=(*steps.group, *(-1,) * more))
