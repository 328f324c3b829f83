"""What the app remembers on this machine between visits: views opened last, selections, paths opened by hand, the tour.

Small JSON files below the user's folder, readable by that user alone. A file that can't be read counts as empty: what
is kept is a convenience, and losing it must stop nobody.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fusion.files import atomic_file, digest, home
from fusion.types import FusionError

RECENT = 5  # views
SELECTIONS = 50  # files; the oldest go
DATA = 200  # paths of data sets and checkpoints
_writing = threading.Lock()  # visitors are threads of one process


@dataclass(frozen=True)
class Opened:
    """A view that was opened: what its link says, and what to call it."""

    page: str
    query: Mapping[str, str]
    told: str  # the sentence of a sample, the name of a data set
    count: int = 0  # samples of a selection


def recent() -> list[Opened]:
    """The views opened last, newest first, at most five."""
    found = []
    for row in _rows("recent"):
        try:
            page, query, told, count = row["page"], row["query"], row["told"], row["count"]
        except KeyError:
            continue
        if isinstance(query, dict) and isinstance(count, int):
            found.append(Opened(str(page), {str(k): str(v) for k, v in query.items()}, str(told), count))
    return found[:RECENT]


def remember(opened: Opened) -> None:
    """Put a view on top of the list; the same page with the same query stands there once."""
    with _writing:
        others = [one for one in recent() if (one.page, one.query) != (opened.page, opened.query)]
        _write("recent", [asdict(one) for one in (opened, *others)[:RECENT]])


def selection(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Data set and ids of a kept selection, None when there is none of that name."""
    if not (len(name) == 8 and set(name) <= set("0123456789abcdef")):
        return None
    found = _read(f"selections/{name}")
    if isinstance(found, dict) and isinstance(found.get("data"), str) and isinstance(found.get("ids"), list):
        return found["data"], tuple(str(id) for id in found["ids"])
    return None


def select(data: str, ids: Sequence[str]) -> str:
    """Keep a selection. -> its name for links, 8 hex digits of its content"""
    name = digest(data, *ids)[:8]
    with _writing:
        _write(f"selections/{name}", {"data": data, "ids": list(ids)})
        old = sorted(_path("selections/x").parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in old[:-SELECTIONS]:
            path.unlink(missing_ok=True)
    return name


def allow(spec: str) -> None:
    """Remember that a person opened this data set or checkpoint in the app: links may open it from now on."""
    path = str(_resolved(spec))
    with _writing:
        _write("data", [path, *(one for one in _texts("data") if one != path)][:DATA])


def allowed(spec: str) -> bool:
    """Whether a link may open what lies at this path: opened by hand before, or below FUSION_DATA_ROOTS.

    FUSION_DATA_ROOTS: folders, ":"-separated. Nothing is told of a path that is not allowed, not even whether it is
    there.
    """
    try:
        path = _resolved(spec)
        roots = [_resolved(root) for root in os.environ.get("FUSION_DATA_ROOTS", "").split(":") if root]
    except FusionError:
        return False
    return str(path) in _texts("data") or any(path.is_relative_to(root) for root in roots)


def seen(what: str) -> bool:
    """Whether something that is shown once was shown."""
    return what in _texts("seen")


def mark(what: str) -> None:
    """Remember that it was shown."""
    with _writing:
        _write("seen", sorted({what, *_texts("seen")}))


def _resolved(spec: str) -> Path:
    """The path in `spec` without links and "..". Raises FusionError on what can't be one."""
    prefix, _, rest = spec.partition(":")  # "dbp15k:" and its like say how to read what lies at the path
    try:
        path = Path(rest if rest and len(prefix) > 1 and prefix.isidentifier() else spec).expanduser().resolve()
        str(path).encode()
        return path
    except (OSError, ValueError, RuntimeError):  # NUL, too long, a loop of links, no such user, not UTF-8
        raise FusionError(f'"{spec[:80]!a}" is no path; give the path of a file or folder.') from None


def _path(name: str) -> Path:
    return home() / "kept" / f"{name}.json"


def _read(name: str) -> object:
    try:
        return json.loads(_path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _rows(name: str) -> list[dict[str, object]]:
    found = _read(name)
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _texts(name: str) -> list[str]:
    found = _read(name)
    return [text for text in found if isinstance(text, str)] if isinstance(found, list) else []


def _write(name: str, value: object) -> None:
    with atomic_file(_path(name)) as aside:
        aside.write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")
