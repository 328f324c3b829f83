"""The Match page for a graph checkpoint: how many partners are found, where they aren't, and which pairs are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, entity_rows, grid, state, tabs, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import pandas as pd

    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.views import Picture
    from fusion.views.faithful import Line

TABS = ("wrong", "ranks", "slices", "modalities")
SPLITS = ("test", "valid", "train")
CELL = 150  # pixels of one number: five in a row, two on a phone
LEAST = 4  # pairs below which nothing is counted
DEGREES = ((0, 1), (2, 3), (4, 7), (8, 15), (16, None))
KINDS = 14
MANY = 50  # entities sent to the map at once


def show() -> None:
    """Everything below the heading, once all entities were computed."""
    found = work.aligned("match")
    if found is None:
        return
    checkpoint, dataset, aligned = found
    split = _split(aligned)
    pairs = aligned.pairs(split)
    if len(pairs) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(pairs)))
        return
    page = Aligning(checkpoint, dataset, aligned, pairs, split)
    with chrome.guard("match.strip"):
        page.strip()
    name, place = tabs.opened("aligning", TABS)
    with place, chrome.guard(f"aligning.tab.{name}"):
        getattr(page, name)()


def _split(aligned: AlignedSet) -> str:
    counts = {name: len(aligned.pairs(name)) for name in SPLITS}
    options = [name for name in SPLITS if counts[name]]
    if len(options) < 2:
        return options[0] if options else SPLITS[0]
    now = state.get("split") if state.get("split") in options else options[0]
    names = {name: t("match.split.option", name=t(f"split.{name}"), count=f"{counts[name]:,}") for name in options}
    st.segmented_control(
        t("match.split"), options, key="entity_split", default=now, required=True, help=t("aligning.split.help"),
        format_func=names.__getitem__, on_change=lambda: state.put(split=st.session_state["entity_split"]),
    )  # fmt: skip
    return now


class Aligning:
    """The pairs of one split under a checkpoint; each tab is a method of the tab's name."""

    def __init__(
        self, checkpoint: Checkpoint, dataset: DataSet, aligned: AlignedSet, pairs: pd.DataFrame, split: str
    ) -> None:
        self.dataset, self.aligned, self.pairs = dataset, aligned, pairs
        self.key = (checkpoint.digest, dataset.digest, split)

    def picture(self, make: Callable[[], Picture], *name: Hashable) -> Callable[[], Picture]:
        """How to make a picture, once for the same pairs."""
        return lambda: cache.made(make, "aligning", *self.key, *name)

    @property
    def ways(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Both directions: the column of the ranks, and its name."""
        graph = self.dataset.graph
        assert graph is not None, "a face of entities has graphs"
        one, other = (plain(title, 30) for title in graph.titles)
        return ("rank", t("match.way", one=one, other=other)), ("rank_back", t("match.way", one=other, other=one))

    def strip(self) -> None:
        """Hits@1, 5, 10 and MRR, both directions, and how many pairs."""
        from fusion.views.speech import num, percent

        there, back = (self.pairs[column].to_numpy(np.float64) for column, _ in self.ways)
        chance = percent(min(1.0, 1 / len(self.pairs)))
        cells = [("count", f"{len(self.pairs):,}", t("match.chance", share=chance))]
        for k in (1, 5, 10):
            first, second = (percent(float((ranks <= k).mean())) for ranks in (there, back))
            cells.append((f"hits{k}", first, t("aligning.back", value=second)))
        mrr = [num(float((1 / ranks).mean())) for ranks in (there, back)]
        cells.append(("mrr", mrr[0], t("aligning.back", value=mrr[1])))
        with st.container(border=True, horizontal=True, gap="small", key="card_verdict_aligning"):
            for name, value, below in cells:
                st.metric(
                    t(f"aligning.{name}"), value, below, delta_color="off", delta_arrow="off", width=CELL,
                    help=t(f"aligning.{name}.help"),
                )  # fmt: skip
        st.caption(t("aligning.ways", there=self.ways[0][1], back=self.ways[1][1]))

    # The tabs

    def wrong(self) -> None:
        """The pairs whose partner isn't first, the worst first, with a filter by words."""
        both = self.aligned.frame
        found = both[both["split"].eq(self.key[2]) & (both["rank"] > 1)]
        found = found.sort_values(["rank", "score"], ascending=[False, True], kind="stable")
        words = st.text_input(
            t("match.filter"), key="wrong_filter", placeholder=t("aligning.filter.example"), width=260
        )
        if words.strip():
            found = found[found["name"].str.contains(words.strip(), case=False, regex=False)]
        if not len(found):
            st.info(t("match.wrong.none") if not words.strip() else t("aligning.filter.none", words=plain(words, 60)))
            return
        st.markdown(t("aligning.wrong.tell", count=f"{len(found):,}"))
        entity_rows.show(self.dataset, self.aligned, found, "aligning_wrong")
        ids = found["id"].astype(str).head(MANY).tolist()
        st.button(
            t("match.to_map", count=len(ids)), key="wrong_to_map", type="tertiary", on_click=state.select,
            args=(self.dataset.spec or self.dataset.key, ids),
        )  # fmt: skip
        chosen = state.selection()
        if chosen.ids and chosen.data == (self.dataset.spec or self.dataset.key):
            chrome.link("map", t("match.on_map", count=len(chosen.ids)))

    def ranks(self) -> None:
        """Where the partner stands, both ways."""
        from fusion.views import match

        for place, (column, way) in zip(st.columns(2), self.ways, strict=True):
            with place:
                found = self.pairs[column].to_numpy(np.int64)
                make = lambda found=found, way=way: match.ranks(found, len(self.pairs), direction=way)  # noqa: E731
                grid.show(self.picture(make, "ranks", column), column)

    def slices(self) -> None:
        """Hits@1 by kind, by how connected an entity is, and by what was really there."""
        for name, lines in self._sliced():
            if len(lines) > 1:
                grid.show(
                    self.picture(lambda lines=lines, name=name: _drawn(name, lines), "slice", name), f"slice_{name}"
                )

    def _sliced(self) -> Iterator[tuple[str, list[Line]]]:

        first = self.pairs["rank"].to_numpy() <= 1
        kinds = self.pairs["kind"].astype(str).to_numpy()
        common = self.pairs["kind"].astype(str).value_counts().index[:KINDS]
        yield "kind", [line for kind in common if (line := _line(kind or t("views.fusing.all"), first[kinds == kind]))]
        degree = self.pairs["degree"].to_numpy()
        spans = [(low, degree.max() if high is None else high) for low, high in DEGREES]
        named = [
            (str(low) if low == high else f"{low}–{high}" if DEGREES[i][1] is not None else f"{low}+", low, high)
            for i, (low, high) in enumerate(spans)
        ]  # fmt: skip
        found = [_line(name, first[(degree >= low) & (degree <= high)]) for name, low, high in named]
        yield "degree", [line for line in found if line is not None]
        frame = self.aligned.frame.set_index("id")
        for m in self.aligned.modalities:
            column = f"known_{m}"
            both = self.pairs[column].to_numpy(bool) & frame.loc[self.pairs["partner"], column].to_numpy(bool)
            if both.all() or not both.any():
                continue
            found = [_line(t("aligning.slice.has"), first[both]),
                     _line(t("aligning.slice.lacks"), first[~both])]  # fmt: skip
            yield f"known_{m}", [line for line in found if line is not None]

    def modalities(self) -> None:
        """Hits@1 of each modality by itself, of all together, and of all but one."""
        from fusion.views.speech import say

        first = lambda ranks: np.asarray(ranks, np.float64) <= 1  # noqa: E731
        rank = self.pairs["rank"].to_numpy(np.float64)
        found = [_line(t("aligning.all"), first(rank))]
        found += [
            _line(t("aligning.only", name=say(m)), first(self.pairs[f"rank_{m}"])) for m in self.aligned.modalities
        ]
        found += [
            _line(t("aligning.without", name=say(m)), first(rank + self.pairs[f"effect_{m}"].to_numpy(np.float64)))
            for m in self.aligned.modalities
        ]  # fmt: skip
        lines = [line for line in found if line is not None]
        grid.show(self.picture(lambda: _drawn("modalities", lines), "modalities"), "slice_modalities")


def _line(name: str, hits: np.ndarray) -> Line | None:
    """A share with its interval, None without a pair."""
    from fusion.metrics.intervals import wilson
    from fusion.views.faithful import Line

    if not len(hits):
        return None
    found = wilson(int(hits.sum()), len(hits))
    return Line(name, found.value, found.low, found.high, len(hits))


def _drawn(name: str, lines: list[Line]) -> Picture:
    from fusion.views import faithful
    from fusion.views.speech import say

    kind, _, modality = name.partition("_")
    return faithful.lines(
        lines, key=f"slice_{name}", title=t(f"aligning.slice.{kind}", name=say(modality) if modality else ""),
        axis=t("views.axis.hits1"), shows=t("aligning.slice.shows"), hides=t("aligning.slice.hides"),
    )  # fmt: skip
