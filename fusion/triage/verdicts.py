"""What people decided of the samples of a run: one SQLite file beside it, in which no line is ever changed.

    Verdicts.open(folder, reviewer="") -> Verdicts   folder of a run; the reviewer of what is put and undone here
    .put(id, verdict, note="")     one decision, on the disk when it returns; verdict: keep, mismatch, fix or unsure
    .undo() -> id | None           takes back this reviewer's last decision, and then the one before
    .now() -> {id: {reviewer: verdict}}   what holds; .table(): the same as rows id verdict reviewer time note event
    .latest() -> int               grows with every line, of others too
    .of(id) -> [row]               everything that was ever said of a sample, undone or not
    .counts() -> {verdict: ids}    with "disagreement" for ids whose reviewers differ; they sum to the ids reviewed
    .ids(verdict) / .disagreements() / .reviewers()
    .export(path, history=False)   CSV, JSON Lines or Parquet
    .load(path, store=None)        -> Loaded: how many were new, and how many of samples that aren't in the store
    .cleaned(store, path)          see `fusion.triage.cleaning`

Every decision is a line with the time (UTC), and so is every undoing; two reviewers' decisions of one sample stand side
by side. A decision survives a killed process and a lost power supply: the file is flushed before `put` returns.
"""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fusion.files import shorten
from fusion.triage import tables
from fusion.triage.verdict_file import FILE, JOURNALS, LINE, marks, opened
from fusion.triage.verdict_table import NAME, NOTE, VERDICTS, Event, framed, known, named, told, written
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.triage.store import Store

DISAGREEMENT = "disagreement"
_HOLDS = "undoes = '' AND NOT EXISTS (SELECT 1 FROM events AS later WHERE later.undoes = events.event)"


class Loaded(NamedTuple):
    """What a file brought."""

    new: int  # lines that were not here yet
    unknown: int  # lines of samples that the run doesn't have


