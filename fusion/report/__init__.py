"""One observation as JSON, in words, as a folder, and as a page: one HTML file of a sample or of a whole set."""

from __future__ import annotations

from fusion.report.entities import entity_in_words, entity_page, entity_summary, write_entity
from fusion.report.links import link_in_words, link_page, link_summary, write_link
from fusion.report.made import write_page
from fusion.report.pairs import in_words, pair_page, summary, write
from fusion.report.sets import set_page
from fusion.report.streams import stream_in_words, stream_page, stream_summary, write_stream
from fusion.report.versus import versus_sample_page, versus_set_page
from fusion.report.why import explained

__all__ = [
    "entity_in_words",
    "entity_page",
    "entity_summary",
    "explained",
    "in_words",
    "link_in_words",
    "link_page",
    "link_summary",
    "pair_page",
    "set_page",
    "stream_in_words",
    "stream_page",
    "stream_summary",
    "summary",
    "versus_sample_page",
    "versus_set_page",
    "write",
    "write_entity",
    "write_link",
    "write_page",
    "write_stream",
]  # fmt: skip
