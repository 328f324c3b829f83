"""The card of a data set of one graph whose triples are split: counts, splits, what gives answers away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, link_cache, using, work
from pages.parts import link_question as questions
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.data import DataSet

CELL = 150  # pixels of one number: four in a row, two on a phone
RELATIONS = 8  # that are named


def show(dataset: DataSet) -> None:
    """Counts, the splits of the triples, notes, and the way on."""
    triples = questions.triples_of(dataset)
    pictures = sum(sample.image() is not None for sample in dataset.samples)
    tested = triples.rows("test")
    cells = (
        ("entities", len(triples), t("checkpoints.graph.pictures", count=f"{pictures:,}")),
        ("triples", len(triples.triples), t("checkpoints.graph.relations", count=f"{len(triples.relations):,}")),
        ("clean", int(triples.clean[tested].sum()), t("checkpoints.triples.clean.of", count=f"{len(tested):,}")),
        ("lonely", int((triples.degree() == 0).sum()), None),
    )
    with st.container(border=True, key="card_data"):
        st.markdown(f"#### {chrome.data_name(dataset.spec or dataset.key)}")
        with st.container(border=True, horizontal=True, gap="small", key="card_verdict_data"):
            for name, value, below in cells:
                st.metric(
                    t(f"checkpoints.triples.{name}"), f"{value:,}", below, delta_color="off", delta_arrow="off",
                    width=CELL, help=t(f"checkpoints.triples.{name}.help"),
                )  # fmt: skip
        often = triples.frequency()
        most = np.argsort(-often, kind="stable")[:RELATIONS]
        named = (f"{plain(triples.relations[one], 60)} {int(often[one]):,}" for one in most)
        st.markdown(t("checkpoints.triples.most", names=t("views.list.comma").join(named)))
        counts = ((name, len(triples.rows(name))) for name in ("train", "valid", "test"))
        parts = t("views.list.comma").join(f"{t(f'split.{name}')} {count:,}" for name, count in counts)
        st.markdown(t("checkpoints.triples.splits", parts=parts))
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
    if checkpoint is None or not using.fits(checkpoint, dataset.spec or dataset.key):
        return
    with chrome.guard("checkpoints.observed"):
        if link_cache.whole(checkpoint, dataset) is None:
            work.offer(checkpoint, dataset)
        else:
            st.success(t("checkpoints.triples.ready", name=plain(checkpoint.name, 60)))
