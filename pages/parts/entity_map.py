"""The Map page for a graph checkpoint: entities of both graphs, by modality or joint, wrongly aligned pairs first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import atlas, contact, entity_rows, finder, place, work
from pages.parts.atlas import Atlas, Column
from pages.parts.place import Rows

if TYPE_CHECKING:
    from fusion.alignment.whole import AlignedSet
    from fusion.data import DataSet

JOINT = "fused"


def show() -> None:
    """Controls, the map, how far to trust it, and the entities chosen, or the wrongly aligned ones."""
    from fusion.views.speech import say

    found = work.aligned("map")
    if found is None:
        return
    checkpoint, dataset, aligned = found
    frame = aligned.frame
    rank = frame["rank"].to_numpy(np.float32)
    columns = {
        "rank": Column(t("map.colour.rank"), np.log10(np.where(np.isfinite(rank), rank, np.nan))),
        "score": Column(t("map.colour.score"), frame["score"].to_numpy(np.float32)),
    }
    for m in (m for m in aligned.modalities if f"weight_{m}" in frame):
        columns[f"weight_{m}"] = Column(
            t("map.colour.weight_of", name=say(m)), frame[f"weight_{m}"].to_numpy(np.float32)
        )
    atlas.show(Atlas(
        checkpoint=checkpoint.digest, dataset=dataset.digest, data=dataset.spec or dataset.key,
        ids=lambda: frame["id"].astype(str).tolist(),
        spaces={m: t("map.space.joint") if m == JOINT else say(m) for m in (JOINT, *aligned.modalities)},
        rows=lambda space: rows_of(dataset, aligned, space), columns=columns,
        text=lambda row: dataset.samples[row].called(), figures=lambda _, rows, projection: _figures(aligned, rows),
        shows=lambda _: "views.map.shows_entities", paired="graph",
        lines=lambda rows, ids, worst: _lines(aligned, rows, ids, worst),
        chosen=lambda: _chosen(dataset, aligned),
    ))  # fmt: skip


def rows_of(dataset: DataSet, aligned: AlignedSet, space: str) -> Rows:
    """Vectors of a space with the two graphs' names, and the rows of gold pairs; a seeded sample beyond the cap.

    Pairs to test stand before all others, so that a cap never leaves a half of them out.
    """
    from fusion.views.speech import clean

    graph = dataset.graph
    assert graph is not None, "a face of entities has graphs"
    vectors = aligned.vectors(space)
    there = np.flatnonzero(np.abs(vectors).sum(1) > 0)
    total = len(there)
    if total > place.CAP:
        tested = graph.pairs(finder.HELD_OUT).ravel()
        others = np.setdiff1d(there, tested)
        room = max(place.CAP - len(tested), 0)
        some = np.random.default_rng(0).choice(others, min(room, len(others)), replace=False)
        there = np.sort(np.intersect1d(there, np.concatenate([tested[: place.CAP], some])))
    titles = np.asarray([clean(title, 40) for title in graph.titles], dtype=object)
    where = np.full(len(vectors), -1)
    where[there] = np.arange(len(there))
    held = graph.pairs(finder.HELD_OUT)
    ends = where[held if len(held) else graph.links]
    pairs = ends[(ends >= 0).all(1)]
    ids = tuple(dataset.samples[row].id for row in there)
    return Rows(vectors[there], titles[graph.side[there]], there, ids, pairs, total)


def _lines(aligned: AlignedSet, rows: Rows, ids: tuple[str, ...], worst: int) -> tuple[np.ndarray, np.ndarray]:
    """Gold pairs to join: those of the selection, then the wrongly aligned, the farthest partner first."""
    if not len(rows.pairs):
        return rows.pairs, np.zeros(0, np.float32)
    apart = np.linalg.norm(rows.vectors[rows.pairs[:, 0]] - rows.vectors[rows.pairs[:, 1]], axis=1)
    rank = aligned.frame["rank"].to_numpy()[rows.sample[rows.pairs[:, 0]]]
    order = np.lexsort((-apart, -rank))
    keep = {int(i) for i in order[:worst] if rank[i] > 1}
    wanted = set(ids) - {""}
    keep |= {i for i, pair in enumerate(rows.pairs) if wanted & {rows.ids[row] for row in pair}} if wanted else set()
    chosen = sorted(keep)
    return rows.pairs[chosen], apart[chosen].astype(np.float32)


def _figures(aligned: AlignedSet, rows: Rows) -> dict[str, str]:
    """How well pairs lie together, in the original space."""
    from fusion.metrics import geometry, sample
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    if len(rows.pairs) >= atlas.LEAST:
        held = aligned.pairs(finder.HELD_OUT)
        for name, column in (("hits", "rank"), ("hits_back", "rank_back")):
            ranks = held[column].dropna().to_numpy()
            if len(ranks):
                shares = [percent(float((ranks <= k).mean())) for k in (1, 5, 10)]
                found[name] = " · ".join([*(share.rstrip("%").rstrip() for share in shares[:-1]), shares[-1]])
        some = rows.pairs[sample(len(rows.pairs))]
        left, right = rows.vectors[some[:, 0]], rows.vectors[some[:, 1]]
        found["gap_graphs"] = num(geometry.modality_gap(left, right))
        found["alignment"] = num(geometry.alignment(left, right))
        found["uniformity_graphs"] = f"{num(geometry.uniformity(left))} · {num(geometry.uniformity(right))}"
    return found


def _chosen(dataset: DataSet, aligned: AlignedSet) -> None:
    """The rows of the selection; without one, the wrongly aligned entities."""
    ids, frame = atlas.selected(dataset.spec or dataset.key), aligned.frame
    if ids:
        st.header(t("map.chosen"), anchor=False)
        part = frame[frame["id"].astype(str).isin(ids)].sort_values("rank", ascending=False, na_position="last")
        st.markdown(t("map.chosen.entities", count=f"{len(part):,}", wrong=f"{int((part['rank'] > 1).sum()):,}"))
        contact.show(dataset, part["id"].astype(str).tolist())
        entity_rows.show(dataset, aligned, part, "selection")
        return
    st.header(t("map.wrong"), anchor=False)
    worst = finder.wrong(aligned)
    if not len(worst):
        st.markdown(t("match.wrong.none"))
        return
    st.markdown(t("map.wrong.tell", count=f"{len(worst):,}"))
    entity_rows.show(dataset, aligned, worst, "wrong")
