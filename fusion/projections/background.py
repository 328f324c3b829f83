"""UMAP and t-SNE in a process of their own, so that no page ever waits: start it, look now and then, show
PCA meanwhile.

A lock on a file says that a map is being made. The child holds it for as long as it lives, so a killed child gives it
back by itself and a number that another process now has can't be mistaken for it. The map appears whole or not at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusion.files import ROOT, atomic_file
from fusion.neighbours import matrix
from fusion.projections.layouts import LEAST, SETTINGS, Settings
from fusion.projections.store import cached, folder, path_of, project, projection_digest
from fusion.projections.vectors import coded
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fusion.neighbours import Array, Vectors
    from fusion.projections.store import Projection

_STALE = 24 * 3600  # seconds after which what a killed process left behind is cleared away
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """A map that is being made, was made, or failed, known by its digest alone: any process can look at it."""

    digest: str

    def result(self) -> Projection | None:
        """The map when it is ready, else None."""
        return cached(self.digest)

    def state(self) -> str:
        """ "done" | "running" | "failed" | "absent" (never started, or stopped)."""
        if path_of(self.digest).exists():
            return "done"
        if _held(self.digest):
            return "running"
        if path_of(self.digest).exists():  # it ended between the two looks
            return "done"
        return "failed" if _beside(self.digest, "failed").exists() else "absent"

    def error(self) -> str:
        """What went wrong, "" when nothing did."""
        with suppress(FileNotFoundError):
            return _beside(self.digest, "failed").read_text(encoding="utf-8")
        return ""

    def seconds(self) -> float:
        """How long it has been running, 0 when it isn't."""
        if self.state() != "running":
            return 0.0
        return max(0.0, time.time() - _beside(self.digest, "lock").stat().st_mtime)

    def stop(self) -> bool:
        """End it if it runs; nothing half-written stays. -> whether there was something to end"""
        if self.state() != "running":
            return False
        with suppress(ProcessLookupError, ValueError, FileNotFoundError):
            os.kill(int(_beside(self.digest, "lock").read_text()), signal.SIGTERM)
            return True
        return False


def _beside(key: str, ending: str) -> Path:
    return folder() / f"{key}.{ending}"


def _lock(key: str) -> int | None:
    """The lock of a map as an open file, None when another process (or another opening here) has it."""
    folder().mkdir(parents=True, exist_ok=True)
    handle = os.open(_beside(key, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(5):  # someone who only looks holds it for a moment
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except BlockingIOError:
            time.sleep(0.005)
    os.close(handle)
    return None


def _held(key: str) -> bool:
    """Whether a child holds the lock of a map; looking is shared, so that two who look don't see each other."""
    try:
        with _beside(key, "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def start(
    vectors: Vectors,
    method: str = "umap",
    *,
    seed: int = 0,
    labels: Sequence[str] | Array | None = None,
    centred: bool = False,
    settings: Settings | None = None,
    dims: int = 2,
) -> Job:
    """Make the map of `project(vectors, method, ...)` in another process, unless it is there or being made.

    Returns at once (some 50 ms for 20,000 vectors of 384 numbers): look at `Job.state` and `Job.result`.
    Raises FusionError on fewer than ten vectors or numbers that aren't finite.
    """
    X = matrix(vectors).astype(np.float32, copy=False)
    if len(X) < LEAST:
        raise FusionError(
            f"A map of neighbours needs at least {LEAST} vectors and {len(X)} came; look at the PCA map instead."
        )
    if X.shape[1] <= 3 or method not in SETTINGS:  # so few numbers are only turned, and the rest takes no time
        return Job(project(X, method, labels=labels, centred=centred, dims=dims).digest)
    settings = settings or SETTINGS[method]()
    key = projection_digest(X, method, seed=seed, labels=labels, centred=centred, settings=settings, dims=dims)
    job = Job(key)
    if path_of(key).exists():
        return job
    lock = _lock(key)
    if lock is None:
        return job
    try:
        _clear()
        _beside(key, "failed").unlink(missing_ok=True)
        given = _beside(key, "job")
        told = {"method": method, "seed": seed, "centred": centred, "settings": asdict(settings), "dims": dims}
        names, code = coded(labels, len(X))
        with atomic_file(given) as aside, aside.open("wb") as stream:
            text = json.dumps(told | {"groups": None if labels is None else names})
            np.savez(stream, vectors=X, code=code, told=np.frombuffer(text.encode(), dtype=np.uint8))
        _spawn(key, given, lock)
    finally:
        os.close(lock)  # the child's copy keeps it held
    return job


def _spawn(key: str, given: Path, lock: int) -> None:
    alone = os.environ | dict.fromkeys(_THREADS, "1") | {"OMP_WAIT_POLICY": "PASSIVE"}
    alone["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with _beside(key, "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "fusion.projections", "--in", str(given), "--digest", key, "--lock", str(lock)],
            env=alone, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(lock,),
        )  # fmt: skip
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(child.pid).encode(), 0)
    threading.Thread(target=child.wait, daemon=True).start()  # nobody else collects it when it ends


def _clear() -> None:
    """Remove what killed processes left behind a day ago or longer; a running job's files are younger."""
    old = time.time() - _STALE
    for path in folder().iterdir():
        with suppress(FileNotFoundError):
            kept = path.suffix == ".lock" or (path.suffix == ".npz" and not path.name.startswith("."))
            if not kept and path.stat().st_mtime < old:
                path.unlink()


def run(given: Path, key: str, lock: int) -> int:
    """What the child does: read what it was given, make the map, write it. -> exit status

    A FusionError, or running out of memory, is kept as a sentence for `Job.error`; the map's own file is written last.
    """
    os.set_inheritable(lock, False)
    os.nice(10)  # a page comes first
    with np.load(given, allow_pickle=False) as stored:
        vectors, code, told = stored["vectors"], stored["code"], json.loads(stored["told"].tobytes())
    given.unlink()
    labels = None if told["groups"] is None else np.asarray(told["groups"])[code]
    try:
        made = project(
            vectors, told["method"], seed=told["seed"], labels=labels, centred=told["centred"],
            settings=SETTINGS[told["method"]](**told["settings"]), dims=told["dims"],
        )  # fmt: skip
    except (FusionError, MemoryError) as error:
        return _fail(key, str(error) or "Memory ran out; choose fewer vectors.")
    if made.digest != key:
        return _fail(key, "The map came out under another name: the installed libraries changed. Start it again.")
    _beside(key, "log").unlink(missing_ok=True)
    return 0


def _fail(key: str, sentence: str) -> int:
    with atomic_file(_beside(key, "failed")) as aside:
        aside.write_text(sentence, encoding="utf-8")
    return 1
