"""The pages for a space of data without labels: Map and Fusion show it, Inspect and Match say why they don't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, kept, words
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from pages.parts import cache

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkpoint trained on two tables that share three numbers, with all of its samples."""
    root = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(37)
    shared = rng.standard_normal((200, 3))
    tables = [np.concatenate((shared, rng.standard_normal((200, more))), 1) for more in (4, 2)]
    np.savez(root / "two.npz", first=tables[0], second=tables[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        made = runs.train("mcca", f"views:{root / 'two.npz'}", name="two", say=lambda _: None)
        whole(Reader.open(made))
        yield root


def opened(home: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    monkeypatch.setattr(kept, "allowed", lambda spec: True)
    cache.data.clear()
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    test.query_params["ckpt"] = "two"
    test.query_params["lang"] = "en"
    words.use("en")
    test.switch_page(f"pages/{page}.py")
    test.run()
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    return test


@pytest.mark.parametrize("page", ["inspect", "match"])
def test_pages_of_answers_say_that_there_are_none(home: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test = opened(home, page, monkeypatch)
    assert words.t("streams.unlabelled", name="two") in [one.value for one in test.info]


def test_the_map_lays_the_views_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = opened(home, "map", monkeypatch)
    spaces = next(one for one in test.selectbox if len(one.options) >= 3)
    assert spaces.options


def test_fusion_shows_the_space_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = opened(home, "fusion", monkeypatch)
    said = " ".join(one.value for one in (*test.markdown, *test.caption))
    assert words.t("views.spaces.finding.title") in said
