"""The Map page, whatever a checkpoint reads: a face says what lies there (Atlas), and this lays it out.

P points, N rows of the face's table; a point is of one row, a row may have several points (its text, its image).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, canvas, chrome, grid, map_controls, map_filters, map_verdicts, place, state
from pages.parts.place import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from fusion.projections import Projection
    from fusion.views import Picture
    from fusion.views.canvas import Cloud
    from fusion.views.embedding import Label, Placed
    from fusion.views.palette import Tints
    from pages.parts.map_controls import Look

LEAST = 4  # points below which there is no map
RINGS = 200  # samples of a selection that are ringed and joined on the map
DRAWN = 8_000  # points above which a canvas draws them: of 20,000, Plotly takes seconds more
READ = 20_000  # rows whose words are read for labels
TOGETHER = 0.6  # of the spread of all points: a group that lies wider has no label
LABEL = np.array([0.35, 0.06])  # of the map's width and height that a label takes
KIND, GROUP = "modality", "group"  # colours that every atlas has: of the points' kinds, and of groups found among them


@dataclass(frozen=True, eq=False)
class Column:
    """Something known of every row: it can colour points and cut them out."""

    title: str
    values: np.ndarray  # (N,) float, NaN where unknown, or names as objects, None where unknown
    stamp: Hashable = 0  # another one where the values of the same name have changed
    tints: Tints | None = None  # colours of the names, where they have colours of their own
    told: Callable[[np.ndarray], str] | None = None  # a sentence on the values of some rows (R,)

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers."""
        return self.values.dtype != object


@dataclass(frozen=True, eq=False)
class Atlas:
    """What lies on a map: embeddings to choose from, what is known of their rows, and what to say beside them."""

    checkpoint: str  # its digest
    dataset: str  # its digest
    data: str  # the data set that selections are of
    ids: Callable[[], Sequence[str]]  # of all rows
    spaces: Mapping[str, str]  # {embedding: what it is called}, the first one is shown at first
    rows: Callable[[str], Rows]
    columns: Mapping[str, Column]  # {name in the address: column}, the first ones are offered as histograms
    text: Callable[[int], str]  # the words of a row, "" without, for labels
    figures: Callable[[str, Rows, Projection], Mapping[str, str]]  # of the quality box, before the general ones
    shows: Callable[[str], str]  # key of the sentence on what a point of a space is
    chosen: Callable[[], None]  # what stands below the map: the rows selected
    paired: str = ""  # "" no pairs, else the ending of the words on them: "pairs" or "graph"
    lines: Callable[[Rows, tuple[str, ...], int], tuple[np.ndarray, np.ndarray]] | None = None
    placed: Callable[[Rows, Projection], tuple[Placed | None, str]] | None = None  # a sample's own place, and its name
    kind: str = "map.colour.modality"  # key of what the kinds of points are, "" where all are of one
    help: str = "map.space.help"

    @property
    def key(self) -> str:
        """Of the content, whatever the space."""
        return f"{self.checkpoint} {self.dataset}"


def show(atlas: Atlas) -> None:
    """Controls, the map, how far to trust it, histograms that cut it, and what was chosen."""
    space = map_controls.space(atlas.spaces, atlas.help)
    key = f"{atlas.key} {space}"
    atlas = replace(atlas, columns={**atlas.columns, **map_verdicts.columns(atlas)})
    with st.spinner(t("entity.wait"), show_time=True):  # vectors may have to be made again
        rows = cache.made(lambda: atlas.rows(space), "atlas_rows", key)
    if len(rows.vectors) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(rows.vectors)))
        return
    colours = {KIND: t(atlas.kind)} if atlas.kind else {}
    colours |= {name: column.title for name, column in atlas.columns.items()} | {GROUP: t("map.colour.group")}
    look = map_controls.show(colours, atlas.paired, len(rows.pairs))
    kept = map_filters.kept(atlas.columns)
    left, right = st.columns((0.7, 0.3), gap="medium")
    with left:
        projection = projected(rows, key, look)
        _map(atlas, rows, projection, look, kept, key, atlas.shows(space))
    with right, chrome.guard("map.quality"):
        _quality(atlas, space, rows, projection, key)
    with chrome.guard("map.filters"):
        map_filters.show(atlas.columns, atlas.data, rows, kept)
    atlas.chosen()


