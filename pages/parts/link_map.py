"""The Map page for a link predictor: all entities by branch, coloured by kind, and how far modalities agree."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.links.lines import read_of
from fusion.words import t
from pages.parts import atlas, cache, contact, finder, grid, link_cache, place, state, table, work
from pages.parts import link_question as questions
from pages.parts.atlas import Atlas, Column
from pages.parts.chrome import go, guard, plain
from pages.parts.place import Rows

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.whole import LinkSet
    from fusion.views import Picture

PAGE = 50


def show() -> None:
    """Controls, the map, how far to trust it, the entities chosen, and how far modalities agree."""
    from fusion.views.speech import say

    found = work.linked("map")
    if found is None:
        return
    checkpoint, dataset, whole = found
    degree = np.log10(1 + questions.triples_of(dataset).degree()).astype(np.float32)
    atlas.show(Atlas(
        checkpoint=checkpoint.digest, dataset=dataset.digest, data=dataset.spec or dataset.key,
        ids=lambda: [sample.id for sample in dataset.samples],
        spaces={name: say(name) for name in reversed(read_of(whole.decision))},
        rows=lambda space: rows_of(dataset, whole, space),
        columns={"degree": Column(t("map.colour.degree.axis"), degree)}, text=lambda row: dataset.samples[row].called(),
        figures=lambda _, rows, projection: _figures(rows), shows=lambda _: "views.map.shows_kinds",
        chosen=lambda: _chosen(dataset), help="map.space.help.triples", kind="map.colour.kind",
    ))  # fmt: skip
    with guard("map.agreement"):
        _agreement(checkpoint, dataset, whole)


def rows_of(dataset: DataSet, whole: LinkSet, space: str) -> Rows:
    """Vectors of a branch with the kinds of their entities; a seeded sample beyond the cap."""
    vectors = whole.vectors(space)
    there = np.flatnonzero(np.abs(vectors).sum(1) > 0)
    total = len(there)
    if total > place.CAP:
        there = np.sort(np.random.default_rng(0).choice(there, place.CAP, replace=False))
    kinds = place.kinds_of(questions.triples_of(dataset).kind, len(dataset))
    order = {kind: at for at, (kind, _) in enumerate(Counter(kinds[there].tolist()).most_common())}
    order |= {t("map.kind.other"): len(order)}
    there = there[np.argsort([order[kind] for kind in kinds[there]], kind="stable")]  # large kinds below small ones
    ids = tuple(dataset.samples[row].id for row in there)
    return Rows(vectors[there], kinds[there], there, ids, np.zeros((0, 2), int), total)


def _figures(rows: Rows) -> dict[str, str]:
    """How far kinds lie together in the original space."""
    from fusion.views.speech import percent

    found: dict[str, str] = {}
    if len(set(rows.modalities.tolist())) > 1:
        near, chance = place.same_kind(rows.vectors, rows.modalities)
        found["kinds"] = f"{percent(near)} ({percent(chance)})"
    return found


def _chosen(dataset: DataSet) -> None:
    """The rows of the selection, or how to make one."""
    import pandas as pd

    ids = atlas.selected(dataset.spec or dataset.key)
    st.header(t("map.chosen"), anchor=False)
    if not ids:
        st.markdown(t("map.chosen.none"))
        return
    contact.show(dataset, ids)
    found = [dataset.get(id) for id in ids if id in dataset.index]
    pages = max(1, -(-len(found) // PAGE))
    page = min(st.session_state.get("page_selection", 0), pages - 1)
    here = found[page * PAGE : (page + 1) * PAGE]
    degree = questions.triples_of(dataset).degree()
    shown = pd.DataFrame({
        "picture": [cache.thumbnail(one.image()) for one in here], "name": [finder.name_of(one) for one in here],
        "kind": [questions.kind_of(dataset, one) for one in here],
        "degree": [int(degree[dataset.index[one.id]]) for one in here], "id": [one.id for one in here],
    })  # fmt: skip
    if not shown["picture"].notna().any():
        shown = shown.drop(columns="picture")
    kinds = st.column_config
    config: dict[str, object] = {name: kinds.TextColumn(t(f"table.{name}")) for name in ("name", "kind")}
    config |= {
        "picture": kinds.ImageColumn(t("table.picture"), width=64), "id": kinds.TextColumn("id", width="small"),
        "degree": kinds.NumberColumn(t("table.degree"), help=t("table.degree.help"), format="%d", width="small"),
    }  # fmt: skip
    event = st.dataframe(
        shown, hide_index=True, key=f"rows_selection_{page}", on_select="rerun", selection_mode="single-row",
        row_height=54, height=min(560, 40 + 54 * max(len(shown), 1)), column_config=config, placeholder="",
        alt=t("table.alt", count=len(shown), first=plain(shown["name"].iloc[0], 60) if len(shown) else "–"),
    )  # fmt: skip
    rows = event["selection"]["rows"]
    row = rows[0] if rows and rows[0] < len(here) else None
    with st.container(horizontal=True, vertical_alignment="center", key="under_selection"):
        label = t("table.open") if row is None else t("table.open.id", id=plain(finder.name_of(here[row]), 40))
        if st.button(label, key="open_selection", type="primary", disabled=row is None) and row is not None:
            state.put(data=dataset.spec or dataset.key, rel=None, against=None)
            go("inspect", id=here[row].id)
        table.turns("selection", page, pages, len(found))
        st.space("stretch")
        grid.download(shown.drop(columns="picture", errors="ignore"), "selection", "csv_selection")


def _agreement(checkpoint: Checkpoint, dataset: DataSet, whole: LinkSet) -> None:
    """Cosines between an entity's rows of two modalities, over the entities that have both in what is read of them."""
    from fusion.links.whole import PAIRS
    from fusion.views import linking

    def make() -> Picture:
        predictor = link_cache.predictor(checkpoint, dataset)
        known = {name: predictor.there(name) for pair in PAIRS for name in pair}
        both = np.stack([known[a] & known[b] for a, b in PAIRS], 1)
        return linking.agreement(whole.alignment, PAIRS, both)

    grid.show(lambda: cache.made(make, "agreement", checkpoint.digest, dataset.digest), "agreement")
