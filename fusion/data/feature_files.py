"""Files of features: one table a modality for the entities of a data set, made here or by another program.

docs/feature-files.md describes the format, in .safetensors and in .npz. A file is checked against its data set before
anything is trained: which entities it lacks, in what order its rows are, how wide they are, and what isn't a number.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from fusion.files import atomic_file, digest, shorten
from fusion.types import FusionError

FORMAT = "fusionscope-features-1"
KNOWN = ".known"  # behind a modality's name: the table that says which rows are real
ABOUT = ("ids", "data", "sources")  # arrays of an .npz that are no table
MODALITY = 40  # characters of a modality's name
_DAMAGED = (SafetensorError, zipfile.BadZipFile, zlib.error, OSError, ValueError, KeyError, EOFError)


@dataclass(frozen=True, eq=False)
class Table:
    """One modality as it was measured: nothing is normalised, and rows that nobody measured are zeros."""

    values: np.ndarray  # (N, D) float32 or float16
    known: np.ndarray  # (N,) bool
    source: str = ""  # which encoder, or which counting, made it
    columns: tuple[str, ...] = ()  # D names, where the columns have any


def write(path: Path, ids: Sequence[str], tables: Mapping[str, Table], data: str = "", half: bool = False) -> None:
    """Save tables of the entities `ids`. `data`: digest of the data set; `half`: 16 bits a number.

    Raises FusionError when the name doesn't end in .safetensors or .npz, or the file can't be written.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, table in tables.items():
        arrays[name] = np.ascontiguousarray(table.values, dtype=np.float16 if half else np.float32)
        arrays[name + KNOWN] = np.ascontiguousarray(table.known, dtype=np.uint8)
    assert not set(arrays) & set(ABOUT), "a modality can't be called so"
    about = {"data": data, "sources": json.dumps({name: table.source for name, table in tables.items()})}
    try:
        with atomic_file(writable_name(path)) as aside:
            if path.suffix == ".safetensors":
                said = {"format": FORMAT, "ids": json.dumps(list(ids), ensure_ascii=False), "sha256": _checksum(arrays)}
                save_file(arrays, aside, metadata=about | said)
            else:
                texts = {name: np.array(text) for name, text in about.items()}
                with aside.open("wb") as stream:
                    np.savez_compressed(stream, ids=np.array(list(ids)), **texts, **arrays)  # type: ignore[arg-type]  # its stub
    except OSError as error:
        raise FusionError(f'"{path}" can\'t be written ({error.strerror}); choose another place.') from error


def read(path: Path, ids: Sequence[str], widths: Mapping[str, int] | None = None) -> dict[str, Table]:
    """The tables of a file, checked against the entities of a data set and, where given, the widths that a model reads.

    Raises FusionError naming what is wrong: missing or unknown entities, another order, another width, not a number,
    a modality that no entity has, a damaged file.
    """
    found, arrays, sources = _open(path)
    _same(path.name, found, ids)
    tables = {}
    for name in sorted(name for name in arrays if not name.endswith(KNOWN)):
        known = arrays.get(name + KNOWN)
        tables[name] = checked(path.name, name, arrays[name], known, ids, str(sources.get(name, "")) or path.name)
        width = (widths or {}).get(name)
        if width is not None and tables[name].values.shape[1] != width:
            raise FusionError(
                f'"{path.name}" has {tables[name].values.shape[1]} features a row in "{name}", and {width} are read; '
                "compute them with the encoder that the checkpoint names."
            )
    if not tables:
        raise FusionError(f'"{path.name}" holds no table of features; docs/feature-files.md says what it should hold.')
    return tables


def writable_name(path: Path) -> Path:
    """The path. Raises FusionError when its name ends in neither of the two formats."""
    if path.suffix not in (".safetensors", ".npz"):
        raise FusionError(f'"{shorten(path.name)}" ends in neither .safetensors nor .npz; name the file so.')
    return path


def made_for(path: Path) -> str:
    """The digest of the data set that a file was made for, "" when it says none or can't be read."""
    try:
        if path.suffix != ".npz":
            return _header(path).get("data", "")
        with np.load(path, allow_pickle=False) as stored:
            return str(stored["data"]) if "data" in stored.files else ""
    except _DAMAGED:
        return ""


