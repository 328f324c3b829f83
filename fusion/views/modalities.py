"""Few numbers a modality of an entity or a pair: scores, the exact shares of a cosine, and neighbours in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, folded, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.signals import EdgeWeights, ModalityScores, Parts, Trace
    from fusion.types import Sample


def scores(signal: ModalityScores, sample: Sample, trace: Trace) -> Picture:
    """What does each modality say? One bar each, and a line at the value that says nothing."""
    key, title = f"scores-{signal.name}", t("views.scores.title", name=say(signal.name))
    values = base.array(signal.value)  # (M,)
    names = [say(m) for m in signal.modalities]
    sheet = _bars(key, values, names, signal.modalities, signal.neutral or 0.0)
    if signal.neutral is not None:
        sheet.rule(signal.neutral)
    facts = _facts(values, names) | {"name": say(signal.name)}
    finding = t("views.scores.finding", **facts)
    if signal.neutral is not None:
        finding = join(finding, t("views.scores.neutral", value=num(signal.neutral)))
    return Picture(
        key, title, sheet.figure(), t("views.scores.alt", **facts), _table(values, names), finding,
        t("views.scores.shows", name=say(signal.name)), caveat(signal, "views.hides"),
    )  # fmt: skip


def shares(signal: Parts, sample: Sample, trace: Trace) -> Picture | None:
    """What does a total of one pair consist of? One signed bar a voice; None where there are steps and classes."""
    if signal.mask is not None:
        return None
    key, title = f"shares-{signal.name}", t("views.shares.title", name=say(signal.total))
    values = base.array(signal.value)  # (V,)
    names = [say(voice) for voice in signal.voices]
    sheet = _bars(key, values, names, signal.voices)
    sheet.rule(0, dash="solid")
    total = float(values.sum())
    facts = _facts(values, names) | {"name": say(signal.total), "total": num(total)}
    table = _table(values, names)
    table.loc[len(table)] = [t("views.axis.sum"), np.float32(total)]
    return Picture(
        key, title, sheet.figure(), t("views.shares.alt", **facts), table, t("views.shares.finding", **facts),
        t("views.shares.shows", name=say(signal.total)), caveat(signal, "views.hides"),
    )  # fmt: skip


def neighbours(
    signal: EdgeWeights, sample: Sample, trace: Trace, *, entities: Mapping[int, str] | None = None
) -> Picture:
    """From which neighbours does an entity take, by head? `entities` names them by number."""
    key = f"neighbours-{signal.name}"
    title = t("views.neighbours.title", layer=signal.layer + 1, layers=signal.layers)
    real = base.flags(signal.mask)
    values = base.array(signal.value)[:, real]  # (H, K)
    if not values.size:
        return base.nothing(key, title, t("views.none.neighbours"), signal)
    own, others = int(signal.entity[0]), signal.neighbours[0].detach().cpu().numpy()[real]
    known = entities or {}
    names = [
        t("views.neighbours.itself") if n == own else known.get(int(n), t("views.neighbours.entity", number=int(n)))
        for n in others
    ]
    heads = [t("views.head.one", head=h + 1) for h in range(len(values))]
    labels = distinct([clean(name, 24) for name in names])
    sheet = heat(key, len(labels))
    sheet.add(
        "heatmap", z=values.T, x=heads, y=labels, colorscale=scale(SEQUENTIAL), zmin=0, zmax=float(values.max()) or 1,
        colorbar=bar(t("views.axis.attention")), xgap=1, ygap=1, hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    mean = values.mean(0)
    top, degree = int(mean.argmax()), int(signal.degree[0])
    facts = {
        "name": plain(names[top]), "value": num(float(mean[top])), "even": num(1 / degree), "count": degree,
        "heads": len(heads),
    }  # fmt: skip
    table = pd.DataFrame(values.T, columns=heads)
    table.insert(0, t("views.axis.neighbour"), [plain(name) for name in names])
    note = limit_note(len(names), degree)
    return Picture(
        key, title, sheet.figure(), t("views.neighbours.alt", **facts), table,
        join(t("views.neighbours.finding", **facts), note), t("views.neighbours.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _bars(key: str, values: np.ndarray, names: Sequence[str], colours: Sequence[str], rule: float = 0.0) -> Sheet:
    sheet = Sheet(key, 80 + 34 * len(names), right=48)
    sheet.add(
        "bar", x=values, y=distinct([folded(name, 20) for name in names]), orientation="h", cliponaxis=False,
        text=[num(float(v)) for v in values], textposition="outside", showlegend=False,
        marker={
            "color": [COLOURS.get(c, CATEGORIES[i % len(CATEGORIES)]) for i, c in enumerate(colours)],
            "line": {"color": INK, "width": 1},
        },
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )  # fmt: skip
    low, high = min(0.0, rule, float(values.min())), max(0.0, rule, float(values.max()))
    wide = (high - low) or 1.0  # beside it the numbers at the ends of the bars; at the left they meet the names
    span = [low - (0.3 * wide if low < 0 else 0), high + 0.16 * wide]
    sheet.set(
        xaxis={"title": {"text": t("views.axis.value")}, "nticks": 5, "range": span}, yaxis={**LINES, "showgrid": False}
    )
    return sheet


def _facts(values: np.ndarray, names: Sequence[str]) -> dict[str, str]:
    order = np.argsort(-values)
    return {
        "top": names[int(order[0])], "value": num(float(values[order[0]])), "low": names[int(order[-1])],
        "least": num(float(values[order[-1]])),
        "all": t("views.list.comma").join(f"{names[i]} {num(float(values[i]))}" for i in order),
    }  # fmt: skip


def _table(values: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame({t("views.axis.modality"): list(names), t("views.axis.value"): values})
