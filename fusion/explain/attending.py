"""Attributions from attention: raw, mean, rollout, and relevance with gradients.

    raw        the last layer of each stack, mean of its heads
    mean       all layers and heads
    rollout    A^ = (A + I) / 2, rows scaled to 1, multiplied through the layers                     (1)
    relevance  A^ = mean_h relu(dy/dA * A);  R_qq += A^ R_qq,  R_qk += A^ R_kk                       (2)

Attention between modalities carries what the keys hold of others; relevance between unequal sequences is scaled per row
before, as the paper does. Read at the step that is asked about, else as the mean of the real query steps.
Sources: Abnar & Zuidema 2020, arXiv:2005.00928; Chefer et al. 2021, arXiv:2103.15679, eq. (5)-(10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.explain.targets import TAG, Target, of_batch
from fusion.signals import Attention, Trace
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.types import Batch

KINDS = ("raw", "mean", "rollout", "relevance")


def attention_signals(trace: Trace, batch: Batch) -> list[Attention]:
    """The attention whose keys are steps of modalities, in forward order."""
    return [signal for signal in trace.of(Attention) if parts_of(signal.keys, signal.value.shape[-1], trace, batch)]


def parts_of(name: str, length: int, trace: Trace, batch: Batch) -> dict[str, int]:
    """Where the steps of each modality begin in a sequence: itself, all of them in a row, or behind a mark of its own.

    Found by what steps are called. -> {m: first position}, empty where the sequence isn't made of steps
    """
    if name in batch.modalities:
        return {name: 0}
    sizes = {m: batch.mask[m].shape[1] for m in batch.modalities}
    if sum(sizes.values()) == length:
        starts = [sum(list(sizes.values())[:i]) for i in range(len(sizes))]
        return dict(zip(sizes, starts, strict=True))
    labels = trace.steps[name][0].labels if name in trace.steps else ()
    for m in sorted(batch.modalities, key=lambda m: name.partition("+")[0] != m):  # two pictures have equal places
        own = batch.steps[m][0].labels if m in batch.steps else ()
        for first in range(len(labels) - len(own) + 1):
            if own and labels[first : first + len(own)] == own:
                return {m: first}
    return {}


def attributions(model: FusionModel, batch: Batch, target: Target, kind: str) -> tuple[dict[str, Tensor], int]:
    """Shares of each modality's steps, from 0 up, without a direction. batch B = 1 -> {m: (T,)} CPU, passes

    Raises FusionError where a model attends to no steps, or relevance finds no gradient through any attention.
    """
    needs = kind == "relevance"
    with torch.enable_grad() if needs else torch.inference_mode(), torch.backends.cudnn.flags(enabled=not needs):
        source = _tracked(batch) if needs else batch
        value, output = of_batch(model, source, target, trace=True)
        signals = attention_signals(output.trace, batch)
        if not signals:
            raise FusionError(
                f"{model.card.name} attends to no words, regions or steps, so attention can't explain it; choose "
                "occlusion or integrated gradients."
            )
        slopes: list[Tensor | None] = [None] * len(signals)
        if needs:
            reached = [s for s in signals if s.value.requires_grad]
            found = torch.autograd.grad(value.sum(), [s.value for s in reached], allow_unused=True) if reached else ()
            both = [(s, g) for s, g in zip(reached, found, strict=True) if g is not None]
            if not both:
                raise FusionError(
                    f"The attention of {model.card.name} has no derivative here; choose gradient x input or occlusion."
                )
            signals, slopes = [s for s, _ in both], list[Tensor | None](g for _, g in both)
    step = target.step if target.kind == TAG else None
    if kind in ("raw", "mean"):
        return _plain(signals, output.trace, batch, kind, step), 1
    return _carried(signals, slopes, output.trace, batch, step), 2 if needs else 1


def _tracked(batch: Batch) -> Batch:
    """The same batch, its features leaves of a graph: without one, nothing has a derivative."""
    from dataclasses import replace

    return replace(batch, features={m: x.clone().requires_grad_() for m, x in batch.features.items()})


class Tally:
    """Shares by step, added up over attention."""

    def __init__(self, trace: Trace, batch: Batch) -> None:
        self.trace, self.batch = trace, batch
        self.found: dict[str, Tensor] = {}

    def add(self, keys: str, weight: Tensor) -> bool:
        """weight (K,) of a sequence of that name; False where it isn't made of steps of a modality."""
        parts = parts_of(keys, len(weight), self.trace, self.batch)
        for m, first in parts.items():
            count = self.batch.mask[m].shape[1]
            part = weight[first : first + count].cpu()
            total = self.found.setdefault(m, torch.zeros(count, dtype=torch.float64))
            total[: len(part)] += part
        return bool(parts)


