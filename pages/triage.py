"""Triage: which pairs are wrong? Suspects in order, one verdict a key, and how far the order can be trusted."""

from __future__ import annotations

from pages.parts import chrome, triage

chrome.boot("triage")

with chrome.guard("triage.title"):
    triage.show()
