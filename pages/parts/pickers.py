"""Choosing a checkpoint and a data set: the boxes in the side bar, and the states where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, state
from pages.parts.grid import plain

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

CKPT, DATA = "pick-ckpt", "pick-data"  # widget keys


def current_checkpoint() -> str | None:
    """Name of the checkpoint in use: the chosen one, else the first found; None when there is none at all."""
    asked = state.view().ckpt
    return asked or next((found.name for found in cache.checkpoints()), None)


def current_data() -> str:
    """The data set in use, by key or path."""
    return state.view().data or "gloss"


def boxes() -> None:
    """The two boxes of the side bar."""
    names = [found.name for found in cache.checkpoints()]
    now = current_checkpoint()
    if now is not None and now not in names and _folder(now):
        names.append(now)
    st.session_state[CKPT] = now if now in names else None
    st.selectbox(
        t("app.checkpoint"), names, index=None, key=CKPT, on_change=_take, args=("ckpt", CKPT),
        format_func=lambda name: Path(name).name, placeholder=t("app.choose" if names else "app.none"),
        disabled=not names,
    )  # fmt: skip
    known = data_choices()
    st.session_state[DATA] = current_data()
    st.selectbox(
        t("app.data"), known, index=None, key=DATA, on_change=_take, args=("data", DATA), format_func=data_name,
        placeholder=t("app.choose"),
    )  # fmt: skip


def data_choices() -> list[str]:
    """Bundled data sets, then the paths opened in this tab."""
    from fusion.data import DATASETS

    return list(dict.fromkeys([*DATASETS, *st.session_state.get("own-data", []), current_data()]))


def add_data(spec: str) -> None:
    """Remember a path opened in this tab and make it the data set in use."""
    own = st.session_state.setdefault("own-data", [])
    if spec not in own:
        own.append(spec)
    state.choose(data=spec, id=None, story=None)


def data_name(spec: str) -> str:
    """What a reader calls a data set."""
    from fusion.data import DATASETS

    return t(f"data.{spec}") if spec in DATASETS else Path(spec).name or spec


def _folder(name: str) -> bool:
    try:
        return (Path(name).expanduser() / "config.json").exists()
    except (OSError, ValueError):
        return False


def _take(field: str, key: str) -> None:
    chosen = st.session_state[key]
    if chosen is not None:
        state.choose(**{field: chosen})
        if field == "data":
            state.choose(id=None, story=None)


def need_checkpoint() -> Checkpoint:
    """The checkpoint in use; without one the page says so, with a way out, and ends here."""
    name = current_checkpoint()
    if name is None:
        st.info(t("app.no_checkpoint"))
        with st.container(horizontal=True):
            st.page_link("pages/checkpoints.py", label=t("app.open_checkpoints"), query_params=state.carried())
        st.stop()
    try:
        return cache.checkpoint(name)
    except FusionError as error:
        first = next((found.name for found in cache.checkpoints()), None)
        st.error(plain(str(error)))
        with st.container(horizontal=True):
            if first is not None:
                st.button(
                    t("app.use", name=first), key="way-out-ckpt", type="primary", on_click=state.choose,
                    kwargs={"ckpt": first},
                )  # fmt: skip
            st.page_link("pages/checkpoints.py", label=t("app.open_checkpoints"), query_params=state.carried(ckpt=None))
        st.stop()


def need_data() -> DataSet:
    """The data set in use; one that can't be opened is said, with a way out, and the page ends here."""
    try:
        return cache.dataset(current_data())
    except FusionError as error:
        st.error(plain(str(error)))
        st.button(
            t("app.use", name=t("data.gloss")), key="way-out-data", type="primary", on_click=state.choose,
            kwargs={"data": "gloss", "id": None},
        )  # fmt: skip
        st.stop()
