"""A few texts against their images, all with all: how alike each two are, with partners framed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import SEQUENTIAL, scale
from fusion.views.sheet import bar, heat
from fusion.views.speech import clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_PAIRS = 24  # cells stay wide enough to be told apart on a phone
FACES = 2  # lines of the picture that the small images take


@dataclass(frozen=True)
class Side:
    """What stands along one side of the map: ids, and what a reader sees of each."""

    ids: Sequence[str]
    names: Sequence[str]  # sentences, or small images as data addresses ("" where there is none)


def block(cosines: np.ndarray, own: np.ndarray, texts: Side, images: Side) -> Picture:
    """Do partners find each other among these? Cosines of every text with every image, the own partner's framed.

    cosines (P, U) in [-1, 1]; own (P, U) bool, True where the image is the text's own; of more than 24 rows or columns
    the first are drawn, and all are in the table.
    """
    key, title = "block", t("views.block.title")
    values, mine = np.asarray(cosines, np.float32), np.asarray(own, bool)
    if values.size == 0:
        return base.nothing(key, title, t("views.none.pairs"))
    part = values[:MOST_PAIRS, :MOST_PAIRS]
    rows, columns = part.shape
    down = distinct([say("image"), *[" "] * (FACES - 1), *(clean(name, 20) for name in texts.names[:rows])])
    across = [str(i + 1) for i in range(columns)]
    faces = np.full((FACES, columns), np.nan, np.float32)
    sheet = heat(key, len(down), longest=2)
    sheet.add(
        "heatmap", z=np.vstack([faces, part]), x=across, y=down, colorscale=scale(SEQUENTIAL), xgap=1, ygap=1,
        zmin=min(0.0, float(part.min())), zmax=float(part.max()), colorbar=bar(t("views.axis.cosine")),
        hovertemplate=t("views.block.hover") + "<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    for column, face in enumerate(images.names[:columns]):
        if face:
            sheet.images.append(
                {"source": face, "xref": "x", "yref": "y", "x": column, "y": (FACES - 1) / 2, "sizex": 0.92,
                 "sizey": FACES * 0.92, "xanchor": "center", "yanchor": "middle", "sizing": "contain"}
            )  # fmt: skip
    for row, column in np.argwhere(mine[:rows, :columns]).tolist():
        line = row + FACES
        sheet.frame((column - 0.5, column + 0.5), (line - 0.5, line + 0.5), width=2.5)
    sheet.set(xaxis={"tickangle": 0})
    facts = _facts(values, mine, texts)
    table = pd.DataFrame(values, columns=distinct([plain(id) for id in images.ids]))
    table.insert(0, t("views.axis.id"), [plain(id) for id in texts.ids])
    table.insert(1, say("text"), [plain(name, 300) for name in texts.names])
    note = limit_note(rows, len(values))
    return Picture(
        key, title, sheet.figure(), t("views.block.alt", **facts), table, join(t("views.block.finding", **facts), note),
        t("views.block.shows"), t("views.block.hides"),
    )  # fmt: skip


def _facts(values: np.ndarray, mine: np.ndarray, texts: Side) -> dict[str, str]:
    """What the finding and the text alternative say."""
    best = np.where(mine, values, -np.inf).max(1)
    rival = np.where(mine, -np.inf, values).max(1)
    row, column = divmod(int(values.argmax()), values.shape[1])
    mean = lambda some: num(float(some.mean())) if some.size else "–"  # noqa: E731
    return {
        "texts": f"{len(values):,}", "images": f"{values.shape[1]:,}", "found": f"{int((best > rival).sum()):,}",
        "own": mean(values[mine]), "others": mean(values[~mine]), "high": num(float(values[row, column])),
        "text": plain(texts.names[row]), "image": str(column + 1), "low": num(float(values.min())),
    }  # fmt: skip