def projected(rows: Rows, key: str, look: Look) -> Projection:
    """The map asked for; PCA while a slow one is still being made, and what is being made said above it."""
    if look.method != "pca":
        from fusion.projections import start
        from fusion.types import FusionError

        try:
            job = start(
                rows.vectors, look.method, labels=rows.modalities, centred=look.centred, seed=look.seed, dims=look.dims
            )
        except FusionError as error:
            st.info(chrome.plain(str(error), 300))
        else:
            made = job.result()
            if made is not None:
                return made
            if job.state() == "running":
                map_controls.waiting(job.digest, look.method)
            else:
                name = t(f"map.method.{look.method}")
                st.warning(f"{t('map.failed', method=name)} {chrome.plain(job.error(), 300)}")
    return place.pca(rows, key, look.centred, look.dims)


def _colouring(column: Column, rows: Rows) -> dict[str, Any]:
    """The colours of a column's names, and what it tells of the rows on the map."""
    told = "" if column.told is None else column.told(np.unique(rows.sample))
    return {"tints": column.tints, "said": told}


def coloured(atlas: Atlas, rows: Rows, look: Look, key: str) -> tuple[np.ndarray, np.ndarray | None, str]:
    """What colours the points: names (P,), or numbers (P,) with the name of their axis."""
    if look.colour == KIND:
        return rows.modalities, None, ""
    if look.colour == GROUP:
        code, words = grouped(atlas, rows, key)
        names = np.asarray([" · ".join(one) or t("map.group", n=at + 1) for at, one in enumerate(words)], dtype=object)
        return names[code], None, ""
    column = atlas.columns[look.colour]
    values = column.values[rows.sample]
    if column.numeric:
        return rows.modalities, values.astype(np.float32), column.title
    unknown = t("map.kind.unknown")
    return place.kinds_of([unknown if one is None else str(one) for one in values.tolist()], len(values)), None, ""


def grouped(atlas: Atlas, rows: Rows, key: str) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Groups of near points in the original space, and the words that set each apart."""

    def make() -> tuple[np.ndarray, list[tuple[str, ...]]]:
        from fusion.projections.groups import apart, groups

        code = groups(rows.vectors)
        some = np.arange(len(code))
        if len(some) > READ:
            some = np.random.default_rng(0).choice(some, READ, replace=False)
        found = apart([atlas.text(int(row)) for row in rows.sample[some]], code[some])
        return code, found + [()] * (int(code.max(initial=0)) + 1 - len(found))

    return cache.made(make, "groups", key)


def labels_of(points: np.ndarray, code: np.ndarray, words: Sequence[tuple[str, ...]]) -> list[Label]:
    """A label in the middle of each group that lies together on the map and has words of its own, large groups first;
    none on another's."""
    from fusion.views.embedding import Label

    spread = lambda some: float(np.median(np.linalg.norm(some - np.median(some, 0), axis=1)))  # noqa: E731
    everywhere, room = spread(points), np.ptp(points, axis=0) * LABEL
    found: list[Label] = []
    for group in np.argsort(-np.bincount(code, minlength=len(words)), kind="stable"):
        some = points[code == group]
        if not words[group] or not len(some) or spread(some) > TOGETHER * everywhere:
            continue
        x, y = map(float, np.median(some, 0))
        if all(abs(x - one.x) > room[0] or abs(y - one.y) > room[1] for one in found):
            found.append(Label(x, y, " · ".join(words[group])))
    return found


