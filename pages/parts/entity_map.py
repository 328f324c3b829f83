"""The Map page for a graph checkpoint: entities of both graphs, by modality or joint, wrongly aligned pairs first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, entity_rows, finder, grid, mapping, place, state, work
from pages.parts.place import Rows

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusion.alignment.whole import AlignedSet
    from fusion.data import DataSet
    from fusion.projections import Projection
    from fusion.views import Picture

JOINT = "fused"
COLOURS = ("modality", "rank", "score", "weight")
LEAST = 4  # entities below which there is no map


def show() -> None:
    """Controls, the map, how far to trust it, and the entities chosen, or the wrongly aligned ones."""
    found = work.aligned("map")
    if found is None:
        return
    checkpoint, dataset, aligned = found
    space = _space(aligned)
    key = f"{checkpoint.digest} {dataset.digest} {space}"
    with st.spinner(t("entity.wait"), show_time=True):  # vectors may have to be made again
        rows = cache.made(lambda: rows_of(dataset, aligned, space), "entity_rows", key)
    if len(rows.vectors) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(rows.vectors)))
        return
    colours = COLOURS if space != JOINT else COLOURS[:-1]
    method, centred, colour, worst = mapping.controls(colours, graphs=True)
    left, right = st.columns((0.7, 0.3), gap="medium")
    with left:
        projection, name = mapping.projected(rows, key, method, centred)
        _map(dataset, aligned, rows, projection, (key, name, centred, colour, worst, space))
    with right, chrome.guard("map.quality"):
        mapping.trust(cache.made(lambda: _figures(aligned, rows, projection), "entity_quality", key, projection.digest),
                      len(rows.pairs))  # fmt: skip
    _chosen(dataset, aligned)


def _space(aligned: AlignedSet) -> str:
    """The vectors to lay out: the joint ones, or those of one modality."""
    from fusion.views.speech import say

    options = (JOINT, *aligned.modalities)
    now = state.get("space") if state.get("space") in options else JOINT
    st.segmented_control(
        t("map.space"), options, key="map_space", default=now, required=True, help=t("map.space.help"),
        format_func=lambda m: t("map.space.joint") if m == JOINT else say(m),
        on_change=lambda: state.put(space=st.session_state["map_space"]),
    )  # fmt: skip
    return now


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
    wanted = set(ids)
    keep |= {i for i, pair in enumerate(rows.pairs) if wanted & {rows.ids[row] for row in pair}} if wanted else set()
    chosen = sorted(keep)
    return rows.pairs[chosen], apart[chosen].astype(np.float32)


def _map(dataset: DataSet, aligned: AlignedSet, rows: Rows, projection: Projection, name: tuple[Hashable, ...]) -> None:
    """The page's one WebGL picture. A lasso chooses entities; the one on Inspect has a ring."""
    from fusion.views import embedding

    chosen = state.selection()
    ids = chosen.ids[: mapping.RINGS] if chosen.data == (dataset.spec or dataset.key) else ()
    here = state.get("id")
    colour, worst, space = str(name[3]), int(str(name[4])), str(name[5])

    def make() -> Picture:
        lines, distances = _lines(aligned, rows, (*ids, here), worst)
        values = _values(aligned, rows, colour, space)
        return embedding.scatter(
            projection.points, rows.modalities, rows.ids, method=t(f"map.method.{name[1]}"), pairs=lines,
            distances=distances, selected=rows.of((*ids, here)), colour=values, total=rows.total,
            shows="views.map.shows_entities", colour_name="" if values is None else t(f"map.colour.{colour}"),
        )  # fmt: skip

    def took(marks: list[Hashable]) -> None:
        if marks:
            state.select(dataset.spec or dataset.key, [rows.ids[mark] for mark in marks if isinstance(mark, int)])

    grid.show(
        lambda: cache.made(make, "entity_map", projection.digest, ids, here, *name), f"map_{name[1]}_{name[2]}_{space}",
        on_lasso=took, title=False,
    )  # fmt: skip


def _values(aligned: AlignedSet, rows: Rows, colour: str, space: str) -> np.ndarray | None:
    """The number that colours a point: log10 of the rank, the joint similarity, or the weight of the modality shown."""
    if colour == "modality":
        return None
    column = f"weight_{space}" if colour == "weight" else colour
    values = aligned.frame[column].to_numpy(np.float32)[rows.sample]
    if colour == "rank":
        return np.log10(np.where(np.isfinite(values), values, np.nan)).astype(np.float32)
    return values


def _figures(aligned: AlignedSet, rows: Rows, projection: Projection) -> dict[str, str]:
    """How well pairs lie together and how far the map can be trusted, in the original space."""
    from fusion.metrics import geometry, sample
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    if len(rows.pairs) >= LEAST:
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
    return found | mapping.trusted(rows, projection)


def _chosen(dataset: DataSet, aligned: AlignedSet) -> None:
    """The rows of the selection; without one, the wrongly aligned entities."""
    chosen = state.selection()
    frame = aligned.frame
    if chosen.ids and chosen.data == (dataset.spec or dataset.key):
        st.header(t("map.chosen"), anchor=False)
        part = frame[frame["id"].astype(str).isin(chosen.ids)].sort_values("rank", ascending=False, na_position="last")
        st.markdown(t("map.chosen.entities", count=f"{len(part):,}", wrong=f"{int((part['rank'] > 1).sum()):,}"))
        entity_rows.show(dataset, aligned, part, "selection")
        return
    st.header(t("map.wrong"), anchor=False)
    worst = finder.wrong(aligned)
    if not len(worst):
        st.markdown(t("match.wrong.none"))
        return
    st.markdown(t("map.wrong.tell", count=f"{len(worst):,}"))
    entity_rows.show(dataset, aligned, worst, "wrong")