class Verdicts:
    """The decisions of one run; safe to share between threads, and between processes by the file."""

    def __init__(self, connection: sqlite3.Connection, folder: Path, reviewer: str, writable: bool) -> None:
        self.folder, self.reviewer, self.writable = folder, reviewer, writable
        self._connection, self._lock = connection, threading.RLock()
        self._marks, self._again = marks(folder / FILE), 0

    @classmethod
    def open(cls, folder: Path, reviewer: str = "") -> Verdicts:
        """The decisions of the run in a folder, none yet where nobody decided; in a read-only folder to look at.

        Raises FusionError when the file is no such file, or can't be opened.
        """
        folder = Path(folder).expanduser()
        connection, writable = opened(folder)
        return cls(connection, folder, " ".join(reviewer.split())[:NAME], writable)

    def close(self) -> None:
        """Close the file; the last one who does folds its journal in."""
        with self._lock:
            self._connection.close()

    def put(self, id: str, verdict: str, note: str = "") -> Event:
        """Keep one decision of this reviewer. Raises FusionError for another word, or where nothing can be written."""
        if verdict not in VERDICTS:
            raise FusionError(f'"{shorten(verdict)}" is no verdict; there are {", ".join(VERDICTS)}.')
        with self._writing() as connection:
            made = Event(id, verdict, self.reviewer, self._time(connection), note[:NOTE], uuid.uuid4().hex)
            self._add(connection, made)
        return made

    def undo(self) -> str | None:
        """Take back this reviewer's last decision that holds. -> its sample, None when there is none"""
        with self._writing() as connection:
            query = f"SELECT {LINE} FROM events WHERE reviewer = ? AND {_HOLDS} ORDER BY time DESC, number DESC LIMIT 1"
            row = connection.execute(query, (self.reviewer,)).fetchone()
            if row is None:
                return None
            last = Event(*row)
            now = self._time(connection)
            self._add(connection, Event(last.id, "", self.reviewer, now, "", uuid.uuid4().hex, last.event))
        return last.id

    def now(self) -> dict[str, dict[str, str]]:
        """What holds: of each sample every reviewer's last decision, in the order of the decisions."""
        found: dict[str, dict[str, str]] = {}
        for event in self._holding():
            found.setdefault(event.id, {})[event.reviewer] = event.verdict
        return found

    def latest(self) -> int:
        """The number of the last line, 0 before the first: what was read stays right as long as it is the same.

        It is far higher once the file was replaced, whose lines are others.
        """
        with self._reading() as connection:
            number = connection.execute("SELECT coalesce(max(number), 0) FROM events").fetchone()[0]
            return int(number) + self._again * 2**40

    def table(self) -> pd.DataFrame:
        """What holds, one row a sample and reviewer: id, verdict, reviewer, time, note, event, undoes ("")."""
        return framed(self._holding())

    def of(self, id: str) -> list[Event]:
        """Everything that was ever said of a sample, first things first, undoings included."""
        return self._events("WHERE id = ?", (id,))

    def history(self) -> pd.DataFrame:
        """Every line, undoings included, in the order of time."""
        return framed(self._events())

    def counts(self) -> dict[str, int]:
        """How many samples have each verdict, "disagreement" for those whose reviewers differ."""
        found: dict[str, int] = dict.fromkeys((*VERDICTS, DISAGREEMENT), 0)
        for opinions in self.now().values():
            found[settled(opinions)] += 1
        return found

    def ids(self, verdict: str) -> list[str]:
        """The samples of a verdict, or those with a "disagreement"."""
        return [id for id, opinions in self.now().items() if settled(opinions) == verdict]

    def disagreements(self) -> list[str]:
        """The samples whose reviewers differ."""
        return self.ids(DISAGREEMENT)

    def reviewers(self) -> list[str]:
        """Who decided anything that holds."""
        return sorted({event.reviewer for event in self._holding()})

    def export(self, path: str | Path, *, history: bool = False) -> int:
        """Write what holds, or with `history` every line. -> rows. Raises FusionError where it can't be written."""
        frame = self.history() if history else self.table()
        tables.write(frame, path)
        return len(frame)

    def load(self, path: str | Path, store: Store | None = None) -> Loaded:
        """Add what another file holds; lines that are here already add nothing. store: the run, to know its samples

        A table of ids and verdicts that no `export` wrote will do: its lines are known by what they say, and one that
        was taken back since counts again. Lines of samples that the run doesn't have are left out.
        Raises FusionError on anything else, before a single line is added.
        """
        events = told(tables.read(path), Path(str(path)).name, self.reviewer)
        mine = events if store is None else known(store, events)
        with self._writing() as connection:
            new = sum(_insert(connection, named(connection, event)) for event in mine)
        return Loaded(new, len(events) - len(mine))

    def cleaned(self, store: Store, path: str | Path, *, placed: bool = False) -> int:
        """The manifest of a run without what is a mismatch; see `fusion.triage.cleaning`. -> rows"""
        from fusion.triage.cleaning import cleaned

        return cleaned(store, self, path, placed=placed)

    def _holding(self) -> list[Event]:
        """Each reviewer's last decision of each sample, in the order of time."""
        last: dict[tuple[str, str], Event] = {}
        for event in self._events(f"WHERE {_HOLDS}"):
            last[event.id, event.reviewer] = event
        return sorted(last.values(), key=lambda event: event.time)

    def _events(self, where: str = "", values: tuple[str, ...] = ()) -> list[Event]:
        undone = "EXISTS (SELECT 1 FROM events AS later WHERE later.undoes = events.event)"
        query = f"SELECT {LINE}, {undone} FROM events {where} ORDER BY time, number"
        with self._reading() as connection:
            return [Event(*row[:-1], undone=bool(row[-1])) for row in connection.execute(query, values)]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The file as it is now, for this thread alone. Raises FusionError where it can't be read."""
        try:
            with self._lock:
                yield self._there()
        except sqlite3.Error as error:  # damaged, or changed by another program
            raise FusionError(
                f'The verdicts in "{shorten(self.folder.name)}" can\'t be read: {shorten(str(error))}. Move "{FILE}" '
                "away and load an export."
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone in the file from its beginning. Raises FusionError where nothing can be written."""
        where = shorten(self.folder.name)
        try:
            with self._lock:
                connection = self._there()
                if not self.writable:
                    raise FusionError(
                        f'"{where}" can only be read, so no verdict is kept there; copy the run and go on there.'
                    )
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:  # a full disk has ended it already
                        connection.execute("ROLLBACK")
                    raise
        except sqlite3.Error as error:  # a full disk, a folder that became read-only, a lock, a file that was damaged
            raise FusionError(
                f'The verdict was not kept in "{where}": {shorten(str(error))}. Make room or give rights, and '
                "decide again."
            ) from error

    def _there(self) -> sqlite3.Connection:
        """The file in the folder, opened again where it was moved or replaced: else lines would go on into the old one.

        What is still in the journal goes into the old file first, wherever it is now; then the journal is taken away,
        which SQLite would take for that of the new file. Raises FusionError while another writes into the old one.
        """
        path = self.folder / FILE
        now = marks(path)
        if not self.writable or now[0] == self._marks[0]:
            return self._connection
        left = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if left:
            raise FusionError(
                f'"{FILE}" in "{shorten(self.folder.name)}" was moved while it was written to; try again.'
            )
        for before, there, end in zip(self._marks[1:], now[1:], JOURNALS, strict=True):
            if there is not None and there == before:
                path.with_name(f"{FILE}{end}").unlink(missing_ok=True)
        connection, self.writable = opened(self.folder)
        self._connection.close()
        self._connection, self._marks, self._again = connection, marks(path), self._again + 1
        return connection

    def _time(self, connection: sqlite3.Connection) -> str:
        """Now, and later than this reviewer's last line even when the clock was set back."""
        now = datetime.now(UTC)
        row = connection.execute("SELECT max(time) FROM events WHERE reviewer = ?", (self.reviewer,)).fetchone()
        try:
            return written(max(now, datetime.fromisoformat(row[0]) + timedelta(microseconds=1)) if row[0] else now)
        except (ValueError, OverflowError) as error:
            raise FusionError(
                f'The verdicts in "{shorten(self.folder.name)}" hold the time "{shorten(row[0])}", and none can come '
                f'after it; move "{FILE}" away and load an export without that line.'
            ) from error

    def _add(self, connection: sqlite3.Connection, event: Event) -> None:
        """Add a line that is new. Raises FusionError where the file didn't take it."""
        if _insert(connection, event) != 1:
            raise FusionError(
                f'The verdict was not kept: "{FILE}" in "{shorten(self.folder.name)}" takes no lines. Move it away and '
                "load an export."
            )


def settled(opinions: dict[str, str]) -> str:
    """The one verdict of a sample's reviewers, "disagreement" where they differ."""
    found = set(opinions.values())
    return found.pop() if len(found) == 1 else DISAGREEMENT


def _insert(connection: sqlite3.Connection, event: Event) -> int:
    """Add a line. -> 1, or 0 where one of its name is there already"""
    values = (event.id, event.verdict, event.reviewer, event.time, event.note, event.event, event.undoes)
    return connection.execute(f"INSERT OR IGNORE INTO events ({LINE}) VALUES (?, ?, ?, ?, ?, ?, ?)", values).rowcount
