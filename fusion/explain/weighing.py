"""One number a row of every signal that weighs a modality: gates, weights, scores, match, and attention on its steps.

Attention counts with its mean over heads and real queries. B rows, T steps, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.explain.attending import parts_of
from fusion.signals import Attention, Gate, Match, ModalityScores, ModalityWeights, Norms

if TYPE_CHECKING:
    from fusion.signals import Trace
    from fusion.types import Batch

Key = tuple[str, str, str]  # name of the signal, the modality that it weighs, what kind of number it is


def weighing(trace: Trace, batch: Batch, modalities: Sequence[str]) -> dict[Key, Tensor]:
    """One number a row of every signal that weighs a modality. -> {key: (B,) float64, CPU}"""
    found: dict[Key, Tensor] = {}
    for signal in trace:
        if not signal.per_sample:
            continue
        if isinstance(signal, Gate):
            value = signal.value if signal.value.ndim == 2 else signal.value.mean(-1)  # (B, T)
            if signal.steps not in batch.modalities and value.shape[1] == len(batch.modalities):
                found |= {(signal.name, m, "gate"): value[:, i] for i, m in enumerate(batch.modalities)}
            else:
                found[signal.name, signal.modality, "gate"] = mean_over(value, spoken(signal.steps, signal.mask, batch))
        elif isinstance(signal, (ModalityWeights, ModalityScores)):
            kind = "weight" if isinstance(signal, ModalityWeights) else "score"
            found |= {(signal.name, m, kind): signal.value[:, i].abs() for i, m in enumerate(signal.modalities)}
        elif isinstance(signal, Match):
            found |= {(signal.name, m, "match"): signal.value for m in modalities}
        elif isinstance(signal, Norms) and len(modalities) == 1 and signal.steps in batch.modalities:
            found[signal.name, modalities[0], "norm"] = mean_over(
                signal.value, spoken(signal.steps, signal.mask, batch)
            )
        elif isinstance(signal, Attention):
            found |= _mass(signal, trace, batch)
    return {key: value.detach().cpu().double() for key, value in found.items() if key[1] in modalities}


def _mass(signal: Attention, trace: Trace, batch: Batch) -> dict[Key, Tensor]:
    """Attention on the steps of each modality; nothing where all of it must fall on one."""
    read = signal.query_mask.to(signal.value)
    on = mean_over(signal.value.mean(1).transpose(1, 2), read[:, None])  # (B, K)
    if signal.keys not in batch.modalities and on.shape[1] == len(batch.modalities):
        return {(signal.name, m, "mass"): on[:, i] for i, m in enumerate(batch.modalities)}
    found = {}
    for m, first in parts_of(signal.keys, on.shape[1], trace, batch).items():
        value = on[:, first : first + batch.mask[m].shape[1]].sum(1)
        if bool((value - 1).abs().max() > 1e-4):
            found[signal.name, m, "mass"] = value
    return found


def mean_over(value: Tensor, real: Tensor) -> Tensor:
    """Mean over the last axis of what is real. (B, ..., T), (B, ..., T) -> (B, ...)"""
    real = real.to(value)
    return (value * real).sum(-1) / real.sum(-1).clamp(min=1)


def spoken(steps: str, mask: Tensor, batch: Batch) -> Tensor:
    """The steps that open a word or are a region; marks and later pieces are left out. -> (B, T) bool"""
    rows = batch.steps.get(steps)
    if not rows:
        return mask
    opens = torch.zeros_like(mask)
    for i, one in enumerate(rows):
        before = (-1, *one.group)
        own = [g >= 0 and g != b for g, b in zip(one.group, before, strict=False)][: mask.shape[1]]
        opens[i, : len(own)] = torch.tensor(own, device=mask.device)
    return opens & mask
