"""Pictures of training: each plot has the numbers told, the kept epoch is marked, two runs lie over each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from fusion import words
from fusion.views import runs
from fusion.views.runs import Run
from fusion.views.speech import num


@pytest.fixture(autouse=True, params=list(words.LANGUAGES))
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    words.use(request.param)
    yield
    words.use("en")


def told(name: str, epochs: int, start: float = 2.0, stages: int = 1) -> Run:
    rows = [
        {"stage": f"stage{s}", "epoch": e, "best": e == 2, "time": 0.0, "loss answer": start / (s * epochs + e),
         "loss extra": 0.1 * e, "f1": 0.5 + 0.01 * e, "score": 0.6 - 0.01 * abs(e - 2)}
        for s in range(stages) for e in range(1, epochs + 1)
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    frame["step"] = range(1, len(frame) + 1)
    return Run(name, frame)


def test_a_plot_a_measure_with_the_numbers_that_were_told() -> None:
    one = told("one", 5)
    picture = runs.curves([one])
    type(picture.figure)(picture.figure.to_dict())  # Plotly takes it as it is
    assert one.measures[0] == "score"
    lines = [trace for trace in picture.figure.data if trace.mode == "lines"]
    assert [line.yaxis for line in lines] == ["y", "y2", "y3", "y4"]
    for line, measure in zip(lines, one.measures, strict=True):
        np.testing.assert_allclose(np.asarray(line.y), one.frame[measure], rtol=1e-6)
    rings = [trace for trace in picture.figure.data if trace.mode == "markers"]
    assert [float(ring.x[0]) for ring in rings] == [2.0] * 4
    assert num(0.6) in picture.finding
    assert num(2.0) in picture.finding
    assert num(0.4) in picture.alt
    assert len(picture.table) == 5


def test_two_runs_lie_over_each_other_and_are_told_apart() -> None:
    picture = runs.curves([told("one", 5), told("two", 8, start=4.0)])
    lines = [trace for trace in picture.figure.data if trace.mode == "lines"]
    assert len(lines) == 8
    assert {line.line.dash for line in lines} == {"solid", "dash"}
    assert [line.name for line in lines if line.showlegend] == ["one", "two"]
    assert "one" in picture.finding
    assert "two" in picture.finding
    assert len(picture.table) == 13


def test_stages_are_marked_and_the_kept_epoch_is_of_the_last() -> None:
    one = told("one", 4, stages=2)
    picture = runs.curves([one])
    assert [shape["x0"] for shape in picture.figure.layout.shapes] == [4.5] * 4
    assert one.chosen is not None
    assert (one.chosen["stage"], one.chosen["step"]) == ("stage1", 6)


def test_the_first_epoch_alone_is_seen_and_none_is_said() -> None:
    picture = runs.curves([told("one", 1)])
    assert {trace.mode for trace in picture.figure.data} == {"lines+markers"}
    assert picture.finding == words.t("views.runs.one")
    empty = runs.curves([Run("none", pd.DataFrame(columns=["stage", "epoch", "best", "time", "step"]))])
    assert empty.finding == words.t("views.runs.none")


def test_more_measures_than_fit_are_said() -> None:
    one = told("one", 3)
    frame = one.frame.assign(**{f"loss term{i}": 1.0 for i in range(9)})
    picture = runs.curves([Run("one", frame)])
    axes = {trace.yaxis for trace in picture.figure.data}
    assert len(axes) == runs.MOST
    assert words.t("views.runs.score") in picture.table.columns
    assert len(picture.table.columns) == 4 + 13
