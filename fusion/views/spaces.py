"""Figures of a shared space: whether views find each other in it, and whether what is made of it hangs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import clean, distinct, num, percent, say
from fusion.words import t

if TYPE_CHECKING:
    from typing import Any

NEAR = 10  # places among which a partner counts as found


def finding(pairs: Sequence[Mapping[str, Any]]) -> Picture:
    """Do views find each other? A bar each way: how often the own other view is among the first ten of all."""
    key, title = "finding", t("views.spaces.finding.title")
    names, values, chance, rows = [], [], [], []
    for pair in pairs:
        a, b = (say(m) for m in pair["views"])
        for way, (first, second) in enumerate(((a, b), (b, a))):
            names.append(t("views.spaces.way", first=first, second=second))
            values.append(float(pair["r10"][way]))
            chance.append(min(1.0, NEAR / max(int(pair["n"]), 1)))
            rows.append([
                names[-1], pair["n"], pair["r1"][way], values[-1], pair["mrr"][way], pair["median_rank"][way],
                pair["gap"], pair["neighbours"], pair["neighbours_chance"],
            ])  # fmt: skip
    labels = distinct([clean(name, 34) for name in names])
    sheet = Sheet(key, 100 + 30 * len(names), top=26, right=48)
    sheet.add(
        "bar", x=np.asarray(values, np.float32), y=labels, orientation="h", name=t("views.spaces.found"),
        text=[percent(v) for v in values], textposition="outside", cliponaxis=False,
        marker={"color": CATEGORIES[0], "line": {"color": INK, "width": 1}},
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.add(
        "scatter", x=np.asarray(chance, np.float32), y=labels, mode="markers", name=t("views.spaces.chance"),
        marker={"symbol": "line-ns-open", "size": 14, "color": INK, "line": {"width": 2}},
        hovertemplate="%{x:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(
        xaxis={"range": [0, 1.12], "title": {"text": t("views.spaces.axis")}, "nticks": 6},
        yaxis={**LINES, "showgrid": False},
    )
    columns = ("way_column", "n", "r1", "r10", "mrr", "median", "gap", "neighbours", "neighbours_chance")
    table = pd.DataFrame(rows, columns=[t(f"views.spaces.{name}") for name in columns])
    best, worst = int(np.argmax(values)), int(np.argmin(values))
    facts = {
        "best": names[best], "best_value": percent(values[best]), "worst": names[worst],
        "worst_value": percent(values[worst]), "chance": percent(chance[worst]),
    }  # fmt: skip
    said = t("views.spaces.finding.finding", **facts)
    return Picture(key, title, sheet.figure(), said, table, said, t("views.spaces.finding.shows"),
                   t("views.spaces.finding.hides"))  # fmt: skip


def coherence(cross: Mapping[str, Mapping[str, float]], chance: float) -> Picture:
    """Does what is made show the class of what it was made from? A row a subset given, a column a modality made."""
    key, title = "coherence", t("views.spaces.coherence.title")
    made = list(next(iter(cross.values())))
    values = np.array([[cross[given][m] for m in made] for given in cross], np.float32)
    rows = [say(given) for given in cross]
    sheet = heat(key, len(rows), extra=16)
    sheet.add(
        "heatmap", z=values, x=distinct([clean(say(m), 24) for m in made]), y=distinct([clean(r, 34) for r in rows]),
        colorscale=scale(SEQUENTIAL), zmin=0, zmax=1, xgap=2, ygap=2, texttemplate="%{text}",
        text=[[num(float(v)) for v in row] for row in values], colorbar=bar(t("views.spaces.coherence.axis")),
        hovertemplate="%{y} → %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"title": {"text": t("views.spaces.made")}, "tickangle": 0})
    table = pd.DataFrame(values, columns=[say(m) for m in made])
    table.insert(0, t("views.spaces.given"), rows)
    low, at = np.unravel_index(int(values.argmin()), values.shape)
    high, to = np.unravel_index(int(values.argmax()), values.shape)
    facts = {
        "low": rows[low], "low_made": say(made[at]), "low_value": percent(float(values[low, at])), "high": rows[high],
        "high_made": say(made[to]), "high_value": percent(float(values[high, to])), "chance": percent(chance),
    }  # fmt: skip
    said = t("views.spaces.coherence.finding", **facts)
    return Picture(key, title, sheet.figure(), said, table, said, t("views.spaces.coherence.shows"),
                   t("views.spaces.coherence.hides"))  # fmt: skip
