"""Runs are remembered: those that wait for their turn, those typed in a terminal, and what training told by epoch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion import cleared, histories, jobs
from tests.test_jobs import VERB, until

ROOT = Path(__file__).resolve().parent.parent
TYPED = VERB + '\ncommands.VERBS["observe"] = ("count up", options, count)\n'


@pytest.fixture(autouse=True)
def _counting(fusion_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The verbs `count` and `observe` count up in every child, in an empty home; no child is left over."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(TYPED, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")
    monkeypatch.delenv(jobs.VARIABLE, raising=False)
    yield
    for child in jobs._CHILDREN.values():
        child.wait(30)
    jobs._CHILDREN.clear()


def ended(now: jobs.JobStatus) -> bool:
    return not now.alive


def typed(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fusion", "observe", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def listed(seconds: float = 30.0) -> jobs.JobStatus:
    """The one job there is, once it is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = jobs.listed()
        if found and found[0].done and found[0].alive:
            return found[0]
        time.sleep(0.05)
    raise AssertionError("no job came")


def test_queued_jobs_run_one_at_a_time() -> None:
    jobs.start(["count", "30", "--pause", "0.1"], "first", queue=True)
    until(lambda now: now.state == "running", "first")
    jobs.start(["count", "2"], "second", queue=True)
    time.sleep(0.5)
    assert [(one.key, one.state) for one in jobs.listed()] == [("second", "queued"), ("first", "running")]
    done = until(ended, "second")
    first = jobs.status("first")
    assert first is not None
    assert (first.state, done.state) == ("done", "done")
    assert done.seconds < first.seconds, "the time in the queue is not the job's own"


def test_a_job_that_waits_can_be_stopped() -> None:
    jobs.start(["count", "100", "--pause", "0.1"], "first", queue=True)
    until(lambda now: now.state == "running", "first")
    jobs.start(["count", "2"], "second", queue=True)
    until(lambda now: now.state == "queued", "second")
    time.sleep(1)  # until it listens
    jobs.stop("second")
    assert until(ended, "second").state == "stopped"
    jobs.stop("first")
    assert until(ended, "first").state == "stopped"


def test_what_is_typed_in_a_terminal_is_a_job() -> None:
    child = typed("4", "--pause", "0.3")
    now = listed()
    assert now.arguments == ("observe", "4", "--pause", "0.3")
    assert (now.state, now.total, now.where) == ("running", 4, str(Path.cwd()))
    output, _ = child.communicate(timeout=30)
    assert output.splitlines()[-1] == "at 4", "its results still go to the terminal"
    assert jobs.listed()[0].state == "done"


def test_what_was_typed_fails_and_stops_as_any_other() -> None:
    child = typed("1", "--fail", "sentence")
    assert "The picture is too large" in child.communicate(timeout=30)[1]
    now = jobs.listed()[0]
    assert (now.state, now.message) == ("failed", "The picture is too large; use a smaller one.")
    child = typed("1", "--fail", "crash")
    child.communicate(timeout=30)
    assert (jobs.listed()[0].state, "KeyError" in jobs.log(jobs.listed()[0].key)) == ("failed", True)
    child = typed("300", "--pause", "0.1")
    listed()
    key = jobs.listed()[0].key
    jobs.stop(key)
    child.communicate(timeout=30)
    assert child.returncode == jobs.STOPPED
    assert until(ended, key).state == "stopped"


def test_stopping_what_was_typed_leaves_others_of_its_group_alone() -> None:
    beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    child = typed("300", "--pause", "0.1")
    jobs.stop(listed().key)
    child.communicate(timeout=30)
    assert beside.poll() is None
    beside.send_signal(signal.SIGKILL)
    beside.wait()


def test_a_verb_that_is_short_is_no_job() -> None:
    done = subprocess.run([sys.executable, "-m", "fusion", "count", "1"], capture_output=True, check=True)
    assert done.stdout
    assert jobs.listed() == []


