"""What a user does with a link predictor, in a browser: ask by name, put in a picture, send a link, follow errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page

from fusion import checkpoints
from fusion.data import open_data
from fusion.data.link_features import link_features
from fusion.links.inputs import encoders_of
from fusion.links.inspection import Predictor
from fusion.links.whole import whole
from fusion.models.imf import IMF, Config
from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import drop, widget
from tests.browser.server import ROOT, Server, serve

pytestmark = pytest.mark.browser
EN, ZH = catalogue("en"), catalogue("zh")
PHOTO = ROOT / "assets/data/gallery/astronaut.jpg"
PAGES = {"fusion": "deciding_decision", "map": "agreement", "match": "rows_linking_wrong_0"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with one more checkpoint: random weights over the bundled graph, all held-out questions asked."""
    root = tmp_path_factory.mktemp("links")
    dataset = open_data("keywords")
    assert dataset.triples is not None
    features = link_features(dataset)
    torch.manual_seed(4)
    config = Config(
        entities=len(dataset), relations=len(dataset.triples.relations), width=16, inputs="projected",
        image_width=features.widths["image"], text_width=features.widths["text"],
    )  # fmt: skip
    checkpoints.save(
        root / "links", IMF(config).eval(), encoders=encoders_of(features), data="keywords", metrics={},
        card="# Links\n\nRandom weights.\n", origin={},
    )  # fmt: skip
    whole(Predictor.open(checkpoints.read(root / "links"), dataset))
    with serve(FUSION_CHECKPOINTS=str(root)) as started:
        yield started


def test_a_question_is_asked_by_name_takes_another_picture_and_comes_back_by_its_link(
    server: Server, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{server.url}/inspect?ckpt=links")
    box = widget(page, "entity_search").locator("input")
    box.wait_for()
    box.fill("rice ball")
    box.press("Enter")
    page.locator('[class*="st-key-found_"] button').first.click()
    page.wait_for_url(re.compile(r"[?&]id=k-"))
    widget(page, "pulled").locator(".main-svg").first.wait_for()
    settled(page)
    verdict = widget(page, "card_verdict")
    before = verdict.inner_text()
    assert EN["links.verdict.rank"] in before
    page.get_by_text(EN["links.instead"]).click()
    own = tmp_path / "another picture.jpg"
    own.write_bytes(PHOTO.read_bytes())
    drop(page, "entity_drop", own)
    widget(page, "card_moved").wait_for()
    settled(page)
    link = page.url
    assert "picture" not in link
    page.goto(link)  # the picture is no part of it
    widget(page, "pulled").locator(".main-svg").first.wait_for()
    settled(page)
    assert verdict.inner_text() == before
    assert not widget(page, "card_moved").count()


def test_a_relation_is_chosen_and_the_next_wrong_question_is_in_the_address(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/inspect?ckpt=links&id=k-0004&rel=hasKeyword")
    widget(page, "pulled").locator(".main-svg").first.wait_for()
    settled(page)
    widget(page, "link_relation").locator("input").click()
    page.get_by_role("option", name="inSubgroup", exact=False).first.click()
    page.wait_for_url(re.compile(r"rel=inSubgroup"))
    settled(page)
    widget(page, "next_wrong").locator("button").first.click()
    page.wait_for_url(re.compile(r"against=k-"))
    settled(page)
    assert "rel=" in page.url
    rank = re.search(r"[\d,]+", widget(page, "card_verdict").inner_text())
    assert rank is not None
    assert int(rank[0].replace(",", "")) > 1


def test_pages_of_all_questions_fit_a_phone_in_both_languages(server: Server, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for catalogue_ in (EN, ZH):
        language = "en" if catalogue_ is EN else "zh"
        for name, key in PAGES.items():
            page.goto(f"{server.url}/{name}?ckpt=links&lang={language}")
            page.get_by_text(catalogue_[f"{name}.lead.triples"]).first.wait_for()
            widget(page, key).first.wait_for()
            settled(page)
            wide = page.evaluate(
                "() => { const m = document.querySelector('[data-testid=stMain]');"
                " return m.scrollWidth - m.clientWidth; }"
            )
            assert wide <= 1, name
