"""A report is one file that asks nobody for anything and hides nothing; CSV files hold every number."""

from __future__ import annotations

import html.parser
import os
import re

import numpy as np
import pandas as pd
import pytest

from fusion import words
from fusion.signals import Gate, Trace, Transitions
from fusion.types import Sample, Text
from fusion.views import draw_all, png
from fusion.views.export import file_name, html_report, write_csv, write_png
from tests.traces import Compared, made

GROUPS = ("<script>alert(1)</script>", "\ud800", "</script>", "Rosario")


class Reader(html.parser.HTMLParser):
    """What a page is made of: elements with their attributes, and the text outside scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.said.append(data)


@pytest.fixture(scope="module")
def report() -> tuple[str, list]:
    sample, trace = made(GROUPS, layers=1, features=33)
    words.use("en")
    sections = draw_all(trace, sample, Compared(), word=0)
    facts = {"Text": sample.text(), "Weights": "0" * 64}
    return html_report("One sample <b>", sections, facts, "en"), sections


def test_a_report_shows_every_picture_with_its_words_and_numbers(report):
    page, sections = report
    reader = Reader(page)
    pictures = [picture for _, made_ in sections for picture in made_]
    plots = [attributes for tag, attributes in reader.elements if tag == "div" and "data-figure" in attributes]
    assert len(plots) == len(pictures) > 10
    assert [plot["aria-label"] for plot in plots] == [picture.alt for picture in pictures]
    said = "".join(reader.said)
    for picture in pictures:
        for sentence in (picture.title, picture.finding, picture.shows, picture.hides):
            assert sentence in said
    tables = sum(tag == "table" for tag, _ in reader.elements)
    assert tables == sum(not picture.table.empty for picture in pictures)
    assert "One sample <b>" in said
    page.encode("utf-8")


def test_a_report_asks_for_nothing(report):
    page, _ = report
    assert "default-src 'none'" in page
    assert page.count("plotly.js v") == 1
    for _, attributes in Reader(page).elements:
        for name in ("src", "href", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")  # a jump within the page
    assert not re.search(r"url\(\s*['\"]?https?:", page)


def test_nothing_that_a_person_wrote_becomes_markup(report):
    page, _ = report
    scripts = [attributes for tag, attributes in Reader(page).elements if tag == "script"]
    figures = page.count('type="application/json"')
    assert len(scripts) == figures + 2  # Plotly, and our own
    assert "<script>alert" not in page


def test_a_report_speaks_the_language_asked_for_and_leaves_the_other_alone():
    sample, trace = made(layers=1)
    words.use("zh")
    sections = draw_all(trace, sample)
    words.use("en")
    page = html_report("报告", sections, {}, "zh")
    assert '<html lang="zh">' in page
    assert "显示数字" in page
    assert words.current() == "en"


def test_a_report_holds_no_webgl():
    from fusion.views import embedding

    points = np.random.default_rng(0).normal(size=(1_200, 2)).astype(np.float32)
    picture = embedding.scatter(points, ["text"] * 1_200, ["a"] * 1_200)
    assert picture.figure.data[0].type == "scattergl"
    page = html_report("map", [("map", [picture])], {}, "en")
    assert '"type":"scattergl"' not in page.rpartition("application/json")[2][:200_000]


def test_csv_files_hold_every_number_under_its_name(tmp_path):
    _, trace = made(("Messi", "runs"), pieces=(2, 1), heads=3, layers=1, features=33, grid=(2, 3))
    written = write_csv(tmp_path, trace)
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()}
    for signal in trace:
        for field, tensor in signal.tensors().items():
            name = signal.name if field == "value" else f"{signal.name}.{field}"
            frame = pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=True)
            numbers = tensor.float().numpy()
            across = numbers.shape[-1] if numbers.ndim > 1 else 1
            assert len(frame) * across == numbers.size
            own = frame.iloc[:, -across:].to_numpy(np.float32).reshape(numbers.shape)
            np.testing.assert_allclose(own, numbers, rtol=1e-6, atol=1e-7)
    attention = pd.read_csv(tmp_path / "region_attention.csv")
    assert list(attention.columns[:4]) == ["sample", "head", "query", "query_name"]
    assert attention.columns[4] == "1 row 1, column 1"
    assert list(attention["query_name"][:4]) == ["[CLS]", "Messi", "##e", "runs"]
    assert list(pd.read_csv(tmp_path / "drop.csv")["condition_name"])[1] == "without_text"
    assert list(pd.read_csv(tmp_path / "crf_transitions.csv").columns[2:]) == list(trace.first(Transitions).classes)


def test_csv_files_of_a_batch_name_the_sample(tmp_path):
    _, trace = made(layers=1)
    gate = trace.first(Gate)
    two = gate.map(lambda tensor: tensor.repeat(2, *[1] * (tensor.ndim - 1)))
    write_csv(tmp_path, Trace((two,), {}))
    frame = pd.read_csv(tmp_path / "gate.csv")
    assert sorted(set(frame["sample"])) == [1, 2]


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", "...", "gate", "注意力", "a b\x00"])
def test_names_of_files_stay_in_their_folder(name, tmp_path):
    path = tmp_path / f"{file_name(name)}.csv"
    assert path.resolve().parent == tmp_path.resolve()
    assert path.name.strip(".")


def test_without_a_browser_a_sentence_says_why_there_are_no_pngs(tmp_path, monkeypatch):
    monkeypatch.delenv("FUSION_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    words.use("en")
    said = write_png(tmp_path / "png", [])
    assert "no Chrome or Chromium" in said
    assert not (tmp_path / "png").exists()


def test_a_browser_that_fails_is_a_sentence_too(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_CHROMIUM", str(tmp_path / "nowhere"))
    sample = Sample("one", {"text": Text("Messi")})
    _, trace = made(("Messi",), layers=1)
    words.use("en")
    said = write_png(tmp_path / "png", draw_all(Trace((trace["match_score"],)), sample))
    assert "not be drawn" in said
    assert "1" in said


@pytest.mark.browser
def test_pngs_are_drawn_by_a_browser(tmp_path, monkeypatch):
    from tests.browser.chromium import chromium

    monkeypatch.setenv("FUSION_CHROMIUM", str(chromium()))
    sample, trace = made(("Messi", "runs"), layers=1)
    sections = draw_all(Trace((trace["match_score"], trace["gate"]), trace.steps), sample, Compared())
    assert write_png(tmp_path, sections) == ""
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["blocks-gate.png", "hills.png", "steps-gate.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.iterdir())
    assert png.browser() == os.environ["FUSION_CHROMIUM"]
