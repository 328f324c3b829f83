"""The file of verdicts beside a run: an SQLite data base, opened so that a line is on the disk when it is told.

    opened(folder) -> (connection, whether it can be written)
    readable(path) -> connection      the file as it is, nothing written
    marks(path)                       what tells the file and its journals from others of their names

Triggers in the file let no line be changed or removed.
"""

from __future__ import annotations

import random
import sqlite3
import time
from functools import cache
from pathlib import Path

from fusion.files import shorten
from fusion.triage.verdict_table import VERDICTS
from fusion.types import FusionError

FILE = "verdicts.sqlite"
JOURNALS = ("-wal", "-shm")  # what SQLite keeps beside an open file, by its name
WAIT = 30.0  # seconds for another writer to finish
LINE = "id, verdict, reviewer, time, note, event, undoes"
SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reviewer TEXT NOT NULL,
    time TEXT NOT NULL,
    note TEXT NOT NULL,
    undoes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_id ON events (id);
CREATE INDEX IF NOT EXISTS by_reviewer ON events (reviewer, time);
CREATE INDEX IF NOT EXISTS by_undone ON events (undoes);
CREATE TRIGGER IF NOT EXISTS unchanged BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'no line is changed'); END;
CREATE TRIGGER IF NOT EXISTS kept BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'no line is removed'); END;
"""
_FORM = " AND ".join(
    (
        *(f"typeof({name}) = 'text'" for name in LINE.split(", ")),
        f"CASE undoes WHEN '' THEN verdict IN {VERDICTS} ELSE verdict = '' END",
        f"time GLOB '{'####-##-##T##:##:##.######+00:00'.replace('#', '[0-9]')}'",
    )
)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_ONLY_READ = (
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
)  # fmt: skip


def opened(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """The file of a folder, made where there is none, and whether it can be written.

    Raises FusionError for a folder that isn't there, and for a file that is none or can't be opened.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise FusionError(f'There is no folder "{shorten(folder.name)}"; name the folder of a run.')
    if path.is_symlink():
        raise FusionError(f'"{FILE}" in "{shorten(folder.name)}" is a link; put the file itself there.')
    until = time.monotonic() + WAIT
    while True:
        try:
            return _writable(path), True
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _ONLY_READ:
                return readable(path), False
            if code not in _BUSY:
                raise _strange(path) from error
            if time.monotonic() > until:
                raise FusionError(
                    f'"{FILE}" in "{shorten(folder.name)}" is in use by another program; close that, and try again.'
                ) from error
        time.sleep(random.uniform(0.01, 0.05))  # several who make the file at once: not all waits are SQLite's own


def marks(path: Path) -> tuple[tuple[int, int] | None, ...]:
    """What tells a file and its journals from others of their names, None for each that isn't there."""
    found = []
    for end in ("", *JOURNALS):
        try:
            state = path.with_name(f"{path.name}{end}").stat()
        except OSError:
            found.append(None)
        else:
            found.append((state.st_dev, state.st_ino))
    return tuple(found)


def _writable(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")  # the file may come from anywhere
        _check(connection, path)  # before anything is written: it may be another program's
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")  # fails here where nothing can be written
    except BaseException:
        connection.close()
        raise
    return connection


def readable(path: Path) -> sqlite3.Connection:
    """The file as it is, nothing written; an empty one where there is none."""
    if not path.exists():
        return _empty()
    address = path.resolve().as_uri()
    for how in ("mode=ro", "mode=ro&immutable=1"):  # the second where no lock can be taken: then nobody writes either
        connection = sqlite3.connect(f"{address}?{how}", uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            if _check(connection, path):
                return connection
            connection.close()
            return _empty()
        except sqlite3.Error:
            connection.close()
        except FusionError:
            connection.close()
            raise
    raise FusionError(
        f'The verdicts in "{shorten(path.parent.name)}" can\'t be read; check the rights of "{FILE}", or move it away.'
    )


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.executescript(SCHEMA)
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether verdicts can be in the file yet. Raises FusionError where it holds anything else.

    A trigger from elsewhere could drop lines unseen, and a line of another form break whatever reads it.
    """
    found = _objects(connection)
    if not found <= _ours():
        raise _strange(path)
    there = any(name == "events" for _, name, _ in found)
    if there and connection.execute(f"SELECT 1 FROM events WHERE NOT ({_FORM}) LIMIT 1").fetchone():
        raise _strange(path)
    return there


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Kind, name and SQL of what a file holds, less what SQLite makes for itself."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    return {
        (kind, name, " ".join(str(sql).split()))
        for kind, name, sql in rows
        if kind not in ("table", "index") or not name.startswith("sqlite_")
    }


@cache
def _ours() -> set[tuple[str, str, str]]:
    connection = _empty()
    found = _objects(connection)
    connection.close()
    return found


def _strange(path: Path) -> FusionError:
    return FusionError(
        f'"{FILE}" in "{shorten(path.parent.name)}" holds no verdicts, or more than that; move it away and load an '
        "export."
    )
