"""Shares of wrong pairs with their intervals: of a random draw, and of the first so many suspects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK
from fusion.views.sheet import LINES, Sheet
from fusion.views.speech import clean, percent
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Rate:
    """How many of some pairs are wrong: a share, where it would lie on other pairs, and of how many it is."""

    name: str
    value: float
    low: float
    high: float
    wrong: int
    counted: int
    random: bool = False  # drawn at random, so that it holds for the whole set


def rates(found: Sequence[Rate]) -> Picture:
    """Do suspects turn out wrong more often than pairs drawn at random? A dot a group, its interval as a line."""
    key, title = "rates", t("views.rates.title")
    if not found:
        return base.nothing(key, title, t("views.rates.none"))
    names = [clean(one.name, 40) for one in found]
    values = np.array([[one.value, one.low, one.high] for one in found], np.float32)
    sheet = Sheet(key, 74 + 34 * len(found), right=16)
    for random, colour, symbol in ((True, CATEGORIES[1], "diamond"), (False, CATEGORIES[0], "circle")):
        rows = [i for i, one in enumerate(found) if one.random == random]
        part = values[rows]
        sheet.add(
            "scatter", x=part[:, 0], y=[names[i] for i in rows], mode="markers", showlegend=False,
            marker={"size": 11, "color": colour, "symbol": symbol, "line": {"color": INK, "width": 1}},
            error_x={"type": "data", "array": part[:, 2] - part[:, 0], "arrayminus": part[:, 0] - part[:, 1],
                     "color": colour, "thickness": 2, "width": 5},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    sheet.set(
        xaxis={"range": [-0.02, 1.02], "tickformat": ".0%", "nticks": 6, "title": {"text": t("views.rates.axis")}},
        yaxis={**LINES, "categoryorder": "array", "categoryarray": names, "showgrid": True},
    )
    table = pd.DataFrame(
        [[one.name, one.wrong, one.counted, one.value, one.low, one.high] for one in found],
        columns=[t(f"views.rates.{name}") for name in ("group", "wrong", "counted", "share", "low", "high")],
    )
    said = t("views.list.comma").join(
        t("views.rates.one", name=one.name, share=percent(one.value), low=percent(one.low), high=percent(one.high),
          wrong=one.wrong, count=one.counted)
        for one in found
    )  # fmt: skip
    said = t("views.rates.said", said=said)
    return Picture(key, title, sheet.figure(), said, table, said, t("views.rates.shows"), t("views.rates.hides"))
