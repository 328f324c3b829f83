"""Which fusion signals of a checkpoint deserve trust on a data set, measured once and kept by content.

Measured are the held-out rows (all where there are too few), at most MOST of them drawn at random: each signal beside
the effect of removal (fusion/explain/trust.py), attention over steps beside occlusion (tracking.py), and how far the
modalities interact (additive.py). Other checkpoints of the same system, settings, encoders and data, other seeds that
is, tell how stable the signals are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fusion import checkpoints
from fusion.data import open_data
from fusion.explain import additive, tracking, trust
from fusion.explain.additive import Split
from fusion.explain.trust import Row, Source, rules
from fusion.files import atomic_file, digest, home
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

KEPT_AS = "trust 1"  # kind and version of what is kept
MOST = 2000  # rows that are measured
HELD_OUT, ENOUGH = "test", 50  # rows to test, below which all are taken
BESIDE = 4  # other checkpoints, at most
SEED = 0
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trusted:
    """The table of a checkpoint on a data set."""

    data: str
    checkpoint: str
    n: int  # rows
    split: str  # "test", or "" for rows of all
    seed: int
    beside: tuple[str, ...]  # names of the other checkpoints
    rows: list[Row]
    splits: list[Split]  # one a modality, one in all where there are two
    lacks: str = ""  # why there is no split


def place(checkpoint: Checkpoint, dataset: DataSet, *, bundled: bool = False) -> Path:
    """The file in which the table of this content is kept: beside the checkpoint, or in the user's folder."""
    name = f"{digest(KEPT_AS, checkpoint.digest, dataset.digest)[:24]}.json"
    return (checkpoint.folder if bundled else home()) / "trust" / name


def stored(checkpoint: Checkpoint, dataset: DataSet) -> Trusted | None:
    """What was measured before, None when it wasn't (or can't be read: it is measured again)."""
    paths = [place(checkpoint, dataset, bundled=bundled) for bundled in (False, True)]  # what was measured here first
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        rows = [Row(**one) for one in told.pop("rows")]
        lists = ("rest", "ids", "own", "added", "same")
        splits = [Split(**one | {name: tuple(one[name]) for name in lists}) for one in told.pop("splits")]
        own = {"checkpoint": checkpoint.name, "beside": tuple(told["beside"])}
        return Trusted(**told | own, rows=rows, splits=splits)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured(
    checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None = None, *, again: bool = False,
    rows: int = MOST, steps: int = tracking.SAMPLED, table: int = 0, bundled: bool = False,
) -> Trusted:  # fmt: skip
    """Measure every signal and keep the table; what was kept before is returned at once, unless asked for again.

    rows, steps: rows of the signals, of attention over steps; table: rows of the additive projection, 0 for as many as
    fit the time; bundled: keep it beside the checkpoint. Raises FusionError for a checkpoint that answers nothing, or
    data that don't fit.
    """
    before = None if again else stored(checkpoint, dataset)
    if before is not None:
        return before
    source, split = _source(checkpoint, dataset, rows)
    others = siblings(checkpoint)
    beside = [replace(_source(one, dataset, rows)[0], rows=source.rows, groups=source.groups) for one in others]
    names = trust.removable(source.model, source.cut(source.rows[:1]))
    parts = _parted(source)
    size = table or additive.affordable(source, additive.SECONDS / max(len(parts), 1)) if parts else 0
    few = min(len(source.rows), trust.CHECKED)
    cells = min(size, len(source.rows))
    tell = _Counted(
        progress, len(source.rows) + few * (trust.SEEDS + len(beside)) + 8 * min(steps, len(source.rows))
        + len(parts) * cells * cells // 100,
    )  # fmt: skip
    found = trust.rows_of(source, beside, progress=tell.moved)
    found += tracking.followed(source, names, rows=steps, seed=SEED, progress=lambda done: tell.moved(8 * done))
    splits, lacks = [], ""
    for m in parts:
        try:
            splits.append(additive.split(source, m, rows=size, seed=SEED, progress=lambda done: tell.moved(done / 100)))
        except FusionError as error:
            lacks = str(error)
    tell.done()
    made = Trusted(
        dataset.spec or dataset.key, checkpoint.name, len(source.rows), split, SEED, tuple(one.name for one in others),
        found, splits, lacks,
    )  # fmt: skip
    path = place(checkpoint, dataset, bundled=bundled)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(asdict(made), allow_nan=False) + "\n", encoding="utf-8")
    return made


