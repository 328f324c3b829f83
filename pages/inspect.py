"""Inspect: one sample or one entity, and what the model did with it."""

from __future__ import annotations

from pages.parts import chrome, faces, reporting

slot = chrome.boot("inspect")

with chrome.guard("inspect.title"):
    faces.show("inspect")
with slot, chrome.guard("reporting.title"):
    reporting.show("inspect")
