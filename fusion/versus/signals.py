"""Two traces of one sample, signal by signal: what stands in both is taken from each other, the rest is named.

A signed difference is B - A, cell by cell, of signals of one name, kind, shape and labels. Vectors of a space are
compared only under the same weights: the axes of two trainings mean nothing to each other. B = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.signals import (
    Attention,
    Canonical,
    CrossGeneration,
    EdgeWeights,
    Effects,
    Embedding,
    Gate,
    Marginals,
    ModalityScores,
    ModalityWeights,
    Norms,
    Opinions,
    Parts,
    Posterior,
    Reconstruction,
    Transitions,
)

if TYPE_CHECKING:
    from torch import Tensor

    from fusion.signals import Signal, Trace

Array = np.ndarray
SPACES = (Embedding, Posterior, Canonical, Reconstruction, CrossGeneration)  # numbers that one training gave a meaning
SMALL = 1e-6  # changes below it are rounding


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a difference: what it counts, and the names along it."""

    of: str  # head | modality | voice | class | condition | observable | neighbour | dimension, or a modality of steps
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Difference:
    """One signal under both checkpoints, without its first axis; masked cells are NaN in all three."""

    name: str
    kind: str  # the signal's type, e.g. "Attention"
    axes: tuple[Axis, ...]
    a: Array
    b: Array
    change: Array  # B - A
    where: tuple[int, ...]  # the cell that changed most
    road: tuple[str, str, int] = ("", "", 0)  # of attention: who looks at whom, in which layer

    @property
    def mean(self) -> float:
        """Mean size of the change over real cells."""
        real = np.abs(self.change[np.isfinite(self.change)])
        return float(real.mean()) if real.size else 0.0

    @property
    def most(self) -> float:
        """The largest change, with its sign."""
        return float(self.change[self.where]) if self.change.size else 0.0

    @property
    def same(self) -> bool:
        """Whether nothing differs but rounding."""
        return not self.change.size or abs(self.most) < SMALL

    def place(self) -> tuple[str, ...]:
        """The names of the cell that changed most."""
        return tuple(axis.names[i] for axis, i in zip(self.axes, self.where, strict=True))


@dataclass(frozen=True)
class Lone:
    """A signal that can't be compared, and why: a or b (only there), shape, labels, kind, space, answer."""

    name: str
    why: str
    told: tuple[str, str] = ("", "")  # shapes or kinds of both


def differences(a: Trace, b: Trace, *, same_weights: bool = False) -> tuple[tuple[Difference, ...], tuple[Lone, ...]]:
    """Every signal of either trace, in A's order. -> those that can be compared, and those that can't"""
    compared, apart = [], []
    for first in a:
        if first.name not in b:
            apart.append(Lone(first.name, "a"))
            continue
        second = b[first.name]
        problem = _apart(first, second, same_weights)
        if problem is not None:
            apart.append(problem)
        else:
            compared.append(_difference(first, second, a))
    apart += [Lone(signal.name, "b") for signal in b if signal.name not in a]
    return tuple(compared), tuple(apart)


def _apart(first: Signal, second: Signal, same_weights: bool) -> Lone | None:
    if type(first) is not type(second):
        return Lone(first.name, "kind", (type(first).__name__, type(second).__name__))
    if first.value.shape != second.value.shape:
        return Lone(first.name, "shape", (_shape(first.value), _shape(second.value)))
    if isinstance(first, SPACES) and not same_weights:
        return Lone(first.name, "space")
    return None if _labels(first) == _labels(second) else Lone(first.name, "labels")


def _shape(value: Tensor) -> str:
    return " × ".join(map(str, value.shape[1:])) or "1"


def _labels(signal: Signal) -> tuple[object, ...]:
    """Everything but numbers that says what its cells are."""
    names = ("modality", "queries", "keys", "layer", "modalities", "steps", "classes", "voices", "conditions",
             "observables", "sources", "subsets")  # fmt: skip
    more = [tuple(signal.neighbours[0].tolist())] if isinstance(signal, EdgeWeights) else []
    return (*(getattr(signal, name, None) for name in names), *more)


