"""What an inspection of an entity gives: everything that the pages show of it, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusion.inference import Notice
    from fusion.signals import Effects, Trace
    from fusion.types import Sample


@dataclass(frozen=True)
class Candidate:
    """An entity of the other graph that may be the same."""

    id: str
    score: float  # what ranks: CSLS of the joint cosine, or that cosine for an entity without a link
    joint: float  # cosine of the joint vectors
    early: Mapping[str, float]  # {m: cosine of the vectors that are joined}
    late: Mapping[str, float]  # {m: cosine after the transformer}, empty for a model without one
    shares: Mapping[str, float]  # {m: its exact part of `joint`}


@dataclass(frozen=True)
class EntityObservation:
    """One entity under one checkpoint; all tensors on the CPU, B = 1."""

    sample: Sample
    partner: Sample | None  # the same thing in the other graph, None without a link
    other: Sample  # whom the pair signals are about: who was named, else the partner, else the best candidate
    checkpoint: str
    trace: Trace  # signals of (sample, other), then `drop`
    candidates: tuple[Candidate, ...]  # best first, at most ten
    rank: int | None  # of the partner by score among `among` candidates; None without a link
    among: int  # partners of the links of its split; the whole other graph without a link
    rank_overall: int | None  # of the partner by joint cosine among all `among_all` entities of the other graph
    among_all: int
    rank_by: Mapping[str, int]  # {m: rank of the partner by this modality's cosine alone}, among `among`
    votes: Mapping[str, str]  # {m: id of the candidate that this modality alone puts first}; none that isn't read
    weights: Mapping[str, float]
    other_weights: Mapping[str, float]
    band: Mapping[str, tuple[float, float, float]]  # {m: P10, median, P90 of its weight over all entities}
    drop: Effects  # every subset of modalities: rank of the partner and joint cosine, and who would be first
    shapley: Mapping[str, float]  # {m: its worth for 1 / rank by joint cosine, exact}; sums to it, empty without a link
    recomputed: bool  # whether `drop` made the weights anew under each subset
    imputed: Mapping[str, bool]  # {m: filled in or empty}
    other_imputed: Mapping[str, bool]
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]  # encode, model, total
