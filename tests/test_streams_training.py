"""Systems of streams from a data set to a checkpoint: what is hidden, what is learned, what the figures mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import checkpoints, missing
from fusion.data.dataset import DataSet
from fusion.data.streams import StreamSet
from fusion.metrics.scores import confusion, of_classes, of_scores
from fusion.models import MODELS
from fusion.streams import baselines, evaluation, runs
from fusion.streams.inputs import Scale, Streams, read
from fusion.streams.training import StreamRecipe, fit
from fusion.types import Batch, FusionError, Modality, Sample
from tests.stream_toys import STREAMS
from tests.stream_toys import batch as toy_batch

SIZES = {m: (steps, width) for m, (steps, width) in STREAMS.items()}


class Sizes:
    """What tests.stream_toys reads of a config."""

    modalities = tuple(STREAMS)
    widths = tuple(width for _, width in STREAMS.values())
    steps = tuple(steps for steps, _ in STREAMS.values())
    classes: tuple[str, ...] = ()


def planted(count: int = 240, classes: tuple[str, ...] = ("low", "high"), seed: int = 0) -> DataSet:
    """The sound says the class loudly, the text softly, the pictures are noise; raw scales differ by thousands."""
    random = np.random.default_rng(seed)
    answer = random.integers(0, 2, count)
    signed = 2.0 * answer - 1
    features, length = {}, {}
    for m, (steps, width) in SIZES.items():
        length[m] = random.integers(2, steps + 1, count)
        value = random.normal(size=(count, steps, width))
        value[..., 0] += {"audio": 2.0, "text": 0.5, "vision": 0.0}[m] * signed[:, None]
        value *= {"audio": 1000.0, "text": 1.0, "vision": 0.01}[m]
        features[m] = (value * (np.arange(steps) < length[m][:, None])[..., None]).astype(np.float32)
    split = np.repeat(np.array([0, 1, 2], np.uint8), [count - count // 2, count // 4, count // 4])
    target = answer.astype(np.int64) if classes else (signed * 2).astype(np.float32)
    found = StreamSet(
        "Planted", tuple(Modality(m, m if m != "vision" else "image", w, t, "step") for m, (t, w) in SIZES.items()),
        features, length, np.ones((count, 3), bool), target, split, classes=classes, scale=(-3.0, 3.0),
    )  # fmt: skip
    names = np.array(["train", "valid", "test"])[split]
    samples = tuple(Sample(f"s{i}", {}, str(name)) for i, name in enumerate(names))
    return DataSet("planted", "Planted", samples, word="synthetic", digest="d", streams=found)


def streams(**how: object) -> Streams:
    return read(planted(**how)).scaled()  # type: ignore[arg-type]  # what planted takes


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# What is hidden


def test_a_rate_of_steps_hides_that_share_and_keeps_the_ends_of_a_text() -> None:
    torch.manual_seed(0)
    made = toy_batch(Sizes, 400).whole
    assert made is not None
    hidden = missing.hide(made, missing.STEPS, 0.4, generator())
    sound = hidden.kept["audio"].sum() / made.mask["audio"].sum()
    assert 0.55 < float(sound) < 0.65
    last = made.mask["text"].sum(1) - 1
    assert hidden.kept["text"][:, 0].all()
    assert hidden.kept["text"][torch.arange(400), last].all()
    assert not (hidden.kept["audio"] & ~made.mask["audio"]).any()
    assert hidden.whole is made


@pytest.mark.parametrize("what", [missing.STEPS, missing.MODALITIES, "audio"])
def test_what_is_hidden_at_a_low_rate_is_hidden_at_a_higher_one(what: str) -> None:
    torch.manual_seed(0)
    made = toy_batch(Sizes, 50).whole
    assert made is not None
    low, high = (missing.hide(made, what, rate, generator(4)) for rate in (0.3, 0.7))
    assert not (high.present & ~low.present).any()
    assert all(not (high.kept[m] & ~low.kept[m]).any() for m in made.modalities)
    nothing = missing.hide(made, what, 0.0, generator(4))
    assert torch.equal(nothing.present, made.present)
    assert all(torch.equal(nothing.kept[m], made.kept[m]) for m in made.modalities)


@pytest.mark.parametrize("what", [missing.STEPS, missing.MODALITIES, "text", "audio", "vision"])
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_no_sample_is_left_with_nothing(what: str, rate: float) -> None:
    torch.manual_seed(0)
    made = missing.hide(toy_batch(Sizes, 60), what, rate, generator())
    seen = torch.stack([made.kept[m].any(1) for m in made.modalities], 1) & made.present
    assert seen.any(1).all()


def test_at_a_rate_of_one_a_modality_is_gone_and_of_all_one_is_left() -> None:
    torch.manual_seed(0)
    made = toy_batch(Sizes, 60).whole
    assert made is not None
    assert not missing.hide(made, "audio", 1.0, generator()).has("audio").any()
    left = missing.hide(made, missing.MODALITIES, 1.0, generator()).present
    assert (left.sum(1) == 1).all()
    assert (left.float().mean(0) > 0.15).all()  # drawn evenly


def test_a_rate_beyond_one_or_of_something_else_is_refused() -> None:
    made = toy_batch(Sizes, 4)
    with pytest.raises(FusionError, match="from 0"):
        missing.hide(made, missing.STEPS, 1.5, generator())
    with pytest.raises(FusionError, match="give one of them"):
        missing.hide(made, "smell", 0.5, generator())


def test_damage_touches_one_modality_and_leaves_it_present() -> None:
    torch.manual_seed(0)
    made = toy_batch(Sizes, 6).whole
    assert made is not None
    zero = missing.damage(made, "audio", "zero")
    assert not zero.features["audio"].any()
    assert zero.features["text"] is made.features["text"]
    mean = missing.damage(made, "audio", "mean", mean=torch.tensor([1.0, 2.0, 3.0]))
    assert (mean.features["audio"][made.mask["audio"]] == torch.tensor([1.0, 2.0, 3.0])).all()
    rolled = missing.damage(made, "audio", "shuffle")
    assert torch.equal(rolled.features["audio"], made.features["audio"].roll(1, 0))
    assert torch.equal(rolled.mask["audio"], made.mask["audio"].roll(1, 0))
    dropped = missing.damage(made, "audio", "drop", rate=0.5, seed=1)
    assert (dropped.kept["audio"] <= made.mask["audio"]).all()
    assert dropped.kept["audio"].sum() < made.mask["audio"].sum()
    assert all(one.present.all() for one in (zero, mean, rolled, dropped))


# What is read


def test_features_come_in_standard_deviations_of_the_training_steps() -> None:
    made = streams()
    batch = made.batch(made.rows("train"))
    for m in made.names:
        real = batch.features[m][batch.mask[m]]
        torch.testing.assert_close(real.mean(0), torch.zeros(real.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(real.std(0, correction=0), torch.ones(real.shape[1]), atol=0.02, rtol=0)  # the cut
        assert not batch.features[m][~batch.mask[m]].any()


def test_wide_features_are_brought_down_to_their_first_principal_components() -> None:
    random = np.random.default_rng(0)
    hidden = random.normal(size=(300, 4, 3))
    wide = (hidden @ random.normal(size=(3, 200)) + 0.01 * random.normal(size=(300, 4, 200))).astype(np.float32)
    found = StreamSet(
        "Wide", (Modality("vision", "image", 200, 4, "frame"), Modality("text", "text", 200, 4, "token")),
        {"vision": wide, "text": wide}, {m: np.full(300, 4) for m in ("vision", "text")}, np.ones((300, 2), bool),
        np.zeros(300, np.float32), np.zeros(300, np.uint8),
    )  # fmt: skip
    samples = tuple(Sample(str(i), {}, "train") for i in range(300))
    made = read(DataSet("wide", "Wide", samples, streams=found)).scaled()
    assert made.widths == (64, 200)  # texts stay as their encoder made them
    batch = made.batch(torch.arange(300))
    assert batch.features["vision"].shape == (300, 4, 64)
    share = batch.features["vision"].square().sum((0, 1))
    assert share[:3].sum() / share.sum() > 0.98
    assert made.scale is not None
    again = Scale.of(made.scale.tensors())
    assert torch.equal(again.apply("vision", torch.ones(200)), made.scale.apply("vision", torch.ones(200)))


def test_a_batch_is_cut_to_its_longest_sample() -> None:
    made = streams()
    shortest = torch.from_numpy(np.argsort(made.length["audio"])[:5].copy())
    assert made.batch(shortest).features["audio"].shape[1] == made.length["audio"][shortest.numpy()].max()


def test_some_modalities_alone_keep_their_rows() -> None:
    made = streams().of(("vision", "text"))
    assert made.names == ("vision", "text")
    assert list(made.batch(torch.tensor([3])).features) == ["vision", "text"]
    with pytest.raises(FusionError, match="holds no sequences"):
        read(DataSet("a", "Pairs", ()))


# What is learned and measured


def late(found: Streams, **switches: object) -> torch.nn.Module:
    torch.manual_seed(1)
    kind = MODELS["late"].Config
    return MODELS["late"](
        kind(modalities=found.names, widths=found.widths, steps=tuple(found.steps.values()), classes=found.classes,
             width=16, **switches)
    )  # fmt: skip


@pytest.mark.parametrize("classes", [("low", "high"), ()])
def test_it_learns_what_was_planted_and_knows_who_says_it(classes: tuple[str, ...]) -> None:
    found = streams(classes=classes)
    model = late(found)
    recipe = StreamRecipe(epochs=8, rate=1e-2, batch=24)
    epochs = list(fit(model, found, recipe))  # type: ignore[arg-type]  # a fusion model
    assert epochs[-1].number <= 8
    assert any(epoch.best for epoch in epochs)
    span = (-3.0, 3.0)
    told = evaluation.figures(model, found, "test", span, seeds=(0, 1))  # type: ignore[arg-type]
    sign = 1 if classes else -1
    nothing, everything = (sign * told["subsets"][k][told["main"]] for k in ("without_all", "as_is"))
    loud, noise = (sign * told["subsets"][f"only_{m}"][told["main"]] for m in ("audio", "vision"))
    assert everything > nothing + 0.3
    assert loud > noise + 0.3
    assert abs(noise - nothing) < 0.3
    curves = {one["what"]: one for one in told["curves"]}
    assert curves["audio"]["mean"][0] == pytest.approx(everything, abs=1e-3)
    assert curves["audio"]["mean"][-1] < everything - 0.2
    assert curves["vision"]["mean"][-1] > everything - 0.1
    assert curves["audio"]["area"] < curves["vision"]["area"]


def test_the_area_of_a_level_curve_is_its_height() -> None:
    flat = evaluation.Curve("steps", (0.0, 0.5, 1.0), np.array([[0.4, 0.4, 0.4], [1.0, 0.5, 0.0]]))
    assert flat.area.tolist() == pytest.approx([0.4, 0.5])


def test_ridge_maps_find_the_planted_modality_and_nothing_in_noise() -> None:
    found = streams()
    said = baselines.all_ridges(found)
    true = found.target[found.rows("test")].numpy()
    right = {name: float((one.argmax(1) == true).mean()) for name, one in said.items()}
    assert right["audio"] > 0.95
    assert right["vision"] < 0.7
    assert right["text+audio+vision"] > 0.95
    assert set(said) == {"nothing", "text", "audio", "vision", "text+audio+vision"}


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    found = streams()
    recipe = StreamRecipe(epochs=4, batch=24)
    whole = list(fit(late(found, dropout=0.2), found, recipe))  # type: ignore[arg-type]
    first = fit(late(found, dropout=0.2), found, recipe, folder=tmp_path)  # type: ignore[arg-type]
    assert [next(first).number for _ in range(2)] == [1, 2]
    del first
    model = late(found, dropout=0.2)
    rest = list(fit(model, found, recipe, folder=tmp_path))  # type: ignore[arg-type]
    assert [epoch.number for epoch in rest] == [2, 3, 4]
    assert rest[-1].losses == whole[-1].losses
    assert all(torch.equal(value, rest[-1].state[name]) for name, value in whole[-1].state.items())


def test_a_checkpoint_carries_its_scale_and_says_what_it_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    for module in (runs,):
        monkeypatch.setattr(module, "open_data", lambda spec: planted())
    made = runs.train(
        "late", "planted", seeds=2, say=lambda _: None, settings={"width": "16", "epochs": "5", "rate": "0.01"}
    )
    found = made.metrics
    assert [one["seed"] for one in found["seeds"]] == [37, 38]
    assert {"nothing", "audio"} <= set(found["baselines"])
    assert found["margin"]["nothing"]["low"] > 0
    assert found["test"]["accuracy"] == pytest.approx(runs.evaluate(made, None, "test")["accuracy"])
    text = (made.folder / "card.md").read_text("utf-8")
    assert "95 % bootstrap" in text
    assert "ridge on audio" in text
    task = runs.task_of(made)
    assert task.streams.scale is not None
    assert task.streams.widths == tuple(made.config["widths"])
    again = runs.train(
        "late",
        "planted",
        seeds=2,
        resume=True,
        say=lambda _: None,
        settings={"width": "16", "epochs": "5", "rate": "0.01"},
    )
    assert again.metrics["seeds"] == found["seeds"]


def test_another_set_of_features_is_refused_with_both_widths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    monkeypatch.setattr(runs, "open_data", lambda spec: planted())
    made = runs.train("late", "planted", say=lambda _: None, settings={"width": "16", "epochs": "1"})
    other = planted(classes=())
    monkeypatch.setattr(runs, "open_data", lambda spec: other)
    with pytest.raises(FusionError, match="has scores; choose another"):
        runs.task_of(made)
    with pytest.raises(FusionError, match="name each once"):
        runs.train("late", "planted", say=lambda _: None, settings={"modalities": "text,smell"})
    assert checkpoints.read(made.folder).metrics["seed"] == 37


# Figures


def test_scores_are_judged_in_both_ways_that_papers_call_acc2() -> None:
    true = np.array([-2.0, -0.4, 0.0, 0.6, 3.0])
    said = np.array([-1.0, 0.2, -0.1, 0.5, 2.4])
    found = of_scores(said, true, (-3.0, 3.0))
    assert found["mae"] == pytest.approx(np.mean([1.0, 0.6, 0.1, 0.1, 0.6]))
    assert found["sign"] == pytest.approx(3 / 5)  # -0.4 and 0 on the wrong side
    assert found["sign_nonzero"] == pytest.approx(3 / 4)  # 0 left out
    assert found["acc7"] == pytest.approx(2 / 5)  # -0.1 and 0.5 round to 0, as 0 and... 0.6 to 1
    assert found["r"] == pytest.approx(np.corrcoef(said, true)[0, 1])
    assert set(of_scores(said, true, (0.0, 1.0))) == {"mae", "r"}
    assert of_scores(np.ones(5), true, (-3.0, 3.0))["r"] == 0


def test_classes_are_judged_by_all_that_occur() -> None:
    true, said = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 0])
    assert confusion(said, true, 4).tolist() == [[2, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    found = of_classes(said, true, 4)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert found["majority"] == pytest.approx(3 / 5)


def test_an_answer_does_not_depend_on_how_many_are_asked_at_once() -> None:
    found = streams()
    model = late(found).eval()
    rows = found.rows("test")
    one, many = (evaluation.answers(model, found, rows, size=size) for size in (1, 64))  # type: ignore[arg-type]
    np.testing.assert_allclose(one, many, atol=1e-6)


def test_weights_are_followed_as_a_modality_vanishes() -> None:
    found = streams()
    model = late(found, combine="weighted").eval()
    told = evaluation.weights_by_rate(model, found, found.rows("test"), "audio", rates=(0.0, 1.0))  # type: ignore[arg-type]
    weights = next(iter(told.values()))
    np.testing.assert_allclose(np.sum([*weights.values()], 0), 1, atol=1e-6)
    assert weights["audio"][1] == 0
    assert weights["audio"][0] > 0.1


def test_toy_batches_are_batches() -> None:
    assert isinstance(toy_batch(Sizes, 3), Batch)
