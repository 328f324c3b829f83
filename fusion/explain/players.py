"""The parts of one sample that are hidden and shown together, and a batch in which every row shows some of them.

Hidden means what the model itself takes a hidden step for (`kept`); a modality of which nothing is shown is absent
(`present`), with its marks. So the row without anybody is the model's answer from nothing.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.device import halving
from fusion.explain.targets import Target, of_batch
from fusion.types import Batch, FusionError, Steps

if TYPE_CHECKING:
    from fusion.models.base import FusionModel

Ask = Callable[[Tensor], Tensor]  # who is shown, (S, P) bool -> the target of each coalition, (S,) float64 on the CPU
MOST = 64  # players of one modality; longer sequences are cut into as many stretches
ROWS = 64  # of one forward pass
log = logging.getLogger("fusionscope")


@dataclass(frozen=True, eq=False)
class Players:
    """P parts of a sample: words, regions, steps or stretches of them, or whole modalities."""

    names: tuple[str, ...]  # P
    of: tuple[str, ...]  # P modalities
    member: dict[str, Tensor]  # {m: (P, T) bool} the steps of each, on the batch's device

    def __len__(self) -> int:
        return len(self.names)

    def spread(self, value: Tensor) -> dict[str, Tensor]:
        """Values of players on the steps that they hold, shared evenly. (P,) -> {m: (T,)}, summing to the same"""
        found = {}
        for m, member in self.member.items():
            share = member.to(value) / member.sum(1, keepdim=True).clamp(min=1)
            found[m] = value @ share
        return found

    def gather(self, values: dict[str, Tensor]) -> Tensor:
        """What lies on the steps of each player, added up. {m: (T,)} -> (P,)"""
        parts = [self.member[m].to(values[m]) @ values[m] for m in self.member if m in values]
        return torch.stack(parts).sum(0)

    def held(self) -> dict[str, Tensor]:
        """Which steps belong to somebody. -> {m: (T,) bool}"""
        return {m: member.any(0) for m, member in self.member.items()}


def steps_of(batch: Batch, modalities: Sequence[str] = (), most: int = MOST) -> Players:
    """A player for each word, region or step of the modalities that are there (all, or those that are named).

    batch: B = 1. Marks ([CLS], padding) are nobody's. Of more than `most` steps, neighbours join.
    Raises FusionError where nothing is left to hide.
    """
    names: list[str] = []
    of: list[str] = []
    rows: dict[str, list[Tensor]] = {}
    wanted = [m for m in modalities or batch.modalities if bool(batch.has(m)[0])]
    for m in wanted:
        for name, member in _groups(batch, m, most):
            names.append(name)
            of.append(m)
            rows.setdefault(m, []).append(member)
    if not names:
        raise FusionError("There is no word, region or step that could be hidden; bring a modality with one.")
    member = {}
    for m, found in rows.items():
        table = torch.zeros(len(names), found[0].shape[0], dtype=torch.bool, device=batch.present.device)
        table[[i for i, other in enumerate(of) if other == m]] = torch.stack(found)
        member[m] = table
    return Players(tuple(names), tuple(of), member)


def _groups(batch: Batch, modality: str, most: int) -> list[tuple[str, Tensor]]:
    """Name and steps (T,) of each word, region or stretch of one modality."""
    seen = (batch.mask[modality] & batch.kept[modality])[0]  # (T,)
    rows = batch.steps.get(modality)
    length = len(seen)
    if rows:
        steps = rows[0]
    else:
        steps = Steps(tuple(map(str, range(length))), tuple(range(length)), tuple(map(str, range(length))))
    group = torch.full((length,), -1, dtype=torch.long)
    known = torch.tensor(steps.group[:length], dtype=torch.long)
    group[: len(known)] = known
    group = group.to(seen.device).masked_fill(~seen, -1)
    there = group[group >= 0].unique().tolist()
    bounds = torch.linspace(0, len(there), min(len(there), most) + 1).round().long().tolist()
    found = []
    for start, stop in itertools.pairwise(bounds):
        some = there[start:stop]
        first, last = steps.groups[some[0]], steps.groups[some[-1]]
        name = first if first == last and len(some) == 1 else f"{first} – {last}"
        found.append((name, torch.isin(group, torch.tensor(some, device=group.device))))
    return found


def modalities_of(batch: Batch) -> Players:
    """A player for each modality that is there. batch: B = 1"""
    there = [m for m in batch.modalities if bool(batch.has(m)[0])]
    member = {}
    for i, m in enumerate(there):
        table = torch.zeros(len(there), batch.mask[m].shape[1], dtype=torch.bool, device=batch.present.device)
        table[i] = batch.mask[m][0]
        member[m] = table
    return Players(tuple(there), tuple(there), member)


def showing(batch: Batch, players: Players, shown: Tensor) -> Batch:
    """One row a coalition. batch B = 1, shown (S, P) bool, True = shown -> batch of S rows"""
    shown = shown.to(batch.present.device)
    big = batch.rows([0] * len(shown))
    kept, present = dict(big.kept), big.present.clone()
    for m, member in players.member.items():
        hidden = (~shown).float() @ member.float() > 0  # (S, T)
        mine = member.any(1)  # (P,)
        kept[m] = big.kept[m] & ~hidden
        present[:, batch.modalities.index(m)] &= (shown & mine).any(1)
    return replace(big, kept=kept, present=present)


def asking(model: FusionModel, batch: Batch, target: Target, players: Players) -> Ask:
    """What coalitions of these players are worth to a model."""
    return lambda shown: worth(model, batch, target, players, shown)


def worth(model: FusionModel, batch: Batch, target: Target, players: Players, shown: Tensor) -> Tensor:
    """The target of each coalition, `ROWS` at a time without gradients. shown (S, P) bool -> (S,) float64, CPU

    Equal coalitions are run once; the one that leaves no modality is `target.nothing` where that is given.
    """
    different, back = torch.unique(shown, dim=0, return_inverse=True)

    def run(some: list[Tensor]) -> list[Tensor]:
        rows = showing(batch, players, torch.stack(some))
        left = torch.ones(len(some), dtype=torch.bool) if target.nothing is None else rows.present.any(1).cpu()
        value = torch.full((len(some),), target.nothing or 0.0, dtype=torch.float64)
        if bool(left.any()):
            rows = rows if bool(left.all()) else rows.rows(left.nonzero().squeeze(1))
            value[left] = of_batch(model, rows, target)[0]
        return list(value)

    with torch.inference_mode():
        return torch.stack(halving(run, list(different), ROWS, log.warning))[back]
