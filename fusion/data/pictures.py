"""Where the pictures of a user's data set are: inside its folder, or inside the folders named by FUSION_DATA_ROOTS.

Nothing is opened here: a picture is looked up by its name, and each folder is resolved once.
"""

# ruff: noqa: PTH114, PTH116, PTH118  pathlib takes several times as long here, and a data set may have 100,000 pictures

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
ROOTS = "FUSION_DATA_ROOTS"  # folders beside a data set's own that its pictures may lie in, apart by ":"
_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|data:")


class Pictures:
    """Looks up the pictures of one data set below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        named = [part for part in os.environ.get(ROOTS, "").split(os.pathsep) if part.strip()]
        roots = (self.root, *(os.path.realpath(Path(part).expanduser()) for part in named))
        self._prefixes = tuple(root.rstrip(os.sep) + os.sep for root in roots)
        self._folders: dict[str, str] = {}  # a folder as it was written -> resolved
        self._seen: dict[str, tuple[Path | None, str]] = {}
        self._marks: list[str] = []

    def find(self, name: str) -> tuple[Path | None, str]:
        """(path, "") of a picture named relative to the root, or (None, what is wrong with it in a few words)."""
        found = self._seen.get(name)
        if found is None:
            found = self._seen[name] = self._find(name)
        return found

    def fingerprint(self) -> str:
        """Name, size and time of every picture found, one a line: changes when one of them does."""
        return "\n".join(self._marks)

    def _find(self, name: str) -> tuple[Path | None, str]:
        shown = f'"{shorten(name)}"'
        if not name:
            return None, "it names no picture"
        if _ADDRESS.match(name):
            return None, f"{shown} is an address, not a file; fetch the picture into the folder first"
        written = name.replace("\\", "/") if "\\" in name and "/" not in name else name  # written on Windows
        try:
            path = self._resolved(os.path.join(self.root, written))
            if not path:
                return None, f"{shown} lies outside the folder; move it inside, or name its folder in {ROOTS}"
            status = os.stat(path)
        except FileNotFoundError:
            return None, f"there is no file {shown}"
        except (OSError, ValueError) as error:  # not permitted, too long, a loop of links, NUL, a lone surrogate
            why = error.strerror.lower() if isinstance(error, OSError) and error.strerror else "it is no file name"
            return None, f"the file {shown} can't be read: {why}"
        if not stat.S_ISREG(status.st_mode):
            return (
                None,
                f"{shown} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no ordinary file'}, not a picture",
            )
        if not status.st_size:
            return None, f"the file {shown} is empty"
        self._marks.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
        return Path(path), ""

    def _resolved(self, path: str) -> str:
        """The path with its links resolved, "" when it lies outside every root; nothing out there is looked at."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        real = os.path.join(self._folders[folder], name)
        if name in ("", ".", "..") or (self._allowed(real) and os.path.islink(real)):
            real = os.path.realpath(real)
        return real if self._allowed(real) else ""

    def _allowed(self, real: str) -> bool:
        return (real + os.sep).startswith(self._prefixes)


def shorten(text: str, most: int = 80) -> str:
    """A text that fits into a sentence: on one line, what can't be shown as U+FFFD, its end cut."""
    clean = "".join(sign if sign.isprintable() else "\ufffd" for sign in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 1] + "\u2026"
