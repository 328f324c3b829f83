"""A map of very many points in a real browser: it names what is clicked, and a line chooses what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Locator, Page

from fusion.words import catalogue
from tests.browser.chromium import Watch
from tests.browser.cloud_page import seeded
from tests.browser.server import ROOT, Server, serve

pytestmark = pytest.mark.browser
COUNT = 60_000
EDGE = 12  # pixels that the map leaves free on each side


@pytest.fixture(scope="module")
def cloud_server() -> Iterator[Server]:
    with serve(app=ROOT / "tests/browser/cloud_page.py", PYTHONPATH=str(ROOT)) as started:
        yield started


def opened(page: Page, server: Server, more: str = "") -> Locator:
    """The part of the page that the points are drawn on, once they are."""
    page.goto(f"{server.url}/?n={COUNT}{more}")
    page.locator(".stage[data-drawn]").wait_for()
    return page.locator(".stage")


def spots(stage: Locator) -> np.ndarray:
    """Where each point should lie on the whole map, in pixels of the page. -> (N, 2)"""
    box = stage.bounding_box()
    assert box is not None
    points = seeded.__wrapped__(COUNT)[0]
    low, high = points.min(0), points.max(0)
    scale = min((box["width"] - 2 * EDGE) / (high[0] - low[0]), (box["height"] - 2 * EDGE) / (high[1] - low[1]))
    off = (points - (low + high) / 2) * scale * (1, -1)
    middle = np.asarray([box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    return off + middle


def rows(page: Page, wanted: str) -> tuple[int, int]:
    """How many rows the server got, and their sum, once that says what is wanted."""
    told = page.get_by_text(re.compile(wanted))
    told.wait_for()
    found = re.search(r"rows (\d+) sum (\d+)", told.inner_text())
    assert found
    return int(found[1]), int(found[2])


def test_a_lasso_chooses_what_it_holds_and_escape_clears(cloud_server: Server, page: Page) -> None:
    stage = opened(page, cloud_server)
    stage.scroll_into_view_if_needed()
    at = spots(stage)
    (left, top), (right, bottom) = np.quantile(at, 0.3, 0).round(), np.quantile(at, 0.6, 0).round()
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    count, total = rows(page, r"rows [1-9]")
    held = np.flatnonzero((at[:, 0] > left) & (at[:, 0] < right) & (at[:, 1] > top) & (at[:, 1] < bottom))
    assert abs(count - len(held)) <= 2  # on its very edge
    assert abs(total / held.sum() - 1) < 1e-3
    page.locator(f".stage[data-chosen*='{count:,}']").wait_for()
    page.keyboard.press("Escape")
    assert rows(page, r"rows 0") == (0, 0)


def test_a_click_asks_for_the_name_of_the_nearest_point(cloud_server: Server, page: Page) -> None:
    stage = opened(page, cloud_server)
    stage.scroll_into_view_if_needed()
    at = spots(stage)
    x, y = np.median(at, 0).round() + 0.5
    page.mouse.click(x, y)
    page.locator(".tip", has_text="pair-").wait_for()
    name = page.locator(".tip").inner_text()
    row = int(name.split(" ")[0].removeprefix("pair-"))
    assert np.hypot(*(at[row] - (x, y))) < 4
    assert np.hypot(*(at[row] - (x, y))) <= np.hypot(*(at - (x, y)).T).min() + 1.5  # of the pixels, the nearest


def test_keys_move_and_buttons_choose(cloud_server: Server, page: Page) -> None:
    stage = opened(page, cloud_server)
    assert stage.get_attribute("data-drawn") == str(COUNT)
    stage.focus()
    for key in ("+", "+", "+", "ArrowRight"):
        page.keyboard.press(key)
    page.wait_for_function(f"stage => Number(stage.dataset.drawn) < {COUNT // 2}", arg=stage.element_handle())
    page.locator("[data-act=all]").click()
    count, _ = rows(page, r"rows [1-9]")
    assert count < COUNT // 2
    page.locator("[data-act=reset]").click()
    page.wait_for_function(f"stage => Number(stage.dataset.drawn) === {COUNT}", arg=stage.element_handle())
    page.locator(".legend button").first.click()
    page.wait_for_function(f"stage => Number(stage.dataset.drawn) === {COUNT // 2}", arg=stage.element_handle())
    page.locator("[data-act=all]").click()
    assert rows(page, f"rows {COUNT // 2} ")[0] == COUNT // 2


def test_a_phone_in_the_dark_in_chinese(cloud_server: Server, page: Page) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(
        viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True, color_scheme="dark",
        device_scale_factor=2,
    )  # fmt: skip
    context.set_default_timeout(180_000)
    watch = Watch()
    phone = watch.over(context.new_page())
    stage = opened(phone, cloud_server, "&lang=zh&by=value")
    words = catalogue("zh")
    assert phone.locator("[data-act=lasso]").inner_text() == words["canvas.lasso"]
    assert phone.locator("[data-act=move]").get_attribute("aria-pressed") == "true", "a finger scrolls the page first"
    assert stage.get_attribute("aria-label") == words["canvas.keys"]
    assert "60,000" in (phone.locator("canvas.points").get_attribute("aria-label") or "")
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    small = phone.locator("button[data-act]").evaluate_all("all => Math.min(...all.map(b => b.offsetHeight))")
    assert small >= 24
    box = stage.bounding_box()
    assert box is not None
    phone.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    phone.locator(".tip", has_text="pair-").wait_for()
    context.close()
    assert not watch.outside
    assert not watch.errors
