"""Two checkpoints side by side: differences are those of both, what can't be compared is refused with what would do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import checkpoints, versus
from fusion.checkpoints import Checkpoint
from fusion.data import DataSet, open_data
from fusion.inference import Pipeline
from fusion.signals import Attention, Embedding, Gate, ModalityWeights, Trace
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from fusion.types import FusionError
from fusion.versus.moving import fitted, moved
from fusion.versus.samples import truth
from fusion.versus.sets import FEW, joined
from fusion.versus.sides import gold_of, side_of
from fusion.versus.signals import differences
from tests.test_streams_training import planted

SETTINGS = {"width": "16", "epochs": "3", "rate": "0.01"}
SETS = {
    key: replace(planted(classes=classes), key=key, spec=key, digest=f"versus {key}")
    for key, classes in (("emoji-groups", ("low", "high")), ("emotions", ()))
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two checkpoints of classes, one with switches, and one of a score."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        patch.setattr(runs, "open_data", lambda spec: SETS[spec])
        for model, key, name in (("early", "emoji-groups", "one"), ("late", "emoji-groups", "two"),
                                 ("late", "emotions", "score")):  # fmt: skip
            runs.train(model, key, name=name, settings=SETTINGS, say=lambda _: None)
        yield root


def found(home: Path, name: str) -> Checkpoint:
    return checkpoints.read(home / "checkpoints" / name)


@pytest.fixture
def data() -> DataSet:
    return SETS["emoji-groups"]


@pytest.fixture
def made(home: Path, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> versus.SetCompared:
    monkeypatch.setenv("FUSION_HOME", str(home))
    return versus.compared(found(home, "one"), found(home, "two"), data)


def test_rows_that_differ_come_first_and_figures_are_those_of_both(home, data, made):
    one, two = (whole(Reader.open(found(home, name), data)).frame for name in ("one", "two"))
    test = np.asarray(one["split"] == "test")
    differs = np.asarray(one["said"] != two["said"])[test]
    assert made.split == "test"
    assert made.differ == differs.sum()
    assert list(made.frame["differs"]) == sorted(made.frame["differs"], reverse=True)
    first = np.abs(np.asarray(made.frame["change"]))[: made.differ]
    assert (np.diff(first) <= 0).all()
    figure = next(one for one in made.figures if one.name == "accuracy")
    right = [np.asarray(side["right"], bool)[test].mean() for side in (one, two)]
    assert (figure.a, figure.b) == pytest.approx(right)
    assert figure.change is not None
    assert figure.change.low <= figure.b - figure.a <= figure.change.high


def test_a_checkpoint_beside_itself_differs_in_nothing(home, data, made):
    one = side_of(found(home, "one"), data)
    same = joined(one, one, "streams")
    assert same.nothing
    assert {figure.verdict for figure in same.figures} == {"same"}
    assert all(one.disparity < 1e-6 for one in same.movement)


def test_a_set_too_small_for_an_interval_shows_figures_without(home, data, made):
    one, two = (side_of(found(home, name), data) for name in ("one", "two"))
    few = one.frame.index[one.frame["split"] == "test"][: FEW - 1]
    small = joined(*(replace(side, frame=side.frame.loc[few], spaces=()) for side in (one, two)), "streams")
    assert small.few
    assert all(figure.change is None and np.isfinite([figure.a, figure.b]).all() for figure in small.figures)


def test_what_is_kept_comes_back_the_same(home, data, made):
    again = versus.stored(found(home, "one"), found(home, "two"), data)
    assert again is not None
    assert again.figures == made.figures
    assert again.frame.equals(made.frame)
    assert [one.disparity for one in again.movement] == [one.disparity for one in made.movement]


def test_comparing_takes_little_more_than_both_runs(home, data, made, tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    one, two = (found(home, name) for name in ("one", "two"))
    started = time.perf_counter()
    for side in (one, two):
        whole(Reader.open(side, data))
    runs_alone = time.perf_counter() - started
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "again"))
    started = time.perf_counter()
    versus.compared(one, two, data)
    assert time.perf_counter() - started < 1.5 * runs_alone + 1.0  # a second for files and a busy machine


def test_other_tasks_classes_and_encoders_are_refused_with_what_would_do(home):
    one, two, score = (found(home, name) for name in ("one", "two", "score"))
    with pytest.raises(FusionError, match=r"different tasks.*These would do: two"):
        versus.check(one, score, [one, two, score])
    other = replace(two, encoders={**two.encoders, "text": "another"})
    one = replace(one, encoders={**one.encoders, "text": "minilm"})
    with pytest.raises(FusionError, match=r'reads text by the encoder "minilm" and "two" by "another"'):
        versus.check(one, other)
    with pytest.raises(FusionError, match="different classes"):
        versus.check(one, replace(two, config={**two.config, "classes": ["x", "y"]}))


def test_one_sample_tells_both_answers_and_names_what_is_in_one_alone(home, data, made):
    id = str(made.frame["id"].iloc[0])
    sample = versus.compare_sample(found(home, "one"), found(home, "two"), data, id)
    row = made.frame.iloc[0]
    assert sample.said == (row["said_a"], row["said_b"])
    own = [Reader.open(found(home, name), data).inspect(id) for name in ("one", "two")]
    chances = {one.of[1]: (one.a, one.b) for one in sample.numbers if one.of[0] == "chance"}
    assert chances == {name: tuple(one.answer.chances[name] for one in own) for name in own[0].classes}
    told = {one.name for one in (*sample.signals, *sample.apart)}
    assert told == {signal.name for one in own for signal in one.trace}
    with pytest.raises(FusionError):
        versus.compare_sample(found(home, "one"), found(home, "two"), data, "nobody")


def test_a_switch_keeps_the_weights_and_is_other_content():
    tate = next(one for one in checkpoints.listed() if one.name == "tate-groups")
    words = {one.word for one in versus.switches(tate)}
    assert {"padding=attended", "masked_readout=false"} <= words
    other = versus.switched(tate, "padding=attended")
    assert other.digest != tate.digest
    assert checkpoints.load(other).config.padding == "attended"
    first, second = (checkpoints.load(one).state_dict() for one in (tate, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(FusionError, match="It has tag=constant"):
        versus.switched(tate, "width=3")


def test_a_switch_that_changes_shapes_is_not_offered():
    hscl = next(one for one in checkpoints.listed() if one.name == "hscl-emotions")
    assert not [one for one in versus.switches(hscl) if one.name == "cls_token"]  # it would lack a tensor


def signals(scale: float, heads: int = 2) -> Trace:
    mask = torch.tensor([[True, True, False]])
    weights = torch.softmax(torch.arange(9.0).reshape(1, 1, 3, 3).repeat(1, heads, 1, 1) * scale, -1)
    return Trace((
        Attention(name="attention", value=weights, unit="weight", layer=0, layers=1, queries="text", keys="image",
                  query_mask=mask, key_mask=mask),
        Gate(name="gate", value=torch.full((1, 3), 0.1 * scale), unit="weight", modality="image", steps="text",
             mask=mask),
        ModalityWeights(name="weights", value=torch.tensor([[scale, 1 - scale]]), unit="weight",
                        modalities=("text", "image")),
        Embedding(name="vector", value=torch.ones(1, 4) * scale, unit="none", modality="fused"),
    ))  # fmt: skip


def test_signals_are_subtracted_cell_by_cell_and_padding_is_nothing():
    compared, apart = differences(signals(0.2), signals(0.9))
    by_name = {one.name: one for one in compared}
    weights = by_name["weights"]
    assert weights.change.tolist() == pytest.approx([0.7, -0.7])
    assert weights.place() in (("text",), ("image",))
    gate = by_name["gate"]
    assert np.isnan(gate.change[2])
    assert gate.change[:2].tolist() == pytest.approx([0.07, 0.07])
    attention = by_name["attention"].change
    assert np.isnan(attention[:, 2]).all()
    assert np.isnan(attention[:, :, 2]).all()
    assert [(one.name, one.why) for one in apart] == [("vector", "space")]
    assert "vector" in {one.name for one in differences(signals(0.2), signals(0.9), same_weights=True)[0]}


def test_another_shape_or_a_signal_of_one_alone_is_named():
    first, second = signals(0.2), signals(0.9, heads=3)
    second = Trace(tuple(one for one in second if one.name != "gate"), second.steps)
    _, apart = differences(first, second)
    assert {(one.name, one.why) for one in apart} == {("attention", "shape"), ("gate", "a"), ("vector", "space")}
    assert next(one.told for one in apart if one.why == "shape") == ("2 × 3 × 3", "3 × 3 × 3")


def test_a_turned_mirrored_and_scaled_space_has_not_moved():
    random = np.random.default_rng(0)
    x = random.standard_normal((50, 6))
    turn = np.linalg.qr(random.standard_normal((6, 6)))[0]
    ids, groups = np.array([str(i) for i in range(50)]), np.array([""] * 50)
    same = moved("fused", ids, groups, x, 3.0 * x @ turn + 5)
    assert same is not None
    assert same.disparity < 1e-9
    assert same.far.max() < 1e-6
    y = x @ turn
    y[7] += 4.0
    other = moved("fused", ids, groups, x, y)
    assert other is not None
    assert int(other.far.argmax()) == 7
    wide = fitted(x, np.pad(y, ((0, 0), (0, 3))))
    assert wide[0].shape == wide[1].shape == (50, 9)


def test_the_truth_of_a_tagged_sentence_is_said() -> None:
    found, dataset = checkpoints.find("maf-gloss"), open_data("gloss")
    tagged = next(sample for sample in dataset.samples if gold_of(sample))
    seen = Pipeline.open(found).inspect(tagged)
    assert truth(seen) == gold_of(tagged) != ""
