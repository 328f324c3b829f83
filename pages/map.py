"""Map: where all samples or entities lie, and whether the halves of a pair lie together."""

from __future__ import annotations

from pages.parts import chrome, faces

chrome.boot("map")

with chrome.guard("map.title"):
    faces.show("map")
