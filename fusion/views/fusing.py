"""What a model listens to over a whole data set: weights by entity and by kind.

N entities, M modalities, K kinds. Filled-in features are drawn apart wherever they occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_POINTS = 2_000  # an SVG picture stays quick to draw
MOST_LINES = 250
MOST_KINDS = 16
BINS = 60
SEED = 0


@dataclass(frozen=True, eq=False)
class Weighed:
    """Weights of the modalities of N entities, and which features were really there."""

    modalities: tuple[str, ...]
    weights: np.ndarray  # (N, M)
    known: np.ndarray  # (N, M) bool, False = filled in or empty
    kinds: np.ndarray  # (N,) names, "" where none is known

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def names(self) -> list[str]:
        """What a reader calls the modalities."""
        return [say(m) for m in self.modalities]

    @property
    def colours(self) -> list[str]:
        """A colour a modality."""
        return [COLOURS.get(m, CATEGORIES[i % 10]) for i, m in enumerate(self.modalities)]

    def some(self, most: int) -> np.ndarray:
        """Rows to draw: all, or a seeded sample in their order."""
        if len(self) <= most:
            return np.arange(len(self))
        return np.sort(np.random.default_rng(SEED).choice(len(self), most, replace=False))


def _facts(seen: Weighed) -> dict[str, str]:
    """Means and spreads in words."""
    mean, spread = seen.weights.mean(0), seen.weights.std(0)
    order = np.argsort(-mean)
    names = seen.names
    return {
        "all": t("views.list.comma").join(f"{names[i]} {num(float(mean[i]))}" for i in order), "top": names[order[0]],
        "value": num(float(mean[order[0]])), "widest": names[int(spread.argmax())], "spread": num(float(spread.max())),
        "count": f"{len(seen):,}", "even": num(1 / len(names)), "high": num(float(seen.weights.max())),
    }  # fmt: skip


def _table(seen: Weighed) -> pd.DataFrame:
    low, median, high = np.percentile(seen.weights, [10, 50, 90], axis=0).astype(np.float32)
    return pd.DataFrame({
        t("views.axis.modality"): seen.names, t("views.axis.mean"): seen.weights.mean(0).astype(np.float32),
        "P10": low, "P50": median, "P90": high, t("views.axis.filled"): (~seen.known).sum(0),
    })  # fmt: skip


def ternary(seen: Weighed) -> Picture:
    """Each entity's three weights as a point in a triangle; a corner is all weight on one modality. Marks are rows."""
    key, title = "ternary", t("views.ternary.title")
    if not len(seen):
        return base.nothing(key, title, t("views.none.points"))
    rows = seen.some(MOST_POINTS)
    whole = np.asarray(seen.known.all(1))
    sheet = Sheet(key, 470, top=48, bottom=30, left=30, right=30)
    marks = []
    for name, chosen, symbol, colour in (
        (t("views.fusing.known"), rows[whole[rows]], "circle", CATEGORIES[0]),
        (t("views.fusing.filled"), rows[~whole[rows]], "diamond-open", CATEGORIES[1]),
    ):
        if not len(chosen):
            continue
        a, b, c = seen.weights[chosen].T.astype(np.float32)
        sheet.add(
            "scatterternary", a=a, b=b, c=c, mode="markers", name=name,
            marker={"symbol": symbol, "size": 6, "opacity": 0.55, "color": colour},
            hovertemplate="%{a:.3f}, %{b:.3f}, %{c:.3f}<extra>" + name + "</extra>",
        )  # fmt: skip
        marks.append(tuple(chosen.tolist()))
    sheet.clicks()
    axis = {"min": 0, "ticks": "", "nticks": 5, "gridcolor": "rgba(128,128,128,0.3)", "linecolor": INK}
    corners = {
        f"{side}axis": {**axis, "title": {"text": clean(name, 18)}}
        for side, name in zip("abc", seen.names, strict=True)
    }
    sheet.set(ternary={"sum": 1, "bgcolor": "rgba(0,0,0,0)", **corners}, dragmode="lasso")
    facts = _facts(seen)
    return Picture(
        key, title, sheet.figure(), t("views.ternary.alt", **facts), _table(seen),
        join(t("views.fusing.finding", **facts), limit_note(len(rows), len(seen))), t("views.ternary.shows"),
        t("views.fusing.hides"), tuple(marks),
    )  # fmt: skip


