"""What one checkpoint says of every sample of a data set, in the shape in which two of them are compared.

Each kind of data has its answer in words, one number that says how sure or how good it is, figures, and spaces.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fusion.metrics.behaviour import spearman
from fusion.metrics.matching import auc
from fusion.metrics.tagging import f1_of_counts, spans
from fusion.types import FusionError
from fusion.versus.fit import kind_of

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.types import Sample

Array = np.ndarray
Progress = Callable[[int, int], None]
PLACES = (1, 10)  # ranks up to which a partner or an answer counts as found


@dataclass(frozen=True)
class Measure:
    """A figure: which columns it is of, and how it comes out of their rows. of: (N, columns) -> one number"""

    name: str
    columns: tuple[str, ...]
    of: Callable[[Array], float]
    more: bool = True  # more is better


@dataclass(frozen=True, eq=False)
class Side:
    """A whole set under one checkpoint.

    The frame is indexed by id; columns split, said, truth ("" where unknown), group (samples that share something are
    resampled together), and numbers.
    """

    data: str
    checkpoint: str
    frame: pd.DataFrame
    value: str  # the number that is compared first
    ranked: bool  # whether it is a rank, compared by ratios
    numbers: tuple[str, ...]
    measures: tuple[Measure, ...]
    spaces: tuple[str, ...]  # embeddings, the fused one first
    _vectors: Callable[[str], Array] = field(repr=False)  # rows in the order of the frame

    def vectors(self, name: str, ids: pd.Index) -> Array:
        """One embedding of some samples. -> (N, D) float32"""
        return self._vectors(name)[self.frame.index.get_indexer(ids)]


def side_of(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None = None) -> Side:
    """Every sample of a data set under a checkpoint: what was kept, else run now. Raises FusionError."""
    kind = kind_of(checkpoint)
    if dataset.kind != kind:
        raise FusionError(
            f'"{dataset.name}" holds {dataset.kind} and "{checkpoint.name}" reads {kind}; name other data.'
        )
    return {"pairs": _pairs, "streams": _streams, "graph": _graph, "triples": _triples}[kind](
        checkpoint, dataset, progress
    )


def stored(checkpoint: Checkpoint, dataset: DataSet) -> bool:
    """Whether `side_of` finds what it needs, without running anything."""
    from fusion import observations
    from fusion.alignment import whole as aligned
    from fusion.links import whole as linked
    from fusion.streams import whole as streamed

    where = {"pairs": observations, "graph": aligned, "triples": linked, "streams": streamed}
    return where[kind_of(checkpoint)].stored(checkpoint, dataset) is not None


def _pairs(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Side:
    from fusion import observations
    from fusion.inference import Pipeline

    seen = observations.stored(checkpoint, dataset)
    if seen is None:
        seen = observations.observe(Pipeline.open(checkpoint), dataset, progress)
    frame = seen.frame.rename(columns={"entities": "said"})
    gold = [gold_of(sample) for sample in dataset.samples]
    counts = np.array([_counts(said, truth) for said, truth in zip(frame["said"], gold, strict=True)], np.float64)
    where = np.asarray(frame["image"].astype(str))
    frame = frame.assign(
        truth=[truth or "" for truth in gold], group=np.where(where == "", np.asarray(frame["id"]), where),
        right=counts[:, 0], found=counts[:, 1], there=counts[:, 2],
    )  # fmt: skip
    measures = (
        Measure("f1", ("right", "found", "there"), f1_of_counts),
        Measure("auc", ("match", "match_shuffled"), lambda rows: auc(rows[:, 0], rows[:, 1])),
        *(Measure(f"found_{m}_{n}", (f"rank_{m}",), _within(n)) for m in ("text", "image") for n in PLACES),
    )
    numbers = ("match", "mean_gate", "cosine", "rank_text", "rank_image")
    return Side(
        dataset.key, checkpoint.name, _indexed(frame), "match", False, numbers, measures, ("text", "image"),
        seen.vectors.__getitem__,
    )  # fmt: skip


def gold_of(sample: Sample) -> str | None:
    """The names in a sentence as `entities_of_tags` says them, None where no tags are known."""
    from fusion.encoders.words import split_words
    from fusion.types import Text

    part = sample.parts.get("text")
    if not isinstance(sample.target, tuple) or not isinstance(part, Text):
        return None
    words = part.words or tuple(part.raw[start:end] for start, end in split_words(part.raw))
    if len(words) != len(sample.target):
        return None
    return ", ".join(f"{' '.join(words[first:last])} ({kind})" for first, last, kind in spans(sample.target))


def _counts(said: str, truth: str | None) -> tuple[float, float, float]:
    """Names right, said and there; NaN where the truth isn't known."""
    if truth is None:
        return (np.nan, np.nan, np.nan)
    found, gold = (Counter(one.split("), ") if one else ()) for one in (said.rstrip(")"), truth.rstrip(")")))
    return ((found & gold).total(), found.total(), gold.total())


