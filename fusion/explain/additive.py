"""Do modalities interact, or only add up? The additive projection of a model (EMAP), and what is left of it.

    F_ij = f(modality m of row i, all others of row j)
    a_i = mean_j F_ij - g,  b_i = mean_j F_ji - g,  g = mean_ij F_ij
    additive_i = g + a_i + b_i,  interaction_i = F_ii - additive_i                     (1)

f are the logits of the classes, less their mean, the score, or the logit of the match score. If f is a sum of a part of
m and a part of the rest, the interaction is 0. Interaction share: the figure (share of right answers, mean absolute
error, or how often the own picture scores above another's) of f less that of the additive projection, with a bootstrap
interval over rows. F also tells how many decisions flip when m, or the rest, is another row's.
Source: Hessel & Lee, EMNLP 2020, arXiv:2010.06572. N rows, C classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion.device import exclusive
from fusion.metrics.intervals import paired_bootstrap
from fusion.signals import Match
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.explain.trust import Source
    from fusion.models.base import FusionModel
    from fusion.signals import FusionOutput
    from fusion.types import Batch

MOST, FEWEST = 300, 60  # rows of the table; the least where more would take too long
SECONDS = 120.0  # that the tables of all modalities may take, unless rows are asked for
PASS = 512  # rows of one forward pass
LEAST = 20  # rows below which no interval is told
EDGE = 1e-7  # chance whose logit is still taken
ACCURACY, MAE, ABOVE = "accuracy", "mae", "above"  # figures


@dataclass(frozen=True)
class Split:
    """How far a model is a sum of what one modality says and what the rest says."""

    modality: str
    rest: tuple[str, ...]
    n: int
    seed: int
    figure: str  # accuracy | mae | above; "" where no truth is known
    whole: float | None  # figure of the model
    additive: float | None  # of its additive projection
    gain: float | None  # how far the model is above (of an error: below) it
    low: float | None  # 95 %; None of too few rows
    high: float | None
    share: float  # of the variance of f that is interaction, 0 to 1
    flipped: dict[str, float]  # {the modality, "rest"}: share of decisions that change when it is another row's
    ids: tuple[str, ...]
    own: tuple[float, ...]  # f of the class answered, of the score, or of the match: F_ii
    added: tuple[float, ...]  # additive_i of the same
    same: tuple[bool, ...]  # whether the additive projection decides alike


def crossed(batch: Batch, modality: str, i: Tensor, j: Tensor) -> Batch:
    """Rows with one modality of rows i and all others of rows j. i, j (B',) int"""
    own, rest = batch.rows(i), batch.rows(j)
    mix = lambda a, b: {m: (a if m == modality else b)[m] for m in b}  # noqa: E731
    present = rest.present.clone()
    column = batch.modalities.index(modality)
    present[:, column] = own.present[:, column]
    return replace(
        rest, features=mix(own.features, rest.features), pooled=mix(own.pooled, rest.pooled),
        mask=mix(own.mask, rest.mask), kept=mix(own.kept, rest.kept), present=present,
        steps=mix(own.steps, rest.steps),
    )  # fmt: skip


def value_of(model: FusionModel, output: FusionOutput) -> Tensor:
    """f of each row. -> (B, C) centred logits, or (B,) scores or logits of the match. Raises FusionError."""
    said = output.prediction.detach().cpu().double()
    if model.task is Task.CLASSES:
        return said - said.mean(1, keepdim=True)
    if model.task is Task.REGRESSION:
        return said
    match = output.trace.first(Match)
    if match is None:
        raise FusionError(
            f"{model.card.name} gives neither classes, a score nor a match, so there is nothing to take apart; choose "
            "a checkpoint that does."
        )
    return match.value.detach().cpu().double().clamp(EDGE, 1 - EDGE).logit()


def table(
    model: FusionModel, batch: Batch, modality: str, progress: Callable[[int], None] | None = None
) -> Tensor:  # fmt: skip
    """F of (1): one modality of row i with the rest of row j. batch of N rows -> (N, N) or (N, N, C) float64"""
    count = len(batch)
    trace = model.task not in (Task.CLASSES, Task.REGRESSION)
    parts = []
    with torch.inference_mode():
        for cells in torch.arange(count * count).split(PASS):
            made = crossed(batch, modality, cells // count, cells % count)
            parts.append(value_of(model, model(made, trace=trace)))
            if progress is not None:
                progress(len(cells))
    return torch.cat(parts).unflatten(0, (count, count))


def project(found: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The parts of (1). F (N, N, ...) -> a (N, ...), b (N, ...), g (...)"""
    mean = found.mean((0, 1))
    return found.mean(1) - mean, found.mean(0) - mean, mean


def split(
    source: Source, modality: str, *, rows: int = MOST, seed: int = 0, progress: Callable[[int], None] | None = None
) -> Split:
    """Take a model apart between one modality and the rest, on rows that have all. Raises FusionError for too few."""
    batch = source.cut(chosen(source, rows, seed))
    rest = tuple(m for m in batch.modalities if m != modality)
    if len(batch) < 3 or not rest:
        raise FusionError(
            f"{len(batch)} samples have every modality, and to see whether they interact takes three, with two "
            "modalities; choose a larger data set."
        )
    with exclusive(source.lock):
        found = table(source.model, batch, modality, progress)
    return judged(found, modality, rest, batch, source.middle, seed)


def chosen(source: Source, rows: int = MOST, seed: int = 0) -> Tensor:
    """Rows that have every modality, no picture twice, at most so many, drawn at random. -> (N,) int"""
    first = np.sort(np.unique(source.groups, return_index=True)[1])
    order = np.random.default_rng(seed).permutation(first)
    found: list[int] = []
    for part in source.rows[torch.from_numpy(order)].split(64):
        there = source.cut(part).present.all(1).cpu()
        found += part[there].tolist()
        if len(found) >= rows:
            break
    return torch.tensor(found[:rows], dtype=torch.long)


def judged(found: Tensor, modality: str, rest: Sequence[str], batch: Batch, middle: float, seed: int) -> Split:
    """What the table F says of the rows of its diagonal. found (N, N) or (N, N, C)"""
    count = len(found)
    at = torch.arange(count)
    first, second, mean = project(found)
    whole, added = found[at, at], first + second + mean
    if found.ndim == 3:
        said, sum_said, every = whole.argmax(1), added.argmax(1), found.argmax(2)
        own, projected = whole.gather(1, said[:, None])[:, 0], added.gather(1, said[:, None])[:, 0]
    else:
        cut = middle if batch.target is not None and batch.target.ndim == 1 else 0.0
        said, sum_said, every = whole > cut, added > cut, found > cut
        own, projected = whole, added
    off = count * (count - 1)
    flips = {
        modality: float((every != said[None]).sum() / off), "rest": float((every != said[:, None]).sum() / off),
    }  # fmt: skip
    figure, good, good_added = _figures(found, whole, added, batch)
    sure = None
    if figure and len(good) >= LEAST:
        sure = paired_bootstrap(good, good_added, seed=seed)
    sign = -1.0 if figure == MAE else 1.0
    spread = float((found - mean).square().mean())
    left = found - first[:, None] - second[None] - mean
    number = lambda values: sign * float(np.mean(values)) if figure and len(values) else None  # noqa: E731
    return Split(
        modality, tuple(rest), count, seed, figure, number(good), number(good_added),
        float(np.mean(good) - np.mean(good_added)) if figure and len(good) else None,
        None if sure is None else sure.low, None if sure is None else sure.high,
        float(left.square().mean()) / spread if spread > 0 else 0.0, flips, batch.ids, tuple(own.tolist()),
        tuple(projected.tolist()), tuple((said == sum_said).tolist()),
    )  # fmt: skip


def _figures(found: Tensor, whole: Tensor, added: Tensor, batch: Batch) -> tuple[str, np.ndarray, np.ndarray]:
    """The figure and how good each row is, higher is better, by the model and by its additive projection."""
    none = np.zeros(0)
    target = None if batch.target is None else batch.target.cpu()
    if found.ndim == 3:
        assert target is not None
        has = target >= 0
        hit = lambda y: (y.argmax(1) == target)[has].double().numpy()  # noqa: E731
        return (ACCURACY, hit(whole), hit(added)) if bool(has.any()) else ("", none, none)
    if target is not None and target.ndim == 1:
        has = torch.isfinite(target)
        near = lambda y: -(y - target).abs()[has].double().numpy()  # noqa: E731
        return (MAE, near(whole), near(added)) if bool(has.any()) else ("", none, none)
    sums = found.mean(1)[:, None] + found.mean(0)[None] - found.mean()  # the projection of every cell
    return ABOVE, _above(found), _above(sums)


def _above(cells: Tensor) -> np.ndarray:
    """Share of other rows' parts with which a row's rest scores below its own; ties count half. (N, N) -> (N,)"""
    own = cells.diagonal()[None]
    lower = (cells < own - 1e-9).double() + 0.5 * ((cells - own).abs() <= 1e-9)
    count = len(cells)
    return ((lower.sum(0) - 0.5) / (count - 1)).numpy()  # without itself, which is a tie


def affordable(source: Source, seconds: float) -> int:
    """Rows of which a table can be made in a time, between FEWEST and MOST, from the time of one pass."""
    batch = source.cut(chosen(source, FEWEST))
    if len(batch) < 2:
        return FEWEST
    cells = torch.arange(PASS // 4)
    made = crossed(batch, batch.modalities[-1], cells % len(batch), (cells // 2) % len(batch))
    with torch.inference_mode(), exclusive(source.lock):
        source.model(made, trace=False)  # the first pass is slower
        started = time.perf_counter()
        source.model(made, trace=False)
        taken = (time.perf_counter() - started) / len(cells)
    return int(min(MOST, max(FEWEST, math.sqrt(seconds / max(taken, 1e-9)))))
