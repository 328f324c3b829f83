"""Side by side on the Match page: the most doubtful pairs, or the selected ones, each text against each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, grid

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusion.data import DataSet
    from fusion.views import Picture
    from pages.parts.pairs import Pairs

WAYS = ("worst", "selected")
COUNTS = (6, 12, 24)
FACE = 48  # pixels of a small image above its column


def show(dataset: DataSet, pairs: Pairs, selected: tuple[str, ...], key: tuple[Hashable, ...]) -> None:
    """The choice of pairs, and the map of their cosines. selected: ids chosen on Map or Match."""
    st.markdown(t("match.block.tell"))
    names = {name: t(f"match.block.{name}") for name in WAYS}
    known = set(pairs.frame["id"].astype(str))
    chosen = [id for id in selected if id in known]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="block_controls"):
        if chosen:
            st.segmented_control(
                t("match.block.which"), WAYS, key="block_which", required=True, format_func=names.__getitem__,
                default=None if "block_which" in st.session_state else WAYS[0],
            )  # fmt: skip
        st.segmented_control(
            t("match.block.count"), COUNTS, key="block_count", required=True,
            default=None if "block_count" in st.session_state else COUNTS[1],
        )  # fmt: skip
    count = int(st.session_state.get("block_count") or COUNTS[1])
    if chosen and st.session_state.get("block_which") == "selected":
        rows = rows_of(pairs, chosen)[:count]
    else:
        rows = np.argsort(-pairs.frame["suspicion"].to_numpy(), kind="stable")[:count]
    grid.show(lambda: cache.made(lambda: picture(dataset, pairs, rows), "block", *key, tuple(rows.tolist())), "block")


def rows_of(pairs: Pairs, ids: list[str]) -> np.ndarray:
    """The rows of some ids, in the order of the ids. (K,) int"""
    at = {id: row for row, id in enumerate(pairs.frame["id"].astype(str))}
    return np.asarray([at[id] for id in ids], np.int64)


def picture(dataset: DataSet, pairs: Pairs, rows: np.ndarray) -> Picture:
    """The texts of these rows against their different images, in the order of the rows."""
    from fusion.views.block import Side, block

    numbers = pairs.picture[rows]
    first = rows[np.sort(np.unique(numbers, return_index=True)[1])]
    ids = pairs.frame["id"].astype(str).to_numpy()
    faces = [cache.thumbnail(dataset.get(id).image(), FACE) if id in dataset.index else None for id in ids[first]]
    return block(
        pairs.text[rows] @ pairs.image[first].T, numbers[:, None] == pairs.picture[first][None],
        Side(ids[rows].tolist(), pairs.frame["text"].iloc[rows].astype(str).tolist()),
        Side(ids[first].tolist(), [face or "" for face in faces]),
    )  # fmt: skip
