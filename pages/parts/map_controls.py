"""What lays out a map: the vectors, the method, dimensions, colour, and how it is drawn; all of it in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import chrome, state

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = ("pca", "umap", "tsne")
DIMS = (2, 3)
BUTTONS = 4  # vectors to choose from that fit into a row of buttons
SEEDS = 9_999


@dataclass(frozen=True)
class Look:
    """How a map is laid out and drawn."""

    method: str
    dims: int
    colour: str
    centred: bool
    worst: int  # pairs joined
    density: bool  # lines of equal density below the points
    labels: bool  # the words of groups on them
    seed: int


def space(options: Mapping[str, str], help: str) -> str:
    """The vectors to lay out."""
    names = list(options)
    now = state.get("space") if state.get("space") in options else names[0]
    if len(names) < 2:
        return now
    st.session_state["map_space"] = now  # its label follows the language
    put = lambda: state.put(space=st.session_state["map_space"])  # noqa: E731
    if len(names) <= BUTTONS:
        st.segmented_control(
            t("map.space"), names, key="map_space", required=True, help=t(help), format_func=options.get, on_change=put
        )
    else:
        st.selectbox(
            t("map.space"), names, key="map_space", help=t(help), width=420, format_func=options.get, on_change=put
        )
    return now


def show(colours: Mapping[str, str], paired: str, pairs: int) -> Look:
    """The row of controls. paired: the ending of the words on pairs, "" where there are none; pairs: how many"""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="map_controls"):
        method = _one("method", "pca", METHODS)
        st.segmented_control(
            t("map.method"), METHODS, key="map_method", required=True, help=t("map.method.help"),
            format_func=lambda m: t(f"map.method.{m}"), on_change=lambda: _put("method"),
        )  # fmt: skip
        colour = _one("colour", next(iter(colours)), tuple(colours))
        st.selectbox(
            t("map.colour"), list(colours), key="map_colour", width=210, format_func=colours.get,
            on_change=lambda: _put("colour"),
        )  # fmt: skip
        worst, centred = 0, False
        if paired and pairs:
            end = "" if paired == "pairs" else f".{paired}"
            told = t(f"map.worst.help{end}")
            worst = st.slider(t("map.worst"), 0, 200, 50, 10, key="map_worst", width=190, help=told)
            told = t(f"map.centred.help{end}")
            centred = st.toggle(t(f"map.centred{end}"), value=True, key="map_centred", help=told)
        dims, density, labels, seed = _more(method)
    return Look(method, dims, colour, centred, worst, density, labels, seed)


def _more(method: str) -> tuple[int, bool, bool, int]:
    """Dimensions, density, labels and the seed, in a drawer of their own."""
    dims = int(_one("dims", "2", ("2", "3")))
    with st.popover(t("map.more"), help=t("map.more.help")):
        st.segmented_control(
            t("map.dims"), ("2", "3"), key="map_dims", required=True, help=t("map.dims.help"),
            format_func=lambda n: t(f"map.dims.{n}"), on_change=lambda: _put("dims"),
        )  # fmt: skip
        flat = dims == 2
        density = st.toggle(t("map.density"), key="map_density", value=state.get("density") == "1", disabled=not flat,
                            on_change=lambda: _flag("density"), help=t("map.density.help"))  # fmt: skip
        labels = st.toggle(t("map.labels"), key="map_labels", value=state.get("labels", "1") == "1", disabled=not flat,
                           on_change=lambda: _flag("labels"), help=t("map.labels.help"))  # fmt: skip
        seed = state.whole("seed") or 0
        if method == "pca":
            st.caption(t("map.seed.none"))
            return dims, density and flat, labels and flat, 0
        st.session_state.setdefault("map_seed", min(seed, SEEDS))
        seed = int(st.number_input(t("map.seed"), 0, SEEDS, key="map_seed", help=t("map.seed.help"),
                                   on_change=lambda: state.put(seed=st.session_state["map_seed"] or None)))  # fmt: skip
    return dims, density and flat, labels and flat, seed


def _one(name: str, usual: str, options: tuple[str, ...]) -> str:
    """A scalar of the view that must be one of some; its widget is set to it."""
    now = state.get(name, usual)
    now = now if now in options else usual
    st.session_state[f"map_{name}"] = now
    return now


def _put(name: str) -> None:
    state.put(**{name: st.session_state[f"map_{name}"]})


def _flag(name: str) -> None:
    state.put(**{name: "1" if st.session_state[f"map_{name}"] else "0"})


@chrome.fragment(run_every=1.5)
def waiting(digest: str, method: str) -> None:
    """A map in the making: how long it has taken, and a button to stop it."""
    from fusion.projections import Job

    job = Job(digest)
    if job.state() != "running":
        st.rerun(scope="app")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(t("map.running", method=t(f"map.method.{method}"), seconds=round(job.seconds())))
        st.button(t("work.stop"), key="stop_map", on_click=_stop, args=(job,))


def _stop(job) -> None:  # type: ignore[no-untyped-def]
    job.stop()
    state.put(method="pca")
