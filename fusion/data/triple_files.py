"""A folder of one knowledge graph whose triples are split, in any of the forms that they are shared in, plain or .gz.

`train`, `valid`, `test`, each `NAME.txt` (head, relation, tail), OpenKE's `NAME2id.txt` (a count, then head, tail,
relation) or `NAME`; ids where `entity2id.txt` and `relation2id.txt` (a name and its id a line, behind a count or not)
lie beside them, else names. Used where there: `entity2text.txt` or `ent_name.txt` (names), `entity2textlong.txt` or
`ent_dscp.txt` (descriptions), `relation2text.txt`. The columns' order is checked against what stands in them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusion.data import triple_words
from fusion.data.dataset import DataSet
from fusion.data.graph_files import Folder, quoted
from fusion.data.graphs import SEED, SPLITS, TRAIN, VALID
from fusion.data.pairs import collecting_nothing, user_key, writable
from fusion.data.triple_columns import by_tables, by_values, called, turned
from fusion.data.triples import VALID_PART, TripleSet, split_triples
from fusion.files import digest
from fusion.types import FusionError

PREFIX, OWN = "triples", "triples_own"  # as the folder splits them; split here
OTHERS = {"train": ("training",), "valid": ("dev", "validation"), "test": ("testing",)}
OPENKE = "2id.txt"
LEAKY = 0.1  # of the validation triples in train or test: from there on the part is drawn anew


@dataclass
class Names:
    """The rows of entities, or of relations, by the id that triples name them by."""

    row: dict[str, int] = field(default_factory=dict)
    uris: list[str] = field(default_factory=list)
    fixed: bool = False  # a table says which there are; without one, triples do

    def find(self, id: str) -> int | None:
        """The row of an id, None where the table has none; without a table it gets the next row."""
        found = self.row.get(id)
        if found is None and not self.fixed:
            found = self.row[id] = len(self.row)
            self.uris.append(writable(id))
        return found


@dataclass
class Read:
    """What the files of triples held."""

    triples: list[tuple[int, int, int]] = field(default_factory=list)
    split: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    first: dict[tuple[int, int, int], int] = field(default_factory=dict)  # the first split that has a triple

    def add(self, triples: Collection[tuple[int, int, int]], split: int) -> None:
        """Append the different triples of one split."""
        before = len(self.triples)
        self.triples += triples
        self.split += [split] * (len(self.triples) - before)
        self.first = dict.fromkeys(triples, split) | self.first

    def train(self) -> np.ndarray:
        """The training triples. (E', 3)"""
        return np.array(self.triples[: self.split.count(TRAIN)]).reshape(-1, 3)  # they are read first


def read(path: Path, *, own: bool = False, seed: int = SEED) -> DataSet:
    """The data set in a folder; with `own` its triples are split anew by the seed, as `split_triples` does.

    Raises FusionError when there is no file of training triples, or none of its triples can be used.
    """
    folder = Folder(path)
    with collecting_nothing():
        entities, relations = _table(folder, "entity2id.txt"), _table(folder, "relation2id.txt")
        found, missing = Read(), []
        for number, name in enumerate(SPLITS):
            file = _file(folder, name)
            if file is not None:
                _triples(folder, file, number, entities, relations, found)
            elif name == "train":
                folder.need("train.txt")
            else:
                missing.append(name)
        triples, split = np.array(found.triples, dtype=np.int32), np.array(found.split, dtype=np.uint8)
        if own or missing:
            triples = np.unique(triples, axis=0)
            split = split_triples(triples, seed=seed)
            why = f"The folder has no {' and no '.join(missing)} triples, so all" if missing else "All"
            found.notes.append(f"{why} triples were split here, by seed {seed}; those of two entities stay together.")
        else:
            triples, split = _own_validation(triples, split, seed, found.notes)
        samples = triple_words.samples(folder, entities.row, entities.uris)
    titles = triple_words.relations(folder, relations.uris)
    graph = TripleSet(path.name, triples, split, titles, entities=len(samples))
    if not len(graph.part("train")) or not len(graph.part("test")):
        raise FusionError(f"{quoted(path.name)} leaves nothing to train on or nothing to test; give more triples.")
    prefix = OWN if own else PREFIX
    return DataSet(
        user_key(path) + ("-own" if own else ""), f"Triples {path.name}{', own split' if own else ''}", samples,
        folder.problems(), "yours", path, digest(prefix, *folder.fingerprint(), f"{seed}"),
        (*found.notes, *triple_words.notes(graph, samples)), f"{prefix}:{path}", triples=graph,
    )  # fmt: skip


def _file(folder: Folder, split: str) -> Path | None:
    names = (split, *OTHERS[split])
    return folder.find(*(name + ending for name in names for ending in (OPENKE, ".txt", ".tsv", "")))


def _table(folder: Folder, name: str) -> Names:
    """Ids of a table of names and ids, with or without its count; empty and open where there is no such file."""
    path = folder.find(name)
    found = Names()
    if path is None:
        return found
    said = None
    for number, fields in folder.lines(path):
        if len(fields) == 1 and not found.row and fields[0].strip().isdigit():
            said = int(fields[0])
            continue
        if len(fields) < 2:
            folder.problem(path, number, "fields", "it has one field, not a name and an id")
            continue
        uri, id = " ".join(fields[:-1]).strip(), fields[-1].strip()
        if id in found.row:
            folder.problem(path, number, "twice", f"the id {quoted(id)} stands there already; this line was left out")
            continue
        found.row[id] = len(found.row)
        found.uris.append(writable(uri))
    if not found.row:
        raise FusionError(f'"{path.name}" names nothing; behind its count, a line is a name, a tab and an id.')
    if said is not None and said != len(found.row):
        folder.problem(path, 1, "count", f"it counts {said:,} and {len(found.row):,} follow")
    found.fixed = True
    return found


def _triples(folder: Folder, path: Path, split: int, entities: Names, relations: Names, found: Read) -> None:
    """Add the triples of one file; what can't be used is named, and so is what another split has already."""
    lines = _lines(folder, path)
    h, r, t = _columns(path, [fields for _, fields in lines], entities, relations, found.notes)
    mine: dict[tuple[int, int, int], int] = {}
    for number, fields in lines:
        relation = relations.find(fields[r])
        head, tail = (None, None) if relation is None else (entities.find(fields[h]), entities.find(fields[t]))
        if relation is None or head is None or tail is None:
            kind, at = ("relation", r) if relation is None else ("entity", h if head is None else t)
            what = f"there is no {kind} {quoted(fields[at])} in its table; the triple was left out"
            folder.problem(path, number, "unknown", what)
            continue
        triple = head, relation, tail
        if triple in mine:
            what = f"this triple stands there already (line {mine[triple]}); it counts once"
            folder.problem(path, number, "twice", what)
            continue
        mine[triple] = number
        if head == tail:
            folder.problem(path, number, "loop", f"the entity {quoted(fields[h])} points to itself")
        if triple in found.first:
            what = f"this triple is one of the split {SPLITS[found.first[triple]]} too"
            folder.problem(path, number, "leak", what)
    if not mine:
        first = next((said for said in folder.problems() if said.startswith(f'"{path.name}"')), "it is empty.")
        raise FusionError(f'"{path.name}" has no triple that can be used; the first problem: {first}')
    found.add(mine, split)
    if split != TRAIN and turned(found.train(), np.array(list(mine)), len(entities.row)):
        found.notes.append(
            f'The heads of "{path.name}" look like the tails of the training triples, relation by relation: its '
            "columns may be turned round. Check their order; if they are, every figure is wrong."
        )


def _lines(folder: Folder, path: Path) -> list[tuple[int, list[str]]]:
    """(number, three fields) of each line of triples; a first line that only counts them is no triple."""
    found = []
    for number, fields in folder.lines(path):
        if len(fields) == 3:
            found.append((number, [one.strip() for one in fields]))
        elif found or len(fields) != 1 or not fields[0].strip().isdigit():
            folder.problem(path, number, "fields", f"it has {len(fields)} fields, not 3")
    return found


def _columns(
    path: Path, rows: list[list[str]], entities: Names, relations: Names, notes: list[str]
) -> tuple[int, int, int]:
    """Which field is the head, the relation, the tail; another order than the file's name says is noted."""
    usual = order = "htr" if OPENKE in path.name else "hrt"
    if rows and entities.row and relations.row:
        order = by_tables(rows, entities.row, relations.row, usual, path.name)
    elif rows:
        order = by_values(rows, usual)
    if order != usual:
        notes.append(
            f'"{path.name}" has its columns in the order {called(order)}, as what stands in them shows, and not '
            f"{called(usual)}, as is usual under its name; they were read so."
        )
    return order.index("h"), order.index("r"), order.index("t")


def _own_validation(
    triples: np.ndarray, split: np.ndarray, seed: int, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """A validation part of our own, drawn from train, where much of the published one stands in train or in test."""
    rows = {name: set(map(tuple, triples[split == at].tolist())) for at, name in enumerate(SPLITS)}
    inside = rows["valid"] & (rows["train"] | rows["test"])
    if len(inside) <= LEAKY * len(rows["valid"]):
        return triples, split
    keep = np.array([at != VALID or tuple(one) not in inside for one, at in zip(triples.tolist(), split, strict=True)])
    triples, split = triples[keep], split[keep]
    train = np.flatnonzero(split == TRAIN)
    drawn = split_triples(triples[train], valid=VALID_PART, test=0, seed=seed) == VALID
    split[train[drawn]] = VALID
    notes.append(
        f"Of the {len(rows['valid']):,} different validation triples, {len(rows['valid'] & rows['train']):,} stand in "
        f"train and {len(rows['valid'] & rows['test']):,} in test: they are no held-out part. {int(drawn.sum()):,} "
        f"training triples, drawn by seed {seed}, are held out in their place."
    )
    return triples, split
