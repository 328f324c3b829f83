"""Maps of up to half a million points for a canvas: packed bytes that never change, and the little that does."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.types import FusionError
from fusion.views.embedding import Facts, colour_of, layers, listed
from fusion.views.palette import INK, SEQUENTIAL, SHAPES
from fusion.views.speech import num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.views.embedding import Placed
    from fusion.views.palette import Tints

MAGIC = b"FSC1"
HEADER = struct.Struct("<4sIII4f16s")  # sign, points, bytes of the names, spare, bounds x0 x1 y0 y1, digest
MOST_NAMED = 50_000  # points whose ids travel along; of more, one is asked for by a click
MOST_RINGED = 200  # chosen points that get a ring; of more, all others fade
LONGEST_NAME = 60
MOST_CORNERS = 1_000  # of a line drawn round points
STEPS, UNKNOWN = 254, 254  # colours of a scale, and the place of "no value" after them


@dataclass(frozen=True, eq=False)
class Cloud:
    """A map for a canvas, with everything that makes it readable without looking, as a Picture has it.

    `packed` depends on the points, their colours and names alone, so a browser that has it need not get it again;
    `over` is what lies above them and changes with each choice, as JSON. Row numbers count `facts.xy`.
    """

    key: str
    title: str
    shows: str
    hides: str
    packed: bytes  # HEADER, (N, 2) float32, (N,) uint8 place in the colours, ids joined by newlines as UTF-8
    over: dict[str, object]
    facts: Facts
    kinds: np.ndarray  # (N,) names
    codes: np.ndarray  # (N,) uint8
    values: np.ndarray | None = None  # (N,) float32
    colour_name: str = ""

    @cached_property
    def _told(self) -> tuple[str, str]:
        return self.facts.told()

    @property
    def alt(self) -> str:
        """The text alternative."""
        return self._told[0]

    @property
    def finding(self) -> str:
        """One line on what there is to see."""
        return self._told[1]

    @property
    def counted(self) -> bool:
        """Whether there are numbers to show beside the drawing."""
        return len(self.kinds) > 0

    @cached_property
    def table(self) -> pd.DataFrame:
        """The points as a table, made when it is first asked for: id, kind, place, number."""
        ids = [str(id) for id in self.facts.ids]
        return listed(ids, self.kinds, self.facts.xy, self.values, self.colour_name)

    def marked(
        self, selected: Sequence[int] | np.ndarray = (), *, pairs: np.ndarray | None = None,
        distances: np.ndarray | None = None, placed: Placed | None = None,
    ) -> Cloud:  # fmt: skip
        """The same points, not packed anew, with other marks over them; the arguments are those of `cloud`."""
        xy, facts = self.facts.xy, replace(self.facts, pairs=pairs, distances=distances, placed=placed)
        lines = [] if pairs is None else _rounded(xy[np.asarray(pairs, np.int64).ravel()].reshape(-1, 4))
        over = {
            **self.over, **_chosen(xy, np.asarray(selected, np.int64)), "alt": facts.told()[0], "lines": lines,
            "placed": [] if placed is None else _placed(placed),
        }  # fmt: skip
        return replace(self, over=over, facts=facts)

    def chosen(self, polygon: object, hidden: object = ()) -> np.ndarray:
        """Rows inside what a browser sent as a polygon, without kinds that were hidden. -> (R,) int64

        What is not a list of 3 to 1,000 pairs of finite numbers holds nothing.
        """
        rows = inside(self.facts.xy, _polygon(polygon))
        away = [code for code in hidden if isinstance(code, int)] if isinstance(hidden, list | tuple) else []
        return rows[~np.isin(self.codes[rows], away)] if away else rows

    def named(self, row: int) -> str:
        """What is said of one point: its id, its kind and its number."""
        parts = [plain(str(self.facts.ids[row]), LONGEST_NAME), plain(say(str(self.kinds[row])), 40)]
        if self.values is not None and np.isfinite(self.values[row]):
            parts.append(f"{self.colour_name} {num(float(self.values[row]))}")
        return " · ".join(parts)


def cloud(
    points: np.ndarray, kinds: Sequence[str] | np.ndarray, ids: Sequence[str], *, method: str = "PCA",
    values: np.ndarray | None = None, colour_name: str = "", selected: Sequence[int] | np.ndarray = (),
    pairs: np.ndarray | None = None, distances: np.ndarray | None = None, placed: Placed | None = None,
    total: int | None = None, labels: Sequence[tuple[float, float, str]] = (), shows: str = "views.map.shows",
    tints: Tints | None = None, said: str = "",
) -> Cloud:  # fmt: skip
    """Where do points lie, of which there are too many for one mark each? shows: key of the sentence on what one is.

    points (N, 2); kinds and ids (N); values (N,) numbers that colour the points, NaN where there is none, or None for
    the kind's colour; selected: rows that were chosen; pairs (P, 2) rows joined by lines, with distances (P,) in the
    original space; total: how many points there are in all when these are a sample of them; labels: words on the map
    and where they stand; tints: colours of the kinds instead of the usual ones; said: a sentence on what the colours
    tell. All points are drawn.

    Raises FusionError without points or with more than 254 kinds.
    """
    xy = np.ascontiguousarray(points, np.float32)
    if not len(xy):
        raise FusionError(t("views.none.points"))
    which = np.asarray(kinds, dtype=object)
    codes, names = pd.factorize(which)
    if len(names) > STEPS:
        raise FusionError(f"{len(names)} kinds of points came; a map tells at most {STEPS} apart. Join rare ones.")
    facts = Facts(xy, np.asarray(names, dtype=object), ids, method, total or len(xy), None, None, None, said)
    numbers = None if values is None else np.asarray(values, np.float32)
    if numbers is None:
        index = codes.astype(np.uint8)
        legend = [{"code": code, "name": plain(say(kind), 40)} for code, kind in layers(list(map(str, names)), tints)]
        colours, scale = [colour_of(str(kind), order, tints) for order, kind in enumerate(names)], None
    else:
        index, colours, legend, scale = _scale(numbers, colour_name)
    pale = [code for code, kind in enumerate(names) if numbers is None and tints is not None and kind == tints.quiet]
    quiet = pale[0] if pale else -1
    packed = _packed(xy, index, ids)
    over: dict[str, object] = {
        "points": packed[HEADER.size - 16 : HEADER.size].hex(), "colours": colours, "legend": legend, "scale": scale,
        "note": facts.note, "ink": INK, "quiet": quiet, "words_at": [[x, y, plain(text, 32)] for x, y, text in labels],
    }  # fmt: skip
    made = Cloud(
        "map", t("views.map.title"), t(shows), t("views.map.hides"), packed, over, facts, which, index, numbers,
        colour_name,
    )  # fmt: skip
    return made.marked(selected, pairs=pairs, distances=distances, placed=placed)


def inside(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Rows of the points inside a polygon, by the even-odd rule, in order. -> (R,) int64

    points (N, 2); polygon (V, 2), closed by itself. Points within its bounds are sorted by y, so that each edge looks
    only at those beside it: of half a million, what a lasso of 200 corners takes is a few passes.
    """
    corners = np.asarray(polygon, np.float64).reshape(-1, 2)
    if len(corners) < 3:
        return np.zeros(0, np.int64)
    (left, low), (right, high) = corners.min(0), corners.max(0)
    x, y = points[:, 0], points[:, 1]
    near = np.flatnonzero((y >= low) & (y <= high) & (x >= left) & (x <= right))
    near = near[np.argsort(y[near])]
    across, up = x[near].astype(np.float64), y[near].astype(np.float64)
    odd = np.zeros(len(near), bool)
    ends = np.roll(corners, -1, 0)
    starts = np.searchsorted(up, np.minimum(corners[:, 1], ends[:, 1]), side="left")
    stops = np.searchsorted(up, np.maximum(corners[:, 1], ends[:, 1]), side="left")
    for (ax, ay), (bx, by), start, stop in zip(corners, ends, starts, stops, strict=True):
        if start < stop:  # half open in y, so that a corner counts for one of its edges
            part = slice(start, stop)
            odd[part] ^= across[part] < ax + (up[part] - ay) * ((bx - ax) / (by - ay))
    return np.sort(near[odd])


