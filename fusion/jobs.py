"""Long work as child processes: a page starts a command line, polls its folder, and may stop it.

A job lives in home()/jobs/<key>: status.json (which process it is, written when it starts), log (what it printed),
progress.jsonl (one line a report), notes.jsonl (what it makes and where it runs) and end.json (how it ended, written
by the job itself). A process is known by its id and the time it began, so that an id used again by another program is
never taken for ours. Jobs outlive a closed tab and a restarted server; one that was killed without a word is found by
its missing process. What a person starts in a terminal becomes a job, too (fusion.terminal). Jobs that are started with
`queue` run one at a time: each waits for a lock of its own accord, before anything heavy is loaded.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fusion import cleared
from fusion.files import ROOT, atomic_file, digest, home
from fusion.processes import born
from fusion.types import FusionError

VARIABLE = "FUSION_JOB"  # names the folder of a job to its own process
QUEUED = "--queued"  # first argument of a job that waits for its turn
EVERY = 0.2  # seconds between two reports that are kept
GRACE = 10.0  # seconds that a stopped job has to put its things in order before it is killed
TAIL = 16384  # bytes at the end of a log or of the reports that are looked at
STOPPED = 130  # exit status of a command line that was interrupted
_CHILDREN: dict[str, subprocess.Popen[bytes]] = {}  # of this process, to be waited for when they end
_ENDED: dict[str, tuple[int, JobStatus]] = {}  # {folder: when its end was written, how it ended}: that doesn't change
_reported = 0.0  # when this process last reported
KILLED = "The job ended without a word; it may have run out of memory, or have been killed."


@dataclass(frozen=True)
class Job:
    """A running job."""

    key: str
    folder: Path
    pid: int


@dataclass(frozen=True)
class JobStatus:
    """How a job stands. done of total steps, 0 of 0 before its first report; seconds_left None when not known."""

    key: str
    state: Literal["queued", "running", "done", "failed", "stopped"]
    done: int
    total: int
    seconds_left: float | None
    message: str  # what it does now, or its last words
    seconds: float  # since it began, until it ended
    arguments: tuple[str, ...] = ()  # of `python -m fusion`
    time: float = 0.0  # when it was started, seconds since 1970
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what it said of itself by `note`
    where: str = ""  # the folder that relative paths in its arguments start from

    @property
    def alive(self) -> bool:
        """Whether it runs or is about to."""
        return self.state in ("queued", "running")


def start(arguments: Sequence[str], key: str, *, queue: bool = False, where: str = "") -> Job:
    """Run `python -m fusion ARGUMENTS` as a child; the running one when this key runs already.

    queue: after the others that were queued; where: the folder to run it in, that of this process by default.
    Raises FusionError where nothing can be written of it.
    """
    folder = _folder(key)
    with _alone(folder):
        told = _read(folder / "status.json")
        if told is not None and _alive(told) and _read(folder / "end.json") is None:
            return Job(key, folder, told["pid"])
        before = _CHILDREN.pop(str(folder), None)
        if before is not None:
            before.wait()  # it has ended, or is about to
        shutil.rmtree(folder, ignore_errors=True)
        try:
            pid = _begin(folder, arguments, key, queue, where)
        except OSError as error:
            told = (error.strerror or "it failed").lower()
            raise FusionError(f"The job can't be started: {told}. Make room, or see who may write there.") from error
        return Job(key, folder, pid)


def _begin(folder: Path, arguments: Sequence[str], key: str, queue: bool, where: str) -> int:
    """Start the process of a job and write down which it is. -> its id. Raises OSError, and leaves none running."""
    folder.mkdir(parents=True)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with (folder / "log").open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "fusion.jobs", *([QUEUED] if queue else []), *arguments],
            cwd=where if where and Path(where).is_dir() else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {VARIABLE: str(folder), "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C at the server is not meant for it
        )
    try:
        _write(folder / "status.json", _about(key, arguments, child.pid, where) | {"queue": queue})
    except BaseException:  # a full disk: nobody could see it, or stop it
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    _CHILDREN[str(folder)] = child
    return child.pid


def _about(key: str, arguments: Sequence[str], pid: int, where: str = "") -> dict[str, Any]:
    return {
        "key": key, "arguments": list(arguments), "pid": pid, "born": born(pid), "time": time.time(),
        "where": where or str(Path.cwd()),
    }  # fmt: skip


def enter(arguments: Sequence[str], key: str) -> Path:
    """Make this very process a job of its own, as one that was typed in a terminal. -> its folder

    Only this process is signalled by `stop`: others of its group are the terminal's. Raises OSError where home() can't
    be written.
    """
    folder = _folder(key)
    with _alone(folder):
        folder.mkdir(parents=True)
        _write(folder / "status.json", _about(key, arguments, os.getpid()) | {"typed": True})
    return folder


def leave(folder: Path, state: str) -> None:
    """Say how the job of a folder ended: done, failed or stopped. Where the disk is full, it ends without a word."""
    if folder.exists():  # not swept away meanwhile
        with suppress(OSError):
            _write(folder / "end.json", {"state": state, "time": time.time()})


def listed() -> list[JobStatus]:
    """Every job that this machine remembers and nobody took off the list, those that were started last first."""
    away = cleared.hidden()
    found = []
    for path in (home() / "jobs").glob("[!.]*/status.json"):
        since = away.get(path.parent.name)
        with suppress(FileNotFoundError):  # it is swept away, or starts again, while it is read
            if (since is None or _started(path.parent) > since) and (one := _listed(path.parent)) is not None:
                found.append(one)
    return sorted(found, key=lambda one: -one.time)


def _listed(folder: Path) -> JobStatus | None:
    """How the job of a folder stands; what has ended is read once."""
    try:
        stamp = (folder / "end.json").stat().st_mtime_ns
    except FileNotFoundError:
        stamp = 0
    before = _ENDED.get(str(folder))
    if before is not None and before[0] == stamp:
        return before[1]
    told = _read(folder / "status.json")
    found = None if told is None else _status(folder, told)
    if found is not None and stamp:
        _ENDED[str(folder)] = stamp, found
    return found


def clear(keys: Sequence[str]) -> None:
    """Take jobs off the list that have ended; what they made stays, and `cleared.bring_back` takes it back.

    What has been off the list for long is swept away now, with its log.
    """
    folders = [folder for key in keys if (now := _listed(folder := _folder(key))) is not None and not now.alive]
    cleared.add([folder.name for folder in folders])
    for name, since in cleared.over().items():
        folder = home() / "jobs" / name
        with _alone(folder):
            if _started(folder) <= since:
                shutil.rmtree(folder, ignore_errors=True)


def _started(folder: Path) -> float:
    """When the job of a folder was started last, 0 where there is none."""
    with suppress(FileNotFoundError):
        return (folder / "status.json").stat().st_mtime
    return 0.0


def status(key: str) -> JobStatus | None:
    """How the job of a key stands, None when there was none."""
    folder = _folder(key)
    with suppress(FileNotFoundError):  # it is swept away, or starts again, while it is read
        told = _read(folder / "status.json")
        return None if told is None else _status(folder, told)
    return None


def _status(folder: Path, told: Mapping[str, Any]) -> JobStatus:
    more = (tuple(told["arguments"]), told["time"], _notes(folder / "notes.jsonl"), told.get("where", ""))
    key = told["key"]
    alive = _alive(told)  # before the end is read: a job writes its end first
    end = _read(folder / "end.json")
    asked = folder / "stop"
    if alive and end is None and asked.exists() and time.time() - asked.stat().st_mtime > GRACE:
        _signal(told, signal.SIGKILL)
    done, total, message, left = _progress(folder / "progress.jsonl", whole=end is None)
    begun = folder / "begun"  # a job that waits for its turn begins later than it was started
    waits = bool(told.get("queue")) and not begun.exists()
    since = begun.stat().st_mtime if told.get("queue") and not waits else told["time"]
    if end is None and alive:
        state = "queued" if waits else "running"
        return JobStatus(key, state, done, total, left, message, time.time() - since, *more)
    if end is None:
        last = max((path.stat().st_mtime for path in folder.iterdir()), default=time.time())
        end = {"state": "stopped" if asked.exists() else "failed", "message": KILLED, "time": last}
    words = message if end["state"] == "done" else end.get("message") or log(key, 1)
    return JobStatus(key, end["state"], done, total, None, words, max(end["time"] - since, 0.0), *more)


def stop(key: str) -> None:
    """Ask a job to end, so that what it saved stays; one that doesn't within 10 s is killed by a later `status`."""
    folder = _folder(key)
    told = _read(folder / "status.json")
    if told is not None and _alive(told) and _read(folder / "end.json") is None:
        (folder / "stop").touch()
        _signal(told, signal.SIGTERM)


