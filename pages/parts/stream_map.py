"""The Map page for systems that read streams: samples by one embedding, coloured by label, and who knows the label."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import atlas, cache, contact, grid, place, stream_place, stream_rows, stream_space, work
from pages.parts.atlas import Atlas, Column
from pages.parts.chrome import guard
from pages.parts.place import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.data import DataSet
    from fusion.metrics.intervals import Interval
    from fusion.streams.whole import StreamedSet
    from fusion.views.faithful import Line

HELD_OUT = "test"
VIEWS = "views"  # the space in which every view of a sample is a point
ONE = "sample"  # the kind of every point, where colour is another matter


def show() -> None:
    """Controls, the map, how far to trust it, the samples chosen, and what each level knows of the label."""
    found = work.streamed("map")
    if found is None:
        return
    checkpoint, dataset, whole = found
    ids = whole.frame["id"].astype(str).tolist()
    shared = views_of(whole) if stream_space.kept(checkpoint) else ()
    spaces = {VIEWS: t("map.space.views")} if shared else {}
    own = stream_place.brought(checkpoint, dataset, whole, shared) if shared else None
    atlas.show(Atlas(
        checkpoint=checkpoint.digest, dataset=dataset.digest, data=dataset.spec or dataset.key, ids=lambda: ids,
        spaces=spaces | {name: level_of(whole, name) for name in ordered(whole)},
        rows=lambda space: together(whole, shared) if space == VIEWS else rows_of(whole, space),
        columns=columns_of(whole), text=lambda row: words_of(dataset, ids[row]),
        figures=lambda _, rows, projection: _figures(whole, rows), shows=_point,
        chosen=lambda: _chosen(dataset, whole), kind="map.colour.modality" if shared else "",
        help="map.space.help.streams", paired="pairs" if shared else "", lines=atlas.farthest if shared else None,
        placed=lambda rows, projection: stream_place.placed(own, whole, rows, projection),
    ))  # fmt: skip
    with guard("map.levels"):
        _levels(whole, (checkpoint.digest, dataset.digest))


def _point(space: str) -> str:
    """Key of the sentence on what a point of a space is."""
    return "views.map.shows_views" if space == VIEWS else "views.map.shows_samples"


def words_of(dataset: DataSet, id: str) -> str:
    """What a sample says, or what it is called."""
    sample = dataset.get(id)
    return sample.text() or (sample.called() if sample.called() != sample.id else "")


def columns_of(whole: StreamedSet) -> dict[str, Column]:
    """What is known of every sample: label, answer, how modalities combine, error, and what each is worth."""
    from fusion.views.speech import say

    frame = whole.frame
    if not whole.answers:
        close, split = frame["cosine"].to_numpy(np.float32), [one or None for one in frame["split"]]
        return {
            "cosine": Column(t("map.colour.cosine_views"), close),
            "split": Column(t("map.colour.split"), np.asarray(split, dtype=object)),
        }
    title = lambda name: t(f"map.colour.{name}")  # noqa: E731
    names = lambda values: np.asarray(values, dtype=object)  # noqa: E731
    if whole.classes:
        words = {True: t("map.kind.right"), False: t("map.kind.wrong")}
        right = [words.get(value) for value in frame["right"].astype(object)]
        found = {
            "label": Column(title("label"), names([one or None for one in frame["target"]])),
            "said": Column(title("said"), names(frame["said"].tolist())), "wrong": Column(title("wrong"), names(right)),
        }  # fmt: skip
    else:
        numbers = {"label": "target", "said": "answer", "wrong": "error"}
        found = {name: Column(title(name), frame[one].to_numpy(np.float32)) for name, one in numbers.items()}
    badges = [t(f"verdict.badge.{one}") for one in frame["badge"]]
    found |= {
        "badge": Column(title("badge"), names(badges)),
        "conflict": Column(title("conflict"), frame["conflict"].to_numpy(np.float32)),
        "split": Column(title("split"), names([one or None for one in frame["split"]])),
    }  # fmt: skip
    for m in whole.modalities:
        found[f"shapley_{m}"] = Column(t("map.colour.worth", name=say(m)), frame[f"shapley_{m}"].to_numpy(np.float32))
    return found


def ordered(whole: StreamedSet) -> list[str]:
    """The embeddings, those of most modalities first."""
    return sorted(whole.levels, key=lambda one: -_depth(whole.levels[one]))


def _depth(modality: str) -> int:
    return 99 if modality == "fused" else modality.count("+")


def level_of(whole: StreamedSet, name: str) -> str:
    """What an embedding is called, and of how many modalities it is."""
    from fusion.views.speech import say

    modality = whole.levels[name]
    names = t("views.list.plus").join(say(one) for one in modality.split("+"))
    depth = {0: "uni", 1: "bi", 99: "fused"}.get(_depth(modality), "multi")
    told = t(f"map.level.{depth}", names=names)
    lone = list(whole.levels.values()).count(modality) < 2  # one embedding of a level needs no name beside it
    return told if lone else t("map.level.named", level=told, name=say(name))


def rows_of(whole: StreamedSet, space: str) -> Rows:
    """Vectors of an embedding, of samples that have any of it; a seeded sample beyond the cap."""
    vectors = whole.vectors(space)
    there = np.flatnonzero((np.abs(vectors).sum(1) > 0) & np.isfinite(vectors).all(1))
    modality = whole.levels[space]
    if modality in whole.modalities:  # a model puts something where a modality is absent
        there = there[whole.frame[f"has_{modality}"].to_numpy(bool)[there]]
    total = len(there)
    if total > place.CAP:
        there = np.sort(np.random.default_rng(0).choice(there, place.CAP, replace=False))
    ids = whole.frame["id"].astype(str).to_numpy()[there]
    kinds = np.full(len(there), ONE, dtype=object)
    return Rows(vectors[there].astype(np.float32), kinds, there, tuple(ids.tolist()), np.zeros((0, 2), int), total)


def views_of(whole: StreamedSet) -> tuple[str, ...]:
    """The embeddings of single modalities in one shared space, () where there aren't two."""
    names = [name for name, level in whole.levels.items() if level in whole.modalities]
    return tuple(names) if len(names) > 1 else ()


