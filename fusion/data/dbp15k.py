"""A folder of the DBP15K kind: two graphs of numbered entities, links between them, and what else lies there.

Needed, plain or packed with gzip, fields apart by tabs: `ent_ids_1|2` (id, address), `triples_1|2` (head, relation,
tail), and links: `sup_ent_ids` to train on with `ref_ent_ids` to test, or one file of all, `ill_ent_ids`, split here.
Used where there: `valid_ent_ids`, `rel_ids_1|2` (id, address), `training_attrs_1|2` (address, attribute, ...), and
translated names, `translated_ent_name.json` or `dbp_*_en.json` ([[id, [word, ...]], ...]).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graph_files import Entities, Folder, alone, label, quoted, read_links, read_triples
from fusion.data.graphs import SEED, TEST, TRAIN, TRAIN_SHARE, VALID, VALID_SHARE, GraphSet, split_links
from fusion.data.pairs import user_key, writable
from fusion.files import digest
from fusion.types import FusionError, Sample, Text

PREFIX = "dbp15k"


def read(path: Path, *, train: float = TRAIN_SHARE, seed: int = SEED) -> DataSet:
    """The data set in a folder; `train` and `seed` split the links where the folder doesn't.

    Raises FusionError when a file is absent, an id is in both graphs, a link is in two splits, or nothing can be used.
    """
    folder = Folder(path)
    entities, lines = Entities(), {}
    for graph in (0, 1):
        lines |= _entities(folder, entities, graph)
    seen: set[tuple[int, int, int]] = set()
    relation: dict[str, int] = {}
    for graph in (0, 1):
        read_triples(folder, folder.need(f"triples_{graph + 1}"), entities, graph, relation, seen=seen)
    links, split = _links(folder, entities, train, seed)
    names, translated = _names(folder, entities)
    attributes, counts = _attributes(folder, entities)
    titles = _titles(path)
    graph_set = GraphSet(
        titles, np.array(entities.side, dtype=np.uint8), np.array(sorted(seen), dtype=np.int32),
        _relations(folder, relation), links, split, attributes, counts,
    )  # fmt: skip
    degree = graph_set.degree()
    for graph in (0, 1):
        alone(folder, folder.need(f"ent_ids_{graph + 1}"), entities, degree, graph, lines)
    samples = tuple(
        Sample(id, {"name": Text(name)} if name else {}, note={"graph": titles[side], "address": uri})
        for id, name, uri, side in zip(entities.ids, names, entities.uris, entities.side, strict=True)
    )
    return DataSet(
        user_key(path), f"DBP15K {path.name}", samples, folder.problems(), "yours", path,
        digest(PREFIX, *folder.fingerprint(), f"{train} {seed}"), _notes(folder, graph_set, translated),
        f"{PREFIX}:{path}", graph=graph_set,
    )  # fmt: skip


def _entities(folder: Folder, entities: Entities, graph: int) -> dict[int, int]:
    """Read the entities of one graph. -> {row: line}"""
    path = folder.need(f"ent_ids_{graph + 1}")
    line = {}
    for number, found in folder.lines(path):
        id, uri = found[0].strip(), writable(" ".join(found[1:]).strip())
        if graph and (0, id) in entities.row:
            raise FusionError(
                f'"{path.name}", line {number}: the id {quoted(id)} is one of graph 1 too; both graphs share '
                "one row of numbers, so give every entity its own."
            )
        if not entities.add(graph, id, uri):
            folder.problem(path, number, "twice", f"the id {quoted(id)} stands there already; this line was left out")
            continue
        line[len(entities.ids) - 1] = number
    if not line:
        raise FusionError(f'"{path.name}" holds no entity; a line is an id, a tab and an address.')
    return line


def _links(folder: Folder, entities: Entities, train: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Links and their split; a share of the training links is held out where no file of validation links is there."""
    known, test, valid = folder.find("sup_ent_ids"), folder.find("ref_ent_ids"), folder.find("valid_ent_ids")
    if known and test:
        files = [(known, TRAIN), (test, TEST)] + ([(valid, VALID)] if valid else [])
        links, split = read_links(folder, files, entities)
        assert split is not None
        if not valid:
            mine = np.flatnonzero(split == TRAIN)
            order = np.random.default_rng(seed).permutation(len(mine))
            split[mine[order[: round(len(mine) * VALID_SHARE)]]] = VALID
        return links, split
    path = folder.find("ill_ent_ids", "ref_ent_ids") or folder.need("ill_ent_ids")
    links, _ = read_links(folder, [(path, None)], entities)
    return links, split_links(len(links), train, seed)


def _names(folder: Folder, entities: Entities) -> tuple[list[str], bool]:
    """N names: translated ones where there is such a file, else the last part of each address."""
    names = [label(uri) for uri in entities.uris]
    path = folder.find("translated_ent_name.json")
    if path is None:
        path = min((*folder.path.glob("dbp_*_en.json"), *folder.path.glob("dbp_*_en.json.gz")), default=None)
    if path is None:
        return names, False
    try:
        rows = json.loads(folder.text(path))
    except ValueError as error:
        raise FusionError(f'"{path.name}" is not JSON ({error}); it should be [[id, [word, ...]], ...].') from error
    if not isinstance(rows, list):
        raise FusionError(f'"{path.name}" holds no list; it should be [[id, [word, ...]], ...].')
    told = set()
    for number, row in enumerate(rows, 1):  # the file is one line: the entry's number stands for it
        good = isinstance(row, list) and len(row) == 2 and isinstance(row[1], list)
        if not good or not all(isinstance(word, str) for word in row[1]):
            folder.problem(path, 1, "shape", f"entry {number} is not [id, [word, ...]]; it was left out")
            continue
        id = str(row[0])
        at = entities.row.get((0, id), entities.row.get((1, id)))
        if at is None:
            what = f"entry {number} names {quoted(id)}, which is no entity; it was left out"
            folder.problem(path, 1, "unknown", what)
            continue
        names[at] = writable(" ".join(row[1]).strip())
        told.add(at)
    for at in range(len(names)):
        if at not in told:
            what = f"the entity {quoted(entities.ids[at])} has no translated name; its address is used"
            folder.problem(path, 1, "untold", what)
    return names, True


def _relations(folder: Folder, relation: dict[str, int]) -> tuple[str, ...]:
    """Names of relations: the last part of their address where there is a table, else "relation 12"."""
    known = {}
    for name in ("rel_ids_1", "rel_ids_2", "rel_ids"):
        path = folder.find(name)
        if path is not None:
            known |= {found[0].strip(): label(" ".join(found[1:])) for _, found in folder.lines(path) if len(found) > 1}
    return tuple(known.get(id, f"relation {id}") for id in relation)


def _attributes(folder: Folder, entities: Entities) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of attributes, and (entity, attribute, 1) rows of the files of attributes; empty without such files."""
    number: dict[str, int] = {}
    held: set[tuple[int, int]] = set()
    for graph in (0, 1):
        path = folder.find(f"training_attrs_{graph + 1}", f"attrs_{graph + 1}")
        if path is None:
            continue
        by_address = entities.by_address(graph)
        for line, found in folder.lines(path):
            row = by_address.get(found[0].strip(), entities.row.get((graph, found[0].strip())))
            if row is None:
                folder.problem(
                    path, line, "unknown", f"there is no entity {quoted(found[0])}; its attributes were left out"
                )
                continue
            held |= {(row, number.setdefault(label(one), len(number))) for one in found[1:] if one.strip()}
    counts = np.array([(*pair, 1) for pair in sorted(held)], dtype=np.int32).reshape(-1, 3)
    return tuple(number), counts


def _titles(path: Path) -> tuple[str, str]:
    parts = path.name.split("_")
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else ("graph 1", "graph 2")


def _notes(folder: Folder, graph: GraphSet, translated: bool) -> tuple[str, ...]:
    """What a reader of its figures must know."""
    notes = ["No picture comes with these files, so figures that others published with pictures don't compare."]
    if translated:
        notes.append("Names were translated by machine; alone they already align much, so look at a run without them.")
    loops, bare = folder.count("loop"), int((graph.degree() == 0).sum())
    if loops or bare:
        notes.append(f"{loops:,} triples point from an entity to itself; {bare:,} entities have no edge to another.")
    return tuple(notes)