def log(key: str, lines: int = 20) -> str:
    """The last lines that a job printed, of a progress bar its last state."""
    text = _tail(_folder(key) / "log").decode("utf-8", "replace")
    found = [line.rstrip() for line in re.split("[\r\n]+", text) if line.strip()]
    return "\n".join(line[:500] for line in found[-lines:])


def report(done: int, total: int, message: str = "") -> None:
    """Say how far this process is; does nothing unless it runs as a job. At most five lines a second are kept.

    No work ends because a full disk takes no more lines.
    """
    global _reported
    now = time.time()
    if VARIABLE not in os.environ or (now - _reported < EVERY and done < total):
        return
    _reported = now
    line = json.dumps({"time": now, "done": done, "total": total, "message": message})
    _append(Path(os.environ[VARIABLE]) / "progress.jsonl", line)


def note(name: str, value: str) -> None:
    """Say something of this process that outlives it: `run` or `checkpoint` (what it makes), `device`, `triage`.

    Does nothing unless it runs as a job; what was said before isn't said again.
    """
    if VARIABLE not in os.environ:
        return
    path = Path(os.environ[VARIABLE]) / "notes.jsonl"
    if value not in _notes(path).get(name, ()):
        _append(path, json.dumps({name: value}))


def _append(path: Path, line: str) -> None:
    """Add a line to a file; one that has no room is left away whole, and cut off what went through of it."""
    with suppress(OSError), path.open("ab", buffering=0) as stream:
        data, end = f"{line}\n".encode(), stream.seek(0, os.SEEK_END)
        try:
            if stream.write(data) < len(data):
                stream.truncate(end)
        except OSError:
            stream.truncate(end)
            raise


