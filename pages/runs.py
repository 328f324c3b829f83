"""Runs: training and inspections on this machine, how they went and go, and where to start one."""

from __future__ import annotations

from pages.parts import chrome, runs

chrome.boot("runs")

with chrome.guard("runs.title"):
    runs.show()
