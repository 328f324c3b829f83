"""What a person waits for, in a real headless Chromium (drawing in software) on the same machine as the server.

Cold: from the start of the server's process to the heading of Home on screen, in a browser that never saw the app.
Warm: from a click in the sidebar to the other page's heading; and from opening an address that this browser has opened
before, in a new tab, to its heading, beside the same for a Streamlit script of one line. Drop: from the file's
arrival in the page to the last change of any picture on the Inspect page, with a sentence there already and each file
new to the server. Edit: from the click that adds noise of a new size to the words, on the tab What if, to the last
change of a picture there.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from benchmarks.measuring import REPEATS, Row, at_most, spread
from benchmarks.throughput import make
from fusion import checkpoints
from fusion.words import catalogue
from tests.browser.chromium import browser, settled
from tests.browser.server import ROOT, Server, serve

COLD, WARM, EDITS = 3, 7, 8  # edits: the slider has room for twelve, and begins at the fourth
SENTENCE = "Anna Novak took this photograph in Lisbon last summer."
QUIET = 1500  # ms without a change of any picture after which the last one counts as drawn

# Notes when the file came and when any drawing last changed.
WATCH = """() => {
    window.fusionDropped = 0; window.fusionDrawn = 0; window.fusionChanges = 0;
    document.addEventListener('change', event => {
        if (event.target.type === 'file') { window.fusionDropped = performance.now(); window.fusionChanges = 0; }
    }, true);
    document.addEventListener('click', event => {
        if (event.target.closest?.('.st-key-bench_apply')) {
            window.fusionDropped = performance.now(); window.fusionChanges = 0;
        }
    }, true);
    const drawing = node => node.closest?.('.js-plotly-plot, [data-testid="stImage"], [data-testid="stMarkdown"] img');
    new MutationObserver(list => {
        for (const change of list) {
            const at = change.target.nodeType === 1 ? change.target : change.target.parentElement;
            const own = at && drawing(at);
            const inside = [...change.addedNodes].some(n => n.nodeType === 1 && n.querySelector?.('.main-svg'));
            if (own || inside) { window.fusionDrawn = performance.now(); window.fusionChanges += 1; break; }
        }
    }).observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
}"""
DONE = """quiet => window.fusionDropped > 0 && window.fusionChanges > 0
    && performance.now() - window.fusionDrawn > quiet
    && document.querySelector('[data-testid="stApp"]').getAttribute('data-test-script-state') === 'notRunning'"""


def measure(checkpoint: str) -> list[Row]:
    """Start servers and drive them. Raises FusionError without the checkpoint."""
    name = checkpoints.find(checkpoint).name
    with browser() as chrome:
        rows = [cold(chrome)]
        with serve() as server:
            rows += turned(chrome, server, name)
            rows += warm(chrome, server, name)
            rows += dropped(chrome, server, name)
            rows += edited(chrome, server, name)
    return rows


def cold(chrome: Browser) -> Row:
    """A server that starts, and a browser that asks as soon as it answers."""
    seconds = []
    for _ in range(COLD):
        page = chrome.new_page()
        started = time.perf_counter()
        with serve() as server:
            page.goto(server.url, wait_until="commit")
            page.locator("h1").first.wait_for(timeout=120_000)
            seconds.append(time.perf_counter() - started)
        page.close()
    middle = sorted(seconds)[len(seconds) // 2]
    return at_most("heading on screen after a cold start", middle, "s", 5, n=COLD, spread=spread(seconds, 2))


def turned(chrome: Browser, server: Server, checkpoint: str) -> list[Row]:
    """Every page from Home and back, by the links of the sidebar, after one round."""
    titles = {path.stem: catalogue("en")[f"{path.stem}.title"] for path in sorted((ROOT / "pages").glob("*.py"))}
    titles = {"": catalogue("en")["home.title"], **titles}
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{server.url}/?ckpt={checkpoint}&lang=en")
    settled(page, 240)
    links = page.locator('[data-testid="stSidebar"] a[data-testid="stPageLink-NavLink"]')
    at = {urlsplit(links.nth(i).get_attribute("href") or "").path.strip("/"): i for i in range(links.count())}
    seconds: dict[str, list[float]] = {name: [] for name in titles}
    for turn in range(WARM + 1):
        for name in [one for other in titles if other for one in (other, "")]:
            started = time.perf_counter()
            links.nth(at[name]).click()
            page.locator("h1", has_text=titles[name]).first.wait_for(timeout=120_000)
            if turn:
                seconds[name].append(time.perf_counter() - started)
            settled(page, 240)
    page.close()
    return [
        at_most(
            f"heading of {name or 'home'}, from the sidebar", sorted(taken)[len(taken) // 2], "s", 0.6, n=len(taken),
            spread=spread(taken, 2),
        )
        for name, taken in seconds.items()
    ]  # fmt: skip


def warm(chrome: Browser, server: Server, checkpoint: str) -> list[Row]:
    """Every page by its address, in a new tab of one browser profile each time, after one visit."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="fusion-bench-bare-") as folder:
        script = Path(folder) / "bare.py"
        script.write_text('import streamlit as st\n\nst.title("One line")\n', encoding="utf-8")
        with serve(app=script) as bare:
            profile = chrome.new_context(viewport={"width": 1280, "height": 900})
            taken = _opened(profile, bare.url)
            rows.append(Row("heading of a Streamlit script of one line", _middle(taken), "s", n=WARM))
            profile.close()
    profile = chrome.new_context(viewport={"width": 1280, "height": 900})
    pages = ["", *sorted(path.stem for path in (ROOT / "pages").glob("*.py"))]
    query = {"inspect": "&story=turkey"}
    for name in pages:
        taken = _opened(profile, f"{server.url}/{name}?ckpt={checkpoint}{query.get(name, '')}")
        words = f"heading of {name or 'home'}, by its address"
        rows.append(at_most(words, _middle(taken), "s", 0.6, n=WARM, spread=spread(taken, 2)))
    profile.close()
    return rows


