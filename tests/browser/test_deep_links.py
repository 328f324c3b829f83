"""Every page opens by its own address on a server that nobody has visited, in both languages, silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from fusion.words import LANGUAGES, catalogue
from tests.browser.chromium import settled
from tests.browser.server import ROOT, Server

pytestmark = pytest.mark.browser
PAGES = ["home", *sorted(path.stem for path in Path(ROOT / "pages").glob("*.py"))]


def address(page: str) -> str:
    return "/" if page == "home" else f"/{page}"


def heading(page: Page) -> str:
    """The page's own heading, waited for."""
    settled(page)
    return page.locator("h1").first.inner_text().strip()


@pytest.mark.parametrize("name", PAGES)
def test_a_link_to_a_page_works_on_a_fresh_server(fresh_server: Server, page: Page, name: str) -> None:
    page.goto(fresh_server.url + address(name))
    assert heading(page) == catalogue("en")[f"{name}.title"]
    links = page.locator('[data-testid="stSidebar"] a').count()
    assert links >= len(PAGES), "the sidebar does not link every page"
    assert "Traceback" not in fresh_server.said(), fresh_server.said()


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_speaks_the_language_of_its_address(server: Server, page: Page, name: str, language: str) -> None:
    page.goto(f"{server.url}{address(name)}?lang={language}")
    assert heading(page) == catalogue(language)[f"{name}.title"]


def test_a_browser_in_chinese_is_spoken_to_in_chinese(server: Server, page: Page) -> None:
    assert page.context.browser is not None
    context = page.context.browser.new_context(locale="zh-CN")
    chinese = context.new_page()
    chinese.goto(server.url)
    assert heading(chinese) == catalogue("zh")["home.title"]
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_is_the_browsers_choice(server: Server, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(server.url)
    settled(page)
    colour = page.evaluate("() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert colour == {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}[scheme]