def ridges(seen: Weighed) -> Picture:
    """How do the weights of each modality spread? A ridge each: really there above its line, filled in below it."""
    key, title = "ridges", t("views.ridges.title")
    if not len(seen):
        return base.nothing(key, title, t("views.none.points"))
    count = len(seen.modalities)
    low, high = float(seen.weights.min()), float(seen.weights.max())
    if high - low < 1e-6:
        return _same(key, title, seen)
    edges = np.linspace(low, high, BINS + 1)
    middle = ((edges[1:] + edges[:-1]) / 2).astype(np.float32)
    counts = np.stack([
        np.stack([np.histogram(seen.weights[own == there, i], edges)[0] for there in (True, False)])
        for i, own in enumerate(seen.known.T)
    ]).astype(np.float32)  # (M, 2, bins)  # fmt: skip
    sheet = Sheet(key, 90 + 80 * count, top=10, left=8, right=12)
    names = seen.names
    for i in range(count):
        peak = float(counts[i].max()) or 1.0
        for side, (sign, part) in enumerate(((1, 0.52), (-1, 0.26))):
            if not counts[i, side].any():
                continue
            base_line = np.full(len(middle), count - 1 - i, np.float32)
            height = base_line + sign * part * counts[i, side] / peak
            sheet.add(
                "scatter", x=middle, y=base_line, mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip"
            )
            sheet.add(
                "scatter", x=middle, y=height, mode="lines", fill="tonexty", showlegend=False,
                line={"color": seen.colours[i], "width": 1.5, "dash": "solid" if side == 0 else "dot", "shape": "hvh"},
                hovertemplate=clean(names[i], 24) + " %{x:.3f}<extra></extra>",
                opacity=0.9 if side == 0 else 0.6,
            )  # fmt: skip
        median = float(np.median(seen.weights[:, i]))
        sheet.shapes.append(
            {"type": "line", "x0": median, "x1": median, "y0": count - 1 - i - 0.05, "y1": count - 1 - i + 0.54,
             "line": {"color": INK, "width": 2}}
        )  # fmt: skip
        filled = int((~seen.known[:, i]).sum())
        said = clean(names[i], 24) + (f" · {t('views.ridges.filled', count=f'{filled:,}')}" if filled else "")
        sheet.note(said, x=0, xref="paper", xanchor="left", y=count - 1 - i + 0.64, yanchor="middle")
    sheet.rule(1 / count)
    sheet.set(
        xaxis={"title": {"text": t("views.axis.weight")}, "nticks": 6},
        yaxis={"range": [-0.32, count - 0.22], "showticklabels": False, "showgrid": False},
    )
    facts = _facts(seen)
    return Picture(
        key, title, sheet.figure(), t("views.ridges.alt", **facts), _table(seen), t("views.fusing.finding", **facts),
        t("views.ridges.shows"), t("views.fusing.hides"),
    )  # fmt: skip


def _same(key: str, title: str, seen: Weighed) -> Picture:
    said = t("views.fusing.same", value=num(float(seen.weights[0, 0])))
    return base.nothing(key, title, said)


