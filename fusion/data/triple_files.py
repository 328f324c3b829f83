"""A folder of one knowledge graph whose triples are split, in any of the forms that they are shared in, plain or .gz.

`train`, `valid`, `test`, each `NAME.txt` (head, relation, tail), OpenKE's `NAME2id.txt` (a count, then head, tail,
relation) or `NAME`; ids where `entity2id.txt` and `relation2id.txt` (a name and its id a line, behind a count or not)
lie beside them, else names. Used where there: `entity2text.txt` or `ent_name.txt` (names), `entity2textlong.txt` or
`ent_dscp.txt` (descriptions), `relation2text.txt`. The columns' order is checked against what stands in them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graph_files import Folder, label, quoted
from fusion.data.graphs import SEED, SPLITS, TRAIN, VALID
from fusion.data.pairs import user_key, writable
from fusion.data.triple_columns import by_tables, by_values, called, turned
from fusion.data.triples import VALID_PART, Overlap, TripleSet, split_triples
from fusion.files import digest
from fusion.types import FusionError, Part, Sample, Text

PREFIX, OWN = "triples", "triples_own"  # as the folder splits them; split here
OTHERS = {"train": ("training",), "valid": ("dev", "validation"), "test": ("testing",)}
OPENKE = "2id.txt"
LEAKY = 0.1  # of the validation triples in train or test: from there on the part is drawn anew
_NUMBERED = re.compile(r"[A-Za-z]?\d+")  # Q42, P31, 00590383: an id that no text encoder can read anything from


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


def read(path: Path, *, own: bool = False, seed: int = SEED) -> DataSet:
    """The data set in a folder; with `own`, all its triples are split anew by the seed, pairs of entities kept together.

    Raises FusionError when there is no file of training triples, or none of its triples can be used.
    """
    folder = Folder(path)
    files = {name: _file(folder, name) for name in SPLITS}
    if files["train"] is None:
        folder.need("train.txt")
    entities, relations = _table(folder, "entity2id.txt"), _table(folder, "relation2id.txt")
    found = Read()
    for number, name in enumerate(SPLITS):
        if (file := files[name]) is not None:
            _triples(folder, file, number, entities, relations, found)
    triples, split = np.array(found.triples, dtype=np.int32).reshape(-1, 3), np.array(found.split, dtype=np.uint8)
    missing = [name for name in SPLITS if files[name] is None]
    if own or missing:
        triples = np.unique(triples, axis=0)
        split = split_triples(triples, seed=seed)
        why = "" if own else f"the folder has no {' and no '.join(missing)} triples; "
        found.notes.append(
            f"{why}all triples were split here, by seed {seed}, both ways between two entities kept together.".capitalize()
        )
    else:
        triples, split = _own_validation(triples, split, seed, found.notes)
    titles = _relations(folder, relations)
    samples = _samples(folder, entities, files["train"] or path)
    graph = TripleSet(path.name, triples, split, titles, entities=len(samples))
    if not len(graph.part("train")) or not len(graph.part("test")):
        raise FusionError(f"{quoted(path.name)} leaves nothing to train on or nothing to test; give more triples.")
    prefix = OWN if own else PREFIX
    return DataSet(
        user_key(path) + ("-own" if own else ""), f"Triples {path.name}{', own split' if own else ''}", samples,
        folder.problems(), "yours", path, digest(prefix, *folder.fingerprint(), f"{seed}"),
        (*found.notes, *_notes(graph, samples)), f"{prefix}:{path}", triples=graph,
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
    lines = [(n, [one.strip() for one in fields]) for n, fields in folder.lines(path)]
    if lines and len(lines[0][1]) == 1 and lines[0][1][0].isdigit():
        lines = lines[1:]
    for number, fields in lines:
        if len(fields) != 3:
            folder.problem(path, number, "fields", f"it has {len(fields)} fields, not 3")
    lines = [(number, fields) for number, fields in lines if len(fields) == 3]
    usual = "htr" if OPENKE in path.name else "hrt"
    order = usual
    if lines and entities.row and relations.row:
        order = by_tables([fields for _, fields in lines], entities.row, relations.row, usual, path.name)
    elif lines:
        order = by_values([fields for _, fields in lines], usual)
    if order != usual:
        found.notes.append(
            f'"{path.name}" has its columns in the order {called(order)}, as what stands in them shows, and not '
            f"{called(usual)}, as its name says; they were read so."
        )
    h, r, t = (order.index(one) for one in "hrt")
    before = {triple: at for at, triple in enumerate(found.triples)}
    mine: dict[tuple[int, int, int], int] = {}
    for number, fields in lines:
        relation = relations.find(fields[r])
        head, tail = (entities.find(fields[at]) if relation is not None else None for at in (h, t))
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
        if triple in before:
            other = SPLITS[found.split[before[triple]]]
            folder.problem(path, number, "leak", f"this triple is one of the split {other} too")
    if not mine:
        first = next((said for said in folder.problems() if said.startswith(f'"{path.name}"')), "it is empty.")
        raise FusionError(f'"{path.name}" has no triple that can be used; the first problem: {first}')
    found.triples += mine
    found.split += [split] * len(mine)
    if split != TRAIN:
        train = [one for one, part in zip(found.triples, found.split, strict=True) if part == TRAIN]
        if turned(np.array(train).reshape(-1, 3), np.array(list(mine)), len(entities.row)):
            found.notes.append(
                f'The heads of "{path.name}" look like the tails of the training triples, relation by relation: its '
                "columns may be turned round; check their order, for every figure would be wrong."
            )


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


def _samples(folder: Folder, entities: Names, train: Path) -> tuple[Sample, ...]:
    """One sample an entity: its name and its description where the folder has them."""
    names, place = _texts(folder, "entity2text.txt", "ent_name.txt")
    described, below = _texts(folder, "entity2textlong.txt", "ent_dscp.txt")
    samples = []
    for (id, row), uri in zip(entities.row.items(), entities.uris, strict=True):
        assert row == len(samples)
        name = names.get(uri) or names.get(id) or ("" if uri.startswith("/m/") else label(uri))
        if not names and _NUMBERED.fullmatch(name):
            name = ""
        said = described.get(uri) or described.get(id) or described.get(uri[1:]) or ""
        first = name.split(",")[0].strip()
        if first and said.lower().startswith(f"{first.lower()}, "):
            said = said[len(first) + 2 :]  # "stool, solid excretory product ...": the name is said once
        if place is not None and not name:
            folder.problem(place, 0, "unnamed", f"the entity {quoted(uri)} has no name there")
        if below is not None and not said:
            folder.problem(below, 0, "untold", f"the entity {quoted(uri)} has no description, or an empty one")
        parts: dict[str, Part] = {"name": Text(name)} if name else {}
        samples.append(
            Sample(writable(id), parts | ({"description": Text(said)} if said else {}), note={"address": uri})
        )
    return tuple(samples)


def _texts(folder: Folder, *names: str) -> tuple[dict[str, str], Path | None]:
    """{id: text} of the first of some files that is there, and where it is."""
    path = folder.find(*names)
    if path is None:
        return {}, None
    return {found[0].strip(): writable(" ".join(found[1:]).strip()) for _, found in folder.lines(path)}, path


def _relations(folder: Folder, relations: Names) -> tuple[str, ...]:
    """R names that differ: labels where there are any, else the last part of each address."""
    labels, _ = _texts(folder, "relation2text.txt")
    names = [
        labels.get(uri) or (label(uri) if "/" in uri else uri.strip("_").replace("_", " ")) for uri in relations.uris
    ]
    often = Counter(names)
    return tuple(
        name if often[name] == 1 else f"{name} ({uri})" for name, uri in zip(names, relations.uris, strict=True)
    )


def _notes(graph: TripleSet, samples: Sequence[Sample]) -> tuple[str, ...]:
    """What a reader of its figures must know."""
    notes = [f"{said} {what}" for said, what in _shared(graph.overlaps())]
    without = int((graph.degree() == 0).sum())
    if without:
        notes.append(f"{without:,} entities have no training triple that leads to another one.")
    unlearnt = [graph.relations[at] for at in np.flatnonzero(graph.frequency() == 0).tolist()]
    if unlearnt:
        more = f" and {len(unlearnt) - 3:,} more" if len(unlearnt) > 3 else ""
        notes.append(
            f"No training triple has the relation {', '.join(map(quoted, unlearnt[:3]))}{more}: nothing is learnt of it."
        )
    if not any(sample.parts for sample in samples):
        notes.append("Its entities have neither names nor descriptions, only numbers.")
    notes.append("No picture comes with these files, so figures that others published with pictures don't compare.")
    return tuple(notes)


def _shared(overlaps: Mapping[str, Overlap]) -> list[tuple[str, str]]:
    """Sentences of what held-out triples share with train and with each other."""
    found = []
    for name, one in overlaps.items():
        back = one.reversed_same + one.reversed_other
        told = f"Of the {one.triples:,} {name} triples"
        if one.in_train:
            found.append((f"{told}, {one.in_train:,} stand in train too.", "Figures without them are given beside."))
        if back:
            what = f"{one.reversed_same:,} of them by the same relation: a rule that turns links round finds those."
            found.append((f"{told}, {back:,} stand turned round in train,", what))
        if name == "test" and one.in_other:
            found.append(
                (f"{told}, {one.in_other:,} are validation triples too.", "An epoch chosen there has seen them.")
            )
    return found
