"""Trust in signals: planted gates are told apart, and a model is split into what adds up and what interacts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.planted import RECIPE, opened, trained
from fusion import checkpoints, trusting
from fusion.commands.trust import lines
from fusion.data import open_data
from fusion.explain import additive, tracking, trust
from fusion.explain.trust import Row, Source
from fusion.models.base import FusionModel
from fusion.signals import Attention, FusionOutput, Gate, Match, Trace
from fusion.types import Batch, FusionError, Modality, Task
from fusion.views import trusted
from tests import toys

STEPS, WIDTH = 5, 3


class Planted(FusionModel):
    """f = w_text . x_text + size_i . x_image; its gate is told as the effect of the image, as noise, or as 0.7."""

    task, classes = Task.REGRESSION, ()
    modalities = (Modality("text", "text", WIDTH), Modality("image", "image", WIDTH, STEPS, "region"))

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        text, image = (
            (batch.features[m].mean(-1) * (batch.mask[m] & batch.kept[m])).sum(1) * batch.has(m)
            for m in ("text", "image")
        )
        told = {
            "effect": image.abs(), "opposite": -image.abs(), "noise": (1e4 * batch.features["text"][:, 0, 0]).sin(),
            "constant": torch.full_like(text, 0.7) + 1e-7 * torch.randn(len(text)),
        }[self.gate]  # fmt: skip
        mask = batch.mask["text"]
        own = image.abs()[:, None].expand(-1, mask.shape[1])
        # as much attention on each region as hiding it moves the answer
        on = batch.features["image"].mean(-1).abs()[:, None, None].expand(-1, 1, mask.shape[1], -1)
        signals = (
            Gate(name="gate", unit="weight", value=told[:, None].expand_as(own), modality="image", steps="text",
                 mask=mask),
            Attention(name="looks", unit="weight", value=on / on.sum(-1, keepdim=True), layer=0, layers=1,
                      queries="text", keys="image", query_mask=mask, key_mask=batch.mask["image"]),
        )  # fmt: skip
        return FusionOutput(text + image, own, Trace(signals, batch.steps))


class Table(FusionModel):
    """f(text number, image number): a sum, or whether the two signs agree. Classes where asked."""

    modalities = (Modality("text", "text", 1), Modality("image", "image", 1, 1, "region"))

    def __init__(self, kind: str, task: Task = Task.CLASSES) -> None:
        super().__init__()
        self.kind, self.task = kind, task  # type: ignore[misc]
        self.classes = ("no", "yes") if task is Task.CLASSES else ()  # type: ignore[misc]

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        a, b = (batch.features[m][:, 0, 0].double() for m in ("text", "image"))
        value = 3 * a.sin() + b.exp() if self.kind == "sum" else a.sign() * b.sign()
        if self.task is Task.MATCHING:
            chance = value.sigmoid()
            return FusionOutput(chance, value[:, None], Trace((Match(name="match", unit="probability", value=chance),)))
        said = torch.stack((-value, value), 1) if self.task is Task.CLASSES else value
        return FusionOutput(said, value[:, None], Trace())


def batch_of(text: Tensor, image: Tensor, target: Tensor | None = None) -> Batch:
    """text (N, T, D), image (N, R, D), everything there."""
    mask = {"text": torch.ones(text.shape[:2]).bool(), "image": torch.ones(image.shape[:2]).bool()}
    count = len(text)
    return Batch(
        {"text": text, "image": image}, {}, mask, mask, torch.ones(count, 2).bool(), ("text", "image"),
        tuple(f"row {i}" for i in range(count)), target,
    )  # fmt: skip


def source(model: FusionModel, batch: Batch, groups: list[str] | None = None) -> Source:
    names = np.array(groups or list(batch.ids))
    return Source(model, lambda rows: batch.rows(rows), torch.arange(len(batch)), names, "planted", {"": 0.0})


def noise(count: int = 200) -> Batch:
    torch.manual_seed(4)
    return batch_of(torch.randn(count, 4, WIDTH), torch.randn(count, STEPS, WIDTH))


def gate_row(gate: str, count: int = 200) -> Row:
    found = trust.rows_of(source(Planted(gate), noise(count)))
    return next(row for row in found if row.signal == "gate")


def test_a_gate_that_is_the_effect_follows_it() -> None:
    row = gate_row("effect")
    assert (row.modality, row.kind, row.n) == ("image", "gate", 200)
    assert row.rho == pytest.approx(1.0)
    assert row.verdict == "follows"


def test_a_gate_of_noise_is_unrelated() -> None:
    row = gate_row("noise")
    assert row.rho is not None
    assert abs(row.rho) < 0.15
    assert row.verdict == "unrelated"
    assert not row.trusted


def test_a_gate_that_closes_where_the_picture_matters_is_called_opposite() -> None:
    assert gate_row("opposite").verdict == "opposite"


def test_a_constant_gate_is_not_ranked_by_its_rounding() -> None:
    row = gate_row("constant")
    assert (row.rho, row.verdict, row.why) == (None, "unknown", "constant")


def test_too_few_rows_give_no_interval_and_say_so() -> None:
    row = gate_row("effect", 12)
    assert (row.rho, row.low, row.verdict, row.why) == (None, None, "unknown", "few")
    picture = trusted.signals([row])
    assert "too few samples" in str(picture.figure.to_dict())
    assert "0 of 1" in picture.finding


def test_a_signal_without_weights_is_the_same_when_they_are_shuffled() -> None:
    row = gate_row("effect")  # this model has no weights at all
    assert row.shuffled == pytest.approx(1.0)
    assert not row.trusted, "it shows the input, whatever it follows"


def test_rows_without_the_modality_are_left_out() -> None:
    batch = noise(60)
    present = batch.present.clone()
    present[:25, 1] = False
    present[25:30, 0] = False  # nothing is left when its picture goes
    found = trust.rows_of(source(Planted("effect"), replace(batch, present=present)))
    assert next(row for row in found if row.signal == "gate").n == 30


def test_other_seeds_are_compared_row_by_row() -> None:
    batch = noise()
    made = trust.rows_of(source(Planted("effect"), batch), [source(Planted("opposite"), batch)])
    assert next(row for row in made if row.signal == "gate").stable == pytest.approx(-1.0)


def test_attention_that_is_the_effect_of_each_region_follows_occlusion() -> None:
    (row,) = tracking.followed(source(Planted("effect"), noise(40)), ("text", "image"), rows=24)
    assert (row.modality, row.kind, row.n) == ("image", "steps", 24)
    assert row.rho == pytest.approx(1.0)
    assert row.verdict == "follows"
    assert row.better is not None


@pytest.mark.parametrize(
    ("value", "low", "high", "word"),
    [
        (0.5, 0.3, 0.7, "follows"), (-0.5, -0.7, -0.3, "opposite"), (0.1, -0.1, 0.3, "unrelated"),
        (0.1, -0.5, 0.6, "unknown"), (0.3, -0.1, 0.7, "unknown"),
    ],
)  # fmt: skip
def test_the_rule_of_verdicts(value: float, low: float, high: float, word: str) -> None:
    from fusion.metrics.intervals import Interval

    assert trust.verdict(Interval(value, low, high), 100)[0] == word
    assert trust.verdict(Interval(value, low, high), 5) == ("unknown", "few")


@pytest.fixture(scope="module")
def solved() -> Source:
    """A trained gated model at planted streams whose answer one modality carries."""
    at = opened("one-clear")
    model = trained("gmu", at.streams, replace(RECIPE, epochs=12))
    names = np.array([at.streams.ids[row] for row in at.test.tolist()])
    return Source(model, lambda rows: at.streams.batch(rows, named=True), at.test, names, "solved", {"": 0.0})


def test_shuffled_weights_give_another_gate_than_the_trained_ones(solved: Source) -> None:
    found = trust.rows_of(solved)
    gates = [row.shuffled for row in found if row.kind == "gate" and row.shuffled is not None]
    assert gates
    assert np.mean(gates) < 0.5
    same = trust.seen(solved, effects=False).values
    again = trust.rows_of(solved, [solved])
    assert all(row.stable == pytest.approx(1.0) for row in again if row.rho is not None)
    assert {row.signal for row in found} <= {key[0] for key in same}


def test_a_sum_is_its_additive_projection() -> None:
    torch.manual_seed(5)
    batch = batch_of(torch.randn(40, 1, 1), torch.randn(40, 1, 1), torch.randn(40))
    one = additive.split(source(Table("sum", Task.REGRESSION), batch), "text")
    assert one.added == pytest.approx(one.own, abs=1e-6)
    assert one.share < 1e-12
    assert one.gain == pytest.approx(0.0, abs=1e-6)
    assert one.figure == "mae"


def signs(count: int) -> Batch:
    """All four combinations of two signs alike often; the class is whether they agree."""
    a = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(count)
    b = torch.tensor([1.0, -1.0, 1.0, -1.0]).repeat(count)
    return batch_of(a[:, None, None], b[:, None, None], (a == b).long())


def test_of_exclusive_or_all_above_chance_is_interaction() -> None:
    one = additive.split(source(Table("xor"), signs(10)), "image")
    assert one.whole == 1.0
    assert one.additive == pytest.approx(0.5)
    assert one.gain == pytest.approx(0.5)
    assert one.low is not None
    assert one.low > 0
    assert one.share == pytest.approx(1.0)
    assert one.flipped["rest"] == pytest.approx(20 / 39)  # half of all 40, none of them itself


def test_projection_and_interaction_add_up_to_the_prediction() -> None:
    model = toys.build("tate")
    batch = toys.TOYS["tate"].planted(model.config, 9)
    found = additive.table(model, batch, "audio")
    assert found.shape == (9, 9, 2)
    own = additive.value_of(model, model(batch))
    assert torch.allclose(found[torch.arange(9), torch.arange(9)], own, atol=1e-5)
    first, second, mean = additive.project(found)
    left = found - first[:, None] - second[None] - mean
    assert torch.allclose(first[:, None] + second[None] + mean + left, found)
    assert left.mean(0).abs().max() < 1e-9
    assert left.mean(1).abs().max() < 1e-9


def test_a_match_is_judged_by_whether_the_own_part_scores_highest() -> None:
    torch.manual_seed(6)
    one = additive.split(source(Table("xor", Task.MATCHING), replace(signs(8), target=None)), "image")
    assert one.figure == "above"
    assert one.additive == pytest.approx(0.5)


def test_of_too_few_rows_there_is_no_interval_and_of_two_no_split() -> None:
    one = additive.split(source(Table("xor"), signs(3)), "text")
    assert one.low is None
    assert "too few samples" in trusted.added(one).finding
    with pytest.raises(FusionError, match="larger data set"):
        additive.split(source(Table("xor"), signs(1).rows([0, 1])), "text")


def test_one_row_a_picture_goes_into_the_table() -> None:
    batch = signs(10)
    rows = additive.chosen(source(Table("xor"), batch, [f"picture {i // 4}" for i in range(40)]), 300)
    assert sorted(row // 4 for row in rows.tolist()) == list(range(10))


def test_a_model_that_answers_nothing_is_refused() -> None:
    model = toys.build("mopoe")
    batch = toys.TOYS["mopoe"].batch(model.config, 6)
    with pytest.raises(FusionError, match="answers nothing"):
        trust.rows_of(source(model, batch))


def test_a_checkpoint_is_measured_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    checkpoint, dataset = trusting.opened("maf-gloss", "gallery")
    moved: list[tuple[int, int]] = []
    made = trusting.measured(checkpoint, dataset, lambda done, total: moved.append((done, total)), steps=2, table=6)
    assert moved[-1][0] == moved[-1][1]
    assert {row.signal for row in made.rows} >= {"gate", "match_score", "attention"}
    assert trusting.stored(checkpoint, dataset) == made
    assert trusting.measured(checkpoint, dataset) == made  # nothing is run
    assert any("gate" in line and "image" in line for line in lines(made))
    trusting.place(checkpoint, dataset).write_text("{", encoding="utf-8")
    assert trusting.stored(checkpoint, dataset) is None


def test_a_graph_checkpoint_is_told_what_would_do() -> None:
    with pytest.raises(FusionError, match="choose a checkpoint"):
        trusting.measured(*trusting.opened("mclea-emoji"))


def test_a_table_beside_the_checkpoint_serves_until_it_is_measured_here(
    fusion_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checkpoints.find("late-groups")
    folder = tmp_path / "late-groups"
    shutil.copytree(found.folder, folder, ignore=shutil.ignore_patterns("trust"))
    own, dataset = checkpoints.find(str(folder)), open_data("emoji-groups")
    assert trusting.stored(own, dataset) is None
    made = trusting.measured(own, dataset, rows=20, steps=2, table=4, bundled=True)
    assert trusting.stored(own, dataset) == made
    assert [path.parent for path in tmp_path.rglob("trust/*.json")] == [folder / "trust"]
    here = trusting.measured(own, dataset, rows=10, steps=2, table=4, again=True)
    assert trusting.stored(own, dataset) == here != made
