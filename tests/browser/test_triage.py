"""What reviewers do in a browser: verdicts by keyboard that a reload keeps, two at once, files out and in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from fusion.words import catalogue
from tests import triage_app
from tests.browser.chromium import Watch, settled
from tests.browser.hands import drop, widget
from tests.browser.server import Server, serve

pytestmark = pytest.mark.browser
EN = catalogue("en")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triage")


@pytest.fixture(scope="module")
def list_of_pairs(place: Path) -> Path:
    return triage_app.manifest(place / "set")


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Server]:
    """The app with an empty home; each test makes a run of its own beside it."""
    with serve(FUSION_HOME=str(place / "home")) as started:
        yield started


@pytest.fixture
def store(place: Path, list_of_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A run in a folder of its own, known to the server."""
    monkeypatch.setenv("FUSION_HOME", str(place / "home"))
    return triage_app.made(list_of_pairs, tmp_path / "run")


def token(store: Store) -> str:
    from fusion.triage.known import Run
    from pages.parts.triage_run import token as named

    return named(Run(store.folder, store.meta, store.count, True))


def opened(page: Page, server: Server, store: Store, **query: str) -> None:
    """The page of a run, ready for keys."""
    more = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{server.url}/triage?lang=en&queue={token(store)}{more}")
    widget(page, "triage_mismatch").locator("button").first.wait_for()
    settled(page)


def shown(page: Page) -> str:
    """The pair that is looked at, as the page's heading of it says."""
    return widget(page, "card_pair").locator("strong").first.inner_text()


def press(page: Page, key: str, then: str) -> None:
    """A key, and the pair that is to come."""
    page.keyboard.press(key)
    expect(widget(page, "card_pair").locator("strong").first).to_have_text(then, timeout=60_000)


def test_verdicts_by_keyboard_stay_after_a_reload(server: Server, page: Page, store: Store) -> None:
    ids = store.page(limit=6)["id"].tolist()
    opened(page, server, store, who="Ada")
    assert shown(page) == ids[0]
    press(page, "1", ids[1])
    press(page, "2", ids[2])
    press(page, "3", ids[3])
    press(page, "4", ids[4])
    press(page, "k", ids[3])
    press(page, "j", ids[4])
    press(page, "u", ids[3])
    book = Verdicts.open(store.folder)
    assert book.now() == {id: {"Ada": v} for id, v in zip(ids, ("keep", "mismatch", "fix"), strict=False)}
    page.reload()
    widget(page, "triage_mismatch").locator("button").first.wait_for()
    settled(page)
    assert shown(page) == ids[3], "the address says where one was"
    assert EN["queue.progress"].format(done=3, count=150) in page.inner_text('[data-testid="stMain"]')
    press(page, "2", ids[4])
    assert book.now()[ids[3]] == {"Ada": "mismatch"}


def test_keys_are_letters_while_a_note_is_typed(server: Server, page: Page, store: Store) -> None:
    first = store.page(limit=1)["id"].iloc[0]
    opened(page, server, store, who="Ada")
    box = page.locator('[class*="st-key-triage_note_"] input')
    box.click()
    page.keyboard.type("12 jku")
    page.keyboard.press("Enter")
    settled(page)
    assert box.input_value() == "12 jku"
    assert shown(page) == first
    assert Verdicts.open(store.folder).now() == {}


@pytest.mark.parametrize("key", ["Enter", "Escape"])
def test_a_note_lets_go_of_the_keys(server: Server, page: Page, store: Store, key: str) -> None:
    one, two = store.page(limit=2)["id"].tolist()
    opened(page, server, store, who="Ada")
    page.locator('[class*="st-key-triage_note_"] input').click()
    page.keyboard.type("a note")
    page.keyboard.press(key)
    page.wait_for_function("() => document.activeElement.tagName !== 'INPUT'")
    press(page, "2", two)
    assert [(e.verdict, e.note) for e in Verdicts.open(store.folder).of(one)] == [("mismatch", "a note")]


def test_enter_presses_what_has_the_focus_and_inspects_without_one(server: Server, page: Page, store: Store) -> None:
    meta = json.loads((store.folder / "meta.json").read_text("utf-8"))
    (store.folder / "meta.json").write_text(json.dumps(meta | {"checkpoint": "maf-gloss"}), "utf-8")
    ids = store.page(limit=3)["id"].tolist()
    opened(page, server, store, who="Ada")
    expect(widget(page, "triage_inspect").locator("button").first).to_be_enabled()
    widget(page, "triage_mismatch").locator("button").first.focus()
    press(page, "Enter", ids[1])
    assert Verdicts.open(store.folder).now() == {ids[0]: {"Ada": "mismatch"}}
    widget(page, "triage_on").locator("button").first.focus()
    press(page, "Enter", ids[2])
    page.wait_for_timeout(1500)
    assert "/triage" in page.url
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Enter")
    page.wait_for_url("**/inspect**")


