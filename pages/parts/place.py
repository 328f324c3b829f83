"""Maps of a whole data set: its vectors as rows, the map itself, and the place of a sample that was dropped in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.words import t
from pages.parts import cache, grid, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation
    from fusion.observations import Observed
    from fusion.projections import Projection
    from fusion.views.embedding import Placed

CAP = 500_000  # points laid out; of pairs half of them texts, half images
KINDS = 10  # with a colour of their own; of more, the rarest are one kind, "other"
NEAREST, ASKED = 10, 1000  # neighbours whose kind is compared, and of how many points


@dataclass(frozen=True)
class Rows:
    """The vectors of a data set, texts first, and which sample each row is of."""

    vectors: np.ndarray  # (P, D) float32
    modalities: np.ndarray  # (P,) names
    sample: np.ndarray  # (P,) int, row of the data set
    ids: tuple[str, ...]  # (P,)
    pairs: np.ndarray  # (Q, 2) int, rows of the two halves of each pair
    total: int  # points there are in all, of which these are drawn

    def of(self, ids: tuple[str, ...]) -> list[int]:
        """The rows of some samples."""
        wanted = set(ids)
        return [row for row, id in enumerate(self.ids) if id in wanted]


def rows_of(observed: Observed, key: str) -> Rows:
    """All rows of a data set up to the cap, a seeded sample of its pairs beyond. key: its checkpoint and data."""
    return cache.made(lambda: _rows(observed), "rows", key)


def _rows(observed: Observed) -> Rows:
    text, image = observed.vectors["text"], observed.vectors["image"]
    some = np.arange(len(text))
    if 2 * len(text) > CAP:
        some = np.sort(np.random.default_rng(0).choice(len(text), CAP // 2, replace=False))
    there = {"text": some[np.abs(text[some]).sum(1) > 0], "image": some[np.abs(image[some]).sum(1) > 0]}
    sample = np.concatenate([there["text"], there["image"]])
    vectors = np.concatenate([text[there["text"]], image[there["image"]]]).astype(np.float32)
    modalities = np.asarray(["text"] * len(there["text"]) + ["image"] * len(there["image"]))
    partner = np.full(len(text), -1)
    partner[there["image"]] = len(there["text"]) + np.arange(len(there["image"]))
    partner = partner[there["text"]]
    pairs = np.stack([np.flatnonzero(partner >= 0), partner[partner >= 0]], 1)
    names = observed.frame["id"].astype(str).tolist()
    total = int((np.abs(text).sum(1) > 0).sum() + (np.abs(image).sum(1) > 0).sum())
    return Rows(vectors, modalities, sample, tuple(names[i] for i in sample), pairs, total)


def pca(rows: Rows, key: str, centred: bool, dims: int = 2) -> Projection:
    """The PCA map of the rows, kept."""
    from fusion.projections import project

    make = lambda: project(rows.vectors, "pca", labels=rows.modalities, centred=centred, dims=dims)  # noqa: E731
    return cache.made(make, "pca", key, centred, dims)


def placed(rows: Rows, projection: Projection, seen: Observation) -> Placed | None:
    """Where the halves of an inspected sample lie on a map; None when its vectors are of another width."""
    from fusion.projections import place
    from fusion.signals import Embedding
    from fusion.views.embedding import Placed

    width = rows.vectors.shape[1]
    has = {"text": bool(seen.sample.text().strip()), "image": seen.sample.image() is not None}
    found = {
        signal.modality: signal.value[0].float().numpy()
        for signal in seen.trace.of(Embedding)
        if has.get(signal.modality) and signal.value.shape[-1] == width and signal.name.startswith("aligned")
    }
    known = set(rows.modalities.tolist())
    found = {m: v / max(float(np.linalg.norm(v)), 1e-12) for m, v in found.items() if m in known}
    if not found:
        return None
    points, _ = place(
        projection, rows.vectors, np.stack(list(found.values())), labels=rows.modalities, new_labels=list(found)
    )
    distance = float(np.linalg.norm(found["text"] - found["image"])) if len(found) == 2 else None
    return Placed(points, tuple(found), distance)


def small(found: Checkpoint, dataset: DataSet, seen: Observation, digest: str) -> None:
    """The map of the data set with the inspected sample on it, on the Inspect page."""
    from fusion.views import embedding

    observed = cache.observed(found, dataset)
    if observed is None:
        work.offer(found, dataset)
        return
    key = f"{found.digest} {dataset.digest}"
    rows = rows_of(observed, key)
    projection = pca(rows, key, True)

    def make():  # type: ignore[no-untyped-def]
        return embedding.scatter(
            projection.points,
            rows.modalities,
            rows.ids,
            method=t("map.method.pca"),
            total=rows.total,
            placed=placed(rows, projection, seen),
        )

    grid.show(lambda: cache.made(make, "small", key, digest), "small_map")


def kinds_of(kinds: Sequence[str], count: int) -> np.ndarray:
    """The kind of each point, the rare ones together. -> (N,) names"""
    if not kinds:
        return np.asarray([t("map.kind.all")] * count, dtype=object)
    counts = Counter(kinds)
    common = {kind for kind, _ in counts.most_common(KINDS if len(counts) <= KINDS else KINDS - 1)}
    other = t("map.kind.other")
    return np.asarray([kind if kind in common else other for kind in kinds], dtype=object)


def same_kind(vectors: np.ndarray, kinds: np.ndarray) -> tuple[float, float]:
    """Share of a point's nearest neighbours by cosine that are of its kind, and what chance would give."""
    asked, near = nearest(vectors)
    same = kinds[near] == kinds[asked][:, None]
    _, times = np.unique(kinds.astype(str), return_counts=True)
    return float(same.mean()), float((times * (times - 1)).sum() / (len(kinds) * max(len(kinds) - 1, 1)))


def nearest(vectors: np.ndarray, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The nearest neighbours by cosine, of all points, of some points: a seeded sample of many.

    (P, D), rows that may be asked, all of them for None -> rows (A,), of each (A, K)
    """
    rows = np.arange(len(vectors)) if among is None else among
    asked = np.random.default_rng(0).choice(rows, min(ASKED, len(rows)), replace=False)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosine = unit[asked] @ unit.T
    cosine[np.arange(len(asked)), asked] = -np.inf
    count = min(NEAREST, len(vectors) - 1)
    return asked, np.argpartition(-cosine, count - 1, axis=1)[:, :count]
