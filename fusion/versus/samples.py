"""One sample under two checkpoints: both answers, the numbers beside them, and every signal of both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusion.alignment.observed import EntityObservation
from fusion.inference import Observation
from fusion.links.observed import LinkObservation
from fusion.streams.observed import StreamObservation
from fusion.types import FusionError
from fusion.versus.fit import check, kind_of
from fusion.versus.sides import gold_of
from fusion.versus.signals import Difference, Lone, differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.signals import Trace
    from fusion.types import Sample

Seen = Observation | StreamObservation | EntityObservation | LinkObservation
Name = tuple[str, str]  # what is told, and of which modality, branch or class ("" of none)


@dataclass(frozen=True)
class Number:
    """One number of both; None where one has none."""

    of: Name
    a: float | None
    b: float | None

    @property
    def change(self) -> float | None:
        """B - A."""
        return None if self.a is None or self.b is None else self.b - self.a


@dataclass(frozen=True, eq=False)
class SampleCompared:
    """One sample under two checkpoints."""

    id: str
    sample: Sample
    a: str
    b: str
    said: tuple[str, str]  # the answers in words
    truth: str  # "" where unknown
    numbers: tuple[Number, ...]
    signals: tuple[Difference, ...]
    apart: tuple[Lone, ...]
    traces: tuple[Trace, Trace]

    @property
    def same(self) -> bool:
        """Whether no number and no signal differs but by rounding."""
        return all(one.change is not None and abs(one.change) < 1e-6 for one in self.numbers) and all(
            one.same for one in self.signals
        )


def compare(a: Checkpoint, b: Checkpoint, dataset: DataSet, id: str) -> SampleCompared:
    """A sample of a data set under both; a question by "head|relation|tail", as Match names it.

    Raises FusionError where they can't be compared, and for an unknown id.
    """
    check(a, b)
    return joined(look(a, dataset, id), look(b, dataset, id), id, (a, b), dataset)


def look(checkpoint: Checkpoint, dataset: DataSet, id: str) -> Seen:
    """A sample under one checkpoint. Raises FusionError as its inspection does."""
    kind = kind_of(checkpoint)
    if kind == "streams":
        from fusion.streams.inspection import Reader

        return Reader.open(checkpoint, dataset).inspect(id)
    if kind == "graph":
        from fusion.alignment.inspection import Aligner

        return Aligner.open(checkpoint, dataset).inspect(id)
    if kind == "triples":
        from fusion.links.inspection import Predictor

        return Predictor.open(checkpoint, dataset).inspect(*question(id))
    from fusion.inference import Pipeline

    return Pipeline.open(checkpoint).inspect(dataset.get(id))


def question(id: str) -> tuple[str, str, str]:
    """Head, relation and tail of "head|relation|tail". Raises FusionError for anything else."""
    parts = id.split("|")
    if len(parts) != 3:
        raise FusionError(f'"{id[:60]}" is no question; write it as HEAD|RELATION|TAIL.')
    return parts[0], parts[1], parts[2]


def joined(a: Seen, b: Seen, id: str, of: tuple[Checkpoint, Checkpoint], dataset: DataSet) -> SampleCompared:
    """Two observations of one sample as one. of: the checkpoints

    What a class owes to a modality is compared only where both answer with that class.
    """
    first, second = numbers(a), numbers(b)
    own = isinstance(a, StreamObservation) and bool(a.classes) and said(a) != said(b)
    names = [name for name in dict.fromkeys([*first, *second]) if not (own and name[0] == "worth")]
    told = tuple(Number(name, first.get(name), second.get(name)) for name in names)
    same = of[0].folder == of[1].folder  # one with a switch flipped
    signals, apart = differences(a.trace, b.trace, same_weights=same)
    if own:
        apart += tuple(Lone(one.name, "answer") for one in signals if one.kind == "Effects")
        signals = tuple(one for one in signals if one.kind != "Effects")
    sample = a.head if isinstance(a, LinkObservation) else a.sample
    answers = (_named(said(a), dataset), _named(said(b), dataset))
    return SampleCompared(
        id, sample, of[0].name, of[1].name, answers, _named(truth(a), dataset), told, signals, apart, (a.trace, b.trace)
    )


def cells(found: SampleCompared) -> pd.DataFrame:
    """Every number and every cell of every signal: name, where, a, b, change."""
    import numpy as np
    import pandas as pd

    rows = [(" ".join(filter(None, one.of)), "", one.a, one.b, one.change) for one in found.numbers]
    for one in found.signals:
        for at in map(tuple, np.argwhere(np.isfinite(one.change))):
            where = ", ".join(axis.names[i] for axis, i in zip(one.axes, at, strict=True))
            rows.append((one.name, where, float(one.a[at]), float(one.b[at]), float(one.change[at])))
    return pd.DataFrame(rows, columns=["name", "where", "a", "b", "change"])


def _named(id: str, dataset: DataSet) -> str:
    """What an entity is called; anything else as it is."""
    if dataset.kind not in ("graph", "triples") or id not in dataset.index:
        return id
    from fusion.alignment.inspection import plain_name

    return plain_name(dataset.get(id)) or id


def numbers(seen: Seen) -> dict[Name, float]:
    """What is told of a sample in single numbers."""
    found: dict[Name, float | None] = {}
    if isinstance(seen, Observation):
        found |= {("match", ""): seen.match, ("mean_gate", ""): seen.mean_gate}
        found |= _each("share", seen.shares)
    elif isinstance(seen, StreamObservation):
        found |= {("answer", ""): seen.answer.score} if seen.answer.score is not None else {}
        found |= _each("chance", seen.answer.chances)
        if not seen.classes:
            found |= _each("alone", {m: one.strength for m, one in seen.alone.items()})
        found |= _each("worth", seen.shapley)
    elif isinstance(seen, EntityObservation):
        found |= {("rank", ""): seen.rank} | _each("rank", seen.rank_by) | _each("weight", seen.weights)
        found |= _each("worth", seen.shapley)
    else:
        found |= {("rank", ""): seen.rank} | _each("rank", seen.rank_by) | _each("weight", seen.decision)
        found |= _each("worth", seen.shapley)
    return {name: float(value) for name, value in found.items() if value is not None}


def _each(of: str, values: Mapping[str, float]) -> dict[Name, float | None]:
    return {(of, name): value for name, value in values.items()}


def said(seen: Seen) -> str:
    """The answer in words; names as they are, classes and parts of a scale by their key."""
    if isinstance(seen, Observation):
        return ", ".join(f"{span.text} ({span.type})" for span in seen.spans)
    if isinstance(seen, StreamObservation):
        return seen.answer.said or f"{seen.answer.strength:.2f}"
    return seen.candidates[0].id if seen.candidates else ""


def truth(seen: Seen) -> str:
    """What is right, "" where it isn't known."""
    if isinstance(seen, StreamObservation):
        return "" if seen.truth is None else seen.truth if isinstance(seen.truth, str) else f"{seen.truth:.2f}"
    if isinstance(seen, EntityObservation):
        return seen.partner.id if seen.partner is not None else ""
    if isinstance(seen, LinkObservation):
        return seen.tail.id if seen.tail is not None else ""
    return gold_of(seen.sample) or ""
