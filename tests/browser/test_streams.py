"""What a user does with one sample of streams, in a browser: open it, take a modality away, see before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from fusion import checkpoints
from fusion.streams import runs
from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import widget
from tests.browser.server import Server, serve

pytestmark = pytest.mark.browser
EN = catalogue("en")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with a checkpoint that was trained for a moment on planted sequences."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(home))
        patch.setattr(runs, "NETWORKS", ())
        patch.setattr(runs, "CURVE_SEEDS", (0,))
        settings = {"width": "16", "epochs": "1", "rate": "0.01"}
        runs.train("late", "planted:one", name="streams", say=lambda _: None, settings=settings)
        assert checkpoints.find("streams").data == "planted:one"
    with serve(FUSION_HOME=str(home)) as started:
        yield started


def test_a_modality_is_taken_away_seen_before_and_after_linked_and_put_back(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/inspect?ckpt=streams")
    widget(page, "open_0").locator("button").click()
    page.wait_for_url(re.compile(r"[?&]id="))
    widget(page, "answers").locator(".main-svg").first.wait_for()
    settled(page)
    verdict = widget(page, "card_verdict")
    plain = verdict.inner_text()
    assert EN["streams.verdict.answer"] in plain
    assert EN["streams.verdict.before"] not in plain
    widget(page, "how_audio").locator("input").click()
    page.get_by_role("option", name=EN["streams.how.remove"], exact=True).click()
    page.wait_for_url(re.compile(r"edit=audio(:|%3A)remove"))
    for key in ("answers_before", "answers_after"):
        widget(page, key).locator(".main-svg").first.wait_for()
    settled(page)
    edited = verdict.inner_text()
    assert EN["streams.verdict.before"] in edited
    page.goto(page.url)  # the link brings the edit back
    widget(page, "answers_after").locator(".main-svg").first.wait_for()
    settled(page)
    assert verdict.inner_text() == edited
    page.get_by_role("tab", name=EN["streams.tab.fused"]).click()
    page.wait_for_url(re.compile(r"tab=fused"))
    page.get_by_text(EN["streams.after"], exact=True).first.wait_for()
    settled(page)
    page.get_by_role("tab", name=EN["streams.tab.overview"]).click()
    widget(page, "edit_none").locator("button").click()
    widget(page, "answers").locator(".main-svg").first.wait_for()
    settled(page)
    assert "edit=" not in page.url
    assert verdict.inner_text() == plain


def test_a_sample_of_streams_fits_a_phone(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for language in ("en", "zh"):
        page.goto(f"{server.url}/inspect?ckpt=streams&id=one+3&edit=text:drop:0.5&lang={language}")
        widget(page, "answers_after").locator(".main-svg").first.wait_for()
        settled(page)
        wide = page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
        )
        assert wide <= 1, language
