"""The Fusion page for a graph checkpoint: what it listens to over all entities, and whether that means anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, finder, grid, side_by_side, state, tabs, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.views import Picture
    from fusion.views.fusing import Weighed


def show() -> None:
    """The tabs, once all entities were computed."""
    found = work.aligned("fusion")
    if found is not None:
        page = Listening(*found)
        key, place = tabs.opened("fusion", list(TABS))
        with place, chrome.guard(f"fusion.tab.{key}"):
            TABS[key](page)


class Listening:
    """All entities under a checkpoint and what draws them: each picture is made once and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, aligned: AlignedSet) -> None:
        self.checkpoint, self.dataset, self.aligned = checkpoint, dataset, aligned
        self.key = (checkpoint.digest, dataset.digest)
        self.frame, self.modalities = aligned.frame, aligned.modalities

    @property
    def weighed(self) -> Weighed:
        """Weights and what was known, as the pictures take them."""
        return cache.made(self._weighed, "weighed", *self.key)

    def _weighed(self) -> Weighed:
        from fusion.views.fusing import Weighed

        columns = lambda kind: self.frame[[f"{kind}_{m}" for m in self.modalities]].to_numpy()  # noqa: E731
        kinds = self.frame["kind"].astype(str).to_numpy()
        return Weighed(self.modalities, columns("weight").astype(np.float32), columns("known").astype(bool), kinds)

    def show(self, make: Callable[[], Picture], name: str, **more: Callable[..., None]) -> None:
        """A picture under a name, made once for these entities."""
        grid.show(lambda: cache.made(make, "fusion", *self.key, name), f"fusion_{name}", **more)

    def open(self, mark: Hashable) -> None:
        """A click on an entity puts it into the selection, from where it opens in Inspect."""
        if isinstance(mark, int):
            self.take([mark])

    def take(self, marks: list[Hashable]) -> None:
        """Entities chosen with a lasso become the selection."""
        ids = self.frame["id"].astype(str)
        chosen = [ids.iloc[mark] for mark in marks if isinstance(mark, int)]
        if chosen:
            state.select(self.dataset.spec or self.dataset.key, chosen)

    @property
    def shared(self) -> bool:
        """Whether one set of weights is for all entities."""
        return bool(np.ptp(self.weighed.weights, axis=0).max() < 1e-6)


def share(page: Listening) -> None:
    """The weights of all entities: a triangle for three modalities, ridges and lines for more."""
    from fusion.views import fusing

    seen = page.weighed
    if page.shared:
        st.info(t("fusion.shared"))
        page.show(lambda: fusing.constant(seen), "constant")
        return
    if len(seen.modalities) == 3:
        page.show(lambda: fusing.ternary(seen), "ternary", on_lasso=page.take)
    left, right = st.columns(2)
    with left:
        page.show(lambda: fusing.ridges(seen), "ridges")
    with right:
        page.show(lambda: fusing.parallel(seen), "parallel")
    if len(set(seen.kinds)) > 1:
        page.show(lambda: fusing.by_kind(seen), "by_kind")


def honest(page: Listening) -> None:
    """Each modality's weight against what its removal does, and how far the two go together."""
    from fusion.views.speech import say

    found = page.aligned.faithful
    known = [m for m in page.modalities if found.get(m) is not None]
    st.markdown(t("fusion.honest.tell"))
    if known:
        page.show(lambda: _faithful(page), "faithful")
    else:
        st.info(t("fusion.honest.none" if not page.shared else "fusion.honest.shared"))
    st.segmented_control(
        t("fusion.modality"), page.modalities, key="fusion_modality", required=True, format_func=say,
        default=_modality(page), on_change=lambda: state.put(modality=st.session_state["fusion_modality"]),
    )  # fmt: skip
    m = _modality(page)
    page.show(lambda: _cloud(page, m), f"honest_{m}", on_pick=page.open)
    chosen = state.selection()
    if chosen.ids and chosen.data == (page.dataset.spec or page.dataset.key):
        name = finder.name_of(page.dataset.get(chosen.primary)) if chosen.primary in page.dataset.index else ""
        chrome.link("inspect", t("fusion.open", name=plain(name, 40)), id=chosen.primary)
    st.caption(faithful_note(page))


def faithful_note(page: Listening) -> str:
    """How many pairs the correlations are from."""
    held = page.frame[page.frame["split"] == finder.HELD_OUT]
    return t("fusion.honest.note", count=f"{len(held):,}")


def _modality(page: Listening) -> str:
    now = state.get("modality")
    return now if now in page.modalities else page.modalities[0]


def _faithful(page: Listening) -> Picture:
    from fusion.views import faithful
    from fusion.views.speech import say

    held = int((page.frame["split"] == finder.HELD_OUT).sum())
    lines = [
        faithful.Line(say(m), found.value, found.low, found.high, held)
        for m, found in page.aligned.faithful.items() if found is not None
    ]  # fmt: skip
    return faithful.lines(
        lines, key="faithful", title=t("fusion.faithful.title"), axis=t("views.axis.spearman"), neutral=0.0,
        span=(-1.0, 1.0), shows=t("fusion.faithful.shows"), hides=t("fusion.faithful.hides"),
    )  # fmt: skip


def _cloud(page: Listening, modality: str) -> Picture:
    from fusion.views import faithful

    frame = page.frame
    held = (frame["split"] == finder.HELD_OUT).to_numpy()
    effect = frame[f"effect_{modality}"].to_numpy(np.float64)
    effect = np.where(held, effect, np.nan) if held.any() else effect
    found = page.aligned.faithful.get(modality)
    rank = None if found is None else faithful.Rank(found.value, found.low, found.high)
    return faithful.honest(page.weighed, modality, effect, rank)


def coverage(page: Listening) -> None:
    """How many entities really have each modality, and what the ranks are with and without it."""
    from fusion.views import faithful

    page.show(lambda: faithful.coverage(page.weighed), "coverage")
    for m in page.modalities:
        there = page.frame[f"known_{m}"].to_numpy(bool)
        if there.all() or not there.any():
            continue
        page.show(lambda m=m: _with_and_without(page, m), f"having_{m}")


def _with_and_without(page: Listening, modality: str) -> Picture:
    """Hits@1 of held-out pairs whose two entities have a modality, and of those where one lacks it."""
    from fusion.metrics.intervals import wilson
    from fusion.views import faithful
    from fusion.views.speech import say

    frame = page.frame.set_index("id")
    held = frame[(frame["split"] == finder.HELD_OUT) & (frame["side"] == 0)]
    both = held[f"known_{modality}"].to_numpy(bool) & frame.loc[held["partner"], f"known_{modality}"].to_numpy(bool)
    lines = []
    for there, name in ((True, "fusion.having.both"), (False, "fusion.having.lacking")):
        ranks = held["rank"].to_numpy()[both == there]
        if len(ranks):
            found = wilson(int((ranks <= 1).sum()), len(ranks))
            lines.append(faithful.Line(t(name), found.value, found.low, found.high, len(ranks)))
    return faithful.lines(
        lines, key=f"having_{modality}", title=t("fusion.having.title", name=say(modality)),
        axis=t("views.axis.hits1"), shows=t("fusion.having.shows"), hides=t("fusion.having.hides"),
    )  # fmt: skip


def spaces(page: Listening) -> None:
    """What goes in and what was learned, as spaces side by side."""
    side_by_side.show(page.checkpoint, page.dataset)


TABS = {"share": share, "honest": honest, "coverage": coverage, "spaces": spaces}
