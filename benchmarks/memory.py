"""How much the server's process grows with each more tab that shows a whole inspection, in a real Chromium.

Two tabs come first, which load the libraries and the checkpoint. Then ten more open the same story one by one and stay
open; the slope of resident memory against their number counts.
"""

from __future__ import annotations

import subprocess

import numpy as np

from benchmarks.measuring import Row, at_most, spread
from fusion import checkpoints
from tests.browser.chromium import browser, settled
from tests.browser.server import Server, serve

FIRST, MORE = 2, 10


def measure(checkpoint: str) -> list[Row]:
    """Open the tabs. Raises FusionError without the checkpoint."""
    name = checkpoints.find(checkpoint).name
    with serve() as server, browser() as chrome:
        bare = resident(server)
        held, open_ = [], []
        for _ in range(FIRST + MORE):
            page = chrome.new_page(viewport={"width": 1280, "height": 900})
            page.goto(f"{server.url}/inspect?story=turkey&ckpt={name}")
            settled(page, 240)
            open_.append(page)
            held.append(resident(server))
    after = held[FIRST - 1 :]
    slope = float(np.polyfit(np.arange(len(after)), after, 1)[0])
    return [
        at_most("one more open tab", slope, "MB", 4, n=MORE, spread=spread(list(np.diff(after)))),
        Row("server before anyone came", bare, "MB"),
        Row(f"server with {FIRST} tabs, checkpoint loaded", after[0], "MB"),
        Row(f"server with {FIRST + MORE} tabs", after[-1], "MB"),
    ]  # fmt: skip


def resident(server: Server) -> float:
    """Resident memory of the server's process, MB."""
    said = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(server.process.pid)], capture_output=True, text=True, check=True
    )
    return int(said.stdout) / 1024
