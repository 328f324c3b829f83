"""Is the picture true, in a browser: edit a pair, explain it, look up which signals deserve trust, compare two."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from benchmarks.browser import pick
from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import widget
from tests.browser.server import Server

pytestmark = pytest.mark.browser
EN = catalogue("en")


def test_an_edit_is_made_listed_linked_and_undone(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/inspect?ckpt=maf-gloss&story=fits&tab=drop")
    settled(page)
    expect(widget(page, "card_bench")).to_contain_text(EN["edits.none"])
    pick(page, "bench_how", EN["edits.how.remove"])
    pick(page, "bench_what_remove", "image")
    widget(page, "bench_apply").locator("button").click()
    page.wait_for_url(re.compile(r"edit=image(:|%3A)remove"))
    settled(page)
    told = EN["streams.done.remove"].replace("{name}", "image")
    expect(widget(page, "edit_row_0")).to_contain_text(told)
    page.goto(page.url)
    settled(page)
    expect(widget(page, "edit_row_0")).to_contain_text(told)
    page.keyboard.press("Control+z")
    expect(widget(page, "card_bench")).to_contain_text(EN["edits.none"])
    page.wait_for_url(lambda url: "edit=" not in url)


def test_methods_stand_beside_their_test(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/inspect?ckpt=maf-gloss&story=fits&tab=explain")
    settled(page)
    widget(page, "deletion_one").locator(".main-svg").first.wait_for()
    widget(page, "explain_method").get_by_text(EN["method.gradient_x_input"], exact=True).click()
    page.wait_for_url(re.compile("how=gradient_x_input"))
    settled(page)
    widget(page, "explain_all").locator("button").click()
    widget(page, "concord").locator(".main-svg").first.wait_for()
    settled(page)
    expect(widget(page, "insertion_all")).to_be_visible()


def test_an_entity_is_explained_for_any_candidate(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/inspect?ckpt=meaformer-emoji&data=emoji&id=en-0010&tab=explain")
    settled(page)
    widget(page, "explained_whole_occlusion").locator(".main-svg").first.wait_for()
    box = page.locator('[class*="st-key-explain_target"] input')
    box.click()
    page.get_by_role("option").nth(3).click()
    page.wait_for_url(re.compile("why=cosine"))
    settled(page)
    expect(widget(page, "deletion_one").locator(".main-svg").first).to_be_visible()


def test_trust_is_there_at_once_for_a_bundled_checkpoint(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/fusion?ckpt=late-groups&data=emoji-groups&tab=trust")
    settled(page)
    widget(page, "trusted").locator(".main-svg").first.wait_for()
    expect(widget(page, "card_trust_table")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    settled(page)
    wide = page.evaluate(
        "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
    )
    assert wide <= 1


def test_two_checkpoints_stand_side_by_side_on_one_sample(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/compare?ckpt=late-groups&data=emoji-groups&with=early-groups&tab=sample&id=v1fa98")
    settled(page)
    expect(page.get_by_text(EN["reporting.title"], exact=True).first).to_be_visible()
    page.get_by_role("tab", name=EN["versus.tab.set"]).click()
    page.wait_for_url(lambda url: "tab=" not in url)  # the first tab
    settled(page)
