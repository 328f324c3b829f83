"""What a user does with two graphs, in a real browser: search, put in a picture, send a link, look at the weights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page

from fusion import checkpoints
from fusion.alignment.inputs import encoders_of
from fusion.alignment.inspection import Aligner
from fusion.alignment.whole import whole
from fusion.data import open_data
from fusion.data.graph_features import graph_features
from fusion.models.meaformer import Config, MEAformer
from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import drop, widget
from tests.browser.server import ROOT, Server, serve

pytestmark = pytest.mark.browser
EN, ZH = catalogue("en"), catalogue("zh")
MODALITIES = ("image", "relation", "graph")  # whose features are there without a text encoder
PHOTO = ROOT / "assets/data/gallery/astronaut.jpg"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The app with one more checkpoint: random weights over the bundled graphs, all entities ranked."""
    root = tmp_path_factory.mktemp("graphs")
    dataset = open_data("emoji")
    features = graph_features(dataset, MODALITIES[:2])
    widths = tuple(features.widths.get(m, 16) for m in MODALITIES)
    torch.manual_seed(4)
    config = Config(
        entities=len(dataset), modalities=MODALITIES, input_widths=widths, hidden_widths=(16,), width=16, inner_width=16
    )
    checkpoints.save(
        root / "graphs", MEAformer(config).eval(), encoders=encoders_of(features, MODALITIES), data="emoji",
        metrics={}, card="# Graphs\n\nRandom weights.\n", origin={},
    )  # fmt: skip
    whole(Aligner.open(checkpoints.read(root / "graphs"), dataset))
    with serve(FUSION_CHECKPOINTS=str(root)) as started:
        yield started


def test_an_entity_is_found_by_name_takes_another_picture_and_comes_back_by_its_link(
    server: Server, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{server.url}/inspect?ckpt=graphs")
    box = widget(page, "entity_search").locator("input")
    box.wait_for()
    box.fill("crocodile")
    box.press("Enter")
    page.locator('[class*="st-key-found_"] button').first.click()
    page.wait_for_url(re.compile(r"[?&]id=en-"))
    widget(page, "meta_weight").locator(".main-svg").first.wait_for()
    settled(page)
    verdict = widget(page, "card_verdict")
    before = verdict.inner_text()
    assert EN["entity.verdict.rank"] in before
    own = tmp_path / "another picture.jpg"
    own.write_bytes(PHOTO.read_bytes())
    drop(page, "entity_drop", own)
    widget(page, "card_moved").wait_for()
    settled(page)
    assert verdict.inner_text() != before
    link = page.url
    assert "picture" not in link
    page.goto(link)  # the picture is no part of it
    widget(page, "meta_weight").locator(".main-svg").first.wait_for()
    settled(page)
    assert verdict.inner_text() == before
    assert not widget(page, "card_moved").count()


def test_weights_of_three_modalities_are_a_triangle_in_both_languages_and_on_a_phone(
    server: Server, page: Page
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for catalogue_ in (EN, ZH):
        page.goto(f"{server.url}/fusion?ckpt=graphs&lang={'en' if catalogue_ is EN else 'zh'}")
        widget(page, "fusion_ternary").locator(".main-svg").first.wait_for()
        settled(page)
        alternative = widget(page, "fusion_ternary").locator('[role="figure"]').first.get_attribute("aria-label") or ""
        assert "6,163" in alternative
        wide = page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth; }"
        )
        assert wide <= 1
