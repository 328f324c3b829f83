"""The Compare page: the second checkpoint or switch, then the data set (disagreements first), or one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, compared_sample, grid, reporting, state, tabs, using, work
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.versus import SetCompared, Switch
    from fusion.views import Picture

TABS = ("set", "sample")
PAGE = 200  # rows at once
CELL = 170  # pixels of one number


def show() -> None:
    """Everything below the heading."""
    a = chrome.checkpoint()
    dataset = None if a is None else chrome.dataset(using.kind())
    if a is None or dataset is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="versus_controls"):
        _pick_other(a)
        _pick_switch(a)
    b = _second(a)
    if b is None:
        st.info(t("versus.with.choose"))
        return
    name, place = tabs.opened("versus", TABS)
    with place, guard(f"versus.tab.{name}"):
        if name == "sample":
            compared_sample.show(a, b, dataset)
        else:
            _set(a, b, dataset)


def _pick_other(a: Checkpoint) -> None:
    """Checkpoints that can be compared with A; the choice is in the address as `with`."""
    from fusion.versus import why_not

    known = cache.checkpoints()
    key = ("versus_fitting", a.digest, tuple((one.name, str(one.folder)) for one in known))
    fitting = cache.made(lambda: [one.name for one in known if one.folder != a.folder and not why_not(a, one)], *key)
    now = state.get("with")
    options = fitting if not now or now in fitting else [now, *fitting]
    if not options:
        st.caption(t("versus.with.none"), width=320)
        return
    st.session_state["versus_with"] = now or None
    st.selectbox(
        t("versus.with"), options, index=None, key="versus_with", width=320, placeholder=t("versus.with.choose"),
        on_change=_took_other,
    )  # fmt: skip


def _took_other() -> None:
    state.put(**{"with": st.session_state["versus_with"], "switch": None})


def _pick_switch(a: Checkpoint) -> None:
    """Settings in which the released program differs from the paper, where A has any; in the address as `switch`."""
    from fusion.versus import switches
    from fusion.versus.switches import written

    found: tuple[Switch, ...] = cache.made(lambda: switches(a), "versus_switches", a.digest)
    if not found:
        return
    named = {
        one.word: t("versus.switch.named", name=one.name, now=written(one.now), other=written(one.other),
                    which=t(f"versus.switch.{one.which}"))
        for one in found
    }  # fmt: skip
    now = state.get("switch")
    st.session_state["versus_switch"] = now if now in named else None
    st.selectbox(
        t("versus.switch"), list(named), index=None, key="versus_switch", width=420, help=t("versus.switch.help"),
        placeholder=t("versus.switch.none"), format_func=named.__getitem__, on_change=_took_switch,
    )  # fmt: skip


def _took_switch() -> None:
    state.put(**{"switch": st.session_state["versus_switch"], "with": None})


def _second(a: Checkpoint) -> Checkpoint | None:
    """B as the address says. Raises FusionError for one that can't be compared with A."""
    from fusion.versus import check, switched

    word, name = state.get("switch"), state.get("with")
    if word:
        return cache.made(lambda: switched(a, word), "versus_switched", a.digest, str(a.folder), word)
    if not name:
        return None
    b = cache.checkpoint(name)
    check(a, b, cache.checkpoints())
    return b


