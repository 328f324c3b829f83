"""Sets without labels: a shared space is fitted, measured, described and observed, and nothing is answered from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion.streams import runs, unanswered
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from fusion.types import FusionError

N, SHARED = 400, 3


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two views that share three numbers, the first absent from every tenth row."""
    rng = np.random.default_rng(37)
    shared = rng.standard_normal((N, SHARED))
    draw = rng.standard_normal
    made = {
        name: np.concatenate((shared, draw((N, width - SHARED))), 1) @ draw((width, width))
        for name, width in (("first", 8), ("second", 6))
    }
    known = np.arange(N) % 10 > 0
    path = tmp_path_factory.mktemp("views") / "two.npz"
    np.savez(path, first=made["first"], second=made["second"], **{"first.known": known})  # type: ignore[arg-type]
    return f"views:{path}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    return tmp_path


def quiet(_: str) -> None:
    pass


def test_a_space_is_fitted_and_measured_without_a_reader(spec: str, home: Path) -> None:
    made = runs.train("mcca", spec, name="two", say=quiet, settings={"components": "4"})
    assert not runs.answers_of(made)
    assert not {"test", "prior", "seeds", "baselines"} & made.metrics.keys()
    space = made.metrics["space"]
    assert np.allclose(space["canonical"]["held_out"][:SHARED], 1, atol=0.02)
    assert abs(space["canonical"]["held_out"][SHARED]) < 0.5
    (pair,) = space["pairs"]
    assert pair["r10"][0] > 0.5
    assert "no labels" in made.card
    assert "Canonical correlations" in made.card
    assert "accuracy" not in made.card


def test_figures_of_a_split_are_those_of_the_space(spec: str, home: Path) -> None:
    made = runs.train("mcca", spec, name="two", say=quiet, settings={"components": "4"})
    found = runs.evaluate(made, None, "test")
    assert found["space"] == made.metrics["space"]
    told = runs.flat(found)
    assert told["first to second, r10"] == made.metrics["space"]["pairs"][0]["r10"][0]
    assert told["mean correlation, held out"] == pytest.approx(np.mean(made.metrics["space"]["canonical"]["held_out"]))
    assert not any(isinstance(value, (dict, list)) for value in told.values())


def test_the_whole_set_is_observed_and_nothing_is_answered(spec: str, home: Path) -> None:
    made = runs.train("mcca", spec, name="two", say=quiet, settings={"components": "3"})
    reader = Reader.open(made)
    seen = whole(reader)
    assert not seen.answers
    assert {"id", "split", "has_first", "has_second", "cosine"} == set(seen.frame.columns) - {
        name for name in seen.frame.columns if name.startswith("weight_")
    }
    assert len(seen.frame) == N
    both = seen.frame["has_first"].to_numpy()
    assert both.sum() == N * 9 // 10
    assert np.isnan(seen.frame["cosine"].to_numpy()[~both]).all()
    assert seen.frame["cosine"].to_numpy()[both].mean() > 0.9
    names = [name for name, level in seen.levels.items() if level in ("first", "second")]
    assert [seen.vectors(name).shape for name in names] == [(N, 3)] * 2
    again = whole(reader)
    assert again.frame.equals(seen.frame)
    assert not again.answers
    with pytest.raises(FusionError, match="without labels, so nothing is answered; look at Map"):
        reader.inspect(reader.dataset.samples[0])


def test_a_maker_of_samples_is_trained_on_unlabelled_ones(spec: str, home: Path) -> None:
    wanted = {"epochs": 2, "minutes": None, "rate": None, "batch": 64}
    made = runs.train("mvae", spec, name="makes", say=quiet, settings={"hide_rate": "0"}, wanted=wanted)
    generative = made.metrics["space"]["generative"]
    assert np.isfinite(generative["nats"])
    assert "joint" not in generative
    assert not whole(Reader.open(made)).answers


def test_systems_that_learn_from_labels_refuse_such_sets(spec: str, home: Path) -> None:
    with pytest.raises(FusionError, match=r"has no labels, and .* learns from them; choose a system of a shared space"):
        runs.train("late", spec, say=quiet)
    assert not (home / "checkpoints").exists()


def test_the_mean_cosine_leaves_absent_views_out() -> None:
    a = np.array([[1.0, 0], [1, 0], [np.nan, np.nan], [2, 2]])
    b = np.array([[3.0, 0], [0, 1], [1, 1], [-1, -1]])
    c = np.array([[0.0, 1], [0, 1], [np.nan, np.nan], [np.nan, np.nan]])
    assert unanswered.together([a, b, c], 4) == pytest.approx([1 / 3, 1 / 3, np.nan, -1], nan_ok=True)
    assert np.isnan(unanswered.together([a], 4)).all()
