"""Match: which pairs are to be doubted or wrongly aligned, and how well the model tells them."""

from __future__ import annotations

from pages.parts import chrome, faces

chrome.boot("match")

with chrome.guard("match.title"):
    faces.show("match")
