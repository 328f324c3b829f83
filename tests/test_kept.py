"""What the app remembers: links open no path that nobody opened before, views come back by their links, a tour once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest
from streamlit.testing.v1 import AppTest

from fusion import kept, words
from fusion.data import gallery

ROOT = Path(__file__).resolve().parent.parent
Open = Callable[..., AppTest]


@pytest.fixture
def app(
    fusion_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> Iterator[Open]:
    """Opens a page as a link would, on a machine where nothing was done before; nothing may break behind a guard."""
    monkeypatch.delenv("FUSION_DATA_ROOTS", raising=False)

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        for name, value in ({"lang": "en"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))  # AppTest asks boxes for their labels in this thread
        if page != "home":
            at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    words.use("en")
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of pairs somewhere on this machine."""
    path = tmp_path / "secret" / "pairs.csv"
    path.parent.mkdir()
    PIL.Image.new("RGB", (8, 8), "red").save(path.with_name("red.png"))
    rows = "".join(f"r{i},red.png,a text number {i}\n" for i in range(6))
    path.write_text("id,image,text\n" + rows, encoding="utf-8")
    return path


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values)


def said(at: AppTest) -> str:
    kinds = ("title", "header", "markdown", "caption", "error", "warning", "info", "success", "text_area")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(at, kind)).replace("\\", "")


def links(at: AppTest) -> list[tuple[str, str]]:
    """(page, query) of every link on the page."""
    return [(one.proto.page, one.proto.query_string) for one in at.main.get("page_link")]


@pytest.mark.parametrize("page", ["inspect", "map", "match", "checkpoints"])
def test_a_link_opens_no_path_that_nobody_opened(app: Open, table: Path, page: str) -> None:
    at = app(page, data=str(table), tab="data")
    assert [told("error.data", path=str(table))] == [error.value.replace("\\", "") for error in at.error]
    assert "a text number" not in said(at)
    assert any(told("data.gloss") in button.label for button in at.button)


def test_a_link_does_not_tell_what_is_there(app: Open, table: Path) -> None:
    paths = (table, table.with_name("absent.csv"))
    errors = [app("map", data=str(path)).error[0].value.replace("\\", "").replace(path.name, "") for path in paths]
    assert errors[0] == errors[1]


def test_opening_by_hand_lets_links_open_it_from_then_on(app: Open, table: Path) -> None:
    at = app("checkpoints", data=str(table), tab="data")
    assert at.text_input(key="open_data_path").value == str(table)  # a person decides; the path is already there
    at.button[[told("checkpoints.open.do") == button.label for button in at.button].index(True)].click().run()
    assert not at.error
    assert kept.allowed(str(table))
    again = app("inspect", data=str(table), id="r3")
    assert not again.error
    assert "a text number 3" in said(again)
    assert not kept.allowed(str(table.with_name("other.csv")))
    assert not kept.allowed(str(table.parent))
    kept.allow(f"dbp15k:{table.parent}")
    assert kept.allowed(f"dbp15k:{table.parent}/../{table.parent.name}")
    assert not kept.allowed(f"dbp15k:{table.parent.parent}")


