"""Every sample of a data set through a checkpoint of streams: one row a sample, and its embeddings by level.

Kept by content (weights, data) below the user's folder, or beside a bundled checkpoint for the bundled data (there
without embeddings, which are made again). N samples, M modalities, C classes, D features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion import shelf
from fusion.data.graphs import SPLITS
from fusion.device import best, exclusive
from fusion.explain.ablation import DOMINANCE
from fusion.explain.subsets import subsets
from fusion.missing import MODALITIES, only
from fusion.signals import Embedding, ModalityWeights
from fusion.streams import unanswered
from fusion.streams.evaluation import weights_by_rate
from fusion.streams.inspection import SMALL, Reader
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

KEPT_AS = "streams 2"  # kind and version of what is kept
SIZE = 64  # samples of one forward pass
FOLLOWED, RATES = 256, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # samples whose weights are followed as data vanish, and how far
Progress = Callable[[int, int], None]
Vectors = dict[str, Tensor]  # {name of an Embedding: (N, D)}
Followed = dict[str, dict[str, list[float]]]  # {signal of weights or gates: {voice: a mean a rate}}


@dataclass(frozen=True, eq=False)
class StreamedSet:
    """All samples that have a modality, in the order of the data set.

    Columns of the frame: id, split, target (class name, or score; None or NaN where unknown), said (class, or part of
    the scale), answer (the score, or the chance of `said`), right (classes: whether said is the target) or error
    (scores: absolute), loss (minus the log of the target's chance, or the absolute error), alone_<m> (the class, or
    score, from modality m alone), shapley_<m> (its worth for `answer`, exact, the prior from nothing), badge,
    conflict (0..1: how far modalities alone disagree), opposed (whether they answer differently), has_<m>, and
    weight_<signal>_<m> for each signal of weights. conflict_shuffled: with all modalities but the first those of the
    sample that stands `exchanged` rows further on.
    """

    data: str
    checkpoint: str
    modalities: tuple[str, ...]
    classes: tuple[str, ...]
    scale: tuple[float, float]  # lowest and highest score
    levels: Mapping[str, str]  # {name of an embedding: the modality it is of, "a+b", or "fused"}
    followed: Mapping[str, Followed]  # {what vanishes: mean weights and gates at each of RATES}
    frame: pd.DataFrame
    _vectors: Callable[[], Vectors] = field(repr=False)

    @property
    def answers(self) -> bool:
        """Whether anything was answered. Without labels to learn from, the frame has id, split, has_<m>, weight_* and
        cosine alone: the mean cosine of a sample's views in the shared space, NaN where it has fewer than two."""
        return "answer" in self.frame

    @property
    def middle(self) -> float:
        """The middle of the scale: scores on its two sides say opposite things."""
        return sum(self.scale) / 2

    def vectors(self, name: str) -> np.ndarray:
        """One embedding of every row of the frame. -> (N, D) float32. Raises FusionError for another name."""
        if name not in self.levels:
            raise FusionError(f'There is no embedding "{name[:40]}"; there are {", ".join(self.levels)}.')
        return self._loaded[name].float().numpy()

    @cached_property
    def _loaded(self) -> Vectors:
        return self._vectors()


def stored(checkpoint: Checkpoint, dataset: DataSet) -> StreamedSet | None:
    """What was computed before for this checkpoint and data, None when it wasn't (or was for other content)."""
    for folder, meta, frame in shelf.found(KEPT_AS, checkpoint, dataset):
        try:
            modalities, classes = tuple(meta["modalities"]), tuple(meta["classes"])
            low, high = map(float, meta["scale"])
            levels = {str(k): str(v) for k, v in meta["levels"].items()}
            followed = dict(meta["followed"])
        except (KeyError, TypeError, ValueError, AttributeError):  # changed by hand: it is made again
            continue
        read = _reader(folder, checkpoint, dataset, set(levels))
        return StreamedSet(
            dataset.key, checkpoint.name, modalities, classes, (low, high), levels, followed, frame, read
        )
    return None


def whole(reader: Reader, progress: Progress | None = None, *, bundled: bool = False) -> StreamedSet:
    """Every sample through a checkpoint, and keep what came out; what was kept before is returned at once."""
    dataset, checkpoint = reader.dataset, reader.checkpoint
    before = stored(checkpoint, dataset)
    if before is not None and not bundled:
        return before
    rows = torch.from_numpy(np.flatnonzero(reader.streams.present.any(1)))
    if not len(rows):
        raise FusionError(f'No sample of "{dataset.name}" has {" or ".join(reader.names)}; choose another data set.')
    said, vectors, levels, weights = _run(reader, rows, progress)
    if said:
        frame = _frame(reader, rows.numpy(), said, weights)
    else:
        frame = unanswered.frame(reader, rows.numpy(), vectors, levels, weights)
    followed = _followed(reader, rows)
    classes = reader.model.classes
    meta = {
        "modalities": list(reader.names), "classes": list(classes), "scale": list(reader.span), "levels": levels,
        "followed": followed,
    }  # fmt: skip
    shelf.put(KEPT_AS, checkpoint, dataset, frame, meta, vectors, bundled=bundled)
    return StreamedSet(
        dataset.key, checkpoint.name, reader.names, classes, reader.span, levels, followed, frame, lambda: vectors
    )


