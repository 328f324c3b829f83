"""A checkpoint of streams at work: one sample, edits of it, parts that a person brings, and a whole data set."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import checkpoints
from fusion.data.dataset import DataSet
from fusion.explain.ablation import shapley
from fusion.explain.edits import Edit
from fusion.signals import Effects
from fusion.streams import runs, whole
from fusion.streams.inspection import Reader, badge, part_of, split_opinion
from fusion.streams.observed import Answer
from fusion.types import FusionError, Numbers, Sample
from tests.test_streams_training import planted

SETTINGS = {"width": "16", "epochs": "5", "rate": "0.01"}


@pytest.fixture(scope="module", params=["classes", "score"])
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    data = planted(classes=("low", "high") if request.param == "classes" else ())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(runs, "open_data", lambda spec: data)
        made = runs.train("late", "planted", say=lambda _: None, settings=dict(SETTINGS))
    return Reader.open(made, data)  # patched no longer: a module-wide patch would reach the tests without this fixture


def ids(reader: Reader) -> list[str]:
    return [reader.streams.ids[row] for row in reader.streams.rows("test").tolist()]


def test_an_inspection_answers_as_the_whole_set_does(reader: Reader) -> None:
    found = whole.whole(reader).frame.set_index("id")
    for id in ids(reader)[:6]:
        seen = reader.inspect(id)
        row = found.loc[id]
        assert seen.answer.strength == pytest.approx(row["answer"], abs=1e-4)
        assert {m: seen.shapley[m] for m in reader.names} == pytest.approx(
            {m: row[f"shapley_{m}"] for m in reader.names}, abs=1e-4
        )
        assert seen.badge == row["badge"]
        assert seen.split_opinion == row["opposed"]
        assert seen.truth == row["target"]
        for m in reader.names:
            own = seen.alone[m].said if seen.classes else seen.alone[m].score
            assert own == (row[f"alone_{m}"] if seen.classes else pytest.approx(row[f"alone_{m}"], abs=1e-4))


def test_shapley_values_add_up_to_the_answer_less_the_answer_from_nothing(reader: Reader) -> None:
    for id in ids(reader)[:5]:
        seen = reader.inspect(id)
        table = dict(zip(seen.effects.conditions, seen.effects.value[0, :, 0].tolist(), strict=True))
        assert sum(seen.shapley.values()) == pytest.approx(table["as_is"] - table["without_all"], abs=1e-5)
        assert table["as_is"] == pytest.approx(seen.answer.strength, abs=1e-5)
        assert len(table) == 2 ** len(reader.names)
        assert seen.drop.conditions == ("as_is", *(f"without_{m}" for m in reader.names))
        assert isinstance(seen.trace["drop"], Effects)


def test_the_sound_is_worth_most_where_it_was_planted(reader: Reader) -> None:
    worth = np.mean([[abs(reader.inspect(id).shapley[m]) for m in reader.names] for id in ids(reader)[:20]], 0)
    assert reader.names[int(worth.argmax())] == "audio"


def test_removing_a_modality_is_the_condition_of_the_drop_test(reader: Reader) -> None:
    id = ids(reader)[0]
    plain, gone = reader.inspect(id), reader.inspect(id, [Edit("audio", "remove")])
    at = plain.drop.conditions.index("without_audio")
    if plain.classes:
        assert gone.answer.chances[plain.answer.said] == pytest.approx(float(plain.drop.value[0, at, 0]), abs=1e-5)
    else:
        assert gone.answer.score == pytest.approx(float(plain.drop.value[0, at, 0]), abs=1e-5)
    assert gone.before == plain.answer
    assert gone.present == {"text": True, "audio": False, "vision": True}
    assert set(gone.alone) == {"text", "vision"}
    assert gone.trace_before is not None
    assert plain.trace_before is None


@pytest.mark.parametrize("how", ["zero", "mean", "shuffle", "drop"])
def test_an_edit_changes_what_it_names_and_is_the_same_each_time(reader: Reader, how: str) -> None:
    id = ids(reader)[1]
    edit = Edit("audio", how, rate=0.7, seed=3)  # type: ignore[arg-type]  # one of them
    first, again = reader.inspect(id, [edit]), reader.inspect(id, [edit])
    assert first.answer == again.answer
    assert first.before is not None
    assert first.answer.strength != first.before.strength
    assert all(first.present.values())


def test_nothing_left_or_nothing_there_is_said(reader: Reader) -> None:
    id = ids(reader)[0]
    with pytest.raises(FusionError, match="leave one modality in"):
        reader.inspect(id, [Edit(m, "remove") for m in reader.names])
    with pytest.raises(FusionError, match="Nothing to answer from"):
        reader.inspect(Sample("empty", {}))
    with pytest.raises(FusionError, match="edit one of them"):
        reader.inspect(id, [Edit("smell", "remove")])
    with pytest.raises(FusionError, match="has no sample"):
        reader.inspect("nobody")


def test_given_numbers_are_brought_to_the_scale_of_the_training_samples(reader: Reader) -> None:
    id = ids(reader)[0]
    row = reader.streams.ids.index(id)
    given = reader.dataset.streams
    assert given is not None
    parts = {m: Numbers(np.array(given.features[m][row, : int(given.length[m][row])])) for m in reader.names}
    own = reader.inspect(Sample("mine", parts))
    assert own.answer.strength == pytest.approx(reader.inspect(id).answer.strength, abs=1e-6)
    assert own.truth is None
    long = np.zeros((40, parts["audio"].values.shape[1]), np.float32)
    cut = reader.inspect(Sample("long", {"audio": Numbers(long)}))
    told = {notice.key: notice.values for notice in cut.notices}
    assert told["notice.cut"] == {"modality": "audio", "limit": reader.model.config.steps[1]}
    assert cut.badge == "alone"


def test_a_whole_set_is_kept_and_found_again(reader: Reader) -> None:
    first = whole.whole(reader)
    again = whole.stored(reader.checkpoint, reader.task.dataset)
    assert again is not None
    assert again.frame.equals(first.frame)
    assert again.followed == first.followed
    for name in first.levels:
        assert first.vectors(name).shape[0] == len(first.frame)
        np.testing.assert_array_equal(first.vectors(name), again.vectors(name))
    assert "fused" in first.levels.values()
    with pytest.raises(FusionError, match="no embedding"):
        first.vectors("smell")


def test_a_sample_without_a_modality_has_no_worth_for_it(reader: Reader) -> None:
    data = planted(classes=reader.model.classes)
    assert data.streams is not None
    data.streams.present[5, 1] = False
    data.streams.present[6, :2] = False
    data.streams.present[7] = False
    other = DataSet("lacking", "Lacking", data.samples, digest="other", streams=data.streams)
    found = whole.whole(Reader.open(reader.checkpoint, other)).frame.set_index("id")
    assert "s7" not in found.index
    assert found.loc["s5", "shapley_audio"] == 0
    assert found.loc["s6", "badge"] == "alone"
    assert found.loc["s6", "conflict"] == 0
    seen = Reader.open(reader.checkpoint, other).inspect("s5")
    assert set(seen.shapley) == {"text", "vision"}
    assert seen.shapley["text"] == pytest.approx(found.loc["s5", "shapley_text"], abs=1e-4)


def test_conflict_is_also_that_of_modalities_of_two_samples(reader: Reader) -> None:
    """Every sample lends its others once, none to itself; where modalities say scores, the distance is by hand."""
    found = whole.whole(reader)
    frame, (first, *rest) = found.frame, found.modalities
    other = np.arange(len(frame)) + frame["exchanged"].to_numpy()
    assert sorted(other) == list(range(len(frame)))
    assert (frame["exchanged"] != 0).all()
    assert frame["conflict_shuffled"].between(0, 1).all()
    if not found.classes:
        said = [frame[f"alone_{m}"].to_numpy()[np.arange(len(frame)) if m == first else other] for m in (first, *rest)]
        apart = (np.max(said, 0) - np.min(said, 0)) / (found.scale[1] - found.scale[0])
        np.testing.assert_allclose(frame["conflict_shuffled"], np.minimum(apart, 1), atol=1e-5)


def test_badges_of_one_and_of_many_are_the_same() -> None:
    random = np.random.default_rng(0)
    worth = random.normal(size=(200, 3)) * random.choice([0.01, 0.1, 1.0], size=(200, 3))
    present = random.random((200, 3)) > 0.3
    present[~present.any(1), 0] = True
    names = ("a", "b", "c")
    many = whole.badges(worth, present, 2.0)
    for row in range(200):
        own = {m: float(worth[row, i]) for i, m in enumerate(names) if present[row, i]}
        assert badge(own, 2.0) == many[row]
    assert set(many) == {"alone", "conflict", "dominance", "complement"}


def test_an_absent_player_changes_no_shapley_value() -> None:
    random = np.random.default_rng(1)
    table = {frozenset(s): float(random.normal()) for n in range(3) for s in itertools.combinations("ab", n)}
    wider = {one | extra: value for one, value in table.items() for extra in (frozenset(), frozenset("c"))}
    assert shapley(["a", "b", "c"], wider) == pytest.approx({**shapley(["a", "b"], table), "c": 0.0})


def test_opinions_are_split_where_classes_or_signs_differ() -> None:
    of = lambda said: Answer(said, None, {said: 1.0}, 1.0)  # noqa: E731
    score = lambda value: Answer("", value, {}, value)  # noqa: E731
    assert split_opinion({"a": of("x"), "b": of("y")}, (0, 1))
    assert not split_opinion({"a": of("x"), "b": of("x")}, (0, 1))
    assert split_opinion({"a": score(-1.0), "b": score(1.0)}, (-3, 3))
    assert not split_opinion({"a": score(-0.1), "b": score(1.0)}, (-3, 3))  # the one is nearly neutral


def test_a_score_is_said_by_the_nearest_part_of_the_scale() -> None:
    words = ("low", "middle", "high")
    assert [part_of(v, (-1, 1), words) for v in (-5, -0.6, -0.4, 0.4, 0.6)] == [
        "low",
        "low",
        "middle",
        "middle",
        "high",
    ]
    assert part_of(float("nan"), (-1, 1), words) == ""
    assert part_of(0.0, (-1, 1), ()) == ""


def test_weights_kept_in_half_precision_answer_alike(reader: Reader, tmp_path: Path) -> None:
    assert all(torch.isfinite(p).all() for p in checkpoints.load(reader.checkpoint).parameters())
    assert (reader.checkpoint.folder / runs.SCALE).exists()


@pytest.mark.parametrize("name", ["hscl-emotions", "tfr_net-emotions"])
def test_a_second_picture_is_read_whatever_its_modality_is_called(name: str) -> None:
    made = Reader.open(checkpoints.find(name))
    sample = next(one for one in made.dataset.samples if {"image", "image2"} <= set(one.parts))
    batch, notices = made.batch(sample)
    assert batch.present.all()
    assert not notices
    assert bool((batch.features["image2"] != 0).any())
