"""What each modality alone makes of every modality: a grid of pictures, words and strips of numbers, with the truth."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.sheet import Sheet
from fusion.views.speech import caveat, clean, distinct, join, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import CrossGeneration, Trace
    from fusion.types import Sample

ROW = 76  # pixels
TRUTH = "truth"


@dataclass(frozen=True)
class Made:
    """One cell: what a source makes of a modality."""

    said: str  # the tokens, "" where a picture says more
    face: str  # the address of a small image, "" where words say more
    error: float  # mean distance from the truth, or the share of wrong tokens; NaN where the truth isn't known


def grid(signal: CrossGeneration, sample: Sample, trace: Trace) -> Picture:
    """Does each modality say enough to make the others? A row a source, a column a modality, the truth on top."""
    key, title = f"grid-{signal.name}", t("views.generation.title")
    told = base.flags(signal.told)
    sources = [source for source, here in zip(signal.sources, told, strict=True) if here]
    rows = [TRUTH, *sources]
    cells = {(row, m): _cell(signal, row, m) for row in rows for m in signal.modalities}
    names = [t("views.generation.truth"), *(_source(one) for one in sources)]
    sheet = Sheet(key, 84 + ROW * len(rows), top=8, bottom=44)
    down, across = np.repeat(np.arange(len(rows)), len(signal.modalities)), np.tile(
        np.arange(len(signal.modalities)), len(rows)
    )  # fmt: skip
    flat = [cells[row, m] for row in rows for m in signal.modalities]
    sheet.add(
        "scatter", x=across, y=down, mode="text", text=[clean(c.said, 18) if not c.face else "" for c in flat],
        showlegend=False, customdata=[_error(c.error) for c in flat], textfont={"size": 15},
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    for x, y, cell in zip(across, down, flat, strict=True):
        if cell.face:
            sheet.images.append({
                "source": cell.face, "xref": "x", "yref": "y", "x": float(x), "y": float(y), "sizex": 0.86,
                "sizey": 0.86, "xanchor": "center", "yanchor": "middle", "sizing": "contain",
            })  # fmt: skip
    columns = [clean(say(m), 20) for m in signal.modalities]
    sheet.set(
        xaxis={"tickvals": list(range(len(columns))), "ticktext": columns, "range": [-0.5, len(columns) - 0.5],
               "showgrid": False},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": [clean(n, 24) for n in names],
               "range": [len(rows) - 0.5, -0.5], "showgrid": False},
    )  # fmt: skip
    table = pd.DataFrame({t("views.axis.source"): distinct([plain(name) for name in names])})
    for m in signal.modalities:
        table[say(m)] = [cells[row, m].said for row in rows]
        table[f"{say(m)}, {t('views.axis.off')}"] = [np.float32(cells[row, m].error) for row in rows]
    finding = _finding(signal, sources, cells)
    facts = {"rows": len(sources), "columns": t("views.list.comma").join(say(m) for m in signal.modalities)}
    return Picture(
        key, title, sheet.figure(), t("views.generation.alt", finding=finding, **facts), table, finding,
        t("views.generation.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def _finding(signal: CrossGeneration, sources: list[str], cells: dict[tuple[str, str], Made]) -> str:
    """The words that each source makes, and which of the crossings with a known truth comes nearest and furthest."""
    read = []
    for m, names in zip(signal.modalities, signal.tokens, strict=True):
        if names:
            said = t("views.list.comma").join(f"{_source(s)}: {plain(cells[s, m].said)}" for s in sources)
            read.append(t("views.generation.said", modality=say(m), all=said))
    known = [
        (cells[s, m].error, s, m)
        for s in sources for m in signal.modalities
        if s != m and s in signal.modalities and np.isfinite(cells[s, m].error)
    ]  # fmt: skip
    if not known:
        return join(*read, t("views.generation.unknown"))
    (low, near, near_made), (high, far, far_made) = min(known), max(known)
    return join(*read, t(
        "views.generation.finding", near=say(near), near_made=say(near_made), low=num(low), far=say(far),
        far_made=say(far_made), high=num(high),
    ))  # fmt: skip


def _cell(signal: CrossGeneration, row: str, modality: str) -> Made:
    at = signal.modalities.index(modality)
    start = sum(steps * width for steps, width in signal.sizes[:at])
    steps, width = signal.sizes[at]
    cut = slice(start, start + steps * width)
    truth, real = base.array(signal.truth)[cut], base.flags(signal.real)[cut]
    if row == TRUTH and not real.any():
        return Made(t("views.generation.absent"), "", float("nan"))
    value = truth if row == TRUTH else base.array(signal.value)[signal.sources.index(row), cut]
    table, known = value.reshape(steps, width), real.reshape(steps, width).any(1)
    if signal.likelihoods[at] == "categorical":
        best = table.argmax(1)
        wrong = best[known] != truth.reshape(steps, width)[known].argmax(1)
        written = _written(best[known] if row == TRUTH else best, signal.tokens[at])
        return Made(written, "", float(wrong.mean()) if known.any() else float("nan"))
    error = float(np.abs(value - truth)[real].mean()) if real.any() else float("nan")
    return Made("", _face(table, signal.pictures[at]), error)


def _written(best: np.ndarray, tokens: tuple[str, ...]) -> str:
    """Tokens up to the one that ends a text; numbers of columns where they have no names."""
    if not tokens:
        return " ".join(str(int(one) + 1) for one in best)
    said = []
    for one in best:
        if not tokens[one]:
            break
        said.append(tokens[one])
    apart = "" if all(len(token) <= 1 for token in tokens) else " "
    return apart.join(said) or "·"


def _face(table: np.ndarray, picture: tuple[int, ...]) -> str:
    """A picture, or the numbers of every step as a strip of greys, as the address of a PNG."""
    import PIL.Image  # slow, and only pictures of a generating model need it

    if picture:
        channels, height, width = picture
        shown = np.clip(table.reshape(channels, height, width), 0, 1)
        shown = shown[:3] if channels >= 3 else shown[:1]
        pixels = np.round(255 * shown).astype(np.uint8).transpose(1, 2, 0)
        drawn = PIL.Image.fromarray(pixels if len(shown) == 3 else pixels[..., 0])
        size = (96, max(1, round(96 * height / width)))
    else:
        low, high = float(table.min()), float(table.max())
        drawn = PIL.Image.fromarray(np.round(255 * (table - low) / ((high - low) or 1.0)).astype(np.uint8))
        size = (144, 48)
    stream = io.BytesIO()
    drawn.resize(size, PIL.Image.Resampling.NEAREST).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _source(name: str) -> str:
    return t("views.generation.together") if name == "all" else t("views.condition.only", name=say(name))


def _error(value: float) -> str:
    return t("views.generation.off", value=num(value)) if np.isfinite(value) else "–"
