"""What a run says of the points of a map: disputes, verdicts taken back, and entities that stand in several rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusion.triage import places
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from tests.test_store import run

SAID = [
    ("Ada", "a", "mismatch"), ("Ben", "a", "keep"), ("Ada", "b", "keep"), ("Ben", "b", "keep"), ("Ada", "c", "unsure"),
    ("Ada", "c", "fix"), ("Ben", "d", "unsure"),
]  # fmt: skip


def made(folder: Path, kind: str, **more: list[str]) -> Store:
    """A run of five rows, a to e, of which the last has no suspicion."""
    frame = pd.DataFrame({"id": list("abcde"), "suspicion": [0.9, 0.7, 0.5, 0.3, np.nan], **more})
    frame["rank"], frame["row"] = range(1, 6), range(5)
    return Store.open(run(folder / "run", frame, kind=kind))


def judged(store: Store) -> dict[str, dict[str, str]]:
    for reviewer, id, verdict in SAID:
        Verdicts.open(store.folder, reviewer).put(id, verdict)
    Verdicts.open(store.folder, "Ben").undo()  # of d
    return Verdicts.open(store.folder).now()


@pytest.mark.parametrize("kind", ["pairs", "streams"])
def test_a_sample_has_the_verdict_of_its_reviewers_or_their_dispute(tmp_path: Path, kind: str) -> None:
    store = made(tmp_path, kind)
    found = places.verdicts(store, judged(store), ["e", "c", "gone", "a", "b", "d"])
    assert found.tolist() == ["", "fix", "", "disagreement", "keep", ""]
    suspicion = places.suspicion(store, ["d", "gone", "a", "e"])
    np.testing.assert_allclose(suspicion, [0.3, np.nan, 0.9, np.nan], rtol=1e-6)


def test_nobody_judged_anything(tmp_path: Path) -> None:
    store = made(tmp_path, "triples", head=list("vwxyz"), tail=list("wwwww"))
    assert places.verdicts(store, {}, ["v", "w"]).tolist() == ["", ""]


def test_both_entities_of_a_link_have_its_verdict(tmp_path: Path) -> None:
    store = made(tmp_path, "graph", partner=list("ABCDE"))
    found = places.verdicts(store, judged(store), list("aAbBcCdDeE"))
    assert found.tolist() == ["disagreement"] * 2 + ["keep"] * 2 + ["fix"] * 2 + [""] * 4
    np.testing.assert_allclose(places.suspicion(store, ["b", "B", "A"]), [0.7, 0.7, 0.9], rtol=1e-6)


def test_of_several_verdicts_the_gravest_counts_and_of_suspicions_the_highest(tmp_path: Path) -> None:
    """v stands in all rows, w in two that are judged keep and fix, x in one that is disputed, y in none judged."""
    store = made(tmp_path, "triples", head=list("vwwyv"), tail=list("xvvvz"))
    found = places.verdicts(store, judged(store), list("vwxyz"))
    assert found.tolist() == ["disagreement", "fix", "disagreement", "", ""]
    np.testing.assert_allclose(places.suspicion(store, list("vwxyz")), [0.9, 0.7, 0.9, 0.3, np.nan], rtol=1e-6)
    assert places.GRAVEST[-1] == "mismatch"


def test_a_word_that_is_no_verdict_says_nothing(tmp_path: Path) -> None:
    store = made(tmp_path, "pairs")
    assert places.verdicts(store, {"a": {"Ada": "awful"}, "b": {}}, ["a", "b"]).tolist() == ["", ""]
