"""Match: does the score tell true pairs from false ones, which pairs are to be doubted, and what is found by asking."""

from __future__ import annotations

from pages.parts import chrome, matching, work

chrome.boot("match")

with chrome.guard("match.title"):
    found = work.observed("match")
    if found is not None:
        matching.show(*found)
