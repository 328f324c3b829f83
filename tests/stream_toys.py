"""Tiny batches of streams (several sequences a sample, one score or class) for the laws: sizes differ on every axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fusion.types import Batch, Steps
from tests.noise import Pairs, noise

STREAMS: Mapping[str, tuple[int, int]] = {"text": (6, 5), "audio": (9, 3), "vision": (7, 4)}  # (T, D) of each
SIZES: Mapping[str, Any] = {
    "modalities": tuple(STREAMS), "widths": tuple(width for _, width in STREAMS.values()),
    "steps": tuple(steps for steps, _ in STREAMS.values()),
}  # fmt: skip
ANSWER = "audio"  # the modality that carries the planted answer


def batch(config: Any, size: int) -> Batch:
    """Random features with lengths of their own a modality, some steps hidden and one modality absent here and there.

    The first sample has everything; no sample has nothing. Targets are scores in [-3, 3], or classes where the config
    has some.
    """
    names, widths, longest = config.modalities, config.widths, config.steps
    mask = {m: _lengths(steps, size, shift) for shift, (m, steps) in enumerate(zip(names, longest, strict=True))}
    features = {
        m: torch.randn(size, steps, width) * mask[m][..., None]
        for m, steps, width in zip(names, longest, widths, strict=True)
    }
    kept = {m: real & (torch.rand(real.shape) > 0.2) for m, real in mask.items()}
    for seen in kept.values():
        seen[:, 0] = True
    present = torch.ones(size, len(names), dtype=torch.bool)
    rows = torch.arange(1, size)
    present[rows[::2], rows[::2] % len(names)] = False
    classes = getattr(config, "classes", ())
    target = torch.randint(0, len(classes), (size,)) if classes else 6 * torch.rand(size) - 3
    made = Batch(
        features=features, pooled={}, mask=mask, kept=kept, present=present, modalities=names,
        ids=tuple(f"sample {i}" for i in range(size)), target=target,
        steps={m: (_names(m, steps),) * size for m, steps in zip(names, longest, strict=True)},
    )  # fmt: skip
    everything = replace(made, kept=mask, present=torch.ones_like(present))
    return replace(made, whole=everything)


def planted(config: Any, size: int) -> Batch:
    """The first feature of the sound says the answer at every step, all else is noise; nothing is hidden."""
    made = batch(config, size)
    assert made.whole is not None
    made = replace(made.whole, mask={m: torch.ones_like(mask) for m, mask in made.mask.items()})
    high = torch.rand(size) > 0.5
    features = {m: 0.1 * torch.randn(value.shape) for m, value in made.features.items()}
    features[ANSWER][..., 0] += torch.where(high, 2.0, -2.0)[:, None]
    target = high.long() if config.classes else torch.where(high, 2.0, -2.0)
    made = replace(made, features=features, kept=made.mask, target=target)
    return replace(made, whole=made)


def padded(made: Batch) -> Pairs:
    """The same but for what stands behind the last step of each modality."""
    assert any((~mask).any() for mask in made.mask.values()), "a batch without padding can't show it"
    return [(made, noise(made, modality, ~mask)) for modality, mask in made.mask.items()]


def cut(made: Batch) -> Pairs:
    """With and without padding at the end of each modality that no sample needs."""
    pairs = []
    for modality, mask in made.mask.items():
        short = made.rows(mask.sum(1).argsort()[:4])
        longest = int(short.mask[modality].sum(1).max())
        assert longest < mask.shape[1]
        pairs.append((short, _cut(short, modality, longest)))
    return pairs


def hidden(made: Batch) -> Pairs:
    """With other content at steps that were hidden on purpose."""
    where = {m: made.mask[m] & ~kept for m, kept in made.kept.items()}
    assert all(steps.any() for steps in where.values())
    return [(made, noise(made, modality, steps)) for modality, steps in where.items()]


def changed(made: Batch, modality: str) -> Batch:
    """With other content of one modality."""
    return noise(made, modality, torch.ones_like(made.mask[modality]))


def _lengths(steps: int, size: int, shift: int) -> Tensor:
    lengths = torch.tensor([steps - (2 * i + shift) % (steps - 2) for i in range(size)])
    return torch.arange(steps) < lengths[:, None]


def _names(modality: str, count: int) -> Steps:
    names = tuple(f"{modality} {i + 1}" for i in range(count))
    return Steps(names, tuple(range(count)), names, tuple((7 * i, 7 * i + 6) for i in range(count)))


def _cut(made: Batch, modality: str, longest: int) -> Batch:
    less = lambda tensors: {**tensors, modality: tensors[modality][:, :longest]}  # noqa: E731
    whole = None if made.whole is None else _cut(made.whole, modality, longest)
    return replace(
        made, features=less(made.features), mask=less(made.mask), kept=less(made.kept), whole=whole,
    )  # fmt: skip


LAWS: Mapping[str, Any] = {
    "batch": batch, "planted": planted, "answer": ANSWER, "padded": padded, "cut": cut, "hidden": hidden,
    "changed": changed,
}  # fmt: skip  # Toy(config, **LAWS) of a system of streams
