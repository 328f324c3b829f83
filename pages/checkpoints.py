"""Checkpoints: what can be loaded and what it shows, and the data sets, bundled or one's own."""

from __future__ import annotations

from pages.parts import chrome, datasets, fitting, library, tabs

chrome.boot("checkpoints")

with chrome.guard("checkpoints.title"):
    name, place = tabs.opened("checkpoints", ("models", "data", "fit"))
    with place, chrome.guard(f"checkpoints.tab.{name}"):
        if name == "data":
            datasets.show()
        elif name == "fit":
            fitting.show()
        else:
            library.show()
