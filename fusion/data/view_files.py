"""Views from a file: two or more tables of features whose rows stand for the same things.

.npz (arrays), .safetensors (tensors, words as JSON lists in the metadata) and .parquet (columns of lists of numbers).
Beside the tables there may be `ids`, `label` and `split`, one a row, and `<view>.known`, which rows a view really has
(0 or 1), as in docs/feature-files.md. Nothing pickled is read. N rows, D_m features of view m.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from fusion.data.dataset import DataSet
from fusion.data.feature_files import KNOWN, Table, checked
from fusion.data.pairs import SPLITS, user_key, writable
from fusion.data.splitting import splits
from fusion.data.streams import StreamSet
from fusion.files import digest, file_digest, shorten
from fusion.types import FusionError, Modality, Numbers, Part, Sample

ENDINGS = (".npz", ".safetensors", ".parquet")
ROLES = {"ids": "id", "id": "id", "label": "label", "labels": "label", "split": "split", "splits": "split"}
LEFT_OUT = ("data", "sources", "about")  # what feature files say of themselves
CLASSES = 1000
NAMED = 5  # rows or columns that a sentence names
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DAMAGED = (SafetensorError, zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError, TypeError, EOFError)


@dataclass(frozen=True, eq=False)
class Raw:
    """What a file holds, unchecked."""

    tables: Mapping[str, np.ndarray]  # {view, or view.known: array}
    roles: Mapping[str, Sequence[Any]]  # {id | label | split: N values}; Any: what the file holds


def recognised(spec: str) -> Path | None:
    """The file of tables that a path names; None where it is anything else, a table of pairs among them."""
    try:
        path = Path(spec).expanduser().resolve()
        if path.suffix.lower() not in ENDINGS or not path.is_file():
            return None
    except (OSError, ValueError, RuntimeError):  # NUL, too long, a loop of links, no such user
        return None
    return path if path.suffix.lower() != ".parquet" or _lists(path) else None


def read(path: Path) -> DataSet:
    """The views of a file as a data set; its samples have a class, a score, or nothing to answer.

    Raises FusionError where there are fewer than two tables, their rows differ in number, or a table holds what is no
    number, only constants, or is known of no row.
    """
    raw, name = _opened(path), shorten(path.name)
    found = {view: table for view, table in raw.tables.items() if not view.endswith(KNOWN)}
    if len(found) < 2:
        had = f"one table of features, {next(iter(found))}" if found else "no table of features"
        raise FusionError(f'"{name}" holds {had}, and views are two or more; put them into one file, a row a sample.')
    rows = {view: len(table) for view, table in found.items()}
    rows |= {role: len(values) for role, values in raw.roles.items()}
    if len(set(rows.values())) > 1:
        told = ", ".join(f"{view} {count:,}" for view, count in rows.items())
        raise FusionError(f'"{name}" has different numbers of rows ({told}); give every table a row for each sample.')
    ids = _ids(name, raw, next(iter(rows.values())))
    tables, problems = {}, []
    for view, values in found.items():
        if not _NAME.fullmatch(view):
            raise FusionError(f'"{name}": "{shorten(view, 40)}" can\'t name a view; use small letters, digits and _.')
        tables[view] = checked(name, view, values, raw.tables.get(view + KNOWN), ids, name)
        problems += _constant(name, view, tables[view])
    return _dataset(path, raw, ids, tables, problems)


def about(path: Path) -> dict[str, str]:
    """What a .npz file says of itself in `about`, a JSON object as one text; {} where it says nothing."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            found = json.loads(str(stored["about"]))
    except _DAMAGED:
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _dataset(path: Path, raw: Raw, ids: list[str], tables: Mapping[str, Table], problems: list[str]) -> DataSet:
    present = np.stack([table.known for table in tables.values()], 1)
    none = np.flatnonzero(~present.any(1))
    if len(none):
        problems.append(f"{len(none):,} rows have no view at all and are left out: {_some([ids[at] for at in none])}")
    target, classes, scale = _target(shorten(path.name), raw.roles.get("label"), len(ids))
    named = [str(one).strip().lower() for one in raw.roles.get("split", [""] * len(ids))]
    split, notes = splits([SPLITS.get(one, one) for one in named], ids)
    modalities = tuple(
        Modality(view, "image" if view.startswith("image") else "attribute", table.values.shape[1], 1, "vector")
        for view, table in tables.items()
    )
    streams = StreamSet(
        path.name, modalities, {view: table.values[:, None] for view, table in tables.items()},
        {view: table.known.astype(np.int64) for view, table in tables.items()}, present, target, split, classes, scale,
        groups=tuple(ids),
    )  # fmt: skip
    samples = []
    for row, id in enumerate(ids):
        parts: dict[str, Part] = {v: Numbers(t.values[row : row + 1]) for v, t in tables.items() if t.known[row]}
        known = target[row].item() if streams.known[row] else None
        samples.append(Sample(id, parts, streams.split_of(row), known))
    return DataSet(
        user_key(path), path.name, tuple(samples), tuple(problems), "yours", path.parent,
        digest("views", file_digest(path)), tuple(notes), f"views:{path}", streams=streams,
    )  # fmt: skip


def _ids(name: str, raw: Raw, count: int) -> list[str]:
    """Ids as given, or the numbers of the rows. Raises FusionError where one stands twice or a table is empty."""
    if not count:
        raise FusionError(f'"{name}" holds no row; give tables with a row for each sample.')
    ids = [writable(str(one)) for one in raw.roles.get("id", range(1, count + 1))]
    if len(set(ids)) < count:
        seen: set[str] = set()
        twice = next(id for id in ids if id in seen or seen.add(id))
        raise FusionError(f'"{name}" has the id "{shorten(twice)}" twice; give each row its own.')
    return ids


