"""What the entities and relations of a folder of triples are called and described as, and what its reader must know."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fusion.data.graph_files import Folder, label, quoted
from fusion.data.pairs import writable
from fusion.data.triples import Overlap, TripleSet
from fusion.types import Part, Sample, Text

_NUMBERED = re.compile(r"[A-Za-z]?\d+")  # Q42, P31, 00590383: an id that no text encoder can read anything from


def samples(folder: Folder, rows: Mapping[str, int], uris: Sequence[str]) -> tuple[Sample, ...]:
    """One sample an entity, with its name and its description where the folder has them. rows: {id: row}"""
    names = _texts(folder, "entity2text.txt", "ent_name.txt")
    described, glossed = _texts(folder, "entity2textlong.txt"), _texts(folder, "ent_dscp.txt")
    found = []
    for id, row in rows.items():
        assert row == len(found)
        uri = uris[row]
        name = names.get(uri) or names.get(id) or _from_address(uri)
        gloss = glossed.get(id) or glossed.get(id[1:]) or ""  # wn9 calls n00590383 by its digits there
        said = described.get(uri) or described.get(id) or _definition(gloss, name)
        if names and not name:
            folder.missing("name", f"the entity {quoted(uri)} has no name")
        if (described or glossed) and not said:
            folder.missing("description", f"the entity {quoted(uri)} has no description, or an empty one")
        parts: dict[str, Part] = {"name": Text(name)} if name else {}
        parts |= {"description": Text(said)} if said else {}
        found.append(Sample(writable(id), parts, note={"address": uri}))
    return tuple(found)


def relations(folder: Folder, uris: Sequence[str]) -> tuple[str, ...]:
    """R names that differ: labels where there are any, else the last part of each address."""
    labels = _texts(folder, "relation2text.txt")
    names = [labels.get(uri) or _from_relation(uri) for uri in uris]
    for longer in (_within, str):  # "actor (tv program)", and where that isn't enough, the whole address
        often = Counter(names)
        names = [
            f"{labels.get(uri) or _from_relation(uri)} ({longer(uri)})" if often[name] > 1 else name
            for name, uri in zip(names, uris, strict=True)
        ]
    return tuple(names)


def notes(graph: TripleSet, entities: Sequence[Sample]) -> tuple[str, ...]:
    """What a reader of its figures must know."""
    found = _shared(graph.overlaps())
    without = int((graph.degree() == 0).sum())
    if without:
        have = "entity has" if without == 1 else "entities have"
        found.append(f"{without:,} {have} no training triple that leads to another one.")
    unlearnt = [graph.relations[at] for at in np.flatnonzero(graph.frequency() == 0).tolist()]
    if unlearnt:
        more = f" and {len(unlearnt) - 3:,} more" if len(unlearnt) > 3 else ""
        named = ", ".join(map(quoted, unlearnt[:3]))
        found.append(f"No training triple has the relation {named}{more}: nothing is learnt of it.")
    if not any(sample.parts for sample in entities):
        found.append("Its entities have neither names nor descriptions, only numbers.")
    found.append("No picture comes with these files, so figures that others published with pictures don't compare.")
    return tuple(found)


def _shared(overlaps: Mapping[str, Overlap]) -> list[str]:
    """Sentences of what held-out triples share with train and with each other."""
    found = []
    for name, one in overlaps.items():
        back = one.reversed_same + one.reversed_other
        told = f"Of the {one.triples:,} {name} triples, "
        if one.in_train:
            found.append(f"{told}{one.in_train:,} stand in train too: look at the figures without them.")
        if back:
            share = f" ({back / one.triples:.0%})" if back >= one.triples / 100 else ""
            found.append(
                f"{told}{back:,}{share} have their two entities the other way round in train, "
                f"{one.reversed_same:,} by the same relation: a rule that turns links round finds them without "
                "learning; look at the figures without them."
            )
        if name == "test" and one.in_other:
            found.append(f"{told}{one.in_other:,} are validation triples too: an epoch chosen there has seen them.")
    return found


def _texts(folder: Folder, *names: str) -> dict[str, str]:
    """{id: text} of the first of some files that is there."""
    path = folder.find(*names)
    if path is None:
        return {}
    return {found[0].strip(): writable(" ".join(found[1:]).strip()) for _, found in folder.lines(path)}


def _definition(text: str, name: str) -> str:
    """A definition of WordNet's, without the name that its file puts before it: an entity's name is said once.

    >>> _definition("stool, a seat without a back", "stool, footstool")
    'a seat without a back'
    """
    before, comma, after = text.partition(",")
    names = {one.strip().lower() for one in name.split(",")}
    return after.strip() if comma and before.strip().lower() in names else text


def _from_address(uri: str) -> str:
    """The name that an address spells out, "" for one of numbers."""
    name = "" if uri.startswith("/m/") else label(uri)
    return "" if _NUMBERED.fullmatch(name) else name


def _from_relation(uri: str) -> str:
    """What a relation's address spells out.

    >>> _from_relation("_has_part"), _from_relation("<http://www.w3.org/2000/01/rdf-schema#seeAlso>")
    ('has part', 'seeAlso')
    """
    return label(uri).rsplit("#", 1)[-1] if "/" in uri else uri.replace("_", " ").strip()


def _within(uri: str) -> str:
    """What of an address tells relations of one name apart: the type that they are of.

    >>> _within("/tv/tv_program/regular_cast./tv/regular_tv_appearance/actor")
    'tv program'
    """
    parts = [part for part in uri.strip("<>/").split("/") if part]
    return parts[1].replace("_", " ") if len(parts) > 2 else uri
