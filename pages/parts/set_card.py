"""What the cards of all kinds of data sets share: their numbers, splits, notes, the way on, and whether all was run."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, using, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

Whole = TypeVar("Whole")
CELL = 150  # pixels of one number: four in a row, two on a phone
SPLITS = ("train", "valid", "test")


def numbers(dataset: DataSet, kind: str, cells: Iterable[tuple[str, int, str | None]]) -> None:
    """The name of the set, then (key below checkpoints.<kind>, number, line below it) of each."""
    st.markdown(f"#### {chrome.data_name(dataset.spec or dataset.key)}")
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict_data"):
        for name, value, below in cells:
            st.metric(
                t(f"checkpoints.{kind}.{name}"), f"{value:,}", below, delta_color="off", delta_arrow="off",
                width=CELL, help=t(f"checkpoints.{kind}.{name}.help"),
            )  # fmt: skip


def splits(sentence: str, count: Callable[[str], int]) -> None:
    """How many there are of each split, in a sentence of the catalogues."""
    parts = t("views.list.comma").join(f"{t(f'split.{name}')} {count(name):,}" for name in SPLITS)
    st.markdown(t(sentence, parts=parts))


def way_on(dataset: DataSet, more: Sequence[tuple[str, str]] = ()) -> None:
    """Notes, links to the pages that show the set, a button that reads a path again. more: (page, words) of links"""
    for note in dataset.notes:
        st.info(plain(note, 600))
    with st.container(horizontal=True):
        chrome.link("inspect", t("inspect.nav"))
        chrome.link("map", t("checkpoints.data.map"))
        for page, words in more:
            chrome.link(page, words)
    if dataset.spec and dataset.spec != dataset.key:
        st.button(
            t("checkpoints.data.again"), key="data_again", type="tertiary", on_click=cache.forget_data,
            args=(dataset.spec,),
        )  # fmt: skip


def ran(dataset: DataSet, kept: Callable[[Checkpoint, DataSet], Whole | None], ready: str) -> None:
    """Whether the checkpoint in use went through the set; if not, the offer. ready: sentence with its name and count"""
    checkpoint = using.quiet()
    if checkpoint is None or not using.fits(checkpoint, dataset.spec or dataset.key):
        return
    with chrome.guard("checkpoints.observed"):
        if kept(checkpoint, dataset) is None:
            work.offer(checkpoint, dataset)
        else:
            st.success(t(ready, name=plain(checkpoint.name, 60), count=f"{len(dataset):,}"))
