"""Fusion, Map, Match and Checkpoints for systems that read streams: what the pages say is what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, data, jobs, trusting, words
from fusion.checkpoints import Checkpoint
from fusion.data import DataSet
from fusion.metrics.behaviour import spearman
from fusion.metrics.matching import auc
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import StreamedSet, whole
from fusion.views.speech import num, percent
from pages.parts import cache, place, stream_figures, stream_fusion, stream_map, stream_match, stream_sets
from tests.contact_sheet import linked
from tests.test_streams_training import planted

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("fusion", "map", "match")
SETTINGS = {"width": "16", "epochs": "5", "rate": "0.01"}
CLASSES, SCORE = "emoji-groups", "emotions"  # bundled keys that stand for the planted sets here
Open = Callable[..., AppTest]


def made(key: str) -> DataSet:
    """A planted set under a bundled key; some samples lack a modality."""
    found = planted(classes=("low", "high") if key == CLASSES else ())
    assert found.streams is not None
    found.streams.present[::7, 1] = False
    return replace(found, key=key, spec=key, digest=f"few {key}", notes=("planted on purpose",), word="illustrative")


SETS = {key: made(key) for key in (CLASSES, SCORE)}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Checkpoints trained on the planted sets: two of classes, one of a score."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        patch.setattr(runs, "open_data", lambda spec: SETS[spec])
        quiet = {"say": lambda _: None}
        runs.train("late", CLASSES, name="weighs", settings=SETTINGS | {"combine": "weighted"}, **quiet)
        runs.train("early", CLASSES, name="joins", settings=SETTINGS, **quiet)
        runs.train("late", SCORE, name="scores", settings=SETTINGS | {"combine": "weighted"}, **quiet)
        for name, key in (("weighs", CLASSES), ("scores", SCORE)):
            whole(Reader.open(checkpoints.read(root / "checkpoints" / name), SETS[key]))
            trusting.measured(checkpoints.read(root / "checkpoints" / name), SETS[key], table=30)
        yield root


@pytest.fixture(params=["weighs", "scores"])
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def found(home: Path, name: str) -> Checkpoint:
    return checkpoints.read(home / "checkpoints" / name)


@pytest.fixture
def ran(found: Checkpoint) -> StreamedSet:
    """All samples under the checkpoint."""
    return whole(Reader.open(found, SETS[found.data]))


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """Opens a page as a link would: app(page, ckpt=..., **query)."""
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    for key, dataset in SETS.items():
        monkeypatch.setitem(data.DATASETS, key, lambda dataset=dataset: dataset)
        monkeypatch.setitem(data.KINDS, key, "streams")
        cache.forget_data(key)

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        if page != "home":
            at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    words.use("en")
    for key in SETS:
        cache.forget_data(key)
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values).replace("\xa0", " ")


def share(value: float) -> str:
    return percent(value).replace("\xa0", " ")


def said(at: AppTest) -> str:
    kinds = ("title", "header", "markdown", "caption", "error", "warning", "info", "success")
    return (
        "\n".join(str(one.value) for kind in kinds for one in getattr(at, kind)).replace("\\", "").replace("\xa0", " ")
    )


def metric(at: AppTest, key: str) -> str:
    return next(one.value for one in at.metric if one.label == told(key))


def tabbed(at: AppTest, page: str, tab: str, language: str = "en") -> AppTest:
    at.session_state[f"{page}_tabs"] = told(f"{page}.tab.{tab}", language)
    return at.run()


def whole_page(at: AppTest) -> None:
    assert not at.exception
    assert not at.error, said(at)
    charts = at.get("plotly_chart")
    assert charts
    assert all(chart.proto.alt for chart in charts)


@pytest.mark.parametrize("language", list(words.LANGUAGES))
@pytest.mark.parametrize("page", PAGES)
def test_a_link_that_names_the_checkpoint_brings_its_data_set_and_its_purpose(
    app: Open, page: str, language: str, name: str
) -> None:
    at = app(page, ckpt=name, lang=language)
    assert not at.exception
    assert not at.error, said(at)
    assert told(f"{page}.lead.streams", language) in [one.value for one in at.markdown]
    assert told(f"{page}.help.streams", language) in [one.value for one in at.markdown]


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_every_tab_of_fusion_and_match_draws(app: Open, name: str, language: str) -> None:
    at = app("fusion", ckpt=name, lang=language)
    for tab in stream_fusion.TABS:
        whole_page(tabbed(at, "fusing", tab, language))
    whole_page(tabbed(app("match", ckpt=name, lang=language), "triage", "errors", language))


# Fusion


def test_the_curve_is_that_of_the_metrics_file_and_others_of_the_data_set_stand_beside_it(
    app: Open, found: Checkpoint
) -> None:
    what = "audio"
    kept = next(one for one in found.metrics["test"]["curves"] if one["what"] == what)
    run = stream_figures.run_of(found, what)
    assert run is not None
    sign = -1 if found.data == SCORE else 1
    np.testing.assert_allclose(run.mean, sign * np.asarray(kept["mean"]))
    assert (run.low <= run.mean + 1e-9).all()
    assert (run.mean <= run.high + 1e-9).all()
    assert run.area == pytest.approx(sign * kept["area"], abs=1e-3)
    at = app("fusion", ckpt=found.name, what=what)
    area = num(round(run.area, 3))
    own = told(
        "views.missing.own", name=found.name, start=num(float(run.mean[0])), end=num(float(run.mean[-1])), area=area
    )
    assert own in said(at)
    if found.data == CLASSES:
        other = stream_figures.run_of(checkpoints.read(found.folder.parent / "joins"), what)
        assert other is not None
        order = sorted((run, other), key=lambda one: -one.area)
        areas = ", ".join(f"{one.name} {num(round(one.area, 3))}" for one in order)
        assert told("views.missing.best.accuracy", name=order[0].name, all=areas) in said(at)
    else:
        assert told("fusing.alone", data=told(f"data.{SCORE}")) in said(at)


def test_seeds_of_one_system_are_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = checkpoints.read(home / "checkpoints" / "weighs")
    curve = {**own.metrics["test"]["curves"][0]}
    better = {**curve, **{name: [v + 0.1 for v in curve[name]] for name in ("mean", "low", "high")}}
    again = replace(
        own, name="weighs-38", folder=home / "elsewhere",
        metrics={**own.metrics, "seed": 38, "recipe": {**own.metrics["recipe"], "seed": 38},
                 "test": {**own.metrics["test"], "curves": [better]}},
    )  # fmt: skip
    unlike = replace(again, name="other", metrics={**again.metrics, "recipe": {"hide": "steps", "seed": 1}})
    monkeypatch.setattr(stream_figures, "others", lambda _: [again, replace(own, name="a copy"), unlike])
    words.use("en")
    both, alone = stream_figures.runs_beside(own, curve["what"])
    assert both.name == told("fusing.together", name="weighs", count=2)
    np.testing.assert_allclose(both.mean, np.asarray(curve["mean"]) + 0.05)
    np.testing.assert_allclose(both.low, curve["low"])
    np.testing.assert_allclose(both.high, better["high"])
    assert (both.draws, alone.name) == (6, "other")


def test_what_goes_missing_stands_in_the_address(app: Open) -> None:
    at = app("fusion", ckpt="weighs")
    at.button_group(key="fusing_what").set_value("steps").run()
    assert at.query_params["what"] == "steps"
    whole_page(at)


def test_trust_says_which_weights_follow_what_removal_does(app: Open, found: Checkpoint, name: str) -> None:
    kept = trusting.stored(found, SETS[found.data])
    assert kept is not None
    assert {one.modality for one in kept.rows} == {"text", "audio", "vision"}
    at = app("fusion", ckpt=name, tab="trust", modality="audio")
    whole_page(at)
    good = sum(one.trusted for one in kept.rows)
    assert told("views.trusted.finding", good=good, count=len(kept.rows)) in said(at)
    table = at.dataframe[0].value
    verdicts = [told(f"trust.verdict.{one.verdict}") for one in kept.rows]
    assert table[told("views.trusted.column.verdict")].tolist() == verdicts
    one = next(one for one in kept.splits if one.modality == "audio")
    assert told("views.added.share", share=share(one.share), count=one.n) in said(at)
    at.button_group(key="trust_modality").set_value("text").run()
    assert at.query_params["modality"] == "text"
    whole_page(at)


def test_trust_that_was_not_measured_is_offered(app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    at = app("fusion", ckpt="joins", tab="trust")
    assert told("trust.none", name="joins") in said(at)
    started: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key: started.append(list(arguments)))
    next(one for one in at.button if one.key and one.key.startswith("start_trust-")).click().run()
    assert started[0][0] == "trust"
    assert not at.exception


def test_subsets_are_those_of_the_metrics_file(found: Checkpoint, home: Path) -> None:
    bars, nothing = stream_figures.subsets_of(found)
    main = found.metrics["test"]["main"]
    assert len(bars) == 7
    table = found.metrics["test"]["subsets"]
    assert nothing == table["without_all"][main]
    assert {one.modalities: one.value for one in bars}[("audio",)] == table["only_audio"][main]
    assert {one.modalities: one.count for one in bars}[("audio",)] == table["only_audio"]["n"]


def test_figures_that_are_none_are_left_out(app: Open, home: Path, found: Checkpoint) -> None:
    for broken in ({}, {"test": 3}, {"test": {"main": "accuracy", "curves": [{"what": "steps", "mean": "x"}], "n": 1}}):
        one = replace(found, metrics=broken)
        assert stream_figures.hidden(one) == ()
        assert stream_figures.subsets_of(one) == ([], None)
    copy = home / "checkpoints" / "bare"
    try:
        copy.mkdir()
        for path in found.folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps(config | {"name": "bare"}))
        (copy / "metrics.json").write_text("{}")
        at = app("fusion", ckpt="bare")
        for tab in ("missing", "subsets", "beside"):
            tabbed(at, "fusing", tab)
            assert not at.error
            assert told("fusing.unmeasured", name="bare") in said(at)
    finally:
        for path in copy.iterdir():
            path.unlink()
        copy.rmdir()


def test_baselines_stand_beside_with_their_margins(app: Open, found: Checkpoint) -> None:
    at = tabbed(app("fusion", ckpt=found.name), "fusing", "beside")
    table = next(one.value for one in at.dataframe if told("fusing.seeds") in one.value)
    names = [stream_fusion.called(key) for key in found.metrics["baselines"]]
    assert table[told("views.axis.system")].tolist()[1:] == names
    main = found.metrics["test"]["main"]
    assert table[told(f"fusing.figure.{main}")].iloc[0] == f"{found.metrics['test'][main]:.3f}"
    below = [key for key, one in found.metrics["margin"].items() if one["low"] <= 0]
    key = "fusing.beside.some" if below else "fusing.beside.all"
    assert told(key, above="", count=len(names), names="").split(":")[0][-20:] in said(at)


def test_worth_is_the_share_of_the_shapley_values_and_weights_are_compared_with_it(
    app: Open, found: Checkpoint, ran: StreamedSet
) -> None:
    held = stream_fusion.held_out(ran)
    shares, weights = stream_fusion.worth_of(ran, held)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=shares.__getitem__) == "audio"  # where the answer was planted
    (signal,) = weights
    assert weights[signal]["text"] == pytest.approx(held[f"weight_{signal}_text"].mean())
    lines = stream_fusion.correlated(ran, held)
    assert all(-1 <= one.low <= one.value <= one.high <= 1 for one in lines)
    at = tabbed(app("fusion", ckpt=found.name), "fusing", "weights")
    assert told("views.worth.finding", name=told("name.audio"), value=share(shares["audio"])) in said(at)


def test_weights_of_what_vanishes_fall_to_nothing(ran: StreamedSet) -> None:
    for table in ran.followed["audio"].values():
        assert table["audio"][-1] == pytest.approx(0, abs=1e-6)
        assert table["audio"][0] > 0.05


def test_badges_are_counted_with_their_figure_and_the_rule(app: Open, found: Checkpoint, ran: StreamedSet) -> None:
    at = tabbed(app("fusion", ckpt=found.name), "fusing", "combine")
    held = stream_fusion.held_out(ran)
    for badge, count in held["badge"].value_counts().items():
        assert f"{told(f'verdict.badge.{badge}')} {share(count / len(held))}" in said(at)
    assert told("fusing.rule") in said(at)
    one = stream_fusion.of_samples(ran, held)
    assert one is not None
    column = "right" if ran.classes else "error"
    assert one.value == pytest.approx(float(held[column].mean()), abs=1e-6)


# Map


@pytest.mark.parametrize("colour", ["label", "said", "wrong", "badge", "conflict", "split", "shapley_audio", "group"])
def test_the_map_takes_every_colour(app: Open, name: str, colour: str) -> None:
    at = app("map", ckpt=name, colour=colour)
    whole_page(at)
    assert told("map.levels.title") in said(at)


def test_points_are_coloured_by_what_the_whole_set_says(ran: StreamedSet) -> None:
    columns = stream_map.columns_of(ran)
    assert all(len(column.values) == len(ran.frame) for column in columns.values())
    if ran.classes:
        assert columns["label"].values.tolist() == ran.frame["target"].tolist()
    else:
        assert columns["label"].numeric
        np.testing.assert_allclose(columns["label"].values, ran.frame["target"].to_numpy())


def test_levels_run_from_fused_to_single_and_an_absent_modality_has_no_point(ran: StreamedSet) -> None:
    names = stream_map.ordered(ran)
    assert ran.levels[names[0]] == "fused"
    single = [one for one in names if ran.levels[one] == "audio"]
    for one in single:
        assert len(stream_map.rows_of(ran, one).ids) == int(ran.frame["has_audio"].sum())


def test_what_neighbours_know_of_the_label_is_counted(ran: StreamedSet) -> None:
    rows = stream_map.labelled(ran, stream_map.rows_of(ran, stream_map.ordered(ran)[0]))
    assert rows is not None
    found = stream_map.knows(ran, rows)
    assert found is not None
    held = np.flatnonzero(ran.frame["split"].to_numpy()[rows.sample] == "test")
    asked, near = place.nearest(rows.vectors, held)
    assert sorted(asked) == sorted(held)
    assert (near != asked[:, None]).all()
    label = ran.frame["target"].to_numpy()[rows.sample]
    if ran.classes:
        assert found.value == pytest.approx((label[near] == label[asked][:, None]).mean())
        assert found.value > stream_map.chance_of(ran)  # it was trained to
    else:
        assert found.value == pytest.approx(spearman(label[asked], label[near].mean(1)))
        assert found.value > 0.2


def test_a_selection_stands_below_the_map_and_opens_in_inspect(app: Open, found: Checkpoint, ran: StreamedSet) -> None:
    from fusion import kept

    ids = ran.frame["id"].tolist()[:3]
    at = app("map", ckpt=found.name, sel=kept.select(found.data, ids))
    part = ran.frame[ran.frame["id"].isin(ids)]
    expected = told("map.chosen.streams", count="3", opposed=str(int(part["opposed"].sum())))
    assert expected in said(at)
    table = next(one.value for one in at.dataframe if "conflict" in one.value)
    assert sorted(table["id"]) == sorted(ids)
    assert linked(at) == (table["id"].tolist() if "picture" in table else [])


# Match


def test_the_strip_and_the_order_are_those_of_the_whole_set(app: Open, found: Checkpoint, ran: StreamedSet) -> None:
    at = app("match", ckpt=found.name)
    held = ran.frame[ran.frame["split"] == "test"]
    assert metric(at, "triage.count") == f"{len(held):,}"
    assert metric(at, "triage.opposed") == f"{int(held['opposed'].sum()):,}"
    assert metric(at, "triage.conflict") == f"{int((held['badge'] == 'conflict').sum()):,}"
    figure = "accuracy" if ran.classes else "mae"
    value = held["right"].mean() if ran.classes else held["error"].mean()
    assert metric(at, f"triage.{figure}") == num(round(float(value), 3))
    table = next(one.value for one in at.dataframe if "conflict" in one.value)
    assert table["conflict"].is_monotonic_decreasing
    assert table["conflict"].iloc[0] == held["conflict"].max()
    first = held.set_index("id").loc[table["id"].iloc[0]]
    alone = table["alone_text"].iloc[0]
    assert alone == first["alone_text"] or (alone != alone and first["alone_text"] != first["alone_text"])
    at.selectbox(key="triage_sort").set_value("loss").run()
    assert next(one.value for one in at.dataframe if "loss" in one.value)["loss"].is_monotonic_decreasing
    assert at.query_params["sort"] == "loss"


def test_filters_keep_what_they_name(app: Open, found: Checkpoint, ran: StreamedSet) -> None:
    held = ran.frame[ran.frame["split"] == "test"]
    badge = str(held["badge"].iloc[0])
    at = app("match", ckpt=found.name, badge=badge)
    part = held[held["badge"] == badge]
    assert told("triage.tell", count=f"{len(part):,}", all=f"{len(held):,}") in said(at)
    if ran.classes:
        at = app("match", ckpt=found.name, **{"class": "low"})
        part = held[held["target"] == "low"]
        assert told("triage.tell", count=f"{len(part):,}", all=f"{len(held):,}") in said(at)
    at = app("match", ckpt=found.name, split="all")
    assert metric(at, "triage.count") == f"{len(ran.frame):,}"


def test_disagreement_is_held_against_wrong_answers(ran: StreamedSet) -> None:
    frame = ran.frame
    wrong, known = stream_match.wrong_of(ran, frame)
    if ran.classes:
        assert (wrong == (frame["said"] != frame["target"]).to_numpy()).all()
        assert known.all()
    else:
        assert (wrong == (np.sign(frame["answer"]) != np.sign(frame["target"])).to_numpy()).all()
    found, bad, good = stream_match.finds(ran, frame, "conflict")
    assert bad + good == int(known.sum())
    if found is not None:
        conflict = frame["conflict"].to_numpy()
        assert found.value == pytest.approx(auc(conflict[wrong & known], conflict[~wrong & known]))


def test_a_sign_that_finds_every_error_is_said_to_and_a_useless_one_is_not(ran: StreamedSet) -> None:
    frame = ran.frame.copy()
    wrong = np.arange(len(frame)) % 5 == 0
    if ran.classes:
        frame["right"] = ~wrong
    else:
        frame["answer"] = np.where(wrong, -1, 1) * frame["target"]
    frame["conflict"] = wrong + 0.0
    words.use("en")
    found, _, _ = stream_match.finds(ran, frame, "conflict")
    assert found is not None
    assert found.value == 1
    from fusion.views.faithful import Line

    line = lambda value, low, high: Line("", value, low, high, 9)  # noqa: E731
    assert stream_match.verdict(line(0.8, 0.7, 0.9)).startswith("Disagreement finds errors")
    assert "beyond chance" in stream_match.verdict(line(0.55, 0.45, 0.65))
    assert "wrong way" in stream_match.verdict(line(0.3, 0.2, 0.4))


# Without a run, and Checkpoints


@pytest.mark.parametrize("page", ["map", "match"])
def test_a_set_that_was_not_run_is_offered_to_be(app: Open, page: str) -> None:
    at = app(page, ckpt="joins")
    assert not at.error
    assert told("work.observe", name="Planted", checkpoint="joins") in said(at)
    assert told("work.compute") in [one.label for one in at.button]


def test_fusion_shows_the_figures_before_anything_is_run(app: Open) -> None:
    whole_page(app("fusion", ckpt="joins"))


def test_the_card_of_a_set_says_what_is_asked_and_what_is_missing(app: Open, found: Checkpoint) -> None:
    dataset = SETS[found.data]
    streams = dataset.streams
    assert streams is not None
    at = app("checkpoints", ckpt=found.name, data=found.data, tab="data")
    assert not at.error
    assert metric(at, "checkpoints.streams.samples") == f"{len(streams):,}"
    assert metric(at, "checkpoints.streams.complete") == f"{int(streams.present.all(1).sum()):,}"
    table = next(one.value for one in at.dataframe if told("checkpoints.streams.unit") in one.value)
    missing = 1 - streams.present[streams.rows("test"), 1].mean()
    column = told("checkpoints.streams.missing", split=told("split.test"))
    assert table.loc[table[told("views.axis.modality")] == told("name.audio"), column].tolist() == [percent(missing)]
    assert "planted on purpose" in said(at)
    assert stream_sets.target(streams) in said(at).replace("\\", "")
    assert told("checkpoints.streams.ready", name=found.name, count=f"{len(streams):,}") in said(at)


def test_checkpoints_show_the_main_figures(app: Open, home: Path) -> None:
    at = app("checkpoints", ckpt="weighs")
    assert not at.error
    table = at.dataframe[0].value.set_index("name")
    metrics = checkpoints.read(home / "checkpoints" / "weighs").metrics
    assert table.loc["weighs", "accuracy"] == pytest.approx(metrics["test"]["accuracy"])
    assert np.isnan(table.loc["weighs", "mae"])
    assert table.loc["scores", "mae"] > 0
