"""The nearest samples of a whole set of streams to one sample, by each of its embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fusion.signals import Trace
    from fusion.streams.whole import StreamedSet
    from fusion.views.streams import Near

NEAREST = 10


def nearest(whole: StreamedSet, trace: Trace, own: str, *, placed: bool = True) -> list[Near]:
    """Of each embedding of the set that the trace has, or that the set has of this very sample.

    own: id of the sample in the set, which is no neighbour of itself, "" for none; placed: whether its row in the set
    may stand for an embedding that no signal gives (the vector that the answer is read from, as it was).
    """
    from fusion.signals import Embedding
    from fusion.views.streams import Near

    ids = whole.frame["id"].astype(str).to_numpy()
    target = whole.frame["target"].to_numpy()
    at = np.flatnonzero(ids == own)
    signals = {signal.name: signal for signal in trace.of(Embedding)}
    found = []
    for name, modality in whole.levels.items():
        table = whole.vectors(name)
        if name in signals and signals[name].value.shape[-1] == table.shape[1]:
            vector = signals[name].value[0].float().numpy()
        elif placed and len(at) and name not in signals:
            vector = table[at[0]]
        else:
            continue
        cosine = _cosine(table, vector)
        cosine[at] = -np.inf
        order = np.argsort(-cosine, kind="stable")[:NEAREST]
        order = order[np.isfinite(cosine[order])]
        labels = tuple(_label(target[row]) for row in order)
        found.append(Near(name, modality, tuple(ids[order]), cosine[order], labels))
    return found


def _cosine(table: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """(N, D), (D,) -> (N,); 0 with a vector of length 0"""
    lengths = np.linalg.norm(table, axis=1) * np.linalg.norm(vector)
    return (table @ vector) / np.maximum(lengths, 1e-12)


def _label(value: object) -> str | float | None:
    if isinstance(value, str):
        return value
    return float(value) if isinstance(value, (int, float, np.number)) and np.isfinite(value) else None


def usual(whole: StreamedSet, label: str | float | None) -> float | None:
    """The share of all samples with that class, or the mean distance of all scores from that score."""
    if label is None:
        return None
    target = whole.frame["target"].dropna()
    if isinstance(label, str):
        return float((target == label).mean())
    return float((target.astype(float) - label).abs().mean())
