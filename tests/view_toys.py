"""Tiny batches for the laws of models that are solved in one go: views with something in common, known by the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from fusion.types import Batch
from tests import stream_toys

SIZES: Mapping[str, Any] = {**stream_toys.SIZES, "components": 2}


def planted(config: Any, size: int) -> Batch:
    """The sound has two things in common, each with another modality: one with the text, a weaker one with the video.

    The rest is noise; text and video have nothing in common. Every step of a sample says the same.
    """
    made = stream_toys.batch(config, size)
    assert made.whole is not None
    shared = torch.randn(size, 2)
    noise = {m: 0.2 * torch.randn(size, 1, value.shape[2]) for m, value in made.features.items()}
    features = {m: noise[m].expand_as(value).clone() for m, value in made.features.items()}
    features["text"][..., 1] = shared[:, :1] + 0.1 * torch.randn(size, 1)
    features["vision"][..., 2] = shared[:, 1:] + 0.3 * torch.randn(size, 1)
    features["audio"][..., :2] = shared[:, None] + 0.1 * torch.randn(size, 1, 2)
    whole = replace(made.whole, mask={m: torch.ones_like(mask) for m, mask in made.mask.items()}, target=None)
    whole = replace(whole, features=features, kept=whole.mask)
    return replace(whole, whole=whole)


LAWS: Mapping[str, Any] = {**stream_toys.LAWS, "planted": planted}  # Toy(config, **LAWS)
