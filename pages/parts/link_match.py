"""The Match page for a link predictor: filtered figures, which questions go wrong, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.links.lines import BRANCH, line, read_of
from fusion.words import t
from pages.parts import cache, grid, link_rows, state, tabs, work
from pages.parts import link_question as questions
from pages.parts.chrome import guard, plain
from pages.parts.link_lines import groups, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.whole import LinkSet
    from fusion.views import Picture
    from fusion.views.faithful import Line

TABS = ("wrong", "ranks", "slices", "branches")
SPLITS = ("test", "valid")
PARTS = ("all", "clean", "own")  # all questions, those that no split gives away, those without the answer in the name
CELL = 150  # pixels of one number: five in a row, two on a phone
LEAST = 4  # questions below which nothing is counted
POPULAR = ((0, 2), (3, 10), (11, 30), (31, 100), (101, None))  # training triples of the answer
MOST = 14  # groups in a slice


def show() -> None:
    """Everything below the heading, once all held-out questions were asked."""
    found = work.linked("match")
    if found is None:
        return
    checkpoint, dataset, whole = found
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="linking_controls"):
        split, part = _split(whole), _part(whole)
    frame = part_of(whole.frame[whole.frame["split"] == split], part)
    if len(frame) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(frame)))
        return
    page = Linking(checkpoint, dataset, whole, frame, split, part)
    with guard("match.strip"):
        page.strip()
    name, place = tabs.opened("linking", TABS)
    with place, guard(f"linking.tab.{name}"):
        getattr(page, name)()


def _split(whole: LinkSet) -> str:
    counts = {name: int((whole.frame["split"] == name).sum()) for name in SPLITS}
    options = [name for name in SPLITS if counts[name]]
    if len(options) < 2:
        return options[0] if options else SPLITS[0]
    now = state.get("split") if state.get("split") in options else options[0]
    names = {name: t("match.split.option", name=t(f"split.{name}"), count=f"{counts[name]:,}") for name in options}
    st.segmented_control(
        t("linking.split"), options, key="link_split", default=now, required=True, help=t("linking.split.help"),
        format_func=names.__getitem__, on_change=lambda: state.put(split=st.session_state["link_split"]),
    )  # fmt: skip
    return now


def _part(whole: LinkSet) -> str:
    """Which questions are counted; only parts that leave something out are offered."""
    options = [name for name in PARTS if name == "all" or 0 < len(part_of(whole.frame, name)) < len(whole.frame)]
    if len(options) < 2:
        return PARTS[0]
    now = state.get("part") if state.get("part") in options else options[0]
    st.segmented_control(
        t("linking.part"), options, key="link_part", default=now, required=True, help=t("linking.part.help"),
        format_func=lambda name: t(f"linking.part.{name}"),
        on_change=lambda: state.put(part=st.session_state["link_part"]),
    )  # fmt: skip
    return now


class Linking:
    """The questions of one split under a checkpoint; each tab is a method of the tab's name."""

    def __init__(
        self, checkpoint: Checkpoint, dataset: DataSet, whole: LinkSet, frame: pd.DataFrame, split: str, part: str
    ) -> None:
        self.dataset, self.whole, self.frame = dataset, whole, frame
        self.key = (checkpoint.digest, dataset.digest, split, part)

    def show(self, make: Callable[[], Picture], *name: Hashable) -> None:
        """A picture, made once for the same questions."""
        grid.show(lambda: cache.made(make, "linking", *self.key, *name), "linking_" + "_".join(map(str, name)))

    def strip(self) -> None:
        """MRR, Hits@1, 3, 10 in both directions, and how many questions among how many candidates."""
        from fusion.views.speech import num, percent

        ranks = self.frame["rank"].to_numpy(np.float64)
        back = self.frame["direction"].to_numpy() == "head"
        sides = [ranks[~back], ranks[back]]
        found = line("", ranks, self.frame)
        among = t("linking.among", count=f"{len(self.dataset):,}")
        mrr = t("linking.interval", low=num(round(found.low, 3)), high=num(round(found.high, 3))) if found else None
        cells = [("count", f"{len(ranks):,}", among), ("mrr", num(round(float((1 / ranks).mean()), 3)), mrr)]
        for k in (1, 3, 10):
            each = [percent(float((side <= k).mean())) if len(side) else "–" for side in sides]
            below = t("linking.sides", tail=each[0], head=each[1])
            cells.append((f"hits{k}", percent(float((ranks <= k).mean())), below))
        with st.container(border=True, horizontal=True, gap="small", key="card_verdict_linking"):
            for name, value, below in cells:
                st.metric(
                    t(f"linking.{name}"), value, below, delta_color="off", delta_arrow="off", width=CELL,
                    help=t(f"linking.{name}.help"),
                )  # fmt: skip
        st.caption(t("linking.tell"))

    # The tabs

    def wrong(self) -> None:
        """The questions whose answer isn't first, the worst first, with a filter by words."""
        found = self.frame[self.frame["rank"] > 1]
        found = found.sort_values(["rank", "score"], ascending=[False, True], kind="stable")
        words = st.text_input(
            t("match.filter"), key="link_filter", placeholder=t("linking.filter.example"), width=260
        ).strip()
        if words:
            named = found["name"] + "\n" + found["relation_name"] + "\n" + found["tail_name"]
            found = found[named.str.contains(words, case=False, regex=False)]
        if not len(found):
            st.info(t("linking.filter.none", words=plain(words, 60)) if words else t("linking.wrong.none"))
            return
        st.markdown(t("linking.wrong.tell", count=f"{len(found):,}", all=f"{len(self.frame):,}"))
        link_rows.show(self.dataset, self.whole, found, "linking_wrong")

    def ranks(self) -> None:
        """Where the answer stands, when a tail and when a head is asked for."""
        from fusion.views import match

        back = self.frame["direction"].to_numpy() == "head"
        for place, name, chosen in zip(st.columns(2), ("tail", "head"), (~back, back), strict=True):
            ranks = self.frame["rank"].to_numpy(np.float64)[chosen]
            if len(ranks):
                with place:
                    way = t(f"linking.way.{name}")
                    make = lambda ranks=ranks, way=way: match.ranks(  # noqa: E731
                        np.ceil(ranks).astype(np.int64), len(self.dataset), direction=way, goal="answer"
                    )
                    self.show(make, "ranks", name)

    def slices(self) -> None:
        """MRR by relation, direction, how often the answer occurs, and what gives the answer away."""
        for name, lines in self._sliced():
            if len(lines) > 1:
                self.show(lambda lines=lines, name=name: _drawn(name, lines), "slice", name)

    def _sliced(self) -> Iterator[tuple[str, list[Line]]]:
        frame = self.frame
        yield "relation", self._lines(groups(frame, questions.triples_of(self.dataset), MOST))
        back = frame["direction"].to_numpy() == "head"
        yield "direction", self._lines({t("linking.way.tail"): ~back, t("linking.way.head"): back})
        often = frame["popularity"].to_numpy()
        named = {
            f"{low}+" if high is None else f"{low}–{high}": (often >= low) & (often <= (high or often.max()))
            for low, high in POPULAR
        }
        yield "popularity", self._lines(named)
        copied = frame["copied"].to_numpy(bool)
        yield "copied", self._lines({t("linking.slice.own"): ~copied, t("linking.slice.given"): copied})
        clean = frame["clean"].to_numpy(bool)
        yield "clean", self._lines({t("linking.slice.clean"): clean, t("linking.slice.leaked"): ~clean})

    def _lines(self, masks: dict[str, np.ndarray]) -> list[Line]:
        ranks = self.frame["rank"].to_numpy(np.float64)
        found = (line(name, ranks[mask], self.frame[mask]) for name, mask in masks.items())
        return [one for one in found if one is not None]

    def branches(self) -> None:
        """MRR of the decision and of each branch by itself."""
        from fusion.views.speech import say

        columns = {t("linking.decision"): "rank"}
        columns |= {t("aligning.only", name=say(one)): BRANCH + one for one in read_of(self.whole.decision)}
        found = [line(name, self.frame[column].to_numpy(np.float64), self.frame) for name, column in columns.items()]
        lines = [one for one in found if one is not None]
        self.show(lambda: _drawn("branches", lines), "branches")


def _drawn(name: str, lines: list[Line]) -> Picture:
    from fusion.views import faithful

    return faithful.lines(
        lines, key=f"link-slice-{name}", title=t(f"linking.slice.{name}.title"), axis=t("views.axis.mrr"),
        shows=t("linking.slice.shows"), hides=t(f"linking.slice.{name}.hides"),
    )  # fmt: skip
