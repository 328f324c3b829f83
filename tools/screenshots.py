"""Takes every page with real content, for whoever reviews a change: [PAGES="inspect map"] make screenshots.

Each page in English and Chinese, light and dark, 1280 and 390 px wide, whole length, into screenshots/ (ignored by
git): screenshots/<page>.<language>.<theme>.<width>.png. The theme is the browser's own preference, as for a user.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as BrowserError

from tests.browser.chromium import Watch, browser, chromium, settled
from tests.browser.server import ROOT, serve

LANGUAGES = ("en", "zh")
THEMES = ("light", "dark")
WIDTHS = (1280, 390)
TALLEST = 14_000  # px; Chromium draws nothing beyond about 16,000
# What to open so that a page has content; pages that need nothing are not named.
CONTENT = {"inspect": "story=turkey", "match": "", "map": ""}


def pages() -> list[str]:
    """Names of all pages as in their addresses, "home" first."""
    return ["home", *sorted(path.stem for path in (ROOT / "pages").glob("*.py"))]


def address(page: str, language: str) -> str:
    """Path and query of a page with content."""
    query = "&".join(part for part in (CONTENT.get(page, ""), f"lang={language}") if part)
    return f"/{'' if page == 'home' else page}?{query}"


def grow(page: Page) -> None:
    """Make the window as tall as the page: Streamlit scrolls an inner box, which a full-page picture would cut."""
    for _ in range(3):  # a taller window can unfold more
        height = page.evaluate(
            "() => Math.max(...['stMain', 'stSidebarContent'].map("
            "id => document.querySelector(`[data-testid=${id}]`)?.scrollHeight ?? 0))"
        )
        size = page.viewport_size
        assert size is not None
        wanted = min(max(height, size["height"]), TALLEST)
        if wanted == size["height"]:
            return
        page.set_viewport_size({"width": size["width"], "height": wanted})
        settled(page)


def take(chrome: Browser, url: str, path: Path, theme: str, width: int) -> list[str]:
    """One picture. -> what went wrong: errors in the console, requests to other machines, sideways scroll"""
    watch = Watch()
    phone = width < 600
    context = chrome.new_context(
        viewport={"width": width, "height": 844 if phone else 900},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
        is_mobile=phone,
        has_touch=phone,
    )
    try:
        page = watch.over(context.new_page())
        page.goto(url)
        settled(page, 120)
        grow(page)
        page.screenshot(path=path)
        inner = page.evaluate(
            "() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth; }"
        )
        wide = [f"scrolls sideways: {inner} px in {width}"] if inner > width else []
        return [*watch.errors, *(f"asked {url}" for url in watch.outside), *wide]
    except BrowserError as error:
        page.screenshot(path=path)
        return [f"not ready: {str(error).splitlines()[0]}"]
    finally:
        context.close()


def main() -> int:
    """Take what was asked for. -> 0, or 1 when a page had errors"""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"some of: {' '.join(pages())}")
    parser.add_argument("--out", type=Path, default=ROOT / "screenshots")
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--themes", nargs="+", choices=THEMES, default=THEMES)
    parser.add_argument("--widths", nargs="+", type=int, default=WIDTHS)
    asked = parser.parse_args()
    unknown = set(asked.pages) - set(pages())
    if unknown:
        parser.error(f"there is no page {', '.join(sorted(unknown))}; there are {', '.join(pages())}")
    if chromium() is None:
        parser.error("there is no Chromium here; install chromium, or name one in FUSION_CHROMIUM")
    asked.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with serve() as server, browser() as chrome:
        combinations = itertools.product(asked.pages or pages(), asked.languages, asked.themes, asked.widths)
        for name, language, theme, width in combinations:
            path = asked.out / f"{name}.{language}.{theme}.{width}.png"
            started = time.monotonic()
            problems = take(chrome, server.url + address(name, language), path, theme, width)
            wrong += bool(problems)
            said = "; ".join(problems) or "ok"
            print(f"{path.relative_to(asked.out)}  {time.monotonic() - started:.1f} s  {said}")
        if "Traceback" in server.said():
            wrong += 1
            print(server.said(), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
