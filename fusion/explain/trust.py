"""Which signals of a model deserve trust: does a weight, a gate or attention follow what removing its modality does?

    effect_m(i) = |f(i) - f(i without m)|                                     (1)
    rho = Spearman of signal_m(i) and effect_m(i) over rows i                  (2)

f is the chance of the class that is answered with everything there, the score, or, of tags, the mean chance of the tags
over the words. Removed means the model's own mark of an absent modality. Rows that lack the modality, or have nothing
else, are left out. Beside (2) stand two more numbers: the rank correlation of the signal with that of the same network
with shuffled weights (high: the picture shows the input, not what was learned), and with those of other checkpoints of
the same model and data (low: another seed tells another story). Sources: Jain & Wallace 2019, arXiv:1902.10186; Adebayo
et al. 2018, arXiv:1810.03292. N rows, T steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion.device import exclusive
from fusion.explain.curves import randomised
from fusion.explain.weighing import Key, mean_over, spoken, weighing
from fusion.metrics.behaviour import spearman
from fusion.metrics.intervals import bootstrap, spearman_interval
from fusion.signals import Marginals
from fusion.types import FusionError, Task
from fusion.words import t

if TYPE_CHECKING:
    from fusion.metrics.intervals import Interval
    from fusion.models.base import FusionModel
    from fusion.signals import FusionOutput
    from fusion.types import Batch

ROWS = 64  # of one forward pass
CHECKED, SEEDS = 500, 3  # rows that are compared with shuffled weights and other checkpoints; shufflings
LEAST = 20  # rows below which nothing is told
FOLLOWS = 0.2  # rank correlation from which a signal follows the effect
WIDE = 0.4  # an interval of an unrelated signal stays inside plus or minus this
LEARNED = 0.5  # rank correlation with shuffled weights from which a signal shows the input
STABLE = 0.5  # rank correlation with other seeds from which a signal is stable
Progress = Callable[[int], None]  # rows that went through since the last call


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of a data set at one model. `cut` makes a batch of some row numbers, on the model's device."""

    model: FusionModel
    cut: Callable[[Tensor], Batch]
    rows: Tensor  # (N,) int
    groups: np.ndarray  # (N,) str: rows that share a picture are drawn together
    lock: str  # of device.exclusive
    prior: Mapping[str, float] = field(default_factory=dict)  # {class, or "" of a score: target from nothing}
    middle: float = 0.0  # of the scale of scores

    def some(self, count: int, seed: int = 0) -> Source:
        """At most so many of the rows, drawn at random, in their order."""
        if len(self.rows) <= count:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self.rows), count, replace=False))
        return replace(self, rows=self.rows[torch.from_numpy(chosen)], groups=self.groups[chosen])


@dataclass(frozen=True)
class Row:
    """What one signal says of one modality, and how far that can be believed. None: can't be told."""

    signal: str
    modality: str
    kind: str  # gate | weight | score | match | norm | mass; steps: attention over the steps of the modality
    n: int  # rows that it is measured on
    rho: float | None  # (2); of steps, the mean over rows of the rank correlation with occlusion
    low: float | None  # 95 %, by bootstrap
    high: float | None
    verdict: str  # follows | unrelated | opposite | unknown
    why: str = ""  # of unknown: constant | few | wide
    shuffled: float | None = None  # size of the rank correlation with shuffled weights, mean over shufflings
    stable: float | None = None  # mean rank correlation with other checkpoints
    better: float | None = None  # of steps: share of rows whose deletion area beats random orders

    @property
    def trusted(self) -> bool:
        """Follows the effect, and is neither given by the input alone nor by the seed, as far as that is known."""
        learned = self.shuffled is None or self.shuffled < LEARNED
        steady = self.stable is None or self.stable >= STABLE
        return self.verdict == "follows" and learned and steady


@dataclass(frozen=True, eq=False)
class Seen:
    """Signals and effects of N rows, NaN where a modality isn't there."""

    values: dict[Key, np.ndarray]  # (N,)
    effect: dict[str, np.ndarray]  # {m: (N,)}


def verdict(found: Interval | None, n: int) -> tuple[str, str]:
    """The word of a rank correlation, and why there is none.

    follows: at least FOLLOWS, the interval above 0; opposite: at most -FOLLOWS, the interval below 0; unrelated: less
    than FOLLOWS in size, the interval within plus or minus WIDE; unknown: fewer than LEAST rows, a signal or an effect
    that is constant, or an interval that leaves it open.
    """
    if n < LEAST:
        return "unknown", "few"
    if found is None:
        return "unknown", "constant"
    if found.value >= FOLLOWS and found.low > 0:
        return "follows", ""
    if found.value <= -FOLLOWS and found.high < 0:
        return "opposite", ""
    inside = abs(found.value) < FOLLOWS and found.low > -WIDE and found.high < WIDE
    return ("unrelated", "") if inside else ("unknown", "wide")


def rules() -> tuple[str, str]:
    """The rules of verdicts and of trust in words, with their numbers."""
    return (
        t("trust.rule", follows=FOLLOWS, wide=WIDE, least=LEAST),
        t("trust.rule.columns", learned=LEARNED, stable=STABLE),
    )


def removable(model: FusionModel, batch: Batch) -> tuple[str, ...]:
    """The modalities without which there is still something to answer about: of tags, all but the tagged one."""
    tagged = {"text"} if model.task is Task.TAGGING else set()
    return tuple(m for m in batch.modalities if m not in tagged)


