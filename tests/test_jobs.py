"""Long work runs in a process of its own: its progress, its end and its death are seen from its folder alone."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fusion import jobs
from fusion.processes import born
from fusion.types import FusionError

# Counting needs no torch, whose import would be most of what these tests take.
VERB = """
import sys, time, types

if "models" not in sys.orig_argv:
    sys.modules["torch"] = types.SimpleNamespace(Tensor=None)
from fusion import commands, jobs
from fusion.types import FusionError


def count(options):
    for step in range(options.steps + 1):
        jobs.report(step, options.steps, f"step {step}")
        print("at", step, flush=True)
        time.sleep(options.pause)
    if options.fail == "sentence":
        raise FusionError("The picture is too large; use a smaller one.")
    if options.fail == "crash":
        raise KeyError("left")
    return 0


def options(parser):
    parser.add_argument("steps", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--fail", default="")


commands.VERBS["count"] = ("count up", options, count)
"""


@pytest.fixture(autouse=True)
def _counting(fusion_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A verb `count` in every child, in an empty home; no child is left over."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(VERB, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    yield
    for child in jobs._CHILDREN.values():
        child.wait(30)
    jobs._CHILDREN.clear()


def until(true: Callable[[jobs.JobStatus], bool], key: str, seconds: float = 60.0) -> jobs.JobStatus:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = jobs.status(key)
        assert status is not None
        if true(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {status} after {seconds} s; it printed: {jobs.log(key)}")


def ended(status: jobs.JobStatus) -> bool:
    return status.state != "running"


def test_a_key_without_a_job_has_no_status() -> None:
    assert jobs.status("never") is None
    jobs.stop("never")


def test_a_job_tells_how_far_it_is_and_ends_as_done() -> None:
    job = jobs.start(["count", "6", "--pause", "0.3"], "six")
    half = until(lambda status: 2 <= status.done < 6, "six")
    assert (half.state, half.total, half.message) == ("running", 6, f"step {half.done}")
    assert half.seconds_left is not None
    assert 0 <= half.seconds_left < 10
    assert json.loads((job.folder / "status.json").read_text())["pid"] == job.pid
    done = until(ended, "six")
    assert (done.state, done.done, done.total, done.seconds_left) == ("done", 6, 6, None)
    assert jobs.log("six", 2) == "at 5\nat 6"


def test_the_time_left_is_that_of_the_stage_that_runs(tmp_path: Path) -> None:
    now = time.time()
    lines = [(now - 100 + at, at * 10, "observing") for at in range(11)]
    lines += [(now - 4, 0, "comparing"), (now - 2, 20, "comparing"), (now, 40, "comparing")]
    told = [{"time": at, "done": done, "total": 100, "message": message} for at, done, message in lines]
    path = tmp_path / "progress.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in told), encoding="utf-8")
    done, total, message, left = jobs._progress(path)
    assert (done, total, message) == (40, 100, "comparing")
    assert left == pytest.approx(6, abs=0.5)


def test_the_real_command_line_runs_as_a_job() -> None:
    jobs.start(["models", "--json"], "models")
    assert until(ended, "models").state == "done"
    assert "maf" in jobs.log("models")


def test_a_key_runs_once_at_a_time_and_again_after_its_end() -> None:
    first = jobs.start(["count", "50", "--pause", "0.2"], "once")
    assert jobs.start(["count", "1"], "once").pid == first.pid
    jobs.stop("once")
    until(ended, "once")
    again = jobs.start(["count", "1"], "once")
    assert again.pid != first.pid
    done = until(ended, "once")
    assert (done.state, done.total) == ("done", 1)


def test_pages_that_start_one_key_at_once_get_one_job() -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: jobs.start(["count", "20", "--pause", "0.2"], "same").pid, range(8)))
    assert len(set(started)) == 1
    jobs.stop("same")
    assert until(ended, "same").state == "stopped"


def test_a_stopped_job_says_so_and_its_process_is_gone() -> None:
    job = jobs.start(["count", "500", "--pause", "0.2"], "stop")
    until(lambda status: status.done >= 1, "stop")
    jobs.stop("stop")
    assert until(ended, "stop", 9.0).state == "stopped"
    jobs._CHILDREN[str(job.folder)].wait(30)
    assert born(job.pid) == ""


def test_a_job_that_does_not_heed_a_stop_is_killed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "GRACE", 0.5)
    job = jobs.start(["count", "500", "--pause", "0.2"], "deaf")
    until(lambda status: status.done >= 1, "deaf")
    os.kill(job.pid, signal.SIGSTOP)  # hears nothing
    jobs.stop("deaf")
    assert until(ended, "deaf", 20.0).state == "stopped"


def test_a_failed_job_keeps_its_sentence_and_a_crashed_one_its_last_words() -> None:
    jobs.start(["count", "1", "--fail", "sentence"], "sentence")
    jobs.start(["count", "1", "--fail", "crash"], "crash")
    failed, crashed = until(ended, "sentence"), until(ended, "crash")
    assert (failed.state, failed.message) == ("failed", "The picture is too large; use a smaller one.")
    assert (crashed.state, crashed.message) == ("failed", "KeyError: 'left'")
    assert "Traceback" in jobs.log("crash", 50)


def test_a_killed_job_is_found_failed_even_by_another_process() -> None:
    job = jobs.start(["count", "500", "--pause", "0.2"], "killed")
    until(lambda status: status.done >= 1, "killed")
    os.kill(job.pid, signal.SIGKILL)
    program = "from fusion import jobs; print(jobs.status('killed').state)"
    other = lambda: subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout  # noqa: E731
    assert other().strip() == "failed"
    dead = until(ended, "killed")
    assert (dead.state, dead.message) == ("failed", jobs.KILLED)  # not its last line, which tells how far it was
    assert jobs.log("killed", 1).startswith("at ")


def test_a_job_outlives_the_process_that_started_it() -> None:
    program = "from fusion import jobs; jobs.start(['count', '3', '--pause', '0.2'], 'child'); jobs._CHILDREN.clear()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
    assert until(ended, "child").state == "done"


def test_another_program_with_the_same_id_is_not_taken_for_a_job() -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        folder = jobs.home() / "jobs" / "old"
        folder.mkdir(parents=True)
        about = {"key": "old", "arguments": [], "pid": stranger.pid, "born": "another boot 17", "time": time.time()}
        (folder / "status.json").write_text(json.dumps(about), encoding="utf-8")
        status = jobs.status("old")
        assert status is not None
        assert status.state == "failed"
        jobs.stop("old")
        assert jobs.start(["count", "0"], "old").pid != stranger.pid
        until(ended, "old")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_any_text_may_be_a_key_and_stays_inside_the_folder_of_jobs() -> None:
    keys = ["../../outside", "数据 集", "a/b", "a-b", "", ".", "x" * 300]
    folders = {jobs._folder(key) for key in keys}
    assert len(folders) == len(keys)
    assert {folder.resolve().parent for folder in folders} == {(jobs.home() / "jobs").resolve()}
    assert all(len(folder.name) < 100 for folder in folders)
    assert jobs.start(["count", "0"], keys[0]).folder in folders
    assert until(ended, keys[0]).state == "done"


def test_reports_outside_a_job_write_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(jobs.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    jobs.report(1, 2, "no job")
    assert sorted(tmp_path.rglob("*")) == before


def _kept(key: str, **more: object) -> Path:
    """The folder of a job whose process is gone."""
    folder = jobs.home() / "jobs" / key
    folder.mkdir(parents=True, exist_ok=True)
    about = {"key": key, "arguments": ["count"], "pid": 2**22, "born": "gone", "time": 1.0}
    (folder / "status.json").write_text(json.dumps(about | more), encoding="utf-8")
    return folder


def test_a_list_that_is_read_while_jobs_come_and_go_never_fails() -> None:
    _kept("stays")
    leave = threading.Event()

    def churn() -> None:
        while not leave.is_set():
            folder = jobs.home() / "jobs" / "churned"
            folder.mkdir(parents=True, exist_ok=True)
            about = {"key": "churned", "arguments": ["x"], "pid": 2**22, "born": "gone", "time": 1.0}
            jobs._write(folder / "status.json", about)
            (folder / "log").write_text("x", encoding="utf-8")
            shutil.rmtree(folder)

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        end = time.monotonic() + 2
        try:
            while time.monotonic() < end:
                assert "stays" in {one.key for one in jobs.listed()}
                jobs.status("churned")
        finally:
            leave.set()
        churning.result(30)


def test_a_job_that_goes_while_it_is_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    _kept("stays")
    folder = _kept("goes")

    def gone(key: str, lines: int) -> str:
        if key == "goes":
            raise FileNotFoundError(str(folder))
        return ""

    monkeypatch.setattr(jobs, "log", gone)
    (folder / "end.json").write_text('{"state": "failed", "time": 2.0}', encoding="utf-8")
    assert jobs.status("goes") is None
    assert [one.key for one in jobs.listed()] == ["stays"]
    monkeypatch.setattr(jobs, "_read", lambda path: None if path.name == "end.json" else json.loads(path.read_text()))
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(()))  # emptied, and not yet removed
    assert {one.key: one.message for one in jobs.listed()} == {"stays": jobs.KILLED, "goes": jobs.KILLED}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_ends_no_work_that_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _kept("full")
    for name in ("progress.jsonl", "notes.jsonl"):
        (folder / name).symlink_to("/dev/full")
    monkeypatch.setenv(jobs.VARIABLE, str(folder))
    monkeypatch.setattr(jobs, "_reported", 0.0)
    monkeypatch.setattr(jobs, "_notes", lambda path: {})  # read, the device never ends
    jobs.report(1, 1, "done")
    jobs.note("run", "one")


def test_what_a_full_disk_takes_of_a_line_is_cut_off_again(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _kept("half")
    monkeypatch.setenv(jobs.VARIABLE, str(folder))
    monkeypatch.setattr(jobs, "_reported", 0.0)
    jobs.report(1, 2, "first")
    size = (folder / "progress.jsonl").stat().st_size
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
        jobs.report(2, 2, "second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert (folder / "progress.jsonl").stat().st_size == size
    jobs.report(2, 2, "third")
    assert jobs._progress(folder / "progress.jsonl")[:3] == (2, 2, "third")


def test_lines_that_were_torn_are_left_out() -> None:
    folder = _kept("torn")
    whole = '{"time": 2, "done": 1, "total": 3, "message": "on"}\n'
    for text in (whole + '{"time": 1, "do{"time": 2}\n', '{"ti\n' + whole, whole + '{"time": 3'):
        (folder / "progress.jsonl").write_text(text, encoding="utf-8")
        assert jobs._progress(folder / "progress.jsonl")[:3] == (1, 3, "on")
        assert jobs._progress(folder / "progress.jsonl", whole=False)[:3] == (1, 3, "on")
    (folder / "notes.jsonl").write_text('{"run": "/x\n{"run": "b"}\n', encoding="utf-8")
    (folder / "end.json").write_text("", encoding="utf-8")  # the power went
    (told,) = jobs.listed()
    assert (told.state, told.message, dict(told.notes)) == ("failed", jobs.KILLED, {"run": ("b",)})


def test_a_job_that_cant_be_told_of_is_not_left_running(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def full(path: Path, value: dict[str, object]) -> None:
        begun.append(int(str(value["pid"])))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "_write", full)
        with pytest.raises(FusionError, match="can't be started: no space left on device"):
            jobs.start(["count", "500", "--pause", "0.2"], "unseen")
    assert [born(pid) for pid in begun] == [""]
    assert jobs.status("unseen") is None
    jobs.start(["count", "0"], "unseen")
    assert until(ended, "unseen").state == "done"
