"""The map of very many points on a page: a canvas that gets them as bytes once and sends back a line drawn round some.

Two components, since bytes travel only alone: one takes the points and draws nothing, the other draws them and gets
what changes. The browser keeps the points by their digest, so a choice sends neither points nor rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.components.v2 import component

from fusion.words import t
from pages.parts import grid

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from fusion.views.canvas import Cloud

HERE = Path(__file__).parent
BUTTONS = ("lasso", "box", "move", "closer", "farther", "reset", "all", "clear", "save")
TOLD = ("closer", "farther", "reset", "all", "clear", "save")  # buttons with a sentence besides their word


def _read(*names: str) -> str:
    return "\n".join((HERE / name).read_text("utf-8") for name in names)


# Registered once, when this module is first imported.
_points = component("fusionscope_points", js=_read("canvas_points.js"))
_map = component(
    "fusionscope_map", html=_read("canvas.html"), css=_read("canvas.css"),
    js=_read("canvas_paint.js", "canvas_look.js", "canvas_hands.js"),
)  # fmt: skip


def show(make: Callable[[], Cloud], key: str, *, on_lasso: Callable[[np.ndarray], None], title: bool = True) -> None:
    """Draw a cloud under a key of its own, in a card as `grid.show` does.

    on_lasso gets the rows (R,) int64 that a lasso or box holds, none when the choice was cleared, before the script
    runs again. An error stays inside the card.
    """
    grid.lay(make, key, lambda cloud: _canvas(cloud, key, on_lasso), title)


def _canvas(cloud: Cloud, key: str, on_lasso: Callable[[np.ndarray], None]) -> None:
    name, asked = f"canvas_{key}", f"asked_{key}"

    def drawn() -> None:
        sent = _sent(name, "drawn")
        if isinstance(sent, dict):
            st.session_state.pop(asked, None)
            on_lasso(cloud.chosen(sent.get("polygon"), sent.get("hidden")))

    def ask() -> None:
        row = _sent(name, "asked")
        if isinstance(row, int) and 0 <= row < len(cloud.kinds):
            st.session_state[asked] = (cloud.over["points"], row)

    whose, row = st.session_state.get(asked, ("", 0))
    named = {"row": row, "text": cloud.named(row)} if whose == cloud.over["points"] else None
    with st.container(gap=None):
        _points(key=f"points_{key}", data=cloud.packed)
        _map(
            key=name, data={**cloud.over, "named": named, "words": words()}, on_drawn_change=drawn, on_asked_change=ask
        )


def words() -> dict[str, str]:
    """What stands on the canvas and its buttons, in the language of the page."""
    told = {f"{name}.tell": t(f"canvas.{name}.tell") for name in TOLD}
    hints = {f"{name}.hint": t(f"canvas.{name}.hint") for name in ("lasso", "box", "move")}
    others = {name: t(f"canvas.{name}") for name in (*BUTTONS, "tools", "view", "keys")}
    return {**others, **told, **hints, "lines": t("views.map.lines"), "yours": t("views.map.yours")}


def _sent(name: str, event: str) -> Any:
    """What the map has sent under a name of an event, None where it hasn't."""
    state = st.session_state.get(name)
    return state.get(event) if isinstance(state, dict) else None
