"""The Map page for pairs: texts and images where the alignment heads put them, far pairs joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import atlas, contact, place, state, table
from pages.parts.atlas import Atlas, Column

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation
    from fusion.observations import Observed
    from fusion.projections import Projection
    from fusion.views.embedding import Placed
    from pages.parts.place import Rows

SPACE = "aligned"
NUMBERS = ("match", "cosine", "mean_gate", "rank_text", "rank_image")
COLUMNS = ("match", "cosine", "rank_text", "rank_image", "mean_gate", "entities")


def show(checkpoint: Checkpoint, dataset: DataSet, observed: Observed) -> None:
    """Everything below the heading, once the data set was computed."""
    key = f"{checkpoint.digest} {dataset.digest}"
    frame = observed.frame
    columns = {name: Column(t(f"map.colour.{name}"), frame[name].to_numpy(np.float32)) for name in NUMBERS}
    if frame["split"].nunique() > 1:
        columns["split"] = Column(t("map.colour.split"), frame["split"].to_numpy(object))
    ids = frame["id"].astype(str).tolist()
    seen = _desk(checkpoint)

    def placed(rows: Rows, projection: Projection) -> tuple[Placed | None, str]:
        return (None, "") if seen is None else (place.placed(rows, projection, seen[0]), seen[1])

    atlas.show(Atlas(
        checkpoint=checkpoint.digest, dataset=dataset.digest, data=dataset.spec or dataset.key, ids=lambda: ids,
        spaces={SPACE: t("map.space.aligned")},
        rows=lambda _: place.rows_of(observed, key), columns=columns, text=lambda row: dataset.get(ids[row]).text(),
        figures=lambda _, rows, projection: _figures(frame, rows), shows=lambda _: "views.map.shows", paired="pairs",
        lines=atlas.farthest, placed=placed, chosen=lambda: _chosen(dataset, observed),
    ))  # fmt: skip


def _desk(checkpoint: Checkpoint) -> tuple[Observation, str] | None:
    """The sample on the Inspect page under this checkpoint, with its digest; None when there is none to run."""
    from fusion.inference import sample_digest
    from pages.parts import inspection, pickers

    sample = pickers.sample_of(state.desk())
    if sample is None:
        return None
    try:
        return inspection.run(checkpoint, sample), sample_digest(sample)
    except FusionError:
        return None  # the Inspect page says why


def _figures(frame: pd.DataFrame, rows: Rows) -> dict[str, str]:
    """How well pairs find each other and lie together, in the original space."""
    from fusion.metrics import geometry, sample
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    if len(rows.pairs) >= atlas.LEAST:
        some = rows.pairs[sample(len(rows.pairs))]
        text, image = rows.vectors[some[:, 0]], rows.vectors[some[:, 1]]
        for name, column in (("text_to_image", "rank_text"), ("image_to_text", "rank_image")):
            ranks = frame[column].dropna().to_numpy()
            shares = [percent(float((ranks <= k).mean())) for k in (1, 5, 10)]
            found[name] = " · ".join([*(share.rstrip("%").rstrip() for share in shares[:-1]), shares[-1]])
        found["gap"] = num(geometry.modality_gap(text, image))
        found["alignment"] = num(geometry.alignment(text, image))
        found["uniformity"] = f"{num(geometry.uniformity(text))} · {num(geometry.uniformity(image))}"
    return found


def _chosen(dataset: DataSet, observed: Observed) -> None:
    """The rows of the selection, or how to make one."""
    ids = atlas.selected(dataset.spec or dataset.key)
    st.header(t("map.chosen"), anchor=False)
    if not ids:
        st.markdown(t("map.chosen.none"))
        return
    frame = observed.frame
    part = frame[frame["id"].astype(str).isin(ids)].sort_values("match", na_position="last")
    st.markdown(t("map.chosen.tell", count=len(part), match=f"{part['match'].mean():.2f}"))
    contact.show(dataset, part["id"].astype(str).tolist())
    table.show(dataset, part, COLUMNS, "selection")
