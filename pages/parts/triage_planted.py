"""What the order finds of mismatches that are planted in the very set, when a person asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from fusion.words import t
from pages.parts import cache

if TYPE_CHECKING:
    from fusion.triage.planting import Seeded
    from pages.parts.triage_run import Opened


def show(opened: Opened) -> None:
    """A button, and then how many of the planted pairs stand at the top."""
    from fusion.views.speech import num

    st.markdown(f"##### {t('queue.planted')}")
    st.markdown(t("queue.planted.tell"))
    key = ("triage_planted", str(opened.folder), opened.stamp)
    if st.session_state.get("triage_planted") != key:
        if not st.button(t("queue.planted.go"), key="triage_planted_go"):
            return
        st.session_state["triage_planted"] = key
    with st.spinner(t("queue.planted.wait")):
        found = cache.made(lambda: _seeded(opened), *key)
    if found is None:
        st.caption(t("queue.planted.none"))
        return
    chance = found.planted / found.rows
    facts = {"planted": f"{found.planted:,}", "rows": f"{found.rows:,}", "precision": num(found.precision)}
    st.markdown(t("queue.planted.said", **facts, chance=num(chance)))
    st.dataframe(_table(found), hide_index=True, key="triage_planted_table",
                 alt=t("queue.planted.alt", **facts))  # fmt: skip
    st.caption(t("queue.planted.caveat"))


def _seeded(opened: Opened) -> Seeded | None:
    from fusion.triage.planting import seeded

    return seeded(opened.store)


def _table(found: Seeded) -> pd.DataFrame:
    """The first so many, how many of them were planted, and which share of all planted ones they are."""
    from fusion.views.speech import percent

    names = [t(f"queue.planted.{name}") for name in ("first", "share", "between", "found")]
    rows = [
        [f"{k:,}", percent(part.value), t("match.rate.range", low=percent(part.low), high=percent(part.high)),
         percent(found.found[k])]
        for k, part in found.at_k.items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=names)
