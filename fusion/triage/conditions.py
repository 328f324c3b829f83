"""What rows of a run must hold, as SQL: columns are checked against those that are there, values are parameters.

Condition(column, how, value, also)   how: = != < <= > >= in, not in, contains, empty, filled
sql(where, columns) -> (WHERE ..., its values)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusion.files import shorten
from fusion.types import FusionError

_COMPARED = {"=": "=", "!=": "IS DISTINCT FROM", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
HOWS = (*_COMPARED, "in", "not in", "contains", "empty", "filled")


@dataclass(frozen=True)
class Condition:
    """What a column must hold. value: of "in" and "not in" several, of "empty" and "filled" none."""

    column: str
    how: str
    value: Any = None  # text, number, truth value, or a list of them
    also: tuple[str, ...] = ()  # further columns of which one that holds it will do


def sql(where: Sequence[Condition], columns: Mapping[str, str]) -> tuple[str, list[Any]]:
    """(WHERE ..., its values). columns: {name: type as DuckDB calls it}

    Raises FusionError on a column or a comparison that isn't there.
    """
    said, values = [], []
    for condition in where:
        parts = []
        for column in (condition.column, *condition.also):
            part, given = _compared(column, condition.how, condition.value, columns)
            parts.append(part)
            values += given
        said.append(parts[0] if len(parts) == 1 else f"({' OR '.join(parts)})")
    return (f"WHERE {' AND '.join(said)}" if said else ""), values


def named(column: str, columns: Mapping[str, str]) -> str:
    """A column as SQL names it. Raises FusionError when there is none of that name."""
    if column not in columns:
        raise FusionError(f'The run has no column "{shorten(column)}"; there are {", ".join(columns)}.')
    return '"' + column.replace('"', '""') + '"'


def _compared(column: str, how: str, value: Any, columns: Mapping[str, str]) -> tuple[str, list[Any]]:
    """A condition on one column, and its values. Raises FusionError as `sql` does."""
    name = named(column, columns)
    if how in _COMPARED:
        return f"{name} {_COMPARED[how]} ?", [_value(value)]
    if how in ("in", "not in"):
        inner = f"(SELECT unnest(?::VARCHAR[])::{columns[column]})"
        empty, full = any(one is None for one in value), [str(one) for one in value if one is not None]
        if how == "in":
            return f"({name} IN {inner}{f' OR {name} IS NULL' if empty else ''})", [full]
        return f"({name} NOT IN {inner}{'' if empty else f' OR {name} IS NULL'})", [full]
    if how == "contains":
        return f"contains(lower({name}::VARCHAR), lower(?))", [str(value)]
    if how in ("empty", "filled"):
        nothing = f"({name} IS NULL OR {name}::VARCHAR = '')"
        return (nothing if how == "empty" else f"NOT {nothing}"), []
    raise FusionError(f'"{shorten(how)}" compares nothing; there are {", ".join(HOWS)}.')


def _value(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
