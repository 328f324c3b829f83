"""One question under every subset of the modalities, and what modalities do only together.

A modality that is left out is read as the model reads one that an entity lacks: as the mean row, for zero is not
neutral in a product. It is left out of the head alone, or of every entity; its own branch is then not read any more.
The matrix of a relation is made once for all subsets. N entities, S subsets (the empty one last), D width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusion.explain.ablation import shapley
from fusion.explain.subsets import called, members, subsets
from fusion.metrics.ranking import filtered_ranks
from fusion.signals import Effects

if TYPE_CHECKING:
    from fusion.links.observed import Pair
    from fusion.models.base import FusionModel
    from fusion.types import Batch

FUSED = "fused"
CHUNK = 4096  # entities whose factors are in memory at once: 24 MB a modality at D = 256


def single(model: FusionModel, batch: Batch, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows of an entity of which only these features are known, (D_in,); the mean row of the rest. -> {m: (D,)}"""
    outer = {m: features.get(m, torch.zeros_like(table[0]))[None] for m, table in batch.features.items()}
    present = torch.tensor([[m in features for m in batch.modalities]], device=batch.present.device)
    alone = replace(batch, features=outer, present=present, pooled={})
    made: dict[str, Tensor] = model.inputs(alone)  # type: ignore[operator]  # of every model of links
    return {m: table[0] for m, table in made.items()}


