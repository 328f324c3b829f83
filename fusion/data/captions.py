"""A folder of pictures, each with its caption in a .txt file of the same name."""

from __future__ import annotations

import os
from pathlib import Path

from fusion.data.dataset import DataSet
from fusion.data.decoding import decode
from fusion.data.pairs import SPLITS, sentence, user_key, writable
from fusion.data.pictures import SUFFIXES, Pictures
from fusion.data.tables import READERS
from fusion.files import digest, shorten
from fusion.types import FusionError, Image, Part, Sample, Text

DEPTH = 4  # folders below the one named
FILES = 200_000
CAPTION_BYTES = 2**20


def read(root: Path) -> DataSet:
    """Pairs of pictures and captions below a folder; ids are paths below it, a top folder train, valid or test a split.

    Raises FusionError when there is no pair, or too many files.
    """
    pictures, captions, tables = _listed(root)
    if not pictures:
        also = f'; to open a table, name the file itself, such as "{shorten(tables[0])}"' if tables else ""
        raise FusionError(
            f'The folder "{root.name}" has no picture in it; put pictures with .txt captions there{also}.'
        )
    finder = Pictures(root)
    problems: list[str] = []
    samples: list[Sample] = []
    incomplete: list[Sample] = []
    used = set()
    content = []
    for name in pictures:
        caption = name.rpartition(".")[0] + ".txt"
        used.add(caption)
        path, wrong = finder.find(name)
        raw, unread = "", "it has no caption; put a .txt file of the same name beside it"
        if caption in captions:
            raw, unread = _caption(finder, caption)
        parts: dict[str, Part] = {} if unread else {"text": Text(raw)}
        if path is not None:
            parts["image"] = Image(path=path)
        if wrong or unread:
            problems.append(f'"{shorten(name)}": {wrong or unread}')
            if parts:
                incomplete.append(Sample(writable(name), parts, _split(name), problem=sentence(wrong or unread)))
            continue
        content.append(raw)
        samples.append(Sample(writable(name), parts, _split(name)))
    for name in captions:
        if name not in used:
            wrong = "there is no picture for this caption"
            raw, unread = _caption(finder, name)
            problems.append(f'"{shorten(name)}": {wrong}')
            if not unread:
                incomplete.append(Sample(writable(name), {"text": Text(raw)}, _split(name), problem=sentence(wrong)))
    if not samples:
        table = (
            f' There is a table: to open it, name the file itself, such as "{shorten(tables[0])}".' if tables else ""
        )
        raise FusionError(
            f'None of the {len(pictures)} pictures in "{root.name}" has a caption that can be read. '
            f"The first: {problems[0]}.{table}"
        )
    content += [f"{sample.id}\t{sample.text()}" for sample in incomplete]
    return DataSet(
        user_key(root), root.name, tuple(samples), tuple(problems), "yours", root,
        digest("captions", finder.fingerprint(), "\n".join(content)), (), str(root), incomplete=tuple(incomplete),
    )  # fmt: skip


def _split(name: str) -> str:
    """The split that the top folder of a path is named after, "" without one."""
    top = name.partition("/")[0].lower() if "/" in name else ""
    split = SPLITS.get(top, top)
    return split if split in ("train", "valid", "test") else ""


def _listed(root: Path) -> tuple[list[str], dict[str, None], list[str]]:
    """Pictures, captions and tables below the folder, by name; hidden ones and links to folders are passed by."""
    pictures: list[str] = []
    captions: dict[str, None] = {}
    tables: list[str] = []
    count = 0
    for folder, below, files in os.walk(root):
        here = Path(folder).relative_to(root).as_posix()
        prefix = "" if here == "." else f"{here}/"
        below[:] = sorted(name for name in below if not name.startswith(".")) if prefix.count("/") < DEPTH else []
        count += len(files)
        if count > FILES:
            raise FusionError(f'"{root.name}" has more than {FILES:,} files; name a folder below it.')
        for file in sorted(name for name in files if not name.startswith(".")):
            kind = f".{file.rpartition('.')[2].lower()}" if "." in file else ""
            if kind in SUFFIXES:
                pictures.append(prefix + file)
            elif kind == ".txt":
                captions[prefix + file] = None
            elif kind in READERS:
                tables.append(prefix + file)
    return pictures, captions, tables


def _caption(finder: Pictures, name: str) -> tuple[str, str]:
    """(text, "") or ("", what is wrong with it)."""
    path, wrong = finder.find(name)
    if path is None:
        return "", f"its caption can't be used: {wrong}"
    try:
        if path.stat().st_size > CAPTION_BYTES:
            return "", f"its caption has more than {CAPTION_BYTES >> 20} MB"
        raw = writable(decode(path.read_bytes(), shorten(path.name))[0]).strip()
    except OSError:
        return "", "its caption can't be read; check its permissions"
    except FusionError as error:
        return "", str(error).rstrip(".")
    return raw, "" if raw else "its caption is empty"
