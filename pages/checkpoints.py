"""Checkpoints: what can be loaded and what it shows, and the data sets, bundled or one's own."""

from __future__ import annotations

from pages.parts import chrome, datasets, library, tabs

chrome.boot("checkpoints")

with chrome.guard("checkpoints.title"):
    name, place = tabs.opened("checkpoints", ("models", "data"))
    with place, chrome.guard(f"checkpoints.tab.{name}"):
        if name == "data":
            datasets.show()
        else:
            library.show()
