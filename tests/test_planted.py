"""Planted sequences hold what their plan says, where it says so, and fusion finds it where it can and nowhere else."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion.data import mmsa, mmsa_import, open_data, planted
from fusion.data.planted import PLANS, SIZES, Plan, Planted, as_mmsa, named, plant
from fusion.models import MODELS
from fusion.models.base import FusionModel
from fusion.streams.evaluation import answers
from fusion.streams.inputs import Streams, read
from fusion.types import FusionError, Numbers

every_plan = pytest.mark.parametrize("name", list(PLANS))
SMALL = {"text": (4, 6), "audio": (5, 4), "vision": (3, 5)}


def correlation(found: Planted, modality: str, target: np.ndarray) -> float:
    """Of a target with what a reader of the true direction finds in the mean of one modality."""
    streams = found.streams
    mean = streams.features[modality].sum(1) / streams.length[modality][:, None]
    return float(np.corrcoef(mean @ found.direction[modality], target)[0, 1])


@every_plan
def test_the_same_plan_gives_the_same_numbers_and_another_seed_others(name: str) -> None:
    plan = replace(PLANS[name], samples=60)
    one, again, other = plant(plan), plant(plan), plant(replace(plan, seed=1))
    for m in SIZES:
        assert np.array_equal(one.streams.features[m], again.streams.features[m])
        assert not np.array_equal(one.streams.features[m], other.streams.features[m])
    assert np.array_equal(one.streams.target, again.streams.target)
    assert not np.array_equal(one.streams.target, other.streams.target)


@every_plan
def test_the_answer_stands_in_the_carriers_and_nowhere_else(name: str) -> None:
    found = named(name)
    plan, streams = found.plan, found.streams
    assert np.abs(streams.target).max() <= 3
    for m in SIZES:
        real = streams.mask(m, np.arange(len(streams)))
        table, where = streams.features[m][:, : real.shape[1]], found.where[m][:, : real.shape[1]]
        assert not table[~real].any()
        assert not (where & ~real).any()
        along = table @ found.direction[m]
        if m not in plan.carriers:
            assert not where.any()
            assert abs(correlation(found, m, streams.target)) < 0.1
            continue
        assert (where.sum(1) == (np.minimum(plan.few, real.sum(1)) if plan.few else real.sum(1))).all()
        wanted = np.broadcast_to(found.hidden[m][:, None], where.shape)[where]
        slope, offset = np.polyfit(wanted, along[where], 1)
        assert slope == pytest.approx(plan.strength, abs=0.12)
        assert offset == pytest.approx(0, abs=0.06)
        assert along[where].std() == pytest.approx(np.hypot(1, plan.strength * wanted.std()), rel=0.05)
        assert abs(along[real & ~where].mean()) < 0.06 if (real & ~where).any() else plan.few == 0


def test_neither_of_two_says_anything_alone_but_both_do() -> None:
    found = named("xor")
    target = found.streams.target
    assert abs(correlation(found, "text", target)) < 0.1
    assert abs(correlation(found, "audio", target)) < 0.1
    product = found.hidden["text"] * found.hidden["audio"]
    assert np.array_equal(2 * product, target)
    assert 0.4 < float((target > 0).mean()) < 0.6


def test_of_a_redundant_answer_any_modality_says_all_and_of_one_that_one() -> None:
    redundant, one = named("redundant"), named("one")
    assert all(correlation(redundant, m, redundant.streams.target) > 0.6 for m in SIZES)
    assert correlation(one, "audio", one.streams.target) > 0.6
    additive = named("additive")
    said = [correlation(additive, m, additive.streams.target) for m in SIZES]
    assert all(0.25 < r < 0.6 for r in said)


@every_plan
def test_a_reader_who_knows_the_plan_is_better_than_chance(name: str) -> None:
    found = named(name)
    target = found.streams.target
    chance = float(np.abs(target - np.median(target)).mean())
    assert float(np.abs(found.oracle() - target).mean()) < 0.6 * chance


@every_plan
def test_classes_are_the_sign_of_the_score(name: str) -> None:
    score, classes = named(name).streams, named(f"{name}-classes").streams
    assert classes.classes == planted.CLASSES
    assert np.array_equal(classes.target, (score.target >= 0).astype(np.int64))
    assert np.array_equal(classes.features["text"], score.features["text"])


def test_a_planted_set_opens_by_its_name() -> None:
    dataset = open_data("planted:xor")
    assert dataset.kind == "streams"
    assert dataset.spec == "planted:xor"
    assert dataset.digest == open_data("planted:xor").digest != open_data("planted:one").digest
    part = dataset.samples[3].parts["audio"]
    assert isinstance(part, Numbers)
    assert dataset.streams is not None
    assert np.array_equal(part.values, dataset.streams.steps("audio", 3))
    assert {sample.split for sample in dataset.samples} == {"train", "valid", "test"}
    streams = read(dataset)
    assert streams.widths == (12, 5, 7)
    with pytest.raises(FusionError, match="there are additive, xor"):
        open_data("planted:rain")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"carriers": ("text",)}, "xor has 2 to 2 carriers, not 1"),
        ({"kind": "one"}, "one has 1 to 1 carriers"),
        ({"carriers": ("text", "smell")}, "different names of text, audio, vision"),
        ({"carriers": ("text", "text")}, "different names"),
        ({"strength": 0.0}, "strength above 0"),
        ({"samples": 5}, "20 samples"),
    ],
)
def test_a_plan_that_can_not_be_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        Plan(**wrong)


def test_a_planted_feature_file_is_imported_as_it_was_planted(tmp_path: Path) -> None:
    found = plant(Plan("additive", ("text", "audio", "vision"), samples=80))
    file = tmp_path / "planted.pkl"
    file.write_bytes(pickle.dumps(as_mmsa(found), protocol=4))
    mmsa_import.import_file(file, tmp_path / "copy", (-3.0, 3.0))
    streams = mmsa.read(tmp_path / "copy").streams
    assert streams is not None
    assert len(streams) == 80
    np.testing.assert_allclose(streams.target, found.streams.target, rtol=1e-6)
    assert np.array_equal(streams.split, found.streams.split)
    for m in SIZES:
        assert np.array_equal(streams.length[m], found.streams.length[m])
        longest = streams.longest(m)
        np.testing.assert_allclose(streams.features[m][:, :longest], found.streams.features[m][:, :longest])


# What fusion makes of it. A network of seconds: what can be solved is, what can't stays at chance.


@cache
def sets(kind: str, classes: bool) -> Streams:
    """An easy set of a few hundred samples: every step says it clearly."""
    carriers = {"xor": ("text", "audio"), "one": ("audio",)}.get(kind, tuple(SMALL))
    found = plant(Plan(kind, carriers, 2.0, classes=classes, samples=900, sizes=SMALL))  # type: ignore[arg-type]
    samples = tuple(map(str, range(900)))
    streams, one = found.streams, torch.from_numpy(found.streams.target)
    return Streams(
        "planted", samples, streams.modalities, streams.features, streams.length, streams.present, one, streams.split,
        streams.classes,
    ).scaled()  # fmt: skip


def learned(key: str, streams: Streams, steps: int = 100, **switches: Any) -> FusionModel:
    """A small model of a strategy after some steps of training."""
    torch.manual_seed(0)
    sizes = {"width": 16, "dropout": 0.0}
    config = MODELS[key].Config(
        modalities=streams.names, widths=streams.widths, steps=tuple(streams.steps[m] for m in streams.names),
        classes=streams.classes, **(sizes | switches),
    )  # fmt: skip
    model = MODELS[key](config).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    batch = streams.batch(streams.rows("train"))
    for step in range(steps):
        some = batch.rows(torch.randint(len(batch), (128,)))
        loss = torch.stack(list(model.loss(model(some, trace=False), some, step).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def accuracy(model: FusionModel, streams: Streams, without: str = "") -> float:
    """Share of the samples to test that are answered rightly, with one modality removed where asked for."""
    rows = streams.rows("test")
    change = lambda batch: batch.without(without) if without else batch  # noqa: E731
    return float((answers(model, streams, rows, change).argmax(1) == streams.target[rows].numpy()).mean())


SOLVE = {
    "early": ("early", {}), "hierarchical": ("hierarchical", {}), "tree": ("hierarchical", {"order": "tree"}),
    "hybrid": ("hybrid", {}), "gmu": ("feature", {}), "concat": ("feature", {"operator": "concat"}),
    "tensor": ("feature", {"operator": "tensor", "width": 6}), "low_rank": ("feature", {"operator": "low_rank"}),
    "multiplicative": ("feature", {"operator": "multiplicative"}),
    "cross_attention": ("feature", {"operator": "cross_attention"}), "joint": ("feature", {"operator": "joint"}),
}  # fmt: skip
# Who adds up what each modality says, and the least error in parts of chance; a softmax gate can be right in three of
# the four cases, because it divides the sum by a number of its own, and at best answers 0 in the fourth.
CANNOT = {
    "late": ("late", {}, 1.0), "weighted": ("late", {"combine": "weighted"}, 1.0),
    "softmax": ("feature", {"operator": "softmax"}, 0.25),
    "self_attention": ("feature", {"operator": "self_attention"}, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SOLVE))
def test_an_answer_in_two_modalities_at_once_is_found(name: str) -> None:
    key, switches = SOLVE[name]
    streams = sets("xor", True)
    model = learned(key, streams, **switches)
    assert accuracy(model, streams) > 0.85
    for carrier in ("text", "audio"):
        assert abs(accuracy(model, streams, carrier) - 0.5) < 0.12, f"without {carrier} nothing can be known"
    assert accuracy(model, streams, "vision") > 0.8 or name in ("gmu", "joint"), "noise is no loss"


@pytest.mark.parametrize("name", list(CANNOT))
def test_voices_that_are_heard_one_by_one_can_not_find_it(name: str) -> None:
    key, switches, least = CANNOT[name]
    streams = sets("xor", False)
    rows = streams.rows("test")
    true = streams.target[rows].numpy()
    error = float(np.abs(answers(learned(key, streams, **switches), streams, rows) - true).mean())
    assert error > 0.9 * least * float(np.abs(true).mean())


@pytest.mark.parametrize("key", ["early", "late", "hierarchical", "hybrid", "feature"])
def test_all_beat_the_best_modality_where_each_holds_a_part(key: str) -> None:
    streams = sets("additive", False)
    rows = streams.rows("test")
    true = streams.target[rows].numpy()
    error = lambda model, given: float(np.abs(answers(model, given, rows) - true).mean())  # noqa: E731
    alone = [error(learned("early", part), part) for part in (streams.of([m]).scaled() for m in streams.names)]
    assert error(learned(key, streams), streams) < 0.75 * min(alone)


@pytest.mark.parametrize("key", ["early", "late", "hierarchical", "hybrid", "feature"])
def test_without_the_one_that_knows_nothing_is_known(key: str) -> None:
    streams = sets("one", True)
    model = learned(key, streams)
    assert accuracy(model, streams) > 0.75  # many lie near the border of the two classes
    assert abs(accuracy(model, streams, "audio") - 0.5) < 0.12