def constant(seen: Weighed) -> Picture:
    """The weights of a model that has one set of them for all entities."""
    key, title = "constant", t("views.constant.title")
    values = seen.weights[0].astype(np.float32)
    names = seen.names
    sheet = Sheet(key, 80 + 34 * len(names), right=48)
    sheet.add(
        "bar", x=values, y=distinct([clean(n, 20) for n in names]), orientation="h", cliponaxis=False, showlegend=False,
        text=[num(float(v)) for v in values], textposition="outside", hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        marker={"color": seen.colours, "line": {"color": INK, "width": 1}},
    )  # fmt: skip
    sheet.rule(1 / len(names))
    sheet.set(
        xaxis={"range": [0, max(1.0, float(values.max()))], "title": {"text": t("views.axis.weight")}, "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )
    facts = _facts(seen)
    return Picture(
        key, title, sheet.figure(), t("views.constant.alt", **facts), _table(seen),
        t("views.constant.finding", **facts), t("views.constant.shows"), t("views.fusing.hides"),
    )  # fmt: skip


def parallel(seen: Weighed) -> Picture:
    """Do kinds of entities differ in what is listened to? A line an entity (some), a thick one a kind's median."""
    key, title = "parallel", t("views.parallel.title")
    if not len(seen):
        return base.nothing(key, title, t("views.none.points"))
    rows = seen.some(MOST_LINES)
    names = distinct([clean(n, 16) for n in seen.names])
    count = len(names)
    path = np.full((len(rows), count + 1), np.nan, np.float32)
    path[:, :count] = seen.weights[rows]
    sheet = Sheet(key, 430, top=84)
    sheet.add(
        "scatter", x=np.tile(np.r_[np.arange(count), np.nan], len(rows)).astype(np.float32), y=path.ravel(),
        mode="lines", line={"color": INK, "width": 0.7}, opacity=0.22, hoverinfo="skip",
        name=t("views.parallel.some", count=f"{len(rows):,}"),
    )  # fmt: skip
    kinds, medians, numbers = _kinds(seen, np.median)
    symbols = ("circle", "diamond", "square", "triangle-up", "x", "pentagon", "star")
    for i, kind in enumerate(kinds[: len(symbols)]):
        sheet.add(
            "scatter", x=np.arange(count, dtype=np.float32), y=medians[i], mode="lines+markers", name=clean(kind, 24),
            line={"color": CATEGORIES[i], "width": 2.5}, marker={"symbol": symbols[i], "size": 9},
            hovertemplate="%{y:.3f}<extra>" + clean(kind, 24) + "</extra>",
        )  # fmt: skip
    sheet.set(
        xaxis={"tickvals": list(range(count)), "ticktext": names, "range": [-0.25, count - 0.75]},
        yaxis={"title": {"text": t("views.axis.weight")}, "nticks": 6},
    )
    table = pd.DataFrame(medians, columns=distinct(seen.names))
    table.insert(0, t("views.axis.kind"), kinds)
    table.insert(1, t("views.axis.count"), numbers)
    widest = int(np.ptp(medians, axis=0).argmax())
    top, least = int(medians[:, widest].argmax()), int(medians[:, widest].argmin())
    facts = {
        "name": seen.names[widest], "high": kinds[top], "value": num(float(medians[top, widest])), "low": kinds[least],
        "least": num(float(medians[least, widest])), "count": f"{len(seen):,}", "kinds": len(kinds),
    }  # fmt: skip
    finding = t("views.parallel.finding", **facts) if len(kinds) > 1 else t("views.parallel.single", **facts)
    return Picture(
        key, title, sheet.figure(), t("views.parallel.alt", **facts), table, finding, t("views.parallel.shows"),
        t("views.fusing.hides"),
    )  # fmt: skip


def _kinds(seen: Weighed, statistic: Callable[..., np.ndarray]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The most frequent kinds, a statistic of their weights (K, M), and how many each has."""
    found, numbers = np.unique(seen.kinds.astype(str), return_counts=True)
    order = np.argsort(-numbers, kind="stable")[:MOST_KINDS]
    values = np.stack([statistic(seen.weights[seen.kinds == found[i]], axis=0) for i in order]).astype(np.float32)
    return [plain(str(found[i])) if found[i] else t("views.fusing.all") for i in order], values, numbers[order]


def by_kind(seen: Weighed) -> Picture:
    """Which modalities does each kind of entity lean on? Mean weight of each, kinds down, modalities across."""
    key, title = "by_kind", t("views.by_kind.title")
    if not len(seen):
        return base.nothing(key, title, t("views.none.points"))
    kinds, means, numbers = _kinds(seen, np.mean)
    names = seen.names
    sheet = heat(key, round(1.3 * len(kinds)), longest=10)
    sheet.add(
        "heatmap", z=means, x=distinct([clean(n, 14) for n in names]),
        y=distinct([f"{clean(k, 22)} ({n:,})" for k, n in zip(kinds, numbers, strict=True)]), xgap=2, ygap=2,
        colorscale=scale(SEQUENTIAL), zmin=float(means.min()), zmax=float(means.max()) + 1e-6,
        colorbar=bar(t("views.axis.weight")), text=[[num(round(float(v), 3)) for v in row] for row in means],
        texttemplate="%{text}", hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"tickangle": -35})
    k, m = np.unravel_index(int(means.argmax()), means.shape)
    facts = {"kind": kinds[k], "name": names[m], "value": num(float(means[k, m])), "kinds": len(kinds),
             "lowest": num(float(means.min()))}  # fmt: skip
    table = pd.DataFrame(means, columns=distinct(names))
    table.insert(0, t("views.axis.kind"), kinds)
    table.insert(1, t("views.axis.count"), numbers)
    return Picture(
        key, title, sheet.figure(), t("views.by_kind.alt", **facts), table,
        join(t("views.by_kind.finding", **facts), limit_note(len(kinds), len(np.unique(seen.kinds)))),
        t("views.by_kind.shows"), t("views.by_kind.hides"),
    )  # fmt: skip
