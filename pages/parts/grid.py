"""Lays out pictures: finding above, figure with its text alternative, what it shows and hides, numbers, downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from fusion.words import t
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import pandas as pd

    from fusion.views import Picture
    from fusion.views.canvas import Cloud

MOST = 500  # rows of numbers sent to the browser; the file has all of them
LASSO = ("points", "box", "lasso")

Drawn = TypeVar("Drawn", "Picture", "Cloud")
# What stays of Plotly's own buttons: the camera, and for a map the ways to choose and to move.
ALL_BUTTONS = ("zoom2d", "pan2d", "select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d")
FOR_MAPS = ("zoom2d", "pan2d", "select2d", "lasso2d", "resetScale2d")


def show(
    make: Callable[[], Picture],
    key: str,
    *,
    on_pick: Callable[[Hashable], None] | None = None,
    on_lasso: Callable[[list[Hashable]], None] | None = None,
    title: bool = True,
) -> None:
    """Draw a picture under a key of its own, in a card.

    on_pick gets what a click chose, on_lasso all that a lasso or box chose, both in the terms of the picture's marks,
    before the script runs again. An error stays inside the card.
    """
    lay(make, key, lambda picture: _figure(picture, key, on_pick, on_lasso), title)


def lay(make: Callable[[], Drawn], key: str, draw: Callable[[Drawn], None], title: bool = True) -> None:
    """A card round what `draw` puts on the page: the finding above it, what it shows and its numbers below."""
    with st.container(border=True, key=f"card_{key}"), guard("error.picture"):
        picture = make()
        if title:
            st.markdown(f"##### {plain(picture.title)}")
        st.markdown(plain(picture.finding, 1200))
        draw(picture)
        st.caption(
            f"**{t('grid.shows')}** {plain(picture.shows, 800)}  \n**{t('grid.hides')}** {plain(picture.hides, 800)}"
        )
        if picture.counted:
            _numbers(picture, key)


def bare(picture: Picture, key: str) -> None:
    """A picture without a card of its own: a small one that stands among controls."""
    _figure(picture, key, None, None)


def _figure(
    picture: Picture,
    key: str,
    on_pick: Callable[[Hashable], None] | None,
    on_lasso: Callable[[list[Hashable]], None] | None,
) -> None:
    kept = FOR_MAPS if on_lasso is not None else ()
    config = {
        "displaylogo": False,
        "modeBarButtonsToRemove": [name for name in ALL_BUTTONS if name not in kept],
        "toImageButtonOptions": {"format": "png", "scale": 2, "filename": picture.key},
        "scrollZoom": False,
        "doubleClick": "reset" if on_lasso is not None else False,
    }
    # A figure of fixed size (the squares of the head map must fill their cells) is not stretched.
    width = "content" if picture.figure.layout.width else "stretch"
    if on_pick is None and on_lasso is None:
        st.plotly_chart(picture.figure, key=key, width=width, config=config, alt=picture.alt)
        return

    def chosen() -> None:
        points = st.session_state[key]["selection"]["points"]
        marks = [picture.pick(p.get("curve_number", 0), p.get("point_index", -1)) for p in points]
        marks = [mark for mark in marks if mark is not None]
        if on_lasso is not None:
            on_lasso(marks)
        elif on_pick is not None and marks:
            on_pick(marks[0])

    st.plotly_chart(
        picture.figure,
        key=key,
        width=width,
        config=config,
        alt=picture.alt,
        on_select=chosen,
        selection_mode=LASSO if on_lasso is not None else "points",
    )


def _numbers(picture: Picture | Cloud, key: str) -> None:
    """The switch between figure and numbers, and the numbers as a file."""
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", key=f"numbers_{key}"):
        wanted = st.toggle(t("grid.table"), key=f"table_{key}")
        download(lambda: picture.table, picture.key, f"csv_{key}")
    if wanted:
        count = len(picture.table)
        if count > MOST:
            st.caption(t("grid.first", shown=f"{MOST:,}", count=f"{count:,}"))
        st.dataframe(picture.table.head(MOST), hide_index=True, key=f"frame_{key}", height="auto", alt=picture.alt)


def download(table: pd.DataFrame | Callable[[], pd.DataFrame], name: str, key: str, label: str | None = None) -> None:
    """A table as a CSV file that spreadsheets open with the right letters; made when it is asked for."""
    st.download_button(
        label or t("grid.csv"),
        data=lambda: (table() if callable(table) else table).to_csv(index=False).encode("utf-8-sig"),
        file_name=f"{name}.csv",
        mime="text/csv",
        key=key,
        type="tertiary",
        on_click="ignore",
        help=t("grid.csv.help"),
    )
