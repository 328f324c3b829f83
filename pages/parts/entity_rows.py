"""Entities as rows: both pictures, names, ranks, and a way to open the pair in Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state, table
from pages.parts.chrome import go, plain

if TYPE_CHECKING:
    import pandas as pd

    from fusion.alignment.whole import AlignedSet
    from fusion.data import DataSet

PAGE = 50  # rows at once: each brings two pictures of some 2 kB


def show(dataset: DataSet, aligned: AlignedSet, part: pd.DataFrame, key: str) -> None:
    """Pages of rows, in the order given; the chosen one opens in Inspect."""
    count = len(part)
    pages = max(1, -(-count // PAGE))
    page = min(st.session_state.get(f"page_{key}", 0), pages - 1)
    here = part.iloc[page * PAGE : (page + 1) * PAGE]
    ids = here["id"].astype(str).tolist()
    shown = _shown(dataset, aligned, here)
    event = st.dataframe(
        shown, hide_index=True, key=f"rows_{key}_{page}", on_select="rerun", selection_mode="single-row",
        row_height=54, height=min(560, 40 + 54 * max(len(shown), 1)), column_config=_config(aligned.modalities),
        alt=t("table.alt", count=len(shown), first=ids[0] if ids else "–"),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    row = chosen[0] if chosen and chosen[0] < len(ids) else None
    with st.container(horizontal=True, vertical_alignment="center", key=f"under_{key}"):
        label = t("table.open") if row is None else t("table.open.id", id=plain(str(shown["name"].iloc[row]), 40))
        if st.button(label, key=f"open_{key}", type="primary", disabled=row is None) and row is not None:
            _open(dataset, ids[row])
        table.turns(key, page, pages, count)
        st.space("stretch")
        columns = [name for name in part.columns if not name.startswith("known_")]
        grid.download(part[columns], key, f"all_{key}", t("table.csv", count=f"{count:,}"))


def _open(dataset: DataSet, id: str) -> None:
    state.put(data=dataset.spec or dataset.key, against=None)
    go("inspect", id=id)


def _shown(dataset: DataSet, aligned: AlignedSet, here: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    face = lambda id: cache.thumbnail(dataset.get(id).image()) if id in dataset.index else None  # noqa: E731
    names = _names(dataset, aligned)
    partner, best = here["partner"].astype(str).tolist(), here["best"].astype(str).tolist()
    rows = {
        "picture": [face(id) for id in here["id"].astype(str)], "name": here["name"].tolist(),
        "other_picture": [face(id) for id in partner], "other": [names.get(id, "") for id in partner],
        "best": [names.get(one, "") if one != own else "" for one, own in zip(best, partner, strict=True)],
        "rank": here["rank"].tolist(), "rank_back": here["rank_back"].tolist(), "score": here["score"].tolist(),
        **{f"rank_{m}": here[f"rank_{m}"].tolist() for m in aligned.modalities},
        "kind": here["kind"].tolist(), "degree": here["degree"].tolist(), "id": here["id"].astype(str).tolist(),
    }  # fmt: skip
    shown = pd.DataFrame(rows)
    return shown.drop(columns=[name for name in ("picture", "other_picture") if not shown[name].notna().any()])


def _names(dataset: DataSet, aligned: AlignedSet) -> dict[str, str]:
    frame = aligned.frame
    make = lambda: dict(zip(frame["id"].astype(str), frame["name"], strict=True))  # noqa: E731
    return cache.made(make, "entity_names", dataset.digest)


def _config(modalities: tuple[str, ...]) -> dict[str, object]:
    from fusion.views.speech import say

    kinds = st.column_config
    config: dict[str, object] = {
        "picture": kinds.ImageColumn(t("table.picture"), width=64),
        "other_picture": kinds.ImageColumn(t("table.other_picture"), width=64),
        "id": kinds.TextColumn("id", width="small"),
        "degree": kinds.NumberColumn(t("table.degree"), help=t("table.degree.help"), format="%d", width="small"),
        "score": kinds.NumberColumn(t("table.joint"), help=t("table.joint.help"), format="%.3f", width="small"),
    }
    for name in ("name", "other", "best", "kind"):
        config[name] = kinds.TextColumn(t(f"table.{name}"), width="medium" if name != "kind" else "small")
    for name in ("rank", "rank_back"):
        config[name] = kinds.NumberColumn(t(f"table.{name}"), help=t(f"table.{name}.help"), format="%d", width="small")
    for m in modalities:
        config[f"rank_{m}"] = kinds.NumberColumn(
            t("table.rank_by", name=say(m)), help=t("table.rank_by.help"), format="%d", width="small"
        )
    return config