def _difference(first: Signal, second: Signal, trace: Trace) -> Difference:
    a, b = (_cells(signal) for signal in (first, second))
    gone = np.isnan(a) | np.isnan(b)
    a, b = np.where(gone, np.nan, a), np.where(gone, np.nan, b)
    change = b - a
    size = np.nan_to_num(np.abs(change), nan=-1.0)
    where = tuple(int(i) for i in np.unravel_index(int(size.argmax()), size.shape)) if size.size else ()
    road = (first.queries, first.keys, first.layer) if isinstance(first, Attention) else ("", "", 0)
    return Difference(first.name, type(first).__name__, _axes(first, a.shape, trace), a, b, change, where, road)


def _cells(signal: Signal) -> Array:
    """The numbers of one sample, NaN where nothing real stands. -> the signal's shape without its first axis"""
    value = signal.value if not signal.per_sample else signal.value[0]
    real = _real(signal)
    found = value.detach().float().cpu()
    return (found if real is None else found.masked_fill(~real.expand_as(found), float("nan"))).numpy()


def _real(signal: Signal) -> Tensor | None:
    """Which cells are about something that is there. -> bool, to be spread over the value; None: all"""
    if isinstance(signal, Attention):
        return (signal.query_mask[0][:, None] & signal.key_mask[0][None, :])[None].cpu()
    if isinstance(signal, EdgeWeights):
        return signal.mask[:1].cpu()
    mask = getattr(signal, "mask", None)
    if isinstance(mask, torch.Tensor):
        mask = mask[0].cpu()
        at = 1 if isinstance(signal, Parts) else 0  # voices stand before steps
        return mask.reshape(*(1,) * at, -1, *(1,) * (signal.value.ndim - 2 - at))
    if isinstance(signal, Opinions):
        return signal.present[0].cpu().reshape(-1, *(1,) * (signal.value.ndim - 2))
    return None


def _axes(signal: Signal, shape: Sequence[int], trace: Trace) -> tuple[Axis, ...]:
    """What each axis counts, with names as the trace gives them, else numbers."""
    numbered = lambda of, i: Axis(of, tuple(str(n + 1) for n in range(shape[i])))  # noqa: E731
    steps = lambda m, i: Axis(m, _named(trace.steps, m, shape[i]))  # noqa: E731
    if isinstance(signal, Attention):
        return (numbered("head", 0), steps(signal.queries, 1), steps(signal.keys, 2))
    if isinstance(signal, EdgeWeights):
        return (numbered("head", 0), Axis("neighbour", tuple(str(n) for n in signal.neighbours[0].tolist())))
    if isinstance(signal, (ModalityWeights, ModalityScores)):
        return (Axis("modality", signal.modalities),)
    if isinstance(signal, (Gate, Norms, Marginals)):
        more = Axis("class", signal.classes) if isinstance(signal, Marginals) else None
        last = () if len(shape) == 1 else (more or numbered("dimension", 1),)
        return (steps(signal.steps, 0), *last)
    if isinstance(signal, Parts) and len(shape) == 3:
        return (Axis("voice", signal.voices), steps(signal.steps, 1), Axis("class", signal.classes))
    if isinstance(signal, (Parts, Opinions)):
        return (Axis("voice", signal.voices), *([Axis("class", signal.classes)] if len(shape) > 1 else []))
    if isinstance(signal, Effects):
        return (Axis("condition", signal.conditions), Axis("observable", signal.observables))
    if isinstance(signal, Transitions):
        return (Axis("class", signal.classes), Axis("class", signal.classes))
    return tuple(numbered("dimension", i) for i in range(len(shape)))


def _named(steps: Mapping[str, tuple], modality: str, count: int) -> tuple[str, ...]:  # type: ignore[type-arg]
    rows = steps.get(modality, ())
    labels = list(rows[0].labels[:count]) if rows else []
    return tuple(label or str(i + 1) for i, label in enumerate([*labels, *[""] * (count - len(labels))]))
