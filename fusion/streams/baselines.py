"""What a fusion system has to beat: an answer from nothing, and ridge maps of the mean features of its modalities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fusion.streams.evaluation import from_nothing, one_figure
from fusion.streams.inputs import Streams

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
NOTHING = "nothing"


def pooled(streams: Streams, rows: Tensor, size: int = 256) -> dict[str, Tensor]:
    """Mean features over the real steps of each modality, 0 where it is absent. -> {m: (N', D)}"""
    found: dict[str, list[Tensor]] = {m: [] for m in streams.names}
    for part in rows.split(size):
        batch = streams.batch(part)
        for m in streams.names:
            real = batch.mask[m] & batch.has(m)[:, None]
            total = (batch.features[m] * real[..., None]).sum(1)
            found[m].append(total / real.sum(1, keepdim=True).clamp(min=1))
    return {m: torch.cat(parts) for m, parts in found.items()}


def ridge(streams: Streams, modalities: Sequence[str], split: str = "test") -> np.ndarray:
    """Answers of a ridge map of the joined means of some modalities; its penalty is chosen on the valid samples.

    -> (N',) scores or (N', C) probabilities (a softmax of the maps of the classes), for the rows of the split
    """
    parts = {name: streams.rows(name) for name in ("train", "valid", split)}
    tables = {name: torch.cat([pooled(streams, rows)[m] for m in modalities], 1) for name, rows in parts.items()}
    true = streams.target[parts["train"]]
    wanted = torch.nn.functional.one_hot(true, len(streams.classes)).float() if streams.classes else true[:, None]
    centre, x = wanted.mean(0), tables["train"]
    middle = x.mean(0)
    values, vectors = torch.linalg.eigh(((x - middle).T @ (x - middle)).double())
    turned = vectors.T @ ((x - middle).T @ (wanted - centre)).double()
    best, answer = -np.inf, None
    for penalty in PENALTIES:
        weight = (vectors @ (turned / (values.clamp(min=0) + penalty)[:, None])).float()
        say = lambda name, weight=weight: _said(streams, (tables[name] - middle) @ weight + centre)  # noqa: E731
        score = one_figure(streams, parts["valid"], say("valid"))
        if score > best:
            best, answer = score, say(split)
    assert answer is not None
    return answer


def all_ridges(streams: Streams, split: str = "test") -> dict[str, np.ndarray]:
    """The answer from nothing, each modality's ridge, and that of all of them."""
    found = {NOTHING: from_nothing(streams, streams.rows(split))}
    found |= {m: ridge(streams, [m], split) for m in streams.names}
    return found | {"+".join(streams.names): ridge(streams, streams.names, split)}


def _said(streams: Streams, value: Tensor) -> np.ndarray:
    return (10 * value).softmax(1).numpy() if streams.classes else value[:, 0].numpy()
