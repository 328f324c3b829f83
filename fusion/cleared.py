"""Jobs that a person took off the list: by folder, several at a time, so that each time can be taken back.

home()/jobs/.cleared.json is a list of such times, the last one at its end. Nothing of a job is touched; what has been
off the list for a month is named by `over`, for `jobs` to sweep away. A job that was started again since is no longer
off the list.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusion.files import atomic_file, home

DAYS = 30  # for which a time can be taken back


def hidden() -> dict[str, float]:
    """{folder of a job: when it was taken off the list, seconds since 1970}"""
    return {name: one["time"] for one in _read() for name in one["folders"]}


def last() -> list[str]:
    """The folders that were taken off the list last, [] where there is nothing to take back."""
    times = _read()
    return times[-1]["folders"] if times else []


def add(folders: Sequence[str]) -> None:
    """Take some off the list, all at one time."""
    if folders:
        with _alone():
            _write([*_read(), {"time": time.time(), "folders": list(folders)}])


def bring_back() -> list[str]:
    """Put those on the list again that were taken off last. -> their folders"""
    with _alone():
        times = _read()
        if not times:
            return []
        _write(times[:-1])
    return times[-1]["folders"]


def over() -> dict[str, float]:
    """As `hidden`, those for which it can no longer be taken back; they are forgotten here."""
    with _alone():
        times, long_ago = _read(), time.time() - 86_400 * DAYS
        gone = [one for one in times if one["time"] < long_ago]
        if gone:
            _write([one for one in times if one["time"] >= long_ago])
    return {name: one["time"] for one in gone for name in one["folders"]}


def _file() -> Path:
    return home() / "jobs" / ".cleared.json"


def _read() -> list[dict[str, Any]]:  # Any: what this module itself wrote as JSON
    try:
        return json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []


def _write(times: list[dict[str, Any]]) -> None:
    with atomic_file(_file()) as aside:
        aside.write_text(json.dumps(times) + "\n", encoding="utf-8")


@contextmanager
def _alone() -> Iterator[None]:
    """One change at a time, over threads and processes."""
    _file().parent.mkdir(parents=True, exist_ok=True)
    with _file().with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
