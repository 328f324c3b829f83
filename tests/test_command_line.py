"""The command line: one JSON value on standard output, exit status 2 and one sentence for what a user can put right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusion.__main__ import main
from fusion.files import ASSETS
from fusion.models import MODELS

COFFEE = str(ASSETS / "data" / "gallery" / "coffee.jpg")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_models_has_a_row_a_system(capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "models", "--json")
    assert [row["key"] for row in rows] == list(MODELS)
    assert all(row["paper"] and row["signals"] and row["tasks"] for row in rows)


def test_data_lists_the_bundled_sets(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["key"]: row for row in printed(capsys, "data", "--json")}
    assert rows["gloss"]["word"] == "silver"
    assert sum(rows["gloss"]["splits"].values()) == rows["gloss"]["samples"]


def test_inspect_tells_prediction_scores_and_every_signal(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "inspect", "--image", COFFEE, "--text", "A cup of coffee in Paris.", "--json")
    assert 0 <= told["match"]["score"] <= 1
    assert abs(sum(told["weights"].values()) - 1) < 1e-6
    shapes = {signal["name"]: signal["shapes"]["value"] for signal in told["signals"]}
    heads, words, regions = shapes["region_attention"][1:]
    assert (heads, regions) == (12, 49)
    assert shapes["gate"][1] == words == len(told["gates"]["steps"])
    drop = {row["condition"]: row for row in told["drop"]}
    assert drop["without_image"]["match"] == 0
    assert drop["as_is"]["match"] == pytest.approx(told["match"]["score"])


def test_inspect_without_an_image_has_no_score(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "inspect", "--text", "Anna lives in Paris.", "--json")
    assert told["match"]["score"] is None
    assert told["gates"]["mean"] is None
    assert told["notices"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect",),
        ("inspect", "--text", "x", "--checkpoint", "nowhere"),
        ("inspect", "--text", "x", "--image", "nowhere.jpg"),
        ("inspect", "--id", "nobody"),
        ("data", "nowhere.csv"),
        ("evaluate", "--split", "nowhere"),
        ("train", "nothing"),
        ("train", "maf", "--set", "nothing=1"),
    ],
)
def test_what_a_user_can_put_right_ends_with_2_and_one_sentence(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.strip()
    assert "Traceback" not in told.err


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"%PDF-1.7 not a picture")
    assert main(("inspect", "--text", "x", "--image", str(path))) == 2
    assert "picture.jpg" in capsys.readouterr().err
