"""What is chosen, in one place: the View (scalars, kept in the address), the Selection (samples), the last drop.

The address wins when a page opens; every change goes to the session and to the address, so that a link says it all.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import streamlit as st

from fusion import words

if TYPE_CHECKING:
    import numpy as np

    from fusion.inference import Observation

SHARED = ("ckpt", "data", "id", "story", "lang")  # carried from page to page
LONGEST = 400  # characters of one value that a link may carry
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class View:
    """The scalars of a page, as in its address; None where nothing was chosen. Names never change with the language."""

    ckpt: str | None = None
    data: str | None = None
    id: str | None = None  # a sample of the data set, or of the gallery
    story: str | None = None
    lang: str | None = None
    tab: str | None = None
    layer: str | None = None  # name of an attention signal
    head: str | None = None  # counted from 1; None is the mean of all heads
    word: str | None = None  # counted from 1
    region: str | None = None  # counted from 1
    method: str | None = None  # of the map: pca | umap
    colour: str | None = None
    threshold: str | None = None


@dataclass
class Selection:
    """Samples chosen on one page for another: a set in order, and one of them."""

    data: str | None = None  # the data set that the ids belong to
    ids: list[str] = field(default_factory=list)
    primary: str | None = None


@dataclass(frozen=True)
class Drop:
    """The last sample that was inspected: what the map needs to place it."""

    id: str
    text: str
    checkpoint: str
    vectors: Mapping[str, np.ndarray]  # {"text": (D,), "image": (D,)} unit length; only modalities that are there


def view() -> View:
    """What is chosen now: the address first, then what was chosen before in this tab."""
    kept = st.session_state.setdefault("view", {})
    for item in fields(View):
        value = st.query_params.get(item.name)
        if value:
            kept[item.name] = value[:LONGEST]
    return View(**kept)


def choose(**changes: object) -> None:
    """Change the View, here and in the address; None forgets a value."""
    kept = st.session_state.setdefault("view", {})
    for name, value in changes.items():
        if value is None:
            kept.pop(name, None)
            st.query_params.pop(name, None)
        else:
            kept[name] = str(value)[:LONGEST]
            st.query_params[name] = kept[name]


def carried(**changes: str | None) -> dict[str, str]:
    """The query of a link to another page: what is shared, with changes; None leaves a value out."""
    now = view()
    query = {name: getattr(now, name) for name in SHARED} | changes
    return {name: value for name, value in query.items() if value}


def selection() -> Selection:
    """The samples chosen in this tab; change it in place."""
    return st.session_state.setdefault("selection", Selection())


def remember_drop(observation: Observation) -> None:
    """Keep where the last inspected sample lies, for the map."""
    vectors = {}
    for modality in ("text", "image"):
        name = f"aligned_{modality}"
        if name in observation.trace and modality in _there(observation):
            vectors[modality] = observation.trace[name].tensors()["value"][0].numpy()
    sample = observation.sample
    st.session_state["drop"] = Drop(sample.id, sample.text(), observation.checkpoint, vectors)


def _there(observation: Observation) -> set[str]:
    sample = observation.sample
    return {name for name, there in (("text", sample.text().strip()), ("image", sample.image())) if there}


def dropped(checkpoint: str) -> Drop | None:
    """The last sample inspected with this checkpoint, None when there was none."""
    drop = st.session_state.get("drop")
    return drop if drop is not None and drop.checkpoint == checkpoint else None


def speak() -> None:
    """Use the language of this tab in the thread that runs now."""
    asked = st.query_params.get("lang") or st.session_state.get("view", {}).get("lang") or st.context.locale or "en"
    words.use(str(asked).lower().split("-")[0])


def fragment(
    function: Callable[P, R] | None = None, *, run_every: float | None = None
) -> Callable[P, R] | Callable[[Callable[P, R]], Callable[P, R]]:
    """`st.fragment` that speaks the language of the tab: a part of a page that reruns alone, in any thread."""

    def wrap(inner: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(inner)
        def spoken(*args: P.args, **kwargs: P.kwargs) -> R:
            speak()
            return inner(*args, **kwargs)

        return st.fragment(spoken, run_every=run_every)

    return wrap if function is None else wrap(function)
