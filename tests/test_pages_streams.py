"""Inspect for a system that reads streams: what the page says is what the checkpoint computes, before and after."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, data, words
from fusion.data import DataSet
from fusion.data.streams import SENTIMENT, StreamSet
from fusion.explain import edits
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from fusion.types import Audio, Image, Modality, Sample, Text
from fusion.views.speech import answered, num, percent, say
from pages.parts import cache, stream_finder, stream_tabs
from tests.test_streams_training import planted

ROOT = Path(__file__).resolve().parent.parent
CLASSES, SCORE = "emoji-groups", "emotions"  # bundled keys that stand for small sets here
Open = Callable[..., AppTest]


def tone(hertz: float, seconds: float = 0.7, rate: int = 16_000, channels: int = 1, loud: float = 8000) -> bytes:
    """A WAV file."""
    values = (loud * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(values, channels).tobytes())
    return buffer.getvalue()


def colour(red: int) -> bytes:
    """A PNG file."""
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (red, 10, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def heard() -> DataSet:
    """Texts, pictures and tones to encode; the tone says the class. The fifth has no tone."""
    count = 24
    answer = np.arange(count) % 2
    samples = tuple(
        Sample(
            f"t{i}",
            {"text": Text(f"a sound, number {i}"), "image": Image(data=colour(9 * i))}
            | ({} if i == 4 else {"audio": Audio(data=tone(300.0 + 20 * i + 2000 * answer[i]))}),
            ("train", "valid", "test")[i // 8], int(answer[i]),
        )
        for i in range(count)
    )  # fmt: skip
    found = StreamSet(
        "Tones",
        (Modality("text", "text", 0, unit="token"), Modality("image", "image", 0, unit="region"),
         Modality("audio", "audio", 0, unit="frame")),
        {}, {}, np.array([[True, True, "audio" in s.parts] for s in samples]), answer.astype(np.int64),
        np.repeat(np.arange(3, dtype=np.uint8), 8), classes=("low", "high"),
    )  # fmt: skip
    return DataSet(CLASSES, "Tones", samples, digest="few tones", spec=CLASSES, streams=found)


def scored() -> DataSet:
    """Given features and a score in words."""
    found = planted(classes=())
    assert found.streams is not None
    streams = replace(found.streams, words=SENTIMENT)
    return replace(found, key=SCORE, spec=SCORE, digest="few scores", streams=streams)


SETS = {CLASSES: heard(), SCORE: scored()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Checkpoints trained on the small sets: "tones" and "attends" of classes, "scores" and "guesses" of a score."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        patch.setattr(runs, "open_data", lambda spec: SETS[spec])
        patch.setattr(runs, "NETWORKS", ())
        patch.setattr(runs, "CURVE_SEEDS", (0,))
        quiet = {"say": lambda _: None}
        few = {"width": "16", "epochs": "2", "rate": "0.01"}
        runs.train("late", CLASSES, name="tones", settings=few, **quiet)
        runs.train("late", SCORE, name="scores", settings=few, **quiet)
        whole(Reader.open(checkpoints.read(root / "checkpoints" / "tones"), SETS[CLASSES]))
        runs.train("tfr_net", SCORE, name="guesses", settings={"epochs": "1"}, **quiet)
        yield root


@pytest.fixture
def app(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Open]:
    """Opens Inspect as a link would: app(ckpt=..., **query)."""
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    for key, dataset in SETS.items():
        monkeypatch.setitem(data.DATASETS, key, lambda dataset=dataset: dataset)
        monkeypatch.setitem(data.KINDS, key, "streams")
        cache.forget_data(key)

    def opened(**query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        at.switch_page("pages/inspect.py")
        return at.run()

    yield opened
    words.use("en")
    for key in SETS:
        cache.forget_data(key)
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


def reader(home: Path, name: str) -> Reader:
    found = checkpoints.read(home / "checkpoints" / name)
    return Reader.open(found, SETS[found.data])


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values)


def said(at: AppTest) -> str:
    kinds = ("title", "header", "markdown", "caption", "error", "warning", "info", "success")
    return "\n".join(str(one.value) for kind in kinds for one in getattr(at, kind)).replace("\\", "")


def metric(at: AppTest, key: str) -> str:
    return next(one.value for one in at.metric if one.label == told(f"streams.verdict.{key}"))


def tabbed(at: AppTest, tab: str, language: str = "en") -> AppTest:
    at.session_state["streams_tabs"] = told(f"streams.tab.{tab}", language)
    return at.run()


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_the_page_opens_with_its_purpose_and_samples_to_begin_with(app: Open, language: str) -> None:
    at = app(ckpt="tones", lang=language)
    assert not at.exception
    assert not at.error
    assert told("inspect.lead.streams", language) in [one.value for one in at.markdown]
    assert told("inspect.help.streams", language) in [one.value for one in at.markdown]
    at.button(key="open_0").click().run()
    assert at.session_state["view"]["id"] in SETS[CLASSES].index
    assert at.metric


@pytest.mark.parametrize(("name", "id"), [("tones", "t17"), ("scores", "s200")])
def test_a_sample_opens_by_its_link_with_its_answer(app: Open, home: Path, name: str, id: str) -> None:
    seen = reader(home, name).inspect(id)
    at = app(ckpt=name, id=id)
    assert not at.error
    assert metric(at, "answer") == answered(seen.answer.said)
    assert metric(at, "truth") == (say(seen.truth) if isinstance(seen.truth, str) else num(seen.truth or 0))
    assert metric(at, "most") == say(max(seen.shares, key=lambda m: seen.shares[m]))
    assert metric(at, "badge") == told(f"verdict.badge.{seen.badge}")
    assert told("streams.badge_rule", worth="").split(":")[1].strip(" .")[:40] in said(at)
    assert not [one for one in at.metric if one.label == told("streams.verdict.before")]


@pytest.mark.parametrize(
    ("name", "id", "edit", "language"),
    [
        ("tones", "t17", "", "zh"), ("tones", "t17", "text:remove,audio:zero", "en"), ("guesses", "s200", "", "en"),
        ("guesses", "s200", "audio:drop:0.5", "zh"),
    ],
)  # fmt: skip
def test_every_tab_draws_or_says_why_not(app: Open, name: str, id: str, edit: str, language: str) -> None:
    at = app(ckpt=name, id=id, edit=edit, lang=language)
    for tab in stream_tabs.TABS:
        tabbed(at, tab, language)
        assert not at.exception, tab
        assert not at.error, tab
        charts = at.get("plotly_chart")
        offered = any((button.key or "").startswith("start_observe") for button in at.button)
        assert charts or at.info or offered, tab
        assert all(chart.proto.alt for chart in charts)


def test_pictures_of_signals_stand_before_and_after_once_there_are_edits(app: Open) -> None:
    at = tabbed(app(ckpt="guesses", id="s200"), "fused")
    once = len(at.get("plotly_chart"))
    at = tabbed(app(ckpt="guesses", id="s200", edit="audio:drop:0.5"), "fused")
    assert len(at.get("plotly_chart")) == 2 * once
    assert said(at).count(f"**{told('streams.before')}**") == said(at).count(f"**{told('streams.after')}**") == once


def test_an_edit_is_chosen_undone_and_all_is_put_back(app: Open, home: Path) -> None:
    at = app(ckpt="scores", id="s200")
    at.selectbox(key="how_audio").set_value("remove").run()
    assert at.session_state["view"]["edit"] == "audio:remove"
    gone = reader(home, "scores").inspect("s200", edits.read("audio:remove", ("text", "audio", "vision")))
    assert metric(at, "answer") == answered(gone.answer.said)
    assert gone.before is not None
    assert metric(at, "before") == answered(gone.before.said)
    at.selectbox(key="how_text").set_value("drop").run()
    at.slider(key="rate_text").set_value(80).run()
    assert at.session_state["view"]["edit"] == "audio:remove,text:drop:0.8"
    assert told("streams.done.drop", name=say("text"), rate=percent(0.8)) in said(at)
    at.button(key="edit_undo").click().run()
    assert at.session_state["view"]["edit"] == "audio:remove,text:drop:0.5"
    at.button(key="again_text").click().run()
    assert at.session_state["view"]["edit"] == "audio:remove,text:drop:0.5:1"
    at.button(key="edit_none").click().run()
    assert "edit" not in at.session_state["view"]
    assert metric(at, "answer") == answered(gone.before.said)
    at.button(key="row_on").click().run()
    assert at.session_state["view"]["id"] == "s201"


def test_removing_everything_and_edits_that_are_none_are_sentences(app: Open) -> None:
    at = app(ckpt="scores", id="s200", edit="text:remove,audio:remove,vision:remove")
    assert not at.exception
    assert any("leave one modality in" in error.value for error in at.error)
    assert at.selectbox(key="how_audio").value == "remove"  # the way back stays
    at = app(ckpt="scores", id="s200", edit="audio:burn")
    assert any("is no edit" in error.value for error in at.error)
    assert "edit" not in at.session_state["view"]
    at = app(ckpt="scores", id="nobody")
    assert any("nobody" in error.value for error in at.error)
    at = app(ckpt="scores", data=CLASSES, id="t3")
    assert not at.exception
    assert at.error


def test_a_modality_that_is_not_there_cannot_be_edited(app: Open) -> None:
    at = app(ckpt="tones", id="t4")
    assert at.selectbox(key="how_audio").disabled
    assert not at.selectbox(key="how_text").disabled
    assert told("notice.absent", modality=say("audio")) in said(at)


def test_parts_of_ones_own_are_run_and_a_text_is_in_the_address(app: Open, home: Path) -> None:
    at = app(ckpt="tones")
    at.session_state["stream_source"] = stream_finder.OWN
    at.run()
    at.text_area(key="stream_text").set_value("a high sound").run()
    assert at.session_state["view"]["text"] == "a high sound"
    alone = reader(home, "tones").inspect(Sample("own", {"text": Text("a high sound")}))
    assert metric(at, "answer") == answered(alone.answer.said)
    assert metric(at, "badge") == told("verdict.badge.alone")
    assert metric(at, "truth") == "–"
    parts = {"audio": Audio(data=tone(2500.0)), "image": Image(data=colour(200))}
    at.session_state["stream_parts"] = parts
    at.run()
    full = reader(home, "tones").inspect(Sample("own", {"text": Text("a high sound"), **parts}))
    assert percent(full.answer.strength) in [one.delta for one in at.metric]
    assert told("views.spectrogram.title") in said(at)
    at.button(key="out_audio").click().run()
    assert told("views.spectrogram.title") not in said(at)
    linked = app(ckpt="tones", text="a high sound")
    assert metric(linked, "answer") == answered(alone.answer.said)


@pytest.mark.parametrize(
    ("modality", "part", "says"),
    [
        ("audio", Audio(data=b"no sound at all"), "WAV"), ("audio", Audio(data=tone(440, loud=0)), "silent"),
        ("audio", Audio(data=tone(440, seconds=1 / 16_000)), "has 1 sample at"),
        ("image", Image(data=b"no picture at all"), "picture"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_read_is_a_sentence(app: Open, modality: str, part: Audio | Image, says: str) -> None:
    at = app(ckpt="tones")
    at.session_state["stream_source"] = stream_finder.OWN
    at.session_state["stream_parts"] = {modality: part}
    at.run()
    assert not at.exception
    assert any(says in error.value for error in at.error), [error.value for error in at.error]
    assert at.button(key=f"out_{modality}")


def test_a_stereo_recording_at_96_kilohertz_is_heard_and_what_was_done_to_it_is_said(app: Open) -> None:
    at = app(ckpt="tones")
    at.session_state["stream_source"] = stream_finder.OWN
    at.session_state["stream_parts"] = {"audio": Audio(data=tone(2500.0, rate=96_000, channels=2))}
    at.run()
    assert not at.exception
    assert not at.error
    assert "2 channels" in said(at)
    assert "96,000" in said(at)
    assert told("views.spectrogram.title") in said(at)


def test_given_features_are_drawn_below_the_parts_and_edits_leave_them(app: Open) -> None:
    at = app(ckpt="scores", id="s200")
    for name in ("text", "audio", "vision"):
        assert told("views.features.title", modality=say(name)) in said(at)
    at = app(ckpt="scores", id="s200", edit="audio:remove")
    assert told("views.features.title", modality=say("audio")) in said(at)


def test_search_and_the_worst_samples_open(app: Open, home: Path) -> None:
    at = app(ckpt="tones")
    at.text_input(key="entity_search").set_value("number 17").run()
    at.button(key=next(b.key for b in at.button if b.key.startswith("found_"))).click().run()
    assert at.session_state["view"]["id"] == "t17"
    ran = whole(reader(home, "tones"))
    worst = stream_finder.wrong(ran)
    assert not worst["right"].astype(bool).any()
    assert worst["loss"].is_monotonic_decreasing
    at = app(ckpt="tones")
    assert at.button(key="next_wrong").disabled == (len(worst) == 0)
    if len(worst):
        at.button(key="next_wrong").click().run()
        assert at.session_state["view"]["id"] == worst["id"].iloc[0]


def test_neighbours_are_those_of_the_set_without_the_sample_itself(app: Open, home: Path) -> None:
    from pages.parts.stream_near import nearest

    ran = whole(reader(home, "tones"))
    seen = reader(home, "tones").inspect("t17")
    found = nearest(ran, seen.trace, "t17")
    assert {near.name for near in found} == set(ran.levels)
    ids = ran.frame["id"].tolist()
    for near in found:
        assert "t17" not in near.ids
        table = ran.vectors(near.name)
        own = table[ids.index("t17")]
        cosine = table @ own / np.maximum(np.linalg.norm(table, axis=1) * np.linalg.norm(own), 1e-12)
        cosine[ids.index("t17")] = -2
        assert near.cosine == pytest.approx(np.sort(cosine)[::-1][: len(near.ids)], abs=5e-3)
        assert near.labels == tuple(ran.frame.set_index("id").loc[list(near.ids), "target"])
    at = tabbed(app(ckpt="tones", id="t17"), "space")
    assert told("views.near.title") in said(at)
    at = tabbed(app(ckpt="scores", id="s200"), "space")
    assert any("start_observe" in (button.key or "") for button in at.button)