def _constant(name: str, view: str, table: Table) -> list[str]:
    """What to say of columns that never change. Raises FusionError where no column does."""
    known = table.values[table.known]
    still = np.flatnonzero(known.min(0) == known.max(0))
    if len(still) == known.shape[1]:
        raise FusionError(
            f'"{name}": every column of "{view}" is the same in all rows, so nothing can agree with it; leave it out.'
        )
    if not len(still):
        return []
    which = _some([str(at + 1) for at in still])
    return [f'{len(still):,} of {known.shape[1]:,} columns of "{view}" never change and are not used: {which}']


def _some(names: Sequence[str]) -> str:
    return ", ".join(shorten(one, 40) for one in names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def _target(
    name: str, labels: Sequence[Any] | None, count: int
) -> tuple[np.ndarray, tuple[str, ...], tuple[float, float]]:
    """Classes of words and whole numbers, scores of other numbers, NaN without labels. -> (N,), names, scale"""
    if labels is None:
        return np.full(count, np.nan, np.float32), (), (-1.0, 1.0)
    values = np.asarray(labels)
    if values.dtype.kind == "f" and not (np.isnan(values) | (values == np.floor(values))).all():
        if np.isinf(values).any() or np.nanmin(values) == np.nanmax(values):
            raise FusionError(
                f'"{name}" has scores that are infinite or all the same; mend the labels or leave them out.'
            )
        return values.astype(np.float32), (), (float(np.nanmin(values)), float(np.nanmax(values)))
    words = [_word(one) for one in values.tolist()]
    classes = tuple(
        sorted({one for one in words if one}, key=lambda one: (len(one), one) if one.isdigit() else (99, one))
    )
    if len(classes) > CLASSES:
        raise FusionError(
            f'"{name}" has {len(classes):,} different labels, and up to {CLASSES:,} classes are read; leave them out.'
        )
    number = {one: at for at, one in enumerate(classes)} | {"": -1}
    if not classes:
        return np.full(count, np.nan, np.float32), (), (-1.0, 1.0)
    return np.array([number[one] for one in words], np.int64), classes, (-1.0, 1.0)


def _word(value: object) -> str:
    """A label in words, "" where there is none."""
    if value is None or value == -1 or (isinstance(value, float) and np.isnan(value)):
        return ""
    return writable(str(int(value) if isinstance(value, float) else value)).strip()


def _opened(path: Path) -> Raw:
    """The arrays of a file. Raises FusionError on what is damaged or pickled."""
    try:
        arrays, words = {".npz": _npz, ".safetensors": _safetensors, ".parquet": _parquet}[path.suffix.lower()](path)
    except _DAMAGED as error:
        if "allow_pickle" in str(error) or "pickle" in str(error).lower():
            raise FusionError(
                f'"{shorten(path.name)}" holds pickled objects, which can run code and are not read; save plain arrays '
                "of numbers and texts."
            ) from None
        raise FusionError(
            f'"{shorten(path.name)}" can\'t be read ({shorten(str(error), 120)}); write it again.'
        ) from None
    roles: dict[str, Sequence[Any]] = {ROLES[name]: values for name, values in words.items()}
    tables = {}
    for name, value in arrays.items():
        if name in ROLES and value.ndim == 1:
            roles[ROLES[name]] = value.tolist()
        elif name not in LEFT_OUT and (value.ndim > 1 or name.endswith(KNOWN)):
            tables[name] = value
    return Raw(tables, roles)


def _npz(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Sequence[Any]]]:
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:  # numpy leaves a bad one open
        return {name: stored[name] for name in stored.files}, {}


def _safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Sequence[Any]]]:
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with safe_open(path, framework="np") as stream:
        about = dict(stream.metadata() or {})
    words = {name: json.loads(text) for name, text in about.items() if name in ROLES}
    if not all(isinstance(values, list) for values in words.values()):
        raise ValueError("ids, label and split in its metadata are JSON lists")
    return load_file(path), words


def _lists(path: Path) -> bool:
    """Whether a Parquet file has columns of lists of numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bool(_vectors(pq.read_schema(path)))
    except (OSError, pa.ArrowException):
        return False


def _vectors(schema: Any) -> list[str]:  # a pyarrow.Schema; pyarrow comes without types
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    number = lambda kind: pa.types.is_floating(kind) or pa.types.is_integer(kind)  # noqa: E731
    return [f.name for f in schema if any(is_a(f.type) for is_a in lists) and number(f.type.value_type)]


def _parquet(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Sequence[Any]]]:
    import pyarrow.parquet as pq

    wanted = _vectors(pq.read_schema(path))
    schema = pq.read_schema(path).names
    table = pq.read_table(path, columns=[*wanted, *(name for name in schema if name in ROLES and name not in wanted)])
    arrays, words = {}, {}
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        if name not in wanted:
            words[name] = column.to_pylist()
            continue
        width = np.array([0 if one is None else len(one) for one in column])
        known = width > 0
        common = int(width[known][0]) if known.any() else 0
        if (width[known] != common).any():
            row = int(np.flatnonzero(known & (width != common))[0])
            raise ValueError(f'row {row + 1} of "{name}" has {width[row]} numbers where others have {common}')
        values = np.zeros((len(width), common), np.float32)
        values[known] = np.asarray(column.drop_null().flatten(), np.float32).reshape(-1, common)
        arrays |= {name: values, f"{name}{KNOWN}": known}
    return arrays, words
