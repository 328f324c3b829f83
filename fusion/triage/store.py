"""What a run over a data set gave, to be asked: a page of its rows, filters, counts and vectors, at a million rows too.

    Store.open(folder) -> Store        a finished run; FusionError in a sentence for anything else
    .folder .meta .count .columns      meta: the facts in meta.json; columns: {name: type as DuckDB calls it}
    .page(order="suspicion", where=(), offset=0, limit=100) -> DataFrame
    .place(id, where, order) -> int | None    where a row stands in the pages of an order
    .page, .place and .first take as an order a Weighing, too: the suspicion under weights of one's own
    .count_of(where) .facets(column, where) -> [(value, count)] .span(column, where) -> (least, most) | None
    .row(id) -> dict .take(ids) -> DataFrame .sample(count, seed, where) -> [id] .table(names, where) -> DataFrame
    .vectors(name) -> (N, D) float16, memory-mapped; a row's line in it is its column `row`
    .export(path, where) -> rows       CSV, JSON Lines, or Parquet at any address that fsspec knows

Rows: id, split and what was observed, one part_<name> a part of the suspicion in 0..1 (null where it is missing),
suspicion, rank (1 for the most suspicious) and row (its place in the data set). A folder may come from anyone: values
are parameters, names are checked against the columns, and DuckDB can open that one file and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from fusion.files import inside, shorten
from fusion.triage import conditions, rows, tables
from fusion.triage.conditions import Condition
from fusion.triage.known import VECTORS, VERSION, read_meta
from fusion.triage.weighing import Weighing
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("id", "suspicion", "rank", "row")
FACETS = 100  # values of a column that are counted apart, the most frequent ones
_ROWS = re.compile(r"rows-[0-9a-f]{16}\.parquet")
_VECTORS = re.compile(r"[A-Za-z0-9_+-]{1,64}")


class Store:
    """A finished run, only read. Safe to share between threads."""

    def __init__(self, folder: Path, meta: Mapping[str, Any], connection: duckdb.DuckDBPyConnection) -> None:
        self.folder, self.meta, self._connection = folder, meta, connection
        self.columns: dict[str, str] = {str(row[0]): str(row[1]) for row in self._all("DESCRIBE rows")}
        absent = [name for name in REQUIRED if name not in self.columns]
        if absent:
            raise FusionError(f'The rows in "{shorten(folder.name)}" have no column "{absent[0]}"; run it again.')
        self.count = int(self._all("SELECT count(*) FROM rows")[0][0])
        if not rows.counted(connection, folder.name, self.columns, self.count):
            raise FusionError(f'The rows in "{shorten(folder.name)}" are not in order; run it again.')

    @classmethod
    def open(cls, folder: str | Path) -> Store:
        """The run in a folder. Raises FusionError when there is none, it isn't finished, or it can't be read."""
        folder = Path(folder).expanduser()
        meta = read_meta(folder)
        if meta is None:
            raise FusionError(
                f'"{shorten(folder.name)}" holds no run; make one with: python -m fusion inspect-set DATA.'
            )
        version, name = meta.get("version"), meta.get("rows", "")
        if version != VERSION:
            raise FusionError(
                f'The run in "{shorten(folder.name)}" was written in format {shorten(str(version))}, and this program '
                f"reads format {VERSION}; run it again in another folder."
            )
        if not name:
            raise FusionError(f'The run in "{shorten(folder.name)}" has not ended; start it again, and it goes on.')
        if not isinstance(name, str) or not _ROWS.fullmatch(name) or not (path := inside(folder, name)).is_file():
            raise FusionError(f'The rows of the run in "{shorten(folder.name)}" are not there; run it again.')
        try:
            return cls(folder, meta, rows.connected(path))
        except duckdb.Error as error:
            raise FusionError(f'The rows in "{shorten(folder.name)}" can\'t be read; run it again.') from error

    def page(
        self, order: str | Weighing = "suspicion", where: Sequence[Condition] = (), offset: int = 0, limit: int = 100
    ) -> pd.DataFrame:
        """Some rows in an order, the most suspicious first unless another is asked for; rows without a value come last.

        order: a column, parts with the most first and others with the least, or weights of one's own, under which
        `suspicion` is what they make of a row.
        """
        if isinstance(order, Weighing):
            found = self._weighed(order, where, offset, limit)
            own = np.array([np.nan if value is None else value for _, value in found], np.float64)
            return self._ranked([rank for rank, _ in found]).assign(suspicion=order.suspicion(own))
        column = self._named(order)
        if order == "suspicion":
            if not where:  # the file is sorted so: only the part of it that is shown is read
                query = "SELECT * FROM rows WHERE rank > ? AND rank <= ? ORDER BY rank LIMIT ?"
                return self._frame(query, [int(offset), int(offset) + int(limit), int(limit)])
            by = "rank"
        else:
            by = f"{column} {'DESC' if _most_first(order) else 'ASC'} NULLS LAST, rank"
        said, values = self._where(where)
        query = f"SELECT rank FROM rows {said} ORDER BY {by} LIMIT ? OFFSET ?"
        return self._ranked([row[0] for row in self._all(query, [*values, int(limit), int(offset)])])

    def first(self, order: Weighing, count: int) -> list[int]:
        """The ranks of the most suspicious rows under weights of one's own, in that order."""
        return [rank for rank, _ in self._weighed(order, (), 0, count)]

    def place(self, id: str, where: Sequence[Condition] = (), order: str | Weighing = "suspicion") -> int | None:
        """How many rows stand before one in an order, as `page` has it; None when it isn't among them."""
        said, values = self._where((*where, Condition("id", "=", id)))
        if isinstance(order, Weighing):
            by, given = self._weighing(order)
        else:
            by, given = self._named(order), []
        here = self._all(f"SELECT rank FROM rows {said}", values)
        if not here:
            return None
        rank = int(here[0][0])
        if order == "suspicion":
            return self.count_of((*where, Condition("rank", "<", rank)))
        said, values = self._where(where)
        before = ">" if isinstance(order, Weighing) or _most_first(order) else "<"
        query = (
            f"WITH told AS (SELECT rank AS r, {by} AS v FROM rows {said}), here AS (SELECT v FROM told WHERE r = ?) "
            f"SELECT count(*) FROM told AS o, here AS h WHERE o.v {before} h.v OR (h.v IS NULL AND o.v IS NOT NULL) "
            "OR (o.v IS NOT DISTINCT FROM h.v AND o.r < ?)"
        )
        return int(self._all(query, [*given, *values, rank, rank])[0][0])

    def count_of(self, where: Sequence[Condition] = ()) -> int:
        """How many rows meet the conditions."""
        said, values = self._where(where)
        return int(self._all(f"SELECT count(*) FROM rows {said}", values)[0][0])

    def facets(self, column: str, where: Sequence[Condition] = ()) -> list[tuple[Any, int]]:
        """The most frequent values of a column, up to 100, and how often each comes; None is the empty value."""
        said, values = self._where(where)
        name = self._named(column)
        query = f"SELECT {name}, count(*) AS n FROM rows {said} GROUP BY {name} ORDER BY n DESC, {name} LIMIT {FACETS}"
        return [(row[0], int(row[1])) for row in self._all(query, values)]

    def span(self, column: str, where: Sequence[Condition] = ()) -> tuple[Any, Any] | None:
        """The least and the most of a column, None where it is empty."""
        said, values = self._where(where)
        name = self._named(column)
        least, most = self._all(f"SELECT min({name}), max({name}) FROM rows {said}", values)[0]
        return None if least is None else (least, most)

    def row(self, id: str) -> dict[str, Any]:
        """One row. Raises FusionError when there is none."""
        frame = self._frame("SELECT * FROM rows WHERE id = ?", [id])
        if frame.empty:
            raise FusionError(f'The run has no sample "{shorten(id)}"; take an id of its table.')
        return {str(name): value for name, value in frame.iloc[0].items()}

    def take(self, ids: Iterable[str]) -> pd.DataFrame:
        """The rows of some ids, in that order; those that aren't there are left out."""
        wanted = list(ids)
        query = "SELECT id, rank FROM rows WHERE id IN (SELECT unnest(?::VARCHAR[]))"
        found = dict(self._all(query, [wanted]))
        return self._ranked([found[id] for id in wanted if id in found])

    def sample(self, count: int, seed: int = 0, where: Sequence[Condition] = ()) -> list[str]:
        """Some ids at random, the same for a seed on every machine; more of them begin with the same ones."""
        said, values = self._where(where)
        query = f"SELECT id FROM rows {said} ORDER BY md5(concat(?::VARCHAR, ':', id)), id LIMIT ?"
        return [row[0] for row in self._all(query, [*values, str(int(seed)), int(count)])]

    def ids(self, where: Sequence[Condition] = ()) -> list[str]:
        """The ids of all rows that meet the conditions, the most suspicious first."""
        said, values = self._where(where)
        return [row[0] for row in self._all(f"SELECT id FROM rows {said} ORDER BY rank", values)]

    def column(self, name: str) -> np.ndarray:
        """One column of all rows in the order of the data set, which is that of the vectors."""
        made = self._frame(f"SELECT {self._named(name)} AS value FROM rows ORDER BY row", [])["value"]
        return made.to_numpy()

    def table(self, names: Sequence[str], where: Sequence[Condition] = ()) -> pd.DataFrame:
        """Some columns of the rows that meet the conditions, in any order; no other column is read."""
        said, values = self._where(where)
        return self._frame(f"SELECT {', '.join(map(self._named, names))} FROM rows {said}", values)

    def vectors(self, name: str) -> np.ndarray:
        """The vectors of a name, one line a sample in the order of the data set. -> (N, D) float16, memory-mapped

        Raises FusionError for another name, or where they can't be read.
        """
        names = self.names()
        if name not in names:
            have = ", ".join(names) or "none"
            raise FusionError(f'The run has no vectors "{shorten(name)}"; there are {have}.')
        path = inside(self.folder, f"{VECTORS}/{name}.npy")
        try:
            made = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise FusionError(f'The vectors "{name}" of the run can\'t be read; run it again.') from error
        if made.ndim != 2 or len(made) != self.count or made.dtype != np.float16:
            raise FusionError(f'The vectors "{name}" are not those of the run\'s {self.count:,} rows; run it again.')
        return made

    def names(self) -> tuple[str, ...]:
        """The names of its vectors."""
        told = self.meta.get("vectors")
        return tuple(n for n in told if _VECTORS.fullmatch(n)) if isinstance(told, dict) else ()

    def export(self, path: str | Path, where: Sequence[Condition] = ()) -> int:
        """Write the rows that meet the conditions, the most suspicious first. -> rows. Raises FusionError."""
        said, values = self._where(where)
        frame = self._frame(f"SELECT * FROM rows {said} ORDER BY rank", values)
        tables.write(frame, path)
        return len(frame)

    def _named(self, column: str) -> str:
        return conditions.named(column, self.columns)

    def _where(self, where: Sequence[Condition]) -> tuple[str, list[Any]]:
        return conditions.sql(where, self.columns)

    def _weighing(self, order: Weighing) -> tuple[str, list[float]]:
        """Weights of one's own as SQL. Raises FusionError on a part that isn't there."""
        return order.sql({name: self._named(f"part_{name}") for name, _ in order.weights})

    def _weighed(
        self, order: Weighing, where: Sequence[Condition], offset: int, limit: int
    ) -> list[tuple[int, float | None]]:
        """(rank, what orders it) of some rows under weights of one's own."""
        (by, given), (said, values) = self._weighing(order), self._where(where)
        query = f"SELECT rank, {by} AS own FROM rows {said} ORDER BY own DESC NULLS LAST, rank LIMIT ? OFFSET ?"
        return self._all(query, [*given, *values, int(limit), int(offset)])  # type: ignore[return-value]

    def _ranked(self, ranks: Sequence[int]) -> pd.DataFrame:
        """The rows of some ranks in that order. Ranks are found first, in one narrow column or two: all columns of a
        million rows are then not read for a hundred of them."""
        at = {rank: i for i, rank in enumerate(ranks)}
        ends = [min(at, default=0), max(at, default=-1)]
        query = "SELECT * FROM rows WHERE rank BETWEEN ? AND ? AND rank IN (SELECT unnest(?::BIGINT[]))"
        frame = self._frame(query, [*ends, list(at)])
        return frame.iloc[np.argsort([at[rank] for rank in frame["rank"]], kind="stable")].reset_index(drop=True)

    def _frame(self, query: str, values: Sequence[Any]) -> pd.DataFrame:
        return rows.asked(self._connection, self.folder.name, query, values).df()

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return rows.asked(self._connection, self.folder.name, query, values).fetchall()


def _most_first(column: str) -> bool:
    """Whether an order by a column begins with the highest."""
    return column == "suspicion" or column.startswith("part_")