def _plain(signals: list[Attention], trace: Trace, batch: Batch, kind: str, step: int | None) -> dict[str, Tensor]:
    tally = Tally(trace, batch)
    for signal in signals:
        if kind == "mean" or signal.layer == signal.layers - 1:
            tally.add(signal.keys, _read(signal.value[0].double().mean(0), signal, step))
    return tally.found


def _read(table: Tensor, signal: Attention, step: int | None) -> Tensor:
    """The row of a step where queries are what is asked about, else the mean of real rows. (Q, K) -> (K,)"""
    if step is not None and signal.queries == "text" and step < len(table):
        return table[step]
    real = signal.query_mask[0].to(table)
    return (table * real[:, None]).sum(0) / real.sum().clamp(min=1)


def _carried(
    signals: list[Attention], slopes: list[Tensor | None], trace: Trace, batch: Batch, step: int | None
) -> dict[str, Tensor]:  # fmt: skip
    """Eq. (1) without gradients, eq. (2) with them, through all attention in forward order."""
    size = {s.keys: s.value.shape[-1] for s in signals} | {s.queries: s.value.shape[-2] for s in signals}
    carried: dict[tuple[str, str], Tensor] = {}
    for name, count in size.items():
        carried[name, name] = torch.eye(count, dtype=torch.float64)
    for signal, slope in zip(signals, slopes, strict=True):
        weight = signal.value[0].detach().double().cpu()  # (H, Q, K)
        q, k = signal.queries, signal.keys
        a = (weight if slope is None else (slope[0].double().cpu() * weight).relu()).mean(0)
        sources = [other for (row, other) in carried if row == k]
        if slope is None and q == k:
            a = (a + torch.eye(len(a), dtype=torch.float64)) / 2
            a = a / a.sum(1, keepdim=True).clamp(min=1e-30)
            new = {o: a @ carried[k, o] for o in sources}
        elif slope is None:
            new = {o: (carried.get((q, o), 0) + a @ carried[k, o]) / 2 for o in sources}
        elif q == k:
            new = {o: carried[q, o] + a @ carried[k, o] for o in sources}
        else:
            own = _scaled(carried[q, q])
            new = {o: carried.get((q, o), 0) + own.T @ a @ _scaled(carried[k, o]) for o in sources}
        carried |= {(q, o): value for o, value in new.items()}
    tally, readers = Tally(trace, batch), _readers(signals)
    for signal in signals:
        if signal.queries in readers:  # each reader once
            readers.discard(signal.queries)
            for (row, source), table in carried.items():
                if row == signal.queries:
                    value = table - torch.eye(len(table), dtype=torch.float64) if row == source else table
                    tally.add(source, _read(value.clamp(min=0), signal, step))
    return {m: value for m, value in tally.found.items() if bool(value.any())}  # what a step adds to itself is not told


def _readers(signals: list[Attention]) -> set[str]:
    """Sequences that ask and that nobody asks: where the answer is read. All that ask, where none is last."""
    asking = {s.queries for s in signals}
    asked = {s.keys for s in signals if s.keys != s.queries}
    return (asking - asked) or asking


def _scaled(relevance: Tensor) -> Tensor:
    """Rows without the identity, scaled to sum to one, and the identity again (eq. (8)-(9)); others only scaled."""
    if relevance.shape[0] == relevance.shape[1]:
        eye = torch.eye(len(relevance), dtype=relevance.dtype)
        rest = (relevance - eye).clamp(min=0)
        return rest / rest.sum(1, keepdim=True).clamp(min=1e-30) + eye
    return relevance / relevance.sum(1, keepdim=True).clamp(min=1e-30)
