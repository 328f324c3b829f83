"""Embeddings: how close a sample's own vectors are, and the map of a whole data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.signals import Embedding
from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CATEGORIES, COLOURS, DIVERGING, INK, SEQUENTIAL, SHAPES, TEXT, scale, thin
from fusion.views.sheet import Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Trace
    from fusion.types import Sample
    from fusion.views.palette import Tints

MOST_POINTS = 20_000
GRID = 120  # cells a side that density is counted in
SOLID = ("circle", "diamond", "square", "cross", "x")  # shapes that Plotly has in three dimensions
WEBGL_ABOVE = 1_000


def closeness(signal: Embedding, sample: Sample, trace: Trace) -> Picture:
    """How close are this sample's own vectors? Cosines between all embeddings of one width."""
    key, title = f"closeness-{signal.value.shape[-1]}", t("views.closeness.title")
    same = [e for e in trace.of(Embedding) if e.value.shape[-1] == signal.value.shape[-1]] or [signal]
    vectors = np.stack([base.array(e.value) for e in same])
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.maximum(lengths, 1e-12)
    cosines = np.clip(units @ units.T, -1, 1).astype(np.float32)
    names = [say(e.name) for e in same]
    labels = distinct([clean(name, 20) for name in names])
    sheet = heat(key, 2 * len(same), longest=0 if len(same) < 4 else 14)
    sheet.add(
        "heatmap", z=cosines, x=labels, y=labels, colorscale=scale(DIVERGING), zmin=-1, zmax=1, xgap=2, ygap=2,
        text=[[num(float(v)) for v in row] for row in cosines], texttemplate="%{text}",
        colorbar=bar(t("views.axis.cosine")), hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    sheet.set(xaxis={"tickangle": 0 if len(same) < 4 else -35})
    table = pd.DataFrame(cosines, columns=distinct(names))
    table.insert(0, t("views.axis.embedding"), names)
    if len(same) < 2:
        said = t("views.closeness.single", name=names[0], length=num(float(lengths[0, 0])))
        said_alt = said
    else:
        off = np.where(np.eye(len(same), dtype=bool), -2, cosines)
        a, b = np.unravel_index(int(off.argmax()), off.shape)
        facts = {"first": names[min(a, b)], "second": names[max(a, b)], "value": num(float(cosines[a, b]))}
        said, said_alt = t("views.closeness.finding", **facts), t("views.closeness.alt", **facts, count=len(same))
    return Picture(
        key, title, sheet.figure(), said_alt, table, said, t("views.closeness.shows"), caveat(signal, "views.hides")
    )


@dataclass(frozen=True)
class Placed:
    """A dropped sample on the map: a point a modality, and how far apart its halves are in the original space."""

    points: np.ndarray  # (M, 2 or 3) float32
    modalities: tuple[str, ...]
    distance: float | None = None


@dataclass(frozen=True)
class Label:
    """Some words on a map."""

    x: float
    y: float
    text: str


def scatter(
    points: np.ndarray, modalities: Sequence[str], ids: Sequence[str], *, method: str = "PCA",
    pairs: np.ndarray | None = None, distances: np.ndarray | None = None, selected: Sequence[int] = (),
    placed: Placed | None = None, kinds: Sequence[str] | None = None, colour: np.ndarray | None = None,
    colour_name: str = "", total: int | None = None, shows: str = "views.map.shows", beyond: np.ndarray | None = None,
    labels: Sequence[Label] = (), density: bool = False, tints: Tints | None = None, said: str = "",
) -> Picture:  # fmt: skip
    """Where do samples lie, and do pairs lie together? shows: key of the sentence on what a point is.

    points (N, 2); modalities, which give the shapes, and ids (N); kinds (N), which give the colours, the modalities
    without; pairs (P, 2) int rows joined by lines, with distances (P,) in the original space; selected: rows that get a
    ring; colour (N,) numbers instead of the kinds' colours; total: how many points there are in all when these are a
    sample of them; beyond (K, 2): points that were cut away, pale below the others; labels: words on the map; density:
    whether lines of equal density are drawn; tints: colours of the kinds instead of the usual ones; said: a sentence on
    what the colours tell. Marks are row numbers. Of more than 20,000 points, evenly spaced ones are
    shown, with every point of a pair line or a selection among them.
    """
    key, title = "map", t("views.map.title")
    count = len(points)
    if not count:
        return base.nothing(key, title, t("views.none.points"))
    everywhere = np.asarray(points, np.float32)
    keep = _sample(count, [] if pairs is None else np.asarray(pairs).ravel(), selected)
    xy, shapes = everywhere[keep], np.asarray(modalities)[keep]
    named = shapes if kinds is None else np.asarray(kinds)[keep]
    values = None if colour is None else np.asarray(colour)[keep]
    sheet = Sheet(key, 520, top=34)
    marks = [tuple(keep[rows].tolist()) for rows in _points(sheet, xy, named, shapes, values, colour_name, tints)]
    if beyond is not None and len(beyond):
        _beyond(sheet, np.asarray(beyond, np.float32))
    if density:
        _density(sheet, everywhere)
    if pairs is not None and len(pairs):
        _lines(sheet, everywhere, np.asarray(pairs))
    _rings(sheet, everywhere, list(selected), placed)
    for label in labels:
        font = {"size": 14, "weight": 700, "color": TEXT, "shadow": "auto"}
        sheet.note(clean(label.text, 32), x=label.x, y=label.y, font=font)
    bare = {"showgrid": False, "showticklabels": False, "fixedrange": False}
    sheet.set(
        legend={"itemsizing": "constant"}, dragmode="lasso", clickmode="event+select", xaxis=bare,
        yaxis={**bare, "scaleanchor": "x", "constrain": "domain"},
    )  # fmt: skip
    facts = Facts(xy, named if tints is None else shapes, ids, method, total or count, pairs, distances, placed, said)
    if facts.note:
        sheet.note(facts.note, x=1, y=0, xref="paper", yref="paper", xanchor="right", yanchor="bottom")
    alt, finding = facts.told()
    table = listed([str(ids[i]) for i in keep], named, xy, values, colour_name)
    return Picture(
        key, title, sheet.figure(), alt, table, finding,
        t(shows), t("views.map.hides"), tuple(marks),
    )  # fmt: skip


def solid(
    points: np.ndarray, modalities: Sequence[str], ids: Sequence[str], *, method: str = "PCA",
    pairs: np.ndarray | None = None, distances: np.ndarray | None = None, selected: Sequence[int] = (),
    placed: Placed | None = None, kinds: Sequence[str] | None = None, colour: np.ndarray | None = None,
    colour_name: str = "", total: int | None = None, shows: str = "views.map.shows", tints: Tints | None = None,
    said: str = "",
) -> Picture:  # fmt: skip
    """The map in three dimensions, points (N, 3), to be turned and not chosen from; the rest as in `scatter`."""
    key, title = "map-3d", t("views.map.title")
    if not len(points):
        return base.nothing(key, title, t("views.none.points"))
    everywhere = np.asarray(points, np.float32)
    keep = _sample(len(points), [] if pairs is None else np.asarray(pairs).ravel(), selected)
    xyz, shapes = everywhere[keep], np.asarray(modalities)[keep]
    named = shapes if kinds is None else np.asarray(kinds)[keep]
    values = None if colour is None else np.asarray(colour)[keep]
    sheet = Sheet(key, 560, top=34)
    _points(sheet, xyz, named, shapes, values, colour_name, tints)
    if pairs is not None and len(pairs):
        _lines(sheet, everywhere, np.asarray(pairs))
    _rings(sheet, everywhere, list(selected), placed)
    axis = {"showticklabels": False, "title": {"text": ""}, "showbackground": False, "gridcolor": thin(INK, 0.3)}
    sheet.set(
        legend={"itemsizing": "constant"}, dragmode="turntable",
        scene={"xaxis": axis, "yaxis": axis, "zaxis": axis, "aspectmode": "data"},
    )  # fmt: skip
    told = named if tints is None else shapes  # what has a colour of its own is told by `said`
    facts = Facts(xyz, told, ids, method, total or len(points), pairs, distances, placed, said)
    alt, finding = facts.told()
    table = listed([str(ids[i]) for i in keep], named, xyz, values, colour_name)
    return Picture(key, title, sheet.figure(), alt, table, finding, t(shows), t("views.map.hides"))


@dataclass(frozen=True)
class Facts:
    """What the sentences of a map are about, however it is drawn."""

    xy: np.ndarray  # (N, 2 or 3) as shown
    kinds: np.ndarray  # (N,) names
    ids: Sequence[str]  # of all rows, which `pairs` counts
    method: str
    total: int  # points there are in all
    pairs: np.ndarray | None
    distances: np.ndarray | None
    placed: Placed | None
    said: str = ""  # on what the colours tell

    @property
    def note(self) -> str:
        """How many are shown of how many, "" where all are."""
        return limit_note(len(self.xy), self.total)

    def told(self) -> tuple[str, str]:
        """The text alternative and the finding."""
        names = pd.unique(self.kinds).tolist()
        facts = {
            "count": f"{len(self.xy):,}", "total": f"{self.total:,}", "method": self.method,
            "widest": num(float(np.abs(self.xy).max())), "modalities": t("views.list.comma").join(map(say, names)),
        }  # fmt: skip
        alt, finding = t("views.map.alt", **facts), t("views.map.finding", **facts)
        if self.said:
            alt, finding = join(alt, self.said), join(finding, self.said)
        if self.distances is not None and len(self.distances) and self.pairs is not None:
            far = int(np.argmax(self.distances))
            said = t(
                "views.map.pairs", count=len(self.distances), value=num(float(self.distances[far])),
                id=plain(str(self.ids[int(self.pairs[far][0])])), median=num(float(np.median(self.distances))),
            )  # fmt: skip
            alt, finding = join(alt, said), join(finding, said)
        if self.placed is not None and self.placed.distance is not None:
            finding = join(finding, t("views.map.placed", value=num(self.placed.distance)))
        return alt, join(finding, self.note) if self.note else finding


def listed(
    ids: Sequence[str], kinds: np.ndarray, xy: np.ndarray, values: np.ndarray | None, colour_name: str
) -> pd.DataFrame:
    """The points of a map as a table: id, kind, place, and the number that colours them."""
    names = {kind: say(kind) for kind in pd.unique(kinds).tolist()}
    table = pd.DataFrame({
        t("views.axis.id"): ids, t("views.axis.modality"): [names[kind] for kind in kinds.tolist()],
        **{axis: xy[:, at] for at, axis in enumerate("xyz"[: xy.shape[1]])},
    })  # fmt: skip
    if values is not None:
        table[colour_name or t("views.axis.colour")] = values
    return table


def layers(names: Sequence[str], tints: Tints | None) -> list[tuple[int, str]]:
    """Kinds in the order in which they are drawn, each with its number."""
    numbered = list(enumerate(names))
    if tints is None:
        return numbered
    order = {kind: at for at, kind in enumerate(tints.colours)} | {tints.quiet: -1}
    return sorted(numbered, key=lambda one: order.get(one[1], -1))


def colour_of(kind: str, order: int, tints: Tints | None = None) -> str:
    """The colour of a kind of points: its own, that of a modality, or the next of the palette."""
    if tints is not None and kind in tints.colours:
        return tints.colours[kind]
    return COLOURS.get(kind, CATEGORIES[order % 10])


def _sample(count: int, paired: Sequence[int] | np.ndarray, selected: Sequence[int]) -> np.ndarray:
    """Rows to show, in order: all, or evenly spaced ones and those that something else points at."""
    if count <= MOST_POINTS:
        return np.arange(count)
    named = np.unique(np.concatenate((np.asarray(paired, np.int64), np.asarray(selected, np.int64))))
    spaced = np.linspace(0, count - 1, MOST_POINTS - len(named)).round().astype(np.int64)
    return np.union1d(spaced, named)


def _axes(xy: np.ndarray) -> dict[str, np.ndarray]:
    """Places as Plotly names them. (N, 2 or 3) -> {"x": (N,), ...}"""
    return {axis: xy[:, at] for at, axis in enumerate("xyz"[: xy.shape[1]])}


def _points(
    sheet: Sheet, xy: np.ndarray, kinds: np.ndarray, shapes: np.ndarray, colour: np.ndarray | None, colour_name: str,
    tints: Tints | None = None,
) -> list[np.ndarray]:  # fmt: skip
    """One trace a kind and shape; WebGL above a thousand points or in three dimensions. -> rows of xy by trace"""
    flat = xy.shape[1] == 2
    draw = "scatter3d" if not flat else "scattergl" if len(xy) > WEBGL_ABOVE else "scatter"
    size = 4 if len(xy) > 5_000 else 6 if len(xy) > WEBGL_ABOVE else 8
    size = size if flat else 2 + size // 4
    values = None if colour is None else np.asarray(colour, np.float32)
    known = None if values is None or not np.isfinite(values).any() else values
    drawn: list[np.ndarray] = []
    told: set[int] = set()  # kinds that the legend has
    code, names = pd.factorize(kinds)
    shape, forms = pd.factorize(shapes)
    one = bool((kinds == shapes).all())  # the shape follows the colour
    for order, kind in layers(names.tolist(), tints):
        members = np.flatnonzero(code == order)
        pale = tints is not None and kind == tints.quiet
        for at, form in enumerate(forms.tolist()):
            rows = members if one else members[shape[members] == at]
            if (one and form != kind) or not len(rows):
                continue
            mark = SHAPES.get(form, ("circle", "diamond")[(order if one else at) % 2])
            style: dict[str, object] = {
                "symbol": mark if flat or mark in SOLID else "circle", "line": {"width": 0}, "size": size,
                "opacity": 0.75, "color": colour_of(kind, order, tints),
            }  # fmt: skip
            if tints is not None:
                style |= {"size": max(size - 2, 2), "opacity": 0.3} if pale else {"size": size + 2, "opacity": 1.0}
            if values is not None and known is not None:
                style |= {
                    "color": values[rows], "colorscale": scale(SEQUENTIAL), "cmin": float(np.nanmin(known)),
                    "cmax": float(np.nanmax(known)), "showscale": not drawn, "colorbar": bar(colour_name, below=True),
                }  # fmt: skip
            said = clean(say(kind), 40)
            faded = {"unselected": {"marker": {"opacity": 0.35}}} if flat else {}
            sheet.add(
                draw, **_axes(xy[rows]), mode="markers", name=said, marker=style, legendgroup=said,
                showlegend=order not in told,
                hovertemplate=(said if one else f"{said}, {clean(say(form), 40)}") + "<extra></extra>", **faded,
            )  # fmt: skip
            told.add(order)
            drawn.append(rows)
    return drawn


def _beyond(sheet: Sheet, xy: np.ndarray) -> None:
    """Points that were cut away, below all others."""
    draw = "scattergl" if len(xy) > WEBGL_ABOVE else "scatter"
    sheet.add(
        draw, x=xy[:, 0], y=xy[:, 1], mode="markers", name=t("views.map.beyond"), hoverinfo="skip",
        marker={"size": 3, "color": thin(INK, 0.25), "line": {"width": 0}},
    )  # fmt: skip


def _density(sheet: Sheet, xy: np.ndarray) -> None:
    """Lines around the densest tenth, quarter, half and three quarters of the points."""
    from scipy.ndimage import gaussian_filter

    low, high = xy.min(0), xy.max(0)
    edge = 0.05 * (high - low) + 1e-9
    count, x, y = np.histogram2d(*xy.T, bins=GRID, range=np.stack((low - edge, high + edge), 1))
    z = gaussian_filter(count, GRID / 40)
    order = np.sort(z.ravel())[::-1]
    inside = order.cumsum() / max(order.sum(), 1e-12)
    for share in (0.1, 0.25, 0.5, 0.75):
        level = float(order[min(int(np.searchsorted(inside, share)), len(order) - 1)])
        sheet.add(
            "contour", x=((x[1:] + x[:-1]) / 2).astype(np.float32), y=((y[1:] + y[:-1]) / 2).astype(np.float32),
            z=z.T.astype(np.float32), showscale=False, hoverinfo="skip", autocontour=False, showlegend=False,
            contours={"start": level, "end": level, "size": 1, "coloring": "none"}, line={"color": INK, "width": 1.2},
        )  # fmt: skip


def _lines(sheet: Sheet, xy: np.ndarray, pairs: np.ndarray) -> None:
    """All pair lines as one trace with gaps."""
    path = np.full((len(pairs), 3, xy.shape[1]), np.nan, np.float32)
    path[:, :2] = xy[pairs]
    flat = xy.shape[1] == 2
    sheet.add(
        "scatter" if flat else "scatter3d", **_axes(path.reshape(-1, xy.shape[1])), mode="lines",
        name=t("views.map.lines"), hoverinfo="skip", line={"color": INK, "width": 1},
    )  # fmt: skip


def _rings(sheet: Sheet, xy: np.ndarray, selected: list[int], placed: Placed | None) -> None:
    """Small traces over the big ones: rings on the selection, and the dropped sample with its halves joined."""
    flat = xy.shape[1] == 2
    draw = "scatter" if flat else "scatter3d"
    if selected:
        sheet.add(
            draw, **_axes(xy[selected]), mode="markers", hoverinfo="skip", name=t("views.map.selected"),
            marker={"symbol": "circle-open", "size": 16 if flat else 8, "color": INK, "line": {"width": 2}},
        )  # fmt: skip
    if placed is not None:
        forms = [SHAPES.get(m, "circle") for m in placed.modalities]
        sheet.add(
            draw, **_axes(np.asarray(placed.points, np.float32)), name=t("views.map.yours"),
            mode="lines+markers+text", line={"color": INK, "width": 2}, text=[say(m) for m in placed.modalities],
            texttemplate="<b>%{text}</b>", textposition="top center", hovertemplate="%{text}<extra></extra>",
            textfont={"color": TEXT, "size": 14, **({"shadow": "auto"} if flat else {})},
            marker={"symbol": [form if flat or form in SOLID else "circle" for form in forms],
                    "size": 19 if flat else 8,
                    "color": [COLOURS.get(m, INK) for m in placed.modalities], "line": {"width": 3, "color": INK}},
        )  # fmt: skip
