"""Spaces side by side as a picture and on the pages: every figure stands where it belongs, and the page offers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotly.graph_objects import Figure
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, comparing, jobs, kept, words
from fusion.data import open_data
from fusion.streams import runs
from fusion.streams.side_by_side import SPLITS, compare
from fusion.types import FusionError
from fusion.views import beside
from fusion.views.speech import percent
from pages.parts import cache
from pages.parts.chrome import plain

ROOT = Path(__file__).resolve().parent.parent
N = 300


def tables(seed: int = 37) -> dict[str, np.ndarray]:
    """Three numbers that two views share, behind a rotation, with noise beside."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((N, 6))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    return {"first": shared + 0.1 * rng.standard_normal((N, 6)), "second": shared @ turn}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("home")
    np.savez(root / "two.npz", **tables())  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        runs.train("mcca", f"views:{root / 'two.npz'}", name="two", say=lambda _: None)
        yield root


def figures() -> tuple[list[str], list[dict]]:  # type: ignore[type-arg]
    words.use("en")
    split = np.repeat([0, 1, 2], N // 3).astype(np.uint8)
    found = compare(tables(), {}, split)
    return [beside.called(one.kind) for one in found], [one.pairs[0] for one in found]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_figure_is_a_mark_and_a_number(lang: str) -> None:
    names, found = figures()
    words.use(lang)
    picture = beside.spaces(names, found)
    drawn: Any = picture.figure
    Figure(drawn.to_dict())  # checked by Plotly
    marks = {round(float(x), 5) for trace in drawn.data for x in trace.x}
    for one in found:
        for figure in ("r1", "r10", "neighbours", "gap", "alignment", "uniformity"):
            assert {round(float(np.float32(v)), 5) for v in np.atleast_1d(one[figure])} <= marks
    for trace in drawn.data:
        low, high = drawn.layout["xaxis" + trace.xaxis[1:]].range
        assert all(low <= x <= high for x in trace.x)
    assert len(picture.table) == len(names)
    words.use("en")


def test_the_finding_names_the_best_space_and_its_share() -> None:
    names, found = figures()
    picture = beside.spaces(names, found)
    assert "most often in: MCCA" in picture.finding or "most often in: KCCA" in picture.finding
    assert "Least often: raw" in picture.finding or "Least often: centred" in picture.finding
    assert picture.finding in picture.alt
    close = words.t("views.beside.close")
    assert close not in picture.finding
    assert close in beside.spaces(names[:2], found[:2]).finding


def test_doubles_are_told() -> None:
    names, found = figures()
    assert "equal another row" not in beside.spaces(names, found).finding
    doubled = [{**one, "repeated": [0.0, 0.4]} for one in found]
    assert words.t("views.beside.repeated", share=percent(0.4)) in beside.spaces(names, doubled).finding


def test_a_checkpoint_is_compared_once_and_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_HOME", str(home))
    checkpoint, dataset = comparing.named("two")
    assert checkpoint is not None
    made = comparing.compared(checkpoint, dataset)
    assert [one.kind for one in made.spaces] == ["raw", "centred", "mcca", "kcca", "learned", "learned_centred"]
    shares = {one.kind: float(np.mean(one.pairs[0]["r1"])) for one in made.spaces}
    assert shares["raw"] < 0.2 < 0.9 < min(shares["mcca"], shares["learned"])
    streams = dataset.streams
    assert streams is not None
    assert made.rows == {name: len(streams.rows(name)) for name in SPLITS}
    told = comparing.stored(checkpoint, dataset)
    assert told == made
    comparing.place(checkpoint, dataset).write_text("{}")
    assert comparing.stored(checkpoint, dataset) is None


def test_a_data_set_is_compared_without_a_checkpoint(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_HOME", str(home))
    made = comparing.compared(*comparing.named(f"views:{home / 'two.npz'}"))
    assert [one.kind for one in made.spaces] == ["raw", "centred", "mcca", "kcca"]
    with pytest.raises(FusionError, match="--data goes with a checkpoint"):
        comparing.named("digits", "gloss")


def test_signals_are_compared_in_the_space_fitted_on_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fusion import gathering

    monkeypatch.setenv("FUSION_HOME", str(home))
    gathering.ready("signals:two")
    runs.train("mcca", "signals:two", name="again", say=lambda _: None, settings={"components": "4"})
    made = comparing.compared(*comparing.named("again"))
    assert "learned" in [one.kind for one in made.spaces]


def opened(home: Path, page: str, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    monkeypatch.setattr(kept, "allowed", lambda spec: True)
    cache.data.clear()
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    for name, value in {"ckpt": "two", "lang": "en", **query}.items():
        test.query_params[name] = value
    words.use("en")
    test.switch_page(f"pages/{page}.py")
    test.run()
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    return test


def said(test: AppTest) -> str:
    return " ".join(one.value for one in (*test.markdown, *test.caption, *test.success))


def test_fusion_offers_the_comparison_and_then_shows_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_HOME", str(home))
    found = checkpoints.read(home / "checkpoints" / "two")
    dataset = open_data(found.data)
    comparing.place(found, dataset).unlink(missing_ok=True)
    test = opened(home, "fusion", monkeypatch, tab="spaces")
    assert words.t("beside.before") in said(test)
    comparing.compared(found, dataset)
    test.run()
    assert words.t("views.beside.title") in said(test)
    assert "rows fitted; ridge" in said(test)


def test_a_fit_is_started_from_the_page_and_ends_in_a_checkpoint(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []

    def start(arguments: list[str], key: str) -> None:
        started.append(list(arguments))

    test = opened(home, "checkpoints", monkeypatch, tab="fit")
    test.session_state["fit_source"] = "file"
    test.session_state["fit_system"] = "kcca"
    test.run()
    monkeypatch.setattr(jobs, "start", start)
    test.button(key="fit_start").click().run()
    assert [one.value for one in test.error] == [plain(words.t("fit.none"), 600)]
    test.text_input(key="fit_file").set_value(str(home / "none.npz"))
    test.button(key="fit_start").click().run()
    assert len(test.error) == 1
    assert not started
    test.text_input(key="fit_file").set_value(str(home / "two.npz"))
    test.session_state["fit_ridge"] = "number"
    test.run()
    test.number_input(key="fit_strength").set_value(0.0)
    test.button(key="fit_start").click().run()
    assert plain("c = 0 with the kernel rbf") in test.error[0].value
    test.number_input(key="fit_strength").set_value(0.2)
    test.number_input(key="fit_components").set_value(3)
    test.button(key="fit_start").click().run()
    assert not test.error
    (arguments,) = started
    assert arguments == [
        "train", "kcca", "--data", f"views:{home / 'two.npz'}", "--name", "kcca-two-k3-c0.2", "--set", "components=3",
        "--set", "kernel=rbf", "--set", "c=0.2",
    ]  # fmt: skip


def test_sets_of_pairs_are_fitted_as_views_and_signals_by_their_checkpoint() -> None:
    from pages.parts import fitting

    assert fitting.asked("mcca", "gloss", 16, None, "", "").data == "views:gloss"
    assert fitting.asked("mcca", "digits", 16, None, "", "").arguments[:6] == [
        "train", "mcca", "--data", "digits", "--name", "mcca-digits",
    ]  # fmt: skip
    found = fitting.asked("kcca", "signals:maf-gloss", 8, None, "linear", "")
    assert (found.data, found.name) == ("signals:maf-gloss", "kcca-of-maf-gloss-k8-linear")
    with pytest.raises(FusionError, match="can"):
        fitting.asked("mcca", "gloss", 16, None, "", "../x")
