"""The Match page: which pairs to doubt, what a threshold keeps, where partners stand, and what the score promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import block, cache, chrome, grid, rate, retrieval, state, table, tabs
from pages.parts.pairs import of_split

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.metrics.intervals import Interval
    from fusion.metrics.retrieval import Hubness
    from fusion.observations import Observed
    from fusion.views import Picture
    from pages.parts.pairs import Pairs

TABS = ("pairs", "scores", "partners", "block", "calibration", "search")
SORTS = ("suspicion", "match", "cosine", "rank_text", "rank_image")
COLUMNS = ("suspicion", "match", "cosine", "rank_text", "rank_image", "entities")
CELL = 150  # pixels of one number: five in a row, two on a phone
LEAST = 4  # pairs below which nothing is counted
MANY = 50  # pairs sent to the map at once
HUBS = 10


def show(checkpoint: Checkpoint, dataset: DataSet, observed: Observed) -> None:
    """Everything below the heading, once the data set was computed."""
    split = _split(observed)
    key = (checkpoint.digest, dataset.digest, split)
    pairs = cache.made(lambda: of_split(observed, split), "pairs", *key)
    if len(pairs.frame) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(pairs.frame)))
        return
    page = Matching(checkpoint, dataset, pairs, key)
    with chrome.guard("match.strip"):
        page.strip()
    name, place = tabs.opened("match", TABS)
    with place, chrome.guard(f"match.tab.{name}"):
        getattr(page, name)()


def _split(observed: Observed) -> str:
    """Which split is looked at: the held-out one at first, "" for all."""
    counts = observed.frame["split"].value_counts()
    found = [name for name in ("test", "valid", "train") if name in counts.index]
    found += [name for name in counts.index if name and name not in found]
    if len(found) < 2:
        return ""
    options = ["all", *found]
    now = state.get("split") if state.get("split") in options else found[0]
    names = {name: _named(name, len(observed.frame) if name == "all" else int(counts[name])) for name in options}
    st.segmented_control(
        t("match.split"), options, key="match_split", default=now, required=True, help=t("match.split.help"),
        on_change=lambda: state.put(split=st.session_state["match_split"]),
        format_func=names.__getitem__,
    )  # fmt: skip
    return "" if now == "all" else now


def _named(split: str, count: int) -> str:
    known = {name: t(f"split.{name}") for name in ("all", "train", "valid", "test")}
    return t("match.split.option", name=known.get(split, chrome.plain(split, 30)), count=f"{count:,}")


class Matching:
    """One look at the pairs of a data set under a checkpoint; each tab is a method of the tab's name."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, pairs: Pairs, key: tuple[str, ...]) -> None:
        self.checkpoint, self.dataset, self.among, self.key = checkpoint, dataset, pairs, key
        self.frame, self.pictures = pairs.frame, pairs.pictures
        self.true = self.frame["match"].to_numpy(np.float32)
        self.shuffled = self.frame["match_shuffled"].dropna().to_numpy(np.float32)
        self.reference = rate.reference_of(checkpoint)

    def strip(self) -> None:
        """Five numbers that say whether the score can be used at all."""
        from fusion.views.match import auc
        from fusion.views.speech import num, percent

        different, count = len(self.pictures), len(self.frame)
        absent = t("match.absent", count=f"{self.among.absent:,}") if self.among.absent else ""
        area = num(auc(self.true, self.shuffled)) if len(self.shuffled) else "–"
        cells = [
            ("count", f"{count:,}", absent or t("match.pictures", count=f"{different:,}")),
            ("auc", area, t("match.auc.chance")),
        ]
        for column, others in (("rank_text", different), ("rank_image", count)):
            hits = percent(float((self.frame[column] <= 10).mean()))
            cells.append((column, hits, t("match.chance", share=percent(min(1.0, 10 / others)))))
        doubt = rate.doubt(self.reference, self.frame)
        cells.append(rate.cell(self.reference, self.estimate(), bool(doubt)))
        _metrics(cells, "strip")
        if doubt:
            st.caption(doubt)

    def estimate(self) -> Interval | None:
        """Estimated share of wrong pairs, None without held-out scores to compare with."""
        return cache.made(lambda: rate.estimate(self.reference, self.frame), "rate", *self.key)

    def picture(self, make: Callable[[], Picture], *name: Hashable) -> Callable[[], Picture]:
        """How to make a picture, once for the same pairs and choices."""
        return lambda: cache.made(make, "match", *self.key, *name)

    # The tabs

    def pairs(self) -> None:
        """All pairs, the most doubtful first, with a filter by words."""
        frame = self.frame
        st.markdown(t("match.pairs.tell"))
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="match_controls"):
            now = state.get("sort") if state.get("sort") in SORTS else SORTS[0]
            names = {name: t(f"match.sort.{name}") for name in SORTS}
            st.selectbox(
                t("match.sort"), SORTS, index=SORTS.index(now), key="match_sort", width=260,
                format_func=names.__getitem__, help=t("match.sort.help"),
                on_change=lambda: state.put(sort=st.session_state["match_sort"]),
            )  # fmt: skip
            words = st.text_input(
                t("match.filter"), key="match_filter", placeholder=t("match.filter.example"), width=260
            )
        if words.strip():
            found = frame["text"].str.contains(words.strip(), case=False, regex=False)
            frame = frame[found | frame["entities"].str.contains(words.strip(), case=False, regex=False)]
        frame = frame.sort_values(now, ascending=now in ("match", "cosine"), kind="stable")
        if not len(frame):
            st.info(t("match.filter.none", words=chrome.plain(words, 60)))
            return
        table.show(self.dataset, frame, COLUMNS, f"match_{now}")
        st.button(
            t("match.to_map", count=min(MANY, len(frame))), key="match_to_map", type="tertiary",
            on_click=self._select, args=(frame["id"].astype(str).head(MANY).tolist(),),
        )  # fmt: skip
        chrome.link("triage", t("match.triage"))
        chosen = state.selection()
        if chosen.ids and chosen.data == self.spec:
            chrome.link("map", t("match.on_map", count=len(chosen.ids)))
            own = {"sel": st.session_state["sel"], "show": "sel"}
            chrome.link("triage", t("chrome.triage", count=f"{len(chosen.ids):,}"), **own)

    @property
    def spec(self) -> str:
        """What the address calls the data set."""
        return self.dataset.spec or self.dataset.key

    def _select(self, ids: list[str]) -> None:
        state.select(self.spec, ids)

    @chrome.fragment
    def scores(self) -> None:
        """The two hills, and what a movable threshold keeps; redrawn alone."""
        from fusion.views import match

        if not len(self.shuffled):
            st.info(t("match.no_shuffled"))
            return
        best = self._best()
        said = state.get("threshold")
        try:
            now = min(max(float(said), 0.0), 1.0)
        except ValueError:
            now = best
        st.session_state["match_threshold"] = round(now, 2)
        st.slider(
            t("match.threshold"), 0.0, 1.0, step=0.01, key="match_threshold",
            help=t("match.threshold.help", best=f"{best:.2f}"),
            on_change=lambda: state.put(threshold=f"{st.session_state['match_threshold']:.2f}"),
        )  # fmt: skip
        now = st.session_state["match_threshold"]
        self._kept(now)
        make = lambda: match.hills(None, true=self.true, shuffled=self.shuffled, threshold=now)  # noqa: E731
        grid.show(self.picture(make, "hills", now), "hills")
        st.caption(t("match.negatives", count=f"{len(self.shuffled):,}"))

    def _best(self) -> float:
        """The threshold that separates best (recall less false rate), in steps of the slider."""
        from fusion.metrics.matching import curves

        found = curves(self.true, self.shuffled, np.linspace(0, 1, 101))
        return float(found.thresholds[int(np.argmax(found.recall - found.false_rate))])

    def _kept(self, threshold: float) -> None:
        """Precision, recall and F1 at the threshold, and how many pairs of the set it would drop."""
        from fusion.metrics.matching import precision_recall_f1
        from fusion.views.speech import num

        precision, recall, f1 = precision_recall_f1(self.true, self.shuffled, threshold)
        dropped = int((self.true < threshold).sum())
        cells = [("dropped", f"{dropped:,}", t("match.of", count=f"{len(self.true):,}"))]
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            cells.append((name, num(value), t(f"match.{name}.short")))
        _metrics(cells, "kept")

    def partners(self) -> None:
        """Where the partner stands in the list, both ways, and what turns up in every list."""
        from fusion.views import match
        from fusion.views.speech import say

        text, image = say("text"), say("image")
        sides = ((text, image, "rank_text", len(self.pictures)), (image, text, "rank_image", len(self.frame)))
        for place, (one, other, column, others) in zip(st.columns(2), sides, strict=True):
            with place:
                found = self.frame[column].to_numpy(np.int64)
                way = t("match.way", one=one, other=other)
                make = lambda found=found, others=others, way=way: match.ranks(found, others, direction=way)  # noqa: E731
                grid.show(self.picture(make, "ranks", column), column)
                if column == "rank_image" and len(self.pictures) < len(self.frame):
                    st.caption(t("match.ranks.several"))
        with st.container(border=True, key="card_hubs"), chrome.guard("match.hubs"):
            st.markdown(f"##### {t('match.hubs')}")
            self._hubs()

    def _hubs(self) -> None:
        """Pictures that are near to too many texts."""
        from fusion.views.speech import num, percent

        first = self.pictures
        found = cache.made(lambda: _hubness(self.among, first), "hubs", *self.key)
        st.markdown(
            t("match.hubs.finding", k=found.k, never=percent(found.never), chance=percent(found.chance_never),
              skew=num(found.skewness), chance_skew=num(found.chance_skewness))
        )  # fmt: skip
        order = np.argsort(-found.counts, kind="stable")[:HUBS]
        part = self.frame.iloc[first[order]].assign(lists=found.counts[order])
        table.show(self.dataset, part, ("lists",), "hubs")
        st.caption(t("match.hubs.hides"))

    def block(self) -> None:
        """Some texts against their images, all with all."""
        chosen = state.selection()
        block.show(self.dataset, self.among, chosen.ids if chosen.data == self.spec else (), self.key)

    def calibration(self) -> None:
        """What the score promises and what came, as it is and calibrated on held-out pairs."""
        from fusion.views import match

        if not len(self.shuffled):
            st.info(t("match.no_shuffled"))
            return
        truth = np.r_[np.ones(len(self.true), bool), np.zeros(len(self.shuffled), bool)]
        scores = np.concatenate([self.true, self.shuffled])
        left, right = st.columns(2)
        with left:
            st.markdown(f"**{t('match.raw')}** {t('match.raw.tell')}")
            make = lambda: match.reliability(np.clip(scores, 0, 1), truth)  # noqa: E731
            grid.show(self.picture(make, "reliability", "raw"), "reliability_raw")
        with right:
            st.markdown(f"**{t('match.calibrated')}** {t('match.calibrated.tell')}")
            known = self.reference
            if known is None:
                st.info(t("match.rate.none.help"))
            else:
                make = lambda: match.reliability(np.clip(known.calibrated(scores), 0, 1), truth)  # noqa: E731
                grid.show(self.picture(make, "reliability", "calibrated"), "reliability_calibrated")

    def search(self) -> None:
        """Ask with a sentence or a picture, get the other."""
        retrieval.show(self.checkpoint, self.dataset, self.among)


def _hubness(pairs: Pairs, first: np.ndarray) -> Hubness:
    from fusion.metrics.retrieval import hubness

    return hubness(pairs.text, pairs.image[first], k=min(10, len(first)))


def _metrics(cells: Sequence[tuple[str, str, str]], key: str) -> None:
    """Numbers in one card that breaks into rows where the page is narrow: name, value and the line below."""
    with st.container(border=True, horizontal=True, gap="small", key=f"card_verdict_{key}"):
        for name, value, below in cells:
            st.metric(
                t(f"match.{name}"), value, below or None, delta_color="off", delta_arrow="off", width=CELL,
                help=t(f"match.{name}.help"),
            )  # fmt: skip
