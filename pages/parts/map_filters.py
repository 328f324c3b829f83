"""Histograms that cut the map: a range or some names of each column, all of them together, kept in the address.

In the address a filter is `column~low~high` or `column~~name~name`, several joined by ";"; what is in a name is quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pages.parts.atlas import Column
    from pages.parts.place import Rows

SHOWN = 3  # histograms at once
NAMES = 12  # different names above which a column has no bars
Range = tuple[float, float]
Cut = Range | tuple[str, ...]


def told() -> str:
    """The filters as the address has them."""
    return state.get("filter")


def read(text: str, columns: Mapping[str, Column]) -> dict[str, Cut]:
    """The filters of an address; what no column fits is left out."""
    found: dict[str, Cut] = {}
    for part in text.split(";"):
        name, *rest = (unquote(one) for one in part.split("~"))
        if name not in columns or len(rest) < 2:
            continue
        if not columns[name].numeric:
            found[name] = tuple(rest[1:])
            continue
        try:
            low, high = float(rest[0]), float(rest[1])
        except ValueError:
            continue
        if np.isfinite([low, high]).all():
            found[name] = (low, high)
    return found


def written(cuts: Mapping[str, Cut]) -> str:
    """Filters for the address."""
    parts = []
    for name, cut in cuts.items():
        numeric = bool(cut) and not isinstance(cut[0], str)
        told = [f"{value:.6g}" for value in cut] if numeric else ["", *map(str, cut)]
        parts.append("~".join(quote(one, safe=".-+ ").replace("~", "%7E") for one in (name, *told)))
    return ";".join(parts)


def inside(column: Column, cut: Cut) -> np.ndarray:
    """Which rows a filter keeps; an unknown value is kept by none. -> (N,) bool"""
    if column.numeric:
        values = column.values.astype(np.float64)
        low, high = (float(end) for end in cut)
        slack = 1e-6 * max(abs(low), abs(high))  # the address has six digits
        return (values >= low - slack) & (values <= high + slack)
    return np.isin(np.asarray([plainly(one) for one in column.values.tolist()], dtype=object), list(cut))


def plainly(value: object) -> str:
    """A name, or what an unknown one is called."""
    return t("map.kind.unknown") if value is None else str(value)


def kept(columns: Mapping[str, Column]) -> np.ndarray | None:
    """The rows that all filters keep, None where there is none. -> (N,) bool"""
    cuts = read(told(), columns)
    if not cuts:
        return None
    return np.logical_and.reduce([inside(columns[name], cut) for name, cut in cuts.items()])


def offered(columns: Mapping[str, Column], rows: Rows) -> list[str]:
    """The columns that a histogram can show: of some spread, or of a few names."""
    found = []
    for name, column in columns.items():
        values = column.values[rows.sample]
        if column.numeric:
            different = len(np.unique(values[np.isfinite(values)]))
        else:
            different = len({plainly(value) for value in values.tolist()})
        if different > 1 and (column.numeric or different <= NAMES):
            found.append(name)
    return found


def show(columns: Mapping[str, Column], data: str, rows: Rows, mask: np.ndarray | None) -> None:
    """Histograms side by side, each with what it keeps; how many rows are left, and what can be done with them."""
    stamps = tuple(column.stamp for column in columns.values())
    names = cache.made(lambda: offered(columns, rows), "offered", data, *columns, len(rows.ids), rows.ids[0], stamps)
    if not names:
        return
    cuts = read(told(), columns)
    with st.container(border=True, key="card_filters"):
        with st.container(horizontal=True, vertical_alignment="center", key="filters_head"):
            st.session_state.setdefault("filters_open", bool(cuts))
            opened = st.toggle(t("map.filters"), key="filters_open", help=t("map.filters.help"))
            here = np.unique(rows.sample)
            left = len(here) if mask is None else int(mask[here].sum())
            st.caption(t("map.filters.left", left=f"{left:,}", count=f"{len(here):,}"), width="content")
            st.space("stretch")
            ids = _ids(rows, mask)
            st.button(
                t("map.filters.choose", count=f"{len(ids):,}"), key="filters_choose", disabled=mask is None or not ids,
                type="tertiary", on_click=state.select, args=(data, ids),
            )  # fmt: skip
            st.button(t("map.filters.clear"), key="filters_clear", disabled=not cuts, type="tertiary", on_click=_clear,
                      args=(tuple(columns),))  # fmt: skip
        if not opened:
            return  # drawing three pictures that nobody asked for takes a third of a second
        usual = list(dict.fromkeys([*(name for name in cuts if name in names), *names]))[:SHOWN]
        st.session_state["filter_columns"] = [
            one for one in st.session_state.get("filter_columns", usual) if one in names
        ] or usual
        some = st.multiselect(
            t("map.filters.columns"), names, key="filter_columns", max_selections=SHOWN,
            format_func=lambda name: columns[name].title, label_visibility="collapsed",
        )  # fmt: skip
        for place, name in zip(st.columns(max(len(some), 1)), some, strict=False):
            with place:
                _one(name, columns[name], cuts, rows, mask)


def _ids(rows: Rows, mask: np.ndarray | None) -> Sequence[str]:
    if mask is None:
        return ()
    return list(dict.fromkeys(id for id, row in zip(rows.ids, rows.sample, strict=True) if mask[row]))


def _one(name: str, column: Column, cuts: Mapping[str, Cut], rows: Rows, mask: np.ndarray | None) -> None:
    """A histogram, and below it the range or the names that it keeps."""
    from fusion.views import histogram

    here = np.unique(rows.sample)
    values = column.values[here]
    some = np.ones(len(here), bool) if mask is None else mask[here]
    if column.numeric:
        make = lambda: histogram.numbers(values, some, column.title)  # noqa: E731
    else:
        make = lambda: histogram.names([plainly(one) for one in values.tolist()], some, column.title)  # noqa: E731
    picture = cache.made(make, "histogram", name, told(), len(here), *map(str, here[:3]), column.title,
                         column.stamp)  # fmt: skip
    grid.bare(picture, f"histogram_{name}")
    if not column.numeric:
        options = sorted({plainly(one) for one in values.tolist()})
        key = f"cut_{name}"
        now = cuts.get(name)
        st.session_state[key] = [one for one in (now or ()) if one in options]
        st.multiselect(plain(column.title), options, key=key, label_visibility="collapsed", on_change=_names,
                       args=(name,), placeholder=t("map.filters.all"))  # fmt: skip
        return
    known = values[np.isfinite(values)].astype(float)
    low, high = float(known.min()), float(known.max())
    now = cuts.get(name, (low, high))
    key = f"cut_{name}"
    st.session_state[key] = (max(low, min(float(now[0]), high)), min(high, max(float(now[1]), low)))
    st.slider(plain(column.title), low, high, key=key, step=(high - low) / 100, label_visibility="collapsed",
              on_change=_range, args=(name, low, high), format="%.3g")  # fmt: skip


def _range(name: str, low: float, high: float) -> None:
    a, b = st.session_state[f"cut_{name}"]
    whole = a <= low and b >= high
    _keep(name, None if whole else (a, b))


def _names(name: str) -> None:
    _keep(name, tuple(st.session_state[f"cut_{name}"]) or None)


def _keep(name: str, cut: Cut | None) -> None:
    """Change one filter of the address; the others stay as they are written there."""
    parts = {part.split("~")[0]: part for part in told().split(";") if part}
    parts.pop(quote(name, safe=".-+ "), None)
    if cut is not None:
        parts[name] = written({name: cut})
    state.put(filter=";".join(parts.values()))


def _clear(names: Sequence[str]) -> None:
    state.put(filter=None)
    for name in names:
        st.session_state.pop(f"cut_{name}", None)
