"""The drop test: remove or exchange one input, run the model again, and see what moves.

A weight or a gate alone is no importance; this is the effect that stands beside it. "Removed" means the model's own
mark of an absent modality (`token`), the training mean (`mean`), or zeros (`zero`); "exchanged" means another sample's
image. Shapley values over modalities are exact: 2^M passes, of which the drop test already makes most.
Source: Shapley 1953; Hu et al. 2022 (SHAPE) for modalities.
"""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.signals import Effects, Explanation, FusionOutput, Trace
from fusion.types import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.models.base import FusionModel

OBSERVABLES = ("match", "gate", "confidence")
DOMINANCE = 0.7  # share of the total above which one modality dominates
EPSILON = 0.02  # of the score's range (0 to 1): smaller effects have no sign


@dataclass(frozen=True)
class DropTest:
    """The drop test of one sample and what follows from it."""

    explanation: Explanation
    shapley: Mapping[str, float]  # {modality: value}, summing to score(all) - score(none), in units of the score
    badge: str  # conflict | dominance | complement


def expand(batch: Batch, donor: tuple[Tensor, Tensor] | None) -> tuple[Batch, tuple[str, ...]]:
    """One row as it is and one row a condition, for a single forward pass. batch B = 1.

    donor: regions (R, D) and pooled vector (D,) of another sample's image, or None.
    Conditions: as it is; each modality removed; all removed; the image exchanged for the donor's.
    """
    others = len(batch.modalities)
    names = ["as_is", *(f"without_{m}" for m in batch.modalities), "without_all"]
    big = batch.rows([0] * (2 + others + (donor is not None)))
    present = big.present.clone()
    for column in range(others):
        present[1 + column, column] = False
    present[1 + others] = False
    if donor is None:
        return replace(big, present=present), tuple(names)
    features, pooled = dict(big.features), dict(big.pooled)
    features["image"], pooled["image"] = big.features["image"].clone(), big.pooled["image"].clone()
    features["image"][-1], pooled["image"][-1] = donor
    present[-1, batch.modalities.index("image")] = True
    return replace(big, present=present, features=features, pooled=pooled), (*names, "exchanged_image")


def confidence(marginals: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
    """Mean marginal probability of the given tags over the real steps. (V, T, C), (T,), (T,) -> (V,) in [0, 1]"""
    own = marginals.gather(-1, tags.clamp(min=0)[None, :, None].expand(len(marginals), -1, -1)).squeeze(-1)
    return (own * mask).sum(-1) / mask.sum().clamp(min=1)


def drop_test(
    model: FusionModel, output: FusionOutput, conditions: tuple[str, ...], said: tuple[str, ...], words: Tensor,
    started: float,
) -> DropTest:  # fmt: skip
    """Read the drop test off a forward pass over `expand`'s rows.

    output: V rows, the first as it is; said: the prediction of each row in words; words (T,) bool: the steps whose tag
    a person reads (first pieces of words). The score of eq. Shapley is the mean marginal probability of the tags
    predicted with everything there.
    """
    trace = output.trace
    marginals, match, gate = trace["crf_marginals"], trace["match_score"], trace["gate"]
    score = confidence(marginals.value, output.prediction[0], words)  # (V,)
    opened = (gate.value.mean(-1) * words).sum(-1) / words.sum().clamp(min=1)  # (V,)
    image_there = torch.tensor([c != "without_image" and c != "without_all" for c in conditions])
    opened = torch.where(image_there, opened, torch.zeros_like(opened))  # nothing is let in where there is nothing
    shown = [i for i, name in enumerate(conditions) if name != "without_all"]
    value = torch.stack((match.value, opened, score), -1)[shown][None]  # (1, V, O)
    effects = Effects(
        name="drop", unit="probability", value=value, conditions=tuple(conditions[i] for i in shown),
        observables=OBSERVABLES, units=("probability", "weight", "probability"),
        said=(tuple(said[i] for i in shown),), caveat="caveat.drop",
    )  # fmt: skip
    names = [m.name for m in model.modalities]
    by_subset = {frozenset(names): score[0], frozenset(): score[conditions.index("without_all")]}
    for name in names:
        by_subset[frozenset(names) - {name}] = score[conditions.index(f"without_{name}")]
    values = shapley(names, {subset: float(number) for subset, number in by_subset.items()})
    explanation = Explanation(
        method="drop test", target="confidence", trace=Trace((effects,), trace.steps), passes=len(conditions),
        seconds=time.perf_counter() - started,
    )  # fmt: skip
    return DropTest(explanation, values, badge(values))


def shapley(names: list[str], score: Mapping[frozenset[str], float]) -> dict[str, float]:
    """Exact Shapley values from the score of every subset (2^M of them). They sum to score(all) - score(none)."""
    values = dict.fromkeys(names, 0.0)
    total = math.factorial(len(names))
    for name in names:
        rest = [other for other in names if other != name]
        for size in range(len(rest) + 1):
            weight = math.factorial(size) * math.factorial(len(names) - size - 1) / total
            for subset in itertools.combinations(rest, size):
                values[name] += weight * (score[frozenset(subset) | {name}] - score[frozenset(subset)])
    return values


def badge(values: Mapping[str, float]) -> str:
    """How the modalities combine, from their Shapley values.

    conflict: signs differ and the smaller is above EPSILON; dominance: one has more than DOMINANCE of the total;
    complement: neither.
    """
    numbers = list(values.values())
    total = sum(abs(n) for n in numbers)
    if min(numbers) < 0 < max(numbers) and min(abs(n) for n in numbers) > EPSILON:
        return "conflict"
    if total > 0 and max(abs(n) for n in numbers) / total > DOMINANCE:
        return "dominance"
    return "complement"
