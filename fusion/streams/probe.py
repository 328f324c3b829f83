"""What a representation knows of the label: a linear reader of it, fitted on the training samples alone.

A system that learns a shared space answers nothing by itself. With the reader it answers as the others do, so that it
is measured, inspected and robbed of modalities the same way; what is seen is what a straight cut through the space can
tell, not what the system was trained for. B rows, K numbers of a representation, C classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion.models.base import FusionModel
from fusion.streams.evaluation import home_of
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.signals import FusionOutput, Trace
    from fusion.streams.inputs import Streams
    from fusion.types import Batch

STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)  # inverse penalties of a reader of classes
PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)  # of a reader of scores, a training sample
CERTAIN = 1e-12  # a chance below it counts as this: one class that is far off doesn't decide alone
SIZE = 256  # samples of one pass


class Probed(FusionModel):
    """A system of a shared space with a linear reader: its prediction is what the reader says of `fused`."""

    def __init__(self, inner: FusionModel, classes: tuple[str, ...], reader: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.card, self.config, self.modalities = inner.card, inner.config, inner.modalities  # type: ignore[misc]
        self.classes, self.task = classes, Task.CLASSES if classes else Task.REGRESSION
        for name in ("mean", "spread", "weight", "bias"):
            self.register_buffer(name, reader[name].float(), persistent=False)
        self.mean: Tensor
        self.spread: Tensor
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """The same output with another prediction: (B, C) logits or (B,) scores."""
        out = self.inner(batch, trace=trace)
        said = ((out.fused.float() - self.mean) / self.spread) @ self.weight + self.bias
        return replace(out, prediction=said if self.classes else said[:, 0])

    def learned(self) -> Trace:
        """That of the system."""
        return self.inner.learned()

    def tensors(self) -> dict[str, Tensor]:
        """The reader, as it is kept."""
        return {name: getattr(self, name).contiguous() for name in ("mean", "spread", "weight", "bias")}


def represented(model: FusionModel, streams: Streams, rows: Tensor) -> Tensor:
    """The representation of some samples. -> (N', K) float32"""
    device = home_of(model)
    with torch.inference_mode():
        parts = [model(streams.batch(part).to(device), trace=False).fused.float().cpu() for part in rows.split(SIZE)]
    return torch.cat(parts).clone()


def probed(model: FusionModel, streams: Streams) -> Probed:
    """Fit the reader on the training samples, its penalty chosen on the valid ones.

    Raises FusionError where the data set has no labels.
    """
    train, valid = streams.rows("train"), streams.rows("valid")
    x, y = represented(model, streams, train), streams.target[train].numpy()
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    tables = [((one - mean) / spread).double().numpy() for one in (x, represented(model, streams, valid))]
    fit = _classes if streams.classes else _score
    weight, bias = fit(tables[0], y, tables[1], streams.target[valid].numpy(), len(streams.classes))
    reader = {"mean": mean, "spread": spread, "weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)}
    return Probed(model, streams.classes, reader).eval()


def _classes(
    x: np.ndarray, y: np.ndarray, held: np.ndarray, true: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression, chosen by the likelihood of held-out labels, so that its chances mean something;
    a class without samples is never said. (N, K), (N,) -> (K, C), (C,)"""
    from sklearn.linear_model import LogisticRegression

    known = np.unique(y)
    if len(known) < 2:
        raise FusionError("All training samples have one class, so nothing can tell classes apart; label others too.")
    place = np.searchsorted(known, true).clip(max=len(known) - 1)
    seen = known[place] == true
    best, kept = -np.inf, None
    for strength in STRENGTHS:
        made = LogisticRegression(C=strength, max_iter=2000).fit(x, y)
        chances = np.log(made.predict_proba(held)[np.arange(len(held)), place].clip(CERTAIN))
        told = float(chances[seen].mean()) if seen.any() else 0.0
        if told > best:
            best, kept = told, made
    assert kept is not None, "there are strengths to try"
    own, told = kept.coef_, kept.intercept_
    if len(known) == 2:  # one column for two classes
        own, told = np.concatenate((-own / 2, own / 2)), np.concatenate((-told / 2, told / 2))
    weight, bias = np.zeros((x.shape[1], count)), np.full(count, told.min() - 30.0)
    weight[:, known], bias[known] = own.T, told
    return weight, bias


def _score(x: np.ndarray, y: np.ndarray, held: np.ndarray, true: np.ndarray, _: int) -> tuple[np.ndarray, np.ndarray]:
    """Ridge regression. (N, K), (N,) scores -> (K, 1), (1,)"""
    centre, size = y.mean(), len(x)
    best, kept = np.inf, None
    for penalty in PENALTIES:
        weight = np.linalg.solve(x.T @ x + penalty * size / 100 * np.eye(x.shape[1]), x.T @ (y - centre))
        error = float(np.abs(held @ weight + centre - true).mean())
        if error < best:
            best, kept = error, weight
    assert kept is not None, "there are penalties to try"
    return kept[:, None], np.array([centre])