def _followed(reader: Reader, rows: Tensor) -> dict[str, Followed]:
    """Weights and gates of some samples to test (of any where none is) as modalities vanish, all or one of them."""
    split = reader.streams.split[rows.numpy()]
    held = rows[torch.from_numpy(split == SPLITS.index("test"))]
    some = held if len(held) else rows
    if len(some) > FOLLOWED:
        chosen = np.random.default_rng(0).choice(len(some), FOLLOWED, replace=False)
        some = some[torch.from_numpy(np.sort(chosen))]
    with exclusive(reader.checkpoint.digest):
        found = {
            what: weights_by_rate(reader.model, reader.streams, some, what, RATES)
            for what in (MODALITIES, *reader.names)
        }
    return {what: one for what, one in found.items() if one}


def _run(
    reader: Reader, rows: Tensor, progress: Progress | None
) -> tuple[dict[tuple[str, ...], np.ndarray], Vectors, dict[str, str], dict[str, np.ndarray]]:
    """Answers under every subset (NaN where a sample has none of it), embeddings, their levels, weights."""
    names, device = reader.names, best()[0]
    found = subsets(names) if reader.model.task is not Task.REPRESENTATION else ()
    said: dict[tuple[str, ...], list[np.ndarray]] = {one: [] for one in found}
    vectors: dict[str, list[Tensor]] = {}
    weights: dict[str, list[np.ndarray]] = {}
    levels: dict[str, str] = {}
    done = 0
    with torch.inference_mode():
        for part in rows.split(SIZE):
            batch = reader.streams.batch(part, named=True)
            with exclusive(reader.checkpoint.digest):
                output = reader.model(batch.to(device))
                for one in found:
                    some, at = only(batch, one)
                    value = np.full((len(part), *output.prediction.shape[1:]), np.nan, np.float32)
                    if len(at):
                        value[at.numpy()] = reader.numbers(reader.model(some.to(device), trace=False).prediction)
                    said[one].append(value)
            for signal in output.trace.of(Embedding):
                vectors.setdefault(signal.name, []).append(signal.value.half().cpu())
                levels[signal.name] = signal.modality
            if "fused" not in levels.values() or "fused" in vectors:  # what the prediction is read from
                vectors.setdefault("fused", []).append(output.fused.half().cpu())
                levels["fused"] = "fused"
            for signal in output.trace.of(ModalityWeights):
                for column, m in enumerate(signal.modalities):
                    weights.setdefault(f"{signal.name}_{m}", []).append(signal.value[:, column].float().cpu().numpy())
            done += len(part)
            if progress is not None:
                progress(done, len(rows))
    joined = {one: np.concatenate(parts) for one, parts in said.items()}
    tables = {name: torch.cat(parts) for name, parts in vectors.items()}
    return joined, tables, levels, {name: np.concatenate(parts) for name, parts in weights.items()}


