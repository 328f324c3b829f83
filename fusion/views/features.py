"""The features of one modality of one sample as a file gave them, where nothing else of it can be looked at.

T steps, D features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views.base import MOST_CELLS, Picture
from fusion.views.palette import DIVERGING, scale
from fusion.views.sheet import Sheet, bar
from fusion.views.speech import join, limit_note, num, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_FEATURES = 60  # rows
FAR = 3.0  # spreads: the ends of the colours
STEADY = 1e-6  # of the largest number: a smaller spread is rounding


def steps(values: np.ndarray, modality: str, names: Sequence[str] = ()) -> Picture | None:
    """When does something happen? A row a feature, a column a step, each feature in its own spread over the sample.

    values (T, D) real steps; None where they say nothing over time: a single step, or the same numbers at each.
    """
    values = np.asarray(values, np.float64)
    spread = values.std(0) if len(values) else np.zeros(values.shape[-1])
    moving = np.flatnonzero(spread > STEADY * max(1.0, float(np.abs(values).max(initial=0))))
    if len(values) < 2 or not len(moving):
        return None
    standard = (values - values.mean(0)) / np.where(spread > 0, spread, 1)
    order = moving[np.argsort(-spread[moving], kind="stable")]
    shown, times = np.sort(order[:MOST_FEATURES]), min(len(values), MOST_CELLS)
    labels = [names[i] if i < len(names) else str(i + 1) for i in range(len(values))]
    tens = list(range(0, len(shown), 10))
    key, title = f"features-{modality}", t("views.features.title", modality=say(modality))
    sheet = Sheet(key, 150 + 4 * max(len(shown), 12), top=62, bottom=44)
    sheet.add(
        "heatmap", z=standard[:times, shown].T.astype(np.float32), x=np.arange(1, times + 1), y=np.arange(len(shown)),
        customdata=np.broadcast_to(shown[:, None] + 1, (len(shown), times)), zmin=-FAR, zmax=FAR,
        colorscale=scale(DIVERGING), colorbar=bar(t("views.features.unit")),
        hovertemplate=t("views.features.hover") + "<extra></extra>",
    )  # fmt: skip
    sheet.set(
        xaxis={"title": {"text": t("views.axis.step")}, "nticks": 10, "showgrid": False},
        yaxis={"title": {"text": t("views.features.feature")}, "autorange": "reversed", "showgrid": False,
               "tickvals": tens, "ticktext": [str(shown[i] + 1) for i in tens]},
    )  # fmt: skip
    away = np.abs(standard[:, moving]).mean(1)  # (T,)
    most = int(away.argmax())
    facts = {
        "modality": say(modality), "steps": len(values), "width": values.shape[1], "at": labels[most],
        "value": num(float(away[most])), "mean": num(float(away.mean())),
    }  # fmt: skip
    finding = t("views.features.finding", **facts)
    table = pd.DataFrame(values.astype(np.float32), columns=[str(i + 1) for i in range(values.shape[1])])
    table.insert(0, t("views.axis.step"), labels)
    return Picture(
        key, title, sheet.figure(), t("views.features.alt", **facts), table,
        join(finding, limit_note(len(shown), values.shape[1])), t("views.features.shows"), t("views.features.hides"),
    )  # fmt: skip
