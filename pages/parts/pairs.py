"""The pairs of a data set that have both halves, and what is counted among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pages.parts import table

if TYPE_CHECKING:
    import pandas as pd

    from fusion.observations import Observed


@dataclass(frozen=True)
class Pairs:
    """The pairs looked at: those of one split that have both halves, with ranks among themselves."""

    frame: pd.DataFrame  # P rows, in the order of the data set; suspicion, rank_text, rank_image are of these pairs
    text: np.ndarray  # (P, D) unit
    image: np.ndarray  # (P, D) unit
    picture: np.ndarray  # (P,) int, the same for the same picture
    absent: int  # samples of the split that lack a half

    @property
    def pictures(self) -> np.ndarray:
        """The first row of each different picture. (U,) int"""
        return np.sort(np.unique(self.picture, return_index=True)[1])


def of_split(observed: Observed, split: str) -> Pairs:
    """The pairs of a split ("" for all) with what is counted among them."""
    from fusion.observations import partner_ranks

    frame = observed.frame
    inside = np.ones(len(frame), bool) if not split else (frame["split"] == split).to_numpy()
    both = inside & frame["match"].notna().to_numpy() & frame["cosine"].notna().to_numpy()
    rows = np.flatnonzero(both)
    part = frame.iloc[rows].reset_index(drop=True)
    text, image = observed.vectors["text"][rows], observed.vectors["image"][rows]
    picture = np.unique(part["image"].where(part["image"] != "", part["id"]).astype(str), return_inverse=True)[1]
    if len(rows):
        part["rank_text"], part["rank_image"] = partner_ranks(text, image, picture, np.ones(len(rows), bool))
        part["suspicion"] = table.suspicion(part)
    return Pairs(part, text, image, picture, int(inside.sum() - len(rows)))
