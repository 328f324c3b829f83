"""Map: where all texts and images lie, and whether the halves of a pair lie together."""

from __future__ import annotations

from pages.parts import chrome, mapping, work

chrome.boot("map")

with chrome.guard("map.title"):
    found = work.observed("map")
    if found is not None:
        mapping.show(*found)
