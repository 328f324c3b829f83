"""Pictures of a whole data set count every pair, keep every identity, and say what they leave out."""

from __future__ import annotations

import numpy as np
import pytest

from fusion import words
from fusion.signals import Match
from fusion.views import block, embedding, match
from fusion.views.speech import num
from tests.traces import Compared, made, values

SAMPLE, TRACE = made()


@pytest.fixture(autouse=True)
def _english():
    words.use("en")
    yield
    words.use("en")


def test_hills_count_every_pair_and_place_the_sample():
    picture = match.hills(
        TRACE.first(Match), SAMPLE, TRACE, true=Compared.true, shuffled=Compared.shuffled, threshold=0.5
    )
    for curve, scores in ((0, Compared.shuffled), (1, Compared.true)):
        expected = np.histogram(scores, np.linspace(0, 1, 41, dtype=np.float32))[0] / len(scores) * 100
        np.testing.assert_allclose(values(picture.figure, curve, "y"), expected, atol=1e-4)
    assert "above 50 % of true pairs".replace(" %", "\u00a0%") in picture.finding  # 0.73 beats 3 of 6
    assert "80\u00a0% of shuffled" in picture.finding
    expected = np.mean([t > s for t in Compared.true for s in Compared.shuffled])
    assert f"AUC {num(expected)}" in picture.alt
    assert "precision 0.833, recall 0.833" in picture.finding
    assert num(max(values(picture.figure, 0, "y").max(), values(picture.figure, 1, "y").max())) in picture.alt


def test_ties_count_half():
    assert match.auc(np.asarray([0.5, 1.0]), np.asarray([0.5, 0.5])) == pytest.approx(0.75)
    assert match.above(np.asarray([0.1, 0.5, 0.5, 0.9]), 0.5) == pytest.approx(0.5)


def test_hills_stand_without_a_sample_and_without_other_pairs():
    assert match.hills(None, true=Compared.true, shuffled=Compared.shuffled).figure.data
    alone = match.hills(TRACE.first(Match), SAMPLE, TRACE)
    assert values(alone.figure, 0, "x") == pytest.approx(0.73)
    assert "0.73" in alone.alt
    assert not match.hills(None).figure.data


def test_hills_speak_of_a_sample_and_a_threshold_only_where_they_are_drawn():
    score, rule = (
        words.catalogue("en")["views.hills.shows_sample"],
        words.catalogue("en")["views.hills.shows_threshold"],
    )
    bare = match.hills(None, true=Compared.true, shuffled=Compared.shuffled)
    assert score not in bare.shows
    assert rule not in bare.shows
    data = match.hills(None, true=Compared.true, shuffled=Compared.shuffled, threshold=0.5)
    assert score not in data.shows
    assert rule in data.shows
    own = match.hills(TRACE.first(Match), SAMPLE, TRACE, true=Compared.true, shuffled=Compared.shuffled)
    assert score in own.shows
    assert rule not in own.shows


def test_every_text_meets_every_image_and_its_own_is_framed():
    cosines = np.asarray([[0.9, 0.1, 0.2], [0.3, -0.4, 0.5]], np.float32)
    own = np.asarray([[True, False, False], [False, True, False]])
    picture = block.block(
        cosines, own, block.Side(["a", "b"], ["a red flag", "<b>a dog</b>"]),
        block.Side(["a", "b", "c"], ["data:image/webp;base64,AAAA", "", ""]),
    )  # fmt: skip
    drawn = values(picture.figure, 0, "z")
    np.testing.assert_array_equal(drawn[block.FACES :], cosines)
    assert np.isnan(drawn[: block.FACES]).all()
    frames = [(shape.x0 + 0.5, shape.y0 + 0.5 - block.FACES) for shape in picture.figure.layout.shapes]
    assert frames == [(0, 0), (1, 1)]
    assert [image.x for image in picture.figure.layout.images] == [0]
    assert "1 of 2 texts are closest" in picture.finding  # b's own image is the farthest of the three
    assert "0.9" in picture.alt
    assert "0.25" in picture.alt  # mean of 0.9 and -0.4
    assert picture.table.iloc[:, 2:].to_numpy() == pytest.approx(cosines)
    assert "<b>" not in str(picture.figure.data[0].y)
    assert not block.block(np.zeros((0, 0)), np.zeros((0, 0), bool), block.Side([], []), block.Side([], [])).figure.data


