"""Edits of a sample as data, and as one line for addresses and the command line: "audio:drop:0.5,text:remove".

    WHAT:remove | zero | mean          a modality goes, or what the model reads of it becomes zeros or the training mean
    WHAT:drop[:RATE[:SEED]]            steps at random;  WHAT:noise[:SIZE[:SEED]]  numbers drawn from a bell curve
    WHAT:shuffle[:SEED]                another sample's;  WHAT:swap:ID  the modality of a sample that is named
    WHAT:hide:3+5                      words, regions or steps, counted from 0, that the model may not read
    WHAT:paint:3+5 | blur:3+5          regions of the picture itself, before it is encoded
    WHAT:replace:3:WORD                a word of the text; in addresses as %XX
    SIGNAL:mute:0+2                    attention heads;  SIGNAL:fix:VALUE[:MODALITY]  a gate, or the weight of one

The same edits serve What if, the command line and tests. `of_sample` makes those of the parts that a person sees,
`of_batch` those of what the model reads and of its own signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args
from urllib.parse import quote, unquote

import torch
from torch import Tensor

from fusion import missing
from fusion.types import Batch, Fixed, FusionError, Image, Sample, Text

if TYPE_CHECKING:
    import PIL.Image

    from fusion.signals import Trace

How = Literal[
    "remove", "zero", "mean", "shuffle", "drop", "noise", "swap", "hide", "paint", "blur", "replace", "mute", "fix"
]
HOWS: tuple[How, ...] = get_args(How)
BOXES: tuple[How, ...] = ("remove", "zero", "mean", "shuffle", "drop", "noise")  # of a whole modality, without a name
WHOLE = (*BOXES, "swap")  # at most one of these a modality
SEEN = ("paint", "blur", "replace", "swap")  # change what a person sees, before it is encoded
INSIDE = ("mute", "fix")  # change what the model makes on its way
RATE = 0.5  # of `drop` and `noise`, where a line says none
FORM = "MODALITY:HOW, HOW being remove, zero, mean, shuffle or drop, as in audio:drop:0.5"


@dataclass(frozen=True)
class Edit:
    """What is done to one modality before the model reads it, or to one signal on the way."""

    modality: str  # or the name of a signal, of `mute` and `fix`
    how: How
    rate: float = RATE  # of `drop` a share of the steps; of `noise` a standard deviation; of `fix` the value
    seed: int = 0  # of `drop` and `noise`, and of whose features are taken by `shuffle`
    places: tuple[int, ...] = ()  # words, regions, steps or heads, from 0
    text: str = ""  # of `replace` the word, of `swap` the sample, of `fix` the modality whose weight it is


def read(text: str, modalities: Sequence[str], signals: Sequence[str] | None = None) -> tuple[Edit, ...]:
    """The edits of a line, in its order; "=" may stand for the first colon.

    signals: names that can be set or muted; None: known when the model has run (`check`).

    Raises FusionError for anything else, and for two edits of one whole modality.
    """
    found = tuple(_one(part.strip(), modalities, signals) for part in text.split(",") if part.strip())
    named = [edit.modality for edit in found if edit.how in WHOLE]
    twice = next((m for m in named if named.count(m) > 1), None)
    if twice is not None:
        raise FusionError(f'"{text[:80]}" edits {twice} twice; give one edit a modality.')
    return found


def _one(text: str, modalities: Sequence[str], signals: Sequence[str] | None) -> Edit:
    what, how, *rest = text.replace("=", ":", 1).split(":") + [""] * (":" not in text and "=" not in text)
    known: dict[str, How] = {one: one for one in HOWS}
    names = modalities if how not in INSIDE else [what] if signals is None else signals
    if what not in names or not what:
        of = "signals that can be set" if how in INSIDE else "them"
        raise FusionError(f'"{what[:40]}" is none of {", ".join(names) or "nothing"}; edit one of {of}: {FORM}.')
    most = {"drop": 2, "noise": 2, "shuffle": 1, "swap": 1, "hide": 1, "paint": 1, "blur": 1, "replace": 2, "mute": 1,
            "fix": 2}  # fmt: skip
    least = {"swap": 1, "hide": 1, "paint": 1, "blur": 1, "replace": 2, "mute": 1, "fix": 1}
    if how not in known or not least.get(how, 0) <= len(rest) <= most.get(how, 0):
        raise FusionError(f'"{text[:60]}" is no edit; write {FORM}.')
    made = Edit(what, known[how])
    try:
        if how in ("drop", "noise", "fix"):
            made = replace(made, rate=float(rest.pop(0)) if rest else RATE)
        if how == "swap":
            made = replace(made, text=unquote(rest.pop(0)))
        if how in ("hide", "paint", "blur", "mute", "replace"):
            made = replace(made, places=tuple(dict.fromkeys(int(place) for place in rest.pop(0).split("+"))))
        if how in ("replace", "fix"):
            made = replace(made, text=unquote(rest.pop(0)) if rest else "")
        made = replace(made, seed=int(rest[0]) if rest else 0)
    except ValueError:
        raise FusionError(f'"{text[:60]}" holds no number where one should stand; write {FORM}.') from None
    return _checked(made, text)


def _checked(edit: Edit, text: str) -> Edit:
    top = 1e6 if edit.how == "noise" else 1
    if not 0 <= edit.rate <= top or not 0 <= edit.seed < 2**31:
        raise FusionError(f'"{text[:60]}" has a rate outside 0 to 1 or a seed below 0; write {FORM}.')
    if any(place < 0 for place in edit.places):
        raise FusionError(f'"{text[:60]}" names a place below 0; words, regions, steps and heads count from 0.')
    return edit


def check(edits: Iterable[Edit], trace: Trace, system: str) -> None:
    """Whether what is set or muted is a signal that can be. Raises FusionError with those that can."""
    can = [signal.name for signal in trace if signal.settable]
    for edit in edits:
        if edit.how in INSIDE and edit.modality not in can:
            has = f"what can be set is {', '.join(can)}" if can else "nothing in it can be set"
            raise FusionError(f'"{edit.modality[:60]}" can\'t be set in {system}; {has}.')


def write(edits: Iterable[Edit]) -> str:
    """The line of some edits, which `read` reads back."""
    return ",".join(_said(edit) for edit in edits)


def _said(edit: Edit) -> str:
    parts = [f"{edit.rate:g}"] if edit.how in ("drop", "noise", "fix") else []
    if edit.places:
        parts.append("+".join(map(str, edit.places)))
    if edit.text:
        parts.append(quote(edit.text, safe=" "))
    if edit.seed and edit.how in ("drop", "noise", "shuffle"):
        parts.append(str(edit.seed))
    return ":".join((edit.modality, edit.how, *parts))


# What a person sees


def of_sample(
    sample: Sample, edits: Iterable[Edit], *, grid: tuple[int, int] = (0, 0), fit: str = "pad",
    other: Sample | None = None,
) -> Sample:  # fmt: skip
    """The sample after the edits of what a person sees, in order; the rest is left for `of_batch`.

    grid: rows and columns of regions; fit: how the encoder lays a picture on its square; other: of `swap`.
    Raises FusionError for words or regions that aren't there, and for parts that a sample lacks.
    """
    for edit in edits:
        if edit.how not in SEEN:
            continue
        part = other.parts.get(edit.modality) if edit.how == "swap" and other is not None else None
        if edit.how == "replace":
            part = _replaced(sample, edit)
        elif edit.how != "swap":
            part = _painted(sample, edit, grid, fit)
        if part is None:
            raise FusionError(f'Sample "{edit.text[:60]}" has no {edit.modality} to take; choose another.')
        sample = replace(sample, parts={**sample.parts, edit.modality: part})
    return sample


def _replaced(sample: Sample, edit: Edit) -> Text:

    part = sample.parts.get(edit.modality)
    if not isinstance(part, Text):
        raise FusionError(f"There is no text in {edit.modality} whose words could be replaced.")
    places = spans(part)
    lost = [place for place in edit.places if place >= len(places)]
    if lost:
        raise FusionError(f"There is no word {lost[0]}; the text has words 0 to {len(places) - 1}.")
    raw = part.raw
    for place in sorted(edit.places, reverse=True):
        start, stop = places[place]
        raw = raw[:start] + edit.text + raw[stop:]
    return Text(" ".join(raw.split()))


def spans(part: Text) -> list[tuple[int, int]]:
    """Where the words of a text stand, as they came or as they are split."""
    from fusion.encoders.words import split_words

    if not part.words:
        return split_words(part.raw)
    found, at = [], 0
    for word in part.words:
        start = part.raw.index(word, at)
        at = start + len(word)
        found.append((start, at))
    return found


def _painted(sample: Sample, edit: Edit, grid: tuple[int, int], fit: str) -> Image:
    import io

    part = sample.parts.get(edit.modality)
    if not isinstance(part, Image):
        raise FusionError(f"There is no picture in {edit.modality} to paint on.")
    rows, columns = grid
    lost = [place for place in edit.places if place >= rows * columns]
    if lost:
        raise FusionError(f"There is no region {lost[0]}; the picture has regions 0 to {rows * columns - 1}.")
    picture = part.open()
    for place in edit.places:
        box = region(picture.size, divmod(place, columns), grid, fit)
        if box[2] > box[0] and box[3] > box[1]:
            _cover(picture, box, edit.how)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return Image(data=buffer.getvalue())


def region(
    size: tuple[int, int], at: tuple[int, int], grid: tuple[int, int], fit: str
) -> tuple[int, int, int, int]:  # fmt: skip
    """Pixels of the region in a row and column: left, top, right, bottom within a picture of (width, height)."""
    width, height = size
    if fit == "stretch":
        sides = (width, height)
    else:
        side = min(size) if fit == "crop" else max(size)
        sides = (side, side)
    left, top = (width - sides[0]) / 2, (height - sides[1]) / 2
    row, column = at
    x = [left + sides[0] * k / grid[1] for k in (column, column + 1)]
    y = [top + sides[1] * k / grid[0] for k in (row, row + 1)]
    inside = lambda value, most: min(max(round(value), 0), most)  # noqa: E731  of a region beside the picture: nothing
    return inside(x[0], width), inside(y[0], height), inside(x[1], width), inside(y[1], height)


def _cover(picture: PIL.Image.Image, box: tuple[int, int, int, int], how: str) -> None:
    import PIL.Image
    import PIL.ImageFilter

    if how == "paint":  # the mean colour of the whole picture: nothing of the region is left, and no edge of black
        one = picture.resize((1, 1), PIL.Image.Resampling.BOX)
        picture.paste(one.resize((box[2] - box[0], box[3] - box[1])), box)
        return
    side = max(box[2] - box[0], box[3] - box[1])
    wide = (max(box[0] - side, 0), max(box[1] - side, 0), min(box[2] + side, picture.width),
            min(box[3] + side, picture.height))  # fmt: skip
    soft = picture.crop(wide).filter(PIL.ImageFilter.GaussianBlur(side / 2))
    inner = (box[0] - wide[0], box[1] - wide[1], box[2] - wide[0], box[3] - wide[1])
    picture.paste(soft.crop(inner), box)


# What the model reads, and what it makes on its way


def of_batch(batch: Batch, edit: Edit, *, mean: Tensor | None = None, donor: Batch | None = None) -> Batch:
    """A batch after one edit that is not of what a person sees. mean (D,): of `mean`; donor: of `shuffle`, B = 1

    Raises FusionError for places that aren't there.
    """
    m = edit.modality
    if edit.how in SEEN:
        return batch
    if edit.how in INSIDE:
        return replace(batch, fixed={**batch.fixed, m: Fixed(edit.rate if edit.how == "fix" else 0.0, edit.places,
                                                             edit.text)})  # fmt: skip
    if edit.how == "remove":
        return batch.without(m)
    if edit.how == "noise":
        generator = torch.Generator().manual_seed(edit.seed)
        value = batch.features[m]
        drawn = torch.randn(value.shape, generator=generator).to(value) * edit.rate
        seen = (batch.mask[m] & batch.kept[m])[..., None]
        return replace(batch, features={**batch.features, m: value + drawn * seen}, whole=batch.whole or batch)
    if edit.how == "hide":
        return _hidden(batch, edit)
    changed = missing.damage(batch, m, edit.how, rate=edit.rate, mean=mean, donor=donor, seed=edit.seed)
    if donor is not None:
        changed = replace(changed, steps={**changed.steps, m: donor.steps[m]})
    return changed


def _hidden(batch: Batch, edit: Edit) -> Batch:
    m = edit.modality
    group = torch.tensor(batch.steps[m][0].group) if m in batch.steps else torch.arange(batch.mask[m].shape[1])
    here = set(group[group >= 0].tolist())
    lost = [place for place in edit.places if place not in here]
    if lost:
        raise FusionError(f"{m} has no step {lost[0]}; it has 0 to {max(here, default=0)}.")
    gone = torch.isin(group, torch.tensor(edit.places))
    gone = torch.nn.functional.pad(gone, (0, batch.mask[m].shape[1] - len(gone)))
    kept = batch.kept[m] & ~gone.to(batch.kept[m].device)
    own = torch.nn.functional.pad(group, (0, batch.mask[m].shape[1] - len(group)), value=-1) >= 0
    present = batch.present.clone()
    present[:, batch.modalities.index(m)] &= (kept & batch.mask[m] & own.to(kept.device)).any(1)
    return replace(batch, kept={**batch.kept, m: kept}, present=present, whole=batch.whole or batch)
