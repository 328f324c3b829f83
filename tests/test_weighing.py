"""Rows under weights of one's own, as SQL orders them: the numbers and the order of `reweighed`, gaps included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusion.triage.conditions import Condition
from fusion.triage.score import Calibration, reweighed
from fusion.triage.store import Store
from fusion.triage.weighing import Weighing
from fusion.types import FusionError
from tests.test_store import run

COUNT = 400
PARTS = ("match", "cosine", 'odd"part')
CALIBRATED = Calibration("calibrated", dict.fromkeys(PARTS, 1.0), bias=-0.75)
RANKED = Calibration("percentile", dict.fromkeys(PARTS, 1.0))
WEIGHTS = [dict.fromkeys(PARTS, 1.0), {"match": 0.3, "cosine": 2.5}, {'odd"part': 1.0}, {"match": 0.0, "cosine": 4.0}]


def rows() -> pd.DataFrame:
    """Rows with parts that are absent, and parts that are 0 and 1."""
    random = np.random.default_rng(4)
    frame = pd.DataFrame({"id": [f"id {n}" for n in range(COUNT)], "suspicion": random.random(COUNT)})
    frame = frame.sort_values("suspicion", ascending=False, ignore_index=True)
    frame["rank"], frame["row"] = np.arange(1, COUNT + 1), random.permutation(COUNT)
    for at, name in enumerate(PARTS):
        values = random.random(COUNT).astype(np.float32)
        values[random.random(COUNT) < 0.2] = np.nan
        values[at * 7 : at * 7 + 2] = 0.0, 1.0
        frame[f"part_{name}"] = values
    frame.loc[100:119, [f"part_{name}" for name in PARTS]] = np.nan
    frame["split"] = np.where(frame["row"] % 3 == 0, "test", "train")
    return frame


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(run(tmp_path_factory.mktemp("weighed") / "run", rows()))


@pytest.mark.parametrize("calibration", [CALIBRATED, RANKED], ids=lambda one: one.how)
@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_values_and_order_are_those_of_reweighed(
    store: Store, weights: dict[str, float], calibration: Calibration
) -> None:
    frame = rows()
    frame["own"] = reweighed(frame, weights, calibration)
    expected = frame.sort_values("own", ascending=False, kind="stable", na_position="last")
    order = Weighing.of(weights, calibration)
    found = pd.concat([store.page(order, offset=start, limit=90) for start in range(0, COUNT, 90)])
    assert found["id"].tolist() == expected["id"].tolist()
    np.testing.assert_allclose(found["suspicion"].to_numpy(), expected["own"].to_numpy(), atol=1e-6)
    assert 20 <= np.isnan(found["suspicion"]).sum() < COUNT
    assert store.first(order, 30) == expected["rank"].head(30).tolist()
    for at in (0, 1, 150, 379, 380, 399):  # the last twenty have no part
        assert store.place(expected["id"].iloc[at], order=order) == at


def test_a_filter_keeps_the_order(store: Store) -> None:
    order, some = Weighing.of(WEIGHTS[1], CALIBRATED), [Condition("split", "=", "test")]
    everything = store.page(order, limit=COUNT)
    expected = everything[everything["split"] == "test"]["id"].tolist()
    assert store.page(order, some, limit=COUNT)["id"].tolist() == expected
    assert store.page(order, some, offset=20, limit=5)["id"].tolist() == expected[20:25]
    assert store.place(expected[33], some, order) == 33
    assert store.place(everything[everything["split"] == "train"]["id"].iloc[0], some, order) is None
    assert store.place("gone", order=order) is None


def test_heavy_weights_still_tell_rows_apart(store: Store) -> None:
    heavy = store.page(Weighing.of({"cosine": 1e5}, CALIBRATED), limit=100)
    assert (heavy["suspicion"] > 1 - 1e-12).all()
    assert heavy["part_cosine"].is_monotonic_decreasing


def test_no_weights_order_nothing(store: Store) -> None:
    found = store.page(Weighing.of({}, CALIBRATED), limit=3)
    assert found["rank"].tolist() == [1, 2, 3]
    assert found["suspicion"].isna().all()


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_what_is_no_weight_is_a_sentence(weight: float) -> None:
    with pytest.raises(FusionError, match="can't weigh"):
        Weighing.of({"match": weight}, CALIBRATED)


def test_a_part_that_is_not_there_is_a_sentence(store: Store) -> None:
    with pytest.raises(FusionError, match='no column "part_loss"'):
        store.page(Weighing.of({"loss": 1.0}, CALIBRATED))
    with pytest.raises(FusionError, match="no column"):
        store.page(Weighing.of({'x" FROM rows; DROP VIEW rows; --': 1.0}, CALIBRATED))


def test_a_part_that_holds_no_numbers_says_nothing(tmp_path: Path) -> None:
    store = Store.open(run(tmp_path / "run", rows().assign(part_match="high")))
    by = store.page(Weighing.of({"match": 9.0, "cosine": 1.0}, CALIBRATED), limit=COUNT)
    alone = store.page(Weighing.of({"cosine": 1.0}, CALIBRATED), limit=COUNT)
    assert by["id"].tolist() == alone["id"].tolist()
