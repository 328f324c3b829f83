"""Tables from outside, as columns and rows: .csv, .tsv, .jsonl and .parquet, with every bad row named.

Cells of .csv and .tsv are text; those of .jsonl and .parquet have the types that they were written with.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusion.data.decoding import decode
from fusion.types import FusionError

TEXT_BYTES = 512 * 2**20  # of a .csv, .tsv or .jsonl file, all of it in memory
PARQUET_BYTES = 2 * 2**30  # of a .parquet file in memory, embedded pictures included
ROWS = 1_000_000
LINES = 2 * ROWS
SPAN = 1000  # lines that one record may run over: what a quote that is never closed costs
OPEN_QUOTES = 1000  # of those; a file with more was written without quoting
COLUMNS = 64  # beyond what has a role, to be shown beside a sample
DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
_DOUBLE = 'write a quote inside a text twice ("") and put quotes around the text'

# What a column may be called, best first; case, spaces and hyphens don't matter.
ROLES: dict[str, tuple[str, ...]] = {
    "image": (
        "image", "image_path", "imagepath", "path", "file", "img", "img_path", "image_file", "image_name", "filename",
        "file_name", "filepath", "file_path", "picture", "photo", "图片", "图像", "图片路径", "图像路径",
    ),
    "text": ("text", "caption", "sentence", "tweet", "description", "content", "title", "文本", "句子", "描述"),
    "label": ("label", "class", "target", "category", "tags", "labels", "ner_tags", "标签", "类别"),
    "id": ("id", "uid", "sample_id", "key", "编号"),
    "split": ("split", "subset", "partition", "划分"),
}  # fmt: skip


@dataclass
class Table:
    """Rows with the number that a person finds them by, and what was wrong with those that are missing."""

    columns: tuple[str, ...]
    rows: list[tuple[int, Sequence[Any]]]  # cells of any type; `fusion.data.pairs` says what each column may hold
    place: str = "line"  # what the number of a row counts: line | row
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)  # lines that made no row, with their numbers


def roles(columns: Sequence[str]) -> dict[str, int]:
    """Which column has which role, by its name."""
    names = [column.strip().lower().replace(" ", "_").replace("-", "_") for column in columns]
    found = {}
    for role, aliases in ROLES.items():
        best = next((alias for alias in aliases if alias in names), None)
        if best is not None:
            found[role] = names.index(best)
    return found


def read(path: Path) -> Table:
    """The table in a file, by its ending. Raises FusionError when it holds none, or is too large."""
    kind = path.suffix.lower()
    reader = READERS.get(kind)
    if reader is None:
        raise FusionError(f'"{path.name}" is no table that can be read here; save it as {", ".join(READERS)}.')
    try:
        size = path.stat().st_size
        if size > (limit := PARQUET_BYTES if kind == ".parquet" else TEXT_BYTES):
            raise FusionError(f'"{path.name}" has {size >> 20} MB; split it into files of up to {limit >> 20} MB.')
        return reader(path)
    except PermissionError as error:
        raise FusionError(f'"{path.name}" can\'t be read; check its permissions.') from error


def _delimited(path: Path) -> Table:
    text, notes = decode(path.read_bytes(), path.name)
    if text.count("\n") > LINES:
        raise FusionError(f'"{path.name}" has more than {LINES:,} lines; split it into smaller files.')
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise FusionError(f'"{path.name}" is empty; its first line names the columns, such as "image,text".')
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    delimiter = _told(lines[start])
    start += bool(delimiter)
    header = lines[start] if start < len(lines) else ""
    delimiter = delimiter or _delimiter(header, usual)
    table = Table(tuple(name.strip() for name in _cells(header, delimiter)), [], notes=notes)
    width = len(table.columns)
    if delimiter != usual:
        table.notes.append(f"The columns are apart by a {_called(delimiter)}, not by a {_called(usual)}.")
    for number, last, cells in _records(lines, start + 1, delimiter, table, path.name):
        if len(cells) == width or (len(cells) > width and not any(cells[width:])):
            table.rows.append((number, cells[:width]))
        else:
            quote = f"; put quotes around a text that holds a {_called(delimiter)}" if len(cells) > width else ""
            table.problems.append(f"line {number}: it has {len(cells)} fields, the first line {width}{quote}")
            table.unread.append((number, "\n".join(lines[number - 1 : last])))
    return table


def _called(delimiter: str) -> str:
    return DELIMITERS.get(delimiter, f'"{delimiter}"')


def _told(line: str) -> str:
    """The delimiter that a first line of Excel's own names (sep=;), "" when it is another line."""
    return line[4] if len(line) == 5 and line.lower().startswith("sep=") and line[4] != '"' else ""


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _delimiter(header: str, usual: str) -> str:
    """The delimiter under which the header names the most of what is needed, the usual one first."""

    def worth(sign: str) -> tuple[int, int]:
        columns = _cells(header, sign)
        found = roles(columns)
        return ("image" in found) + ("text" in found), len(columns)

    return max(sorted(DELIMITERS, key=lambda sign: sign != usual), key=worth)


