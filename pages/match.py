"""Match: does the score tell true pairs from false ones, which pairs are to be doubted, and what is found by asking."""

from __future__ import annotations

from pages.parts import cache, chrome, matching, work

chrome.boot("match")

with chrome.guard("match.title"):
    dataset = chrome.dataset()
    checkpoint = chrome.checkpoint()
    if dataset is not None and checkpoint is not None:
        observed = cache.observed(checkpoint, dataset)
        if observed is None:
            work.offer(checkpoint, dataset)
        else:
            matching.show(checkpoint, dataset, observed)
