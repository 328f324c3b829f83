"""The picture of shares: every number drawn and said is the number given, and a random draw is told from the rest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from fusion import words
from fusion.views import triage
from fusion.views.speech import percent
from fusion.views.triage import Rate


@pytest.fixture(autouse=True, params=list(words.LANGUAGES))
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    words.use(request.param)
    yield
    words.use("en")


def test_a_dot_a_group_with_its_interval() -> None:
    found = [Rate("random", 0.1, 0.04, 0.2, 5, 50, random=True), Rate("first 50", 0.6, 0.4, 0.7, 30, 50)]
    picture = triage.rates(found)
    type(picture.figure)(picture.figure.to_dict())  # Plotly takes it as it is
    random, first = picture.figure.data
    assert (list(random.y), list(first.y)) == (["random"], ["first 50"])
    assert random.marker.symbol != first.marker.symbol
    np.testing.assert_allclose(np.asarray(first.x) + np.asarray(first.error_x.array), [0.7], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(first.x) - np.asarray(first.error_x.arrayminus), [0.4], rtol=1e-6)
    for value in (0.1, 0.04, 0.2, 0.6, 0.4, 0.7):
        assert percent(value) in picture.alt
    assert picture.table.iloc[1, 1:].tolist() == [30, 50, 0.6, 0.4, 0.7]


def test_without_a_share_it_says_so() -> None:
    assert triage.rates([]).finding == words.t("views.rates.none")
