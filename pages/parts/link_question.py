"""The question on Inspect for a link predictor: head, relation and the answer asked about, from and to the address."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from fusion.types import FusionError
from fusion.words import t
from pages.parts import finder, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from fusion.data import DataSet
    from fusion.data.triples import TripleSet
    from fusion.types import Sample

BACK = "~"  # before the name of a relation in the address: it is asked backwards
SPLITS = ("test", "valid", "train")  # where a question is looked for, those that nothing was trained on first
NEAR = 3  # names that are offered instead of an unknown one


@dataclass(frozen=True)
class Question:
    """(head, relation, ?), with the answer that it is asked about."""

    head: str
    relation: int  # 0..2R-1, r + R is r backwards
    tail: str = ""


def triples_of(dataset: DataSet) -> TripleSet:
    """The graph of a data set that has one."""
    assert dataset.triples is not None, "a face of questions has triples"
    return dataset.triples


def relation_name(triples: TripleSet, relation: int) -> str:
    """What a relation of a question is called; one that is asked backwards says so."""
    name, back = triples.relation(relation)
    return t("links.backwards", name=name) if back else name


def arrowed(triples: TripleSet, relation: int, directed: bool = True) -> str:
    """The same in short, for a picture: "has keyword →" asks for the tail, "has keyword ←" for the head."""
    name, back = triples.relation(relation)
    return f"{name} {'←' if back else '→'}" if directed else name


def said(triples: TripleSet, head: str, relation: int) -> str:
    """A question in a line: "red apple → has keyword → ?", or "? → has keyword → fruit" where it is asked backwards."""
    name, back = triples.relation(relation)
    return f"? → {name} → {head}" if back else f"{head} → {name} → ?"


def address(triples: TripleSet, relation: int) -> str:
    """A relation as the address names it."""
    name, back = triples.relation(relation)
    return BACK + name if back else name


def number(triples: TripleSet, name: str) -> int | None:
    """The relation that the address names, None for none of this graph."""
    bare = name.removeprefix(BACK)
    for one in (name, bare):  # a name may begin with the mark itself
        if one in triples.relations:
            return triples.relations.index(one) + (len(triples.relations) if one != name else 0)
    return None


def from_address(dataset: DataSet) -> list[str]:
    """What the address names that isn't here, each with the nearest names; it is taken out of the address.

    An entity may be named by its id or its name.
    """
    from fusion.data.triple_names import find_entity

    problems = []
    for name in ("id", "against"):
        id = state.get(name)
        if not id or id in dataset.index:
            continue
        try:
            state.put(**{name: dataset.samples[find_entity(dataset, id)].id})  # by its name
        except FusionError:
            state.put(**{name: None})
            problems.append(t("error.entity", id=plain(id, 60), data=plain(dataset.name, 60)) + near(dataset, id))
    triples, name = triples_of(dataset), state.get("rel")
    if name and number(triples, name) is None:
        state.put(rel=None)
        close = get_close_matches(name.removeprefix(BACK), triples.relations, NEAR, 0.3) or triples.relations[:NEAR]
        names = t("views.list.comma").join(plain(one, 60) for one in close)
        problems.append(t("error.relation", name=plain(name, 60), data=plain(dataset.name, 60), names=names))
    return problems


def near(dataset: DataSet, id: str) -> str:
    """A sentence with the entities whose names are nearest to an unknown one, "" where none is near."""
    rows = finder.search(dataset, id)[:NEAR]
    named = {finder.name_of(sample): sample for sample in dataset.samples} if not rows else {}
    found = [finder.name_of(dataset.samples[row]) for row in rows] or get_close_matches(id, list(named), NEAR, 0.5)
    if not found:
        return ""
    return " " + t("error.near", names=t("views.list.comma").join(plain(one, 60) for one in found))


def asked(dataset: DataSet) -> Question | None:
    """The question in the address; without a relation there, the first that the head is asked about."""
    head = state.get("id")
    if not head or head not in dataset.index:
        return None
    triples = triples_of(dataset)
    relation = number(triples, state.get("rel"))
    if relation is None:
        relation = next(iter(relations(triples, dataset.index[head])), 0)
    return Question(head, relation, state.get("against"))


def relations(triples: TripleSet, row: int) -> list[int]:
    """The relations that an entity has, held-out ones first, in either direction. -> 0..2R-1"""
    found: list[int] = []
    for split in SPLITS:
        part = triples.part(split)
        found += part[part[:, 0] == row, 1].tolist()
        found += (part[part[:, 2] == row, 1] + len(triples.relations)).tolist()
    return list(dict.fromkeys(found))


def put(dataset: DataSet, question: Question) -> None:
    """Ask a question: into the address, without what was put in for the last one."""
    state.put(
        data=state.get("data") or None, id=question.head, rel=address(triples_of(dataset), question.relation),
        against=question.tail or None,
    )  # fmt: skip


def first(dataset: DataSet, count: int = 3) -> list[Question]:
    """Questions to begin with: held-out triples at even distances, each with its answer."""
    triples = triples_of(dataset)
    for split in SPLITS:
        part = triples.part(split)
        if len(part):
            break
    else:
        return []
    rows = np.linspace(0, len(part) - 1, 3 * count + 2).astype(int)[1:-1]
    with_picture = [row for row in rows if dataset.samples[int(part[row, 0])].image() is not None]
    chosen = (with_picture or rows.tolist())[:: max(1, len(with_picture or rows) // count)][:count]
    return [_question(dataset, part[row]) for row in chosen]


def chance(dataset: DataSet, random: np.random.Generator) -> Question | None:
    """A held-out question in either direction, by chance."""
    triples = triples_of(dataset)
    for split in SPLITS:
        part = triples.queries(split)
        if len(part):
            return _question(dataset, part[int(random.integers(len(part)))])
    return None


def _question(dataset: DataSet, triple: np.ndarray) -> Question:
    head, relation, tail = triple.tolist()
    return Question(dataset.samples[head].id, relation, dataset.samples[tail].id)


def kind_of(dataset: DataSet, sample: Sample) -> str:
    """The kind of an entity, "" where none is known."""
    kinds = triples_of(dataset).kind
    return kinds[dataset.index[sample.id]] if kinds else ""