def _records(
    lines: list[str], start: int, delimiter: str, table: Table, name: str
) -> Iterator[tuple[int, int, list[str]]]:
    """The first line of each record, its last one and its fields; a record that can't be read is named and passed.

    A quoted field may run over lines. Between tabs, quotes that make no sense are part of the text: tweets have many.
    """
    csv.field_size_limit(TEXT_BYTES)  # a text of 200,000 characters is long, not wrong
    at = limit = start  # the next line, and the line that a record may not reach

    def feed() -> Iterator[str]:
        nonlocal at
        while at < limit:
            at += 1
            yield lines[at - 1] + "\n"

    reader, open_quotes = csv.reader(feed(), delimiter=delimiter, strict=True), 0
    while at < len(lines):
        line, first = lines[at], at + 1
        if '"' not in line:
            at = first
            cells = line.split(delimiter)
            if any(not cell.isspace() for cell in cells if cell):
                yield first, first, cells
            continue
        limit = min(at + SPAN, len(lines))
        try:
            cells, why = next(reader), ""
        except csv.Error as error:
            cells, why = [], str(error)
        if "unexpected end" in why:  # the feed ran dry
            at, open_quotes = first, open_quotes + (delimiter != "\t")
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        if delimiter == "\t" and (why or any("\t" in cell for cell in cells)):
            at = first
            yield first, first, line.split("\t")
        elif not why:
            yield first, at, cells
        elif "unexpected end" in why:
            if open_quotes > OPEN_QUOTES:
                raise FusionError(f'"{name}" has more than {OPEN_QUOTES} quotes that are never closed; {_DOUBLE}.')
            table.problems.append(f"line {first}: its quote is not closed in the next {SPAN} lines; {_DOUBLE}")
            table.unread.append((first, line))
        else:
            where = f"line {first}" if at == first else f"lines {first} to {at}"
            table.problems.append(f"{where}: something follows a closing quote; {_DOUBLE}")
            table.unread.append((first, "\n".join(lines[first - 1 : at])))


def _json_lines(path: Path) -> Table:
    text, notes = decode(path.read_bytes(), path.name)
    if text.count("\n") > LINES:
        raise FusionError(f'"{path.name}" has more than {LINES:,} lines; split it into smaller files.')
    found: list[tuple[int, dict[str, Any]]] = []
    problems, unread = [], []
    columns: dict[str, None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = (
                f"{error.msg} at character {error.pos + 1}"
                if isinstance(error, json.JSONDecodeError)
                else "too deep or too long"
            )
            problems.append(f"line {number}: it is no JSON ({why})")
            unread.append((number, line))
            continue
        if not isinstance(value, dict):
            problems.append(f'line {number}: it is no JSON object; write {{"image": "...", "text": "..."}}')
            unread.append((number, line))
            continue
        columns |= dict.fromkeys(value)
        found.append((number, value))
    if not found:
        first = f"; {problems[0]}" if problems else ""
        raise FusionError(
            f'"{path.name}" holds no JSON object{first}. Write one a line: {{"image": "a.jpg", "text": "..."}}.'
        )
    named = tuple(columns)
    where = set(roles(named).values())
    kept = [column for i, column in enumerate(named) if i < COLUMNS or i in where]
    rows: list[tuple[int, Sequence[Any]]] = [(number, [value.get(name) for name in kept]) for number, value in found]
    return Table(tuple(kept), rows, problems=problems, notes=notes, unread=unread)


def _parquet(path: Path) -> Table:
    import pyarrow as pa  # slow to import
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            wanted = _wanted(file.schema_arrow)
            cells: dict[str, list[Any]] = {name: [] for name in wanted}
            used = count = 0
            for batch in file.iter_batches(batch_size=1024, columns=wanted) if wanted else ():
                used, count = used + batch.nbytes, count + len(batch)
                if used > PARQUET_BYTES or count > ROWS:
                    raise FusionError(
                        f'"{path.name}" unpacks to more than {PARQUET_BYTES >> 20} MB or {ROWS:,} rows; split it.'
                    )
                for name, values in cells.items():
                    values += batch.columns[batch.schema.names.index(name)].to_pylist()
            names = tuple(file.schema_arrow.names)
    except UnicodeDecodeError as error:
        raise FusionError(f'"{path.name}" holds text that is not UTF-8; write it again from text.') from error
    except (pa.ArrowException, OSError) as error:  # no Parquet file, or a damaged page
        if isinstance(error, PermissionError):
            raise
        raise FusionError(f'"{path.name}" is no Parquet file, or a damaged one; write it again.') from error
    rows: list[tuple[int, Sequence[Any]]] = list(enumerate(zip(*cells.values(), strict=True), 1))
    return Table(tuple(wanted) or names, rows, place="row")


def _wanted(schema: Any) -> list[str]:  # a pyarrow.Schema; pyarrow comes without types
    """Columns with a role, and those that are short: embeddings and sounds beside the pairs are not read."""
    import pyarrow as pa

    where = set(roles(schema.names).values())
    short = [pa.types.is_string(kind) or pa.types.is_integer(kind) for kind in schema.types]
    names = [
        name for i, name in enumerate(schema.names) if i in where or (short[i] and i < COLUMNS and "." not in name)
    ]
    return list(dict.fromkeys(names))


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".parquet": _parquet,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
}


def plain(value: object) -> str:
    """A cell as text: "" for nothing, whole numbers without a point."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)
