"""What a run and its reviewers say of the things that a map shows: samples, or the entities that rows link.

A row of pairs or streams is about its sample. A row of two graphs is about both entities of a link, and one of a single
graph about both ends of a question; an entity may then stand in several rows. Of several verdicts the gravest counts,
of several suspicions the highest.

    verdicts(store, decided, ids) -> (N,) names: one of VERDICTS, "disagreement", or "" where nobody judged
    suspicion(store, ids) -> (N,) float32, NaN for what the run has no row of
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.triage.conditions import Condition
from fusion.triage.verdicts import DISAGREEMENT, settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fusion.triage.store import Store

ENDS = {"graph": ("id", "partner"), "triples": ("head", "tail")}  # columns of what a row is about, by kind of data
GRAVEST = ("keep", "unsure", "fix", DISAGREEMENT, "mismatch")  # last


def ends(store: Store) -> tuple[str, ...]:
    """The columns that name what a row is about."""
    return ENDS.get(str(store.meta.get("kind", "pairs")), ("id",))


def verdicts(store: Store, decided: Mapping[str, Mapping[str, str]], ids: Sequence[str]) -> np.ndarray:
    """What was decided about each id; of the rows, only those that were judged are read. -> (N,) objects"""
    said = {id: settled(dict(opinions)) for id, opinions in decided.items() if opinions}
    said = {id: verdict for id, verdict in said.items() if verdict in GRAVEST}  # the file may come from anyone
    columns = ends(store)
    if columns != ("id",) and said:
        rows = store.table(("id", *columns), [Condition("id", "in", tuple(said))])
        about = zip(rows["id"], *(rows[name] for name in columns), strict=True)
        said = _gravest((end, said[id]) for id, *both in about for end in both)
    return np.asarray([said.get(id, "") for id in ids], dtype=object)


def suspicion(store: Store, ids: Sequence[str]) -> np.ndarray:
    """The suspicion of each id, the highest where it stands in several rows. -> (N,) float32"""
    columns = ends(store)
    rows = store.table((*columns, "suspicion"))
    values = rows["suspicion"].to_numpy(np.float64, na_value=np.nan).tolist()
    found: dict[str, float] = {}
    for name in columns:
        for id, value in zip(rows[name].tolist(), values, strict=True):
            if value > found.get(id, -1.0):  # never where it is empty
                found[id] = value
    return np.asarray([found.get(id, np.nan) for id in ids], np.float32)


def _gravest(said: Iterable[tuple[str, str]]) -> dict[str, str]:
    """{id: verdict} of (id, verdict) in any order."""
    found: dict[str, str] = {}
    for id, verdict in said:
        found[id] = max(verdict, found.get(id, verdict), key=GRAVEST.index)
    return found
