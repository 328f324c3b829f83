"""Gets Tux Paint's stamps: one Debian package, fetched, compared with its checksum and unpacked into this user's home.

The stamps are under the GPL-2 and never part of this program: they are shown from the user's own disk. Of the package
only pictures, captions and the speech of one language are unpacked.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fusion.files import atomic_file, atomic_folder, file_digest, home, shorten
from fusion.types import FusionError

PACKAGE, VERSION = "tuxpaint-stamps-default", "2022.06.04-1"
FILE = f"{PACKAGE}_{VERSION}_all.deb"
URL = f"https://deb.debian.org/debian/pool/main/t/tuxpaint-stamps/{FILE}"
SHA256 = "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34"
BYTES = 160_880_444
LANGUAGE = "fr"  # of the speech: no other has more stamps
STAMPS = "usr/share/tuxpaint/stamps/"
LICENCE = f"usr/share/doc/{PACKAGE}/copyright"
FORMAT = "stamps-1"
LARGEST, MOST = 20 * 2**20, 400 * 2**20  # bytes of one file and of all that are unpacked
BY_HAND = f"download {FILE} on any machine and give it: python -m fusion data get stamps FILE"
Progress = Callable[[int, int], None]


def folder() -> Path:
    """Where the stamps lie once they were got."""
    return home() / "data" / "stamps"


def got() -> dict[str, Any] | None:
    """What is said of the stamps that lie there, None when there are none. Any: what JSON holds."""
    try:
        said = json.loads((folder() / "meta.json").read_text("utf-8"))
        return said if said.get("format") == FORMAT else None
    except (OSError, ValueError, AttributeError):
        return None


def get(package: Path | None = None, progress: Progress | None = None) -> dict[str, Any]:
    """Fetch the package unless it is given, check it and unpack it. -> counts and the folder

    Raises FusionError when it can't be fetched, is another file, or the home can't hold it.
    """
    said = got()
    if said is None:
        try:
            if shutil.disk_usage(home()).free < 2 * BYTES:
                raise FusionError(f"The stamps need {2 * BYTES >> 20} MB of room in {home()}; make room and try again.")
            with tempfile.TemporaryDirectory(dir=home()) as aside:
                path = package if package is not None else _fetched(Path(aside), progress)
                _checked(path)
                said = _unpacked(path)
        except OSError as error:
            raise FusionError(
                f"The stamps can't be written below {home()} ({error.strerror}); check the disk."
            ) from error
    return said | {"folder": str(folder())}


def _fetched(aside: Path, progress: Progress | None) -> Path:
    """The package by apt-get, which knows this machine's mirror, else from Debian's own address."""
    if shutil.which("apt-get"):
        done = subprocess.run(
            ["apt-get", "download", f"{PACKAGE}={VERSION}"], cwd=aside, capture_output=True, check=False, timeout=1800
        )
        if done.returncode == 0 and (aside / FILE).is_file():
            return aside / FILE
    path = aside / FILE
    try:
        with urllib.request.urlopen(URL, timeout=30) as answer, path.open("wb") as stream:
            while block := answer.read(2**20):
                stream.write(block)
                if stream.tell() > BYTES:
                    break
                if progress is not None:
                    progress(stream.tell() >> 20, BYTES >> 20)
    except (urllib.error.URLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise FusionError(
            f"The stamps could not be fetched, neither by apt-get nor from {URL} ({shorten(str(why), 80)}). Check the "
            f"network, or {BY_HAND}."
        ) from None
    return path


def _checked(path: Path) -> None:
    if not path.is_file():
        raise FusionError(f'There is no file "{shorten(path.name)}"; {BY_HAND}.')
    found = file_digest(path)
    if found != SHA256:
        raise FusionError(
            f'"{shorten(path.name)}" has sha256 {found[:12]}..., not the {SHA256[:12]}... of {FILE}; nothing was '
            f"unpacked. To get the right file, {BY_HAND}."
        )


def _unpacked(path: Path) -> dict[str, Any]:
    """Write what is wanted of a package into the folder. -> what meta.json says"""
    with atomic_folder(folder()) as aside:
        count = dict.fromkeys((".txt", ".png", ".ogg"), 0)
        for name, content in wanted(path):
            target = aside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            if target.suffix in count and target.parent != aside:
                count[target.suffix] += 1
        said = {
            "format": FORMAT, "package": PACKAGE, "version": VERSION, "sha256": SHA256, "licence": "GPL-2",
            "language": LANGUAGE, "stamps": count[".txt"], "with_picture": count[".png"], "with_speech": count[".ogg"],
        }  # fmt: skip
        with atomic_file(aside / "meta.json") as file:
            file.write_text(json.dumps(said, indent=1) + "\n", "utf-8")
    return said


def wanted(path: Path) -> Iterator[tuple[str, bytes]]:
    """(path below the folder, content) of each file of a package that is used, in the package's order.

    Raises FusionError when the package is damaged, or when it would write elsewhere or too much.
    """
    total = 0
    try:
        with path.open("rb") as stream, tarfile.open(fileobj=_data(stream), mode="r|*") as archive:
            for member in archive:
                name = _place(member)
                if name is None:
                    continue
                total += member.size
                if member.size > LARGEST or total > MOST:
                    raise FusionError(f'"{shorten(path.name)}" unpacks to more than it should; get it again.')
                content = archive.extractfile(member)
                if content is not None:
                    yield name, content.read()
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, FusionError):
            raise
        raise FusionError(f'"{shorten(path.name)}" is damaged ({type(error).__name__}); get it again.') from None


def _place(member: tarfile.TarInfo) -> str | None:
    """Where a member goes, None when it isn't wanted: links, other languages, other pictures, other places."""
    path = PurePosixPath(member.name.removeprefix("./"))
    if not member.isreg() or path.is_absolute() or ".." in path.parts:
        return None
    if str(path) == LICENCE:
        return "LICENCE.txt"
    if not str(path).startswith(STAMPS):
        return None
    inner = str(path)[len(STAMPS) :]
    return inner if inner.endswith((".txt", ".png", f"_desc_{LANGUAGE}.ogg")) else None


class _Part:
    """A part of a file as a file of its own, read forwards."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, count: int = -1) -> bytes:
        """The next bytes, at most what is left. Raises EOFError when the file ends before."""
        count = self.left if count < 0 else min(count, self.left)
        self.left -= count
        found = self.stream.read(count)
        if len(found) < count:
            raise EOFError
        return found


def _data(stream: IO[bytes]) -> Any:  # what tarfile reads from: anything with read()
    """The archive of files in a Debian package, which is an `ar` of three members."""
    if stream.read(8) != b"!<arch>\n":
        raise ValueError
    while len(header := stream.read(60)) == 60:
        size = int(header[48:58])
        if header[:16].startswith(b"data.tar"):
            return _Part(stream, size)
        stream.seek(size + size % 2, 1)
    raise EOFError