def _header(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as stream:
        return dict(stream.metadata() or {})


def _open(path: Path) -> tuple[list[str], dict[str, np.ndarray], dict[str, Any]]:
    """(ids, arrays, sources). Any: what JSON holds."""
    if not path.is_file():
        raise FusionError(f'There is no file "{shorten(path.name)}" of features; check its path.')
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            ids, sources = arrays.pop("ids").tolist(), json.loads(str(arrays.pop("sources", "{}")))
            arrays.pop("data", None)
            return [str(id) for id in ids], arrays, sources if isinstance(sources, dict) else {}
        about = _header(path)
        from safetensors.numpy import load_file

        arrays = load_file(path)
        ids, sources = json.loads(about["ids"]), json.loads(about.get("sources", "{}"))
        if not isinstance(ids, list) or not isinstance(sources, dict):
            raise ValueError("its ids are no list")
        if about.get("sha256", _checksum(arrays)) != _checksum(arrays):
            raise ValueError("its content has another checksum")
        return [str(id) for id in ids], arrays, sources
    except KeyError as error:
        raise FusionError(f'"{path.name}" has no {error.args[0]}; docs/feature-files.md says what it needs.') from error
    except _DAMAGED as error:
        raise FusionError(f'"{path.name}" can\'t be read as features ({error}); write it again.') from error


def _same(name: str, found: Sequence[str], ids: Sequence[str]) -> None:
    """Raises FusionError unless a file's rows are the data set's entities, in its order."""
    if list(found) == list(ids):
        return
    have, want = set(found), set(ids)
    if len(have) < len(found):
        seen: set[str] = set()
        row, twice = next((row, id) for row, id in enumerate(found) if id in seen or seen.add(id))
        raise FusionError(f'"{name}", row {row + 1}: the entity "{shorten(twice)}" stands there twice; leave one.')
    missing, other = [id for id in ids if id not in have], [id for id in found if id not in want]
    if missing:
        raise FusionError(
            f'"{name}" lacks {len(missing):,} of the {len(ids):,} entities, the first "{shorten(missing[0])}"; '
            "give a row to each, and mark as not known those that have no features."
        )
    if other:
        raise FusionError(
            f'"{name}" has {len(other):,} rows of other entities, the first "{shorten(other[0])}"; leave them out.'
        )
    row = next(row for row, (a, b) in enumerate(zip(found, ids, strict=True)) if a != b)
    raise FusionError(
        f'"{name}", row {row + 1} is "{shorten(found[row])}" where the data set has "{shorten(ids[row])}"; '
        "put the rows into the data set's order."
    )


def checked(
    name: str, modality: str, values: np.ndarray, known: np.ndarray | None, ids: Sequence[str], source: str
) -> Table:
    """One modality as a file holds it, checked. Raises FusionError naming what is wrong."""
    said = f'"{name}", "{shorten(modality, MODALITY)}"'
    if values.ndim != 2 or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise FusionError(f"{said} is {values.dtype} of shape {values.shape}; it should be numbers, a row an entity.")
    if len(values) != len(ids):
        raise FusionError(f"{said} has {len(values):,} rows for {len(ids):,} entities; give a row to each.")
    known = np.ones(len(ids), dtype=bool) if known is None else known.astype(bool)
    if known.shape != (len(ids),):
        raise FusionError(f"{said}: {modality}{KNOWN} has shape {known.shape}; it should be one flag an entity.")
    if not known.any():
        raise FusionError(f"{said} is known of no entity at all; leave the modality out, or compute its features.")
    bad = ~np.isfinite(values) & known[:, None] if values.dtype.kind == "f" else np.zeros((0, 1), dtype=bool)
    if bad.any():
        row, column = (int(at) for at in np.argwhere(bad)[0])
        raise FusionError(
            f'{said}, row {row + 1} (entity "{shorten(ids[row])}"), column {column + 1} is {values[row, column]}, and '
            f"{int(bad.any(1).sum()):,} rows hold such values; mark those rows as not known, or compute them again."
        )
    return Table(np.where(known[:, None], values, 0).astype(np.float32, copy=False), known, source)


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    return digest(*(piece for name in sorted(arrays) for piece in (name, arrays[name].tobytes())))
