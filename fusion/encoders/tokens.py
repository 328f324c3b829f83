"""From texts to word pieces: cut before tokenising, every piece knows its word, and the shape of words is kept.

The tokenizer reads the text as it is, and its character offsets say which word a piece belongs to; so any fast
tokenizer works, whatever it does to case, accents or spaces.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion.encoders.words import split_words
from fusion.types import Steps, Text

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

# What MiniLM forgets by lower-casing, and what it never saw: one flag a column, of the word as it was written.
SHAPES = (
    "all_capitals",  # two letters or more, all of them capitals
    "first_capital",
    "inner_capital",  # McDonald, iPhone
    "has_digit",
    "all_digits",
    "sign",  # neither letter nor digit
    "first_word",  # of the text, signs apart
    "after_stop",  # first word after . ! or ?
    "after_mark",  # straight after @ or #
    "later_piece",  # the second or a later piece of its word
)
CHARACTERS_A_STEP = 64  # a text is cut to this many characters a step before tokenising; words are far shorter
SIGN = SHAPES.index("sign")
_STOPS = frozenset(".!?\u2026\u3002\uff01\uff1f")
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
LATIN_LANGUAGES = frozenset(("en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "pl", "cs", "ro", "tr", "vi"))


@dataclass(frozen=True)
class Tokens:
    """Word pieces of B texts, padded to T."""

    ids: Tensor  # (B, T) long
    mask: Tensor  # (B, T) bool, True = a real piece or a mark, False = padding
    segment: Tensor  # (B, T) long
    shapes: Tensor  # (B, T, S) float32, flags of SHAPES, 0 for marks and padding
    names: tuple[Steps, ...]  # B rows; group w is word w of the text
    unknown: tuple[float, ...]
    truncated: tuple[int, ...]

    def to(self, device: torch.device | str) -> Tokens:
        """The same pieces on a device."""
        return replace(
            self,
            ids=self.ids.to(device),
            mask=self.mask.to(device),
            segment=self.segment.to(device),
            shapes=self.shapes.to(device),
        )


@dataclass(frozen=True)
class _Row:
    ids: list[int]
    segment: list[int]
    names: Steps
    shapes: np.ndarray  # (t, S)
    unknown: float
    truncated: int


class Pieces:
    """A fast tokenizer with this project's way of cutting, grouping and naming."""

    def __init__(
        self, tokenizer: Tokenizer, *, pad_id: int, languages: tuple[str, ...] = (), unk_id: int | None = None
    ) -> None:
        """`unk_id`: of the unknown piece, where the tokenizer doesn't name one (Unigram)."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # a person who writes [SEP] gets its letters, not the mark
        self.tokenizer = tokenizer
        self.pad_id = pad_id
        self.marks = tokenizer.num_special_tokens_to_add(is_pair=False)
        self.wordpiece = type(tokenizer.model).__name__ == "WordPiece"
        self.unk = getattr(tokenizer.model, "unk_token", None)
        self.unk_id = unk_id
        self.latin_only = bool(languages) and set(languages) <= LATIN_LANGUAGES

    def tokenise(self, texts: Sequence[str | Text], limit: int, length: int | None = None) -> Tokens:
        """Pieces of B texts, at most `limit` (or `length`) a row, padded to `length` or to the longest row."""
        most = min(limit, length) if length is not None else limit
        rows = [self._row(text, most) for text in texts]
        steps = length if length is not None else max((len(row.ids) for row in rows), default=0)
        ids = np.full((len(rows), steps), self.pad_id, dtype=np.int64)
        mask = np.zeros((len(rows), steps), dtype=bool)
        segment = np.zeros((len(rows), steps), dtype=np.int64)
        shapes = np.zeros((len(rows), steps, len(SHAPES)), dtype=np.float32)
        for i, row in enumerate(rows):
            count = len(row.ids)
            ids[i, :count], mask[i, :count], segment[i, :count] = row.ids, True, row.segment
            shapes[i, :count] = row.shapes
        return Tokens(
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.from_numpy(segment),
            torch.from_numpy(shapes),
            tuple(_padded(row.names, steps) for row in rows),
            tuple(row.unknown for row in rows),
            tuple(row.truncated for row in rows),
        )

    def _row(self, text: str | Text, most: int) -> _Row:
        raw = text.raw if isinstance(text, Text) else text
        words = word_spans(text)
        clean = displayable(raw[: CHARACTERS_A_STEP * most])
        encoding = self.tokenizer.encode(clean, add_special_tokens=False)
        encoding.truncate(max(most - self.marks, 0))
        cut = bool(encoding.overflowing)
        encoding = self.tokenizer.post_process(encoding)
        group = _groups(encoding, words)
        read = max(group, default=-1) + 1  # words kept: all up to the last that has a piece
        if not cut and len(raw) == len(clean):
            read = len(words)  # the last words may have no piece at all (lone accents, signs that are dropped)
        kept = words[:read]
        surfaces = [displayable(raw[start:end]) for start, end in kept]
        labels = [
            token if index < 0 or self.wordpiece else clean[start:end] or token
            for token, index, (start, end) in zip(encoding.tokens, group, encoding.offsets, strict=True)
        ]
        real = [i for i, index in enumerate(group) if index >= 0]
        tokens, ids = encoding.tokens, encoding.ids
        unread = sum(ids[i] == self.unk_id or self._unread(tokens[i], clean[slice(*encoding.offsets[i])]) for i in real)
        names = Steps(tuple(labels), tuple(group), tuple(surfaces), tuple(kept))
        shapes = _piece_shapes(surfaces, group)
        unknown = unread / len(real) if real else 0.0
        return _Row(encoding.ids, encoding.type_ids, names, shapes, unknown, len(words) - read)

    def _unread(self, token: str, surface: str) -> bool:
        """Whether a piece is the unknown one, or spells a script that none of the encoder's languages is written in."""
        if self.unk is not None and token == self.unk:
            return True
        letter = next((character for character in surface if character.isalpha()), None)
        return self.latin_only and letter is not None and not _is_latin(letter)