def _notes(path: Path) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for told in _lines(path.read_bytes() if path.exists() else b""):
        for name, value in told.items():
            found[name] = (*found.get(name, ()), value)
    return found


def _lines(data: bytes, most: int = 0) -> list[dict[str, Any]]:  # Any: what this module itself wrote as JSON
    """The lines of a file, the last ones where there is a most: what is torn or half written is none."""
    found: list[dict[str, Any]] = []
    for line in reversed(data.split(b"\n")[:-1]):
        with suppress(ValueError):
            found.append(json.loads(line))
        if len(found) == most > 0:
            break
    return found[::-1]


def run(arguments: Sequence[str]) -> None:
    """What the child does: the command line in its turn, and then one file that says how it ended."""
    folder = Path(os.environ[VARIABLE])
    state = "failed"

    def interrupt(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    queued, arguments = arguments[:1] == [QUEUED], [one for one in arguments if one != QUEUED]
    sys.argv[1:] = arguments
    turn = (home() / "jobs" / ".queue.lock").open("w") if queued else None
    try:
        if turn is not None:
            fcntl.flock(turn, fcntl.LOCK_EX)  # held until this process ends
            (folder / "begun").touch()
        runpy.run_module("fusion", run_name="__main__", alter_sys=True)
        state = "done"
    except SystemExit as end:
        state = "done" if end.code in (0, None) else "stopped" if end.code == STOPPED else "failed"
        raise
    except KeyboardInterrupt:
        state = "stopped"
        raise SystemExit(STOPPED) from None
    except Exception:
        traceback.print_exc()  # before it is told that the job has ended: its last words are read then
        raise SystemExit(1) from None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        leave(folder, state)


def _folder(key: str) -> Path:
    """The folder of a key; a key that is no file name gets one."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", key)
    name = key if plain else f"{re.sub(r'[^A-Za-z0-9_-]+', '-', key)[:40].strip('-')}-{digest(key)[:12]}"
    return home() / "jobs" / name


def _progress(path: Path, *, whole: bool = True) -> tuple[int, int, str, float | None]:
    """(done, total, message, seconds left) from the reports of the last while, or without `whole` from the last one."""
    told = _lines(_tail(path), 0 if whole else 1)  # the first of them may be cut off, and is then no line
    if not told:
        return 0, 0, "", None
    last = told[-1]
    stages = [(one["total"], re.sub(r"\d+", "", one["message"])) for one in told]
    first = told[stages.index(stages[-1])]  # what came before had another pace
    left = None
    steps, passed = last["done"] - first["done"], last["time"] - first["time"]
    if steps > 0 and passed > 0:
        left = max(0.0, (last["total"] - last["done"]) * passed / steps - (time.time() - last["time"]))
    return last["done"], last["total"], last["message"], left


def _tail(path: Path) -> bytes:
    with suppress(FileNotFoundError), path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - TAIL, 0))
        return stream.read()
    return b""


def _read(path: Path) -> dict[str, Any] | None:  # Any: what this module itself wrote as JSON
    with suppress(FileNotFoundError, ValueError):  # one that lost its content with the power is none
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def _write(path: Path, value: dict[str, Any]) -> None:
    with atomic_file(path) as aside:
        aside.write_text(json.dumps(value) + "\n", encoding="utf-8")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One start of a key at a time, over threads and processes."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _alive(told: Mapping[str, Any]) -> bool:
    child = _CHILDREN.get(str(_folder(told["key"])))
    if child is not None and child.pid == told["pid"] and child.poll() is not None:
        return False
    return bool(told["born"]) and born(told["pid"]) == told["born"]


def _signal(told: Mapping[str, Any], number: int) -> None:
    """Signal a job and what it started, or one that was typed alone; nothing when its process is gone."""
    if _alive(told):
        with suppress(ProcessLookupError):
            (os.kill if told.get("typed") else os.killpg)(told["pid"], number)


if __name__ == "__main__":
    run(sys.argv[1:])
