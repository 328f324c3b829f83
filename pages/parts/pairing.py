"""Inspect for a checkpoint of pairs: one image with its sentence, and what the model did with them."""

from __future__ import annotations

import streamlit as st

from pages.parts import chrome, pickers, recent, state, verdict
from pages.parts import inspection as tabs


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
                seen = tabs.run(checkpoint, sample)
                verdict.strip(seen)
                if dataset is not None:
                    recent.note("inspect", checkpoint, dataset)
                tabs.show(checkpoint, dataset, seen)
