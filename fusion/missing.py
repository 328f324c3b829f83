"""What is hidden from a model on purpose: steps, whole modalities, at random or by choice, and how one is damaged.

One place for training, curves, what-if switches and tests. A rate is always said with what it is a rate of:

* `steps`: each real step of each modality is hidden on its own with this probability; the first and the last step of a
  text stay, as TFR-Net keeps [CLS] and the last token (Yuan et al. 2021). A modality without a step left is absent.
* `modalities`: each modality that is there is taken away from a sample as a whole with this probability; where all
  would go, one of them, drawn evenly, stays: no model answers from nothing.
* one modality by name: it is taken away from this share of the samples that have another one.

Draws come from a generator on the CPU, so a seed gives the same on every device. What was there before is in `whole`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from fusion.types import Batch, FusionError

Damage = Literal["zero", "mean", "shuffle", "drop"]
STEPS, MODALITIES = "steps", "modalities"
PROTECTED = "text"  # its first and last step are never hidden by a rate of steps


def hide(batch: Batch, what: str, rate: float, generator: torch.Generator) -> Batch:
    """Hide a share of a batch at random. what: "steps", "modalities", or the name of one modality; rate in [0, 1].

    The draws are the same for a row whatever the rate, so what is hidden at a low rate is hidden at a higher one.
    """
    if not 0 <= rate <= 1:
        raise FusionError(f"A rate of {rate:g} came; give one from 0, nothing is hidden, to 1.")
    if what == STEPS:
        return _steps(batch, rate, generator)
    if what == MODALITIES:
        return _modalities(batch, rate, generator)
    if what not in batch.modalities:
        raise FusionError(
            f'"{what}" is none of {STEPS}, {MODALITIES}, {", ".join(batch.modalities)}; give one of them.'
        )
    drawn = torch.rand(len(batch), generator=generator).to(batch.present.device)
    column = batch.modalities.index(what)
    others = batch.present.clone()
    others[:, column] = False
    gone = batch.present[:, column] & others.any(1) & (drawn < rate)
    present = batch.present.clone()
    present[:, column] &= ~gone
    return _hidden(batch, batch.kept, present)


def only(batch: Batch, modalities: Sequence[str]) -> tuple[Batch, Tensor]:
    """The samples that have one of some modalities, with only these. -> batch of B' rows, their numbers (B',)"""
    chosen = torch.tensor([m in modalities for m in batch.modalities], device=batch.present.device)
    present = batch.present & chosen
    rows = present.any(1).nonzero().squeeze(1)
    return _hidden(batch, batch.kept, present).rows(rows), rows


def damage(
    batch: Batch, modality: str, how: str, *, rate: float = 0.5, mean: Tensor | None = None,
    donor: Batch | None = None, seed: int = 0,
) -> Batch:  # fmt: skip
    """Damage what a model reads of one modality, which stays present.

    how: `zero` its features; put the training `mean` (D,) at each step; `shuffle`: take the features of the rows of
    `donor`, or of the batch rolled by one; `drop` steps at a rate. Raises FusionError for another word.
    """
    if how not in get_args(Damage):
        raise FusionError(f'"{how}" is no damage; choose {", ".join(get_args(Damage))}.')
    features, mask, kept = (dict(table) for table in (batch.features, batch.mask, batch.kept))
    value = batch.features[modality]
    if how == "zero":
        features[modality] = torch.zeros_like(value)
    elif how == "mean":
        assert mean is not None, "the mean of the training samples"
        features[modality] = mean.to(value).expand_as(value) * batch.mask[modality][..., None]
    elif how == "shuffle":
        other = donor if donor is not None else batch.rows(torch.arange(len(batch)).roll(1))
        features[modality], mask[modality] = other.features[modality], other.mask[modality]
        kept[modality] = other.mask[modality]
    else:
        generator = torch.Generator().manual_seed(seed)
        kept[modality] = _kept(batch, modality, rate, generator)
    return replace(batch, features=features, mask=mask, kept=kept, whole=batch.whole or batch)


def _steps(batch: Batch, rate: float, generator: torch.Generator) -> Batch:
    kept = {m: _kept(batch, m, rate, generator) for m in batch.modalities}
    there = torch.stack([kept[m].any(1) for m in batch.modalities], 1) & batch.present
    lost = batch.present.any(1) & ~there.any(1)  # nothing is left: the first step of the first modality stays
    if lost.any():
        first = batch.present.int().argmax(1)
        for column, m in enumerate(batch.modalities):
            rows = lost & (first == column)
            kept[m][rows, 0] = batch.mask[m][rows, 0]
            there[rows, column] = kept[m][rows, 0]
    return _hidden(batch, kept, there)


def _kept(batch: Batch, modality: str, rate: float, generator: torch.Generator) -> Tensor:
    mask = batch.mask[modality]
    drawn = torch.rand(mask.shape, generator=generator).to(mask.device)
    kept = batch.kept[modality] & (drawn >= rate)
    if modality == PROTECTED and mask.shape[1]:
        last = (mask.sum(1) - 1).clamp(min=0)
        ends = torch.zeros_like(mask)
        ends[:, 0] = True
        ends[torch.arange(len(mask), device=mask.device), last] = True
        kept = kept | (ends & batch.kept[modality])
    return kept


def _modalities(batch: Batch, rate: float, generator: torch.Generator) -> Batch:
    drawn = torch.rand(batch.present.shape, generator=generator).to(batch.present.device)
    stays = batch.present & (drawn >= rate)
    most = torch.where(batch.present, drawn, torch.full_like(drawn, -1.0)).argmax(1, keepdim=True)
    last = torch.zeros_like(stays).scatter(1, most, True) & batch.present
    return _hidden(batch, batch.kept, torch.where(stays.any(1, keepdim=True), stays, last))


def _hidden(batch: Batch, kept: dict[str, Tensor], present: Tensor) -> Batch:
    return replace(batch, kept=kept, present=present, whole=batch.whole or batch)
