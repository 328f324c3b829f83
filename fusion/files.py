"""Files that are never half-written, paths that never leave their root, and hashes of content."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
STALE = 86_400  # seconds after which what lies aside is of a save that was killed: no save takes a day
_MARK = ".aside-"  # in the name of what is being written, so that nothing else is ever taken for it
_ASIDE = re.compile(r"\..+" + re.escape(_MARK) + r"[a-z0-9_]{8}")
_swept: dict[Path, float] = {}  # folder -> when this process last looked through it


def home() -> Path:
    """Where this user's caches, checkpoints and runs live: FUSION_HOME, or ~/.cache/fusionscope."""
    folder = Path(os.environ.get("FUSION_HOME") or Path.home() / ".cache" / "fusionscope")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to it when the block ends well and removed when it doesn't."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{_MARK}", dir=path.parent)
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well; an old one goes only then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}{_MARK}", dir=path.parent))
    try:
        yield aside
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old{_MARK}", dir=path.parent))
            os.replace(path, old / path.name)
            os.replace(aside, path)
            shutil.rmtree(old)
        else:
            os.replace(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed saves left in a folder a day ago or longer; looked for once a day and process.

    A folder that was moved away when its successor was about to take its place comes back if that never happened.
    """
    now = time.time()
    if now - _swept.get(folder, 0) < STALE:
        return
    _swept[folder] = now
    with suppress(OSError):  # another process sweeps too, or the folder can't be written: no save waits for this
        for path in folder.iterdir():
            if _ASIDE.fullmatch(path.name) and path.lstat().st_mtime < now - STALE:
                _remove(path)


def _remove(aside: Path) -> None:
    name, old, _ = aside.name[1:].rpartition(f".old{_MARK}")
    before = aside / name
    if old and before.is_dir() and not (aside.parent / name).exists():
        os.replace(before, aside.parent / name)
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink(missing_ok=True)


def inside(root: Path, name: str) -> Path:
    """`root`/`name`, resolved. Raises FusionError when that lies outside the root (.., absolute paths, links)."""
    base = root.resolve()
    path = (base / name).resolve()
    if not path.is_relative_to(base):
        raise FusionError(f'"{name}" lies outside the folder "{base.name}"; use paths inside it.')
    return path


def digest(*pieces: bytes | str) -> str:
    """sha256 of the pieces, each preceded by its length so that ("ab", "c") and ("a", "bc") differ; 64 hex digits."""
    state = hashlib.sha256()
    for piece in pieces:
        data = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content, 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shorten(text: str, most: int = 80) -> str:
    """A text that fits into a sentence: on one line, what can't be shown as U+FFFD, its end cut."""
    clean = "".join(sign if sign.isprintable() else "\ufffd" for sign in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 1] + "\u2026"
