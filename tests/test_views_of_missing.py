"""Pictures of what is kept as data go missing: every number drawn is the number given, and the findings follow it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from fusion import words
from fusion.views import combined, missing
from fusion.views.base import Picture
from fusion.views.faithful import Line
from fusion.views.missing import Kept, Run
from fusion.views.speech import num, percent
from tests.traces import values

RATES = np.round(np.linspace(0, 1, 11), 1)


@pytest.fixture(autouse=True, params=list(words.LANGUAGES))
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    words.use(request.param)
    yield
    words.use("en")


def whole(picture: Picture) -> None:
    """What every picture promises; Plotly takes the figure as it is."""
    assert picture.alt
    assert picture.finding
    assert picture.shows
    assert picture.hides
    assert len(picture.table)
    type(picture.figure)(picture.figure.to_dict())


def run(name: str, start: float, end: float, spread: float = 0.01) -> Run:
    mean = np.linspace(start, end, len(RATES))
    return Run(name, RATES, mean, mean - spread, mean + spread, 3)


def drawn(picture: Picture) -> list:  # type: ignore[type-arg]
    return [trace for trace in picture.figure.data if trace.mode == "lines+markers"]


def test_a_curve_is_drawn_with_its_band_and_its_area() -> None:
    one = run("ours", 0.8, 0.6)
    assert one.area == pytest.approx(0.7)
    picture = missing.curves([one], what="modalities", figure="accuracy")
    whole(picture)
    band, line = picture.figure.data
    np.testing.assert_allclose(np.asarray(line.y), one.mean, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(band.y), np.r_[one.high, one.low[::-1]], rtol=1e-6)
    assert num(0.7) in line.name
    facts = {"name": "ours", "start": num(0.8), "end": num(0.6), "area": num(0.7)}
    assert picture.finding == words.t("views.missing.own", **facts)
    column = words.t("views.axis.mean")
    np.testing.assert_allclose(picture.table[column], one.mean)


@pytest.mark.parametrize("figure", ["accuracy", "mae"])
def test_the_best_area_and_the_least_fall_are_named_by_the_way_of_the_figure(figure: str) -> None:
    steep, flat = run("steep", 0.9, 0.5), run("flat", 0.55, 0.5)
    if figure == "mae":  # errors that grow
        steep, flat = run("steep", 0.1, 0.5), run("flat", 0.45, 0.5)
    picture = missing.curves([flat, steep], what="steps", figure=figure)
    whole(picture)
    areas = words.t("views.list.comma").join(f"{one.name} {num(round(one.area, 3))}" for one in (steep, flat))
    assert words.t(f"views.missing.best.{figure}", name="steep", all=areas) in picture.finding
    assert words.t("views.missing.least", name="flat", fall=num(0.05)) in picture.finding
    assert words.t("views.missing.open", name="steep", other="flat") not in picture.finding
    assert [line.name.startswith(name) for line, name in zip(drawn(picture), ("steep", "flat"), strict=True)] == [
        True, True,
    ]  # fmt: skip  # ours is drawn last, above the others


@pytest.mark.parametrize("figure", ["accuracy", "mae"])
def test_draws_that_overlap_are_said_not_to_tell(figure: str) -> None:
    picture = missing.curves([run("a", 0.7, 0.6, 0.03), run("b", 0.71, 0.61, 0.03)], what="audio", figure=figure)
    best, other = ("b", "a") if figure == "accuracy" else ("a", "b")
    assert words.t("views.missing.open", name=best, other=other) in picture.finding
    assert words.t("name.audio") in picture.title


def test_no_more_than_eight_lines_are_drawn_and_that_is_said() -> None:
    picture = missing.curves([run(f"r{i}", 0.7, 0.5) for i in range(10)], what="steps", figure="accuracy")
    assert len(drawn(picture)) == missing.MOST_RUNS
    assert words.t("views.showing", shown="8", count="10") in picture.finding
    none = missing.curves([], what="steps", figure="accuracy")
    assert none.finding == words.t("views.missing.none")


def subset(names: str, value: float, count: int = 50) -> Kept:
    return Kept(tuple(names.split()), value, count)


MODALITIES = ("text", "audio", "vision")


def around(turn: Callable[[float], float]) -> tuple[float, float]:
    """An interval around 0.8, turned."""
    low, high = sorted((turn(0.78), turn(0.82)))
    return low, high


@pytest.mark.parametrize("figure", ["accuracy", "mae"])
def test_subsets_stand_the_best_first_beside_an_answer_from_nothing(figure: str) -> None:
    turn = (lambda v: v) if figure == "accuracy" else (lambda v: 1 - v)
    found = [
        subset("text audio vision", turn(0.8)), subset("text audio", turn(0.85)), subset("text", turn(0.7), 31),
        subset("vision", turn(0.45)),
    ]  # fmt: skip
    picture = missing.subsets(found, MODALITIES, figure=figure, nothing=turn(0.5), interval=around(turn))
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), [turn(v) for v in (0.85, 0.8, 0.7, 0.45)], rtol=1e-5)
    (rule,) = picture.figure.layout.shapes
    assert rule.x0 == pytest.approx(turn(0.5))
    say = lambda *names: words.t("views.list.plus").join(words.t(f"name.{n}") for n in names)  # noqa: E731
    gain = {"whole": num(round(turn(0.8), 3)), "name": say("text"), "value": num(round(turn(0.7), 3))}
    sure = dict(zip(("low", "high"), (num(round(v, 3)) for v in around(turn)), strict=True))
    assert words.t("views.by_subset.gain", **gain, **sure) in picture.finding
    best = {"name": say("text", "audio"), "value": num(round(turn(0.85), 3))}
    assert words.t("views.by_subset.best", **best) in picture.finding
    assert words.t("views.by_subset.useless", names=say("vision")) in picture.finding
    assert "(31)" in picture.figure.data[0].y[2]


def test_a_single_modality_above_all_of_them_is_said() -> None:
    found = [subset("text audio", 0.6), subset("text", 0.7), subset("audio", 0.6)]
    picture = missing.subsets(found, ("text", "audio"), figure="accuracy", nothing=0.5)
    facts = {"whole": num(0.6), "name": words.t("name.text"), "value": num(0.7), "low": num(0.6), "high": num(0.6)}
    assert words.t("views.by_subset.loss", **facts) in picture.finding


def test_what_lies_within_the_interval_of_all_is_not_said_to_differ() -> None:
    found = [subset("text audio", 0.6), subset("text", 0.63), subset("audio", 0.5)]
    picture = missing.subsets(found, ("text", "audio"), figure="accuracy", nothing=0.4, interval=(0.55, 0.65))
    facts = {"whole": num(0.6), "name": words.t("name.text"), "value": num(0.63), "low": num(0.55), "high": num(0.65)}
    assert picture.finding == words.t("views.by_subset.even", **facts)


def test_the_voice_that_moves_most_is_named() -> None:
    table = {"text": [0.3, 0.4, 0.5], "audio": [0.7, 0.3, float("nan")], "vision": [float("nan")] * 3}
    picture = missing.followed("shares", table, (0.0, 0.5, 1.0), "audio")
    whole(picture)
    assert [line.name for line in drawn(picture)] == [words.t("name.text"), words.t("name.audio")]
    np.testing.assert_allclose(np.asarray(drawn(picture)[0].y), table["text"], rtol=1e-6)
    facts = {"name": words.t("name.audio"), "start": num(0.7), "end": num(0.3), "count": 2}
    assert picture.finding == words.t("views.followed.finding", **facts)
    still = missing.followed("shares", {"text": [0.5, 0.501]}, (0.0, 1.0), "modalities")
    assert "0.501" in still.finding
    assert not len(missing.followed("shares", {"text": [float("nan")] * 2}, (0.0, 1.0), "audio").table)


def test_weights_that_agree_with_worth_are_told_from_those_that_dont() -> None:
    shares = {"text": 0.2, "audio": 0.7, "vision": 0.1}
    weights = {"shares": {"text": 0.3, "audio": 0.5, "vision": 0.2}, "other": {"text": 0.6, "vision": 0.4}}
    picture = combined.worth(shares, weights)
    whole(picture)
    for at, table in enumerate((shares, *weights.values())):
        np.testing.assert_allclose(
            values(picture.figure, at, "x"), [table.get(m, np.nan) for m in MODALITIES], rtol=1e-5
        )
    assert words.t("views.worth.finding", name=words.t("name.audio"), value=percent(0.7)) in picture.finding
    assert words.t("views.worth.same", signal="shares", name=words.t("name.audio"), value=num(0.5)) in picture.finding
    assert words.t("views.worth.other", signal="other", name=words.t("name.text"), value=num(0.6)) in picture.finding
    whole(combined.worth(shares, {}))


def test_badges_are_counted_and_their_figures_stand_beside() -> None:
    counts = {"conflict": 10, "complement": 30}
    figures = {"complement": Line("", 0.9, 0.8, 0.95, 30)}
    picture = combined.badges(counts, figures, "accuracy")
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), [75, 25])
    np.testing.assert_allclose(values(picture.figure, 1, "x"), [0.9])
    assert picture.table[words.t("views.axis.count")].tolist() == [30, 10]
    assert percent(0.25) in picture.finding
    assert not len(combined.badges({}, {}, "accuracy").table)
