"""Inspect for a checkpoint of pairs: one image with its sentence, and what the model did with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import chrome, editing, pickers, recent, state, verdict
from pages.parts import inspection as tabs
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation
    from fusion.types import Sample


def show() -> None:
    """The input at the left, what came of it at the right."""
    dataset = chrome.dataset()
    checkpoint = chrome.checkpoint()
    problem = pickers.from_address(dataset)
    left, right = st.columns((0.28, 0.72), gap="medium")
    with left, st.container(key="input"), chrome.guard("inspect.input"):
        pickers.sample(dataset)
    with right:
        if problem:
            st.error(problem)
        sample = pickers.sample_of(state.desk())
        if sample is None and not problem:
            verdict.welcome()
        elif sample is not None and checkpoint is not None and not problem:
            with chrome.guard("inspect.verdict"):
                before = tabs.run(checkpoint, sample)
                seen = _edited(checkpoint, dataset, sample) or before
                verdict.strip(seen)
                if seen is not before:
                    st.markdown(_done(before))
                if dataset is not None:
                    recent.note("inspect", checkpoint, dataset)
                tabs.show(checkpoint, dataset, seen, before)


def _edited(checkpoint: Checkpoint, dataset: DataSet | None, sample: Sample) -> Observation | None:
    """The sample after the edits in the address; None without any, and where they can't be made, which is said."""
    from fusion.inference import sample_digest

    base = sample_digest(sample)
    if st.session_state.get("edit_base", base) != base:  # edits belong to the sample that they were made of
        state.put(edit=None)
        editing.forget()
    st.session_state["edit_base"] = base
    if not editing.line():
        return None
    try:
        made = editing.made(("text", "image"))
        swapped = [edit for edit in made if edit.how == "swap"]
        if len(swapped) > 1:
            raise FusionError(t("edits.swap.one"))
        if swapped and (dataset is None or swapped[0].text not in dataset.index):
            name = "" if dataset is None else dataset.name
            raise FusionError(t("error.sample", id=plain(swapped[0].text, 60), data=plain(name, 60)))
        other = dataset.get(swapped[0].text) if swapped and dataset is not None else None
        return tabs.run(checkpoint, sample, made, other)
    except FusionError as error:
        st.error(plain(str(error), 500))
        return None


def _done(before: Observation) -> str:
    """The edits in words, and that everything below is after them."""
    made = editing.made(("text", "image"))
    return t(
        "edits.done",
        list=plain(t("views.list.semicolon").join(editing.told(edit, before.trace) for edit in made), 600),
    )
