"""The card of a data set of one graph whose triples are split: counts, splits, what gives answers away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import link_cache, set_card
from pages.parts import link_question as questions
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.data import DataSet

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
        set_card.numbers(dataset, "triples", cells)
        often = triples.frequency()
        most = np.argsort(-often, kind="stable")[:RELATIONS]
        named = (f"{plain(triples.relations[one], 60)} {int(often[one]):,}" for one in most)
        st.markdown(t("checkpoints.triples.most", names=t("views.list.comma").join(named)))
        set_card.splits("checkpoints.triples.splits", lambda name: len(triples.rows(name)))
        set_card.way_on(dataset)
    set_card.ran(dataset, link_cache.whole, "checkpoints.triples.ready")
