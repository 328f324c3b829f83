"""A report is one page of a sample or of a whole set: all that was asked for is in it, and nothing in it runs."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import pandas as pd
import pytest

from fusion import checkpoints, words
from fusion.__main__ import main
from fusion.data import open_data
from fusion.report.made import BYTES, write_page
from fusion.types import Sample, Text
from fusion.views import draw_all, page, still
from fusion.views.page import Page
from tests.test_export import Reader
from tests.traces import Compared, made

HOSTILE = "<script>window.ran=1</script></script>\"'<img src=x onerror=window.ran=1> ${1} ]]> & Messi"
SAMPLES = {
    "pairs": ["--checkpoint=maf-gloss", "--data=gallery", "--id=coffee-fits", "--edit=image:paint:3+4"],
    "entities": ["--checkpoint=meaformer-emoji", "--id=en-0101"],
    "links": ["--checkpoint=imf-keywords", "--id=k-2581", "--relation=hasKeyword", "--against=k-0899"],
    "streams": ["--checkpoint=late-groups", "--id=v1fa98", "--edit=text:remove"],
}
SETS = {
    "pairs": ["gloss", "--checkpoint=maf-gloss"], "entities": ["--checkpoint=mclea-emoji"],
    "links": ["--checkpoint=imf-keywords"], "streams": ["--checkpoint=tate-groups"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _english() -> None:
    words.use("en")


def _png(path: Path) -> Path:
    """A red picture of 8 x 8 pixels."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    rows = zlib.compress(b"".join(b"\x00" + b"\xff\x00\x00" * 8 for _ in range(8)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
    )  # fmt: skip
    return path