def test_a_link_opens_no_folder_as_a_checkpoint_before_a_person_did(app: Open, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shutil.copytree(ROOT / "assets" / "checkpoints" / "maf-gloss", away)
    errors = []
    for path in (away, tmp_path / "gone"):
        at = app("checkpoints", ckpt=str(path))
        errors.append(at.error[0].value.replace("\\", "").replace(str(path), ""))
        assert told("error.folder") in errors[-1]
    assert errors[0] == errors[1]
    at.text_input(key="open_path").set_value(str(away))
    at.button[[told("checkpoints.open.do") == button.label for button in at.button].index(True)].click().run()
    assert not app("checkpoints", ckpt=str(away)).error


def test_roots_of_the_server_let_links_open_what_lies_below(
    app: Open, table: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    monkeypatch.setenv("FUSION_DATA_ROOTS", f"/no/such/folder:{tmp_path / 'root'}")
    (tmp_path / "root" / "link.csv").symlink_to(table)
    for way_out in (str(table), f"{tmp_path}/root/../secret/pairs.csv", f"{tmp_path}/root/link.csv", "\0", "~nobody/x"):
        assert not kept.allowed(way_out), way_out
    monkeypatch.setenv("FUSION_DATA_ROOTS", f"/no/such/folder:{table.parent}")
    assert kept.allowed(str(table))
    assert not app("inspect", data=str(table), id="r1").error


def test_home_brings_back_what_was_opened(app: Open) -> None:
    assert told("home.recent.none") in said(app("home"))
    app("inspect", story="fits")
    sample = gallery.load()[1]
    app("inspect", id=sample.id, text="something else altogether")
    at = app("home")
    assert told("home.recent.none") not in said(at)
    found = [query for page, query in links(at) if "text=something" in query]
    assert len(found) == 1
    assert f"id={sample.id}" in found[0]
    labels = [one.proto.label.replace("\\", "") for one in at.main.get("page_link")]
    assert any("something else altogether" in label for label in labels)
    assert any(gallery.stories()[0].text[:40] in label for label in labels)


def test_the_last_five_are_kept_and_each_once(fusion_home: Path) -> None:
    for number in (1, 2, 3, 4, 5, 6, 3):
        kept.remember(kept.Opened("inspect", {"id": str(number)}, f"text {number}"))
    assert [one.query["id"] for one in kept.recent()] == ["3", "6", "5", "4", "2"]


@pytest.mark.parametrize("content", ["", "{", "null", "[1, {}]", '[{"page": 1}]', '{"a": 1}', "[" * 100_000])
def test_a_broken_file_is_an_empty_one(fusion_home: Path, content: str) -> None:
    (fusion_home / "kept" / "selections").mkdir(parents=True)
    for name in ("recent", "data", "seen", "selections/0123abcd"):
        (fusion_home / "kept" / f"{name}.json").write_text(content, encoding="utf-8")
    assert kept.recent() == []
    assert not kept.allowed("/etc")
    assert not kept.seen("tour")
    assert kept.selection("0123abcd") is None
    kept.allow("/etc")
    assert kept.allowed("/etc")


def test_a_selection_comes_back_by_its_link(app: Open) -> None:
    ids = [sample.id for sample in gallery.load()[:3]]
    name = kept.select("gallery", ids)
    at = app("map", data="gallery", sel=name)
    assert at.session_state["selection"].ids == tuple(ids)
    assert kept.selection(name) == ("gallery", tuple(ids))
    lost = app("map", data="gallery", sel="00000000")
    assert told("error.selection") in [box.value for box in lost.warning]
    assert kept.selection("../recent") is None


def test_only_fifty_selections_are_kept(fusion_home: Path) -> None:
    names = [kept.select("gallery", [str(i)]) for i in range(kept.SELECTIONS + 5)]
    assert len(list((fusion_home / "kept" / "selections").glob("*.json"))) == kept.SELECTIONS
    assert kept.selection(names[-1]) == ("gallery", (str(kept.SELECTIONS + 4),))


def test_what_is_kept_is_readable_by_its_owner_alone(fusion_home: Path) -> None:
    kept.remember(kept.Opened("inspect", {"id": "1"}, "a private sentence"))
    path = fusion_home / "kept" / "recent.json"
    assert json.loads(path.read_text(encoding="utf-8"))[0]["told"] == "a private sentence"
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_the_tour_is_shown_once_and_walks_its_steps(app: Open, language: str) -> None:
    from pages.parts.tour import STEPS

    at = app("home", lang=language)
    for step in STEPS:
        assert told(f"tour.{step}.tell", language) in [one.value for one in at.markdown]
        if step != STEPS[-1]:
            at.button(key="tour_next").click().run()
            assert not at.exception
    at.button(key="tour_end").click().run()
    assert told(f"tour.{STEPS[-1]}.tell", language) not in [one.value for one in at.markdown]
    again = app("home", lang=language)
    assert told(f"tour.{STEPS[0]}.tell", language) not in [one.value for one in again.markdown]
    again.button(key="tour_again").click().run()
    assert told(f"tour.{STEPS[0]}.tell", language) in [one.value for one in again.markdown]
