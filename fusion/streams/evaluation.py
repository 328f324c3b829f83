"""Held-out figures of a system of streams: complete, by subset of modalities, and as more and more is missing.

Scores are (N,), classes (N, C) probabilities. The one figure of a curve is the accuracy, or the mean absolute error; it
is turned round (`one_figure`) where a higher number must be the better one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fusion import missing
from fusion.explain.subsets import called, subsets
from fusion.metrics.intervals import bootstrap
from fusion.metrics.scores import confusion, of_classes, of_scores
from fusion.signals import Gate, ModalityWeights

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.signals import Signal
    from fusion.streams.inputs import Streams
    from fusion.types import Batch

RATES = tuple(round(0.1 * i, 1) for i in range(11))
Change = Callable[["Batch"], "Batch"]


def home_of(model: FusionModel) -> torch.device:
    """Where a model lies; one that was solved has buffers alone."""
    return next(tensor.device for tensor in (*model.parameters(), *model.buffers()))


def answers(
    model: FusionModel, streams: Streams, rows: Tensor, change: Change | None = None, size: int = 64
) -> np.ndarray:
    """What a model answers of some samples, as they are or after `change`. -> (N,) scores or (N, C) probabilities"""
    device = home_of(model)
    said = []
    with torch.inference_mode():
        for part in rows.split(size):
            batch = streams.batch(part)
            batch = change(batch) if change is not None else batch
            out = model(batch.to(device), trace=False).prediction.float()
            said.append((out.softmax(-1) if out.ndim == 2 else out).cpu())
    return torch.cat(said).numpy()


def bound(model: FusionModel, streams: Streams, rows: Tensor, change: Change | None = None, size: int = 64) -> float:
    """Mean evidence bound of some samples at the mean of their posterior, in nats, of a model that makes samples."""
    device, found = home_of(model), []
    with torch.inference_mode():
        for part in rows.split(size):
            batch = streams.batch(part)
            batch = change(batch) if change is not None else batch
            found.append(model(batch.to(device), trace=False).extras["elbo"].float().cpu())
    return float(torch.cat(found).mean())


def figures_of(streams: Streams, rows: Tensor, said: np.ndarray, span: tuple[float, float]) -> dict[str, float]:
    """All figures of some answers. span: lowest and highest score"""
    true = streams.target[rows].numpy()
    if streams.classes:
        return of_classes(said.argmax(1), true, len(streams.classes))
    return of_scores(said, true, span)


def main_figure(streams: Streams) -> str:
    """The name of the one figure of curves and tables."""
    return "accuracy" if streams.classes else "mae"


def one_figure(streams: Streams, rows: Tensor, said: np.ndarray) -> float:
    """Accuracy, or minus the mean absolute error: higher is better."""
    true = streams.target[rows].numpy()
    return float((said.argmax(1) == true).mean()) if streams.classes else -float(np.abs(said - true).mean())


def prior(streams: Streams) -> np.ndarray:
    """The answer from nothing: the median score, or the shares of the classes, of the samples to train on."""
    true = streams.target[streams.rows("train")].numpy()
    if streams.classes:
        return np.bincount(true, minlength=len(streams.classes)) / len(true)
    return np.asarray(np.median(true))


def from_nothing(streams: Streams, rows: Tensor) -> np.ndarray:
    """The prior as the answer to every sample, in the shape of `answers`."""
    one = prior(streams)
    return np.broadcast_to(one, (len(rows), *one.shape))


@dataclass(frozen=True)
class Curve:
    """The main figure as more is hidden; a row of `values` is a seed."""

    what: str  # steps | modalities | a modality
    rates: tuple[float, ...]
    values: np.ndarray  # (S, len(rates)), higher is better

    @property
    def area(self) -> np.ndarray:
        """Mean height of each seed's curve, by trapezoids. -> (S,)"""
        width = np.diff(self.rates)
        return ((self.values[:, 1:] + self.values[:, :-1]) / 2 * width).sum(1) / width.sum()

    def table(self) -> dict[str, Any]:
        """As it is kept in metrics.json."""
        return {
            "what": self.what, "rates": list(self.rates), "area": round(float(self.area.mean()), 4),
            "mean": np.round(self.values.mean(0), 4).tolist(), "low": np.round(self.values.min(0), 4).tolist(),
            "high": np.round(self.values.max(0), 4).tolist(), "seeds": len(self.values),
        }  # fmt: skip


