"""A server for a file of browser tests, a fresh one where a test asks, and a page that ends by asserting silence.

FUSION_TEST_HOME names a home with checkpoints of one's own to walk through; without it the bundled one is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import Watch, browser
from tests.browser.server import Server, serve

HOME = {"FUSION_HOME": os.environ["FUSION_TEST_HOME"]} if "FUSION_TEST_HOME" in os.environ else {}


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    """One Chromium a file: a session's would leave its event loop running under tests that are not about browsers."""
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server a file."""
    with serve(**HOME) as started:
        yield started


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    """A server that nobody has visited."""
    with serve(**HOME) as started:
        yield started


@pytest.fixture
def page(chrome: Browser) -> Iterator[Page]:
    """A 1280 x 900 page in English; after the test it must have asked no other machine and logged no error."""
    watch = Watch()
    context = chrome.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB", accept_downloads=True)
    context.set_default_timeout(180_000)  # a busy machine; a quiet one waits for nothing
    context.set_default_navigation_timeout(180_000)
    yield watch.over(context.new_page())
    context.close()
    assert not watch.outside, f"asked other machines: {watch.outside}"
    assert not watch.errors, f"console errors: {watch.errors}"
