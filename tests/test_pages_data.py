"""Map, Match and Checkpoints over a data set of one's own: the numbers on the page are those of the data set."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, jobs, reference, words
from fusion.data import open_data
from fusion.inference import Pipeline
from fusion.models.maf import MAF, Config
from fusion.observations import Observed, observe, stored
from fusion.triage.verdicts import Verdicts
from fusion.types import FusionError, Sample, Text
from fusion.views.speech import percent
from pages.parts import library, matching, rate, retrieval
from pages.parts.pairs import of_split
from pages.parts.state import Selection
from tests import triage_app
from tests.contact_sheet import linked

ROOT = Path(__file__).resolve().parent.parent
PAIRS = 24
Open = Callable[..., AppTest]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with random weights and a reference, and beside it a table of one's own with one bad row."""
    torch.manual_seed(5)
    root = tmp_path_factory.mktemp("own")
    config = Config(
        text_width=384, shape_width=10, image_width=1280, pooled_width=384, max_length=64, heads=4, inner_width=48,
        cm_padding="masked",
    )  # fmt: skip
    checkpoints.save(
        root / "checkpoints" / "tiny", MAF(config).eval(), data="gloss", metrics={"test": {"f1": 0.25, "n": 7}},
        encoders={"text": "minilm+shape", "image": "efficientnet-lite0"}, origin={},
        card="# Tiny\n\n![x](http://example.org/x.png) words\n",
    )  # fmt: skip
    random = np.random.default_rng(0)
    true, wrong = (np.clip(random.normal(middle, 0.1, 300), 0, 1).astype(np.float32) for middle in (0.6, 0.4))
    knots = np.asarray([(0, 0.1), (1, 0.9)], np.float32)
    reference.save(root / "checkpoints" / "tiny", reference.Reference(true, wrong, true[:0], knots, {}))
    samples = open_data("gloss").samples[:: 3290 // PAIRS][:PAIRS]
    (root / "pictures").mkdir()
    with (root / "pairs.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("id", "image", "text", "split"))
        for number, sample in enumerate(samples):
            image = sample.image()
            assert image is not None
            assert image.path is not None
            shutil.copy(image.path, root / "pictures" / f"{number}{image.path.suffix}")
            split = "test" if number % 2 else "train"
            table.writerow((f"row-{number}", f"pictures/{number}{image.path.suffix}", sample.text(), split))
        table.writerow(("gone", "pictures/absent.png", "no such picture", "test"))
    return root


@pytest.fixture(scope="module")
def observed(folder: Path) -> Observed:
    """The table run through the checkpoint, as the command line would."""
    found, dataset = checkpoints.read(folder / "checkpoints" / "tiny"), open_data(str(folder / "pairs.csv"))
    return stored(found, dataset) or observe(Pipeline.open(found), dataset)


@pytest.fixture
def app(folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """Opens a page as a link would, on the table unless another data set is named. Nothing may break behind a guard."""
    monkeypatch.setattr(checkpoints, "roots", lambda: [folder / "checkpoints"])
    monkeypatch.setenv("FUSION_DATA_ROOTS", str(folder))

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en", "data": str(folder / "pairs.csv")} | query).items():
            at.query_params[name] = value
        at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values)


def said(at: AppTest) -> str:
    """Everything that a page says in words, without the escapes of Markdown."""
    kinds = ("title", "header", "markdown", "caption", "error", "warning", "info", "success")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(at, kind)).replace("\\", "")


def rows(at: AppTest, column: str = "id") -> list[str]:
    """One column of the table of samples on the page."""
    return next(frame.value for frame in at.dataframe if column in frame.value)[column].tolist()


def metric(at: AppTest, key: str) -> str:
    return next(one.value for one in at.metric if one.label == told(key))


def made(text: np.ndarray, image: np.ndarray, picture: Sequence[str], split: Sequence[str]) -> Observed:
    """Observations with planted vectors."""
    count = len(text)
    frame = pd.DataFrame(
        {
            "id": [f"s{i}" for i in range(count)], "split": list(split), "text": [f"text {i}" for i in range(count)],
            "image": list(picture), "match": np.linspace(0.9, 0.1, count), "match_shuffled": np.full(count, 0.2),
            "cosine": (text * image).sum(1), "entities": [""] * count, "far": [False] * count,
        }
    )  # fmt: skip
    return Observed("planted", "none", frame, {"text": text.astype(np.float32), "image": image.astype(np.float32)})


def test_ranks_and_counts_are_those_of_the_split() -> None:
    unit = np.eye(6)
    seen = made(unit, np.roll(unit, 1, 0), [f"{i}.png" for i in range(6)], ["test"] * 2 + ["train"] * 4)
    everything, held_out = of_split(seen, ""), of_split(seen, "test")
    assert len(everything.frame) == 6
    assert held_out.frame["id"].tolist() == ["s0", "s1"]
    assert everything.frame["rank_text"].max() == 6  # every own picture is orthogonal, and ties count against the model
    assert set(held_out.frame["rank_text"]) == {2.0}
    perfect = of_split(made(unit, unit, ["same.png"] * 3 + ["a.png", "b.png", "c.png"], [""] * 6), "")
    assert perfect.frame["rank_text"].tolist() == [1.0] * 6
    assert len(perfect.pictures) == 4


def test_the_most_suspicious_pair_fails_in_every_way() -> None:
    unit = np.eye(5)
    image = unit.copy()
    image[4] = -unit[4]
    found = of_split(made(unit, image, [f"{i}.png" for i in range(5)], [""] * 5), "")
    assert found.frame["suspicion"].idxmax() == 4
    assert found.frame["suspicion"].max() == 1.0


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_every_tab_of_match_draws(app: Open, observed: Observed, language: str) -> None:
    at = app("match", lang=language)
    assert len(at.metric) == 5
    for tab in matching.TABS:
        at.session_state["match_tabs"] = told(f"match.tab.{tab}", language)
        at.run()
        assert not at.exception, tab
        assert not at.error, tab
        assert len(at.get("plotly_chart")) == {"scores": 1, "partners": 2, "block": 1, "calibration": 2}.get(tab, 0)


def test_selected_pairs_are_set_side_by_side(app: Open, observed: Observed) -> None:
    at = app("match", split="all", tab="block")
    chosen = ("row-9", "row-2", "row-4")
    at.session_state["selection"] = Selection(at.session_state["view"]["data"], chosen, "row-9")
    at.session_state["block_which"] = "selected"
    at.session_state["table_block"] = True
    at.run()
    assert not at.error
    table = next(frame.value for frame in at.dataframe if "row-9" in frame.value.columns)
    assert table["id"].tolist() == list(chosen)
    text, image = (observed.vectors[name][[9, 2, 4]] for name in ("text", "image"))
    assert table[list(chosen)].to_numpy() == pytest.approx(text @ image.T, abs=2e-3)


def test_an_estimate_that_does_not_hold_is_never_a_bare_number(app: Open, observed: Observed) -> None:
    at = app("match", split="all")  # random weights: shuffled pairs are nothing like those of the planted reference
    shown = next(one for one in at.metric if one.label == told("match.rate"))
    assert " to " in shown.value
    assert shown.delta == told("match.rate.doubted")
    assert "is likely too high" in said(at)


def test_an_estimate_is_doubted_by_what_is_known_to_be_wrong() -> None:
    random = np.random.default_rng(1)
    true, wrong = (np.clip(random.normal(middle, 0.1, 400), 0, 1).astype(np.float32) for middle in (0.6, 0.4))
    known = reference.Reference(true, wrong, true[:0], np.asarray([(0, 0.1), (1, 0.9)], np.float32), {})
    frame = pd.DataFrame({"match": true, "match_shuffled": wrong[::-1], "far": False})
    assert rate.doubt(known, frame) == ""
    assert rate.doubt(None, frame) == ""
    found = rate.estimate(known, frame)
    assert found is not None
    assert rate.cell(known, found, False)[2].endswith(percent(found.high))
    assert rate.cell(known, None, False)[1] == "–"
    assert "shuffled pairs score otherwise" in rate.doubt(known, frame.assign(match_shuffled=wrong + 0.1))
    assert "unlike what the model was trained on" in rate.doubt(known, frame.assign(far=np.arange(400) < 40))


def test_pairs_are_ranked_and_filtered(app: Open, observed: Observed) -> None:
    at = app("match", split="all", sort="match")
    order = observed.frame.sort_values("match", kind="stable")["id"].tolist()
    assert rows(at) == order
    wanted = observed.frame["text"].iloc[3].split()[-1]
    at.text_input(key="match_filter").set_value(wanted.upper()).run()
    frame = observed.frame
    assert rows(at) == [i for i in order if wanted.lower() in frame.set_index("id").loc[i, "text"].lower()]
    at.text_input(key="match_filter").set_value("no text has this <b>").run()
    assert not at.error
    assert "no text has this <b>" in said(at)


def test_the_held_out_split_is_shown_first(app: Open, observed: Observed) -> None:
    at = app("match")
    assert set(rows(at)) == set(observed.frame.query("split == 'test'")["id"])
    assert metric(at, "match.count") == str(PAIRS // 2)


def test_the_threshold_counts_what_it_drops(app: Open, observed: Observed) -> None:
    at = app("match", split="all", tab="scores", threshold="0.50")
    match, wrong = observed.frame["match"].to_numpy(), observed.frame["match_shuffled"].to_numpy()
    assert metric(at, "match.dropped") == str(int((match < 0.5).sum()))
    kept, false = int((match >= 0.5).sum()), int((wrong >= 0.5).sum())
    assert float(metric(at, "match.recall")) == pytest.approx(kept / PAIRS, abs=6e-3)
    assert float(metric(at, "match.f1")) == pytest.approx(2 * kept / (PAIRS + kept + false), abs=6e-3)
    at.slider(key="match_threshold").set_value(1.0).run()
    assert metric(at, "match.dropped") == str(PAIRS)
    assert at.session_state["view"]["threshold"] == "1.00"


def test_a_sentence_finds_the_pictures_nearest_to_it(app: Open, observed: Observed) -> None:
    at = app("match", split="all", tab="search")
    at.text_input(key="ask_text").set_value(observed.frame["text"].iloc[7]).run()
    assert not at.error
    near = observed.vectors["image"] @ observed.vectors["text"][7]
    found = rows(at)
    assert len(found) == retrieval.TOP
    scores = near[[observed.frame["id"].tolist().index(one) for one in found]]
    assert scores == pytest.approx(np.sort(near)[::-1][: retrieval.TOP], abs=2e-3)
    own = int((near > near[7]).sum()) + 1
    expected = told("match.own", place=own) if own <= retrieval.TOP else told("match.own.absent", count=retrieval.TOP)
    assert expected in said(at)


def test_words_that_the_encoder_cannot_read_are_warned_of(app: Open, observed: Observed) -> None:
    at = app("match", tab="search")
    at.text_input(key="ask_text").set_value("红底白十字的旗帜").run()
    assert not at.error
    assert any("English" in warning.value or "en" in warning.value for warning in at.warning)


def test_a_query_vector_is_that_of_the_data_set(folder: Path, observed: Observed) -> None:
    found = checkpoints.read(folder / "checkpoints" / "tiny")
    text = observed.frame["text"].iloc[2]
    made, unknown = retrieval.vector(found, Sample("asked", {"text": Text(text)}))
    assert set(made) == {"text"}
    assert unknown == 0
    assert made["text"] @ observed.vectors["text"][2] == pytest.approx(1, abs=1e-3)


def test_the_map_lists_the_selection_and_says_its_figures(app: Open, observed: Observed) -> None:
    at = app("map")
    assert not at.exception
    assert not at.error
    assert len(at.get("plotly_chart")) == 1
    assert told("map.chosen.none") in said(at)
    spec = at.session_state["view"]["data"]
    at.session_state["selection"] = Selection(spec, ("row-3", "row-8"), "row-3")
    at.run()
    assert set(rows(at)) == {"row-3", "row-8"}
    assert linked(at) == rows(at)
    assert told("map.chosen.tell", count=2, match=f"{observed.frame['match'].iloc[[3, 8]].mean():.2f}") in said(at)


def test_the_map_shows_where_verdicts_sit(app: Open, folder: Path, observed: Observed) -> None:
    found, dataset = checkpoints.read(folder / "checkpoints" / "tiny"), open_data(str(folder / "pairs.csv"))
    ids = observed.frame["id"].astype(str).tolist()
    assert told("map.colour.verdict") not in app("map", colour="verdict").selectbox(key="map_colour").options
    with triage_app.inspected(ids, found, dataset) as store:
        at = app("map", colour="verdict")
        assert told("map.verdict.samples.nobody", count=PAIRS) in said(at)
        for reviewer, id, verdict in (("Ada", "row-1", "mismatch"), ("Ada", "row-2", "fix"), ("Ben", "row-2", "keep")):
            Verdicts.open(store.folder, reviewer).put(id, verdict)
        Verdicts.open(store.folder, "Ada").put("row-3", "unsure")
        Verdicts.open(store.folder, "Ada").undo()
        at.run()
        assert not at.error
        assert at.query_params["colour"] == "verdict"
        verdicts = f"{told('queue.verdict.mismatch')} 1, {told('queue.verdict.disagreement')} 1"
        sentence = told("map.verdict.samples", count=PAIRS, judged=2, verdicts=verdicts)
        assert sentence in said(at)
        figure = json.loads(at.get("plotly_chart")[0].proto.spec)
        names = [trace["name"] for trace in figure["data"]]
        assert list(dict.fromkeys(names))[:3] == [
            told("map.verdict.none"), told("queue.verdict.disagreement"), told("queue.verdict.mismatch"),
        ]  # fmt: skip
        again = app("map", colour="suspicion")
        assert told("map.suspicion.told", median="0.5", high="0.9", id=ids[0]) in said(again)
        cut = app("map", colour="verdict", filter=f"verdict~~{told('queue.verdict.mismatch')}")
        assert told("map.filters.left", left=1, count=PAIRS) in said(cut)


def test_triage_opens_the_map_in_the_colours_of_its_verdicts(app: Open, folder: Path, observed: Observed) -> None:
    found, dataset = checkpoints.read(folder / "checkpoints" / "tiny"), open_data(str(folder / "pairs.csv"))
    ids = observed.frame["id"].astype(str).tolist()
    with triage_app.inspected(ids, found, dataset) as store:
        for tab, button in (("", "triage_map"), ("audit", "audit_map")):
            at = app("triage", queue=store.folder.name, tab=tab)
            assert not at.error
            at.button(key=button).click().run()
            assert at.title[0].value == told("map.title")
            assert at.selectbox(key="map_colour").value == "verdict"
            assert told("map.verdict.samples.nobody", count=PAIRS) in said(at)


def test_a_data_set_that_was_not_run_offers_to_run_it(app: Open, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key: started.append(list(arguments)))
    other = folder / "other.csv"
    lines = (folder / "pairs.csv").read_text(encoding="utf-8").splitlines()
    other.write_text("\n".join(lines[:6]) + "\n", encoding="utf-8")
    at = app("match", data=str(other))
    assert not at.error
    assert not at.dataframe
    at.button[[told("work.compute") == button.label for button in at.button].index(True)].click().run()
    assert [line[:2] for line in started] == [["observe", str(other)]]
    assert started[0][started[0].index("--checkpoint") + 1] == str((folder / "checkpoints" / "tiny").resolve())


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_a_checkpoint_shows_its_card_and_what_it_gives(app: Open, language: str) -> None:
    at = app("checkpoints", lang=language)
    assert not at.exception
    assert not at.error
    text = said(at)
    assert "##### Tiny" in text
    assert "![x]" not in "\n".join(one.value for one in at.markdown).replace("\\![x]", "")
    for kind in ("Attention", "Gate", "Match", "Effects"):
        assert told(f"kind.{kind}", language) in text
    assert at.dataframe[0].value["f1"].tolist() == [0.25]


def test_a_card_cannot_fetch_or_shout() -> None:
    text = library.card_text("# Big\n\n![x](http://example.org/x.png) <img src=x>\n\x00" + "a" * 30_000)
    assert text.startswith("##### Big")
    assert "\\![x]" in text
    assert "<img" not in text
    assert "\x00" not in text
    assert len(text) < 20_100


def test_figures_are_read_from_the_test_split_first() -> None:
    assert library.figure({"f1": 0.1, "test": {"f1": 0.7}}, "f1") == 0.7
    assert library.figure({"f1": 0.1, "test": 3}, "f1") == 0.1
    assert library.figure({"f1": "high"}, "f1") is None
    assert library.flat({"a": {"b": [0.123456, True]}, "c": "x"}).iloc[:, 0].tolist() == ["a.b.0", "a.b.1", "c"]


def test_a_folder_is_opened_by_its_path_or_refused_in_a_sentence(app: Open, folder: Path, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shutil.copytree(folder / "checkpoints" / "tiny", away)
    at = app("checkpoints")
    at.text_input(key="open_path").set_value(str(tmp_path / "nothing"))
    at.button[[told("checkpoints.open.do") == button.label for button in at.button].index(True)].click().run()
    assert len(at.error) == 1
    assert "config.json" in at.error[0].value.replace("\\", "")
    at.text_input(key="open_path").set_value(str(away))
    at.button[[told("checkpoints.open.do") == button.label for button in at.button].index(True)].click().run()
    assert not at.error
    assert at.session_state["view"]["ckpt"] == str(away)
    assert "away" in at.dataframe[0].value["name"].tolist()


def test_an_unreadable_checkpoint_is_named_with_the_reason(app: Open, folder: Path) -> None:
    broken = folder / "checkpoints" / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}", encoding="utf-8")
    try:
        at = app("checkpoints")
    finally:
        shutil.rmtree(broken)
    assert not at.error
    assert any("broken" in one.value and "weights.safetensors" in one.value.replace("\\", "") for one in at.warning)


def test_an_import_needs_the_official_files(app: Open, tmp_path: Path) -> None:
    at = app("checkpoints")
    at.text_input(key="import_path").set_value(str(tmp_path)).run()
    assert "pytorch_model.bin" in at.error[0].value.replace("\\", "")


def test_own_data_lists_every_bad_row(app: Open, folder: Path, observed: Observed) -> None:
    at = app("checkpoints", tab="data")
    assert not at.error
    problems = next(frame.value for frame in at.dataframe if told("checkpoints.problem") in frame.value)
    assert len(problems) == 1
    assert "absent.png" in problems.iloc[0, 0]
    assert metric(at, "checkpoints.data.samples") in (str(PAIRS), str(PAIRS + 1))
    assert told("checkpoints.observed", name="tiny", count=len(observed.frame)) in said(at)


def test_a_path_without_data_is_refused_in_a_sentence(app: Open, tmp_path: Path) -> None:
    at = app("checkpoints", tab="data", data="gallery")
    at.text_input(key="open_data_path").set_value(str(tmp_path / "none.csv"))
    at.button[[told("checkpoints.open.do") == button.label for button in at.button].index(True)].click().run()
    assert len(at.error) == 1
    assert "none.csv" in at.error[0].value.replace("\\", "")
    assert at.session_state["view"]["data"] == "gallery"


def test_equal_probabilities_share_a_bin() -> None:
    from fusion.views import match

    stated = np.repeat([0.2, 0.5, 0.8], 40)
    truth = np.tile([True, False], 60)
    picture = match.reliability(stated, truth)
    assert len(picture.table) == 3
    assert picture.table.iloc[:, 1].tolist() == pytest.approx([0.5, 0.5, 0.5])


def test_a_missing_reference_leaves_the_estimate_out(folder: Path, observed: Observed, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder / "checkpoints" / "tiny", bare)
    (bare / reference.NAME).unlink()
    dataset = open_data(str(folder / "pairs.csv"))
    page = matching.Matching(checkpoints.read(bare), dataset, of_split(observed, ""), ("bare", "own", ""))
    assert page.estimate() is None
    with pytest.raises(FusionError):
        open_data(str(tmp_path / "absent.csv"))
