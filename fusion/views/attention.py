"""Attention of one signal: words against everything, one word over a picture's regions, one region over the words."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CHOSEN, COLOURS, INK, SEQUENTIAL, scale
from fusion.views.rows import Grid, Rows, grid_of, rows_of
from fusion.views.sheet import LINES, Sheet, bar, heat
from fusion.views.speech import caveat, clean, distinct, join, limit_note, num, percent, plain
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import Attention, Trace
    from fusion.types import Sample

MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
# Cividis once more, thinner where it is bright: weak regions are veiled, strong ones let the picture through.
VEIL = tuple(
    f"rgba({int(c[1:3], 16)},{int(c[3:5], 16)},{int(c[5:7], 16)},{0.72 - 0.4 * i / 9:.2f})"
    for i, c in enumerate(SEQUENTIAL)
)


def head_name(head: int | None) -> str:
    """ "head 4", or "mean of all heads"."""
    return t("views.head.mean") if head is None else t("views.head.one", head=head + 1)


def merged(signal: Attention, trace: Trace, head: int | None) -> tuple[Rows, Rows, np.ndarray, np.ndarray]:
    """Attention between words or regions instead of pieces.

    The pieces of an asking word are averaged; what goes to the pieces of an answering word is added up, so that each
    row still sums to one together with the share of the marks. -> queries (G), keys (K'), (G, K'), marks (G,)
    """
    weights = base.array(signal.value)
    weights = weights.mean(0) if head is None else weights[head]
    asking = rows_of(trace, signal.queries, base.flags(signal.query_mask))
    keys = base.flags(signal.key_mask)
    answering = rows_of(trace, signal.keys, keys)
    by_word = asking.mean(weights)  # (G, K)
    to_word = answering.total(by_word.T).T  # (G, K')
    marks = by_word[:, keys].sum(1) - to_word.sum(1)
    return asking, answering, to_word, np.maximum(marks, 0)


def answer_names(grid: Grid | None, answering: Rows) -> list[str]:
    """What is looked at, in words: places of a picture, or words of a text."""
    return grid.names() if grid is not None and len(grid.steps) == len(answering) else answering.plain()


def matrix(
    signal: Attention, sample: Sample, trace: Trace, *, head: int | None = None, word: int | None = None
) -> Picture:
    """All words against all regions (or words) for one head: who looks where. `word` is ringed."""
    key, title = f"matrix-{signal.name}", t("views.matrix.title")
    if base.absent(signal.keys, sample):
        return base.nothing(key, title, t("views.none.image"), signal)
    asking, answering, weights, marks = merged(signal, trace, head)
    if not len(asking) or not len(answering):
        return base.nothing(key, title, t("views.none.words"), signal)
    grid = grid_of(trace, signal.keys, base.flags(signal.key_mask))
    names = answer_names(grid, answering)
    rows, columns = asking.head(base.MOST_CELLS), min(len(answering), base.MOST_CELLS)
    shown = weights[: len(rows), :columns].astype(np.float32)
    across = distinct([clean(name, 24 if grid else 12) for name in names[:columns]])
    sheet = heat(key, len(rows), longest=0 if grid else min(12, max(map(len, across))), extra=16 if grid else 0)
    sheet.add(
        "heatmap", z=shown, x=across, y=rows.labels(14), colorscale=scale(SEQUENTIAL), zmin=0,
        zmax=float(shown.max()) or 1, colorbar=bar(t("views.axis.attention")), ygap=1,
        hovertemplate="%{y} → %{x}<br>%{z:.3f}<extra></extra>",
    )  # fmt: skip
    if (at := rows.place(word)) is not None:
        sheet.frame((-0.5, columns - 0.5), (at - 0.5, at + 0.5))
    if grid is None:
        sheet.set(xaxis={"tickangle": -60, "tickmode": "linear", "dtick": 1})
    else:
        starts = [i for i in range(columns) if grid.column[i] == 0]
        ticks = {"tickvals": [across[i] for i in starts], "ticktext": [str(grid.row[i] + 1) for i in starts]}
        sheet.set(xaxis={**ticks, "tickangle": 0, "title": {"text": t("views.axis.row"), "standoff": 4}})
    flat = int(np.argmax(weights))
    q, k = divmod(flat, weights.shape[1])
    facts = {
        "queries": len(asking), "keys": len(answering), "value": num(float(weights[q, k])), "head": head_name(head),
        "word": plain(asking.names[q]), "place": names[k] if grid else t("views.quoted", word=names[k]),
        "marks": percent(float(marks.mean())),
    }  # fmt: skip
    table = pd.DataFrame(weights, columns=distinct(names))
    table.insert(0, t("views.axis.word"), asking.plain())
    if marks.max() > 1e-4:
        table[t("views.axis.marks")] = marks
    finding = t("views.matrix.finding", **facts)
    if marks.max() > 1e-4:
        finding = join(finding, t("views.matrix.marks", **facts))
    note = limit_note(len(rows) * columns, weights.size)
    return Picture(
        key, title, sheet.figure(), t("views.matrix.alt", **facts), table, join(finding, note), t("views.matrix.shows"),
        caveat(signal, "views.hides"),
    )  # fmt: skip


@dataclass(frozen=True)
class Backdrop:
    """The picture behind a heat map: its bytes as a data address, and the part of the padded square it fills."""

    address: str
    left: float  # all in shares of the square
    top: float
    width: float
    height: float


def backdrop(sample: Sample, picture: bytes | None, fit: str) -> Backdrop | None:
    """The sample's picture where the encoder saw it, None without one.

    `fit` is the encoder's: "pad" (whole, on a white square), "crop" (the square in its middle) or "stretch".
    `picture`: an upright JPEG, PNG or WebP of at most some 768 pixels; made from the sample when None.
    """
    import PIL.Image  # slow, and only this view needs it

    if picture is None:
        image = sample.image()
        if image is None:
            return None
        made = image.open()
        made.thumbnail((768, 768))
        buffer = io.BytesIO()
        made.save(buffer, "JPEG", quality=85)
        picture = buffer.getvalue()
    with PIL.Image.open(io.BytesIO(picture)) as opened:
        width, height = opened.size
        kind = MIME.get(opened.format or "", "image/png")
    address = f"data:{kind};base64,{base64.b64encode(picture).decode()}"
    if fit == "stretch":
        return Backdrop(address, 0, 0, 1, 1)
    side = min(width, height) if fit == "crop" else max(width, height)
    return Backdrop(address, (1 - width / side) / 2, (1 - height / side) / 2, width / side, height / side)


def regions(
    signal: Attention, sample: Sample, trace: Trace, *, word: int | None = None, head: int | None = None,
    picture: bytes | None = None, fit: str = "pad", shared: bool = False, opacity: float = 1.0,
    chosen: int | None = None,
) -> Picture | None:  # fmt: skip
    """Where in the picture does a word look? Patches of heat over the picture itself; None when keys aren't regions.

    `word` is a group number of the text (None: the mean over all words); `shared` scales the colour by the largest
    weight of any word instead of this word's; `chosen` is the ringed region. Marks (curve 1) are region indices.
    """
    key, title = f"regions-{signal.name}", t("views.regions.title")
    if base.absent(signal.keys, sample):
        return base.nothing(key, title, t("views.none.image"), signal)
    grid = grid_of(trace, signal.keys, base.flags(signal.key_mask))
    if grid is None:
        return None
    weights = base.array(signal.value)
    weights = weights.mean(0) if head is None else weights[head]
    asking = rows_of(trace, signal.queries, base.flags(signal.query_mask))
    if not len(asking):
        return base.nothing(key, title, t("views.none.words"), signal)
    by_word = asking.mean(weights)[:, grid.steps]  # (G, R)
    at = asking.place(word)
    values = by_word.mean(0) if at is None else by_word[at]
    name = t("views.words.all") if at is None else t("views.quoted", word=plain(asking.names[at]))
    names = grid.names()
    top = float(by_word.max() if shared else values.max()) or 1.0
    texts = [f"{name}<br>{num(float(value))}" for name, value in zip(names, values, strict=True)]
    sheet = over_picture(key, grid, values, texts, (0, top), t("views.axis.attention"), opacity=opacity, chosen=chosen)
    behind = backdrop(sample, picture, fit)
    if behind is not None:
        put_behind(sheet, grid, behind)
    best = np.argsort(-values)[:3]
    spread = -float((values * np.log(np.where(values > 0, values, 1))).sum())
    facts = {
        "word": name, "head": head_name(head), "place": names[best[0]], "value": num(float(values[best[0]])),
        "share": percent(float(values[best].sum())), "top": t("views.list.semicolon").join(names[i] for i in best),
        "entropy": num(spread), "most": num(float(np.log(len(values)))),
        "even": num(1 / len(values)), "times": num(float(values[best[0]]) * len(values)),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.region"): names, t("views.axis.attention"): values.astype(np.float32)})
    return Picture(
        key, title, sheet.figure(), t("views.regions.alt", **facts), table, t("views.regions.finding", **facts),
        t("views.regions.shows_shared" if shared else "views.regions.shows_word"),
        caveat(signal, "views.hides"), ((), tuple(range(len(values)))),
    )  # fmt: skip


def over_picture(
    key: str, grid: Grid, values: np.ndarray, texts: list[str], span: tuple[float, float], title: str, *,
    colours: Sequence[str] = VEIL, opacity: float = 1.0, chosen: int | None = None,
) -> Sheet:  # fmt: skip
    """Heat as patches, near-invisible squares for clicks (curve 1), and a ring on the chosen one.

    values (R,): of the regions; texts: what each says under the pointer; span: what the ends of the colours stand for;
    title: of their bar.
    """
    sheet = Sheet(key, 420, left=0, right=0, top=0, bottom=58)
    sheet.add(
        "heatmap", z=grid.place(values), x0=0, dx=1, y0=0, dy=1, colorscale=scale(colours), zmin=span[0], zmax=span[1],
        opacity=opacity, hoverinfo="skip", xgap=1, ygap=1, colorbar=bar(title, below=True),
    )  # fmt: skip
    size = max(12, min(44, 320 // max(grid.rows, grid.columns)))
    sheet.add(
        "scatter", x=grid.column.astype(np.float32), y=grid.row.astype(np.float32), mode="markers", showlegend=False,
        text=texts, marker={"symbol": "square", "size": size, "color": INK, "opacity": 0.01, "line": {"width": 0}},
        hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    sheet.clicks()
    if chosen is not None and chosen < len(texts):
        x, y = float(grid.column[chosen]), float(grid.row[chosen])
        sheet.frame((x - 0.5, x + 0.5), (y - 0.5, y + 0.5), width=6)
        sheet.shapes[-1]["line"] = {"color": "#FFFFFF", "width": 6}  # an edge that shows on any picture
        sheet.frame((x - 0.5, x + 0.5), (y - 0.5, y + 0.5), width=3)
    sheet.set(
        margin={"pad": 0},
        xaxis={"range": [-0.5, grid.columns - 0.5], "visible": False, "constrain": "domain"},
        yaxis={"range": [grid.rows - 0.5, -0.5], "visible": False, "constrain": "domain", "scaleanchor": "x",
               "scaleratio": grid.columns / grid.rows},
    )  # fmt: skip
    return sheet


def put_behind(sheet: Sheet, grid: Grid, behind: Backdrop) -> None:
    """The padded square in white, and the picture on it, under the heat."""
    left, right, top, bottom = -0.5, grid.columns - 0.5, -0.5, grid.rows - 0.5
    sheet.shapes.append(
        {"type": "rect", "x0": left, "x1": right, "y0": top, "y1": bottom, "layer": "below", "fillcolor": "#FFFFFF",
         "line": {"width": 0}}
    )  # fmt: skip
    sheet.images.append(
        {"source": behind.address, "xref": "x", "yref": "y", "layer": "below", "sizing": "stretch", "xanchor": "left",
         "yanchor": "top", "x": behind.left * grid.columns + left, "y": behind.top * grid.rows + top,
         "sizex": behind.width * grid.columns, "sizey": behind.height * grid.rows}
    )  # fmt: skip


def words(
    signal: Attention, sample: Sample, trace: Trace, *, region: int | None = None, head: int | None = None,
    word: int | None = None,
) -> Picture:  # fmt: skip
    """Which words look at this region (or at this word)? Bars in the order of the sentence, the chosen word outlined.

    `region` counts the keys as `regions` and `matrix` show them; None takes the one that gets most in all.
    Marks are group numbers of the asking words.
    """
    key, title = f"words-{signal.name}", t("views.words.title")
    if base.absent(signal.keys, sample):
        return base.nothing(key, title, t("views.none.image"), signal)
    asking, answering, weights, _ = merged(signal, trace, head)
    if not len(asking) or not len(answering):
        return base.nothing(key, title, t("views.none.words"), signal)
    grid = grid_of(trace, signal.keys, base.flags(signal.key_mask))
    names = answer_names(grid, answering)
    region = int(weights.mean(0).argmax()) if region is None or region >= weights.shape[1] else region
    values = weights[:, region]
    rows = asking.head(base.MOST_ROWS)
    shown = values[: len(rows)].astype(np.float32)
    at = rows.place(word)
    sheet = Sheet(key, 70 + 24 * len(rows), right=44)
    sheet.add(
        "bar", x=shown, y=rows.labels(), orientation="h", text=[num(float(v)) for v in shown], cliponaxis=False,
        textposition="outside", hovertemplate="%{y}: %{x:.3f}<extra></extra>", showlegend=False,
        marker={"color": COLOURS.get(signal.queries, INK),
                "line": {"color": CHOSEN, "width": [3 if i == at else 0 for i in range(len(rows))]}},
    )  # fmt: skip
    sheet.clicks()
    sheet.set(
        xaxis={"range": [0, float(shown.max() or 1) * 1.12], "title": {"text": t("views.axis.attention")}, "nticks": 5},
        yaxis={**LINES, "showgrid": False},
    )
    best = int(values.argmax())
    facts = {
        "place": names[region] if grid else t("views.quoted", word=names[region]), "word": plain(asking.names[best]),
        "value": num(float(values[best])), "head": head_name(head), "mean": num(float(values.mean())),
        "even": num(1 / weights.shape[1]),
    }  # fmt: skip
    table = pd.DataFrame({t("views.axis.word"): asking.plain(), t("views.axis.attention"): values})
    return Picture(
        key, title, sheet.figure(), t("views.words.alt", **facts), table,
        join(t("views.words.finding", **facts), limit_note(len(rows), len(asking))), t("views.words.shows"),
        caveat(signal, "views.hides"), (rows.index,),
    )  # fmt: skip