def answered(model: FusionModel, output: FusionOutput, first: FusionOutput, batch: Batch) -> Tensor:
    """f of each row: how sure the model is of what it said first, or its score. -> (B,) float64, CPU

    Raises FusionError for a model that answers nothing.
    """
    said, top = output.prediction.detach().cpu().double(), first.prediction.cpu()
    if model.task is Task.CLASSES:
        return said.softmax(1).gather(1, top.argmax(1, keepdim=True))[:, 0]
    if model.task in (Task.REGRESSION, Task.MATCHING):
        return said
    marginals = output.trace.first(Marginals)
    if model.task is not Task.TAGGING or marginals is None:
        raise FusionError(
            f"{model.card.name} answers nothing sample by sample, so no effect of removal can be measured; choose a "
            "checkpoint that tags, classifies or scores."
        )
    words = spoken(marginals.steps, marginals.mask, batch).cpu()
    own = marginals.value.detach().cpu().double().gather(-1, top.clamp(min=0)[..., None]).squeeze(-1)
    return mean_over(own, words)


def seen(source: Source, *, effects: bool = True, progress: Progress | None = None) -> Seen:
    """Signals of every row, and what removing each modality does to its answer."""
    model, count = source.model, len(source.rows)
    values: dict[Key, np.ndarray] = {}
    effect: dict[str, np.ndarray] = {}
    at = 0
    with torch.inference_mode(), exclusive(source.lock):
        for part in source.rows.split(ROWS):
            batch = source.cut(part)
            some = slice(at, at + len(part))
            at += len(part)
            first = model(batch, trace=True)
            names = removable(model, batch)
            for key, value in weighing(first.trace, batch, names).items():
                there = batch.has(key[1]).cpu().numpy()
                table = values.setdefault(key, np.full(count, np.nan))
                table[some] = np.where(there, value.numpy(), np.nan)
            if effects:
                own = answered(model, first, first, batch)
                for m in names:
                    less = batch.without(m)
                    able = (batch.has(m) & less.present.any(1)).cpu()
                    table = effect.setdefault(m, np.full(count, np.nan))
                    if bool(able.any()):
                        gone = model(less.rows(able.nonzero()[:, 0]), trace=model.task is Task.TAGGING)
                        index = able.nonzero()[:, 0]
                        short = batch.rows(index)
                        change = (own[able] - answered(model, gone, _rows(first, index), short)).abs()
                        table[some][able.numpy()] = change.numpy()
            if progress is not None:
                progress(len(part))
    return Seen(values, effect)


def _rows(output: FusionOutput, index: Tensor) -> FusionOutput:
    return replace(output, prediction=output.prediction[index.to(output.prediction.device)])


def rows_of(
    source: Source, others: Sequence[Source] = (), *, resamples: int = 500, progress: Progress | None = None
) -> list[Row]:
    """A row a signal that weighs a modality. others: the same rows at other checkpoints of the model."""
    whole = seen(source, progress=progress)
    few = source.some(CHECKED)
    where = {row: at for at, row in enumerate(source.rows.tolist())}
    place = np.asarray([where[row] for row in few.rows.tolist()], np.int64)
    own = {key: value[place] for key, value in whole.values.items()}
    again = [replace(few, model=randomised(source.model, seed)) for seed in range(SEEDS)]
    shuffled = [seen(one, effects=False, progress=progress).values for one in again]
    same = [replace(one, rows=few.rows, groups=few.groups) for one in others]
    told = [seen(one, effects=False, progress=progress).values for one in same]
    found = []
    for key, value in _different(whole.values).items():
        effect = whole.effect[key[1]]
        has = np.isfinite(value) & np.isfinite(effect)
        n = int(has.sum())
        sure = None
        if n >= 3:
            sure = spearman_interval(steady(value[has]), steady(effect[has]), n=resamples, groups=source.groups[has])
        word, why = verdict(sure, n)
        against = [_agreement(own[key], one.get(key)) for one in shuffled]
        beside = [_agreement(own[key], one.get(key)) for one in told]
        found.append(Row(
            *key, n, *((None, None, None) if sure is None or n < LEAST else (sure.value, sure.low, sure.high)), word,
            why, _average([None if one is None else abs(one) for one in against]), _average(beside),
        ))  # fmt: skip
    return found


def _different(values: Mapping[Key, np.ndarray]) -> dict[Key, np.ndarray]:
    """Without attention that a model tells as a weight, too: one row for both."""
    told = {key: value for key, value in values.items() if key[2] != "mass"}
    for key, value in values.items():
        same = (np.allclose(value, one, atol=1e-5, equal_nan=True) for other, one in told.items() if other[1] == key[1])
        if key[2] == "mass" and not any(same):
            told[key] = value
    return told


def steady(values: np.ndarray) -> np.ndarray:
    """The same numbers, all equal where they differ by rounding alone: a constant signal must not be ranked by it."""
    size = float(np.abs(values).max(initial=0.0))
    return values if len(values) and float(np.ptp(values)) > 1e-5 * size else np.zeros_like(values)


def _agreement(one: np.ndarray, other: np.ndarray | None) -> float | None:
    """Rank correlation of a signal at two models over the rows that both tell; None where one is constant."""
    if other is None:
        return None
    has = np.isfinite(one) & np.isfinite(other)
    return spearman(steady(one[has]), steady(other[has]))


def _average(found: Sequence[float | None]) -> float | None:
    known = [one for one in found if one is not None]
    return math.fsum(known) / len(known) if known else None


def of_steps(signal: str, modality: str, rhos: Sequence[float], **more: float | None) -> Row:
    """The row of attention over steps, from a rank correlation a sample."""
    n = len(rhos)
    sure = bootstrap(np.asarray(rhos, np.float64), n=500) if n else None
    word, why = verdict(sure, n if n >= LEAST else 0)
    told = (None, None, None) if sure is None or n < LEAST else (sure.value, sure.low, sure.high)
    return Row(signal, modality, "steps", n, *told, word, why, **more)
