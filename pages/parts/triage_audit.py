"""How far the order can be trusted, from what people said: a random draw first, then the suspects looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import state, triage_list

if TYPE_CHECKING:
    from pages.parts.triage_run import Opened


def show(opened: Opened) -> None:
    """Everything on the tab."""
    _rate(opened)


def _rate(opened: Opened) -> None:
    """The share of wrong pairs, from the random draw alone."""
    from fusion.metrics.intervals import wilson
    from fusion.triage.verdicts import settled
    from fusion.views.speech import percent

    ids = opened.store.sample(triage_list.RANDOM)
    decided = opened.decided()
    seen = [settled(dict(decided[id])) for id in ids if id in decided]
    sure = [one for one in seen if one in ("keep", "mismatch", "fix")]
    wrong = sum(one != "keep" for one in sure)
    with st.container(border=True, key="card_rate"):
        st.markdown(f"##### {t('queue.rate')}")
        st.markdown(t("queue.rate.tell", count=len(ids)))
        st.progress(len(seen) / max(len(ids), 1), text=t("queue.rate.done", done=len(seen), count=len(ids)))
        if sure:
            found = wilson(wrong, len(sure))
            st.metric(
                t("queue.rate.share"), percent(found.value),
                t("match.rate.range", low=percent(found.low), high=percent(found.high)), delta_color="off",
                delta_arrow="off",
            )  # fmt: skip
        if len(seen) < len(ids):
            st.button(t("queue.rate.go"), key="triage_random", type="primary", on_click=_random)


def _random() -> None:
    state.put(show="random", status=None, sort=None, find=None, where=None, pair=None, tab=None)
    st.session_state["triage_tabs"] = t("triage.tab.queue")