@pytest.fixture
def without_chrome(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUSION_CHROMIUM", str(tmp_path / "nowhere"))


def _hostile_page() -> Page:
    sample, trace = made(("</script>", "<b>x</b>", HOSTILE), layers=1)
    table = pd.DataFrame({HOSTILE: [HOSTILE, 2], "n": [1234.5, float("nan")]})
    photographs = (
        ('data:image/png;base64,AA" onerror="window.ran=1', "bad"),
        ("data:image/webp;base64,AAAA", HOSTILE),
    )
    return Page(
        HOSTILE, HOSTILE, HOSTILE, photographs, ((HOSTILE, HOSTILE, HOSTILE),), (HOSTILE,), {HOSTILE: HOSTILE},
        draw_all(trace, sample, Compared()), ((HOSTILE, table),), {HOSTILE: {HOSTILE: HOSTILE}},
    )  # fmt: skip


def test_nothing_hostile_becomes_markup() -> None:
    shown = _hostile_page()
    fake = {name: still.Still(svg="<svg></svg>") for name in shown.pictures}
    text = page.html_page(shown, "en", fake)
    elements = Reader(text).elements
    assert not [tag for tag, _ in elements if tag == "script"], "still pictures need no script"
    assert "script-src" not in text
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert [a["src"] for tag, a in elements if tag == "img"] == ["data:image/webp;base64,AAAA"]
    assert "<script>" not in page.html_page(shown, "en").replace("<script>", "", 2)  # Plotly, and our own


def test_a_page_lists_its_contents_and_each_is_there() -> None:
    shown = _hostile_page()
    elements = Reader(page.html_page(shown, "zh", {n: still.Still(svg="<svg></svg>") for n in shown.pictures})).elements
    jumps = [str(a["href"]) for tag, a in elements if tag == "a"]
    places = {a["id"] for _, a in elements if "id" in a}
    assert len(jumps) == len(shown.sections) + 2  # a table, and how the page was made
    assert {jump[1:] for jump in jumps} <= places


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_page_of_a_sample_says_what_it_is_of(
    kind: str, tmp_path: Path, without_chrome: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "one.html"
    assert main(["report", *SAMPLES[kind], f"--out={out}", "--json"]) == 0
    told, text = json.loads(capsys.readouterr().out), out.read_text("utf-8")
    found = checkpoints.find(SAMPLES[kind][0].partition("=")[2])
    assert told["still"] is False
    assert told["bytes"] == out.stat().st_size < 9e6
    assert told["pictures"] == text.count("data-figure=") > 5
    assert text.count("plotly.js v") == 1
    reader = Reader(text)
    said = " ".join(reader.said)
    data = open_data("gallery" if kind == "pairs" else found.data)
    for value in (found.digest, data.digest, found.name, *found.config, "torch", "numpy", "python"):
        assert value in said
    assert sum(tag == "img" for tag, _ in reader.elements) >= 1, "the photograph of the sample"
    assert sum(tag == "table" for tag, _ in reader.elements) > 5
    assert ("text:remove" in said) == (kind == "streams")
    assert ("image:paint:3+4" in said) == (kind == "pairs")


@pytest.mark.parametrize("kind", SETS)
def test_a_page_of_a_set_is_made_for_every_kind(
    kind: str, tmp_path: Path, without_chrome: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all.html"
    assert main(["report", *SETS[kind], f"--out={out}", "--json", "--lang=zh"]) == 0
    told, text = json.loads(capsys.readouterr().out), out.read_text("utf-8")
    assert told["pictures"] >= 4
    assert "整个数据集" in text
    assert '<html lang="zh">' in text
    assert len(re.findall("<tr>", text)) > 50, "the samples to look at first"


def test_what_a_report_cannot_be_of_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"--out={tmp_path / 'x.html'}"
    for line, sentence in (
        (["emoji", "--checkpoint=maf-gloss"], "emoji"), (["gloss", "--checkpoint=mclea-emoji"], "gloss"),
        (["--checkpoint=maf-gloss", "--id=nobody"], "no sample"),
        (["--checkpoint=maf-gloss", "--edit=text:remove"], "--edit"),
        (["--checkpoint=mclea-emoji", "--id=en-0101", "--edit=image:remove"], "--edit"),
        (["--checkpoint=late-groups", "--relation=r", "--id=v1fa98"], "--relation"),
    ):  # fmt: skip
        assert main(["report", *line, out]) == 2
        assert sentence.lower() in capsys.readouterr().err.lower()
    assert main(["report", "--checkpoint=maf-gloss", f"--out={tmp_path}"]) == 2
    assert "folder" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


@pytest.mark.browser
@pytest.mark.parametrize("interactive", [False, True])
def test_a_browser_without_a_network_shows_all_and_runs_nothing_hostile(
    interactive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.browser.chromium import chromium

    monkeypatch.setenv("FUSION_CHROMIUM", str(chromium()))
    picture = _png(tmp_path / "\"><script>window.ran=1<script>'.png")
    out = tmp_path / "one.html"
    asked = ["report", f"--text={HOSTILE}", f"--image={picture}", "--checkpoint=maf-gloss", f"--out={out}", "--json"]
    assert main([*asked, *(["--interactive"] if interactive else [])]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] < (9e6 if interactive else BYTES)
    found = _opened(out, "dark")
    assert found["errors"] == []
    assert found["requests"] == []
    assert found["ran"] is False
    assert found["broken"] == 0
    assert found["drawn"] == told["pictures"] > 10
    assert found["wide"] <= 0, "nothing sideways on a phone"
    assert HOSTILE in found["said"]
    assert found["ink"] == "rgb(250, 250, 250)"


@pytest.mark.browser
@pytest.mark.parametrize("kind", [k if k == "streams" else pytest.param(k, marks=pytest.mark.slow) for k in SETS])
def test_a_set_stands_still_in_a_small_file(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.browser.chromium import chromium

    monkeypatch.setenv("FUSION_CHROMIUM", str(chromium()))
    out = tmp_path / "all.html"
    assert main(["report", *SETS[kind], f"--out={out}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["still"] is True
    assert told["bytes"] < BYTES
    found = _opened(out, "light")
    assert (found["errors"], found["requests"], found["broken"]) == ([], [], 0)
    assert found["drawn"] == told["pictures"]
    assert found["wide"] <= 0
    assert "<script" not in out.read_text("utf-8")


def _opened(path: Path, scheme: str) -> dict:
    """What Chromium sees of a page with its network off, on a phone."""
    from playwright.sync_api import sync_playwright

    from tests.browser.chromium import chromium

    errors: list[str] = []
    requests: list[str] = []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(chromium()), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(offline=True, viewport={"width": 390, "height": 800}, color_scheme=scheme)
        tab = context.new_page()
        tab.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda asked: requests.append(asked.url))
        tab.goto(path.as_uri())
        tab.wait_for_timeout(1500)
        found = tab.evaluate(
            """() => ({
              ran: 'ran' in window,
              broken: [...document.images].filter(i => !(i.complete && i.naturalWidth)).length,
              drawn: document.querySelectorAll('.still > svg, .still img, .plot .main-svg:first-of-type').length,
              wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
              said: document.querySelector('blockquote')?.textContent ?? '',
              ink: getComputedStyle(document.body).color,
            })"""
        )
        browser.close()
    own = path.as_uri()
    return found | {
        "errors": errors,
        "requests": [one for one in requests if one != own and not one.startswith(("data:", "blob:"))],
    }


def test_a_page_that_would_be_large_shows_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(still, "stills", lambda pictures: {})
    long = pd.DataFrame({"text": ["x" * 2_000] * 400})
    size, absent = write_page(tmp_path / "x.html", Page("x", tables=tuple((str(i), long) for i in range(10))))
    assert absent == ""
    assert 1e6 < size < BYTES
    assert (tmp_path / "x.html").read_text("utf-8").count("Showing 100 of 400") == 10


def test_a_still_picture_keeps_its_words_and_loses_its_links() -> None:
    text = (
        '<?xml version="1.0"?><svg width="10" height="20"><a href="javascript:x()" target="_top"><text '
        'style="font-family: system-ui; font-size: 12px; fill: rgb(0, 0, 55); fill-opacity: 1; opacity: 1;">'
        'opacity: 1; style="font-family: b;"</text></a></svg>'
    )
    assert still._inline(text) == (
        '<svg viewBox="0 0 10 20" width="10" height="20"><text style="font-size: 12px; fill: var(--ink);">'
        'opacity: 1; style="font-family: b;"</text></svg>'
    )


def test_a_sample_of_ones_own_needs_no_data_set(tmp_path: Path, without_chrome: None) -> None:
    sample = Sample("own", {"text": Text("Messi runs")})
    _, trace = made(("Messi", "runs"), layers=1)
    size, absent = write_page(tmp_path / "own.html", Page("one", sections=draw_all(trace, sample)))
    assert size == (tmp_path / "own.html").stat().st_size
    assert "Chrome" in absent