def together(whole: StreamedSet, names: Sequence[str]) -> Rows:
    """Every view of every sample as a point, the views of one sample paired with its first one."""
    parts = [rows_of(whole, name) for name in names]
    start = np.concatenate([[0], np.cumsum([len(part.ids) for part in parts])])
    where = [dict(zip(part.sample.tolist(), range(len(part.ids)), strict=True)) for part in parts]
    pairs = [
        (int(start[0]) + where[0][row], int(start[at]) + index)
        for at in range(1, len(parts)) for row, index in where[at].items() if row in where[0]
    ]  # fmt: skip
    kinds = [np.full(len(part.ids), whole.levels[name], dtype=object) for name, part in zip(names, parts, strict=True)]
    return Rows(
        np.concatenate([part.vectors for part in parts]), np.concatenate(kinds),
        np.concatenate([part.sample for part in parts]), tuple(id for part in parts for id in part.ids),
        np.array(pairs, dtype=int).reshape(-1, 2), sum(part.total for part in parts),
    )  # fmt: skip


def _figures(whole: StreamedSet, rows: Rows) -> dict[str, str]:
    """How far labels lie together in the original space, and how views of one sample do."""
    from fusion.metrics import geometry, sample
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    if len(rows.pairs) >= atlas.LEAST:
        some = rows.pairs[sample(len(rows.pairs))]
        first, other = rows.vectors[some[:, 0]], rows.vectors[some[:, 1]]
        found["gap_views"] = num(geometry.modality_gap(first, other))
        found["alignment"] = num(geometry.alignment(first, other))
        found["uniformity_views"] = f"{num(geometry.uniformity(first))} · {num(geometry.uniformity(other))}"
        return found
    known = labelled(whole, rows)
    if known is not None and whole.classes:
        share = knows(whole, known)
        found["labels"] = "–" if share is None else f"{percent(share.value)} ({percent(chance_of(whole))})"
    elif known is not None:
        rho = knows(whole, known)
        found["scores"] = "–" if rho is None else num(round(rho.value, 3))
    return found


