"""Verdicts as lines of a table: what one says, and what a table from outside must say to be taken in.

told(frame, name, reviewer) -> [Event]   the lines of a table, none of them in any file yet
framed(events) -> DataFrame              the other way round: id verdict reviewer time note event undoes
named(connection, event) -> Event        a line with a name, so that it isn't added twice
known(store, events) -> [Event]          those of samples that a run has
written(time)                            a time as it stands in a line
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fusion.files import digest, shorten
from fusion.types import FusionError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    import pandas as pd

    from fusion.triage.store import Store

VERDICTS = ("keep", "mismatch", "fix", "unsure")
COLUMNS = ("id", "verdict", "reviewer", "time", "note", "event", "undoes")
NOTE, NAME = 2000, 80  # characters of a note and of a reviewer's name that are kept
AHEAD = timedelta(days=1)  # of this machine's clock: as far as two clocks may differ


@dataclass(frozen=True)
class Event:
    """One line: a decision, or with `undoes` the taking back of one."""

    id: str
    verdict: str
    reviewer: str
    time: str  # UTC, ISO 8601 to the microsecond
    note: str = ""
    event: str = ""  # its own name, the same wherever it is exported to
    undoes: str = ""  # the event that it takes back
    undone: bool = False


def framed(events: Sequence[Event]) -> pd.DataFrame:
    """Lines as a table, one row each, in their order."""
    import pandas as pd

    return pd.DataFrame([{name: asdict(event)[name] for name in COLUMNS} for event in events], columns=list(COLUMNS))


def written(time: datetime) -> str:
    """A time in UTC, such that texts are in the order of times. Raises OverflowError outside the years 1 to 9999."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def told(frame: pd.DataFrame, name: str, reviewer: str) -> list[Event]:
    """The lines of a table, all of its cells text. Raises FusionError, naming the first row that is none.

    A line that an export named stays as it is; of others, spaces around each cell are left out.
    """
    missing = [column for column in ("id", "verdict") if column not in frame.columns]
    if missing:
        raise FusionError(f'"{shorten(name)}" has no column "{missing[0]}"; a table of verdicts has id and verdict.')
    now, events = datetime.now(UTC), []
    for number, row in enumerate(frame.to_dict("records"), 1):
        cells = _cells(row)
        undoes = cells["undoes"]
        if not cells["id"] or (cells["verdict"] not in VERDICTS and not undoes):
            raise FusionError(
                f'Row {number} of "{shorten(name)}" has the verdict "{shorten(cells["verdict"])}" of '
                f'"{shorten(cells["id"])}"; there are {", ".join(VERDICTS)}. Nothing was loaded.'
            )
        time = _time(cells["time"], now, f'Row {number} of "{shorten(name)}"')
        who = cells["reviewer"][:NAME] or ("" if "reviewer" in frame.columns else reviewer)
        event = cells["event"]
        if not event and cells["time"]:
            event = digest(cells["id"], cells["verdict"], who, cells["time"], cells["note"])
        verdict = "" if undoes else cells["verdict"]
        events.append(Event(cells["id"], verdict, who, time, cells["note"][:NOTE], event, undoes))
    return events


def named(connection: sqlite3.Connection, event: Event) -> Event:
    """The line with a name where it has none: from what it says, and how often that was taken back."""
    again = 0
    while not event.event:
        name = digest(event.id, event.verdict, event.reviewer, "", event.note, *([str(again)] if again else []))
        if connection.execute("SELECT 1 FROM events WHERE undoes = ?", (name,)).fetchone() is None:
            return replace(event, event=name)
        again += 1
    return event


def known(store: Store, events: Sequence[Event]) -> list[Event]:
    """The lines of samples that the run has."""
    from fusion.triage.conditions import Condition

    ids = {event.id for event in events}
    there = set(store.ids((Condition("id", "in", tuple(ids)),))) if ids else set()
    return [event for event in events if event.id in there]


def _cells(row: dict[str, str]) -> dict[str, str]:
    cells = {column: str(row.get(column, "")) for column in COLUMNS}
    return {c: cell if cells["event"] and c in ("id", "note") else cell.strip() for c, cell in cells.items()}


def _time(said: str, now: datetime, where: str) -> str:
    """A time as it is written. A far one is refused: all that its reviewer says later would have to come after it."""
    if not said:
        return written(now)
    try:
        moment = datetime.fromisoformat(said)
        time = written(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError) as error:
        raise FusionError(
            f'{where} has the time "{shorten(said)}"; write times as 2026-01-31T12:00:00+00:00. Nothing was loaded.'
        ) from error
    if time > written(now + AHEAD):
        raise FusionError(
            f'{where} has the time "{shorten(said)}", which is more than a day ahead; put it right, or this '
            "machine's clock. Nothing was loaded."
        )
    return time
