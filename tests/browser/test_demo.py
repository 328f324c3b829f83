"""The demo on a stage: keys and clickers walk through it, it plays by itself, and a server that dies is not missed."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import settled
from tests.browser.server import Server

pytestmark = pytest.mark.browser


def _line(page: Page) -> str:
    return page.locator(".deck h1").inner_text()


def test_keys_walk_through_the_stories_and_leave(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/?mode=demo")
    expect(page.locator(".deck h1")).to_have_text("Four short stories")
    page.keyboard.press("ArrowRight")
    first = _line(page)
    page.keyboard.press("PageDown")
    second = _line(page)
    assert "looks for names" in first
    assert "“truck”" in second
    page.keyboard.press("PageUp")
    assert _line(page) == first
    page.keyboard.press("ArrowLeft")
    assert _line(page) == "Four short stories"
    page.keyboard.press("3")
    assert "One animal" in _line(page)
    page.keyboard.press(" ")
    assert page.locator(".deck .places li:not(.off)").count() == 1  # one thing at a time
    page.keyboard.press(" ")
    assert page.locator(".deck .places li:not(.off)").count() == 2
    page.keyboard.press("Home")
    page.keyboard.press("2")
    page.reload()  # a browser that was closed by mistake comes back to the same screen
    expect(page.locator(".deck h1")).to_contain_text("wrong picture")
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "mode=demo" not in url)
    expect(page.locator("h1").first).to_contain_text("See how a model fuses")
    settled(page)
    if page.get_by_role("dialog").count():  # the tour of a first visit
        page.keyboard.press("Escape")
    page.get_by_role("link", name="Demo →").click()
    expect(page.locator(".deck h1")).to_have_text("Four short stories")


def test_words_light_up_one_by_one_and_it_plays_by_itself(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/?mode=demo&lang=zh&at=3")
    expect(page.locator(".deck h1")).to_contain_text("不再标出任何名称")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.locator(".deck .word.now b").inner_text() == "light"
    assert page.locator(".deck .heat i").count() == 49
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.locator(".deck .word.now").count() == 0
    page.locator(".deck .play").click()
    expect(page.locator(".deck .word.now b")).to_have_text("a", timeout=5_000)
    expect(page.locator(".deck .word.now b")).to_have_text("truck", timeout=8_000)
    page.keyboard.press("p")
    now = page.locator(".deck .word.now b").inner_text()
    page.wait_for_timeout(2_500)
    assert page.locator(".deck .word.now b").inner_text() == now  # it stands still


def test_the_server_may_die_on_stage(fresh_server: Server, chrome: Browser) -> None:
    page = chrome.new_page(viewport={"width": 1280, "height": 720})  # not watched: it will ask for a dead server
    page.set_default_timeout(120_000)
    page.goto(f"{fresh_server.url}/?mode=demo")
    expect(page.locator(".deck h1")).to_have_text("Four short stories", timeout=120_000)
    fresh_server.process.kill()
    expect(page.locator('[data-testid="stConnectionStatus"], [data-testid="stDialog"]').first).to_be_attached()
    seen = []
    for _ in range(60):
        page.keyboard.press("ArrowRight")
        if not seen or _line(page) != seen[-1]:
            seen.append(_line(page))
        if seen[-1] == "Four short stories":
            break
    assert len(seen) == 15
    top = page.evaluate("() => document.elementFromPoint(640, 300).getRootNode().host !== undefined || "
                        "document.elementFromPoint(640, 300).shadowRoot !== null")  # fmt: skip
    assert top, "nothing lies above it"
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (390, 844)])
def test_every_screen_fits(server: Server, page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(f"{server.url}/?mode=demo")
    deck = page.locator(".deck")
    expect(deck.locator("h1")).to_be_visible()
    seen = set()
    for _ in range(60):
        wide, tall = deck.evaluate("d => [d.scrollWidth - d.clientWidth, d.scrollHeight - d.clientHeight]")
        assert wide <= 0, _line(page)
        assert tall <= (0 if width > 1000 else 400), "a phone may scroll, a stage may not"
        seen.add(_line(page))
        page.keyboard.press("ArrowRight")
        if len(seen) > 1 and _line(page) == "Four short stories":
            break
    assert len(seen) == 15
