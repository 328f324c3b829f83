"""Fusion: what the model listens to over a whole data set, and whether its weights mean anything."""

from __future__ import annotations

from pages.parts import chrome, faces, reporting

slot = chrome.boot("fusion")

with chrome.guard("fusion.title"):
    faces.show("fusion")
with slot, chrome.guard("reporting.title"):
    reporting.show("fusion")
