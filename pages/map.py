"""Map: where all texts and images lie, and whether the halves of a pair lie together."""

from __future__ import annotations

from pages.parts import cache, chrome, mapping, work

chrome.boot("map")

with chrome.guard("map.title"):
    dataset = chrome.dataset()
    checkpoint = chrome.checkpoint()
    if dataset is not None and checkpoint is not None:
        observed = cache.observed(checkpoint, dataset)
        if observed is None:
            work.offer(checkpoint, dataset)
        else:
            mapping.show(checkpoint, dataset, observed)
