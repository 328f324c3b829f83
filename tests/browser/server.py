"""The app as a user starts it: a Streamlit server in a child process, on a port of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Server:
    """A running app: where it answers and what it has logged."""

    url: str  # http://127.0.0.1:PORT
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Everything that the server has written so far."""
        return self.log.read_text("utf-8", "replace")


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serve(seconds: float = 120, app: Path = ROOT / "app.py", **environment: str) -> Iterator[Server]:
    """A fresh server of the app, or of another script, ended with all its children when the block ends.

    Raises AssertionError with its log when it is not healthy in time.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(app)]
    command += ["--server.port", str(port), "--server.headless", "true"]
    with tempfile.TemporaryDirectory(prefix="fusion-server-") as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment},
                start_new_session=True,  # so that its children can be ended with it
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            _wait(server, seconds)
            yield server
        finally:
            _end(process)


def _wait(server: Server, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert server.process.poll() is None, f"the server ended:\n{server.said()}"
        try:
            with urllib.request.urlopen(f"{server.url}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise AssertionError(f"the server was not healthy after {seconds:.0f} s:\n{server.said()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
