"""Numbers, names and labels as a person reads them, in the language in use."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from fusion import words
from fusion.words import t

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.signals import Signal

WITH = "with_"  # begins the name of a condition: some modalities alone, "+" between them
CONDITIONS = {
    "without_": "views.condition.without",
    "only_": "views.condition.only",
    WITH: "views.condition.with",
}
FAMILIES = {  # begins the name of a signal that each modality has one of
    "gate_": "views.family.gate", "pool_winner_": "views.family.pool_winner", "utterance_": "views.family.utterance",
    "reconstruction_": "views.family.reconstruction", "branch_": "views.family.branch",
    "contrast_pair_": "views.family.contrast_pair", "contrast_": "views.family.contrast",
    "self_attention_": "views.family.self_attention", "cross_attention_": "views.family.cross_attention",
    "canonical_": "views.family.canonical", "embedding_": "views.family.embedding",
    "component_": "views.family.component",
}  # fmt: skip
PAIR = re.compile(r"attention_([^_]+)_([^_]+?)(?:_(\d+))?")  # from whom to whom, in which layer

NUMBERED = re.compile(r"(token|region|frame|step) (\d+)")  # a step without a name of its own


def num(value: float) -> str:
    """A number with three significant digits at most: 0.731, 12.3, 1,240, −0.0042, 0."""
    if not np.isfinite(value):
        return "–"
    if abs(value) < 1e-6:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) < 1e-4:
        return f"{value:.1e}".replace("-", "−")
    digits = 3 if abs(value) >= 0.1 else 2
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    said = f"{value:.{places}f}"
    return (said.rstrip("0").rstrip(".") if places else said).replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage with two or three significant digits: 62 %, 4.1 %, under 0.1 %; 100 % is all of them."""
    value = 100 * share
    if not np.isfinite(value):
        return "–"
    if 0 < value < 0.1:
        return t("views.percent", value="< 0.1")
    if 99.5 <= value < 100:
        return t("views.percent", value=f"{min(value, 99.9):.1f}")
    return t("views.percent", value=f"{value:.0f}" if value >= 9.95 or value == 0 else f"{value:.1f}")


def signed(change: float) -> str:
    """A change with its sign, an arrow and a word: "−0.32 ↓ lower"."""
    if abs(change) < 5e-4:
        return t("views.change.none")
    way = "up" if change > 0 else "down"
    return t(f"views.change.{way}", value=num(abs(change)))


def say(name: str) -> str:
    """What a reader calls a technical name ("image", "match_score"), itself when the catalogue has no word for it.

    Conditions of modalities ("without_graph", "only_name", "with_image+name") are put together from their names, and so
    are signals that each modality or pair of them has ("gate_text", "attention_text_audio_2").
    """
    key = "name." + re.sub(r"\W+", "_", name.strip().lower())
    if key in words.catalogue(words.current()):
        return t(key)
    for start, sentence in CONDITIONS.items():
        if name.startswith(start):
            return t(sentence, name=t("views.list.plus").join(say(one) for one in name.removeprefix(start).split("+")))
    for start, sentence in FAMILIES.items():
        if name.startswith(start):
            return t(sentence, name=say(name.removeprefix(start)))
    pair = PAIR.fullmatch(name)
    if pair is not None:
        told = {"queries": say(pair[1]), "keys": say(pair[2]), "layer": pair[3] or ""}
        return t("views.family.attention_layer" if pair[3] else "views.family.attention", **told)
    return name


def unit(name: str) -> str:
    """What one step of a modality is ("frame"), itself where the catalogue has no word for it."""
    key = f"unit.{name}"
    return t(key) if key in words.catalogue(words.current()) else name


def step(label: str) -> str:
    """The name of a step: "frame 3" in the language in use; a word, a time or a place as it is."""
    found = NUMBERED.fullmatch(label)
    return label if found is None else t("unit.numbered", unit=unit(found[1]), number=found[2])


def answered(name: str) -> str:
    """What a reader calls an answer: the part of a scale ("mildly_positive") or a class, itself without a word."""
    key = f"scale.{name}"
    return t(key) if key in words.catalogue(words.current()) else say(name)


def tell(key: str, values: Mapping[str, object]) -> str:
    """The sentence of a notice; a tuple of technical names among its values becomes a list of words."""
    return t(
        key,
        **{
            name: t("views.list.comma").join(say(one) for one in value) if isinstance(value, tuple) else value
            for name, value in values.items()
        },
    )


def caveat(signal: Signal | None, fallback: str) -> str:
    """What a picture of a signal doesn't show: the signal's caveat, or the view's own sentence (a key)."""
    if signal is None or not signal.caveat:
        return t(fallback)
    known = signal.caveat in words.catalogue(words.current())
    return t(signal.caveat) if known else signal.caveat  # a plugin writes its own sentence


def clean(text: str, longest: int = 16) -> str:
    """A label from words of a person: one line, no markup that Plotly would read, cut with an ellipsis."""
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\u2028\u2029]+", " ", text).strip() or "·"
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;")


def folded(text: str, longest: int = 24) -> str:
    """A label of two lines at most, folded between words where it is longer than one."""
    lines = textwrap.wrap(text, longest)
    return "<br>".join(clean(one, longest) for one in [*lines[:1], " ".join(lines[1:])] if one) or "·"


def plain(text: str, longest: int = 40) -> str:
    """The same for sentences, tables and alternatives, where nothing reads markup."""
    line = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff\u2028\u2029]+", " ", text).strip() or "·"
    return line if len(line) <= longest else line[: longest - 1] + "…"


def distinct(labels: Sequence[str]) -> list[str]:
    """Labels made different without looking different: a repeated one gets zero-width spaces.

    Plotly merges equal categories of an axis, and hovering must still show the word itself.
    """
    seen: dict[str, int] = {}
    result = []
    for label in labels:
        seen[label] = seen.get(label, -1) + 1
        result.append(label + "\u200b" * seen[label])
    return result


def join(*sentences: str) -> str:
    """Sentences after each other as the language writes them; empty ones fall out."""
    return t("views.list.sentence").join(sentence for sentence in sentences if sentence)


def limit_note(shown: int, count: int) -> str:
    """ "Showing 100 of 312." when something was left out, else nothing."""
    return t("views.showing", shown=f"{shown:,}", count=f"{count:,}") if shown < count else ""
