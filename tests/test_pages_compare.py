"""The Compare page: a link brings a comparison back, what can't be compared is said with what would do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, data, versus, words
from pages.parts import cache
from tests.opening import nothing_broken, opened
from tests.test_pages_streams_sets import said, told
from tests.test_versus import SETS, found, home  # noqa: F401  the fixture `home` is asked for by name


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator:  # noqa: F811
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    for key, dataset in SETS.items():
        monkeypatch.setitem(data.DATASETS, key, lambda dataset=dataset: dataset)
        monkeypatch.setitem(data.KINDS, key, "streams")
        cache.forget_data(key)

    def at(**query: str) -> AppTest:
        found = opened("compare", {"ckpt": "one", "data": "emoji-groups"} | query, 300)
        assert not found.exception
        return found

    with nothing_broken(caplog):
        yield at
    for key in SETS:
        cache.forget_data(key)


def test_without_a_second_one_the_page_says_what_to_choose(app) -> None:
    at = app()
    assert told("versus.with.choose") in said(at)
    assert at.selectbox(key="versus_with").options == ["two"]  # the one of a score is not offered


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_a_link_shows_the_comparison_as_it_was_measured(app, home: Path, language: str) -> None:  # noqa: F811
    made = versus.compared(found(home, "one"), found(home, "two"), SETS["emoji-groups"])
    at = app(lang=language, **{"with": "two"})
    assert not at.error
    counts = {one.label: one.value for one in at.metric}
    assert counts[told("versus.differ", language)] == f"{made.differ:,}"
    assert counts[told("versus.samples", language)] == f"{len(made.frame):,}"


def test_a_comparison_that_was_not_made_is_offered(app, home: Path) -> None:  # noqa: F811
    at = app(ckpt="two", **{"with": "one"})
    assert "were not compared on this data set yet" in said(at)
    assert not at.metric


def test_a_link_to_another_task_says_what_would_do(app) -> None:
    at = app(**{"with": "score"})
    assert "different tasks" in said(at)
    assert "These would do: two" in said(at)


def test_a_link_shows_one_sample_under_both(app, home: Path) -> None:  # noqa: F811
    made = versus.compared(found(home, "one"), found(home, "two"), SETS["emoji-groups"])
    row = made.frame.iloc[0]
    at = app(tab="sample", id=str(row["id"]), **{"with": "two"})
    assert not at.error
    assert {str(row["said_a"]), str(row["said_b"])} <= set(said(at).replace("*", "").split("\n"))
    assert "is no sample" in said(app(tab="sample", id="nobody", **{"with": "two"}))