def _polygon(sent: object) -> np.ndarray:
    """Corners from a browser, none where they are anything else. -> (V, 2) float64"""
    try:
        corners = np.asarray(sent, np.float64)
    except (TypeError, ValueError):
        return np.zeros((0, 2))
    fits = corners.ndim == 2 and corners.shape[1] == 2 and len(corners) <= MOST_CORNERS
    return corners if fits and bool(np.isfinite(corners).all()) else np.zeros((0, 2))


def _packed(xy: np.ndarray, index: np.ndarray, ids: Sequence[str]) -> bytes:
    """The points as the canvas reads them, little-endian."""
    names = b""
    if len(xy) <= MOST_NAMED:
        names = "\n".join(plain(str(id), LONGEST_NAME) for id in ids).encode()
    there = np.isfinite(xy)
    low, high = np.min(xy, 0, initial=np.inf, where=there), np.max(xy, 0, initial=-np.inf, where=there)
    if not np.isfinite((low, high)).all():
        low, high = np.zeros(2), np.ones(2)
    body = xy.astype("<f4").tobytes() + index.tobytes() + names
    digest = sha256(body).digest()[:16]
    return HEADER.pack(MAGIC, len(xy), len(names), 0, low[0], high[0], low[1], high[1], digest) + body


def _scale(values: np.ndarray, name: str) -> tuple[np.ndarray, list[str], list[dict[str, object]], dict[str, object]]:
    """Numbers as places on a scale of colours. -> (N,) uint8, the colours, a legend of what has no number, the bar"""
    known = np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
    span = (high - low) or 1.0
    places = np.round((np.where(known, values, low) - low) / span * (STEPS - 1))
    index = np.where(known, places, UNKNOWN).astype(np.uint8)
    stops = np.asarray([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in SEQUENTIAL], np.float64)
    at, on = np.linspace(0, 1, STEPS), np.linspace(0, 1, len(stops))
    mixed = np.stack([np.interp(at, on, channel) for channel in stops.T], 1).round().astype(int)
    colours = [f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in mixed.tolist()] + [INK]
    absent: list[dict[str, object]] = [] if known.all() else [{"code": UNKNOWN, "name": t("canvas.unknown")}]
    bar: dict[str, object] = {"name": plain(name, 60), "low": num(low), "high": num(high), "colours": list(SEQUENTIAL)}
    return index, colours, absent, bar


def _chosen(xy: np.ndarray, rows: np.ndarray) -> dict[str, object]:
    """What was chosen: where rings go, or a bit a point when there are too many for rings."""
    told = t("canvas.chosen", count=f"{len(rows):,}") if len(rows) else ""
    if len(rows) <= MOST_RINGED:
        return {"chosen": told, "rings": _rounded(xy[rows]), "bits": ""}
    bits = np.zeros(len(xy), np.uint8)
    bits[rows] = 1
    return {
        "chosen": told,
        "rings": [],
        "bits": base64.b64encode(np.packbits(bits, bitorder="little").tobytes()).decode(),
    }


def _placed(placed: Placed) -> list[dict[str, object]]:
    at = _rounded(np.asarray(placed.points, np.float32))
    return [
        {"at": point, "name": say(kind), "shape": SHAPES.get(kind, "circle"), "colour": colour_of(kind, 9)}
        for point, kind in zip(at, placed.modalities, strict=True)
    ]  # fmt: skip


def _rounded(places: np.ndarray) -> list[list[float]]:
    """Places as short JSON: seven digits are what float32 has."""
    return [[float(f"{value:.7g}") for value in place] for place in places.tolist()]
