"""Tiny batches for the laws of the multimodal VAEs: one-hot letters, a picture, and a sequence of numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fusion.types import Batch, Steps
from tests import stream_toys
from tests.noise import Pairs

SIZES: Mapping[str, Any] = {
    "modalities": ("text", "image", "audio"), "widths": (5, 42, 3), "steps": (6, 1, 9),
    "likelihoods": ("categorical", "bernoulli", "normal"), "pictures": (0, 0, 0, 1, 6, 7, 0, 0, 0),
    "tokens": ("text:a", "text:b", "text:c", "text:d", "text:"), "latent": 10, "hidden": 16, "layers": 1,
    "activation": "tanh",
}  # fmt: skip
ANSWER = "image"  # the modality that carries what is planted


def batch(config: Any, size: int) -> Batch:
    """Random letters, pixels in [0, 1] and numbers, with lengths of their own; some hidden, some modalities absent.

    The first sample has everything; no sample has nothing.
    """
    names, longest = config.modalities, dict(zip(config.modalities, config.steps, strict=True))
    mask = {m: _lengths(longest[m], size, shift) for shift, m in enumerate(names)}
    features = {
        "text": torch.nn.functional.one_hot(torch.randint(0, 5, (size, longest["text"])), 5).float(),
        "image": torch.rand(size, 1, 42), "audio": torch.randn(size, longest["audio"], 3),
    }  # fmt: skip
    features = {m: value * mask[m][..., None] for m, value in features.items()}
    kept = {m: real & (torch.rand(real.shape) > 0.2) for m, real in mask.items()}
    for seen in kept.values():
        seen[:, 0] = True
    present = torch.ones(size, len(names), dtype=torch.bool)
    rows = torch.arange(1, size)
    present[rows[::2], rows[::2] % len(names)] = False
    return Batch(
        features=features, pooled={}, mask=mask, kept=kept, present=present, modalities=names,
        ids=tuple(f"sample {i}" for i in range(size)), target=torch.randint(0, 2, (size,)),
        steps={m: (_names(m, longest[m]),) * size for m in names},
    )  # fmt: skip


def planted(config: Any, size: int) -> Batch:
    """The left half of the picture is dark or the right one is, which is the class; all else hardly varies."""
    made = batch(config, size)
    right = torch.rand(size) > 0.5
    image = 0.1 * torch.rand(size, 6, 7)
    image[..., :3] += 0.85 * (~right)[:, None, None]
    image[..., 4:] += 0.85 * right[:, None, None]
    text = torch.zeros_like(made.features["text"])
    text[..., 0] = 1
    audio = 0.1 * torch.randn_like(made.features["audio"])
    features = {"image": image.flatten(1)[:, None], "text": text, "audio": audio}
    mask = {m: torch.ones_like(real) for m, real in made.mask.items()}
    return replace(
        made, features=features, mask=mask, kept=mask, present=torch.ones_like(made.present), target=right.long()
    )


def padded(made: Batch) -> Pairs:
    """The same but for what stands behind the last step of the sequences."""
    return stream_toys.padded(made)


def cut(made: Batch) -> Pairs:
    """With and without padding at the end of each sequence that no sample needs."""
    pairs = []
    for modality in ("text", "audio"):
        short = made.rows(made.mask[modality].sum(1).argsort()[:4])
        longest = int(short.mask[modality].sum(1).max())
        assert longest < short.mask[modality].shape[1]
        less = lambda tensors, m=modality, t=longest: {**tensors, m: tensors[m][:, :t]}  # noqa: E731
        pairs.append(
            (short, replace(short, features=less(short.features), mask=less(short.mask), kept=less(short.kept)))
        )
    return pairs


def hidden(made: Batch) -> Pairs:
    """With other content at steps that were hidden on purpose."""
    where = {m: made.mask[m] & ~made.kept[m] for m in ("text", "audio")}
    assert all(steps.any() for steps in where.values())
    return [(made, stream_toys.noise(made, modality, steps)) for modality, steps in where.items()]


def _lengths(steps: int, size: int, shift: int) -> Tensor:
    lengths = torch.tensor([max(steps - (2 * i + shift) % max(steps - 2, 1), 1) for i in range(size)])
    return torch.arange(steps) < lengths[:, None]


def _names(modality: str, count: int) -> Steps:
    names = tuple(f"{modality} {i + 1}" for i in range(count))
    return Steps(names, tuple(range(count)), names, tuple((7 * i, 7 * i + 6) for i in range(count)))


LAWS: Mapping[str, Any] = {
    "batch": batch, "planted": planted, "answer": ANSWER, "padded": padded, "cut": cut, "hidden": hidden,
    "changed": stream_toys.changed,
}  # fmt: skip