def _streams(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Side:
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import stored as kept
    from fusion.streams.whole import whole

    seen = kept(checkpoint, dataset) or whole(Reader.open(checkpoint, dataset), progress)
    frame = seen.frame.assign(group=np.arange(len(seen.frame)))
    spaces = _levels(seen.levels)
    weights = tuple(name for name in frame.columns if str(name).startswith(("weight_", "shapley_")))
    if not seen.answers:
        frame = frame.assign(said="", truth="")
        measures = (Measure("cosine", ("cosine",), _mean),)
        numbers, value = ("cosine", *weights), "cosine"
    else:
        known = frame["target"].notna()
        truth = frame["target"].map(lambda v: v if isinstance(v, str) else f"{v:.2f}")
        frame = frame.assign(truth=truth.where(known, ""))
        numbers, value = ("answer", "loss", "conflict", *weights), "answer"
        if seen.classes:
            frame = frame.assign(hit=np.where(known, frame["said"] == frame["target"], np.nan))
            measures = (Measure("accuracy", ("hit",), _mean), Measure("loss", ("loss",), _mean, more=False))
        else:
            measures = (
                Measure("mae", ("error",), _mean, more=False),
                Measure("spearman", ("answer", "target"), lambda rows: spearman(rows[:, 0], rows[:, 1]) or 0.0),
            )
    return Side(
        dataset.key, checkpoint.name, _indexed(frame), value, False, numbers, measures, tuple(spaces),
        lambda name: seen.vectors(spaces[name]),
    )  # fmt: skip


def _levels(levels: Mapping[str, str]) -> dict[str, str]:
    """Embeddings under names that two systems share: what they are of, where there is one of that; the fused first.

    {name: level} -> {shared name: name}
    """
    count = Counter(levels.values())
    found = {level if count[level] == 1 else name: name for name, level in levels.items()}
    return dict(sorted(found.items(), key=lambda one: (one[0] != "fused", "+" not in one[0])))


def _graph(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Side:
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import FUSED, whole
    from fusion.alignment.whole import stored as kept

    seen = kept(checkpoint, dataset) or whole(Aligner.open(checkpoint, dataset), progress)
    rows = np.flatnonzero((seen.frame["split"] != "") & (seen.frame["side"] == 0))
    frame = seen.frame.iloc[rows]
    names = dict(zip(seen.frame["id"], seen.frame["name"], strict=True))
    frame = frame.assign(
        said=_called(frame["best"], names), truth=_called(frame["partner"], names), group=np.arange(len(frame))
    )
    more = [f"{kind}_{m}" for kind in ("rank", "weight", "effect") for m in seen.modalities]
    spaces = (FUSED, *seen.modalities)
    return Side(
        dataset.key, checkpoint.name, _indexed(frame), "rank", True, ("rank", "rank_back", "score", *more),
        _ranks("rank"), spaces, lambda name: seen.vectors(name)[rows],
    )  # fmt: skip


def _triples(checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None) -> Side:
    from fusion.links.inspection import Predictor
    from fusion.links.whole import stored as kept

    seen = kept(checkpoint, dataset) or Predictor.open(checkpoint, dataset).whole(progress)
    frame = seen.frame
    asked = np.asarray(frame["direction"]) == "tail"
    head, tail = (np.asarray(frame[name].astype(str)) for name in ("head", "tail"))
    triple = [
        f"{first}|{name}|{last}"
        for first, name, last in zip(
            np.where(asked, head, tail), frame["relation_name"], np.where(asked, tail, head), strict=True
        )
    ]
    names = dict(zip(frame["best"], frame["best_name"], strict=True)) | dict(
        zip(frame["tail"], frame["tail_name"], strict=True)
    )
    frame = frame.assign(said=_called(frame["best"], names), truth=_called(frame["tail"], names), group=triple)
    more = [f"rank_{branch}" for branch in seen.branches]
    return Side(
        dataset.key, checkpoint.name, _indexed(frame), "rank", True, ("rank", "score", *more), _ranks("rank"), (),
        lambda name: np.zeros((0, 0), np.float32),
    )  # fmt: skip


def _called(ids: Iterable[object], names: Mapping[str, str]) -> list[str]:
    """Entities by name, with the id where two share it or have none."""
    count = Counter(names.values())
    return [one if not names.get(one) or count[names[one]] > 1 else names[one] for one in map(str, ids)]


def _ranks(column: str) -> tuple[Measure, ...]:
    hits = (Measure(f"hits{n}", (column,), _within(n)) for n in PLACES)
    return (Measure("mrr", (column,), lambda rows: float((1 / rows).mean())), *hits)


def _within(places: int) -> Callable[[Array], float]:
    return lambda rows: float((rows <= places).mean())


def _mean(rows: Array) -> float:
    return float(rows.mean())


def _indexed(frame: pd.DataFrame) -> pd.DataFrame:
    """By id, the first of each (two questions may be written alike)."""
    return frame[~frame["id"].duplicated()].set_index("id") if frame["id"].duplicated().any() else frame.set_index("id")
