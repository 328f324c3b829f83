"""Compare: what changed from A to B, two checkpoints or one with a switch flipped, over a data set and on a sample."""

from __future__ import annotations

from pages.parts import chrome, comparing

chrome.boot("compare")

with chrome.guard("compare.title"):
    comparing.show()
