"""Inspect: one sample or one entity, and what the model did with it."""

from __future__ import annotations

from pages.parts import chrome, faces

chrome.boot("inspect")

with chrome.guard("inspect.title"):
    faces.show("inspect")
