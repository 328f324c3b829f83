"""Where the words of a text are: the one splitter that tags, encoders and pages share."""

from __future__ import annotations

import re
import unicodedata

# One word a character: the scripts that write no spaces between words and where the encoders split too.
_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Never part of a word: control characters and the invisible marks of direction and width.
_INVISIBLE = "\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
# What a letter or a symbol carries with it: accents, vowel signs, variation selectors, skin tones, joiners.
_CARRIED = "".join(chr(code) for code in range(0x300, 0x2000) if unicodedata.category(chr(code)) in ("Mn", "Mc", "Me"))
_CARRIED += "\xad\u200c\u20d0-\u20ff\u302a-\u302f\u3099\u309a\ufe00-\ufe0f\ufe20-\ufe2f\U0001f3fb-\U0001f3ff"
_LETTER = rf"(?:(?![{_IDEOGRAPH}])\w)"
_SYMBOL = rf"[^\w\s{_INVISIBLE}]"
_WORD = re.compile(
    rf"[{_IDEOGRAPH}][{_CARRIED}]*"
    rf"|{_LETTER}(?:{_LETTER}|[{_CARRIED}]|\u200d(?={_LETTER}))*"
    r"|[\U0001f1e6-\U0001f1ff]{2}"
    rf"|{_SYMBOL}(?:[{_CARRIED}]|\u200d{_SYMBOL})*"
)


def split_words(text: str) -> list[tuple[int, int]]:
    r"""Start and end (exclusive) of each word, in characters: runs of letters and digits, and single other signs.

    For plain English this is the regular expression ``\w+|[^\w\s]``. Beyond it, an ideograph is a word, a letter keeps
    its accents and vowel signs, an emoji its skin tone and joined parts, and invisible control characters are no words.

    >>> text = "Mr. Turkey's 2 \u706b\u9e21"
    >>> [text[start:end] for start, end in split_words(text)]
    ['Mr', '.', 'Turkey', "'", 's', '2', '\u706b', '\u9e21']
    """
    return [match.span() for match in _WORD.finditer(text)]