def test_more_pairs_than_can_be_told_apart_are_cut_and_said():
    many = np.eye(30, dtype=np.float32)
    side = block.Side([str(i) for i in range(30)], ["word"] * 30)
    picture = block.block(many, many > 0, side, side)
    assert values(picture.figure, 0, "z").shape == (block.MOST_PAIRS + block.FACES, block.MOST_PAIRS)
    assert len(picture.table) == 30
    assert f"Showing {block.MOST_PAIRS} of 30" in picture.finding


def test_reliability_is_the_mean_gap_of_equal_bins():
    stated = np.repeat([0.2, 0.9], 50)
    truth = np.concatenate((np.arange(50) < 20, np.arange(50) < 45))
    picture = match.reliability(stated, truth, bins=2)
    np.testing.assert_allclose(values(picture.figure, 1, "x"), [0.2, 0.9], atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 1, "y"), [0.4, 0.9], atol=1e-6)
    assert "Calibration error 0.1 " in picture.finding
    assert picture.table.iloc[:, 2].sum() == 100
    assert not match.reliability(stated[:5], truth[:5]).figure.data


def test_ranks_fall_into_bins_that_lose_nobody():
    ranks = np.asarray([1, 1, 2, 4, 5, 17, 112])
    picture = match.ranks(ranks, 112)
    counts = values(picture.figure, 0, "y")
    assert counts.sum() == len(ranks)
    assert counts[:3].tolist() == [2, 1, 2]
    assert picture.pick(0, 2) == (3, 5)
    assert picture.marks[0][-1][1] == 112
    assert "29\u00a0%" in picture.finding
    assert "at rank" in picture.alt


def test_the_map_keeps_every_point_and_its_identity():
    points = np.arange(12, dtype=np.float32).reshape(6, 2)
    kinds = ["text", "image", "text", "image", "text", "image"]
    placed = embedding.Placed(np.asarray([[0, 0], [1, 1]], np.float32), ("text", "image"), 0.42)
    picture = embedding.scatter(
        points, kinds, list("abcdef"), pairs=np.asarray([[0, 1], [2, 3]]), distances=np.asarray([0.2, 0.9]),
        selected=[4], placed=placed,
    )  # fmt: skip
    assert [picture.pick(0, i) for i in range(3)] == [0, 2, 4]
    assert [picture.pick(1, i) for i in range(3)] == [1, 3, 5]
    assert picture.pick(2, 0) is None
    np.testing.assert_array_equal(values(picture.figure, 1, "x"), points[[1, 3, 5], 0])
    lines = values(picture.figure, 2, "x")
    assert np.isnan(lines[2::3]).all()
    np.testing.assert_array_equal(lines[[0, 1, 3, 4]], points[[0, 1, 2, 3], 0])
    assert "c" in picture.finding
    assert "0.9" in picture.alt
    assert "0.42" in picture.finding
    assert list(picture.table.iloc[:, 0]) == list("abcdef")


def test_the_map_turns_to_webgl_and_says_what_it_leaves_out():
    points = np.random.default_rng(0).normal(size=(20_500, 2)).astype(np.float32)
    kinds = ["text"] * 10_250 + ["image"] * 10_250
    pairs = np.asarray([[3, 10_253], [77, 10_327]])
    picture = embedding.scatter(points, kinds, [str(i) for i in range(20_500)], pairs=pairs, selected=[5])
    assert picture.figure.data[0].type == "scattergl"
    shown = [len(trace.x) for trace in picture.figure.data[:2]]
    assert sum(shown) == len(picture.table) <= 20_000
    assert min(shown) > 9_900  # both modalities keep their share
    rows = [*picture.marks[0], *picture.marks[1]]
    assert {3, 10_253, 77, 10_327, 5} <= set(rows)
    assert picture.figure.data[1].x[7] == points[picture.pick(1, 7), 0]
    assert f"Showing {sum(shown):,} of 20,500" in picture.finding
    assert len(picture.figure.to_json()) < 2_000_000
    assert embedding.scatter(points[:900], ["text"] * 900, ["a"] * 900).figure.data[0].type == "scatter"