def test_a_job_that_ended_leaves_the_list_and_comes_back_and_no_other() -> None:
    jobs.start(["count", "100", "--pause", "0.1"], "goes on")
    until(lambda now: now.done > 0, "goes on")
    jobs.clear(["goes on", "never"])
    assert [one.key for one in jobs.listed()] == ["goes on"]
    assert cleared.last() == []
    jobs.stop("goes on")
    until(ended, "goes on")
    before = jobs.listed()
    jobs.clear(["goes on"])
    assert jobs.listed() == []
    assert jobs.status("goes on") is not None, "pages that started it still know how it ended"
    assert cleared.bring_back() == [jobs._folder("goes on").name]
    assert jobs.listed() == before
    jobs.clear(["goes on"])
    jobs.start(["count", "1"], "goes on")  # started again, it is on the list
    assert until(ended, "goes on").state == "done"
    assert [one.state for one in jobs.listed()] == ["done"]


def gone(key: str) -> Path:
    """A job that has ended."""
    folder = jobs.enter(["count", "1"], key)
    jobs.leave(folder, "done")
    return folder


def test_times_are_taken_back_one_by_one() -> None:
    for key in "abcd":
        gone(key)
    jobs.clear(["a"])
    jobs.clear([])
    jobs.clear(["b", "c"])
    assert [one.key for one in jobs.listed()] == ["d"]
    assert cleared.last() == ["b", "c"]
    assert cleared.bring_back() == ["b", "c"]
    assert {one.key for one in jobs.listed()} == {"b", "c", "d"}
    assert cleared.bring_back() == ["a"]
    assert cleared.bring_back() == []
    assert len(jobs.listed()) == 4


def test_after_a_month_a_row_goes_with_its_log_unless_it_was_started_again() -> None:
    old, again, new = gone("old"), gone("again"), gone("new")
    jobs.clear(["old", "again"])
    day = 86_400
    long_ago = time.time() - (cleared.DAYS + 1) * day
    cleared._write([one | {"time": long_ago} for one in cleared._read()])
    os.utime(old / "status.json", (long_ago - day, long_ago - day))
    assert {one.key for one in jobs.listed()} == {"again", "new"}
    jobs.clear(["new"])
    assert not old.exists()
    assert again.exists(), "it was started after it had been taken off"
    assert new.exists()
    assert cleared.last() == ["new"]
    assert [one.key for one in jobs.listed()] == ["again"]


def test_what_has_ended_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = gone("a")
    first = jobs.listed()
    asked: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_status", lambda path, told: asked.append(path))
        assert jobs.listed() == first
    assert asked == []
    (folder / "end.json").unlink()
    assert jobs.listed()[0].state == "running", "started again by this very process"


def test_notes_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs.note("run", "nobody's")
    folder = jobs.enter(["train", "late"], "own")
    monkeypatch.setenv(jobs.VARIABLE, str(folder))
    for value in ("one", "two", "one"):
        jobs.note("run", value)
    with (folder / "notes.jsonl").open("a") as stream:
        stream.write('{"run": "half')  # as it stands while another process writes
    assert jobs.listed()[0].notes == {"run": ("one", "two")}


def test_a_history_goes_on_and_begins_anew(fusion_home: Path) -> None:
    folder = fusion_home / "runs" / "late-x"
    for number in (1, 2):
        histories.add(folder, "teacher", number, {"l1": 1 / number}, {"score": number}, best=True)
    histories.add(folder, "fusion", 1, {"l1": 0.5, "extra": 2.0}, {"score": 0.1})
    histories.add(folder, "fusion", 1, {}, {"score": 0.2}, best=True)  # a resume tells the last epoch's scores again
    histories.add(folder, "fusion", 2, {}, {})
    found = histories.read("late-x")
    assert found["step"].tolist() == [1, 2, 3]
    assert found["stage"].tolist() == ["teacher", "teacher", "fusion"]
    assert found["loss l1"].tolist() == [1.0, 0.5, 0.5]
    assert found["score"].tolist() == [1, 2, 0.2]
    assert found["best"].tolist() == [True, True, True]
    assert found["loss extra"].isna().tolist() == [True, True, False]
    assert histories.titles() == ["late-x"]
    with (folder / histories.NAME).open("a") as stream:
        stream.write('{"stage": "fus')
    assert len(histories.read("late-x")) == 3
    histories.begin(folder)
    assert histories.read("late-x").empty
    assert histories.read("../late-x").empty
    assert histories.titles() == []
