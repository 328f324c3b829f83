"""The file of verdicts beside a run: an SQLite data base, opened so that a line is on the disk when it is told.

    opened(folder) -> (connection, whether it can be written)
    readable(path) -> connection      the file as it is, nothing written
    marks(path)                       what tells the file and its journals from others of their names

Triggers in the file let no line be changed or removed.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fusion.files import shorten
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


def opened(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """The file of a folder, made where there is none, and whether it can be written.

    Raises FusionError for a folder that isn't there, and for a file that is none or can't be opened.
    """
    path = folder / FILE
    if not folder.is_dir():
        raise FusionError(f'There is no folder "{shorten(folder.name)}"; name the folder of a run.')
    if path.is_symlink():
        raise FusionError(f'"{FILE}" in "{shorten(folder.name)}" is a link; put the file itself there.')
    try:
        return _writable(path), True
    except sqlite3.OperationalError:
        return readable(path), False
    except sqlite3.DatabaseError as error:
        raise FusionError(
            f'"{FILE}" in "{shorten(folder.name)}" holds no verdicts; move it away and load an export.'
        ) from error


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
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")  # fails here, not at the first verdict, where nothing can be written
        connection.execute("COMMIT")
        connection.executescript(SCHEMA)
        connection.execute(f"SELECT {LINE} FROM events LIMIT 0")
    except BaseException:
        connection.close()
        raise
    return connection


def readable(path: Path) -> sqlite3.Connection:
    """The file as it is, nothing written; an empty one where there is none."""
    if not path.exists():
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.executescript(SCHEMA)
        return connection
    address = path.resolve().as_uri()
    for how in ("mode=ro", "mode=ro&immutable=1"):  # the second where no lock can be taken: then nobody writes either
        connection = sqlite3.connect(f"{address}?{how}", uri=True, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"SELECT {LINE} FROM events LIMIT 0")
            return connection
        except sqlite3.DatabaseError:
            connection.close()
    raise FusionError(
        f'The verdicts in "{shorten(path.parent.name)}" can\'t be read; check the rights of "{FILE}", or move it away.'
    )
