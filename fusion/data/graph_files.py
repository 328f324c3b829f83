"""The text files that knowledge graphs come in: read plain or packed (.gz), line by line, every fault named.

A fault that leaves one row out is a problem, named by file and line. A fault that would make every figure wrong (a link
in two splits, one id in both graphs) stops the reading with a FusionError.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from fusion.data.decoding import decode
from fusion.data.graphs import SPLITS
from fusion.files import file_digest, shorten
from fusion.types import FusionError

NAMED = 20  # problems of one kind in one file that are named one by one; the rest are counted
MOST = 2**30  # bytes of an unpacked file: a packed bomb stops here


class Folder:
    """Files of one folder by name, each of which may be packed, and what was wrong with their lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: dict[str, Path] = {}  # file name -> where it was found
        self._problems: dict[tuple[str, str], list[str]] = {}
        self._count: Counter[tuple[str, str]] = Counter()

    def find(self, *names: str) -> Path | None:
        """The first of some files that is there, plain or .gz."""
        for name in names:
            for path in (self.path / name, self.path / f"{name}.gz"):
                if path.is_file():
                    return path
        return None

    def need(self, name: str) -> Path:
        """A file that must be there. Raises FusionError when it isn't."""
        path = self.find(name)
        if path is None:
            held = sorted(path.name for path in self.path.iterdir())[:8] if self.path.is_dir() else []
            raise FusionError(
                f'{quoted(self.path.name)} has no file "{name}" (or "{name}.gz"); it holds '
                f"{shorten(', '.join(held), 200) or 'nothing'}. Name the folder that the files lie in."
            )
        return path

    def text(self, path: Path) -> str:
        """The characters of a file. Raises FusionError when it is damaged, too large or not UTF-8."""
        self.read[path.name] = path
        try:
            if path.suffix != ".gz":
                data = path.read_bytes()
            else:
                with gzip.open(path) as stream:
                    data = stream.read(MOST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise FusionError(f'"{path.name}" can\'t be read: {error}; fetch or unpack it again.') from error
        if len(data) > MOST:
            raise FusionError(f'"{path.name}" holds more than a gigabyte; give the files of one data set.')
        return decode(data, path.name)[0]

    def lines(self, path: Path, parts: int | None = None, *, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
        """(number, fields apart by tabs or spaces) of each line that isn't empty; others than `parts` are problems."""
        for number, line in enumerate(self.text(path).split("\n"), 1):
            if number <= skip or not line.strip():
                continue
            found = line.split("\t") if "\t" in line else line.split()
            if parts is not None and len(found) != parts:
                self.problem(path, number, "fields", f"it has {len(found)} fields, not {parts}")
                continue
            yield number, found

    def problem(self, path: Path, line: int, kind: str, what: str) -> None:
        """Name one line that was left out or changed."""
        said = self._problems.setdefault((path.name, kind), [])
        self._count[path.name, kind] += 1
        if len(said) < NAMED:
            said.append(f'"{path.name}", line {line}: {what}.')

    def missing(self, kind: str, what: str) -> None:
        """Name something that no line of any file says."""
        said = self._problems.setdefault(("", kind), [])
        self._count["", kind] += 1
        if len(said) < NAMED:
            said.append(f"{what[0].upper()}{what[1:]}.")

    def problems(self) -> tuple[str, ...]:
        """A sentence a problem; what was only counted is summed up behind its kind."""
        found = []
        for (name, kind), said in self._problems.items():
            found += said
            more = self._count[name, kind] - len(said)
            if more:
                found.append(f'"{name}": {more:,} more lines like these.' if name else f"{more:,} more like these.")
        return tuple(found)

    def count(self, kind: str) -> int:
        """How many problems of a kind there are."""
        return sum(count for (_, other), count in self._count.items() if other == kind)

    def fingerprint(self) -> tuple[str, ...]:
        """Name and sha256 of every file that was read."""
        return tuple(f"{name} {file_digest(path)}" for name, path in sorted(self.read.items()))


@dataclass
class Entities:
    """Entities in the order that they were read: row of each id, and which graph each is in."""

    row: dict[tuple[int, str], int] = field(default_factory=dict)  # (graph, id) -> row
    ids: list[str] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    side: list[int] = field(default_factory=list)

    def add(self, graph: int, id: str, uri: str) -> bool:
        """Append an entity; False when its id is there already."""
        if (graph, id) in self.row:
            return False
        self.row[graph, id] = len(self.ids)
        self.ids.append(id)
        self.uris.append(uri)
        self.side.append(graph)
        return True

    def by_address(self, graph: int) -> dict[str, int]:
        """Row of each address of a graph."""
        return {uri: row for row, (uri, side) in enumerate(zip(self.uris, self.side, strict=True)) if side == graph}


def read_triples(
    folder: Folder, path: Path, entities: Entities, graph: int, relation: dict[str, int], *, order: str = "hrt",
    skip: int = 0, offset: str = "", seen: set[tuple[int, int, int]],
) -> None:  # fmt: skip
    """Add a file's triples to `seen`, new relation ids to `relation`; what can't be used is named.

    order: which field is the head, the relation, the tail; offset: put before each relation id, to keep graphs apart.
    """
    h, r, t = order.index("h"), order.index("r"), order.index("t")
    before = len(seen)
    for number, found in folder.lines(path, 3, skip=skip):
        head, tail = entities.row.get((graph, found[h])), entities.row.get((graph, found[t]))
        if head is None or tail is None:
            unknown = found[h] if head is None else found[t]
            what = f"there is no entity {quoted(unknown)} in its graph; the triple was left out"
            folder.problem(path, number, "unknown", what)
            continue
        triple = head, relation.setdefault(offset + found[r], len(relation)), tail
        if triple in seen:
            folder.problem(path, number, "twice", "this triple stands there already; it counts once")
            continue
        if head == tail:
            what = f"the entity {quoted(found[h])} points to itself; that leads to no neighbour"
            folder.problem(path, number, "loop", what)
        seen.add(triple)
    if len(seen) == before:
        raise FusionError(f'"{path.name}" has no triple that can be used; {_first(folder, path)}')


def read_links(
    folder: Folder, files: Sequence[tuple[Path, int | None]], entities: Entities
) -> tuple[np.ndarray, np.ndarray | None]:
    """(links (P, 2) int32, their split (P,) or None) of files, each with the number of its split.

    A link in two splits, or two links of one entity in different splits, stop the reading: a figure would be wrong.
    """
    links: list[tuple[int, int]] = []
    split: list[int | None] = []
    place: dict[int, tuple[int, int, str, int | None]] = {}  # entity -> its partner, line, file, split
    for path, number_of_split in files:
        for number, found in folder.lines(path, 2):
            pair = tuple(entities.row.get((graph, id)) for graph, id in enumerate(found))
            first, second = pair
            if first is None or second is None:
                graph = 0 if first is None else 1
                swapped = entities.row.get((1 - graph, found[graph])) is not None
                hint = "; it is one of the other graph, so the columns may be swapped" if swapped else ""
                what = f"there is no entity {quoted(found[graph])} in graph {graph + 1}{hint}; the link was left out"
                folder.problem(path, number, "unknown", what)
                continue
            known = [place[row] for row in (first, second) if row in place]
            for partner, line, name, other in known:
                if other != number_of_split:
                    raise FusionError(
                        f'"{path.name}", line {number}: an entity of this link is in "{name}", line {line}, too, so '
                        f"{SPLITS[number_of_split or 0]} leaks into {SPLITS[other or 0]}. Take it out of one of them."
                    )
                same = partner in (first, second)
                what = "this link stands there already" if same else "one of its entities has another link"
                folder.problem(path, number, "twice", f'{what} (line {line} of "{name}"); this one was left out')
                break
            else:
                place[first] = second, number, path.name, number_of_split
                place[second] = first, number, path.name, number_of_split
                links.append((first, second))
                split.append(number_of_split)
    if not links:
        raise FusionError(f'"{files[0][0].name}" has no link that can be used; {_first(folder, files[0][0])}')
    made = None if None in split else np.array(split, dtype=np.uint8)
    return np.array(links, dtype=np.int32), made


def alone(folder: Folder, path: Path, entities: Entities, degree: np.ndarray, graph: int, line: dict[int, int]) -> None:
    """Name the entities of a graph that no triple leads to another one from. `line`: row -> line of `path`."""
    for row in np.flatnonzero((degree == 0) & (np.array(entities.side) == graph)).tolist():
        what = f"the entity {quoted(entities.ids[row])} has no edge to another; its structure says nothing"
        folder.problem(path, line.get(row, 0), "alone", what)


def quoted(text: str) -> str:
    """A name from a file as a sentence shows it: short and in quotation marks."""
    return f'"{shorten(text, 60)}"'


def label(uri: str) -> str:
    """What a reader calls the thing at an address: its last part, without underscores.

    >>> label("<http://dbpedia.org/resource/Black_Sea>")
    'Black Sea'
    """
    plain = uri.strip().strip("<>")
    last = plain.rsplit("/resource/", 1)[-1] if "/resource/" in plain else plain.rstrip("/").rsplit("/", 1)[-1]
    return unquote(last).replace("_", " ").strip()


def _first(folder: Folder, path: Path) -> str:
    said = next((s for s in folder.problems() if s.startswith(f'"{path.name}"')), "")
    return f"the first problem: {said}" if said else "it is empty."