def _set(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> None:
    """The comparison once it is there, else the offer to make it."""
    key = (a.digest, b.digest, dataset.digest)
    found = _kept(*key, a, b, dataset)
    if found is None:
        _kept.clear(*key)
        _offer(a, b, dataset)
        return
    reporting.compared(a, b, dataset, None)
    page = Board(a, b, dataset, found)
    page.strip()
    page.rows()
    page.pictures()


@st.cache_resource(max_entries=4, show_spinner=False)
def _kept(first: str, second: str, data: str, _a: Checkpoint, _b: Checkpoint, _data: DataSet) -> SetCompared | None:
    from fusion.versus import stored

    return stored(_a, _b, _data)


def _offer(a: Checkpoint, b: Checkpoint, dataset: DataSet) -> None:
    with st.container(border=True, key="card_versus_offer"):
        st.markdown(f"**{t('versus.none', a=plain(a.name, 60), b=plain(b.name, 80))}**")
        word = state.get("switch")
        second = [f"--switch={word}"] if word else [str(b.folder)]
        arguments = ["compare", str(a.folder), *second, "--data", dataset.spec or dataset.key, "--json"]
        job = f"versus-{a.digest[:16]}-{b.digest[:16]}-{dataset.digest[:16]}"
        work.follow(job, arguments, t("versus.before"), t("work.compute"))


class Board:
    """Two checkpoints over a data set, on the page."""

    def __init__(self, a: Checkpoint, b: Checkpoint, dataset: DataSet, found: SetCompared) -> None:
        self.dataset, self.found, self.names = dataset, found, (a.name, b.name)
        self.key = (a.digest, b.digest, dataset.digest)

    def show(self, make: Callable[[], Picture], *name: Hashable) -> None:
        """A picture, made once for the same comparison."""
        grid.show(lambda: cache.made(make, "versus", *self.key, *name), "versus_" + "_".join(map(str, name)))

    def strip(self) -> None:
        """How many differ, which figures tell one from the other, how far the space moved."""
        from fusion.views.speech import num, percent, say

        found, count = self.found, len(self.found.frame)
        wins = {side: sum(one.verdict == side for one in found.figures) for side in "ab"}
        cells = [
            (t("versus.samples"), f"{count:,}", t("versus.samples.test" if found.split else "versus.samples.all")),
            (t("versus.differ"), f"{found.differ:,}", percent(found.differ / count)),
            (t("versus.better"), " · ".join(s.upper() for s in "ab" if wins[s]) or t("versus.better.none"),
             t("versus.better.tell", a=wins["a"], b=wins["b"], count=len(found.figures))),
        ]  # fmt: skip
        if found.movement:
            first = found.movement[0]
            cells.append((t("versus.moved"), num(first.disparity), t("versus.moved.tell", space=say(first.space))))
        with st.container(border=True, horizontal=True, gap="small", key="card_versus_strip"):
            for name, value, below in cells:
                with st.container(width=CELL, gap=None):
                    st.metric(name, value)
                    st.caption(below)
        if found.few:
            st.warning(t("versus.few", count=f"{count:,}"))
        if found.nothing:
            st.info(t("versus.same"))
        elif not found.differ:
            st.success(t("versus.agree", count=f"{count:,}"))

    def rows(self) -> None:
        """Where they answer differently, the largest change first; one opens under both, or under either."""
        from fusion.report.versus import rows

        found = self.found
        st.markdown(f"#### {t('versus.rows')}")
        agreeing = st.toggle(t("versus.rows.all"), key="versus_all") or not found.differ
        shown = rows(found, agreeing=agreeing)
        if not len(shown):
            return
        ids = shown["id"].tolist()
        alt = t("versus.rows.alt", count=f"{len(ids):,}", first=ids[0])
        event = st.dataframe(
            shown.head(PAGE), hide_index=True, key=f"versus_rows_{agreeing}", on_select="rerun",
            selection_mode="single-row", height=min(420, 40 + 36 * len(shown)), alt=alt,
            column_config={shown.columns[-1]: st.column_config.NumberColumn(format="%+.2f")},
        )  # fmt: skip
        chosen = event["selection"]["rows"]
        id = ids[chosen[0]] if chosen and chosen[0] < len(ids) else None
        with st.container(horizontal=True, vertical_alignment="center", key="versus_under"):
            st.button(
                t("versus.look"), key="versus_look", type="primary", disabled=id is None, on_click=look, args=(id,)
            )
            compared_sample.links(self.dataset, self.names, id)
            st.space("stretch")
            grid.download(lambda: found.frame, "compare", "versus_csv", t("versus.csv", count=f"{len(found.frame):,}"))

    def pictures(self) -> None:
        """Figures with intervals, whose rank changed, and one space turned onto the other."""
        from fusion.views import versus_sets
        from fusion.views.speech import say

        found, names = self.found, self.names
        if found.figures:
            self.show(lambda: versus_sets.figures(found.figures, names), "figures")
        if found.value == "rank":
            first, second = (found.frame[f"value_{side}"].to_numpy(float) for side in "ab")
            ids = found.frame["id"].astype(str).tolist()
            self.show(lambda: versus_sets.ranks(first, second, ids, names), "ranks")
        if not found.movement:
            return
        spaces = {one.space: one for one in found.movement}
        now = st.selectbox(t("versus.space"), list(spaces), key="versus_space", width=320, format_func=say)
        self.show(lambda: versus_sets.maps(spaces[now], names), "map", now)


def look(id: str | None) -> None:
    """Open a sample on the second tab."""
    state.put(id=id, tab="sample")
    st.session_state["versus_tabs"] = t("versus.tab.sample")