def _frame(
    reader: Reader, rows: np.ndarray, said: Mapping[tuple[str, ...], np.ndarray], weights: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    import pandas as pd

    streams, classes, names = reader.streams, np.array(reader.model.classes, dtype=object), reader.names
    whole = said[tuple(names)]
    target = streams.target[torch.from_numpy(rows)].numpy()
    columns: dict[str, object] = {
        "id": [streams.ids[row] for row in rows],
        "split": [SPLITS[s] if s < len(SPLITS) else "" for s in streams.split[rows]],
    }
    if len(classes):
        top = whole.argmax(1)
        known = target >= 0
        own = np.where(known, whole[np.arange(len(rows)), np.maximum(target, 0)], np.nan)
        right = pd.array(top == target, dtype="boolean")
        right[~known] = pd.NA
        columns |= {
            "target": _named(classes, np.where(known, target, -1)), "said": classes[top], "answer": whole.max(1),
            "right": right, "loss": -np.log(own.clip(1e-7)),
        }  # fmt: skip
    else:
        columns |= {
            "target": target, "said": [reader.answer(value).said for value in whole], "answer": whole,
            "error": np.abs(whole - target), "loss": np.abs(whole - target),
        }  # fmt: skip
    alone = {m: said[(m,)] for m in names}
    for m in names:
        there = streams.present[rows, streams.names.index(m)]
        columns[f"has_{m}"] = there
        if len(classes):
            top = np.nan_to_num(alone[m], nan=-1).argmax(1)
            columns[f"alone_{m}"] = _named(classes, np.where(there, top, -1))
        else:
            columns[f"alone_{m}"] = alone[m]
    worth, combined = _worth(reader, said, streams.present[rows])
    columns |= {f"shapley_{m}": worth[:, i] for i, m in enumerate(names)}
    columns |= {"badge": combined, "conflict": _conflict(reader, alone), "opposed": _opposed(reader, alone)}
    partner = exchanged(count := len(rows))
    mixed = {m: value if m == names[0] else value[partner] for m, value in alone.items()}
    columns |= {"conflict_shuffled": _conflict(reader, mixed), "exchanged": partner - np.arange(count)}
    columns |= {f"weight_{name}": value for name, value in weights.items()}
    return pd.DataFrame(columns)


def exchanged(count: int) -> np.ndarray:
    """For each sample another one, seeded; itself when it is the only one. -> (N,) int"""
    ring = np.random.default_rng(0).permutation(count)
    partner = np.empty(count, np.int64)
    partner[ring] = np.roll(ring, 1)
    return partner


def _named(classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Names of classes, None for -1. (N,) int -> (N,) of object"""
    return np.array([*classes, None], dtype=object)[numbers]


def _worth(
    reader: Reader, said: Mapping[tuple[str, ...], np.ndarray], present: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Exact Shapley values (N, M) of the answer, and how modalities combine (N,).

    An absent modality changes nothing in any subset, so its value is 0 and those of the others are what they would be
    without it in the game.
    """
    names, whole = reader.names, said[tuple(reader.names)]
    count, size = len(whole), len(names)
    if whole.ndim == 2:
        top = whole.argmax(1)
        table = {frozenset(one): value[np.arange(count), top] for one, value in said.items()}
        nothing = (
            reader.prior[top] if reader.prior.ndim == 1 and reader.prior.size else np.full(count, 1 / len(whole[0]))
        )
    else:
        table = {frozenset(one): value for one, value in said.items()}
        nothing = np.full(count, float(reader.prior) if reader.prior.ndim == 0 else 0.0)
    table = {one: np.where(np.isnan(value), nothing, value) for one, value in table.items()} | {frozenset(): nothing}
    worth = np.zeros((count, size))
    for column, m in enumerate(names):
        for one in (one for one in table if m not in one):
            share = math.factorial(len(one)) * math.factorial(size - len(one) - 1) / math.factorial(size)
            worth[:, column] += share * (table[one | {m}] - table[one])
    return worth.astype(np.float32), badges(worth, present, reader.range)


def badges(worth: np.ndarray, present: np.ndarray, length: float) -> np.ndarray:
    """`badge` of many samples. worth (N, M), present (N, M) bool -> (N,) of str"""
    part = np.where(present, worth / length, 0.0)
    total = np.abs(part).sum(1)
    lone = present.sum(1) < 2
    conflict = (part.min(1) < -SMALL) & (part.max(1) > SMALL)
    dominance = np.abs(part).max(1) > DOMINANCE * total
    return np.select([lone, conflict, dominance & (total > 0)], ["alone", "conflict", "dominance"], "complement")


def _opposed(reader: Reader, alone: Mapping[str, np.ndarray]) -> np.ndarray:
    """`split_opinion` of many samples. -> (N,) bool"""
    table = np.stack(list(alone.values()), 1)  # (N, M) or (N, M, C)
    gone = np.isnan(table).reshape(*table.shape[:2], -1).any(-1)
    if table.ndim == 3:
        said = np.ma.masked_array(np.nan_to_num(table).argmax(-1), gone)
        return np.asarray((said.max(1) != said.min(1)).filled(False))
    middle, far = sum(reader.span) / 2, reader.range / 10
    scores = np.ma.masked_array(np.nan_to_num(table) - middle, gone)
    return np.asarray(((scores.min(1) < -far) & (scores.max(1) > far)).filled(False))


def _conflict(reader: Reader, alone: Mapping[str, np.ndarray]) -> np.ndarray:
    """How far modalities alone disagree, the largest of all pairs: half the city-block distance of their chances, or
    the distance of their scores in lengths of the scale. -> (N,) in [0, 1], 0 with one modality"""
    count = len(next(iter(alone.values())))
    found = np.zeros(count, np.float32)
    for a, b in itertools.combinations(alone, 2):
        apart = np.abs(alone[a] - alone[b])
        apart = apart.sum(1) / 2 if apart.ndim == 2 else np.minimum(apart / reader.range, 1)
        found = np.fmax(found, np.nan_to_num(apart, nan=0.0))
    return found


def _reader(folder: Path, checkpoint: Checkpoint, dataset: DataSet, names: set[str]) -> Callable[[], Vectors]:
    """Embeddings from a folder, or made again where they aren't there."""

    def read() -> Vectors:
        kept = shelf.vectors(folder)
        if kept is not None and kept.keys() >= names:
            return kept
        reader = Reader.open(checkpoint, dataset)
        rows = torch.from_numpy(np.flatnonzero(reader.streams.present.any(1)))
        return _run(reader, rows, None)[1]

    return read
