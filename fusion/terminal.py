"""What a person starts in a terminal, as a job among the others: its progress, its words and its end are kept.

The Runs page shows it, and may stop it. Standard output stays the terminal's alone; standard error goes to both.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from fusion import jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

VERBS = ("train", "observe", "inspect-set")  # what takes long enough to be looked after


class Both:
    """A stream whose words go to a second one, too."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        """To both; the first one counts."""
        with suppress(OSError):  # a full disk doesn't end what is done for the terminal
            self._second.write(text)
            self._second.flush()
        return self._first.write(text)

    def __getattr__(self, name: str) -> Any:  # whatever else a stream has
        return getattr(self._first, name)


def told(main: Callable[[], int], arguments: Sequence[str]) -> int:
    """Run the command line, kept as a job where it is one of VERBS and none already. -> exit status"""
    if jobs.VARIABLE in os.environ or tuple(arguments[:1]) not in {(verb,) for verb in VERBS}:
        return main()
    name = f"{arguments[0]}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        folder = jobs.enter(arguments, name)
    except OSError:  # nothing can be kept here; the command says so where it matters
        return main()
    os.environ[jobs.VARIABLE] = str(folder)
    signal.signal(signal.SIGTERM, _interrupt)
    state, terminal = "failed", sys.stderr
    with (folder / "log").open("w", encoding="utf-8", errors="replace") as log:
        sys.stderr = Both(terminal, log)  # type: ignore[assignment]  # it has all that a stream has
        try:
            status = main()
            state = "done" if status == 0 else "stopped" if status == jobs.STOPPED else "failed"
            return status
        except SystemExit as leave:
            state = "done" if leave.code in (0, None) else "failed"
            raise
        except BaseException:
            traceback.print_exc(file=log)
            raise
        finally:
            sys.stderr = terminal
            log.flush()  # its last words are read once it has ended
            jobs.leave(folder, state)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt
