"""The Fusion page for a checkpoint of pairs: how far its gates open over a data set, and what that goes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, grid, side_by_side, state, tabs, trusting, work

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.observations import Observed
    from fusion.views import Picture
    from fusion.views.faithful import Rank

IMAGE = "image"  # what the gate of the stored rows lets in
RESAMPLES = 200  # of the rank correlation: a second for some thousand rows


def show() -> None:
    """The gates, and spaces side by side, once the data set was computed."""
    found = work.observed("fusion")
    if found is None:
        return
    checkpoint, dataset, observed = found
    name, place = tabs.opened("gating", ("gates", "trust", "spaces"))
    with place, chrome.guard(f"gating.tab.{name}"):
        if name == "spaces":
            side_by_side.show(checkpoint, dataset)
        elif name == "trust":
            trusting.show(checkpoint, dataset)
        else:
            gates(checkpoint, dataset, observed)


def gates(checkpoint: Checkpoint, dataset: DataSet, observed: Observed) -> None:
    """The gates, the gates against the match score, and why the effect of removal isn't here."""
    key = (checkpoint.digest, dataset.digest)
    gate = observed.frame["mean_gate"].to_numpy(np.float64)
    if not np.isfinite(gate).any():
        st.info(t("empty.none", kind=t("kind.Gate"), list=t("kind.Match")))
        return

    def take(mark: Hashable) -> None:
        if isinstance(mark, int):
            state.select(dataset.spec or dataset.key, [str(observed.frame["id"].iloc[mark])])

    left, right = st.columns(2)
    with left:
        grid.show(lambda: cache.made(lambda: _gates(gate), "gates", *key), "gates")
    with right:
        make = lambda: cache.made(lambda: _against(observed), "gate_match", *key)  # noqa: E731
        grid.show(make, "gate_match", on_pick=take)
    with st.container(border=True, key="card_effect"):
        st.markdown(f"##### {t('fusion.effect')}")
        st.markdown(t("fusion.effect.why"))
        chosen = state.selection()
        one = chosen.primary if chosen.data == (dataset.spec or dataset.key) else ""
        chrome.link("inspect", t("fusion.effect.link"), tab="drop", **({"id": one} if one else {"story": "fits"}))


def _gates(gate: np.ndarray) -> Picture:
    from fusion.views import faithful

    return faithful.gates(gate, IMAGE)


def _against(observed: Observed) -> Picture:
    from fusion.views import faithful

    gate, match = (observed.frame[name].to_numpy(np.float64) for name in ("mean_gate", "match"))
    return faithful.gate_match(gate, match, IMAGE, _correlation(gate, match, observed))


def _correlation(gate: np.ndarray, match: np.ndarray, observed: Observed) -> Rank | None:
    """Spearman of gate and match with its interval; samples of one picture are resampled together."""
    from fusion.metrics.intervals import spearman_interval
    from fusion.views.faithful import Rank

    has = np.isfinite(gate) & np.isfinite(match)
    groups = observed.frame["image"].where(observed.frame["image"] != "", observed.frame["id"]).astype(str).to_numpy()
    found = spearman_interval(gate[has], match[has], n=RESAMPLES, groups=groups[has])
    return None if found is None else Rank(found.value, found.low, found.high)
