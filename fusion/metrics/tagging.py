"""Entity spans from word tags, and precision, recall and F1 over whole spans.

Tags are "O" or "B-TYPE" / "I-TYPE", one a word. A span is right when its start, its end and its type all are. The
rules for tags that no annotator would write are those of the usual scorer in its default mode: an I- after O or after
another type opens a span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

Span = tuple[int, int, str]


def spans(tags: Sequence[str]) -> list[Span]:
    """Entity spans of one sentence: (first word, one past the last word, type), in order.

    B- always opens a span; I- goes on with a span of its own type and opens one otherwise; O closes.
    Raises FusionError on any other tag. Source: Ramshaw and Marcus 1995 (BIO); conlleval's rules for broken sequences.
    """
    found: list[Span] = []
    start, kind = 0, ""  # kind is "" outside a span
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, name = tag.partition("-")
        if tag != "O" and (prefix not in ("B", "I") or not name):
            raise FusionError(f'"{tag}" is not a word tag; give "O", "B-TYPE" or "I-TYPE" and leave out the rest '
                              "([CLS], [SEP], X) first.")  # fmt: skip
        if kind and (tag == "O" or prefix == "B" or name != kind):
            found.append((start, place, kind))
            kind = ""
        if tag != "O" and not kind:
            start, kind = place, name
    return found


def span_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 in [0, 1] and support (gold spans), "overall" first (all spans in one pot), then by type.

    gold and predicted: one list of word tags a sentence. A ratio without a case is 0. Raises FusionError when
    sentences or words don't line up. Source: CoNLL-2003 shared task, Tjong Kim Sang and De Meulder.
    """
    right, said, there = _tally(gold, predicted)
    rows = {"overall": _scores(sum(right.values()), sum(said.values()), sum(there.values()))}
    for kind in sorted(set(said) | set(there)):
        rows[kind] = _scores(right.get(kind, 0), said.get(kind, 0), there.get(kind, 0))
    return rows


def span_counts(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Spans right, said and there, a sentence at a time: what a bootstrap over sentences resamples.

    -> (N, 3) int64; `f1_of_counts` of any rows is the overall F1 of those sentences.
    """
    _aligned(gold, predicted)
    pairs = [(set(spans(g)), set(spans(p))) for g, p in zip(gold, predicted, strict=True)]
    return np.array([(len(g & p), len(p), len(g)) for g, p in pairs], dtype=np.int64).reshape(-1, 3)


def f1_of_counts(counts: np.ndarray) -> float:
    """Overall F1 in [0, 1] of sentences given as `span_counts`: 2 right / (said + there). (N, 3) -> ()"""
    right, said, there = np.asarray(counts).sum(axis=0)
    return float(2 * right / (said + there)) if said + there else 0.0


def _aligned(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> None:
    if len(gold) != len(predicted):
        raise FusionError(f"{len(gold)} sentences have gold tags and {len(predicted)} predicted ones; give both.")
    for place, (g, p) in enumerate(zip(gold, predicted, strict=True)):
        if len(g) != len(p):
            raise FusionError(f"Sentence {place} has {len(g)} gold tags and {len(p)} predicted ones; give one a word.")


def _tally(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Spans right, said and there by type."""
    _aligned(gold, predicted)
    right: dict[str, int] = {}
    said: dict[str, int] = {}
    there: dict[str, int] = {}
    for g, p in zip(gold, predicted, strict=True):
        true, guess = set(spans(g)), set(spans(p))
        for pot, found in ((right, true & guess), (said, guess), (there, true)):
            for _, _, kind in found:
                pot[kind] = pot.get(kind, 0) + 1
    return right, said, there


def _scores(right: int, said: int, there: int) -> dict[str, float]:
    return {
        "precision": right / said if said else 0.0,
        "recall": right / there if there else 0.0,
        "f1": 2 * right / (said + there) if said + there else 0.0,
        "support": float(there),
    }
