"""Every page opens in both languages, with and without a checkpoint, and says in a sentence what a user can fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, words
from fusion.data import gallery, open_data
from fusion.models.maf import MAF, Config

ROOT = Path(__file__).resolve().parent.parent
FILES = {"home": "app.py"} | {path.stem: f"pages/{path.name}" for path in sorted((ROOT / "pages").glob("*.py"))}
NAME = "tiny"
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one checkpoint: a small MAF with random weights on the bundled encoders."""
    torch.manual_seed(11)
    config = Config(
        text_width=384, shape_width=10, image_width=1280, pooled_width=384, max_length=64, heads=4, inner_width=48,
        cm_padding="masked",
    )  # fmt: skip
    root = tmp_path_factory.mktemp("checkpoints")
    checkpoints.save(
        root / NAME, MAF(config).eval(), encoders={"text": "minilm+shape", "image": "efficientnet-lite0"},
        data="gloss", metrics={}, card="# tiny\n\nRandom weights.\n", origin={},
    )  # fmt: skip
    return root


@pytest.fixture
def app(tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """Opens a page as a link would: app(page, **query). At the end nothing may have broken behind a guard."""
    monkeypatch.setattr(checkpoints, "roots", lambda: [tiny])

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        for name, value in query.items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))  # AppTest asks boxes for their labels in this thread
        if page != "home":
            at.switch_page(FILES[page])
        return at.run()

    yield opened
    words.use("en")
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


