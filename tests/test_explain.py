"""Explanations: what they must add up to, what a planted answer says of them, and who refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.planted import RECIPE, opened, trained
from fusion import checkpoints
from fusion.explain import attending, curves, gradients, methods, sampling, targets
from fusion.explain.players import asking, modalities_of, showing, steps_of, worth
from fusion.explain.targets import Target
from fusion.inference import Pipeline
from fusion.models.base import FusionModel
from fusion.signals import Attention, FusionOutput, Trace
from fusion.types import Batch, FusionError, Modality, Sample, Task, Text
from tests import toys

STREAMS = ("early", "late", "hierarchical", "hybrid", "feature", "hscl", "tfr_net", "tate")
HIDING = ("occlusion", "shapley")
SLOPES = ("integrated", "gradient_x_input")


class Linear(FusionModel):
    """f = sum of w_t . x_t over the steps that are seen: every method must say w_t . x_t."""

    task, classes = Task.REGRESSION, ()
    modalities = (Modality("text", "text", 3), Modality("image", "image", 4, 5, "region"))

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.weight = nn.ParameterDict({"text": nn.Parameter(torch.randn(6, 3)), "image": torch.randn(5, 4)})
        self.calls: list[int] = []

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        self.calls.append(len(batch))
        total: Tensor | int = 0
        for m in batch.modalities:
            part = (batch.features[m] * self.weight[m]).sum(-1) * (batch.mask[m] & batch.kept[m])
            total = total + part.sum(1) * batch.has(m)
        assert isinstance(total, Tensor)
        return FusionOutput(total, total[:, None], Trace())


def linear_batch() -> Batch:
    torch.manual_seed(2)
    mask = {"text": torch.tensor([[True] * 5 + [False]]), "image": torch.ones(1, 5, dtype=torch.bool)}
    return Batch(
        {"text": torch.randn(1, 6, 3), "image": torch.randn(1, 5, 4)}, {}, mask, mask, torch.ones(1, 2).bool(),
        ("text", "image"), ("a",),
    )  # fmt: skip


def toy(key: str) -> tuple[FusionModel, Batch, Target]:
    """A model with one sample that has everything, and what is explained of it."""
    model = toys.build(key)
    made = toys.TOYS[key].batch(model.config, 5)
    batch = made.rows([0])
    whole = {m: torch.ones_like(mask) for m, mask in batch.mask.items()}
    batch = replace(batch, present=torch.ones_like(batch.present), mask=whole, kept=whole)
    target = targets.read("match" if key == "maf" else "answer", model, model(batch))
    return model, batch, target if key == "maf" else replace(target, nothing=0.1)


@pytest.mark.parametrize("method", ["occlusion", "shapley", "integrated", "gradient_x_input"])
def test_of_a_sum_every_method_tells_the_terms(method: str) -> None:
    model, batch = Linear(), linear_batch()
    told = methods.explain(model, batch, Target("answer"), method)
    terms = torch.cat([(batch.features[m][0] * model.weight[m]).sum(-1) for m in batch.modalities])
    assert told.values.float().tolist() == pytest.approx(terms[[0, 1, 2, 3, 4, 6, 7, 8, 9, 10]].tolist(), abs=1e-5)
    assert len(told.players) == 10  # padding is nobody


@pytest.mark.parametrize("key", [*STREAMS, "maf"])
def test_shapley_values_add_up_to_the_answer_less_the_answer_from_nothing(key: str) -> None:
    model, batch, target = toy(key)
    with torch.inference_mode():
        whole = float(targets.of_batch(model, batch, target)[0])
    for judge_whole in (True, False):
        told = methods.explain(model, batch, target, "shapley", whole=judge_whole, pairs=2)
        none = float(worth(model, batch, target, told.players, torch.zeros(1, len(told.players)).bool()))
        assert float(told.values.sum()) == pytest.approx(whole - none, abs=1e-5)


@pytest.mark.parametrize("key", [*STREAMS, "maf"])
def test_integrated_gradients_add_up_to_the_change(key: str) -> None:
    model, batch, target = toy(key)
    told = methods.explain(model, batch, target, "integrated")
    assert told.explanation.gap is not None
    assert told.explanation.gap < 0.02
    empty = replace(batch, features={m: torch.zeros_like(x) for m, x in batch.features.items()})
    empty = replace(empty, pooled={m: torch.zeros_like(x) for m, x in batch.pooled.items()})
    with torch.inference_mode():
        ends = [float(targets.of_batch(model, one, target)[0]) for one in (empty, batch)]
    steps = gradients.integrated(model, batch, target)[0]
    total = sum(float(part.sum()) for part in steps.values())
    assert total == pytest.approx(ends[1] - ends[0], abs=0.02 * abs(ends[1] - ends[0]))


@pytest.mark.parametrize("key", [*STREAMS, "maf"])
def test_hiding_nobody_changes_nothing(key: str) -> None:
    model, batch, target = toy(key)
    players = steps_of(batch)
    everyone = torch.ones(3, len(players), dtype=torch.bool)
    same = showing(batch, players, everyone)
    for m in batch.modalities:
        assert torch.equal(same.kept[m][1], batch.kept[m][0])
        assert torch.equal(same.features[m][2], batch.features[m][0])
    with torch.inference_mode():
        own = targets.of_batch(model, batch, target)[0]
    assert worth(model, batch, target, players, everyone).tolist() == pytest.approx([float(own)] * 3, abs=1e-6)


def test_sampled_values_come_near_the_exact_ones_and_say_how_near() -> None:
    model, batch, target = toy("tate")
    players = steps_of(batch, most=2)
    exact, _ = sampling.exact(asking(model, batch, target, players), len(players))
    value, error, rows = sampling.sampled(asking(model, batch, target, players), len(players), pairs=40)
    assert rows == sampling.cost(len(players), 40)
    assert float(error.max()) > 0
    assert (value - exact).abs().le(4 * error + 1e-6).all()


def test_a_set_of_edits_of_one_request_goes_through_in_few_passes() -> None:
    model = Linear()
    parts = steps_of(linear_batch(), ["image"])
    sampling.occluded(asking(model, linear_batch(), Target("answer"), parts), len(parts))
    assert model.calls == [6]
    model.calls.clear()
    both = modalities_of(linear_batch())
    sampling.exact(asking(model, linear_batch(), Target("answer"), both), len(both))
    assert model.calls == [4]


@pytest.fixture(scope="module")
def solved() -> tuple[FusionModel, object]:
    """One carrier among three modalities, and a network that reads it."""
    at = opened("one-clear")
    return trained("early", at.streams, replace(RECIPE, epochs=12)), at


@pytest.mark.parametrize("method", [*HIDING, *SLOPES])
def test_the_planted_modality_gets_the_attribution(solved: tuple[FusionModel, object], method: str) -> None:
    model, at = solved
    found = []
    for row in at.test[:12].tolist():  # type: ignore[attr-defined]
        batch = at.streams.batch(torch.tensor([row]))  # type: ignore[attr-defined]
        target = Target("answer", nothing=0.0)
        told = methods.explain(model, batch, target, method, whole=method in HIDING)
        moved = {m: abs(value) for m, value in methods.totals(told).items()}
        found.append(moved["audio"] / sum(moved.values()))
    assert np.mean(found) > 0.8


def test_hiding_what_is_called_important_lowers_the_answer_more_than_chance(
    solved: tuple[FusionModel, object],
) -> None:  # fmt: skip
    model, at = solved
    own, chance, reverse = [], [], []
    for row in at.test[:12].tolist():  # type: ignore[attr-defined]
        batch = at.streams.batch(torch.tensor([row]))  # type: ignore[attr-defined]
        target = Target("answer", nothing=0.0)
        told = methods.explain(model, batch, target, "integrated")
        found = curves.trial(asking(model, batch, target, told.players), told.values, signed=True)
        own.append(found.areas()[0])
        chance.append(found.areas()[1])
        reverse.append(found.reverse.area("deletion", found.span))
    assert np.median(own) < np.median(chance) < np.median(reverse)


@pytest.mark.parametrize("method", SLOPES)
def test_an_explanation_of_random_weights_is_another_one(solved: tuple[FusionModel, object], method: str) -> None:
    model, at = solved
    found = []
    for row in at.test[:6].tolist():  # type: ignore[attr-defined]
        batch = at.streams.batch(torch.tensor([row]))  # type: ignore[attr-defined]
        own = methods.explain(model, batch, Target("answer", nothing=0.0), method).values
        for seed in range(3):
            other = methods.explain(curves.randomised(model, seed), batch, Target("answer", nothing=0.0), method)
            found.append(curves.agreement([own, other.values])[0, 1])
    assert abs(np.mean(found)) < 0.3


def test_randomised_weights_keep_their_numbers_and_leave_the_model_alone() -> None:
    model = toys.build("tate")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = curves.randomised(model, 1).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(value.flatten().sort().values, made[name].flatten().sort().values)


def attention(value: Tensor, queries: str, keys: str, layer: int = 0, layers: int = 1) -> Attention:
    real = [torch.ones(1, size, dtype=torch.bool) for size in value.shape[-2:]]
    return Attention(
        name=f"{queries}{keys}{layer}", unit="weight", value=value, layer=layer, layers=layers, queries=queries,
        keys=keys, query_mask=real[0], key_mask=real[1],
    )  # fmt: skip


def test_rollout_of_attention_to_oneself_is_oneself() -> None:
    own = [attention(torch.eye(5)[None, None], "image", "image", i, 2) for i in range(2)]
    crossing = attention(torch.tensor([[0.0, 1, 0, 0, 0]]).expand(1, 1, 6, 5), "text", "image")
    trace = Trace((*own, crossing))
    found = attending._carried(list(trace.of(Attention)), [None] * 3, trace, linear_batch(), None)
    assert set(found) == {"image"}
    assert found["image"].tolist() == pytest.approx([0, 0.5, 0, 0, 0])


def test_relevance_follows_what_moves_the_answer() -> None:
    model, batch, target = toy("maf")
    steps, _ = attending.attributions(model, batch, target, "relevance")
    assert float(steps["image"].sum()) > 0
    raw, _ = attending.attributions(model, batch, target, "raw")
    assert float(raw["image"].sum()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("key", ["hscl", "tfr_net", "tate", "maf"])
def test_attention_can_be_differentiated_and_changes_nothing(key: str) -> None:
    model, batch, target = toy(key)
    with torch.inference_mode():
        before = float(targets.of_batch(model, batch, target, trace=True)[0])
    with torch.enable_grad():
        after = float(targets.of_batch(model, batch, target, trace=True)[0].detach())
    assert after == pytest.approx(before, abs=1e-5)
    assert methods.explain(model, batch, target, "relevance").judged


@pytest.mark.parametrize(
    ("key", "target", "method", "says"),
    [
        ("early", "answer", "rollout", "choose occlusion"),
        ("early", "answer", "grad_cam", "needs regions"),
        ("early", "answer", "lime", "is no method"),
    ],
)
def test_what_does_not_apply_is_said_with_what_does(key: str, target: str, method: str, says: str) -> None:
    model, batch, _ = toy(key)
    with pytest.raises(FusionError, match=says):
        methods.explain(model, batch, Target(target, nothing=0.0), method)


@pytest.mark.parametrize(
    ("key", "line", "says"),
    [
        ("early", "match", "no target"),
        ("maf", "tag:99", "names no step"),
        ("maf", "tag:0:B-XYZ", "is none of"),
        ("maf", "answer", "choose match or tag"),
        ("mopoe", "answer", "nothing that could be explained"),
    ],
)
def test_a_target_that_a_model_lacks_is_refused(key: str, line: str, says: str) -> None:
    model = toys.build(key)
    batch = toys.TOYS[key].batch(model.config, 4).rows([0])
    with pytest.raises(FusionError, match=says):
        targets.read(line, model, model(batch))


def test_a_target_reads_back_as_it_is_written() -> None:
    model, batch, _ = toy("maf")
    output = model(batch)
    for line in ("match", f"tag:1:{model.classes[1]}"):
        assert str(targets.read(line, model, output)) == line
    open_class = targets.read("tag:1", model, output)
    assert targets.read(str(open_class), model, output) == open_class


def test_features_made_without_gradients_can_be_explained() -> None:
    model, batch, target = toy("late")
    with torch.inference_mode():
        made = batch.rows([0])
        made = replace(made, features={m: x * 1 for m, x in made.features.items()})
    assert methods.explain(model, made, target, "integrated").values.abs().sum() > 0


def sized(values: list[float]) -> tuple[Linear, Batch]:
    """A sum whose terms are the values, one a region."""
    model, batch = Linear(), linear_batch()
    with torch.no_grad():
        model.weight["image"][:] = 0
        model.weight["image"][:, 0] = 1
    image = torch.zeros(1, 5, 4)
    image[0, :, 0] = torch.tensor(values)
    return model, replace(batch, features={**batch.features, "image": image}).without("text")


@pytest.mark.parametrize(("sign", "says"), [(1, "better"), (-1, "worse")])
def test_an_order_is_judged_by_the_random_orders_that_it_beats(sign: int, says: str) -> None:
    model, batch = sized([5.0, 0.1, 0.2, 0.3, 0.4])
    values = torch.tensor([5.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64) * sign
    players = steps_of(batch)
    found = curves.trial(asking(model, batch, Target("answer"), players), values, signed=True, draws=99)
    assert found.verdict() == says
    assert found.verdict("insertion") == says


def test_insertion_is_what_showing_the_parts_gives() -> None:
    model, batch = sized([3.0, 1.0, 0.0, -1.0, 0.5])
    players = steps_of(batch)
    values = torch.tensor([3.0, 1.0, 0.0, -1.0, 0.5], dtype=torch.float64)
    found = curves.trial(asking(model, batch, Target("answer"), players), values, signed=True)
    order = values.argsort(descending=True)
    shown = [torch.isin(torch.arange(5), order[: round(5 * share)]) for share in found.own.share]
    assert found.own.insertion.tolist() == pytest.approx(
        worth(model, batch, Target("answer"), players, torch.stack(shown)).tolist()
    )
    assert found.own.deletion.tolist() == pytest.approx(
        worth(model, batch, Target("answer"), players, ~torch.stack(shown)).tolist()
    )


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 10, 11, 61, 107])
def test_points_of_a_curve_are_the_same_from_both_ends(count: int) -> None:
    found = curves.shares(count)
    assert found[0] == 0
    assert found[-1] == count
    assert torch.equal(found, (count - found).flip(0))


def test_an_answer_pushed_below_nothing_is_explained_by_what_pushed_it_down() -> None:
    model, batch = sized([-5.0, 0.1, 0.2, 0.3, 0.4])
    values = torch.tensor([-5.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    found = curves.trial(asking(model, batch, Target("answer"), steps_of(batch)), values, signed=True, draws=99)
    assert found.verdict() == "better"


class Small(Linear):
    """One that holds a few rows at most, like a device that is nearly full."""

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        if len(batch) > 10:
            raise torch.OutOfMemoryError("full")
        return super().forward(batch, trace=trace)


def test_what_does_not_fit_goes_in_smaller_batches(caplog: pytest.LogCaptureFixture) -> None:
    batch = linear_batch()
    parts = steps_of(batch)
    found, _ = sampling.occluded(asking(Small(), batch, Target("answer"), parts), len(parts))
    plain, _ = sampling.occluded(asking(Linear(), batch, Target("answer"), parts), len(parts))
    assert found.tolist() == plain.tolist()
    assert any("smaller" in record.message or "slower" in record.message for record in caplog.records)


def test_methods_that_are_offered_can_be_run_without_a_picture() -> None:
    """Attention of words to regions says nothing where no region is there."""
    case = Pipeline.open(checkpoints.find("maf-gloss")).case(Sample("typed", {"text": Text("a red truck")}))
    why = case.applying("tag:1")
    assert why["raw"] == why["rollout"] == "attention"
    assert why["grad_cam"] == "picture"
    able = [method for method, reason in why.items() if not reason]
    assert "occlusion" in able
    for method in able:
        assert case.judge("tag:1", method, pairs=1).method == method
