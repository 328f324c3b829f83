"""How the values of a column are spread: all of them pale, those that are kept in full colour."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK, thin
from fusion.views.sheet import Sheet
from fusion.views.speech import clean, distinct, num
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

BINS = 30
HEIGHT = 150


def numbers(values: np.ndarray, kept: np.ndarray, title: str) -> Picture:
    """A histogram of numbers. values (N,) float, NaN are left out; kept (N,) bool"""
    known = np.isfinite(values.astype(np.float64))
    some, chosen = values[known].astype(np.float64), values[known & kept].astype(np.float64)
    edges = np.histogram_bin_edges(some, BINS)
    every, left = (np.histogram(one, edges)[0] for one in (some, chosen))
    middle = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    sheet = _bars(title, middle, every, left, float(edges[1] - edges[0]))
    spread = f"{num(float(some.min()))} – {num(float(some.max()))}" if len(some) else "–"
    median = num(float(np.median(chosen))) if len(chosen) else "–"
    facts = {"title": title, "kept": f"{len(chosen):,}", "count": f"{len(some):,}", "spread": spread, "median": median}
    table = pd.DataFrame({
        t("views.histogram.from"): edges[:-1], t("views.histogram.to"): edges[1:], t("views.histogram.all"): every,
        t("views.histogram.kept"): left,
    })  # fmt: skip
    told = t("views.histogram.numbers", **facts)
    return Picture("histogram", title, sheet.figure(), told, table, told, t("views.histogram.shows"),
                   t("views.histogram.hides"))  # fmt: skip


def names(values: Sequence[str], kept: np.ndarray, title: str) -> Picture:
    """Bars of names, the commonest first. values N names, kept (N,) bool"""
    every = Counter(values)
    left = Counter(value for value, inside in zip(values, kept.tolist(), strict=True) if inside)
    order = [name for name, _ in every.most_common()]
    counts, chosen = np.array([every[one] for one in order]), np.array([left[one] for one in order])
    sheet = _bars(title, np.asarray(distinct([clean(one, 14) for one in order]), dtype=object), counts, chosen, None)
    facts = {"title": title, "kept": f"{chosen.sum():,}", "count": f"{counts.sum():,}", "most": clean(order[0], 40)}
    table = pd.DataFrame({
        t("views.histogram.name"): order, t("views.histogram.all"): counts, t("views.histogram.kept"): chosen,
    })  # fmt: skip
    told = t("views.histogram.names", **facts)
    return Picture("histogram", title, sheet.figure(), told, table, told, t("views.histogram.shows"),
                   t("views.histogram.hides"))  # fmt: skip


def _bars(title: str, x: np.ndarray, every: np.ndarray, left: np.ndarray, width: float | None) -> Sheet:
    sheet = Sheet("histogram", HEIGHT, top=4, bottom=30)
    hover = "%{x}: %{y}<extra></extra>"
    wide = {} if width is None else {"width": width}
    sheet.add("bar", x=x, y=every, marker={"color": thin(INK, 0.3), "line": {"width": 0}}, hovertemplate=hover, **wide)
    sheet.add("bar", x=x, y=left, marker={"color": CATEGORIES[0], "line": {"width": 0}}, hovertemplate=hover, **wide)
    kind = {"type": "category"} if width is None else {"nticks": 5}
    sheet.set(
        barmode="overlay", bargap=0.1, showlegend=False, xaxis={**kind, "title": {"text": clean(title, 60)}},
        yaxis={"nticks": 3, "rangemode": "tozero"},
    )  # fmt: skip
    return sheet
