"""The file of a run's rows as DuckDB sees it: that one file and nothing else, whoever it came from.

connected(path) -> a connection with the view `rows`
asked(connection, name, query, values) -> what came out; FusionError in a sentence where nothing can
counted(connection, name, columns, count) -> whether ranks and rows are each there once
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from fusion.files import shorten
from fusion.types import FusionError

MEMORY = "1GB"  # that a question may take
_WHOLE = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
_UNLIKE = (duckdb.ConversionException, duckdb.BinderException)  # a value and a column


def connected(path: Path) -> duckdb.DuckDBPyConnection:
    """A connection that sees one Parquet file as the view `rows`, and can open nothing else afterwards."""
    told = "'" + str(path).replace("'", "''") + "'"
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
            "allow_community_extensions": "false", "temp_directory": "", "memory_limit": MEMORY,
        },
    )  # fmt: skip
    try:
        connection.execute(f"SET allowed_paths = [{told}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet([{told}], hive_partitioning = false)")
    except BaseException:
        connection.close()
        raise
    return connection


def asked(
    connection: duckdb.DuckDBPyConnection, name: str, query: str, values: Sequence[Any] = ()
) -> duckdb.DuckDBPyConnection:
    """The answer to a question. name: of the run's folder. Any: what a column may hold

    Raises FusionError where a value is none of its column's kind, memory is short, or the rows are damaged.
    """
    try:
        return connection.cursor().execute(query, list(values))
    except duckdb.OutOfMemoryException as error:
        raise FusionError(
            f"This takes more memory than a question may have ({MEMORY}); ask it of fewer rows, or by a column whose "
            "values are shorter."
        ) from error
    except duckdb.Error as error:
        if values and (isinstance(error, _UNLIKE) or not _takes(connection, values)):
            told = ", ".join(shorten(str(value), 40) for value in values)
            raise FusionError(f"The column can't be compared with {told}; take a value of its kind.") from error
        raise FusionError(f'The rows in "{shorten(name)}" can\'t be read; run it again.') from error


def counted(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str], count: int) -> bool:
    """Whether the ranks are 1 to count and the rows 0 to count - 1, each once: pages and vectors go by them.

    One bit a row: a fifth of a second at a million. Raises FusionError as `asked` does.
    """
    if not {columns["rank"], columns["row"]} <= _WHOLE:
        return False
    for column, least in (("rank", 1), ("row", 0)):
        most = least + count - 1
        within = f"count(*) FILTER ({column} BETWEEN {least} AND {most})"
        if asked(connection, name, f"SELECT {within} FROM rows").fetchall()[0][0] != count:
            return False
        once = f"SELECT bit_count(bitstring_agg({column}, {least}, {most})) FROM rows"
        if count and asked(connection, name, once).fetchall()[0][0] != count:
            return False
    return True


def _takes(connection: duckdb.DuckDBPyConnection, values: Sequence[Any]) -> bool:
    """Whether the values can be asked for at all, whatever the rows hold."""
    try:
        connection.cursor().execute(f"SELECT {', '.join('?' * len(values))}", list(values))
    except duckdb.Error:
        return False
    return True
