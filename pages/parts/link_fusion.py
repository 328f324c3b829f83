"""The Fusion page for a link predictor: what it decides by, and by which relations fusion helps or hurts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.links.lines import BRANCH, line, read_of
from fusion.words import t
from pages.parts import cache, grid, side_by_side, tabs, work
from pages.parts import link_question as questions
from pages.parts.chrome import guard
from pages.parts.link_lines import FEW_RELATIONS, groups, unread

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.whole import LinkSet
    from fusion.views import Picture
    from fusion.views.faithful import Line

HELD_OUT = "test"
LEAST = 8  # questions of a relation below which no gain is told
SHOWN = 12  # of the largest gains, and of the largest losses


def show() -> None:
    """The tabs, once all held-out questions were asked."""
    found = work.linked("fusion")
    if found is None:
        return
    page = Deciding(*found)
    if not len(page.frame):
        st.info(t("empty.few", n=1, m=0))
        return
    key, place = tabs.opened("deciding", list(TABS))
    with place, guard(f"deciding.tab.{key}"):
        TABS[key](page)


class Deciding:
    """The questions to test under a checkpoint: each picture is made once and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, whole: LinkSet) -> None:
        self.checkpoint, self.dataset = checkpoint, dataset
        self.whole, self.branches = whole, read_of(whole.decision)
        held = whole.frame[whole.frame["split"] == HELD_OUT]
        self.frame = held if len(held) else whole.frame
        self.key = (checkpoint.digest, dataset.digest)

    def show(self, make: Callable[[], Picture], name: str) -> None:
        """A picture under a name, made once for these questions."""
        grid.show(lambda: cache.made(make, "deciding", *self.key, name), f"deciding_{name}")

    def ranks(self, branch: str = "") -> np.ndarray:
        """Ranks of all questions by a branch alone, or by the decision. -> (Q,)"""
        return self.frame[BRANCH + branch if branch else "rank"].to_numpy(np.float64)

    def mrr(self, branch: str = "") -> Line:
        """MRR with its interval."""
        found = line(branch, self.ranks(branch), self.frame)
        assert found is not None, "there are questions"
        return found

    @property
    def directed(self) -> bool:
        """Whether both directions of a relation are told apart: where there are few."""
        return len(questions.triples_of(self.dataset).relations) <= FEW_RELATIONS

    @property
    def by_relation(self) -> pd.DataFrame:
        """MRR by relation and branch with intervals, both directions apart where there are few relations."""
        split = HELD_OUT if (self.frame["split"] == HELD_OUT).any() else str(self.frame["split"].iloc[0])
        return cache.made(lambda: self.whole.by_relation(split, directions=self.directed), "by_relation", *self.key)

    def names(self, found: pd.DataFrame) -> list[str]:
        """What the relations of rows are called."""
        triples = questions.triples_of(self.dataset)
        return [questions.arrowed(triples, int(one), self.directed) for one in found["relation"]]


def decision(page: Deciding) -> None:
    """The weight of each branch beside what it can do alone, and whether the modalities of an entity agree."""
    from fusion.views import linking

    whole = page.whole
    if told := unread(whole.decision):
        st.info(told)
    weights = {one: whole.decision[one] for one in page.branches}
    make = lambda: linking.decision(weights, [page.mrr(one) for one in page.branches], page.mrr())  # noqa: E731
    page.show(make, "decision")


def relations(page: Deciding) -> None:
    """Relation by branch: who finds the answer where."""
    from fusion.views import linking

    def make() -> Picture:
        masks = groups(page.frame, questions.triples_of(page.dataset), len(page.frame))
        inverse = 1 / np.stack([page.ranks(one) for one in ("", *page.branches)], 1)
        cells = np.stack([inverse[mask].mean(0) for mask in masks.values()])
        counts = np.asarray([int(mask.sum()) for mask in masks.values()])
        return linking.by_relation(list(masks), counts, cells, page.branches)

    page.show(make, "relations")


def gain(page: Deciding) -> None:
    """Where the decision is above its best branch, and where it is below."""
    from fusion.views import faithful, linking

    with st.spinner(t("deciding.wait"), show_time=True):  # a thousand resamples a relation
        found = gains(page)
    if not found:
        st.info(t("deciding.gain.few", n=LEAST))
        return
    st.markdown(linking.gained(found))
    shown = found if len(found) <= 2 * SHOWN else [*found[:SHOWN], *found[-SHOWN:]]
    reach = max(max(abs(one.low), abs(one.high)) for one in shown) * 1.1 or 1.0

    def make() -> Picture:
        return faithful.lines(
            shown, key="gain", title=t("deciding.gain.title"), axis=t("views.axis.gain"), neutral=0.0,
            span=(-reach, reach), shows=t("deciding.gain.shows"), hides=t("deciding.gain.hides"),
        )  # fmt: skip

    page.show(make, "gain")


def gains(page: Deciding) -> list[Line]:
    """MRR of the decision less that of the relation's best branch, the largest gain first."""
    from fusion.views.faithful import Line
    from fusion.views.speech import say

    table = page.by_relation
    some = table.loc[table["n"] >= LEAST, :].sort_values("gain", ascending=False, kind="stable")
    columns = zip(
        page.names(some), some["best_branch"], some["gain"], some["gain_low"], some["gain_high"], some["n"], strict=True
    )
    return [
        Line(t("deciding.gain.line", relation=name, branch=say(best)), float(gain), float(low), float(high), int(n))
        for name, best, gain, low, high, n in columns
    ]


def spaces(page: Deciding) -> None:
    """What goes in and what was learned, as spaces side by side."""
    side_by_side.show(page.checkpoint, page.dataset)


TABS = {"decision": decision, "relations": relations, "gain": gain, "spaces": spaces}
