"""A table of pairs of the user: columns for the image and the text, and where there are any, for label, id and split.

A row that can't be used is named and left out; the rest loads. Of what is left out, the rows with a text or a picture
alone are kept beside the samples (`incomplete`). Pictures are looked up, not opened.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fusion.data.dataset import DataSet
from fusion.data.pictures import Pictures
from fusion.data.tables import ROLES, Table, plain, roles
from fusion.data.tables import read as read_table
from fusion.data.words import split_words
from fusion.files import digest, file_digest, shorten
from fusion.types import FusionError, Image, Sample, Text

UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
SPLITS = {"training": "train", "val": "valid", "validation": "valid", "dev": "valid", "testing": "test"}
NOTES = 16  # other columns shown beside a sample
NOTE = 500  # characters of each
_TAG = re.compile(r"O|[BI]-\S+")


def read(path: Path) -> DataSet:
    """The data set in a .csv, .tsv, .parquet or .jsonl file; paths of pictures are relative to its folder.

    Raises FusionError when it can't be read at all, has no column for image or text, or no row that can be used.
    """
    with collecting_nothing():
        table = read_table(path)
        where = roles(table.columns)
        _require(where, table, path.name)
        pictures = Pictures(path.parent)
        problems = list(table.problems)
        samples, incomplete = _samples(table, where, pictures, problems)
    if not samples:
        first = (
            f" The first: {problems[0]}."
            if problems
            else " It has a first line and nothing below it." * (table.place == "line")
        )
        raise FusionError(f'"{path.name}" has no row that can be used.{first}')
    problems.sort(key=_number)
    return DataSet(
        user_key(path), path.name, tuple(samples), tuple(problems), "yours", path.parent,
        digest("pairs", file_digest(path), pictures.fingerprint()), tuple(table.notes), str(path),
        incomplete=incomplete,
    )  # fmt: skip


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """No garbage collection: a hundred thousand new objects, all kept, set it off time and again, half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def user_key(path: Path) -> str:
    """A name for what lies at a path, safe in a file name and in a link, and its own."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', path.stem)[:40].strip('-') or 'data'}-{digest(str(path))[:8]}"


def writable(text: str) -> str:
    """The text with NUL and lone surrogates, which no file can hold, as U+FFFD."""
    return text if text.isascii() and "\x00" not in text else UNWRITABLE.sub("\ufffd", text)


def halves(cells: Sequence[Any], where: dict[str, int], pictures: Pictures) -> int:
    """How much of a row can be used: 2 for its text and its picture, 1 for one of them, 0 for neither."""
    return (_text(cells[where["text"]])[0] is not None) + (_image(cells[where["image"]], pictures)[0] is not None)


def sentence(wrong: str) -> str:
    """What is wrong with a row, as it stands alone."""
    return f"{wrong[:1].upper()}{wrong[1:]}."


def _require(where: dict[str, int], table: Table, name: str) -> None:
    missing = [role for role in ("image", "text") if role not in where]
    if not missing:
        return
    found = ", ".join(f'"{shorten(column, 40)}"' for column in table.columns[:8]) + (
        ", ..." if len(table.columns) > 8 else ""
    )
    hints = " and ".join(f"one for the {role} ({', '.join(ROLES[role][:4])})" for role in missing)
    apart = "; columns are apart by a comma, a tab, a semicolon or a bar" if len(table.columns) < 2 else ""
    raise FusionError(
        f'"{name}" has the columns {found or "none"}; it needs {hints}. Name them in its first line{apart}.'
    )


def _samples(
    table: Table, where: dict[str, int], pictures: Pictures, problems: list[str]
) -> tuple[list[Sample], tuple[Sample, ...]]:
    """The rows that can be used, and those with a text or a picture alone."""
    others = [(name, i) for i, name in enumerate(table.columns) if i not in where.values() and name][:NOTES]
    label_at, id_at, split_at = (where.get(role) for role in ("label", "id", "split"))
    image_at, text_at = where["image"], where["text"]
    names, targets = _targets([cells[label_at] for _, cells in table.rows] if label_at is not None else [])
    seen: dict[str, int] = {}
    samples: list[Sample] = []
    incomplete: dict[str, Sample] = {}
    for row, (number, cells) in enumerate(table.rows):
        place = f"{table.place} {number}"
        text, why = _text(cells[text_at])
        image, wrong = _image(cells[image_at], pictures)
        id = writable(plain(cells[id_at]).strip()) if id_at is not None else ""
        id = id or f"{table.place}{number}"
        split = plain(cells[split_at]).strip().lower() if split_at is not None else ""
        split = writable(SPLITS.get(split, split))
        note = {name: writable(plain(cells[i]))[:NOTE] for name, i in others if cells[i] not in (None, "")}
        if text is None or image is None:
            problems.append(f"{place}: {why if text is None else wrong}")
            if text is not None:
                incomplete.setdefault(id, Sample(id, {"text": text}, split, None, note, sentence(wrong)))
            elif image is not None:
                incomplete.setdefault(id, Sample(id, {"image": image}, split, None, note, sentence(why)))
            continue
        if id in seen:
            problems.append(f'{place}: the id "{shorten(id)}" is that of {table.place} {seen[id]}; that one stays')
            continue
        seen[id] = number
        if why:
            problems.append(f"{place}: {why}")
        target: tuple[str, ...] | int | float | None = None
        if targets and names[row]:
            note["label"] = writable(names[row])[:NOTE]
            text, target, wrong = _fitted(text, targets[row])
            if wrong:
                problems.append(f"{place}: {wrong}")
        samples.append(Sample(id, {"text": text, "image": image}, split, target, note))
    return samples, tuple(sample for id, sample in incomplete.items() if id not in seen)


def _text(cell: object) -> tuple[Text | None, str]:
    """(text, what was changed in it) or (None, what is wrong with it)."""
    words: tuple[str, ...] = ()
    if isinstance(cell, str) or cell is None:
        raw = cell or ""
    elif isinstance(cell, list | tuple) and all(isinstance(word, str) for word in cell):
        words = tuple(writable(word) or "\ufffd" for word in cell)
        raw = " ".join(cell)
    else:
        return None, f"its text is {_kind(cell)}; it must be text"
    clean = " ".join(words) if words else writable(raw)
    if not clean or clean.isspace():
        return None, "its text is empty"
    changed = (
        "characters that no file can hold (NUL or lone surrogates) were replaced in its text" if clean != raw else ""
    )
    return Text(clean, words), changed


def _image(cell: object, pictures: Pictures) -> tuple[Image | None, str]:
    """(picture, "") or (None, what is wrong with it). A cell is a path, bytes, or a struct of bytes and path."""
    if isinstance(cell, dict):
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, str) or cell is None:
        return pictures.image((cell or "").strip())
    if isinstance(cell, bytes):
        return (Image(data=cell), "") if cell else (None, "its picture has no bytes")
    return None, f"its image is {_kind(cell)}; it must be a path or the bytes of a picture"


def _kind(cell: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a structure",
        bytes: "bytes",
    }
    return kinds.get(type(cell), f"a {type(cell).__name__}")


def _targets(cells: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """(each label in words, each as a target): tags by word, whole numbers, numbers, or classes numbered by name."""
    names = [" ".join(map(str, cell)) if isinstance(cell, list | tuple) else plain(cell).strip() for cell in cells]
    there = [name for name in names if name]
    tags = {name: _tags(name) for name in set(there)}
    if there and all(tags.values()) and any("-" in name for name in tags):
        return names, [tags.get(name) for name in names]
    for kind in (int, float):
        try:
            numbers = {name: kind(name) for name in set(there)}
        except ValueError:
            continue
        if all(abs(number) < 2**53 for number in numbers.values()):  # neither nan nor infinite, and exact
            return names, [numbers.get(name) for name in names]
    classes = {name: i for i, name in enumerate(sorted(set(there)))}
    return names, [classes.get(name) for name in names]


def _tags(name: str) -> tuple[str, ...]:
    """BIO tags apart by spaces or as a JSON list, () when it is something else."""
    found = name.split()
    if name.startswith("["):
        try:
            found = json.loads(name)
        except (ValueError, RecursionError):
            return ()
    return tuple(found) if found and all(isinstance(tag, str) and _TAG.fullmatch(tag) for tag in found) else ()


def _fitted(text: Text, target: Any) -> tuple[Text, Any, str]:
    """The text and its target; where there is a tag for each word between spaces, the text keeps those words."""
    if not isinstance(target, tuple):
        return text, target, ""
    spaced = tuple(text.raw.split())
    if len(target) == len(text.words or split_words(text.raw)):
        return text, target, ""
    if not text.words and len(target) == len(spaced):
        return Text(text.raw, spaced), target, ""
    return text, None, f"it has {len(target)} tags for {len(text.words) or len(spaced)} words; its tags were left out"


def _number(problem: str) -> int:
    """The number of the row that a problem names, to put them in order."""
    found = re.search(r"\d+", problem)
    return int(found[0]) if found else 0
