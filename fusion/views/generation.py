"""What is made of a place in a latent space: of each source in a grid with the truth, or along one dimension."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fusion.views import base
from fusion.views.base import Picture
from fusion.views.palette import CHOSEN
from fusion.views.sheet import Sheet
from fusion.views.speech import caveat, clean, distinct, join, num, plain, say
from fusion.words import t

if TYPE_CHECKING:
    from fusion.signals import CrossGeneration, Trace
    from fusion.streams.traversal import Walk
    from fusion.types import Sample

ROW = 76  # pixels
TRUTH = "truth"
STILL = 0.005  # of a mean difference, below which nobody sees one


@dataclass(frozen=True)
class Made:
    """One cell: what a source makes of a modality."""

    said: str  # the tokens, "" where a picture says more
    face: str  # the address of a small image, "" where words say more
    error: float  # mean distance from the truth, or the share of wrong tokens; NaN where the truth isn't known


def grid(signal: CrossGeneration, sample: Sample, trace: Trace) -> Picture:
    """Does each modality say enough to make the others? A row a source, a column a modality, the truth on top."""
    key, title = f"grid-{signal.name}", t("views.generation.title")
    told, there = base.flags(signal.told), set()
    for source, here in zip(signal.sources, told, strict=True):
        there |= {source} & set(signal.modalities) if here else set()
    sources = [
        source for source, here in zip(signal.sources, told, strict=True)
        if here and (len(there) > 1 or source != "all") and not ("+" in source and set(source.split("+")) == there)
    ]  # fmt: skip
    rows = [TRUTH, *sources]
    cells = [[_cell(signal, row, m) for m in signal.modalities] for row in rows]
    sheet = Sheet(key, 84 + ROW * len(rows), top=8, bottom=44)
    _lay(sheet, cells)
    columns = [clean(say(m), 20) for m in signal.modalities]
    labels = [t("views.generation.truth"), *(_label(one) for one in sources)]
    sheet.set(
        xaxis={"tickvals": list(range(len(columns))), "ticktext": columns},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": labels},
    )  # fmt: skip
    names = [t("views.generation.truth"), *(_source(one) for one in sources)]
    table = pd.DataFrame({t("views.axis.source"): distinct([plain(name, 80) for name in names])})
    for at, m in enumerate(signal.modalities):
        table[say(m)] = [line[at].said for line in cells]
        table[f"{say(m)}, {t('views.axis.off')}"] = [np.float32(line[at].error) for line in cells]
    made = {(row, m): cell for row, line in zip(rows, cells, strict=True)
            for m, cell in zip(signal.modalities, line, strict=True)}  # fmt: skip
    finding = _finding(signal, sources, made)
    facts = {"rows": len(sources), "columns": t("views.list.comma").join(say(m) for m in signal.modalities)}
    return Picture(
        key, title, sheet.figure(), t("views.generation.alt", finding=finding, **facts), table, finding,
        t("views.generation.shows"), caveat(signal, "views.hides"),
    )  # fmt: skip


def walk(found: Walk) -> Picture:
    """What does one latent dimension stand for? A row a modality, a column a place of that dimension alone."""
    key, title = "walk", t("views.walk.title", name=f"z{found.dimension + 1}")
    signal = found.made
    cells = [[_cell(signal, place, m) for place in signal.sources] for m in signal.modalities]
    sheet = Sheet(key, 100 + ROW * len(cells), top=8, bottom=60)
    _lay(sheet, cells, angle=-45)
    sheet.shapes.append({
        "type": "rect", "x0": found.here - 0.48, "x1": found.here + 0.48, "y0": -0.48, "y1": len(cells) - 0.52,
        "xref": "x", "yref": "y", "line": {"color": CHOSEN, "width": 2},
    })  # fmt: skip
    places = [num(float(one)) for one in found.places]
    places[found.here] = f"<br><b>{places[found.here]}</b>"  # a line below: its neighbours may be near
    sheet.set(
        xaxis={"tickvals": list(range(len(places))), "ticktext": places, "tickangle": 0,
               "title": {"text": t("views.walk.axis", name=f"z{found.dimension + 1}")}},
        yaxis={"tickvals": list(range(len(cells))), "ticktext": [clean(say(m), 20) for m in signal.modalities]},
    )  # fmt: skip
    table = pd.DataFrame({t("views.walk.place"): found.places.astype(np.float32)})
    read, seen = [], []
    for m, line in zip(signal.modalities, cells, strict=True):
        if any(cell.said for cell in line):
            table[say(m)] = [cell.said for cell in line]
            words = [cell.said for at, cell in enumerate(line) if not at or cell.said != line[at - 1].said]
            if len(words) > 1:
                read.append(t("views.walk.said", modality=say(m), all=" → ".join(plain(one) for one in words)))
        else:
            seen.append(t("views.walk.seen", modality=say(m), value=num(float(found.moved[m].max()))))
        table[f"{say(m)}, {t('views.walk.moved')}"] = found.moved[m].astype(np.float32)
    most = max(float(one.max()) for one in found.moved.values())
    name = f"z{found.dimension + 1}"
    ends = {"name": name, "low": num(float(found.places[0])), "high": num(float(found.places[-1]))}
    finding = t("views.walk.still", **ends)
    if most >= STILL or read:
        finding = t("views.walk.finding", **ends, all=t("views.list.semicolon").join([*read, *seen]))
    return Picture(
        key, title, sheet.figure(), t("views.walk.alt", finding=finding), table, finding, t("views.walk.shows"),
        t("views.walk.hides"),
    )  # fmt: skip


def _lay(sheet: Sheet, cells: list[list[Made]], angle: int = 0) -> None:
    """Pictures and words in their places, the first line on top. angle: of the words, where columns are narrow"""
    down, across = len(cells), len(cells[0])
    flat = [(x, y, cell) for y, line in enumerate(cells) for x, cell in enumerate(line)]
    sheet.add(
        "scatter", x=[x for x, _, _ in flat], y=[y for _, y, _ in flat], mode="text", showlegend=False,
        text=["" if cell.face or angle else clean(cell.said, 18) for _, _, cell in flat], textfont={"size": 15},
        customdata=[plain(cell.said) if cell.said and angle else _error(cell.error) for _, _, cell in flat],
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    for x, y, cell in flat:
        if cell.face:
            sheet.images.append({
                "source": cell.face, "xref": "x", "yref": "y", "x": float(x), "y": float(y), "sizex": 0.86,
                "sizey": 0.86, "xanchor": "center", "yanchor": "middle", "sizing": "contain",
            })  # fmt: skip
        elif angle:
            sheet.note(clean(cell.said, 14), x=x, y=y, xref="x", yref="y", textangle=angle, font={"size": 13})
    sheet.set(
        xaxis={"range": [-0.5, across - 0.5], "showgrid": False},
        yaxis={"range": [down - 0.5, -0.5], "showgrid": False},
    )


def _finding(signal: CrossGeneration, sources: list[str], cells: dict[tuple[str, str], Made]) -> str:
    """The words that are made, each with its sources; and of each modality who comes nearest without being told it."""
    apart, comma = t("views.list.semicolon"), t("views.list.comma")
    read, near = [], []
    for m, names in zip(signal.modalities, signal.tokens, strict=True):
        if names:
            by_word: dict[str, list[str]] = {}
            for one in sources:
                by_word.setdefault(plain(cells[one, m].said), []).append(_name(one))
            said = apart.join(
                t("views.generation.word", word=word, names=comma.join(by)) for word, by in by_word.items()
            )
            read.append(t("views.generation.said", modality=say(m), all=said))
        known = sorted(
            (cells[one, m].error, one) for one in sources
            if one != "all" and m not in one.split("+") and np.isfinite(cells[one, m].error)
        )  # fmt: skip
        if known:
            (low, best), (high, worst) = known[0], known[-1]
            facts = {"made": say(m), "near": _name(best), "low": num(low), "far": _name(worst), "high": num(high)}
            near.append(t("views.generation.near" if num(low) != num(high) else "views.generation.one", **facts))
    return join(*read, t("views.generation.finding", all=apart.join(near)) if near else t("views.generation.unknown"))


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
    return Made("", _face(table, signal.pictures[at], modality in signal.inked), error)


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


def _face(table: np.ndarray, picture: tuple[int, ...], inked: bool = False) -> str:
    """A picture, or the numbers of every step as a strip of greys, as the address of a PNG. inked: 1 is dark"""
    import PIL.Image  # slow, and only pictures of a generating model need it

    if picture:
        channels, height, width = picture
        shown = np.clip(table.reshape(channels, height, width), 0, 1)
        shown = shown[:3] if channels >= 3 else shown[:1]
        shown = 1 - shown if inked else shown
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


def _name(source: str) -> str:
    """What is made from, within a sentence: "image + text", "everything"."""
    if source == "all":
        return t("views.generation.everything")
    return " + ".join(say(one) for one in source.split("+"))


def _source(source: str) -> str:
    return t("views.generation.from", name=_name(source))


def _label(source: str) -> str:
    """The same beside the grid, a line a modality where it is of several."""
    if "+" not in source:
        return clean(_source(source), 26)
    lines = [clean(say(one), 22) for one in source.split("+")]
    return t("views.generation.from", name=lines[0]) + "".join(f"<br>+ {line}" for line in lines[1:])


def _error(value: float) -> str:
    return t("views.generation.off", value=num(value)) if np.isfinite(value) else "–"
