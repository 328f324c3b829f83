"""The card of a data set of two graphs: what is in them, their links, and whether all entities were ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, set_card
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.data import DataSet


def show(dataset: DataSet) -> None:
    """Counts of both graphs, the splits of their links, notes, and the way on."""
    graph = dataset.graph
    assert graph is not None, "the other card is for pairs"
    pictures = sum(sample.image() is not None for sample in dataset.samples)
    one, other = (f"{plain(title, 30)} {len(graph.rows(side)):,}" for side, title in enumerate(graph.titles))
    lonely = int((graph.degree() == 0).sum())
    cells = (
        ("entities", len(graph), t("checkpoints.graph.pictures", count=f"{pictures:,}")),
        ("triples", len(graph.triples), t("checkpoints.graph.relations", count=f"{len(graph.relations):,}")),
        ("links", len(graph.links), t(f"checkpoints.data.word.{dataset.word}")),
        ("lonely", lonely, None),
    )
    with st.container(border=True, key="card_data"):
        set_card.numbers(dataset, "graph", cells)
        st.markdown(t("views.list.semicolon").join((one, other)))
        set_card.splits("checkpoints.graph.splits", lambda name: len(graph.pairs(name)))
        set_card.way_on(dataset)
    set_card.ran(dataset, cache.aligned, "checkpoints.graph.ready")
