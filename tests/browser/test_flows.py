"""What a user does, in a real browser: drop and type until all shows, choose, draw a lasso, change the language."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import choose, click_point, drop, lasso, widget
from tests.browser.server import ROOT, Server

pytestmark = pytest.mark.browser
EN, ZH = catalogue("en"), catalogue("zh")
PHOTO = ROOT / "assets/data/gallery/astronaut.jpg"
SENTENCE = "Eileen Collins of NASA smiles in front of a Space Shuttle in Houston."


def alternative(page: Page, key: str) -> str:
    """The text alternative of a picture."""
    return widget(page, key).locator('[role="figure"]').first.get_attribute("aria-label") or ""


def inspected(page: Page, server: Server, tab: str = "overview", waited: str = "drop_overview") -> None:
    """Open Inspect with a ready sample on it and wait for the last picture of a tab."""
    page.goto(f"{server.url}/inspect?story=fits&tab={tab}")
    widget(page, waited).locator(".main-svg").first.wait_for()
    settled(page)


def test_a_dropped_image_and_a_typed_sentence_show_heat_map_gates_and_score(
    server: Server, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{server.url}/inspect")
    settled(page)
    choose(page, "source", EN["inspect.source.drop"])
    own = tmp_path / "my photograph.jpg"
    own.write_bytes(PHOTO.read_bytes())
    drop(page, "drop_image", own)
    widget(page, "sentence").locator("textarea").fill(SENTENCE)
    widget(page, "run").locator("button").click()
    for key in ("regions_overview", "hills_overview", "gate_overview", "drop_overview"):
        widget(page, key).locator(".main-svg").first.wait_for()
        # the image alone has been drawn before; what counts is the picture of both
        expect(widget(page, key).locator('[role="figure"]').first).to_have_attribute(
            "aria-label", re.compile(r"\d"), timeout=60_000
        )
    score = widget(page, "card_verdict").inner_text()
    assert re.search(r"0\.\d+|\d+ %", score), score
    assert "Eileen" in page.locator('[data-testid="stMain"]').inner_text()


def test_a_square_of_the_head_map_chooses_that_head(server: Server, page: Page) -> None:
    inspected(page, server, "attention", "matrix")
    before = alternative(page, "words")
    click_point(page, "heads", curve=0, point=5)  # first layer, sixth head
    page.wait_for_url(re.compile(r"[?&]layer=text_attention_1&head=5"))
    settled(page)
    box = widget(page, "head_box")
    assert EN["views.head.one"].format(head=6) in [box.inner_text(), box.locator("input").input_value()]
    assert alternative(page, "words") != before


def test_a_word_turns_the_attention_to_it(server: Server, page: Page) -> None:
    inspected(page, server)
    words = widget(page, "words_overview").locator("button")
    before = alternative(page, "regions_overview")
    name = words.last.inner_text().strip()
    words.nth(1).click()
    page.wait_for_timeout(300)
    settled(page)
    first = alternative(page, "regions_overview")
    words.nth(3).click()
    page.wait_for_timeout(300)
    settled(page)
    assert len({before, first, alternative(page, "regions_overview")}) >= 2, name


def test_a_lasso_on_the_map_leads_to_inspect(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/map?data=gloss")
    chart = page.locator('[class*="st-key-map_pca"] .js-plotly-plot').first
    chart.wait_for()
    settled(page)
    key = page.locator('[class*="st-key-map_pca"]').first.evaluate(
        "element => [...element.classList].find(name => name.startsWith('st-key-')).slice(7)"
    )
    lasso(page, key)
    card = widget(page, "selection_card")
    card.wait_for()
    said = re.search(r"\d[\d,]*", card.inner_text())
    assert said
    assert int(said[0].replace(",", "")) > 10
    chosen = card.locator("small, [data-testid=stCaptionContainer]").first.inner_text().split(":")[-1].strip()
    widget(page, "selection_open").locator("button").click()
    page.wait_for_url(re.compile(r"/inspect"))
    widget(page, "gate_overview").wait_for()
    settled(page)
    assert f"id={chosen}" in page.url
    assert page.locator("h1").first.inner_text().strip() == EN["inspect.title"]


def test_the_language_changes_everything_and_loses_nothing(server: Server, page: Page) -> None:
    inspected(page, server)
    sentence = widget(page, "sentence").locator("textarea").input_value()
    assert sentence
    choose(page, "language", "中文")
    page.wait_for_url(re.compile(r"lang=zh"))
    page.wait_for_function("title => document.querySelector('h1')?.innerText.trim() === title", arg=ZH["inspect.title"])
    settled(page)
    assert widget(page, "sentence").locator("textarea").input_value() == sentence
    assert re.search(r"[\u4e00-\u9fff]", alternative(page, "regions_overview"))
    left = page.locator('[data-testid="stSidebar"]').inner_text()
    assert EN["inspect.title"] not in left


def test_numbers_of_a_picture_are_shown_and_saved(server: Server, page: Page, tmp_path: Path) -> None:
    inspected(page, server)
    with page.expect_download() as waiting:
        widget(page, "csv_gate_overview").locator("button").first.click()
    saved = tmp_path / "gate.csv"
    waiting.value.save_as(saved)
    lines = saved.read_text("utf-8-sig").splitlines()
    assert len(lines) > 3
    assert any(re.search(r"\d\.\d", line) for line in lines[1:])
    widget(page, "table_gate_overview").locator("label").first.click()
    widget(page, "card_gate_overview").locator('[data-testid="stDataFrame"]').wait_for()


def test_a_file_that_is_no_picture_is_a_sentence(server: Server, page: Page, tmp_path: Path) -> None:
    page.goto(f"{server.url}/inspect")
    settled(page)
    choose(page, "source", EN["inspect.source.drop"])
    wrong = tmp_path / "report.pdf"
    wrong.write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    drop(page, "drop_image", wrong)
    alert = page.locator('[data-testid="stAlert"]').first
    alert.wait_for()
    assert "PDF" in alert.inner_text()
    assert "Traceback" not in page.locator("body").inner_text()


def test_a_phone_shows_inspect_without_scrolling_sideways(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    inspected(page, server)
    wide = page.evaluate(
        "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
    )
    assert wide <= 1
