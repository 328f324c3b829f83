"""Samples of streams as rows: their parts, what was answered, what each modality says alone; one opens in Inspect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state, table
from pages.parts.chrome import go, plain

if TYPE_CHECKING:
    import pandas as pd

    from fusion.data import DataSet
    from fusion.streams.whole import StreamedSet

PAGE = 50  # rows at once: each brings a picture of some 2 kB
LONGEST = 160  # characters of a text
WORDS = 136  # pixels of a column whose heading is some words


def show(dataset: DataSet, whole: StreamedSet, part: pd.DataFrame, key: str) -> None:
    """Pages of rows, in the order given; the chosen one opens in Inspect."""
    count = len(part)
    pages = max(1, -(-count // PAGE))
    page = min(st.session_state.get(f"page_{key}", 0), pages - 1)
    here = part.iloc[page * PAGE : (page + 1) * PAGE]
    ids = here["id"].astype(str).tolist()
    shown = _shown(dataset, whole, here)
    event = st.dataframe(
        shown, hide_index=True, key=f"rows_{key}_{page}", on_select="rerun", selection_mode="single-row",
        row_height=54, height=min(560, 40 + 54 * max(len(shown), 1)), column_config=_config(whole), placeholder="",
        alt=t("table.alt", count=len(shown), first=ids[0] if ids else "–"),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    row = chosen[0] if chosen and chosen[0] < len(ids) else None
    with st.container(horizontal=True, vertical_alignment="center", key=f"under_{key}"):
        label = t("table.open") if row is None else t("table.open.id", id=plain(ids[row], 40))
        if st.button(label, key=f"open_{key}", type="primary", disabled=row is None) and row is not None:
            state.put(data=dataset.spec or dataset.key)
            go("inspect", id=ids[row])
        table.turns(key, page, pages, count)
        st.space("stretch")
        grid.download(part, key, f"all_{key}", t("table.csv", count=f"{count:,}"))


def _shown(dataset: DataSet, whole: StreamedSet, here: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    from fusion.views.speech import say

    samples = [dataset.get(str(id)) for id in here["id"]]
    has = here[[f"has_{m}" for m in whole.modalities]].to_numpy(bool)
    columns: dict[str, list[object]] = {
        "picture": [cache.thumbnail(one.image()) for one in samples],
        "text": [one.text()[:LONGEST] for one in samples],
        "has": [t("views.list.comma").join(say(m) for m, there in zip(whole.modalities, row, strict=True) if there)
                for row in has],
    }  # fmt: skip
    columns |= _answered(whole, here) if whole.answers else {"cosine": here["cosine"].tolist()}
    columns["id"] = here["id"].astype(str).tolist()
    shown = pd.DataFrame(columns)
    words = [name for name in ("picture", "text", "said") if name in shown]
    empty = [name for name in words if not shown[name].astype(bool).any()]
    empty += ["picture"] if shown["picture"].isna().all() and "picture" not in empty else []
    empty += ["has"] if bool(has.all()) else []
    return shown.drop(columns=empty)


def _answered(whole: StreamedSet, here: pd.DataFrame) -> dict[str, list[object]]:
    """Truth, answer, and how modalities combine."""
    columns: dict[str, list[object]] = {
        "target": here["target"].tolist(), "said": here["said"].tolist(), "answer": here["answer"].tolist(),
    }  # fmt: skip
    columns |= {"conflict": here["conflict"].tolist(), "badge": [t(f"verdict.badge.{one}") for one in here["badge"]]}
    columns |= {f"alone_{m}": here[f"alone_{m}"].tolist() for m in whole.modalities}
    columns |= {
        "opposed": [t("entity.yes") if one else "" for one in here["opposed"]], "loss": here["loss"].tolist(),
    }  # fmt: skip
    if not whole.classes:
        columns["said"] = [t(f"scale.{one}") if one else "" for one in here["said"]]
    return columns


def _config(whole: StreamedSet) -> dict[str, object]:
    from fusion.views.speech import say

    kinds = st.column_config
    config: dict[str, object] = {
        "picture": kinds.ImageColumn(t("table.picture"), width=64),
        "text": kinds.TextColumn(t("table.text"), width="medium"),
        "has": kinds.TextColumn(t("triage.column.has"), width="small"),
        "said": kinds.TextColumn(t("triage.column.said"), width=WORDS),
        "badge": kinds.TextColumn(t("triage.column.badge"), help=t("triage.column.badge.help"), width="small"),
        "opposed": kinds.TextColumn(t("triage.column.opposed"), help=t("triage.column.opposed.help"), width="small"),
        "conflict": kinds.ProgressColumn(
            t("triage.column.conflict"), help=t("triage.column.conflict.help"), format="%.2f", min_value=0.0,
            max_value=1.0, width=WORDS,
        ),
        "loss": kinds.NumberColumn(
            t("triage.column.loss"), help=t("triage.column.loss.help"), format="%.3f", width="small"
        ),
        "id": kinds.TextColumn("id", width="small"),
        "cosine": kinds.NumberColumn(t("map.colour.cosine_views"), format="%.3f", width=WORDS),
    }  # fmt: skip
    truth = t("triage.column.target")
    config["target"] = (
        kinds.TextColumn(truth, width=WORDS)
        if whole.classes
        else kinds.NumberColumn(truth, format="%.2f", width="small")
    )
    told = "triage.column.chance.help" if whole.classes else "triage.column.answer.help"
    config["answer"] = kinds.NumberColumn(
        t("triage.column.chance" if whole.classes else "triage.column.answer"), help=t(told), format="%.2f",
        width="small",
    )  # fmt: skip
    for m in whole.modalities:
        label = t("triage.column.alone", name=say(m))
        alone = {"help": t("triage.column.alone.help"), "width": WORDS}
        config[f"alone_{m}"] = (
            kinds.TextColumn(label, **alone) if whole.classes else kinds.NumberColumn(label, format="%.2f", **alone)
        )
    return config