def test_keys_that_come_before_their_pair_wait_for_it(server: Server, page: Page, store: Store) -> None:
    ids = store.page(limit=11)["id"].tolist()
    opened(page, server, store, who="Ada")
    for key in "1212121212":
        page.keyboard.press(key)
    expect(widget(page, "card_pair").locator("strong").first).to_have_text(ids[10], timeout=120_000)
    expected = {id: {"Ada": "mismatch" if n % 2 else "keep"} for n, id in enumerate(ids[:10])}
    assert Verdicts.open(store.folder).now() == expected
    assert len(Verdicts.open(store.folder).history()) == 10, "each once"


def test_a_browser_remembers_a_name_that_was_typed(server: Server, page: Page, store: Store) -> None:
    one, two = store.page(limit=2)["id"].tolist()
    opened(page, server, store)
    box = widget(page, "triage_who").locator("input")
    box.fill("Zoë")
    box.press("Tab")
    page.wait_for_function("() => document.cookie.includes('fusionscope_who=Zo')")
    assert "who=" not in page.url
    page.reload()
    widget(page, "triage_mismatch").locator("button").first.wait_for()
    settled(page)
    assert widget(page, "triage_who").locator("input").input_value() == "Zoë"
    page.evaluate("() => document.activeElement.blur()")
    press(page, "2", two)
    assert Verdicts.open(store.folder).now() == {one: {"Zoë": "mismatch"}}


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_two_reviewers_in_two_browsers_lose_nothing(
    server: Server, chrome: Browser, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(place / "home"))
    store = triage_app.made(triage_app.manifest(tmp_path / "set", count + 10), tmp_path / "run")
    watch, pages = Watch(), []
    for name in ("Ada", "Bo"):
        context = chrome.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
        context.set_default_timeout(180_000)
        pages.append(watch.over(context.new_page()))
        opened(pages[-1], server, store, who=name, show="all")
    for number in range(count):  # in turn, each before the other's page has answered
        before = [shown(page) for page in pages]
        for page, keys in zip(pages, ("12", "11"), strict=True):
            page.bring_to_front()
            page.keyboard.press(keys[number % 2])
        for page, id in zip(pages, before, strict=True):
            expect(widget(page, "card_pair").locator("strong").first).not_to_have_text(id, timeout=60_000)
    said = Verdicts.open(store.folder).now()
    assert sum(len(opinions) for opinions in said.values()) == 2 * count
    ids = store.page(limit=count)["id"].tolist()
    assert said == {id: {"Ada": "mismatch" if n % 2 else "keep", "Bo": "keep"} for n, id in enumerate(ids)}
    opened(pages[0], server, store, who="Ada", show="all", status="disagreement")
    assert EN["queue.differ"].format(told="Bo: keep") in pages[0].inner_text('[data-testid="stMain"]')
    for page in pages:
        page.context.close()
    assert not watch.errors, watch.errors


def test_verdicts_go_out_and_come_in_elsewhere(
    server: Server, page: Page, store: Store, list_of_pairs: Path, tmp_path: Path
) -> None:
    ids = store.page(limit=2)["id"].tolist()
    book = Verdicts.open(store.folder, "Ada")
    book.put(ids[0], "mismatch", "=1+1")
    opened(page, server, store)
    page.goto(f"{server.url}/triage?lang=en&queue={token(store)}&tab=files")
    widget(page, "triage_verdicts_csv").wait_for()
    settled(page)
    with page.expect_download() as got:
        widget(page, "triage_verdicts_csv").locator("button").first.click()
    verdicts = tmp_path / "verdicts.csv"
    got.value.save_as(verdicts)
    assert ids[0] in verdicts.read_text("utf-8-sig")
    assert "'=1+1" in verdicts.read_text("utf-8-sig"), "a spreadsheet would run it"
    with page.expect_download() as got:
        widget(page, "triage_cleaned_csv").locator("button").first.click()
    cleaned = tmp_path / "cleaned.csv"
    got.value.save_as(cleaned)
    rows = cleaned.read_text("utf-8-sig").splitlines()
    assert len(rows) == triage_app.COUNT
    assert not any(row.startswith(f"{ids[0]},") for row in rows)
    assert rows[1].split(",")[1] == "0.png", "paths as in the list that it lies beside"
    left = {path.suffix for path in list_of_pairs.parent.iterdir()}
    assert left == {".csv", ".png"}
    assert len(list(list_of_pairs.parent.iterdir())) == triage_app.COUNT + 1
    other = triage_app.made(list_of_pairs, tmp_path / "elsewhere")
    page.goto(f"{server.url}/triage?lang=en&queue={token(other)}&tab=files")
    page.locator('[class*="st-key-triage_file_"]').wait_for()
    settled(page)
    drop(page, "triage_file_0", verdicts)
    widget(page, "triage_load").locator("button").first.click()
    page.get_by_text(EN["queue.files.loaded"].format(count=1)).first.wait_for()
    assert Verdicts.open(other.folder).now() == book.now()
