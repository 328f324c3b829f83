"""The demo says only what the checkpoints say, shows it without them, and speaks plainly in both languages."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fusion import words
from fusion.files import ASSETS
from fusion.report import stories
from pages.parts import demo

ROOT = Path(__file__).resolve().parent.parent
JARGON = (
    r"\b(head|logit|gate|embedding|attention|token|softmax|entropy|modalit\w+|encoder|vector|checkpoint|Shapley)s?\b"
)
STORED = json.loads(demo.STORED.read_text("utf-8"))["stories"]

# The app in a process of its own, where no checkpoint may be opened or listed.
ALONE = """
import sys
def refuse(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and "checkpoints" in str(arguments[0]).split("/"):
        raise PermissionError(f"nothing of {arguments[0]} may be read")
sys.addaudithook(refuse)
from streamlit.testing.v1 import AppTest
at = AppTest.from_file(sys.argv[2], default_timeout=60)
at.query_params["mode"], at.query_params["lang"] = "demo", sys.argv[1]
at.run()
assert not at.exception, at.exception
assert not at.error, at.error
assert not at.title, "Home is not drawn below it"
heavy = {"torch", "transformers", "safetensors"} & set(sys.modules)
assert not heavy, heavy
print("fine")
"""


@pytest.fixture(autouse=True)
def _english():
    yield words.use("en")
    words.use("en")


def test_what_is_stored_is_what_the_checkpoints_say_today() -> None:
    assert stories.check() == []


def test_differences_are_told_by_their_place() -> None:
    assert stories.differences({"a": [1.0, "x"]}, {"a": [1.00005, "x"]}) == []
    assert stories.differences({"a": [1.0, "x"]}, {"a": [1.001, "x"]}) == ["/a/0: 1.0 is 1.001"]
    assert stories.differences({"a": 1}, {"b": 1})
    assert stories.differences([1], [1, 2])
    assert stories.differences("x", "y") == [": x is y"]


def test_the_words_of_the_stories_are_true_of_the_numbers() -> None:
    truck, kangaroo, sloth, frown = (STORED[name] for name in ("truck", "kangaroo", "sloth", "frown"))
    assert truck["with"]["names"] == []  # no name is marked with the picture
    assert [(name, kind) for name, kind, _ in truck["without"]["names"]] == [("truck", "LOC")]  # a place without it
    before, after, wrong = (demo._at(truck[name]) for name in ("without", "with", "wrong"))
    assert before > 0.6
    assert after < 0.1
    assert abs(wrong - before) < 0.01  # the wrong picture changes almost nothing
    assert truck["with"]["match"] > 0.9
    assert truck["wrong"]["match"] < 0.05  # it is noticed
    scores = [row["match"] for row in kangaroo["pictures"]]
    assert scores[0] == max(scores)
    assert sorted(scores)[-2] > 0.9  # and one other picture fools it
    assert kangaroo["pictures"][2]["image"].endswith("1f36a.png")  # the biscuit
    assert (sloth["place"], sloth["alone"]["image"]) == (1, 1)
    assert min(sloth["alone"]["name"], sloth["alone"]["graph"], sloth["without_image"]) > 10
    said = {name: one["said"] for name, one in frown["answers"].items()}
    assert said == {"text": demo.FEELING} | dict.fromkeys(("audio", "image", "text+audio", "all"), demo.PERSON)
    assert frown["truth"] == demo.PERSON
    assert frown["answers"]["text+audio"]["truth"] < 0.7 < 0.95 < frown["answers"]["all"]["truth"]
    from fusion.data import open_data

    for name, told in (("gloss", truck), ("gloss", kangaroo), ("emoji-groups", frown)):
        assert open_data(name).get(told["id"]).split == "test"  # the models have not seen them


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen_has_its_words_and_pictures(language: str) -> None:
    words.use(language)
    deck = demo.deck(STORED)
    screens = deck["screens"]
    assert len(screens) == 15
    assert [screens[at]["story"] for at in deck["starts"]] == ["truck", "wrong", "sloth", "frown"]
    for screen in screens:
        assert screen["line"]
        assert "{" not in screen["line"] + screen["note"]
        for one in (*screen.get("images", ()), *(row for row in screen.get("bars", ()) if "src" in row)):
            assert deck["pictures"][one["src"]].startswith("data:image/png;base64,")
        for row in (*screen.get("bars", ()), *screen.get("words", ())):
            assert 0 <= row.get("value", 0) <= 1
        if "looks" in screen:
            assert len(screen["looks"]) == len(screen["words"])
    told = json.dumps([{k: v for k, v in one.items() if k != "images"} for one in screens], ensure_ascii=False)
    if language == "en":
        assert not re.search(JARGON, told.replace('"story"', ""), re.IGNORECASE)
    else:
        assert all(re.search(r"[\u4e00-\u9fff]", screen["line"]) for screen in screens)
    bars = {row["text"] for screen in screens for row in screen.get("bars", ())}
    for value in ("65", "9", "17"):
        assert any(re.fullmatch(rf"{value}\s?%", text) for text in bars)


def test_the_demo_is_small() -> None:
    assert demo.STORED.stat().st_size < 100_000
    assert len(json.dumps(demo.deck(STORED))) < 1_000_000
    assert demo.STORED.is_relative_to(ASSETS)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_demo_opens_without_torch_and_without_reading_a_checkpoint(language: str, tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(ALONE, encoding="utf-8")
    place = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script), language, str(ROOT / "app.py")], cwd=ROOT, capture_output=True, text=True,
        env=place | {"FUSION_HOME": str(tmp_path / "home")}, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("fine")
