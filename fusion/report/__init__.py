"""One observation as JSON, in words, and as a folder: every picture in one HTML file, every signal as CSV, PNGs."""

from __future__ import annotations

from fusion.report.entities import entity_in_words, entity_summary, write_entity
from fusion.report.links import link_in_words, link_summary, write_link
from fusion.report.pairs import in_words, summary, write
from fusion.report.streams import stream_in_words, stream_summary, write_stream

__all__ = [
    "entity_in_words", "entity_summary", "in_words", "link_in_words", "link_summary", "stream_in_words",
    "stream_summary", "summary", "write", "write_entity", "write_link", "write_stream",
]  # fmt: skip
