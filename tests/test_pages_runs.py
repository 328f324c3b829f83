"""The Runs page: every run with its state in words, what to do about a failed one, curves, the form as a command."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fusion import histories, jobs, words
from pages.parts import runs, runs_told
from pages.parts.runs_told import about
from tests.opening import opening
from tests.test_pages_streams_sets import said, told


@pytest.fixture
def app(fusion_home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AppTest]]:
    with opening("runs", caplog) as at:
        yield at


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, object]]]:
    """What was asked to be started, instead of starting it."""
    found: list[tuple[list[str], dict[str, object]]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key, **more: found.append((arguments, {"key": key, **more})))
    return found


def job(key: str, *arguments: str, state: str = "done", log: str = "", **notes: str) -> Path:
    """A run that has ended, as its process would have left it."""
    folder = jobs.enter(arguments, key)
    if log:
        (folder / "log").write_text(log, encoding="utf-8")
    before = os.environ.get(jobs.VARIABLE)
    os.environ[jobs.VARIABLE] = str(folder)
    try:
        for name, value in notes.items():
            jobs.note(name, value)
    finally:
        os.environ.pop(jobs.VARIABLE)
        if before is not None:
            os.environ[jobs.VARIABLE] = before
    if state:
        jobs.leave(folder, state)
    return folder


def trained(title: str, epochs: int) -> None:
    for epoch in range(1, epochs + 1):
        folder = jobs.home() / "runs" / title
        histories.add(folder, "fusion", epoch, {"l1": 1 / epoch}, {"score": epoch / 10}, best=True)


def test_without_runs_a_button_begins(app, started) -> None:
    at = app()
    assert told("runs.none") in said(at).replace("*", "")
    at.button(key="runs_first").click().run()
    assert started[0][0] == list(runs.BUNDLED)
    assert started[0][1]["queue"] is True


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_every_run_is_a_row_with_its_state_in_words(app, language: str) -> None:
    job("a", "train", "late", "--data", "emoji-groups", "--name", "own", device="cpu")
    job("b", "observe", "gloss", "--checkpoint", "x/maf-gloss", state="stopped")
    job("c", "train", "maf", state="failed", log="There is no such data; choose another.")
    at = app(lang=language)
    frame = at.dataframe[0].value
    assert frame["title"].tolist() == ["maf", "gloss · maf-gloss", "own"]
    assert frame["state"].tolist() == [told(f"runs.state.{s}", language) for s in ("failed", "stopped", "done")]
    assert frame["kind"].tolist()[1:] == [told(f"runs.kind.{k}", language) for k in ("observe", "train")]
    assert frame["device"].tolist() == ["–", "–", "CPU"]
    assert not at.error or "no such data" in at.error[0].value


def test_a_failed_run_says_why_and_goes_on_from_its_folder(app, started) -> None:
    log = "first line\nThere is no such data; choose it."
    folder = job("c", "train", "maf", "--seed", "3", state="failed", log=log)
    at = app(run="c")
    assert "There is no such data" in at.error[0].value
    assert told("runs.fix.said") in said(at)
    assert "first line" in at.code[0].value
    at.button(key="run_resume").click().run()
    assert started == [(["train", "maf", "--seed", "3", "--resume"], {"key": "c", "where": str(Path.cwd())})]
    assert folder.exists()


def test_a_crash_and_a_kill_are_told_apart() -> None:
    def one(message: str) -> str:
        return runs_told.advice(jobs.JobStatus("k", "failed", 0, 0, None, message, 1.0))

    assert one("KeyError: 'left'") == told("runs.fix.broke")
    assert one("torch.OutOfMemoryError: no") == told("runs.fix.broke")
    assert one(jobs.KILLED) == told("runs.fix.killed")
    assert one("There is no file; name one.") == told("runs.fix.said")


def test_a_run_shows_its_curves_over_those_of_another(app) -> None:
    job("a", "train", "late", run="one")
    trained("one", 4)
    trained("two", 6)
    at = app(run="a")
    assert at.selectbox(key="runs_beside").options == ["two"]
    assert "0.4, at epoch 4" in said(at).replace("\\", "")
    at.selectbox(key="runs_beside").select("two").run()
    assert "0.6, at epoch 6" in said(at).replace("\\", "")
    again = app(run="a", beside="two")
    assert "0.6, at epoch 6" in said(again).replace("\\", "")


def test_a_run_in_the_address_that_is_gone_shows_the_last_one(app) -> None:
    job("a", "observe", "gloss", "--json")
    at = app(run="nobody")
    assert "gloss" in said(at)
    assert [one.value for one in at.warning] == [told("runs.unknown")]
    at.button(key="run_forget").click().run()
    assert jobs.listed() == []


def test_ended_runs_leave_the_list_and_come_back(app) -> None:
    for key, state in (("a", "done"), ("b", "failed"), ("c", "stopped")):
        folder = job(key, "observe", "gloss", "--json", state=state)
    at = app()
    assert not [one for one in at.button if one.key == "runs_back"]
    at.button(key="runs_clear").click().run()
    assert jobs.listed() == []
    assert told("runs.emptied") in said(at)
    assert folder.exists(), "what was printed stays"
    again = app()
    assert again.button(key="runs_back").label == told("runs.back", count=3)
    again.button(key="runs_back").click().run()
    assert {one.key for one in jobs.listed()} == {"a", "b", "c"}
    again.button(key="run_forget").click().run()
    assert len(again.dataframe[0].value) == 2
    assert again.button(key="runs_back").label == told("runs.back", count=1)


def test_a_year_of_runs_comes_in_pages_with_what_runs_first(app, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PAGE", 3)
    for number in range(7):
        folder = job(f"k{number}", "train", "late", "--name", f"n{number}", state="" if number == 2 else "done")
        about = json.loads((folder / "status.json").read_text("utf-8"))
        (folder / "status.json").write_text(json.dumps(about | {"time": about["time"] + number}), "utf-8")
    at = app()
    assert at.dataframe[0].value["title"].tolist() == ["n2", "n6", "n5"]
    at.button(key="on_runs").click().run()
    assert at.dataframe[0].value["title"].tolist() == ["n4", "n3", "n1"]
    assert app(run="k0").dataframe[0].value["title"].tolist() == ["n0"], "a link opens the page of its run"
    at.button(key="runs_clear").click().run()
    assert [one.key for one in jobs.listed()] == ["k2"]
    assert at.dataframe[0].value["title"].tolist() == ["n2"]


def test_the_form_is_a_command_line(app, started) -> None:
    at = app(tab="start")
    at.selectbox(key="start_system").select("late").run()
    at.text_input(key="start_name").input("mine").run()
    at.number_input(key="start_seeds").set_value(2).run()
    at.number_input(key="start_epochs").set_value(5).run()
    at.multiselect(key="start_settings_late").select("missing").select("width").select("hide_rate").run()
    at.number_input(key="start_late_width").set_value(32).run()
    at.button(key="start_go").click().run()
    assert not at.exception
    arguments = started[0][0]
    assert arguments[:4] == ["train", "late", "--data", "emoji-groups"]
    assert about(arguments).options["name"] == "mine"
    assert about(arguments).options["seeds"] == "2"
    assert about(arguments).options["epochs"] == "5"
    assert [arguments[i + 1] for i, one in enumerate(arguments) if one == "--set"] == [
        "missing=token", "width=32", "hide_rate=0.3",
    ]  # fmt: skip


def test_every_system_has_a_form(app) -> None:
    from fusion.models import MODELS

    at = app(tab="start")
    for system in MODELS:
        at.selectbox(key="start_system").select(system).run()
        assert not at.exception
        assert not at.error
        assert len(at.multiselect(key=f"start_settings_{system}").options) > 5


def test_a_name_that_is_none_is_refused(app, started) -> None:
    at = app(tab="start")
    at.text_input(key="start_name").input("../up").run()
    at.button(key="start_go").click().run()
    assert "can’t name a checkpoint" in at.error[0].value.replace("\\", "")
    assert started == []


def test_a_name_that_a_running_training_will_take_is_refused(app, started) -> None:
    job("twin", "train", "late", "--data", "emoji-groups", "--name", "twin", state="")
    at = app(lang="en", tab="start")
    at.text_input(key="start_name").input("twin").run()
    at.button(key="start_go").click().run()
    assert any("twin" in one.value for one in at.error)
    assert not started
    at.text_input(key="start_name").input("single").run()
    at.button(key="start_go").click().run()
    assert len(started) == 1


def test_a_run_that_measures_after_its_last_step_says_so(app) -> None:
    folder = job("a", "train", "late", state="")
    for done in (1, 10):
        line = {"time": time.time() - 10 + done, "done": done, "total": 10, "message": "training"}
        with (folder / "progress.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
    at = app(lang="en")
    shown = [one.value for one in at.markdown]
    assert told("runs.jobs.count", count="1", running=1) in shown  # and not "the next one is done in 0 s"
    assert told("runs.ending") in at.get("progress")[0].proto.text