def word_spans(text: str | Text) -> list[tuple[int, int]]:
    """Start and end of each word: the words that came with the text, in order, else those of the splitter."""
    raw = text.raw if isinstance(text, Text) else text
    given = text.words if isinstance(text, Text) else ()
    if not given:
        return split_words(raw)
    spans, at = [], 0
    for word in given:
        found = raw.find(word, at)
        assert found >= 0, f"the word {word!r} is not in its text after character {at}"
        at = found + len(word)
        spans.append((found, at))
    return spans


def displayable(text: str) -> str:
    """The text with lone surrogates and NUL replaced by U+FFFD, character for character."""
    return text if text.isascii() and "\x00" not in text else _UNWRITABLE.sub("\ufffd", text)


def _groups(encoding: Encoding, words: Sequence[tuple[int, int]]) -> list[int]:
    """The word of each piece by its last character; -1 for marks and for pieces between words."""
    ends = np.array([end for _, end in encoding.offsets], dtype=np.int64)
    starts = np.array([start for start, _ in words], dtype=np.int64)
    found = np.searchsorted(starts, ends - 1, side="right") - 1  # the last word that starts at or before it
    marks = encoding.special_tokens_mask
    return [
        -1 if mark or index < 0 or start >= words[index][1] else index
        for index, mark, (start, _) in zip(found.tolist(), marks, encoding.offsets, strict=True)
    ]


def _padded(names: Steps, steps: int) -> Steps:
    missing = steps - len(names.labels)
    if not missing:
        return names
    return replace(names, labels=names.labels + ("[PAD]",) * missing, group=names.group + (-1,) * missing)


def _piece_shapes(words: Sequence[str], group: Sequence[int]) -> np.ndarray:
    """Flags of each piece, from the word that it belongs to. -> (t, S) float32"""
    flags = np.zeros((len(words) + 1, len(SHAPES)), dtype=np.float32)  # the last row stays 0, for marks
    fresh, stopped, previous = True, False, ""
    for row, word in zip(flags, words, strict=False):
        row[:6] = _word_shape(word)
        if not row[SIGN]:
            row[6:8] = fresh, stopped
            fresh = stopped = False
        elif word in _STOPS:
            stopped = True
        row[8] = previous in ("@", "#")
        previous = word
    pieces = flags[list(group)] if group else flags[:0]
    pieces[:, 9] = [index >= 0 and index == before for index, before in zip(group, (-1, *group), strict=False)]
    return pieces


@functools.lru_cache(maxsize=65536)
def _word_shape(word: str) -> tuple[bool, ...]:
    capitals = [character.isupper() for character in word if character.isalpha()]
    shouted = len(capitals) > 1 and all(capitals)
    first = word[0].isupper()
    digits = [character.isdigit() for character in word]
    return shouted, first, not shouted and any(capitals[1:]), any(digits), all(digits), not any(map(str.isalnum, word))


@functools.lru_cache(maxsize=65536)
def _is_latin(letter: str) -> bool:
    return "LATIN" in unicodedata.name(letter, "")
