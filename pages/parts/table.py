"""Samples as rows: small pictures, scores, and a way to open the chosen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state
from pages.parts.chrome import go, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    from fusion.data import DataSet

PAGE = 50  # rows at once: each brings a picture of some 2 kB
SCORES = ("suspicion", "match", "cosine", "mean_gate", "score")
RANKS = ("rank_text", "rank_image", "lists")


def suspicion(frame: pd.DataFrame) -> np.ndarray:
    """How far a pair stands out: the mean of its percentile ranks by match, cosine and rank of its own partner. (N,)

    Absent parts are left out; 1 is the most suspicious, NaN where a pair lacks a half. A ranking, no probability.
    """
    parts = {"match": False, "cosine": False, "rank_text": True}
    ranks = [frame[name].rank(pct=True, ascending=up) for name, up in parts.items() if name in frame]
    return sum(ranks).to_numpy() / max(len(ranks), 1)


def show(dataset: DataSet, frame: pd.DataFrame, columns: Sequence[str], key: str) -> None:
    """Pages of rows with pictures; the chosen row can be opened in Inspect. frame: rows in the order to show."""
    import pandas as pd

    count = len(frame)
    pages = max(1, -(-count // PAGE))
    page = min(st.session_state.get(f"page_{key}", 0), pages - 1)
    part = frame.iloc[page * PAGE : (page + 1) * PAGE]
    ids = part["id"].astype(str).tolist()
    pictures = [cache.thumbnail(dataset.get(id).image()) if id in dataset.index else None for id in ids]
    shown = pd.DataFrame(
        {"picture": pictures, "text": part["text"].tolist(), **{c: part[c].tolist() for c in columns}, "id": ids}
    )
    event = st.dataframe(
        shown,
        hide_index=True,
        key=f"rows_{key}_{page}",
        on_select="rerun",
        selection_mode="single-row",
        row_height=54,
        height=min(560, 40 + 54 * max(len(shown), 1)),
        column_config=_config(columns),
        alt=t("table.alt", count=len(shown), first=ids[0] if ids else "–"),
    )
    chosen = event["selection"]["rows"]
    with st.container(horizontal=True, vertical_alignment="center", key=f"under_{key}"):
        row = chosen[0] if chosen and chosen[0] < len(ids) else None
        label = t("table.open") if row is None else t("table.open.id", id=plain(ids[row], 40))
        if st.button(label, key=f"open_{key}", type="primary", disabled=row is None) and row is not None:
            state.put(data=dataset.spec or dataset.key)
            go("inspect", id=ids[row])
        turns(key, page, pages, count)
        st.space("stretch")
        grid.download(frame[["id", "text", *columns]], key, f"all_{key}", t("table.csv", count=f"{count:,}"))


def turns(key: str, page: int, pages: int, count: int) -> None:
    """Buttons to the pages before and after; nothing where there is one page."""
    if pages < 2:
        return
    st.button(t("chrome.previous"), key=f"back_{key}", on_click=_turn, args=(key, page - 1), disabled=page == 0)
    st.caption(t("table.page", page=page + 1, pages=pages, count=f"{count:,}"), width="content")
    st.button(t("chrome.next"), key=f"on_{key}", on_click=_turn, args=(key, page + 1), disabled=page + 1 >= pages)


def _turn(key: str, page: int) -> None:
    st.session_state[f"page_{key}"] = page


def _config(columns: Sequence[str]) -> dict[str, object]:
    kinds = st.column_config
    config: dict[str, object] = {
        "picture": kinds.ImageColumn(t("table.picture"), width=64),
        "text": kinds.TextColumn(t("table.text"), width="large"),
        "id": kinds.TextColumn("id", width="small"),
    }
    for name in columns:
        label, told = t(f"table.{name}"), t(f"table.{name}.help")
        if name in SCORES:
            low = -1.0 if name in ("cosine", "score") else 0.0
            config[name] = kinds.ProgressColumn(
                label, help=told, format="%.2f", min_value=low, max_value=1.0, width="small"
            )
        elif name in RANKS:
            config[name] = kinds.NumberColumn(label, help=told, format="%d", width="small")
        else:
            config[name] = kinds.TextColumn(label, help=told)
    return config