@pytest.fixture
def no_checkpoint(app: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Open:
    """The same app on a machine without a checkpoint."""
    monkeypatch.setattr(checkpoints, "roots", lambda: [tmp_path])
    return app


def said(at: AppTest) -> str:
    """Everything that a page says in words."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "error", "warning", "info", "success")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(at, kind))


def plain(text: str) -> str:
    """What a reader sees of Markdown that was escaped."""
    return re.sub(r"\\(.)", r"\1", text)


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values)


@pytest.mark.parametrize("language", list(words.LANGUAGES))
@pytest.mark.parametrize("page", list(FILES))
def test_a_page_opens_with_its_own_heading(app: Open, page: str, language: str) -> None:
    at = app(page, lang=language)
    assert not at.exception
    assert [title.value for title in at.title] == [told(f"{page}.title", language)]
    assert not at.error


@pytest.mark.parametrize("page", list(FILES))
def test_without_a_checkpoint_a_page_says_so_and_lives(no_checkpoint: Open, page: str) -> None:
    at = no_checkpoint(page, lang="en")
    assert not at.exception
    assert not at.error
    assert [title.value for title in at.title] == [told(f"{page}.title")]
    assert "checkpoint" in said(at).lower()


@pytest.mark.parametrize("page", ["inspect", "map", "match"])
def test_an_unknown_checkpoint_in_a_link_is_a_sentence_with_a_way_out(app: Open, page: str) -> None:
    at = app(page, lang="en", ckpt="no-such-thing", story="fits")
    assert not at.exception
    assert any("no-such-thing" in plain(error.value) for error in at.error)
    at.button[[NAME in button.label for button in at.button].index(True)].click().run()
    assert not at.error
    assert at.session_state["view"]["ckpt"] == NAME


@pytest.mark.parametrize("query", [{"id": "no-such-id"}, {"story": "no-such-story"}])
def test_an_unknown_sample_in_a_link_is_a_sentence(app: Open, query: dict[str, str]) -> None:
    at = app("inspect", lang="en", **query)
    assert not at.exception
    assert any(next(iter(query.values())) in plain(error.value) for error in at.error)


@pytest.mark.parametrize("page", ["inspect", "map", "match"])
def test_data_that_cannot_be_opened_is_a_sentence_with_a_way_out(app: Open, page: str) -> None:
    at = app(page, lang="en", data="/no/such/folder")
    assert not at.exception
    assert any("/no/such/folder" in plain(error.value) for error in at.error)
    assert any(told("data.gloss") in button.label for button in at.button)


def test_text_in_a_link_is_never_read_as_markup(app: Open) -> None:
    at = app("inspect", lang="en", story="fits", text="<img src=x onerror=alert(1)> ![x](http://example.org/x.png)")
    assert not at.exception
    assert not at.error
    shown = said(at) + "".join(str(element.proto) for element in at.get("html"))
    assert "<img" not in shown
    assert "](http://example.org" not in shown


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_a_story_is_inspected_with_every_tab(app: Open, language: str) -> None:
    from pages.parts.inspection import TABS

    at = app("inspect", lang=language, story="fits")
    assert not at.exception
    assert gallery.stories()[0].text in [area.value for area in at.text_area]
    assert len(at.metric) == 5
    for tab in TABS:
        at.session_state["inspect_tabs"] = told(f"inspect.tab.{tab}", language)
        at.run()
        assert not at.exception, tab
        assert not at.error, tab
        assert at.get("plotly_chart"), tab


def test_every_figure_has_a_text_alternative_and_its_numbers(app: Open) -> None:
    at = app("inspect", lang="en", story="fits")
    charts = at.get("plotly_chart")
    assert charts
    assert len(at.toggle) >= len(charts)
    assert all(chart.proto.alt for chart in charts)


def test_a_sample_of_the_data_set_opens_by_its_id(app: Open) -> None:
    sample = open_data("gloss").samples[5]
    at = app("inspect", lang="en", data="gloss", id=sample.id)
    assert not at.error
    assert sample.text() in [area.value for area in at.text_area]


def test_a_text_that_is_typed_is_inspected_at_once(app: Open) -> None:
    at = app("inspect", lang="en", story="fits")
    at.text_area[0].set_value("Anna met the mayor of Paris.").run()
    assert not at.exception
    assert not at.error
    assert "Paris" in "".join(str(pill.proto) for pill in at.get("button_group"))


@pytest.mark.parametrize(
    "text",
    ["", " ", "\u0000", "\ud800", "😀 👩‍👩‍👧", "مرحبا بالعالم", "一只猫坐在窗边看外面的鸟。", "word " * 20_000],
    ids=["empty", "space", "NUL", "lone surrogate", "emoji", "right to left", "Chinese", "100,000 characters"],
)
def test_no_text_breaks_the_page(app: Open, text: str) -> None:
    at = app("inspect", lang="en", story="fits")
    if text != "\ud800":  # no browser sends one; a link can't carry one either
        at.text_area[0].set_value(text).run()
    assert not at.exception
    assert not at.error
    if text.startswith("一"):
        assert any("unknown to the text encoder" in plain(box.value) for box in at.warning)
    if len(text) > 1000:
        assert any("The text was cut" in plain(box.value) for box in at.info)


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_a_missing_picture_is_told_once(app: Open, language: str) -> None:
    at = app("inspect", lang=language, story="fits")
    at.button(key="remove_picture").click().run()
    assert not at.error
    for tab in ("overview", "attention", "space", "drop"):
        at.session_state["inspect_tabs"] = told(f"inspect.tab.{tab}", language)
        at.session_state["view"]["layer"] = "region_attention"
        at.run()
        assert not at.exception, tab
        text = plain(said(at))
        assert text.count(told("notice.no_image", language)) == 1, tab
        assert text.count(told("views.none.image", language)) == (tab == "attention"), tab


def test_choosing_a_language_goes_to_the_address(app: Open) -> None:
    at = app("inspect", lang="en", story="fits")
    at.session_state["view"]["lang"] = "zh"
    at.query_params["lang"] = "zh"
    at.run()
    assert at.title[0].value == told("inspect.title", "zh")
    assert gallery.stories()[0].text in [area.value for area in at.text_area]  # nothing is lost


def test_what_breaks_is_told_with_an_id_and_the_rest_lives(
    app: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from fusion.views import match

    def breaks(*args: object, **choice: object) -> None:
        raise RuntimeError("nobody foresaw this")

    monkeypatch.setattr(match, "hills", breaks)
    breaks.__module__, breaks.__name__ = "broken", "hills"
    at = app("inspect", lang="en", story="fits")
    assert not at.exception
    assert len(at.error) == 1
    assert "nobody foresaw" not in at.error[0].value
    assert len(at.get("plotly_chart")) >= 1
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 1
    assert re.search(r"[0-9a-f]{6}", at.error[0].value)[0] in logged[0].getMessage()
    caplog.clear()


def test_what_reruns_alone_speaks_the_language_of_the_page() -> None:
    # AppTest reruns the whole page instead, and a real fragment reruns in a thread that never saw `boot`.
    parts = [path for path in (ROOT / "pages").rglob("*.py") if path.name != "chrome.py"]
    assert not [path.name for path in parts if "st.fragment" in path.read_text("utf-8")], "use chrome.fragment"


@pytest.mark.parametrize("page", ["inspect", "map", "match"])
def test_a_page_of_pairs_offers_no_graphs_and_refuses_them_in_a_sentence(app: Open, page: str) -> None:
    at = app(page, data="emoji")
    refused = [error.value for error in at.error if "two graphs to align" in error.value]
    assert len(refused) == 1
    assert "gloss or gallery" in refused[0]
    at.button(key="use_gloss").click().run()
    assert not at.error
    assert at.radio(key="pick_data").options == [words.t("data.gloss"), words.t("data.gallery")]


def test_the_data_tab_offers_no_graphs(app: Open) -> None:
    at = app("checkpoints", tab="data")
    assert at.segmented_control(key="data_choice").options == [words.t("data.gloss"), words.t("data.gallery")]
