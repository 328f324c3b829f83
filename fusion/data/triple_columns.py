"""Which column of a file of triples is the head, which the relation, which the tail: as the values themselves show.

Files of the same ending differ in this (`train.txt` is head, relation, tail; OpenKE's `train2id.txt` head, tail,
relation), and a file read in the wrong order gives a graph without sense, and no error.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from fusion.data.triples import among
from fusion.types import FusionError

ORDERS = ("hrt", "htr", "rht")
CALLED = {"h": "head", "r": "relation", "t": "tail"}
APART = 0.2  # by how much another order has to fit better before it is taken
FEW = 20  # held-out triples that say nothing yet of which way round they are
LEAST = 0.5  # of the values, that have to fit for a file to be read at all


def called(order: str) -> str:
    """An order in words.

    >>> called("htr")
    'head, tail, relation'
    """
    return ", ".join(CALLED[one] for one in order)


def by_tables(
    rows: Sequence[Sequence[str]], entities: Collection[str], relations: Collection[str], usual: str, name: str
) -> str:
    """The order that fits the known ids (or names) of entities and relations best, `usual` unless another is better.

    rows: fields of each line. Raises FusionError when no order fits half of the values of each column.
    """
    columns = [set(column) for column in zip(*rows, strict=True)]
    fits = {order: _fit(columns, entities, relations, order) for order in (usual, *ORDERS)}
    best = max(fits, key=lambda order: fits[order])
    found = best if fits[best] - fits[usual] > APART else usual
    if fits[found] < LEAST:
        column = min(range(3), key=lambda at: _share(columns[at], relations if found[at] == "r" else entities))
        example = rows[0][column]
        raise FusionError(
            f'"{name}" fits neither {called("hrt")} nor {called("htr")}: most of its column {column + 1}, such as '
            f'"{example[:40]}", is no {CALLED[found[column]]} of the table beside it. Take the files of one release.'
        )
    return found


def by_values(rows: Sequence[Sequence[str]], usual: str) -> str:
    """The order where nothing is known of entities: heads and tails are the same things, relations are others."""
    columns = [set(column) for column in zip(*rows, strict=True)]
    shared = [
        len(own & set().union(*(other for other in columns if other is not own))) / len(own) if own else 1.0
        for own in columns
    ]
    at = usual.index("r")
    best = min(range(3), key=lambda column: (shared[column], len(columns[column])))
    return next(order for order in ORDERS if order[best] == "r") if shared[at] - shared[best] > APART else usual


def turned(train: np.ndarray, held: np.ndarray, entities: int) -> bool:
    """Whether the heads of held-out triples (E', 3) look like the tails of train (E, 3), relation by relation."""
    if not len(train) or len(held) < FEW:
        return False
    code = lambda triples, column: triples[:, 1].astype(np.int64) * entities + triples[:, column]  # noqa: E731
    heads, tails = code(train, 0), code(train, 2)
    straight = among(code(held, 0), heads) & among(code(held, 2), tails)
    swapped = among(code(held, 2), heads) & among(code(held, 0), tails)
    return float(swapped.mean()) > float(straight.mean()) + APART


def _fit(columns: Sequence[set[str]], entities: Collection[str], relations: Collection[str], order: str) -> float:
    """The smallest share of a column's different values that are what the order says."""
    return min(
        _share(column, relations if one == "r" else entities) for column, one in zip(columns, order, strict=True)
    )


def _share(values: set[str], known: Collection[str]) -> float:
    return sum(value in known for value in values) / len(values) if values else 0.0