def curve(
    model: FusionModel, streams: Streams, rows: Tensor, what: str, *, seeds: Sequence[int] = (0, 1, 2),
    rates: Sequence[float] = RATES,
) -> Curve:  # fmt: skip
    """The main figure at each rate of missing data; the same draws at every rate of a seed, so a curve is not torn."""
    values = np.zeros((len(seeds), len(rates)))
    values[:, [rate == 0 for rate in rates]] = one_figure(streams, rows, answers(model, streams, rows))
    for i, seed in enumerate(seeds):
        for j, rate in enumerate(rates):
            if rate == 0:
                continue
            generator = torch.Generator().manual_seed(seed)
            change: Change = lambda batch: missing.hide(batch, what, rate, generator)  # noqa: B023, E731
            values[i, j] = one_figure(streams, rows, answers(model, streams, rows, change))
    return Curve(what, tuple(rates), values)


def by_subset(
    model: FusionModel, streams: Streams, rows: Tensor, span: tuple[float, float]
) -> dict[str, dict[str, float]]:
    """Figures with each of the 2^M - 1 subsets of modalities alone, and from nothing; `n` samples have one of them."""
    found = {}
    names = streams.names
    for subset in subsets(names):
        has = torch.from_numpy(streams.present[rows.numpy()][:, [names.index(m) for m in subset]].any(1))
        some = rows[has]
        if not len(some):
            continue
        said = answers(model, streams, some, lambda batch: missing.only(batch, subset)[0])  # noqa: B023
        found[called(subset, names)] = {**figures_of(streams, some, said, span), "n": len(some)}
    found[called((), names)] = {**figures_of(streams, rows, from_nothing(streams, rows), span), "n": len(rows)}
    return found


def figures(
    model: FusionModel, streams: Streams, split: str, span: tuple[float, float], *, seeds: Sequence[int] = (0, 1, 2)
) -> dict[str, Any]:
    """Everything that a card and the Fusion page say of one split."""
    rows = streams.rows(split)
    said = answers(model, streams, rows)
    true = streams.target[rows].numpy()
    right = (said.argmax(1) == true).astype(float) if streams.classes else np.abs(said - true)
    interval = bootstrap(right)
    found: dict[str, Any] = {"n": len(rows), "main": main_figure(streams), **figures_of(streams, rows, said, span)}
    found |= {"low": interval.low, "high": interval.high}
    found["subsets"] = by_subset(model, streams, rows, span)
    found["curves"] = [
        curve(model, streams, rows, what, seeds=seeds).table()
        for what in (missing.MODALITIES, missing.STEPS, *streams.names)
    ]
    if streams.classes:
        found["confusion"] = confusion(said.argmax(1), true, len(streams.classes)).tolist()
    return found


def weights_by_rate(
    model: FusionModel, streams: Streams, rows: Tensor, what: str, rates: Sequence[float] = RATES, seed: int = 0,
) -> dict[str, dict[str, list[float]]]:  # fmt: skip
    """Mean of each weight and of each gate as more is hidden, over the samples that have one.

    -> {signal: {modality or voice: a mean a rate, NaN where no sample has one}}; of a gate, the modality is what it
    lets in, and a sample counts with the mean over its real steps.
    """
    device = home_of(model)
    found: dict[str, dict[str, list[float]]] = {}
    with torch.inference_mode():
        for at, rate in enumerate(rates):
            generator = torch.Generator().manual_seed(seed)
            sums: dict[tuple[str, str], list[float]] = {}
            for part in rows.split(64):
                batch = missing.hide(streams.batch(part, named=True), what, rate, generator)
                for signal in model(batch.to(device)).trace:
                    for voice, values in _means(signal):
                        total = sums.setdefault((signal.name, voice), [0.0, 0.0])
                        total[0] += float(values.double().sum())
                        total[1] += len(values)
            for (name, voice), (total, count) in sums.items():
                table = found.setdefault(name, {}).setdefault(voice, [math.nan] * len(rates))
                table[at] = total / count if count else math.nan
    return found


def _means(signal: Signal) -> Iterator[tuple[str, Tensor]]:
    """What a weight or a gate says of each sample, a number each. -> voice, (B',)"""
    if isinstance(signal, ModalityWeights):
        yield from zip(signal.modalities, signal.value.unbind(1), strict=True)
    elif isinstance(signal, Gate):
        value = signal.value if signal.value.ndim == 2 else signal.value.mean(-1)  # (B, T)
        real = signal.mask.to(value)
        rows = signal.mask.any(1)
        yield signal.modality, ((value * real).sum(1) / real.sum(1).clamp(min=1))[rows]