def _opened(profile: BrowserContext, url: str) -> list[float]:
    """Seconds to the heading in a new tab, the first time left out."""
    seconds = []
    for _ in range(WARM + 1):
        page = profile.new_page()
        started = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.locator("h1").first.wait_for(timeout=120_000)
        seconds.append(time.perf_counter() - started)
        settled(page, 240)
        page.close()
    return seconds[1:]


def _middle(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def dropped(chrome: Browser, server: Server, checkpoint: str) -> list[Row]:
    """Drop different files one after the other."""
    with tempfile.TemporaryDirectory(prefix="fusion-bench-drops-") as folder:
        make(Path(folder), REPEATS + 3)
        files = sorted(Path(folder).glob("*.jpg"))
        page = chrome.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{server.url}/inspect?ckpt={checkpoint}&lang=en")
        settled(page, 240)
        page.locator(".st-key-source button").first.click()
        settled(page)
        page.locator(".st-key-sentence textarea").fill(SENTENCE)
        page.locator(".st-key-sentence textarea").press("Control+Enter")
        settled(page, 240)
        page.evaluate(WATCH)
        taken = [drop(page, file) for file in files][3:]
        page.close()
    middle = sorted(taken)[len(taken) // 2] * 1000
    return [at_most("drop to last picture, warm", middle, "ms", 500, n=len(taken), spread=spread(taken, 0, 1000))]


def drop(page: Page, file: Path) -> float:
    """Seconds from the file's arrival to the last change of a picture."""
    page.evaluate("() => { window.fusionDropped = 0; window.fusionChanges = 0; }")
    page.locator(".st-key-drop_image input[type=file]").set_input_files(str(file))
    page.wait_for_function(DONE, arg=QUIET, timeout=120_000, polling=100)
    return float(page.evaluate("() => (window.fusionDrawn - window.fusionDropped) / 1000"))


def edited(chrome: Browser, server: Server, checkpoint: str) -> list[Row]:
    """Edit a sample again and again, each time as it was not edited before."""
    page = chrome.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{server.url}/inspect?ckpt={checkpoint}&story=fits&tab=drop&lang=en")
    settled(page, 240)
    pick(page, "bench_how", catalogue("en")["edits.how.noise"])
    page.evaluate(WATCH)
    slider = page.locator(".st-key-bench_noise").get_by_role("slider")
    taken = []
    for _ in range(EDITS):
        slider.press("ArrowRight")
        settled(page)
        page.evaluate("() => { window.fusionDropped = 0; window.fusionChanges = 0; }")
        page.locator(".st-key-bench_apply button").click()
        page.wait_for_function(DONE, arg=QUIET, timeout=120_000, polling=100)
        taken.append(float(page.evaluate("() => (window.fusionDrawn - window.fusionDropped) / 1000")))
    page.close()
    taken = taken[2:]
    middle = sorted(taken)[len(taken) // 2] * 1000
    return [at_most("edit to last picture, warm", middle, "ms", 400, n=len(taken), spread=spread(taken, 0, 1000))]


def pick(page: Page, key: str, label: str) -> None:
    """Choose in a box."""
    page.locator(f".st-key-{key} input").click()
    page.get_by_role("option", name=label, exact=True).click()
    settled(page)
