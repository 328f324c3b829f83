"""How a picture is shown: finding, figure with its alternative, what it shows and hides, numbers, downloads.

Also the guard around every view: what a user can fix is a sentence, what broke is an id in the log, and the rest of
the page lives.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import state

if TYPE_CHECKING:
    import pandas as pd

    from fusion.views.base import Picture

LOG = logging.getLogger("fusionscope")
MARKS = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&])")
MOST_ROWS = 1000  # of a table on screen; the CSV has all


def plain(text: str) -> str:
    """Words of a person or a library as Markdown that shows them as they are."""
    return MARKS.sub(r"\\\1", re.sub(r"\s+", " ", text))


@contextmanager
def guard(view: str) -> Iterator[None]:
    """Around one view, named by a key of the catalogues: a FusionError becomes its sentence, anything else an id."""
    try:
        yield
    except FusionError as error:
        st.error(plain(str(error)))
    except Exception:  # the one place where a page survives what nobody foresaw
        mark = secrets.token_hex(3)
        LOG.exception("%s broke, id %s", view, mark)
        st.error(t("app.broke", view=t(view), id=mark))


def show(
    picture: Picture,
    key: str,
    select: str | None = None,
    chosen: Callable[[list[Hashable]], None] | None = None,
    *,
    title: bool = True,
) -> Any:
    """Show a picture as a card. `select` "points" or "lasso" returns Plotly's event (see `picked`).

    `chosen` is called with the marks of the selected points before the page runs again, so it may change the state of
    widgets above; it implies "points".
    """
    with st.container(border=True, key=f"card-{key}"):
        if title:
            st.markdown(f"##### {plain(picture.title)}")
        st.markdown(plain(picture.finding))
        event = _figure(picture, key, select or ("points" if chosen else None), chosen)
        st.caption(f"**{t('app.shows')}** {plain(picture.shows)}  \n**{t('app.hides')}** {plain(picture.hides)}")
        if len(picture.table):
            _numbers(picture.table, picture.title, key)
    return event


def _figure(
    picture: Picture, key: str, select: str | None, chosen: Callable[[list[Hashable]], None] | None
) -> Any:
    fixed = picture.figure.layout.width is not None
    tools = ["toImage"] if select != "lasso" else ["lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d", "toImage"]
    config = {
        "displaylogo": False, "modeBarButtons": [tools], "scrollZoom": False,
        "toImageButtonOptions": {"format": "png", "filename": f"fusionscope-{picture.key}", "scale": 2},
    }  # fmt: skip
    options: dict[str, Any] = {
        "key": key, "alt": picture.alt, "config": config, "theme": "streamlit",
        "width": "content" if fixed else "stretch",
    }  # fmt: skip
    if select is None:
        st.plotly_chart(picture.figure, **options)
        return None

    def act() -> None:
        marks = picked(picture, st.session_state.get(key))
        if marks and chosen is not None:
            chosen(marks)

    modes = ("points",) if select == "points" else ("points", "box", "lasso")
    return st.plotly_chart(picture.figure, on_select=act if chosen else "rerun", selection_mode=modes, **options)


def picked(picture: Picture, event: Mapping[str, Any] | None) -> list[Hashable]:
    """The marks of the points that a selection holds, each once, in the order of the figure; [] without any."""
    points = (event or {}).get("selection", {}).get("points", [])
    marks = [picture.pick(int(p["curve_number"]), int(p["point_index"])) for p in points]
    return list(dict.fromkeys(mark for mark in marks if mark is not None))


@state.fragment
def _numbers(table: pd.DataFrame, title: str, key: str) -> None:
    """The numbers behind a figure: a table on request, and a file."""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        shown = st.toggle(t("app.table"), key=f"{key}-table")
        st.download_button(
            t("app.csv"), lambda: table.to_csv(index=False).encode("utf-8-sig"), f"fusionscope-{key}.csv", "text/csv",
            key=f"{key}-csv", on_click="ignore", type="tertiary", help=t("app.png"),
        )  # fmt: skip
    if shown:
        st.dataframe(table.head(MOST_ROWS), hide_index=True, alt=title, key=f"{key}-rows")
        if len(table) > MOST_ROWS:
            st.caption(t("views.showing", shown=MOST_ROWS, count=len(table)))
