"""`inspect` for a sample of streams: JSON, words and a report, edits and parts of one's own, and what is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from fusion import checkpoints, data, report
from fusion.__main__ import main
from fusion.commands.streams import observe_streams
from fusion.explain import edits
from fusion.explain.edits import Edit
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from fusion.types import FusionError
from tests.test_streams_training import planted

SETTINGS = {"width": "16", "epochs": "3", "rate": "0.01"}
MODALITIES = ("text", "audio", "vision")


@pytest.fixture(scope="module", params=["classes", "score"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    data = planted(classes=("low", "high") if request.param == "classes" else ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(runs, "open_data", lambda spec: data)
        made = runs.train("late", "planted", say=lambda _: None, settings=dict(SETTINGS))
    return Reader.open(made, data)


def test_edits_are_written_as_they_are_read() -> None:
    made = (Edit("audio", "drop", 0.25, 3), Edit("text", "remove"), Edit("vision", "shuffle", seed=2))
    assert edits.write(made) == "audio:drop:0.25:3,text:remove,vision:shuffle:2"
    assert edits.read(edits.write(made), MODALITIES) == made
    assert edits.read("audio=drop:0.5", MODALITIES) == (Edit("audio", "drop", 0.5),)
    assert edits.read("", MODALITIES) == ()
    assert edits.read(edits.write([Edit("text", how) for how in ("zero",)]), MODALITIES) == (Edit("text", "zero"),)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("smell:remove", "edit one of them"), ("audio", "is no edit"), ("audio:burn", "is no edit"),
        ("audio:drop:much", "no number"), ("audio:drop:1.5", "outside 0 to 1"), ("audio:remove:1", "is no edit"),
        ("audio:remove,audio:zero", "twice"), ("audio:shuffle:-1", "seed below 0"),
        ("audio:drop:nan", "outside 0 to 1"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_edit_is_a_sentence(line: str, sentence: str) -> None:
    with pytest.raises(FusionError, match=sentence):
        edits.read(line, MODALITIES)


def test_observing_a_set_tells_its_figure_and_its_badges(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(data, "open_data", lambda spec: reader.dataset)
    options = argparse.Namespace(data="planted", json=True, bundled=False)
    assert observe_streams(options, reader.checkpoint) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    frame = whole(reader).frame
    held = frame[(frame["split"] == "test") & frame["loss"].notna()]
    figure, column = ("accuracy", "right") if reader.model.classes else ("mae", "error")
    assert found[figure] == pytest.approx(float(held[column].astype(float).mean()), abs=1e-6)
    assert (found["samples"], found["tested"]) == (len(frame), len(held))
    assert found["badges"] == frame["badge"].value_counts().to_dict()
    assert found["opposed"] == int(frame["opposed"].sum())
    options.json = False
    assert observe_streams(options, reader.checkpoint) == 0
    assert f"{figure} of the {len(held)} to test" in capsys.readouterr().out


def test_a_summary_is_json_with_the_numbers_of_the_observation(reader: Reader) -> None:
    id = reader.streams.ids[int(reader.streams.rows("test")[0])]
    seen = reader.inspect(id, [Edit("audio", "remove")])
    found = json.loads(json.dumps(report.stream_summary(reader, seen), allow_nan=False))
    assert found["edits"] == "audio:remove"
    assert found["modalities"] == {"text": True, "audio": False, "vision": True}
    assert set(found["alone"]) == {"text", "vision"}
    assert len(found["subsets"]) == 4
    assert found["shapley"] == pytest.approx(dict(seen.shapley))
    number = "chance" if seen.classes else "score"
    assert found["subsets"][0][number] == pytest.approx(seen.answer.strength, abs=1e-5)
    assert found["prediction"][number] == pytest.approx(seen.answer.strength)
    assert seen.before is not None
    assert found["before"][number] == pytest.approx(seen.before.strength)
    words = report.stream_in_words(found)
    assert "audio:remove" in words
    assert f"{id}" in words
    assert "lacks      audio" in words


def test_a_report_sets_before_beside_after(reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusion.views import export

    monkeypatch.setattr(export, "write_png", lambda folder, sections: "no browser")
    id = reader.streams.ids[int(reader.streams.rows("test")[0])]
    written, absent = report.write_stream(tmp_path, reader, reader.inspect(id, [Edit("text", "drop", 0.5)]))
    assert absent == "no browser"
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "· Before" in html
    assert "· After" in html
    assert "text:drop:0.5" in html
    assert "csv/subsets.csv" in written
    assert {f"csv/{s.name}_before.csv" for s in reader.inspect(id).trace if s.name != "drop"} <= set(written)
    plain, _ = report.write_stream(tmp_path / "plain", reader, reader.inspect(id))
    assert not any("_before" in name for name in plain)


def test_the_command_line_inspects_edits_and_refuses(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checkpoints, "find", lambda name: reader.checkpoint)
    monkeypatch.setattr(runs, "open_data", lambda spec: reader.dataset)
    id = reader.streams.ids[int(reader.streams.rows("test")[0])]
    asked = ["inspect", "--checkpoint", "x", "--json"]
    assert main([*asked, "--id", id, "--edit", "audio=drop:0.5"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["edits"] == "audio:drop:0.5"
    expected = reader.inspect(id, [Edit("audio", "drop", 0.5)]).answer
    assert found["prediction"]["said"] == expected.said
    for wrong, sentence in (
        ([], "Give one sample"), (["--id", id, "--text", "both"], "Give one sample"),
        (["--text", "good"], "no encoder for text"), (["--audio", "nowhere.wav"], "no file"),
        (["--id", id, "--edit", "audio=burn"], "is no edit"), (["--id", id, "--relation", "r"], "--relation"),
    ):  # fmt: skip
        assert main([*asked, *wrong]) == 2
        assert sentence in capsys.readouterr().err
