"""A manifest as it lies on disk: every column and line of it, to be written again as .csv, .jsonl or .parquet.

`fusion.data.tables` reads what pairs need; here nothing is left out. A row is a dict of its cells; a line that made no
row is a text, which a CSV holds as one field.

    rows(path, table) -> Rows           of any manifest, with the numbers that the rows of its table have
    write(rows, path, aside) -> rows    by the ending of the path
    change(path, aside, made) -> rows   Parquet into Parquet, types as they are
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion.data.decoding import decode
from fusion.data.pairs import writable
from fusion.data.tables import Table, plain
from fusion.files import shorten
from fusion.triage.tables import json_line
from fusion.types import FusionError

LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
Row = dict[str, Any] | str  # Any: cells of any type


@dataclass(frozen=True)
class Rows:
    """Columns as they are called, the same as no two are, and numbered rows, whose cells go by the latter."""

    called: Sequence[str]
    names: Sequence[str]
    rows: Iterable[tuple[int, Row]]


def rows(path: Path, table: Table) -> Rows:
    """Every row of a file, and the lines of it that made none, in their order. table: what was read of it"""
    kind = path.suffix.lower()
    if kind == PARQUET:
        import pyarrow.parquet as pq

        called = pq.read_schema(path).names
        names = distinct(called)
        return Rows(called, names, enumerate(_cells(path, names), 1))
    if kind in LINES:
        lines = decode(path.read_bytes(), path.name)[0].split("\n")
        found = [(number, json.loads(lines[number - 1])) for number, _ in table.rows]
        called = names = list(dict.fromkeys(name for _, row in found for name in row))
    else:
        called, names = table.columns, distinct(table.columns)
        found = [(number, dict(zip(names, cells, strict=True))) for number, cells in table.rows]
    return Rows(called, names, sorted([*found, *table.unread], key=lambda row: row[0]))


def _cells(path: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for group in _groups(path):
        for batch in group.rename_columns(names).to_batches(max_chunksize=1024):
            yield from batch.to_pylist()


def _groups(path: Path) -> Iterator[Any]:
    """The groups of rows of a Parquet file, each a pyarrow.Table. Raises FusionError on a damaged one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number)
    except (pa.ArrowException, OSError) as error:
        raise FusionError(f'"{shorten(path.name)}" is damaged where the run read nothing; write it again.') from error


def distinct(names: Iterable[str]) -> list[str]:
    """Names of columns, each once: a table may name two alike, or none."""
    made: dict[str, None] = {}
    for at, name in enumerate(names, 1):
        one = first = name or f"column_{at}"
        number = 2
        while one in made:
            one, number = f"{first}_{number}", number + 1
        made[one] = None
    return list(made)


def write(made: Rows, path: Path, aside: Path, *, verbatim: bool = False) -> int:
    """Write rows to `aside` as the kind of table that a path names. -> rows

    verbatim: a line that is no row is one of JSON Lines. Raises FusionError on bytes, on what no column of Parquet can
    hold, and there on a line that is no row.
    """
    kind, count = path.suffix.lower(), 0
    if kind == PARQUET:
        return _parquet(made, aside)
    with aside.open("w", encoding="utf-8-sig" if kind == ".csv" else "utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        if kind == ".csv":
            table.writerow(made.called)
        for _, row in made.rows:
            count += 1
            if kind == ".csv":
                table.writerow([row] if isinstance(row, str) else [_cell(row.get(name)) for name in made.names])
            else:
                stream.write((row if verbatim and isinstance(row, str) else json_line(row)) + "\n")
    return count


def _cell(value: Any) -> str:
    """A cell of a CSV: a list or a structure as JSON, a picture beside the table as its path."""
    if isinstance(value, dict) and value.keys() == {"bytes", "path"} and not value["bytes"]:
        value = value["path"]
    if isinstance(value, dict | list | bytes):
        value = json_line(value)
    return writable(repr(value) if isinstance(value, float) and value == value else plain(value))


def _parquet(made: Rows, aside: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = []
    for number, row in made.rows:
        if isinstance(row, str):
            raise FusionError(f"Line {number} is no row, and a Parquet file holds nothing else; write .csv or .jsonl.")
        found.append(row)
    columns = {}
    for name in made.names:
        cells = [writable(cell) if isinstance(cell := row.get(name), str) else cell for row in found]
        try:
            columns[name] = pa.array(cells)
            pq.write_table(pa.table({name: columns[name][:1]}), pa.BufferOutputStream())  # some types aren't Parquet's
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise FusionError(
                f'No type of Parquet holds the column "{shorten(name)}": its values are of several kinds, or too '
                "large. Write .jsonl."
            ) from error
    pq.write_table(pa.table(columns), aside, compression="zstd")
    return len(found)


def change(path: Path, aside: Path, made: Callable[[Any, int], Any]) -> int:
    """Write what is made of each group of rows of a Parquet file. -> rows

    made: (a pyarrow.Table, the number of its first row) -> a pyarrow.Table.
    """
    import pyarrow.parquet as pq

    first, count = 1, 0
    with pq.ParquetWriter(aside, made(pq.read_schema(path).empty_table(), 1).schema, compression="zstd") as writer:
        for group in _groups(path):
            kept = made(group, first)
            first, count = first + len(group), count + len(kept)
            writer.write_table(kept)
    return count
