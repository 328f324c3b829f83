"""Tables that leave a run or come into it: CSV, JSON Lines and Parquet, the latter on any path that fsspec knows.

A cell of a CSV that a spreadsheet would run as a formula gets an apostrophe before it, as spreadsheets write such a
text themselves; reading takes it away again. JSON Lines and Parquet hold the texts as they are.
"""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.files import atomic_file, digest, home, shorten
from fusion.triage.known import META, SHARDS
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

KINDS = (".csv", ".jsonl", ".parquet")
REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://")
CHUNK = 10_000  # rows of a table that are objects at a time
_SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: only its escape can be written
_OWN = re.compile(r"rows-[0-9a-f]+\.parquet")
_FORMULA = re.compile(r"[=+\-@\t\r]|'+[=+\-@\t\r]")  # how one begins, with or without apostrophes before it


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table whole, by the ending of its path: .csv, .jsonl or .parquet, at an address .parquet.

    Raises FusionError for another ending, or where nothing can be written.
    """
    kind = ending(path)
    with writing(path) as aside:
        if kind == ".csv":
            defused(frame).to_csv(aside, index=False, encoding="utf-8-sig")
        elif kind == ".jsonl":
            _write_lines(frame, aside)
        else:
            frame.to_parquet(aside, index=False, compression="zstd")


def json_line(value: Any) -> str:
    """A value as one line of JSON Lines, numbers in full. Any: what a cell may be. Raises FusionError on bytes."""
    line = _ENCODER.encode(value)
    return line if line.isascii() or not _SURROGATE.search(line) else json.dumps(value, default=_plainer)


def _plainer(value: Any) -> Any:
    """What JSON has no kind for."""
    if isinstance(value, bytes):
        raise FusionError("A cell holds bytes, such as those of a picture, and text can't; write .parquet.")
    return value.tolist() if hasattr(value, "tolist") else str(value)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=_plainer)


def _write_lines(frame: pd.DataFrame, aside: Path) -> None:
    names = list(frame.columns)
    with aside.open("w", encoding="utf-8", newline="\n") as stream:
        for first in range(0, len(frame), CHUNK):
            part = frame.iloc[first : first + CHUNK]
            cells = [part[name].astype(object).where(part[name].notna(), None).tolist() for name in names]
            rows = (dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True))
            stream.writelines(f"{json_line(row)}\n" for row in rows)


def read(path: str | Path) -> pd.DataFrame:
    """A table that `write` wrote, all of its cells as text. Raises FusionError when it can't be read."""
    import pandas as pd

    kind, name = ending(path), _name(path)
    try:
        with _reading(path) as there:
            if kind == ".csv":
                frame = pd.read_csv(there, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            elif kind == ".jsonl":
                frame = pd.DataFrame(_records(Path(there).read_text(encoding="utf-8-sig")))
            else:
                frame = pd.read_parquet(there)
    except FileNotFoundError as error:
        raise FusionError(f'There is no file "{name}"; check the path.') from error
    except (OSError, ValueError, RecursionError) as error:  # pandas and pyarrow say ValueError of what they can't read
        raise FusionError(f'"{name}" can\'t be read as {kind}; write it again, or name another file.') from error
    told = frame.astype(object).where(frame.notna(), "").map(str)
    return told.map(_plain) if kind == ".csv" else told


def fetched(address: str) -> Path:
    """A file at any address that fsspec knows, copied to this machine; its hash tells whether it changed.

    Raises FusionError when it can't be fetched.
    """
    import shutil

    name = _name(address)
    target = home() / "fetched" / digest(address)[:16] / (re.sub(r"[^\w.-]+", "-", name) or "data")
    try:
        with _reading(address) as source, atomic_file(target) as aside, aside.open("wb") as copy:
            shutil.copyfileobj(source, copy, 2**20)
    except (OSError, ImportError, ValueError) as error:
        raise FusionError(f'"{name}" can\'t be fetched: {said(error)}. Check its address and your rights.') from error
    return target


def defused(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before every text, column names included, that would run as a formula."""
    made = frame.copy()
    for name in made.columns:
        if made[name].dtype.kind not in "biufcM":
            made[name] = made[name].map(defused_cell)
    return made.rename(columns=defused_cell)


def ending(path: str | Path) -> str:
    """The ending of a path. Raises FusionError when it says no kind of table that is written here."""
    kind = Path(str(path)).suffix.lower()
    if kind not in KINDS or (REMOTE.match(str(path)) and kind != ".parquet"):
        raise FusionError(f'"{_name(path)}" says no kind of table; name a file that ends in {", ".join(KINDS)}, at an '
                          "address in .parquet.")  # fmt: skip
    return kind


@contextmanager
def writing(path: str | Path) -> Iterator[Any]:
    """A path beside a local one that takes its place at the end, or a stream to an address. Raises FusionError."""
    try:
        if REMOTE.match(str(path)):
            import fsspec

            with fsspec.open(str(path), "wb") as stream:
                yield stream
        elif _of_a_run(Path(path).expanduser().resolve()):
            raise FusionError(f'"{_name(path)}" belongs to the run itself; give the file another name.')
        else:
            with atomic_file(Path(path).expanduser()) as aside:
                yield aside
                aside.chmod(0o644)
    except (OSError, ImportError, ValueError) as error:
        if isinstance(error, FusionError):
            raise
        raise FusionError(f'"{_name(path)}" can\'t be written: {said(error)}. Choose another place.') from error


def _of_a_run(path: Path) -> bool:
    """Whether a run keeps its rows in a file."""
    kept = _OWN.fullmatch(path.name) and (path.parent / META).is_file()
    return bool(kept) or (path.parent.name == SHARDS and (path.parent.parent / META).is_file())


@contextmanager
def _reading(path: str | Path) -> Iterator[Any]:
    if REMOTE.match(str(path)):
        import fsspec

        with fsspec.open(str(path), "rb") as stream:
            yield stream
    else:
        yield Path(path).expanduser()


def said(error: BaseException) -> str:
    """What went wrong in a few words, without a path of this machine."""
    return ((error.strerror or "") if isinstance(error, OSError) else shorten(str(error))).lower() or "it failed"


def _records(text: str) -> list[dict[str, Any]]:  # Any: what JSON holds
    rows = [json.loads(line) for line in text.split("\n") if line.strip()]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line that is no object")
    return rows


def _name(path: str | Path) -> str:
    return shorten(Path(str(path)).name or str(path))


def defused_cell(cell: Any) -> Any:
    """A cell of a CSV; a text that would run as a formula gets an apostrophe. Any: cells are of any type."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell
