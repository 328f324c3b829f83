"""Alignment of FB15K-237 with DB15K: three folders side by side, `fb15k237`, `db15k` and `fb15k237_db15k`.

`fb15k237`: `entity2id.txt`, `relation2id.txt` (count, then name and id), `train2id.txt`, `valid2id.txt`, `test2id.txt`
(count, then head, tail, relation: mind the order), `entity2text.txt`. `db15k`: `entity2id.txt`, `relation2id.txt`,
`train|valid|test.txt` (head, relation, tail). `fb15k237_db15k`: `links_ids.tsv` (ids) or `DB15K_SameAsLink.txt`
(names), and `FB15K_NumericalTriples.txt` for attributes. It is a set of its own: neither the triples nor the pictures
of the FB15K-DB15K of the papers, so their figures don't compare.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graph_files import Entities, Folder, alone, label, quoted, read_links, read_triples
from fusion.data.graphs import SEED, TRAIN_SHARE, GraphSet, split_links
from fusion.data.pairs import user_key, writable
from fusion.files import digest
from fusion.types import FusionError, Sample, Text

PREFIX = "fb15k_db15k"
FREEBASE, DBPEDIA, LINKS = "fb15k237", "db15k", "fb15k237_db15k"
NOTE = (
    "This is FB15k-237 / DB15K, not the FB15K-DB15K of the papers: other triples, no pictures, and attributes on one "
    "side only. Three names of four are spelt alike on both sides, so look at a run without names too."
)


def read(path: Path, *, train: float = TRAIN_SHARE, seed: int = SEED) -> DataSet:
    """The data set in the folder that holds the three, or in the third of them; `train` and `seed` split the links.

    Raises FusionError when a file is absent or nothing in it can be used.
    """
    root = path.parent if path.name == LINKS else path
    for name in (FREEBASE, DBPEDIA, LINKS):
        if not (root / name).is_dir():
            raise FusionError(
                f'{quoted(root.name)} has no folder "{name}"; '
                f"name the folder that holds {FREEBASE}, {DBPEDIA} and {LINKS}."
            )
    freebase, dbpedia, linking = (Folder(root / name) for name in (FREEBASE, DBPEDIA, LINKS))
    entities = Entities()
    lines = _entities(freebase, entities, 0) | _entities(dbpedia, entities, 1)
    seen: set[tuple[int, int, int]] = set()
    relation: dict[str, int] = {}
    for name in ("train2id.txt", "valid2id.txt", "test2id.txt"):
        read_triples(freebase, freebase.need(name), entities, 0, relation, order="htr", skip=1, offset="f", seen=seen)
    for name in ("train.txt", "valid.txt", "test.txt"):
        read_triples(dbpedia, dbpedia.need(name), entities, 1, relation, offset="d", seen=seen)
    links = _links(linking, entities)
    attributes, counts = _attributes(linking, entities)
    graph = GraphSet(
        ("FB15k-237", "DB15K"), np.array(entities.side, dtype=np.uint8), np.array(sorted(seen), dtype=np.int32),
        _relations(freebase, dbpedia, relation), links, split_links(len(links), train, seed), attributes, counts,
    )  # fmt: skip
    for at, folder in enumerate((freebase, dbpedia)):
        alone(folder, folder.need("entity2id.txt"), entities, graph.degree(), at, lines)
    names = _names(freebase, entities)
    notes = [
        {"graph": graph.titles[side], "address": uri} for side, uri in zip(entities.side, entities.uris, strict=True)
    ]
    samples = tuple(
        Sample(f"{'fd'[side]}{id}", {"name": Text(name)} if name else {}, note=note)
        for id, name, side, note in zip(entities.ids, names, entities.side, notes, strict=True)
    )
    problems = freebase.problems() + dbpedia.problems() + linking.problems()
    said = freebase.fingerprint() + dbpedia.fingerprint() + linking.fingerprint()
    return DataSet(
        user_key(root), "FB15k-237 / DB15K", samples, problems, "yours", root,
        digest(PREFIX, *said, f"{train} {seed}"), (NOTE,), f"{PREFIX}:{root}", graph=graph,
    )  # fmt: skip


def _entities(folder: Folder, entities: Entities, graph: int) -> dict[int, int]:
    """Read a table of names and ids. -> {row: line}"""
    path = folder.need("entity2id.txt")
    line = {}
    for number, found in folder.lines(path, 2, skip=1):
        if not entities.add(graph, found[1].strip(), writable(found[0].strip())):
            what = f"the id {quoted(found[1])} stands there already; this line was left out"
            folder.problem(path, number, "twice", what)
            continue
        line[len(entities.ids) - 1] = number
    if not line:
        raise FusionError(f'"{path.name}" holds no entity; behind its first line, a line is a name, a tab and an id.')
    return line


def _links(folder: Folder, entities: Entities) -> np.ndarray:
    """Links by id where that file is there, else by name, those whose ends are both known."""
    path = folder.find("links_ids.tsv")
    if path is not None:
        return read_links(folder, [(path, None)], entities)[0]
    path = folder.need("DB15K_SameAsLink.txt")
    by_name = [entities.by_address(graph) for graph in (0, 1)]
    links, taken = [], set()
    for number, found in folder.lines(path):
        ends = [name for name in found if name.startswith(("/m/", "<http"))]
        pair = tuple(known.get(name) for known, name in zip(by_name, ends, strict=False))
        if len(pair) < 2 or None in pair:
            folder.problem(path, number, "unknown", "one of its ends is in neither graph; the link was left out")
        elif taken & set(pair):
            folder.problem(path, number, "twice", "one of its entities has another link; this one was left out")
        else:
            taken |= set(pair)
            links.append(pair)
    if not links:
        raise FusionError(f'"{path.name}" has no link between entities of both graphs; take the files of one release.')
    return np.array(links, dtype=np.int32)


def _names(freebase: Folder, entities: Entities) -> list[str]:
    """N names: labels of Freebase, the last part of each address of DBpedia."""
    path = freebase.find("entity2text.txt")
    labels = dict(found[:2] for _, found in freebase.lines(path, 2)) if path is not None else {}
    return [
        writable(labels.get(uri, "")) if side == 0 else label(uri)
        for uri, side in zip(entities.uris, entities.side, strict=True)
    ]


def _relations(freebase: Folder, dbpedia: Folder, relation: dict[str, int]) -> tuple[str, ...]:
    """Names of relations, in the order of their numbers."""
    known = {}
    for mark, folder in (("f", freebase), ("d", dbpedia)):
        path = folder.find("relation2id.txt")
        if path is not None:
            known |= {mark + found[1].strip(): label(found[0]) for _, found in folder.lines(path, 2, skip=1)}
    return tuple(known.get(id, f"relation {id[1:]}") for id in relation)


def _attributes(folder: Folder, entities: Entities) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of Freebase's numbers, and (entity, attribute, how often) rows; empty without that file."""
    path = folder.find("FB15K_NumericalTriples.txt")
    if path is None:
        return (), np.zeros((0, 3), dtype=np.int32)
    rows = entities.by_address(0)
    number: dict[str, int] = {}
    counts: dict[tuple[int, int], int] = {}
    for line, found in folder.lines(path, 3):
        row = rows.get(found[0].strip())
        if row is None:
            folder.problem(path, line, "unknown", f"there is no entity {quoted(found[0])}; its number was left out")
            continue
        key = row, number.setdefault(label(found[1]), len(number))
        counts[key] = counts.get(key, 0) + 1
    return tuple(number), np.array([(*key, count) for key, count in sorted(counts.items())], dtype=np.int32)