def every(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """All subsets with everything first and the empty one last."""
    return (*subsets(modalities), ())


@dataclass(frozen=True, eq=False)
class Removed:
    """What no question changes: the mean row of each modality, and the fused rows under every subset."""

    typical: Mapping[str, Tensor]  # {m: (D,)}
    fused: tuple[Tensor, ...]  # S of (N, D), in the order of `every`

    @classmethod
    def of(cls, model: FusionModel, batch: Batch, tables: Mapping[str, Tensor], modalities: Sequence[str]) -> Removed:
        """batch: of all entities, with their features; tables: of `model.tables`."""
        rows = single(model, batch, {})
        typical = {m: rows[m] for m in modalities}
        pool: Any = model.fuse_entities  # a BilinearPooling
        mean = pool.factors([typical[m][None] for m in modalities])  # (1, rank, M, D)
        found = every(modalities)
        made = [tables[FUSED], *(torch.empty_like(tables[FUSED]) for _ in found[1:])]
        for start in range(0, len(tables[FUSED]), CHUNK):
            some = slice(start, start + CHUNK)
            own = pool.factors([tables[m][some] for m in modalities])
            for at, subset in enumerate(found[1:], 1):
                product = own.new_ones(())
                for i, m in enumerate(modalities):
                    product = product * (own if m in subset else mean)[:, :, i]
                made[at][some] = product.sum(1).relu_()
        return cls(typical, tuple(made))

    def heads(self, model: FusionModel, rows: Mapping[str, Tensor], modalities: Sequence[str]) -> dict[str, Tensor]:
        """Rows of one head under every subset. rows {m: (D,)} -> {branch: (S, D)}"""
        found = every(modalities)
        made = {m: torch.stack([rows[m] if m in subset else self.typical[m] for subset in found]) for m in modalities}
        pool: Any = model.fuse_entities
        return made | {FUSED: pool([made[m] for m in modalities])}


@dataclass(frozen=True, eq=False)
class Scored:
    """Every entity as the answer under every subset."""

    head: Tensor  # (S, K, N) logits by branch where the head alone lacks the others; subset 0 is the question as it is
    fused: Tensor  # (S, N) logits of the fused branch where every entity lacks them
    head_chance: Tensor  # (S, N)
    chance: Tensor  # (S, N) where every entity lacks them


def scored(
    model: FusionModel, tables: Mapping[str, Tensor], removed: Removed, contexts: Mapping[str, Tensor], read: Tensor,
    modalities: Sequence[str],
) -> Scored:  # fmt: skip
    """contexts {branch: (S, D)}: what is looked for under every subset; read (K,) bool: branches that are read."""
    branches = (*modalities, FUSED)
    one: Any = model  # of every model of links: offsets, weights, decide
    shift = contexts[FUSED].new_zeros(len(branches)) if one.offsets is None else one.offsets
    logits = torch.stack([contexts[k] @ tables[k].T + shift[i] for i, k in enumerate(branches)], 1)  # (S, K, N)
    looked_for, last = contexts[FUSED], shift[len(modalities)]
    fused = torch.stack([table @ looked_for[at] + last for at, table in enumerate(removed.fused)])
    inside = torch.cat((members(every(modalities), modalities).bool(), torch.ones(len(fused), 1, dtype=torch.bool)), 1)
    weights = one.weights(inside.to(read.device) & read)  # (S, K), 0 where a branch isn't read
    chance = fused.sigmoid() * weights[:, -1:]
    for i in range(len(modalities)):
        chance += weights[:, i : i + 1] * logits[:1, i].sigmoid()  # a branch that is read has all that it reads
    return Scored(logits, fused, one.decide(logits, read), chance)


def effects(
    chance: Tensor, at: int, leave_out: Tensor, modalities: Sequence[str], name: Callable[[int], str], caveat: str
) -> Effects:
    """Rank and chance of entity `at` under every subset, and who would be first, "" where all are alike.

    chance (S, N); leave_out (J,) int: other known answers, which are ranked nowhere; name: id of an entity by its row.
    """
    count = len(chance)
    rows = torch.arange(count, device=chance.device).repeat_interleave(len(leave_out))
    truth = torch.full((count,), at, device=chance.device)
    ranks = filtered_ranks(chance, truth, rows, leave_out.repeat(count))
    ranked = chance.index_fill(1, leave_out, -torch.inf)
    first = [name(row) if apart else "" for row, apart in zip(ranked.argmax(1).tolist(), _differ(chance), strict=True)]
    return Effects(
        name="subsets", unit="none", value=torch.stack((ranks.float(), chance[:, at]), -1)[None].cpu(),
        conditions=tuple(called(subset, modalities) for subset in every(modalities)),
        observables=("tail_rank", "chance"), units=("rank", "probability"), said=(tuple(first),),
        caveat=caveat,
    )  # fmt: skip


def _differ(chance: Tensor) -> list[bool]:
    """Whether a row holds numbers that differ by more than rounding. (S, N)"""
    low, high = chance.aminmax(dim=1)
    return (high - low > 1e-6 * high).tolist()


def worth(made: Effects, modalities: Sequence[str]) -> dict[str, float]:
    """Shapley value of each modality for 1 / rank. They sum to 1 / rank with everything less 1 / rank with nothing."""
    by_name = dict(zip(made.conditions, (1 / made.value[0, :, 0]).tolist(), strict=True))
    return shapley(list(modalities), {frozenset(s): by_name[called(s, modalities)] for s in every(modalities)})


def together(logits: Tensor, at: int, modalities: Sequence[str]) -> dict[Pair, float]:
    """What two modalities do for entity `at` only together, in logits of the fused branch.

    v(S) = l_at - mean_j l_j, the answer's lead over the average entity where every entity lacks all but S. Of a pair
    a, b the Shapley interaction index: the mean over subsets T of the others, each size of them alike, of
    v(T + a + b) - v(T + a) - v(T + b) + v(T). logits (S, N) -> {(a, b): logits}
    Source: Grabisch and Roubens 1999, doi:10.1007/s001820050125.
    """
    lead = (logits[:, at] - logits.mean(1)).tolist()
    v = dict(zip((frozenset(subset) for subset in every(modalities)), lead, strict=True))
    found: dict[Pair, float] = {}
    for a, b in itertools.combinations(modalities, 2):
        rest = [m for m in modalities if m not in (a, b)]
        sizes = [[frozenset(t) for t in itertools.combinations(rest, size)] for size in range(len(rest) + 1)]
        means = [sum(v[t | {a, b}] - v[t | {a}] - v[t | {b}] + v[t] for t in same) / len(same) for same in sizes]
        found[a, b] = sum(means) / len(means)
    return found


def shares(values: Mapping[Pair, float]) -> dict[Pair, float]:
    """Absolute values that sum to 1, all 0 where nothing is there to be shared."""
    total = sum(abs(value) for value in values.values())
    return {pair: abs(value) / total if total else 0.0 for pair, value in values.items()}
