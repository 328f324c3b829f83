"""Pictures of canonical correlations show the numbers of the signal, and say what is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fusion import words
from fusion.signals import Canonical
from fusion.types import Sample, Text
from fusion.views import canonical, draw
from fusion.views.speech import num
from tests.planted_views import kernel, linear, settings, views
from tests.traces import made, values

SAMPLE, TRACE = made()
SIGNAL = TRACE.first(Canonical)
assert SIGNAL is not None


@pytest.fixture(autouse=True)
def _english():
    words.use("en")
    yield
    words.use("en")


def test_bars_are_the_mean_over_pairs_fitted_and_held_out_with_p_above():
    picture = canonical.agreement(SIGNAL, SAMPLE, TRACE)
    np.testing.assert_allclose(values(picture.figure, 0, "y"), SIGNAL.value.mean(1), atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 1, "y"), SIGNAL.held_out.mean(1), atol=1e-6)
    assert [note.text for note in picture.figure.layout.annotations] == ["p 0.005", "p 0.030", "p 0.20", "p 0.20"]
    assert num(float(SIGNAL.value[0].mean())) in picture.finding
    assert num(float(SIGNAL.held_out[0].mean())) in picture.finding
    assert "2 of 4 components have p below 0.05 (200 exchanges)" in picture.finding
    table = picture.table
    assert list(table.columns[1:7]) == [
        "text and image, fitted", "text and image, held out", "text and audio, fitted", "text and audio, held out",
        "image and audio, fitted", "image and audio, held out",
    ]  # fmt: skip
    np.testing.assert_allclose(table.iloc[:, 5], SIGNAL.value[:, 2], atol=1e-6)
    low = picture.figure.layout.yaxis.range[0]
    assert low <= min(0, float(SIGNAL.held_out.mean(1).min()))


def test_without_held_out_rows_the_picture_says_that_this_may_be_chance():
    bare = replace(SIGNAL, held_out=None, held_out_rows=0, p=None, rounds=0)
    picture = canonical.agreement(bare, SAMPLE, TRACE)
    assert len(picture.figure.data) == 1
    assert "may be chance" in picture.finding
    assert not picture.figure.layout.annotations
    assert "held out" not in " ".join(picture.table.columns)
    assert " fitted rows" in canonical.pairs(bare, SAMPLE, TRACE).finding


@pytest.mark.parametrize(("component", "pair"), [(0, None), (2, ("image", "audio")), (99, ("text", "audio"))])
def test_points_are_the_scores_of_two_views_with_the_line_of_equality(component, pair):
    picture = canonical.pairs(SIGNAL, SAMPLE, TRACE, component=component, views=pair)
    first, second = pair or ("text", "image")
    k = min(component, 3)
    x, y = SIGNAL.scores[first][:, k], SIGNAL.scores[second][:, k]
    np.testing.assert_allclose(values(picture.figure, 0, "x"), x, atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 0, "y"), y, atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 1, "x"), values(picture.figure, 1, "y"))
    assert num(float(torch.corrcoef(torch.stack((x, y)))[0, 1])) in picture.finding
    assert "17 held-out rows" in picture.finding
    assert picture.title == f"Component {k + 1}: {first} against {second}"


def test_the_heat_map_has_the_strongest_columns_of_each_view_and_the_table_all():
    picture = canonical.loadings(SIGNAL, SAMPLE, TRACE)
    heat = values(picture.figure)
    assert heat.shape == (10 + 6 + 3, 4)
    np.testing.assert_allclose(heat[10:16], SIGNAL.loadings["image"], atol=1e-6)
    strongest = SIGNAL.loadings["text"].abs().amax(1).argsort(descending=True)[:10].sort().values
    np.testing.assert_allclose(heat[:10], SIGNAL.loadings["text"][strongest], atol=1e-6)
    assert picture.figure.data[0].y[0] == f"text {int(strongest[0]) + 1}"
    assert len(picture.table) == 13 + 6 + 3
    best = max(float(one.abs().max()) for one in SIGNAL.loadings.values())
    assert num(best).lstrip("−") in picture.finding
    assert "Showing 19 of 22" in picture.finding


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("solved", [linear, kernel], ids=["mcca", "kcca"])
def test_what_a_solved_model_learned_draws_whole(language, solved):
    words.use(language)
    for widths in ((6, 4), (6, 4, 5, 3)):
        model = solved(views(widths))
        sample = Sample("one", {"text": Text("a")})
        pictures = [one for signal in model.learned() for one in draw(signal, sample, TRACE)]
        assert len(pictures) == 3
        for picture in pictures:
            said = picture.title + picture.finding + picture.alt + picture.shows + picture.hides
            assert "{" not in said
            assert any("\u4e00" <= c <= "\u9fff" for c in said) == (language == "zh")


def test_many_components_are_cut_and_it_is_said():
    given = views((40, 30), rows=200)
    model = linear(given, **{**settings(given), "components": 30})
    signal = model.learned()["canonical"]
    assert isinstance(signal, Canonical)
    picture = canonical.agreement(signal, SAMPLE, TRACE)
    assert len(values(picture.figure, 0, "y")) == 24
    assert "Showing 24 of 30" in picture.finding
    assert len(picture.table) == 30
