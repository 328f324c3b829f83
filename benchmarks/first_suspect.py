"""From a CSV of 2,000 pairs with pictures on disk to the first suspect on screen, as someone new goes: link, button.

The pairs are those of `throughput`. The server starts with an empty home, so every encoder is loaded and every feature
is computed within the time; the set-up of `make app` is not.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Row, at_most
from benchmarks.throughput import PAIRS, make
from tests.browser.chromium import browser, settled
from tests.browser.hands import widget
from tests.browser.server import serve

LIMIT = 1200_000  # ms


def measure(checkpoint: str) -> list[Row]:
    """Start a server, open the table, press the button, wait. checkpoint: a name that a link can say."""
    pairs = int(os.environ.get("FUSION_BENCH_PAIRS", PAIRS))
    with tempfile.TemporaryDirectory(prefix="fusion-bench-first-") as folder:
        table = make(Path(folder) / "set", pairs)
        started = time.perf_counter()
        with serve(FUSION_HOME=f"{folder}/home", FUSION_DATA_ROOTS=folder) as server, browser() as chrome:
            page = chrome.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{server.url}/triage?ckpt={checkpoint}&data={table}")
            settled(page)
            page.locator('[class*="st-key-start_inspect-set"] button').click()
            asked = time.perf_counter()
            widget(page, "triage_mismatch").locator("button").first.wait_for(timeout=LIMIT)
            settled(page)
            seen = time.perf_counter()
            page.close()
    return [
        at_most("CSV to the first suspect on screen", seen - started, "s", 300, n=pairs),
        Row("of it the server's start and the page", asked - started, "s"),
    ]
