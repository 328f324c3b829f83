"""What a person sees of a run in a browser: it moves without a reload, and a button stops what a terminal started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fusion import jobs
from fusion.words import catalogue
from tests.browser.chromium import settled
from tests.browser.hands import widget
from tests.browser.server import ROOT, Server, serve

pytestmark = pytest.mark.browser
EN = catalogue("en")
TRAINING = """
import sys, time
from fusion import histories, jobs, terminal
from fusion.files import home

def main():
    try:
        for n in range(1, 400):
            jobs.report(n, 400, "training")
            histories.add(home() / "runs" / "toy", "fusion", n, {"l1": 1 / n}, {"score": n / 400}, best=True)
            time.sleep(0.5)
    except KeyboardInterrupt:
        return jobs.STOPPED
    return 0

sys.exit(terminal.told(main, ["train", "late", "--name", "toy"]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "home"


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    """The app with an empty home."""
    with serve(FUSION_HOME=str(home)) as started:
        yield started


def test_what_a_terminal_started_moves_on_the_page_and_can_be_stopped_there(
    server: Server, page: Page, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(home))
    page.goto(f"{server.url}/runs?lang=en")
    page.get_by_role("button", name=EN["runs.none.train"]).wait_for()
    child = subprocess.Popen([sys.executable, "-c", TRAINING], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        stop = widget(page, "run_stop").locator("button").first  # it comes by itself
        stop.wait_for()
        told = widget(page, "card_run").get_by_text("of 400.").first
        told.wait_for()
        before = told.inner_text()
        expect(told).not_to_have_text(before, timeout=60_000)
        widget(page, "card_run_curve").wait_for()
        stop.click()
        widget(page, "run_resume").wait_for()
        assert child.wait(60) == jobs.STOPPED
    finally:
        child.kill()
        child.wait()
    settled(page)
    assert EN["runs.stopped"] in page.inner_text('[data-testid="stMain"]')
    now = jobs.listed()[0]
    assert (now.state, now.notes["run"]) == ("stopped", ("toy",))
    assert f"run={now.key}" in page.url
    page.reload()
    widget(page, "run_resume").wait_for()
    assert "toy" in widget(page, "card_run").inner_text()
