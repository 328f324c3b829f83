"""The Chromium of this machine, and pages in it that remember what they asked for and what went wrong."""

from __future__ import annotations

import functools
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

REQUIRED = os.environ.get("FUSION_REQUIRE_BROWSER") == "1"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
OURS = {"127.0.0.1", "localhost"}
# Streamlit looks for its server below the page's own path first; these two are answered by 404 and by nothing else.
PROBES = re.compile(r"^http://127\.0\.0\.1:\d+/[a-z]+/_stcore/(health|host-config)$")


@functools.cache
def chromium() -> str | None:
    """Path of the Chromium to drive: FUSION_CHROMIUM, or the first of the usual names; None without one."""
    named = os.environ.get("FUSION_CHROMIUM")
    found = named or next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or (str(MAC) if MAC.exists() else None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium. Raises AssertionError where there is none."""
    path = chromium()
    assert path is not None, "FUSION_REQUIRE_BROWSER=1 and there is no Chromium; install chromium"
    # Containers give /dev/shm 64 MB and root no sandbox; WebGL is drawn in software where there is no GPU.
    flags = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader", "--use-angle=swiftshader"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()


@dataclass
class Watch:
    """What a page asked of other machines, and the errors in its console."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def over(self, page: Page) -> Page:
        """Start to watch a page."""
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        return page

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in OURS:
            self.outside.append(url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        where = message.location.get("url", "")
        if "404" in message.text and PROBES.match(where):
            return
        self.errors.append(f"{message.text} ({where})")


def settled(page: Page, seconds: float = 180) -> None:
    """Wait until the script has run, nothing says that it is loading, and every picture is drawn."""
    page.wait_for_function(
        """() => {
            const app = document.querySelector('[data-testid="stApp"]');
            if (!app || app.getAttribute('data-test-script-state') !== 'notRunning') return false;
            if (document.querySelector('[data-testid="stSkeleton"], [data-testid="stSpinner"]')) return false;
            if (!document.querySelector('h1')) return false;
            const plots = [...document.querySelectorAll('[data-testid="stPlotlyChart"]')];
            if (plots.some(plot => !plot.querySelector('.main-svg'))) return false;
            return [...document.images].every(image => image.complete);
        }""",
        timeout=seconds * 1000,
    )
    page.wait_for_timeout(500)  # Plotly puts its drag layer in place after the drawing
