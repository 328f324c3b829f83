"""Where the pictures of a user's data set are: inside its folder, or inside the folders named by FUSION_DATA_ROOTS.

Nothing is opened here: a picture is looked up by its name, and each folder is resolved once.
"""

# ruff: noqa: PTH114, PTH116, PTH118  pathlib takes several times as long here, and a data set may have 100,000 pictures

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from fusion.files import shorten
from fusion.types import Image

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
        self._images: dict[str, tuple[Image | None, str]] = {}
        self._marks: list[str] = []

    def image(self, name: str) -> tuple[Image | None, str]:
        """As `find`, an Image; one for all rows that name it."""
        found = self._images.get(name)
        if found is None:
            path, wrong = self.find(name)
            found = self._images[name] = (Image(path=path) if path is not None else None, wrong)
        return found

    def find(self, name: str) -> tuple[Path | None, str]:
        """(path, "") of a file named relative to the root, or (None, what is wrong with it in a few words)."""
        if not name:
            return None, "it names no picture"
        written = name.replace("\\", "/") if "\\" in name and "/" not in name else name  # written on Windows
        path = ""
        try:
            path = self._resolved(os.path.join(self.root, written))
            path.encode()  # a path that no other file can name is of no use later
            status = os.stat(path) if path else None
        except FileNotFoundError:
            status, why = None, "there is no file {}"
        except (OSError, ValueError) as error:  # not permitted, too long, a loop of links, NUL, a lone surrogate
            said = error.strerror if isinstance(error, OSError) and error.strerror else "it is no file name"
            status, why = None, f"the file {{}} can't be read: {said.lower()}"
        else:
            why = f"{{}} lies outside the folder; move it inside, or name its folder in {ROOTS}"
        if status is not None and stat.S_ISREG(status.st_mode) and status.st_size:
            self._marks.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}")
            return Path(path), ""
        if _ADDRESS.match(name):
            why = "{} is an address, not a file; fetch the picture into the folder first"
        elif status is not None and stat.S_ISREG(status.st_mode):
            why = "the file {} is empty"
        elif status is not None:
            why = f"{{}} is {'a folder' if stat.S_ISDIR(status.st_mode) else 'no ordinary file'}, not a picture"
        return None, why.format(f'"{shorten(name)}"')

    def fingerprint(self) -> str:
        """Name, size and time of every picture found, one a line: changes when one of them does."""
        return "\n".join(self._marks)

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
