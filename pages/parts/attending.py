"""The Attention tab: every head on one map, and what the chosen one does, word by word and region by region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import chrome, grid, state
from pages.parts.inspected import Inspected

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusion.signals import Attention

STATISTICS = ("top", "entropy", "real")
MEAN = -1  # stands for the mean of all heads in the box


@chrome.fragment
def show(on: Inspected) -> None:
    """The map of heads, and what the chosen head does: over the picture, over the words, all at once."""
    from fusion.views import attention, heads

    signals = on.attentions()
    if not signals:
        on.lacks("Attention")
        return
    signal, head, word = on.chosen()
    assert signal is not None, "there is one when there are any"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _head_boxes(on, signals, signal, head)
    name = st.session_state.get("statistic", "top")
    chosen = (signal.name, head)
    grid.show(on.picture(heads.heads, signal, name=name, chosen=chosen), "heads", on_pick=_pick_head)
    if signal.keys == "image" and on.sample.image() is None:
        st.info(t("views.none.image"))  # once, for the three pictures that would each say it
        return
    on.words("words_attention")
    region = st.session_state.get("region")
    left, right = st.columns(2)
    choice = {"word": word, "head": head}
    if signal.keys == "image":
        make = on.picture(
            attention.regions,
            signal,
            **choice,
            picture=on.shown(),
            fit=on.fit(),
            chosen=region,
            shared=st.session_state.get("shared", False),
            opacity=st.session_state.get("opacity", 100) / 100,
        )
        with left:
            grid.show(make, "regions", on_pick=_pick_region)
            st.slider(t("inspect.opacity"), 20, 100, 100, 5, key="opacity", format="%d%%")
            st.toggle(t("inspect.shared"), key="shared")
        with right:
            grid.show(on.picture(attention.words, signal, **choice, region=region), "words", on_pick=pick_word)
            _region_box(on, signal, region)
    else:
        grid.show(on.picture(attention.words, signal, **choice, region=word), "words", on_pick=pick_word)
    grid.show(on.picture(attention.matrix, signal, **choice), "matrix")


def _head_boxes(on: Inspected, signals: tuple[Attention, ...], signal: Attention, head: int | None) -> None:
    """The same choice as a click on the map, for the keyboard."""
    from fusion.views.speech import say

    names = [s.name for s in signals]
    st.session_state["layer_box"], st.session_state["head_box"] = signal.name, MEAN if head is None else head
    st.session_state["statistic_box"] = st.session_state.get("statistic", STATISTICS[0])
    st.selectbox(
        t("inspect.layer"),
        names,
        format_func=say,
        key="layer_box",
        on_change=lambda: state.put(layer=_kept("layer_box"), head=None),
    )
    st.selectbox(
        t("inspect.head"),
        [MEAN, *range(signal.value.shape[1])],
        key="head_box",
        on_change=lambda: state.put(head=None if _kept("head_box") == MEAN else _kept("head_box")),
        format_func=lambda h: t("views.head.mean") if h == MEAN else t("views.head.one", head=h + 1),
    )
    st.selectbox(
        t("inspect.statistic"),
        STATISTICS,
        key="statistic_box",
        on_change=lambda: st.session_state.update(statistic=_kept("statistic_box")),
        format_func=lambda s: t(f"views.heads.statistic.{s}"),
    )


def _region_box(on: Inspected, signal: Attention, region: int | None) -> None:
    steps = next(iter(on.trace.steps.get(signal.keys, ())), None)
    count = signal.value.shape[-1]
    side = round(count**0.5)
    names = [t("views.region", row=i // side + 1, column=i % side + 1) for i in range(count)]
    if steps is None or side * side != count:
        return
    st.session_state["region_box"] = region
    st.selectbox(
        t("inspect.region"),
        range(count),
        format_func=names.__getitem__,
        key="region_box",
        index=None,
        placeholder=t("inspect.region.most"),
        on_change=lambda: _pick_region(_kept("region_box")),
    )


def _pick_head(mark: Hashable) -> None:
    if isinstance(mark, tuple):
        name, head = mark
        state.put(layer=name, head=head)


def _kept(key: str) -> str | int | None:
    return st.session_state.get(key)


def _pick_region(mark: Hashable) -> None:
    st.session_state["region"] = mark


def pick_word(mark: Hashable) -> None:
    """Choose the word that was clicked."""
    if isinstance(mark, int):
        state.put(token=mark)
