"""The card of a data set of two graphs: what is in them, their links, and whether all entities were ranked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, using, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.data import DataSet

CELL = 150  # pixels of one number: four in a row, two on a phone


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
        st.markdown(f"#### {chrome.data_name(dataset.spec or dataset.key)}")
        with st.container(border=True, horizontal=True, gap="small", key="card_verdict_data"):
            for name, value, below in cells:
                st.metric(
                    t(f"checkpoints.graph.{name}"), f"{value:,}", below, delta_color="off", delta_arrow="off",
                    width=CELL, help=t(f"checkpoints.graph.{name}.help"),
                )  # fmt: skip
        st.markdown(t("views.list.semicolon").join((one, other)))
        counts = ((name, len(graph.pairs(name))) for name in ("train", "valid", "test"))
        parts = t("views.list.comma").join(f"{t(f'split.{name}')} {count:,}" for name, count in counts)
        st.markdown(t("checkpoints.graph.splits", parts=parts))
        for note in dataset.notes:
            st.info(plain(note, 600))
        with st.container(horizontal=True):
            chrome.link("inspect", t("inspect.nav"))
            chrome.link("map", t("checkpoints.data.map"))
        if dataset.spec and dataset.spec != dataset.key:
            st.button(
                t("checkpoints.data.again"), key="data_again", type="tertiary", on_click=cache.forget_data,
                args=(dataset.spec,),
            )  # fmt: skip
    checkpoint = using.quiet()
    if checkpoint is None or using.reads_of(checkpoint) != "graph":
        return
    with chrome.guard("checkpoints.observed"):
        if cache.aligned(checkpoint, dataset) is None:
            work.offer(checkpoint, dataset)
        else:
            st.success(t("checkpoints.graph.ready", name=plain(checkpoint.name, 60), count=f"{len(dataset):,}"))