class _Counted:
    """Progress of several parts in units of about a row through the model."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.now = progress, max(total, 1), 0.0

    def moved(self, done: float) -> None:
        self.now = min(self.now + done, self.total)
        if self.progress is not None:
            self.progress(int(self.now), self.total)

    def done(self) -> None:
        self.moved(self.total)


def _parted(source: Source) -> tuple[str, ...]:
    """The modalities that are split from the rest: one of two, else each."""
    batch = source.cut(source.rows[:1])
    names = trust.removable(source.model, batch)
    return names[:1] if len(batch.modalities) == 2 else names if len(batch.modalities) > 2 else ()


def siblings(checkpoint: Checkpoint) -> list[Checkpoint]:
    """Other checkpoints of the same system, settings, encoders and data; a copy of its weights is none."""
    found = [
        one for one in checkpoints.listed()
        if (one.model, one.data, dict(one.encoders), dict(one.config))
        == (checkpoint.model, checkpoint.data, dict(checkpoint.encoders), dict(checkpoint.config))
        and one.folder != checkpoint.folder and not (one.folder / "encoders").exists()
    ]  # fmt: skip
    different: dict[str, Checkpoint] = {checkpoint.digest: checkpoint}
    for one in found:
        different.setdefault(one.digest, one)
    return list(different.values())[1 : 1 + BESIDE]


def opened(name: str, data: str | None = None) -> tuple[Checkpoint, DataSet]:
    """A checkpoint, by name or folder, with its own data set or another one. Raises FusionError."""
    found = checkpoints.find(name)
    return found, open_data(data or found.data)


def able(checkpoint: Checkpoint, dataset: DataSet) -> bool:
    """Whether its answers to samples can be measured: of pairs and of sequences with labels, not of graphs."""
    from fusion.streams import runs

    return dataset.kind == "pairs" or (dataset.kind == "streams" and runs.answers_of(checkpoint))


def size(dataset: DataSet) -> int:
    """About how many rows are measured of a data set."""
    there = np.ones(len(dataset), dtype=bool)
    return len(_drawn(there, np.array([one.split == HELD_OUT for one in dataset.samples], dtype=bool), MOST)[0])


def _source(checkpoint: Checkpoint, dataset: DataSet, most: int) -> tuple[Source, str]:
    """The rows to measure, and the split that they are of. Raises FusionError."""
    if not able(checkpoint, dataset):
        raise FusionError(
            f'"{checkpoint.name}" answers nothing sample by sample on "{dataset.name}"; signals are held against what '
            "removal does to an answer, so choose a checkpoint that tags, classifies or scores."
        )
    source, split = (_pairs if dataset.kind == "pairs" else _streams)(checkpoint, dataset, most)
    if not len(source.rows):
        raise FusionError(f'No sample of "{dataset.name}" can be read by "{checkpoint.name}"; choose another data set.')
    return source, split


def _drawn(there: np.ndarray, held: np.ndarray, most: int) -> tuple[np.ndarray, str]:
    """Rows to measure, in their order. there, held (N,) bool"""
    split = HELD_OUT if int((there & held).sum()) >= ENOUGH else ""
    rows = np.flatnonzero(there & held if split else there)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(SEED).choice(rows, most, replace=False))
    return rows, split


def _pictures(dataset: DataSet, rows: np.ndarray) -> np.ndarray:
    """What rows share: their picture, else nothing. -> (N,) str"""
    samples = [dataset.samples[row] for row in rows.tolist()]
    paths = [None if (image := one.image()) is None else image.path for one in samples]
    return np.array([str(path or one.id) for path, one in zip(paths, samples, strict=True)], dtype=object).astype(str)


def _streams(checkpoint: Checkpoint, dataset: DataSet, most: int) -> tuple[Source, str]:
    from fusion.device import best
    from fusion.streams.inspection import Reader

    reader = Reader.open(checkpoint, dataset)
    streams, device = reader.streams, best()[0]
    held = np.array([sample.split == HELD_OUT for sample in dataset.samples])
    rows, split = _drawn(np.asarray(streams.present.any(1)), held, most)
    source = Source(
        reader.model, lambda part: streams.batch(part, named=True).to(device), torch.from_numpy(rows),
        _pictures(dataset, rows), checkpoint.digest, reader.prior_odds(), sum(reader.span) / 2,
    )  # fmt: skip
    return source, split


def _pairs(checkpoint: Checkpoint, dataset: DataSet, most: int) -> tuple[Source, str]:
    from fusion.encoders.cache import FeatureCache
    from fusion.features import encode
    from fusion.inference import Pipeline

    pipeline = Pipeline.open(checkpoint)
    there = np.array([bool(one.text().strip()) for one in dataset.samples], dtype=bool)
    held = np.array([one.split == HELD_OUT for one in dataset.samples], dtype=bool)
    rows, split = _drawn(there, held, most)
    samples = [dataset.samples[row] for row in rows.tolist()]
    if not samples:
        raise FusionError(f'"{dataset.name}" has no sample with a text; choose another data set.')
    features = encode(
        samples, pipeline.text, pipeline.image, limit=pipeline.model.config.max_length, pads=pipeline.pads is not None,
        cache=FeatureCache(), skip={},
    )  # fmt: skip

    def cut(part: torch.Tensor) -> Any:
        batch = features.batch(part, pad=pipeline.pads)
        names = tuple(features.names[row] for row in part.tolist())
        return replace(batch, steps={"text": names}).to(pipeline.device)

    order = features.text_mask.sum(1).argsort(stable=True)  # texts of like length together: little padding
    source = Source(pipeline.model, cut, order, _pictures(dataset, rows)[order.numpy()], checkpoint.digest)
    return source, split


__all__ = ["MOST", "Trusted", "able", "measured", "opened", "rules", "siblings", "size", "stored"]
