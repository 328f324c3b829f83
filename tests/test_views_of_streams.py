"""Pictures of one sample of streams say what their numbers are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from fusion import words
from fusion.explain.subsets import NONE, called
from fusion.explain.subsets import subsets as every
from fusion.signals import Effects
from fusion.views import features, streams

NAMES = ("text", "audio", "image")


@pytest.fixture(autouse=True, params=list(words.LANGUAGES))
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    words.use(request.param)
    yield request.param
    words.use("en")


@dataclass(frozen=True)
class Heard:
    db: np.ndarray
    seconds: np.ndarray
    hertz: np.ndarray


def effects(values: list[float], said: list[str], unit: str) -> Effects:
    conditions = (*(called(one, NAMES) for one in every(NAMES)), NONE)
    return Effects(
        name="subsets", unit=unit, value=torch.tensor(values)[None, :, None], conditions=conditions,
        observables=("score",), units=(unit,), said=(tuple(said),), caveat="caveat.stream_subsets",
    )  # fmt: skip


def test_a_spectrogram_names_its_loudest_place() -> None:
    db = np.full((20, 50), -90.0, np.float32)
    db[7, 30] = -10
    heard = Heard(db, np.arange(50) / 10, np.linspace(100, 4000, 20))
    picture = streams.spectrogram(heard)
    row = picture.table.iloc[30]
    assert row.iloc[0] == pytest.approx(3.0)
    assert row.iloc[2] == round(heard.hertz[7])
    assert f"{heard.hertz[7]:,.0f}" in picture.finding
    assert picture.figure.data[0]["z"].shape == db.shape


def test_every_subset_has_a_bar_and_other_answers_are_named(language: str) -> None:
    values = [1.0, 0.9, 0.2, 1.1, -1.5, 0.4, 1.2, 0.0]
    said = ["positive"] * 4 + ["negative"] + ["positive"] * 2 + [""]
    picture = streams.subsets(effects(values, said, "score"), False)
    assert len(picture.table) == 8
    assert picture.table.iloc[:, 1].tolist() == pytest.approx(values)
    assert words.t("scale.negative") in picture.finding
    assert words.t("scale.positive") in set(picture.table.iloc[:, 2])
    same = streams.subsets(effects(values, ["positive"] * 7 + [""], "score"), False)
    assert words.t("views.answers.same", count=6) in same.finding


def test_two_observations_share_one_axis() -> None:
    low, high = effects([0.1] * 8, [""] * 8, "score"), effects([2.5] + [-1.0] * 7, [""] * 8, "score")
    span = streams.span_of([low, high], False)
    assert span == (-1.0, 2.5)
    axes = [streams.subsets(one, False, span).figure.layout.xaxis.range for one in (low, high)]
    assert axes[0] == axes[1]
    assert streams.span_of([low], True) == (0.0, 1.0)


def test_given_features_are_drawn_over_time_and_the_step_that_stands_out_is_named(language: str) -> None:
    values = np.zeros((12, 80))
    values[:, :70] = np.random.default_rng(0).normal(size=(12, 70))
    values[8, :70] += 9
    picture = features.steps(values, "audio")
    assert picture is not None
    assert picture.figure.data[0]["z"].shape == (features.MOST_FEATURES, 12)
    assert words.t("views.features.finding", steps=12, width=80, at="9", value="X", mean="Y")[:20] in picture.finding
    assert "9" in picture.alt
    assert picture.table.shape == (12, 81)
    assert picture.figure.data[0]["customdata"].max() <= 70  # what never changes is left out
    assert features.steps(values[:1], "audio") is None
    assert features.steps(np.ones((5, 3)), "audio") is None


def test_chances_stand_with_those_before_and_the_one_that_moved_most() -> None:
    now, was = {"a": 0.2, "b": 0.7, "c": 0.1}, {"a": 0.8, "b": 0.1, "c": 0.1}
    picture = streams.chances(now, was)
    assert picture.table.iloc[:, 0].tolist() == ["a", "b", "c"]
    assert picture.table.iloc[:, 1].tolist() == pytest.approx([0.2, 0.7, 0.1])
    assert picture.table.iloc[:, 2].tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert picture.finding.startswith("b")
    assert "line-ns" in str(picture.figure.data)
    assert "line-ns" not in str(streams.chances(now).figure.data)
    numbers = picture.figure.data[1]
    assert min(x - y for x, y in zip(numbers["x"], (0.8, 0.7, 0.1), strict=True)) >= 0  # beyond bar and mark


def near(name: str, modality: str, labels: tuple[str | float | None, ...]) -> streams.Near:
    ids = tuple(f"{name}{i}" for i in range(len(labels)))
    return streams.Near(name, modality, ids, np.linspace(0.9, 0.5, len(labels)), labels)


def test_neighbours_of_classes_count_those_of_the_same_label_and_can_be_clicked() -> None:
    found = [near("fused", "fused", ("x", "x", "x", "y")), near("one", "text", ("y", "x", None, "y"))]
    picture = streams.neighbours(found, "x", ("x", "y"), usual=0.5)
    assert "75" in picture.finding
    assert "33" in picture.finding
    assert "50" in picture.finding
    marked = {id for curve in picture.marks for id in curve}
    assert marked == {*found[0].ids, *found[1].ids}
    for curve, trace in enumerate(picture.figure.data):
        for point, text in enumerate(trace["text"]):
            assert text.startswith(str(picture.pick(curve, point)))
    assert picture.table.iloc[0, 0] != picture.table.iloc[-1, 0]
    assert picture.table["id"].tolist()[:4] == list(found[1].ids)  # one modality comes before all together


def test_neighbours_of_scores_say_how_far_their_scores_are() -> None:
    found = [near("fused", "fused", (1.0, 2.0)), near("one", "text", (-1.0, 0.0))]
    picture = streams.neighbours(found, 1.0, (), (-3, 3), usual=1.4)
    assert "0.5" in picture.finding
    assert "1.5" in picture.finding.replace("，", ",")
    assert streams.neighbours(found, None).finding == words.t("views.near.none")