def _map(
    atlas: Atlas, rows: Rows, projection: Projection, look: Look, kept: np.ndarray | None, key: str, shows: str
) -> None:
    """The page's one WebGL picture. A lasso chooses samples."""
    from fusion.views import canvas as clouds
    from fusion.views import embedding

    ids, here = selected(atlas.data)[:RINGS], state.get("id")
    seen, whom = atlas.placed(rows, projection) if atlas.placed is not None else (None, "")
    some = np.arange(len(rows.ids)) if kept is None else np.flatnonzero(kept[rows.sample])
    left, points = part_of(rows, some), projection.points[some]
    if not len(some):
        st.info(t("map.filters.none"))
        return
    column = atlas.columns.get(look.colour)
    stamp = None if column is None else column.stamp
    name: tuple[Hashable, ...] = (key, projection.digest, look, ids, here, whom, map_filters.told(), stamp)
    method = t(f"map.method.{projection.method.replace(' ', '_')}")

    def facts() -> dict[str, Any]:
        kinds, values, axis = coloured(atlas, rows, look, key)
        lines = atlas.lines(left, (*ids, here), look.worst) if atlas.lines is not None else (None, None)
        return {
            "method": method, "pairs": lines[0], "distances": lines[1], "selected": left.of((*ids, here)),
            "placed": seen, "total": rows.total if kept is None else len(some), "shows": shows,
            "kinds": kinds[some], "colour": None if values is None else values[some], "colour_name": axis,
            **({} if column is None else _colouring(column, left)),
        }  # fmt: skip

    def took(marks: Sequence[Hashable] | np.ndarray) -> None:
        if len(marks):
            state.select(atlas.data, list(dict.fromkeys(left.ids[mark] for mark in marks if mark is not None)))

    def labels() -> list[Label]:
        return labels_of(projection.points, *grouped(atlas, rows, key)) if look.labels else []

    def make() -> Picture:
        told = facts()
        if look.dims == 3:
            return embedding.solid(points, left.modalities, left.ids, **told)
        return embedding.scatter(
            points, left.modalities, left.ids, labels=labels(), density=look.density,
            beyond=np.delete(projection.points, some, 0), **told,
        )  # fmt: skip

    if len(rows.ids) > DRAWN and look.dims == 2:

        def cloud() -> Cloud:
            told = facts()
            words = [(one.x, one.y, one.text) for one in labels()]
            return clouds.cloud(points, told.pop("kinds"), left.ids, values=told.pop("colour"), labels=words, **told)

        canvas.show(lambda: cache.made(cloud, "cloud", *name), f"cloud_{look.method}", on_lasso=took, title=False)
        return
    chart = f"map_{look.method}_{look.dims}_{look.centred}_{key[-24:]}"
    grid.show(lambda: cache.made(make, "map", *name), chart, on_lasso=None if look.dims == 3 else took, title=False)


def _quality(atlas: Atlas, space: str, rows: Rows, projection: Projection, key: str) -> None:
    """How far to trust the map, and how well pairs lie together, both in the original space."""
    import pandas as pd

    found = cache.made(
        lambda: {**atlas.figures(space, rows, projection), **trusted(rows, projection)}, "quality", key,
        projection.digest,
    )  # fmt: skip
    with st.container(border=True, key="card_quality"):
        st.markdown(f"##### {t('map.quality')}")
        if len(rows.pairs):
            st.caption(t("map.quality.tell", n=f"{len(rows.pairs):,}"))
        names = {t("map.quality.what"): [t(f"map.quality.{name}") for name in found]}
        table = pd.DataFrame(names | {t("map.quality.value"): list(found.values())})
        st.table(table, border="horizontal", hide_index=True, hide_header=True)
        with st.popover(t("map.quality.read"), type="tertiary"):
            for name in found:
                st.markdown(f"**{t(f'map.quality.{name}')}** {t(f'map.quality.{name}.help')}")


def trusted(rows: Rows, projection: Projection) -> dict[str, str]:
    """How far neighbours on the map are neighbours in truth."""
    from fusion.projections import quality
    from fusion.views.speech import num, percent

    trust = quality(rows.vectors, projection.points, sample=1000)
    found = {
        "trust": num(trust.trustworthiness), "continuity": num(trust.continuity), "overlap": percent(trust.overlap),
    }  # fmt: skip
    if projection.explained is not None:
        found["explained"] = percent(sum(projection.explained))
    return found


def farthest(rows: Rows, ids: tuple[str, ...], worst: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs to join: those of the selection and the farthest in the original space, with their distances."""
    if not len(rows.pairs):
        return rows.pairs, np.zeros(0, np.float32)
    apart = np.linalg.norm(rows.vectors[rows.pairs[:, 0]] - rows.vectors[rows.pairs[:, 1]], axis=1)
    keep = set(np.argsort(-apart)[:worst].tolist())
    wanted = set(ids) - {""}
    keep |= {i for i, (a, _) in enumerate(rows.pairs) if rows.ids[a] in wanted} if wanted else set()
    order = sorted(keep)
    return rows.pairs[order], apart[order].astype(np.float32)


def selected(data: str) -> tuple[str, ...]:
    """The ids of the selection where it is of this data set."""
    chosen = state.selection()
    return chosen.ids if chosen.data == data else ()


def part_of(rows: Rows, some: np.ndarray) -> Rows:
    """Some points, in order; pairs of which both halves are left stay pairs."""
    if len(some) == len(rows.ids):
        return rows
    where = np.full(len(rows.ids), -1)
    where[some] = np.arange(len(some))
    pairs = where[rows.pairs] if len(rows.pairs) else rows.pairs
    return replace(
        rows, vectors=rows.vectors[some], modalities=rows.modalities[some], sample=rows.sample[some],
        ids=tuple(rows.ids[i] for i in some), pairs=pairs[(pairs >= 0).all(1)] if len(pairs) else pairs,
    )  # fmt: skip
