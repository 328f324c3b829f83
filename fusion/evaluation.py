"""Held-out figures of a model on encoded samples: span F1, matching AUC, retrieval; with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.features import Features, word_tags
from fusion.metrics.matching import auc
from fusion.metrics.retrieval import ranks, recall_at
from fusion.metrics.tagging import span_f1

if TYPE_CHECKING:
    from fusion.models.base import FusionModel


@dataclass(frozen=True)
class Outputs:
    """What a model says of N encoded samples, on the CPU."""

    match: np.ndarray  # (N,) of the own picture
    text: np.ndarray  # (N, D) unit
    image: np.ndarray  # (N, D) unit
    tags: list[list[str]]  # N rows, one tag a whole word


def outputs(model: FusionModel, features: Features, image_rows: torch.Tensor | None = None, pad: int | None = None,
            size: int = 64) -> Outputs:  # fmt: skip
    """Run a model over encoded samples, each with its own picture or with that of sample `image_rows[i]` (N,)."""
    device = next(model.parameters()).device
    order = torch.argsort(features.text_mask.sum(1), stable=True)
    match, text, image = [], [], []
    tags: list[list[str]] = [[]] * len(features)
    unit = torch.nn.functional.normalize
    with torch.inference_mode():
        for rows in order.split(size):
            batch = features.batch(rows, None if image_rows is None else image_rows[rows], pad=pad).to(device)
            output = model(batch, trace=False)
            match.append(output.extras["match"].float().cpu())
            text.append(unit(output.extras["align_text"].float(), dim=-1).cpu())
            image.append(unit(output.extras["align_image"].float(), dim=-1).cpu())
            for row, path in zip(rows.tolist(), output.prediction.tolist(), strict=True):
                tags[row] = word_tags(features.names[row], path, model.classes)
    back = torch.argsort(order)
    return Outputs(*(torch.cat(parts)[back].numpy() for parts in (match, text, image)), tags=tags)


def negatives(features: Features, seed: int, group: np.ndarray | None = None) -> torch.Tensor:
    """For every sample another one with a different picture, drawn at random, of the same group where one is given.

    -> (N,) int; a sample without such another one gets itself, and must be left out by the caller.
    """
    generator = np.random.default_rng(seed)
    pictures = features.image_of.numpy()
    pools: dict[object, np.ndarray] = {}
    keys = np.zeros(len(features), dtype=object) if group is None else group
    for key in set(keys.tolist()):
        pools[key] = np.flatnonzero((keys == key) & (pictures >= 0))
    chosen = np.arange(len(features))
    for row in range(len(features)):
        pool = pools[keys[row]]
        pool = pool[pictures[pool] != pictures[row]]
        if len(pool):
            chosen[row] = generator.choice(pool)
    return torch.from_numpy(chosen)


def gold_tags(features: Features, classes: tuple[str, ...]) -> list[list[str]]:
    """The true tag of each whole word, from the targets."""
    assert features.targets is not None, "these samples have no tags"
    return [
        word_tags(names, row, classes) for names, row in zip(features.names, features.targets.tolist(), strict=True)
    ]


def tag_f1(model: FusionModel, features: Features, pad: int | None = None) -> float:
    """Span F1 on the samples that have tags, in [0, 1]."""
    assert features.targets is not None, "these samples have no tags"
    tagged = features.rows((features.targets[:, 0] >= 0).nonzero().squeeze(1))
    said = outputs(model, tagged, pad=pad).tags
    return span_f1(gold_tags(tagged, model.classes), said)["overall"]["f1"]


def figures(model: FusionModel, features: Features, *, seed: int = 0, pad: int | None = None,
            group: np.ndarray | None = None) -> dict[str, float]:  # fmt: skip
    """Span F1, matching AUC against random (and same-group) pictures, R@1/5/10 both ways, on samples with pictures.

    Retrieval ranks among the distinct pictures of these samples.
    """
    own = outputs(model, features, pad=pad)
    there = features.image_of.numpy() >= 0
    result: dict[str, float] = {}
    if features.targets is not None and bool((features.targets[:, 0] >= 0).any()):
        result["f1"] = tag_f1(model, features, pad)
    for name, groups in (("auc", None), ("auc_group", group)):
        if name == "auc_group" and group is None:
            continue
        wrong_rows = negatives(features, seed, groups)
        wrong = outputs(model, features, wrong_rows, pad)
        differs = there & (features.image_of[wrong_rows] != features.image_of).numpy()
        result[name] = auc(own.match[differs], wrong.match[differs])
    first = first_of_each(features.image_of.numpy())  # one sample a picture
    distinct = features.image_of.numpy()[first]
    place = np.full(int(distinct.max(initial=-1)) + 1, -1)
    place[distinct] = np.arange(len(first))
    rank_text = ranks(own.text[there], own.image[first], partner=place[features.image_of.numpy()[there]])
    rank_image = ranks(own.image[first], own.text[first])
    for name, rank in (("text", rank_text), ("image", rank_image)):
        result |= {f"{name}_r{k}": value for k, value in recall_at(rank, (1, 5, 10)).items()}
    return result


def first_of_each(image_of: np.ndarray) -> np.ndarray:
    """The first sample of each picture, in order. (N,) int, -1 for none -> (U,) int"""
    pictures, first = np.unique(image_of, return_index=True)
    return np.sort(first[pictures >= 0])
