"""Held-out questions as rows: head, relation, answer, what the model says instead; one opens in Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.links.lines import BRANCH, read_of
from fusion.words import t
from pages.parts import cache, grid, state, table
from pages.parts import link_question as questions
from pages.parts.chrome import go, plain

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data import DataSet
    from fusion.links.whole import LinkSet

PAGE = 50  # rows at once: each brings a picture of some 2 kB
FLAGS = ("clean", "copied")


def show(dataset: DataSet, whole: LinkSet, part: pd.DataFrame, key: str) -> None:
    """Pages of rows, in the order given; the chosen one opens in Inspect with its answer."""
    count = len(part)
    pages = max(1, -(-count // PAGE))
    page = min(st.session_state.get(f"page_{key}", 0), pages - 1)
    here = part.iloc[page * PAGE : (page + 1) * PAGE]
    shown = _shown(dataset, whole, here)
    event = st.dataframe(
        shown, hide_index=True, key=f"rows_{key}_{page}", on_select="rerun", selection_mode="single-row",
        row_height=54, height=min(560, 40 + 54 * max(len(shown), 1)), column_config=_config(whole), placeholder="",
        alt=t("table.alt", count=len(shown), first=plain(str(shown["question"].iloc[0]), 80) if len(shown) else "–"),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    row = chosen[0] if chosen and chosen[0] < len(here) else None
    with st.container(horizontal=True, vertical_alignment="center", key=f"under_{key}"):
        label = t("table.open") if row is None else t("table.open.id", id=plain(str(shown["question"].iloc[row]), 60))
        if st.button(label, key=f"open_{key}", type="primary", disabled=row is None) and row is not None:
            _open(dataset, here.iloc[row])
        table.turns(key, page, pages, count)
        st.space("stretch")
        grid.download(part, key, f"all_{key}", t("table.csv", count=f"{count:,}"))


def _open(dataset: DataSet, row: pd.Series) -> None:
    triples = questions.triples_of(dataset)
    state.put(data=dataset.spec or dataset.key, against=None)
    relation = questions.address(triples, int(row["relation"]))
    go("inspect", id=str(row["head"]), rel=relation, against=str(row["tail"]))


def _shown(dataset: DataSet, whole: LinkSet, here: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    triples = questions.triples_of(dataset)
    asked = zip(here["name"].astype(str), here["relation"].astype(int), strict=True)
    other = here["best"].astype(str) != here["tail"].astype(str)
    shown = pd.DataFrame({
        "picture": [cache.thumbnail(dataset.get(str(id)).image()) for id in here["head"]],
        "question": [questions.said(triples, name, relation) for name, relation in asked],
        "tail": here["tail_name"].tolist(), "said": here["best_name"].where(other, "").tolist(),
        "rank": here["rank"].tolist(), **{BRANCH + one: here[BRANCH + one].tolist() for one in read_of(whole.decision)},
        "popularity": here["popularity"].tolist(),
        **{name: [t("entity.yes") if one else "" for one in here[name]] for name in FLAGS},
    })  # fmt: skip
    empty = [] if shown["picture"].notna().any() else ["picture"]
    empty += [name for name, plainly in (("clean", True), ("copied", False)) if (whole.frame[name] == plainly).all()]
    return shown.drop(columns=empty)


def _config(whole: LinkSet) -> dict[str, object]:
    from fusion.views.speech import say

    kinds = st.column_config
    config: dict[str, object] = {"picture": kinds.ImageColumn(t("table.picture"), width=64)}
    for name in ("question", "tail", "said"):
        config[name] = kinds.TextColumn(t(f"linking.column.{name}"), width="medium")
    config["rank"] = kinds.NumberColumn(
        t("linking.column.rank"), help=t("linking.column.rank.help"), format="%.4g", width="small"
    )
    config["popularity"] = kinds.NumberColumn(
        t("linking.column.popularity"), help=t("linking.column.popularity.help"), format="%d", width="small"
    )
    for one in read_of(whole.decision):
        config[BRANCH + one] = kinds.NumberColumn(
            t("table.rank_by", name=say(one)), help=t("links.column.rank_by.help"), format="%.4g", width="small"
        )
    for name in FLAGS:
        label, told = t(f"linking.column.{name}"), t(f"linking.column.{name}.help")
        config[name] = kinds.TextColumn(label, help=told, width="small")
    return config
