"""The word splitter, under the name that readers of data use."""

from __future__ import annotations

from fusion.encoders.words import split_words

__all__ = ["split_words"]
