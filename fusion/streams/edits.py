"""Edits of a sample as one line, for addresses and the command line: "audio:drop:0.5,text:remove"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from fusion.streams.observed import Edit, How
from fusion.types import FusionError

HOWS: tuple[How, ...] = get_args(How)
RATE = 0.5  # of `drop`, where a line says none
FORM = "MODALITY:HOW, HOW being remove, zero, mean, shuffle or drop, as in audio:drop:0.5"


def read(text: str, modalities: Sequence[str]) -> tuple[Edit, ...]:
    """The edits of a line, one a modality, in its order; "=" may stand for the first colon.

    After `drop` come its rate and a seed, after `shuffle` a seed. Raises FusionError for anything else.
    """
    found = tuple(_one(part.strip(), modalities) for part in text.split(",") if part.strip())
    named = [edit.modality for edit in found]
    twice = next((m for m in named if named.count(m) > 1), None)
    if twice is not None:
        raise FusionError(f'"{text[:80]}" edits {twice} twice; give one edit a modality.')
    return found


def _one(text: str, modalities: Sequence[str]) -> Edit:
    modality, how, *numbers = text.replace("=", ":", 1).split(":") + [""] * (":" not in text and "=" not in text)
    if modality not in modalities:
        raise FusionError(f'"{modality[:40]}" is none of {", ".join(modalities)}; edit one of them: {FORM}.')
    known: dict[str, How] = {one: one for one in HOWS}
    if how not in known or len(numbers) > {"drop": 2, "shuffle": 1}.get(how, 0):
        raise FusionError(f'"{text[:60]}" is no edit; write {FORM}.')
    try:
        rate = float(numbers.pop(0)) if how == "drop" and numbers else RATE
        seed = int(numbers[0]) if numbers else 0
    except ValueError:
        raise FusionError(f'"{text[:60]}" holds no number where one should stand; write {FORM}.') from None
    if not 0 <= rate <= 1 or not 0 <= seed < 2**31:
        raise FusionError(f'"{text[:60]}" has a rate outside 0 to 1 or a seed below 0; write {FORM}.')
    return Edit(modality, known[how], rate, seed)


def write(edits: Iterable[Edit]) -> str:
    """The line of some edits, which `read` reads back."""
    return ",".join(_said(edit) for edit in edits)


def _said(edit: Edit) -> str:
    numbers = [f"{edit.rate:g}"] if edit.how == "drop" else []
    if edit.seed and edit.how in ("drop", "shuffle"):
        numbers.append(str(edit.seed))
    return ":".join((edit.modality, edit.how, *numbers))
