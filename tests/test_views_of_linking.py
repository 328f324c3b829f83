"""Pictures of link prediction: every number drawn is the number given, and the findings follow it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from fusion import words
from fusion.signals import Effects
from fusion.views import entity, linking, links, match
from fusion.views.base import Picture
from fusion.views.faithful import Line
from fusion.views.speech import num, percent
from tests.traces import values

BRANCHES = ("structure", "image", "text", "fused")
PAIRS = (("structure", "image"), ("structure", "text"), ("image", "text"))


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


def ranked(truth: int | None, first: str = "rice") -> links.Ranked:
    ranks = np.array([[1, 40, 2, 3], [9, 1, 1, 1], [700, 3, 5, 12]])
    votes = {"structure": "rice", "image": "ball", "text": "ball", "fused": "ball"}
    return links.Ranked([first, "ball", "<b>$x$</b>"], np.array([0.5, 0.2, 0.1]), [1, 2, 30], ranks, BRANCHES, truth,
                        votes, 2685)  # fmt: skip


def test_places_of_candidates_are_drawn_and_the_truth_is_framed() -> None:
    picture = links.ranking(ranked(2))
    whole(picture)
    drawn = 10 ** np.asarray(picture.figure.data[0].z, np.float64)
    np.testing.assert_allclose(drawn[:, 0], [1, 2, 30], rtol=1e-5)
    np.testing.assert_allclose(drawn[:, 1:], ranked(2).ranks, rtol=1e-5)
    (frame,) = picture.figure.layout.shapes
    assert (frame.y0, frame.y1) == (1.5, 2.5)
    assert "700" in picture.alt
    assert words.t("views.ranking.other", name=words.t("name.image"), other="ball") in picture.finding
    assert words.t("views.ranking.with", names=words.t("name.structure")) in picture.finding
    assert not links.ranking(ranked(None)).figure.layout.shapes


def test_branches_above_and_below_the_decision_are_told_apart() -> None:
    ranks = {"structure": 2, "image": 900, "text": 57, "fused": 60}
    picture = links.pulled(ranks, 57, 2685)
    whole(picture)
    marks = next(trace for trace in picture.figure.data if trace.mode == "markers+text")
    np.testing.assert_allclose(10 ** np.asarray(marks.x, np.float64), list(ranks.values()), rtol=1e-5)
    one = lambda branch: words.t("views.pulled.one", name=words.t(f"name.{branch}"), rank=ranks[branch])  # noqa: E731
    assert words.t("views.pulled.up", names=one("structure")) in picture.finding
    both = words.t("views.list.comma").join([one("image"), one("fused")])
    assert words.t("views.pulled.down", names=both) in picture.finding
    assert words.t("views.pulled.same") in links.pulled(dict.fromkeys(ranks, 4), 4, 2685).finding


def test_what_pairs_add_keeps_its_sign_and_share() -> None:
    logits = {PAIRS[0]: 0.2, PAIRS[1]: -0.5, PAIRS[2]: 0.3}
    shares = {pair: abs(value) for pair, value in logits.items()}
    picture = links.together(shares, logits)
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), list(logits.values()), atol=1e-6)
    assert percent(0.5) in picture.finding
    assert num(-0.5) in picture.alt
    nothing = links.together(dict.fromkeys(PAIRS, 0.0), dict.fromkeys(PAIRS, 0.0))
    assert nothing.finding == words.t("views.together.none")


def test_a_branch_that_prefers_the_rival_is_named() -> None:
    picture = links.prefers({"structure": 3.0, "image": 0.0, "text": -2.5}, "rice", "ball")
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), [3, 0, -2.5])
    with_it, against = picture.finding.index(words.t("name.structure")), picture.finding.index(words.t("name.text"))
    assert with_it < against
    assert num(-2.5) in picture.finding


def test_directions_that_hold_nine_tenths_are_counted() -> None:
    flat, steep = np.ones(20), np.r_[10.0, np.full(19, 0.01)]
    picture = links.spectrum({"structure": flat, "text": steep}, "has part")
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "y"), flat)
    facts = {"share": percent(0.9), "name": "has part", "width": 20, "least": 1, "few": words.t("name.text"),
             "most": 18, "many": words.t("name.structure")}  # fmt: skip
    assert picture.finding == words.t("views.spectrum.finding", **facts)


def test_the_farthest_turn_is_named() -> None:
    picture = links.turned({"structure": 0.3, "image": -0.6, "text": 0.9})
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), [0.3, -0.6, 0.9], atol=1e-6)
    assert num(-0.6) in picture.alt
    assert picture.finding.startswith(words.t("name.image"))


def line(name: str, value: float, spread: float = 0.02) -> Line:
    return Line(name, value, value - spread, value + spread, 40)


def test_weights_stand_beside_what_each_branch_can_do() -> None:
    weights = dict(zip(BRANCHES, (0.4, 0.1, 0.3, 0.2), strict=True))
    alone = [line(one, value) for one, value in zip(BRANCHES, (0.1, 0.05, 0.4, 0.2), strict=True)]
    picture = linking.decision(weights, alone, line("", 0.45))
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), list(weights.values()), atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 1, "x"), [0.1, 0.05, 0.4, 0.2], atol=1e-6)
    assert picture.finding.startswith(words.t("name.structure"))
    assert words.t("name.text") in picture.finding
    even = linking.decision(dict.fromkeys(BRANCHES, 0.25), alone, line("", 0.45))
    assert num(0.25) in even.finding
    assert words.t("name.structure") not in even.finding


def test_relations_stand_by_size_and_cells_are_their_figures() -> None:
    counts = np.array([5, 50, 9])
    cells = np.array([[0.1, 0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.1, 0.1, 0.1], [0.9, 0.1, 0.1, 0.1, 0.2]])
    picture = linking.by_relation(["a", "b", "c"], counts, cells, BRANCHES)
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "z"), cells[[1, 2, 0]], atol=1e-6)
    best = {"name": "b", "branch": words.t("name.structure"), "value": "0.6", "whole": "0.5"}
    assert words.t("views.by_relation.best", **best) in picture.finding
    many = linking.by_relation([f"r{i}" for i in range(99)], np.arange(99), np.full((99, 5), 0.5), BRANCHES)
    assert len(values(many.figure, 0, "z")) == linking.MOST_RELATIONS
    assert words.t("views.showing", shown=linking.MOST_RELATIONS, count=99) in many.finding
    assert linking.by_relation([], np.zeros(0), np.zeros((0, 5)), BRANCHES).finding == words.t("views.none.questions")


def test_agreement_counts_only_entities_that_have_both() -> None:
    cosines = np.array([[0.9, 0.0, -0.5], [0.9, 0.1, -0.5], [-0.9, 0.2, 0.5]])
    both = np.array([[True, True, True], [True, True, True], [False, True, False]])
    picture = linking.agreement(cosines, PAIRS, both)
    whole(picture)
    for trace in picture.figure.data:
        assert float(np.asarray(trace.y).sum()) == pytest.approx(100, abs=1e-3)
    assert picture.table[words.t("views.axis.count")].tolist() == [2, 3, 2]
    assert num(0.9) in picture.finding
    assert num(-0.5) in picture.finding
    assert linking.agreement(cosines, PAIRS, both & False).finding == words.t("views.none.points")


def test_gains_are_told_only_where_the_interval_is_on_one_side() -> None:
    said = linking.gained([line("up", 0.2), line("open", 0.01), line("down", -0.3)])
    assert said.index("up") < said.index("down")
    assert "open" not in said
    assert linking.gained([line("open", 0.01)]) == words.t("views.gained.none", count=1)


def test_subsets_and_ranks_speak_of_the_answer_where_there_is_no_partner() -> None:
    kept = (("image", "text"), ("image",), ("text",), ())
    found = [entity.Subset(one, rank, 0.1, "rice") for one, rank in zip(kept, (2.0, 9.0, 2.0, 50.5), strict=True)]
    effects = Effects(
        name="subsets", unit="none", value=torch.zeros(1, 4, 2), conditions=tuple("abcd"), observables=("r", "c"),
        units=("rank", "probability"), said=(("rice",) * 4,), caveat="caveat.links_without",
    )  # fmt: skip
    picture = entity.subsets(effects, ("image", "text"), found, goal="answer")
    whole(picture)
    assert words.t("views.subsets.whole.answer", rank=2) in picture.finding
    assert words.t("views.subsets.enough", kept=words.t("name.text"), rank=2) in picture.finding
    assert words.t("views.subsets.nothing") in picture.table[words.t("views.subsets.kept")].tolist()
    ranks = match.ranks([1, 1, 4, 900], 2685, direction="", goal="answer")
    whole(ranks)
    assert ranks.title == words.t("views.ranks.title.answer")
