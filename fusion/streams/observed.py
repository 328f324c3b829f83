"""What an inspection of one sample of streams gives: everything that the pages show of it, on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusion.explain.edits import Edit
    from fusion.inference import Notice
    from fusion.signals import Effects, Trace
    from fusion.types import Sample


@dataclass(frozen=True)
class Answer:
    """What a model answers: a score with its part of the scale, or chances of classes with the likeliest one."""

    said: str  # name of the class, or of the part of the scale (the catalogues' scale.<said>), "" without names
    score: float | None  # None where there are classes
    chances: Mapping[str, float]  # {class: probability}; empty where there is a score
    strength: float  # the score, or the probability of `said`


@dataclass(frozen=True)
class StreamObservation:
    """One sample under one checkpoint, as it is or after edits; all tensors on the CPU, B = 1."""

    sample: Sample
    checkpoint: str
    classes: tuple[str, ...]  # () = a score
    scale: tuple[float, float]  # lowest and highest score
    truth: str | float | None  # where it is known
    edits: tuple[Edit, ...]
    answer: Answer  # after the edits
    trace: Trace  # the same; the model's signals, then `drop`
    before: Answer | None  # as it was, None without edits
    trace_before: Trace | None
    alone: Mapping[str, Answer]  # {modality: the answer from it alone}, of those that are present
    effects: Effects  # all subsets of the present modalities: `score`, or `chance` of the class that is answered
    drop: Effects  # the first of them: everything, and each one removed
    shapley: Mapping[str, float]  # {modality: its worth for that observable}, exact; from nothing: the prior
    shares: Mapping[str, float]  # |Shapley| shares, sum to 1 unless nothing counts
    badge: str  # conflict | dominance | complement | alone (one modality is there)
    split_opinion: bool  # modalities alone answer with different classes, or with scores of different signs
    present: Mapping[str, bool]
    notices: tuple[Notice, ...]
    seconds: Mapping[str, float]  # encode, model, total