def labelled(whole: StreamedSet, rows: Rows) -> Rows | None:
    """The points whose truth is known, None where they are too few."""
    if not whole.answers:
        return None
    there = whole.frame["loss"].notna().to_numpy(bool)[rows.sample]
    if int(there.sum()) < atlas.LEAST:
        return None
    ids = tuple(id for id, kept in zip(rows.ids, there, strict=True) if kept)
    return replace(rows, vectors=rows.vectors[there], modalities=rows.modalities[there], sample=rows.sample[there],
                   ids=ids)  # fmt: skip


def knows(whole: StreamedSet, rows: Rows) -> Interval | None:
    """How well the ten nearest by cosine tell the label of a sample to test (of any where none is): the share of them
    of its class, or the rank correlation of its score with their mean, with its interval over samples. None where all
    scores are the same."""
    from fusion.metrics.intervals import bootstrap, spearman_interval

    held = np.flatnonzero((whole.frame["split"] == HELD_OUT).to_numpy()[rows.sample])
    asked, near = place.nearest(rows.vectors, held if len(held) >= atlas.LEAST else None)
    label = whole.frame["target"].to_numpy(object if whole.classes else np.float64)[rows.sample]
    if whole.classes:
        return bootstrap((label[near] == label[asked][:, None]).mean(1))
    return spearman_interval(label[asked], label[near].mean(1))


def _chosen(dataset: DataSet, whole: StreamedSet) -> None:
    """The rows of the selection, or how to make one."""
    ids = atlas.selected(dataset.spec or dataset.key)
    st.header(t("map.chosen"), anchor=False)
    if not ids:
        st.markdown(t("map.chosen.none"))
        return
    frame = whole.frame
    part = frame[frame["id"].astype(str).isin(ids)]
    by, down = ("loss", False) if whole.answers else ("cosine", True)
    part = part.sort_values(by, ascending=down, na_position="last")
    if not len(part):
        raise FusionError(t("map.chosen.gone"))
    if whole.answers:
        st.markdown(t("map.chosen.streams", count=f"{len(part):,}", opposed=f"{int(part['opposed'].sum()):,}"))
    contact.show(dataset, part["id"].astype(str).tolist())
    stream_rows.show(dataset, whole, part, "selection")


def _levels(whole: StreamedSet, key: tuple[str, str]) -> None:
    """Which embedding knows the label: a line each, from those of all modalities to those of one."""
    from fusion.views import faithful

    with st.spinner(t("entity.wait"), show_time=True):
        found = cache.made(lambda: _lines(whole, ordered(whole)), "stream_levels", *key)
    if len(found) < 2:
        return
    axis = "map.levels.axis.class" if whole.classes else "map.levels.axis.score"
    least = min(0.0, *(one.low for one in found))
    make = lambda: faithful.lines(  # noqa: E731
        found, key="levels", title=t("map.levels.title"), axis=t(axis), span=(least, 1.0),
        neutral=chance_of(whole) if whole.classes else 0.0, shows=t("map.levels.shows"), hides=t("map.levels.hides"),
    )  # fmt: skip
    grid.show(lambda: cache.made(make, "stream_levels_drawn", *key), "levels")


def _lines(whole: StreamedSet, names: Sequence[str]) -> list[Line]:
    from fusion.views.faithful import Line

    made = []
    for name in names:
        known = labelled(whole, rows_of(whole, name))
        found = None if known is None else knows(whole, known)
        if known is not None and found is not None:
            made.append(Line(level_of(whole, name), found.value, found.low, found.high, len(known.vectors)))
    return made


def chance_of(whole: StreamedSet) -> float:
    """The share of neighbours of a point's own class that chance would give."""
    labels = whole.frame["target"].dropna().to_numpy(object)
    _, times = np.unique(labels.astype(str), return_counts=True)
    return float((times * (times - 1)).sum() / max(len(labels) * (len(labels) - 1), 1))
