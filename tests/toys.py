"""Tiny models and random batches for the laws: one builder a system, a different size on every axis.

A new system adds one function and one row of TOYS. `lawful` holds switches under which a law that a published formula
breaks (Card.exceptions) must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fusion.models import MODELS
from fusion.models.base import FusionModel
from fusion.models.maf import CLASSES
from fusion.types import Batch, Steps


@dataclass(frozen=True)
class Toy:
    """How to build one system small, what to feed it, and where its planted answer lies."""

    config: Callable[..., Any]
    batch: Callable[[Any, int], Batch]  # config, B -> random batch
    planted: Callable[[Any, int], Batch]  # config, B -> batch whose target follows from one modality
    answer: str  # the modality that carries the planted answer
    lawful: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # law -> switches
    flat: tuple[str, ...] = ()  # endings of parameters whose gradient is zero by mathematics


def build(key: str, **switches: Any) -> FusionModel:
    """The toy model of a system, in evaluation mode, from the same seed each time."""
    torch.manual_seed(3)
    return MODELS[key](TOYS[key].config(**switches)).eval()


def exchange(batch: Batch, modality: str, order: Tensor) -> Batch:
    """The batch with one modality of every sample taken from another. order (B,) int"""
    swap = lambda tensors: {**tensors, modality: tensors[modality][order]}  # noqa: E731
    return replace(
        batch, features=swap(batch.features), pooled=swap(batch.pooled), mask=swap(batch.mask), kept=swap(batch.kept)
    )


def maf_config(**switches: Any) -> Any:
    sizes = {
        "text_width": 12, "image_width": 7, "pooled_width": 5, "shape_width": 3, "regions": 8, "max_length": 9,
        "heads": 3, "layers": 2, "inner_width": 17, "dropout": 0.0, "negative_rate": 4, "cm_padding": "masked",
    }  # fmt: skip
    return MODELS["maf"].Config(**(sizes | switches))


def maf_batch(config: Any, size: int) -> Batch:
    """Random features; texts of different lengths, the longest as long as the model reads; some regions hidden."""
    steps, regions, width = config.max_length, config.regions, config.text_width + config.shape_width
    lengths = torch.tensor([steps - (3 * i) % (steps - 2) for i in range(size)])
    mask = torch.arange(steps) < lengths[:, None]
    seen = torch.rand(size, regions) > 0.2
    seen[:, 0] = True
    target = torch.randint(1, len(config.classes), (size, steps)) * mask
    words, places = _names("word", steps), _names("region", regions)
    return Batch(
        features={"text": torch.randn(size, steps, width), "image": torch.randn(size, regions, config.image_width)},
        pooled={"text": torch.randn(size, config.pooled_width), "image": torch.randn(size, config.image_width)},
        mask={"text": mask, "image": torch.ones(size, regions, dtype=torch.bool)},
        kept={"text": mask, "image": seen},
        present=torch.ones(size, 2, dtype=torch.bool),
        modalities=("text", "image"),
        ids=tuple(f"sample {i}" for i in range(size)),
        target=target,
        steps={"text": (words,) * size, "image": (places,) * size},
    )  # fmt: skip


def _names(kind: str, count: int) -> Steps:
    """Numbered steps, each its own group; words lie one after the other in a text of six characters each."""
    names = tuple(f"{kind} {i + 1}" for i in range(count))
    return Steps(names, tuple(range(count)), names, tuple((7 * i, 7 * i + 6) for i in range(count)))


def maf_planted(config: Any, size: int) -> Batch:
    """Word 2 is a name in every text; only the picture says whether of a person or a place. The rest is noise."""
    batch = maf_batch(config, size)
    person = torch.rand(size) > 0.5
    text = 0.1 * torch.randn_like(batch.features["text"])
    text[:, 1, 0] += 2.0  # which word is the name
    image = 0.1 * torch.randn_like(batch.features["image"])
    image[..., 0] += torch.where(person, 2.0, -2.0)[:, None]
    mask = torch.ones_like(batch.mask["text"])
    target = torch.full_like(batch.target, CLASSES.index("O"))  # type: ignore[arg-type]  # a batch of maf_batch has one
    target[:, 1] = torch.where(person, CLASSES.index("B-PER"), CLASSES.index("B-LOC"))
    seen = {"text": mask, "image": batch.mask["image"]}
    pooled = {"text": text[:, 1, : config.pooled_width], "image": image.mean(1)}
    return replace(batch, features={"text": text, "image": image}, pooled=pooled, mask=seen, kept=seen, target=target)


TOYS: dict[str, Toy] = {
    "maf": Toy(
        maf_config,
        maf_batch,
        maf_planted,
        answer="image",
        lawful={"padding": {"cm_padding": "masked"}},
        flat=(".key.bias",),  # adds the same score to every key, which the softmax ignores
    ),
}
