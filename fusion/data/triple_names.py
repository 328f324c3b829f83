"""An entity or a relation by what a person calls it; what isn't there is answered with the nearest names.

Names are compared without case. A relation is also asked the other way round: "~hasKeyword" is number r + R.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from difflib import SequenceMatcher

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graph_files import label, quoted
from fusion.data.triples import TripleSet
from fusion.types import FusionError, Sample, Text

BACK = "~"  # before the name of a relation that is asked the other way round
NEAR = 3  # names offered
COMPARED = 60  # names that share most pairs of letters: those are compared letter by letter
ALIKE = 0.5  # from there on a name is offered; 1 is the same


def find_entity(dataset: DataSet, words: str) -> int:
    """Row of the entity with that id, name, emoji or address.

    Raises FusionError when there is none, offering the nearest names, or several, offering their ids.
    """
    said = words.strip()
    if said in dataset.index:
        return dataset.index[said]
    found = dataset.called.get(said.casefold(), [])
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(f'"{dataset.samples[row].id}"{_kind(dataset.samples[row])}' for row in found[: 2 * NEAR])
        more = f" and {len(found) - 2 * NEAR} more" if len(found) > 2 * NEAR else ""
        raise FusionError(f"{len(found)} entities are called {quoted(said)}: {some}{more}. Give the id of one.")
    names = near(said, map(_name, dataset.samples))
    first = dataset.samples[0] if dataset.samples else None
    hint = f"did you mean {_offered(names)}?" if names else f'ids are like "{first.id}".' if first else "it is empty."
    raise FusionError(f'"{dataset.name}" has no entity {quoted(said)}; {hint}')


def find_relation(dataset: DataSet, words: str) -> int:
    """Number of a relation, 0..R-1, or of its inverse, r + R, when "~" stands before its name.

    Raises FusionError when there is none, offering the nearest names, and when no training triple has it.
    """
    graph = _graph(dataset)
    said = words.strip()
    count = len(graph.relations)
    found = _numbers(graph, said)
    turned = not found and said.startswith(BACK)
    if turned:
        said = said[len(BACK) :].strip()
        found = _numbers(graph, said)
    if not found:
        names = graph.relations if count <= 2 * NEAR else near(said, graph.relations)
        hint = (
            f"did you mean {_offered(names)}?" if names else f"its relations are like {_offered(graph.relations[:2])}."
        )
        raise FusionError(f'"{dataset.name}" has no relation {quoted(said)}; {hint}')
    if not graph.frequency()[found[0]]:
        raise FusionError(
            f"No training triple has the relation {quoted(graph.relations[found[0]])}: nothing was learnt of it. "
            f"Choose another one, such as {_offered([_most(graph)])}."
        )
    return found[0] + count * turned


def near(words: str, names: Iterable[str], most: int = NEAR) -> list[str]:
    """The names that are spelt most alike, best first; empty when none is. A few hundredths of a second for 40,000."""
    said = words.casefold().strip()
    pairs = _pairs(said)
    low = {name: name.casefold() for name in names if name}
    share = {name: _dice(pairs, _pairs(text)) for name, text in low.items()}
    best = heapq.nlargest(COMPARED, share, key=lambda name: share[name])
    ratio = {name: max(SequenceMatcher(None, said, low[name]).ratio(), share[name]) for name in best}
    ratio |= {name: 1.0 + ratio[name] for name in best if said and said in low[name]}
    found = sorted((name for name in best if ratio[name] >= ALIKE), key=lambda name: -ratio[name])
    return found[:most]


def _graph(dataset: DataSet) -> TripleSet:
    if dataset.triples is None:
        raise FusionError(f'"{dataset.name}" holds no graph whose links are to be predicted; open the set keywords.')
    return dataset.triples


def _numbers(graph: TripleSet, said: str) -> list[int]:
    """Relations of that name: as it is written where there is one, else without case."""
    exact = [at for at, name in enumerate(graph.relations) if name == said]
    return exact or [at for at, name in enumerate(graph.relations) if name.casefold() == said.casefold()]


def _most(graph: TripleSet) -> str:
    return graph.relations[int(np.argmax(graph.frequency()))]


def _name(sample: Sample) -> str:
    """What a reader calls an entity: its name, else the end of its address, else its id."""
    part = sample.parts.get("name")
    return part.raw if isinstance(part, Text) else label(sample.note.get("address", "")) or sample.id


def _kind(sample: Sample) -> str:
    kind = sample.note.get("kind")
    return f" ({kind})" if kind else ""


def _offered(names: Iterable[str]) -> str:
    return " or ".join(map(quoted, names))


def _pairs(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[at : at + 2] for at in range(len(padded) - 1)}


def _dice(first: set[str], second: set[str]) -> float:
    return 2 * len(first & second) / (len(first) + len(second))
