"""What an inspection of a question (head, relation, ?) gives: everything that the pages show of it, on the CPU.

Two things are told apart: the decision is what the system answers with, a weighted average of branches; "fused" is the
branch of the product of modalities, one of those that are averaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from fusion.inference import Notice
    from fusion.signals import Effects, Trace
    from fusion.types import Sample

Pair = tuple[str, str]  # two modalities


@dataclass(frozen=True)
class LinkCandidate:
    """An entity that may be the answer.

    Places are those among all entities but the known answers other than the tail that is asked about; an equal score
    counts half, rounded up.
    """

    row: int
    id: str
    score: float  # chance by the decision, which ranks
    rank: int  # its place by that
    logits: Mapping[str, float]  # {branch: its score}
    ranks: Mapping[str, int]  # {branch: its place by this branch alone}
    shares: Mapping[str, float]  # {branch: its exact part of `score`}, which sum to 1
    known: str  # split of the triple (head, relation, it): train | valid | test, "" when it stands in none


@dataclass(frozen=True)
class ContextMap:
    """The matrix R by which a relation turns a head into what is looked for, of one branch."""

    singular: Tensor  # (D,) singular values of R, the largest first
    turned: float  # cosine of the head's row with what is looked for: 1 the relation leaves it, 0 nothing of it stays


@dataclass(frozen=True)
class LinkObservation:
    """One question under one checkpoint; all tensors on the CPU, B = 1."""

    head: Sample
    relation: int  # 0..2R-1; r + R is r read backwards
    relation_name: str  # of r, without a word on its direction
    reversed: bool  # asked backwards: (?, r, head)
    tail: Sample | None  # asked about: who was named, else the first answer in the test, then in the valid split
    told: Sample  # whom the signals are about: the tail, or without one the best candidate
    split: str  # of the triple (head, relation, tail); "" when it stands nowhere
    checkpoint: str
    trace: Trace  # the model's signals for (head, relation, told), then `drop`
    candidates: tuple[LinkCandidate, ...]  # the best ten, without other known answers; then the tail if it isn't there
    others: tuple[LinkCandidate, ...]  # other known answers, the best ten: where each would stand; taken out of ranks
    rank: int | None  # of the tail by the decision among `among` entities; None without a tail
    rank_by: Mapping[str, int]  # {branch: rank of the tail by it alone}; empty without a tail
    among: int
    votes: Mapping[str, str]  # {branch: id of whom it alone puts first}; none that isn't read
    decision: Mapping[str, float]  # {branch: its weight}, which sum to 1
    raised: tuple[str, ...]  # branches that put the tail higher than the decision does
    lowered: tuple[str, ...]  # branches that put it lower
    interaction: Mapping[Pair, float]  # share of each pair of modalities in what they do only together, sums to 1
    interaction_logits: Mapping[Pair, float]  # the same with its sign, in logits of the fused branch
    context: Mapping[str, ContextMap]  # {branch: what the relation does to the head}
    drop: Effects  # every subset of modalities, the others the table's mean in all entities: rank and chance of `told`
    drop_head: Effects  # the same where the head alone lacks them, as if its picture or text were not there
    shapley: Mapping[str, float]  # {modality: its worth for 1 / rank of `told` by `drop`}, exact
    imputed: Mapping[str, bool]  # {modality: the head lacks it and is read as the mean}
    told_imputed: Mapping[str, bool]
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]  # encode, model, total
