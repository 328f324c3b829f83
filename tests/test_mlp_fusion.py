"""The classic strategies and their operators: two roads to one result, and every switch obeys the laws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion import words
from fusion.blocks.attention_operators import CoAttending, CoAttention, Crossing, Joint, SelfAttention
from fusion.blocks.operators import GMU, LowRank, Multiplicative, Outer, SoftmaxGate, product
from fusion.blocks.sequences import Filling
from fusion.models import MODELS
from fusion.models.base import FusionModel
from fusion.models.mlp_fusion import Early, Hybrid, Late
from fusion.models.strategy import Config
from fusion.signals import Attention, FusionOutput, ModalityScores, ModalityWeights, Opinions, Parts, Trace
from fusion.types import Batch, FusionError, Sample, Task
from fusion.views import draw
from fusion.views.opinions import voices
from fusion.views.speech import num, percent, say
from tests import stream_toys
from tests.test_laws import same
from tests.toys import build

EMOTIONS = ("joy", "anger", "fear", "calm")
OPERATORS = (
    "concat", "gmu", "softmax", "self_attention", "cross_attention", "co_attention", "joint", "tensor", "low_rank",
    "multiplicative",
)  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "early": ("early", {}), "early zero": ("early", {"missing": "zero"}), "early mean": ("early", {"missing": "mean"}),
    "early deep": ("early", {"layers": 3}), "early linear": ("early", {"layers": 0}),
    "early over time": ("early", {"early_axis": "time"}), "early of classes": ("early", {"classes": EMOTIONS}),
    "late weighted": ("late", {"combine": "weighted"}), "late of classes": ("late", {"classes": EMOTIONS}),
    "late product": ("late", {"combine": "product", "classes": EMOTIONS}),
    "hierarchical of classes": ("hierarchical", {"classes": EMOTIONS}), "tree": ("hierarchical", {"order": "tree"}),
    "hybrid of classes": ("hybrid", {"classes": EMOTIONS, "combine": "weighted"}),
    "hybrid product": ("hybrid", {"classes": EMOTIONS, "combine": "product"}),
    "gmu with shares": ("feature", {"gate_norm": "softmax"}),
    "joint mean": ("feature", {"operator": "joint", "missing": "mean"}),
    **{name: ("feature", {"operator": name}) for name in OPERATORS},
    "gmu of classes": ("feature", {"classes": EMOTIONS}),
}  # fmt: skip
every_variant = pytest.mark.parametrize("variant", list(VARIANTS))


def made(variant: str) -> tuple[FusionModel, Batch]:
    """A toy model of a strategy under some switches, and a batch with absent modalities and hidden steps."""
    key, switches = VARIANTS[variant]
    model = build(key, **switches)
    torch.manual_seed(5)
    return model, stream_toys.batch(model.config, 11)


def whole(size: int = 6, **switches: Any) -> tuple[Config, Batch]:
    """Settings of a toy and a batch in which nothing is missing or hidden."""
    config = Config(**{**stream_toys.SIZES, "width": 12, "dropout": 0.0, **switches})
    torch.manual_seed(7)
    batch = stream_toys.batch(config, size).whole
    assert batch is not None
    return config, batch


@every_variant
def test_an_answer_does_not_depend_on_the_rest_of_its_batch(variant: str) -> None:
    model, batch = made(variant)
    together = model(batch)
    for row in range(len(batch)):
        mine = FusionOutput(together.prediction[row : row + 1], together.fused[row : row + 1], together.trace.at(row))
        assert same(model(batch.rows([row])), mine), row


@every_variant
def test_nothing_is_read_where_nothing_may_be(variant: str) -> None:
    model, batch = made(variant)
    spoilt = dict(batch.features)
    for m, x in batch.features.items():
        read = batch.mask[m] & batch.kept[m] & batch.has(m)[:, None]
        spoilt[m] = torch.where(read[..., None], x, torch.nan)
    assert same(model(batch), model(replace(batch, features=spoilt)), tolerance=1e-6)


@every_variant
def test_every_parameter_is_saved_and_learns(variant: str) -> None:
    model, batch = made(variant)
    model.train()
    output = model(batch)
    total = torch.stack(list(model.loss(output, batch).values())).sum()
    (total + output.extras["answer"].square().sum()).backward()  # L1 alone may pull equally up and down
    for name, parameter in model.named_parameters():
        assert name in model.state_dict()
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        if not name.endswith(".key.bias"):  # adds the same to every score, which the softmax ignores
            assert float(parameter.grad.abs().max()) > 1e-9, name


@every_variant
def test_what_is_told_fits_and_draws(variant: str) -> None:
    model, batch = made(variant)
    output = model(batch)
    shape = (11, 4) if model.task is Task.CLASSES else (11,)
    assert output.prediction.shape == shape
    for signal in output.trace:
        assert torch.isfinite(signal.value).all(), signal.name
        if signal.normalised_over:
            torch.testing.assert_close(signal.value.sum(-1), torch.ones(signal.value.shape[:-1]), atol=1e-5, rtol=0)
        if isinstance(signal, Parts):
            torch.testing.assert_close(signal.value.sum(1), output.extras[signal.total], atol=1e-5, rtol=1e-5)
        if isinstance(signal, Attention):
            counts = [len(output.trace.steps[name][0].labels) for name in (signal.queries, signal.keys)]
            assert list(signal.value.shape[2:]) == counts
        assert say(signal.name) != signal.name, f"no words for {signal.name}"
    trace = output.trace.at(1)
    for signal in trace:
        for picture in draw(signal, Sample("one", {}), trace):
            assert picture.alt, signal.name
    silent = model(batch, trace=False)
    torch.testing.assert_close(silent.prediction, output.prediction, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(silent.fused, output.fused, atol=1e-6, rtol=1e-6)
    assert not list(silent.trace)


@every_variant
def test_where_every_step_is_hidden_there_still_is_an_answer(variant: str) -> None:
    model, batch = made(variant)
    nothing = replace(batch, kept={m: torch.zeros_like(mask) for m, mask in batch.mask.items()})
    output = model(nothing)
    assert torch.isfinite(output.prediction).all()
    assert all(torch.isfinite(signal.value).all() for signal in output.trace)


@every_variant
def test_a_sequence_that_nobody_has_may_be_empty(variant: str) -> None:
    model, batch = made(variant)
    gone = batch.rows([0]).without("vision")
    cut = lambda tensors: {**tensors, "vision": tensors["vision"][:, :0]}  # noqa: E731
    empty = replace(gone, features=cut(gone.features), mask=cut(gone.mask), kept=cut(gone.kept))
    torch.testing.assert_close(model(empty).prediction, model(gone).prediction, atol=1e-6, rtol=1e-6)


@every_variant
def test_some_modality_must_be_there(variant: str) -> None:
    model, batch = made(variant)
    present = batch.present.clone()
    present[3] = False
    with pytest.raises(FusionError, match=r'"sample 3" has none of text, audio, vision'):
        model(replace(batch, present=present))


# Identities of the strategies


def test_without_hidden_layers_early_is_a_sum_and_a_weighted_late_fusion() -> None:
    config, batch = whole(layers=0)
    early, late = Early(config).eval(), Late(replace(config, combine="weighted")).eval()
    a = torch.tensor([0.2, 0.7, 0.1])
    out = early.fusion.out
    with torch.no_grad():
        late.fusion.theta.copy_(a.log())
        for voice, part, share in zip(late.fusion.voice, out.weight.split(config.widths, 1), a, strict=True):
            voice.out.weight.copy_(part / share)
            voice.out.bias.copy_(out.bias)  # shares sum to one
    torch.testing.assert_close(early(batch).prediction, late(batch).prediction)
    means = [batch.features[m].sum(1) / batch.mask[m].sum(1, keepdim=True) for m in config.modalities]
    linear = sum(x @ part.T for x, part in zip(means, out.weight.split(config.widths, 1), strict=True)) + out.bias
    torch.testing.assert_close(early(batch).prediction, linear[:, 0])  # type: ignore[index]  # a sum of tensors
    assert not torch.allclose(early(batch.without("audio")).prediction, early(batch).prediction)


def test_one_voice_alone_is_its_own_answer() -> None:
    config, batch = whole()
    for combine in ("mean", "weighted"):
        late = Late(replace(config, combine=combine)).eval()
        alone = batch.without("text").without("vision")
        output = late(alone)
        x = batch.features["audio"].sum(1) / batch.mask["audio"].sum(1, keepdim=True)
        torch.testing.assert_close(output.prediction, late.fusion.voice[1](x)[0][:, 0])
        (weight,) = output.trace.of(ModalityWeights)
        assert weight.value.tolist() == [[0.0, 1.0, 0.0]] * len(batch)


def test_a_product_is_not_changed_by_a_uniform_voice() -> None:
    config, batch = whole(classes=EMOTIONS, combine="product")
    late = Late(config).eval()
    silent = late.fusion.voice[2].out
    nn.init.zeros_(silent.weight)
    nn.init.zeros_(silent.bias)
    torch.testing.assert_close(late(batch).prediction, late(batch.without("vision")).prediction, atol=1e-6, rtol=1e-6)
    chances = late(batch).prediction.exp().sum(1)
    torch.testing.assert_close(chances, torch.ones_like(chances))  # log p, normalised


@pytest.mark.parametrize(("bias", "voice"), [(40.0, "early"), (-40.0, "late")])
def test_a_gate_at_its_end_is_one_of_the_two_branches(bias: float, voice: str) -> None:
    config, batch = whole()
    hybrid = Hybrid(config).eval()
    with torch.no_grad():
        hybrid.gate.bias.fill_(bias)
    output = hybrid(batch)
    answers = output.extras["branches"][..., 0]
    expected = answers[:, 3] if voice == "early" else answers[:, :3].mean(1)
    torch.testing.assert_close(output.prediction, expected, atol=1e-6, rtol=1e-6)


def test_branch_losses_are_those_of_the_voices_that_spoke() -> None:
    config, batch = whole()
    batch = batch.without("text")
    late = Late(config).eval()
    assert batch.target is not None
    output = late(batch)
    terms = late.loss(output, batch)
    own = (output.extras["branches"][:, 1:, 0] - batch.target[:, None]).abs().mean()
    torch.testing.assert_close(terms["branches"], 0.3 * own)
    torch.testing.assert_close(terms["answer"], (output.prediction - batch.target).abs().mean())
    config, batch = whole(classes=EMOTIONS)
    late = Late(config).eval()
    assert batch.target is not None
    output = late(batch)
    wanted = torch.stack([F.cross_entropy(output.extras["branches"][:, m], batch.target) for m in range(3)]).mean()
    torch.testing.assert_close(late.loss(output, batch)["branches"], 0.3 * wanted)


def test_a_level_reads_the_towers_and_what_is_below() -> None:
    config, batch = whole(levels=2)
    model = MODELS["hierarchical"](config).eval()
    means = [batch.features[m].sum(1) / batch.mask[m].sum(1, keepdim=True) for m in config.modalities]
    first = [F.relu(layer(x)) for layer, x in zip(model.tower[0], means, strict=True)]
    s = F.relu(model.fusion[0](torch.cat(first, 1)))
    second = [F.relu(layer(u)) for layer, u in zip(model.tower[1], first, strict=True)]
    s = F.relu(model.fusion[1](torch.cat((s, *second), 1)))
    torch.testing.assert_close(model(batch).prediction, model.head(s)[:, 0])
    tree = MODELS["hierarchical"](replace(config, order="tree")).eval()
    u = [F.relu(layer(x)) for layer, x in zip(tree.tower[0], means, strict=True)]
    s = F.relu(tree.fusion[0](torch.cat((u[0], u[1]), 1)))
    s = F.relu(tree.fusion[1](torch.cat((s, u[2]), 1)))
    torch.testing.assert_close(tree(batch).prediction, tree.head(s)[:, 0])
    told = tree(batch).trace["level_norm_2"]
    assert isinstance(told, ModalityScores)
    assert told.modalities == ("carried", "vision")
    torch.testing.assert_close(told.value[:, 1], (u[2] @ tree.fusion[1].weight[:, 12:].T).norm(dim=1))


def test_over_time_every_step_counts_once() -> None:
    config, batch = whole(early_axis="time", layers=1)
    model = Early(config).eval()
    steps = []
    for at, m in enumerate(config.modalities):
        h = model.proj[at](batch.features[m]) + model.modality[at]
        steps.append(h * batch.mask[m][..., None])
    joined = torch.cat(steps, 1).sum(1) / torch.cat([batch.mask[m] for m in config.modalities], 1).sum(1, keepdim=True)
    torch.testing.assert_close(model(batch).prediction, model.fusion(joined)[0][:, 0])


def test_modality_dropout_leaves_something_of_every_sample() -> None:
    config, batch = whole(64, modality_dropout=0.9)
    model = Early(config)
    batch = replace(batch, present=stream_toys.batch(config, 64).present)
    gone = ~model.train().read(batch).there & batch.present
    assert gone.any(0).all()
    assert (gone.sum(1) < batch.present.sum(1)).all()
    assert gone.sum() > 0.5 * (batch.present.sum() - 64)  # all but the one that is spared go with chance 0.9
    assert torch.equal(model.eval().read(batch).there, batch.present)


def test_the_mean_of_what_was_there_is_remembered() -> None:
    fill = Filling((3, 2), "mean").train()
    x, y = torch.randn(20, 3), torch.randn(20, 2)
    there = torch.rand(20, 2) > 0.4
    for rows in (slice(0, 7), slice(7, 20)):
        fill([x[rows], y[rows]], there[rows])
    filled = fill.eval()([x, y], there)
    torch.testing.assert_close(filled[0][~there[:, 0]], x[there[:, 0]].mean(0).expand(int((~there[:, 0]).sum()), -1))
    assert torch.equal(filled[1][there[:, 1]], y[there[:, 1]])
    assert set(fill.state_dict()) == {"mean_0", "count_0", "mean_1", "count_1"}
    assert not Filling((3, 2), "zero").eval()([x, y], there)[0][~there[:, 0]].any()


# Identities of the operators of vectors


def vectors(*widths: int, size: int = 5) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(11)
    return [torch.randn(size, width) for width in widths], torch.ones(size, len(widths), dtype=torch.bool)


def test_a_gmu_without_gate_weights_is_the_mean_of_two() -> None:
    x, voices_ = vectors(4, 3)
    unit = GMU((4, 3), 6)
    _, told = unit(x, voices_)
    assert ((told["gate"] > 0) & (told["gate"] < 1)).all()
    nn.init.zeros_(unit.gate.weight)
    f, _ = unit(x, voices_)
    k = [torch.tanh(one(part)) for one, part in zip(unit.value, x, strict=True)]
    torch.testing.assert_close(f, (k[0] + k[1]) / 2)
    f, told = unit(x, torch.tensor([[True, False]] * 5))
    torch.testing.assert_close(f, k[0])  # the share of the one that is there is all
    assert not told["gate"][:, 1].any()


def test_gates_of_three_need_not_sum_to_one_but_shares_do() -> None:
    x, voices_ = vectors(4, 3, 2)
    voices_[0, 1] = False
    _, told = GMU((4, 3, 2), 6)(x, voices_)
    assert (told["gate"].sum(1) - 1).abs().max() > 0.1
    _, told = GMU((4, 3, 2), 6, "softmax")(x, voices_)
    torch.testing.assert_close(told["gate"].sum(1), torch.ones(5, 6))
    assert not told["gate"][0, 1].any()


def test_softmax_weights_sum_to_one_and_equal_vectors_share_alike() -> None:
    (h,), _ = vectors(6)
    gate = SoftmaxGate(6)
    voices_ = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [True] * 3, [True] * 3])
    f, told = gate([h, h, h], voices_)
    expected = voices_ / voices_.sum(1, keepdim=True)
    torch.testing.assert_close(told["weight"], expected.float())
    assert not told["weight"][~voices_].any()
    torch.testing.assert_close(f, h)


def test_an_outer_product_holds_every_product_and_a_one() -> None:
    x, voices_ = vectors(4, 3, 2)
    outer = Outer((4, 3, 2))
    f, told = outer(x, voices_)
    assert f.shape == (5, outer.width) == (5, 5 * 4 * 3)
    assert (f[:, 0] == 1).all()
    cells = f.view(5, 5, 4, 3)
    torch.testing.assert_close(cells[:, 2, 3, 1], x[0][:, 1] * x[1][:, 2] * x[2][:, 0])
    torch.testing.assert_close(cells[:, 1:, 0, 0], x[0])
    above = [(torch.arange(width + 1) > 0).long() for width in (4, 3, 2)]
    order = above[0][:, None, None] + above[1][:, None] + above[2]
    for k in range(3):
        torch.testing.assert_close(told["orders"][:, k], cells[:, order == k + 1].norm(dim=1))
    assert Outer((32, 32, 32)).width == 35_937
    with pytest.raises(FusionError, match="2,146,689 numbers"):
        Outer((128, 128, 128))
    with pytest.raises(FusionError, match="2,146,689 numbers"):
        MODELS["feature"](Config(operator="tensor"))


def test_full_rank_reproduces_any_linear_map_of_the_outer_product() -> None:
    x, voices_ = vectors(3, 2)
    outer, wanted = Outer((3, 2)), torch.randn(4, 3, 6)
    low = LowRank((3, 2), 6, rank=4 * 3)
    with torch.no_grad():
        low.weight.fill_(1)
        for one in low.factor:
            one.zero_()
        for r, (i, j) in enumerate((i, j) for i in range(4) for j in range(3)):
            low.factor[0][r, i] = 1
            low.factor[1][r, j] = wanted[i, j]
        low.bias.normal_()
    f, _ = low(x, voices_)
    torch.testing.assert_close(f, outer(x, voices_)[0] @ wanted.flatten(0, 1) + low.bias)
    nn.init.zeros_(low.factor[1])
    torch.testing.assert_close(low(x, voices_)[0], low.bias.expand(5, -1))


def test_orders_are_those_of_inclusion_and_exclusion() -> None:
    x, voices_ = vectors(3, 2, 4)
    low = LowRank((3, 2, 4), 5, rank=3)

    def without(kept: tuple[int, ...]) -> Tensor:
        return low([v if at in kept else torch.zeros_like(v) for at, v in enumerate(x)], voices_)[0]

    parts = {(): without(())}
    for size in (1, 2, 3):
        for chosen in combinations(range(3), size):
            below = [parts[part] for k in range(size) for part in combinations(chosen, k)]
            parts[chosen] = without(chosen) - torch.stack(below).sum(0)
        expected = torch.stack([part for chosen, part in parts.items() if len(chosen) == size]).sum(0).norm(dim=1)
        torch.testing.assert_close(low(x, voices_)[1]["orders"][:, size - 1], expected, atol=1e-5, rtol=1e-5)


def test_without_products_a_multiplicative_form_is_additive() -> None:
    x, voices_ = vectors(3, 2)
    form = Multiplicative((3, 2), 4)
    zero = [torch.zeros_like(one) for one in x]
    mixed = lambda a, b: form([a, b], voices_)[0]  # noqa: E731
    interaction = lambda: mixed(*x) - mixed(x[0], zero[1]) - mixed(zero[0], x[1]) + mixed(*zero)  # noqa: E731
    expected = torch.einsum("bi,ijf,bj->bf", x[0], form.product[0], x[1])
    torch.testing.assert_close(interaction(), expected, atol=1e-5, rtol=1e-5)
    nn.init.zeros_(form.product[0])
    assert interaction().abs().max() < 1e-6
    assert not form(x, voices_)[1]["orders"][:, 1].any()


def test_a_product_of_many_stays_in_range() -> None:
    sizes = torch.tensor([1e-20, 1e-20, -1e-20, 1e20, 1e20, 3e20])
    assert not torch.isfinite(1 / sizes.double().float()[:3].prod())  # what multiplying in order would do
    torch.testing.assert_close(product(list(sizes[:, None])), torch.tensor([-3.0]), atol=0, rtol=1e-4)
    few = torch.randn(5, 7)
    torch.testing.assert_close(product(list(few)), few.prod(0), atol=1e-6, rtol=1e-4)
    assert product([*few, torch.zeros(7)]).abs().max() == 0


# Identities of the operators of steps


def test_reading_another_modality_follows_its_steps_and_stands_without() -> None:
    torch.manual_seed(2)
    layer = Crossing(8, 2, 0.0).eval()
    x, z = torch.randn(3, 5, 8), torch.randn(3, 7, 8)
    seen = torch.arange(7) < torch.tensor([7, 4, 0])[:, None]
    out, read, attention = layer(x, z, seen)
    order = torch.randperm(7)
    torch.testing.assert_close(layer(x, z[:, order], seen[:, order])[1], read)
    turned = torch.randperm(5)
    torch.testing.assert_close(layer(x[:, turned], z, seen)[1], read[:, turned])
    torch.testing.assert_close(read[2], F.layer_norm(x[2], (8,)))
    assert torch.isfinite(out).all()
    torch.testing.assert_close(attention[:2].sum(-1), torch.ones(2, 2, 5))
    q, k = layer.query(x)[0, :, :4], layer.key(z)[0, :, :4]
    torch.testing.assert_close(attention[0, 0], (q @ k.T / 2).softmax(-1))


def test_co_attention_is_the_parallel_form_of_both_sides() -> None:
    torch.manual_seed(2)
    block = CoAttending(6)
    x, y = torch.randn(1, 4, 6), torch.randn(1, 3, 6)
    real_x, real_y = torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)
    of_x, of_y, a, b, affinity = block(x, y, real_x, real_y)
    w_b, w_1, w_2 = block.affinity.weight, block.first.weight.T, block.second.weight.T
    expected = torch.tanh(x[0] @ w_b @ y[0].T)
    torch.testing.assert_close(affinity[0], expected)
    first = torch.tanh(x[0] @ w_1 + expected @ y[0] @ w_2) @ block.first_score.weight[0]
    second = torch.tanh(y[0] @ w_2 + expected.T @ x[0] @ w_1) @ block.second_score.weight[0]
    torch.testing.assert_close(a[0], first.softmax(0))
    torch.testing.assert_close(b[0], second.softmax(0))
    torch.testing.assert_close(of_x[0], first.softmax(0) @ x[0])
    torch.testing.assert_close(of_y[0], second.softmax(0) @ y[0])
    assert CoAttention(3, 6).width == 6 * 6  # two vectors of each of three pairs


def test_pooling_weights_are_of_real_steps_alone() -> None:
    torch.manual_seed(2)
    block = SelfAttention(2, 6, 3, 0.0).eval()
    steps, seen = [torch.randn(2, 4, 6), torch.randn(2, 5, 6)], [torch.ones(2, 4).bool(), torch.ones(2, 5).bool()]
    seen[1][:, 3:] = False
    f, told = block(steps, seen, trace=True)
    assert f.shape == (2, 12)
    torch.testing.assert_close(told["pool.1"].sum(1), torch.ones(2))
    assert not told["pool.1"][:, 3:].any()
    cut = [steps[0], steps[1][:, :3]]
    torch.testing.assert_close(block(cut, [seen[0], seen[1][:, :3]])[0], f, atol=1e-6, rtol=1e-6)


def test_blocks_of_even_attention_are_the_shares_of_the_steps() -> None:
    torch.manual_seed(2)
    block = Joint(3, 6, 2, 0.0).eval()
    nn.init.zeros_(block.layer.query.weight)
    nn.init.zeros_(block.layer.query.bias)
    lengths = ((2, 4), (1, 3), (5, 5))
    steps = [torch.randn(2, 5, 6) for _ in lengths]
    seen = [torch.arange(5) < torch.tensor(pair)[:, None] for pair in lengths]
    _, told = block(steps, seen, trace=True)
    torch.testing.assert_close(told["size"], torch.tensor([[2, 1, 5], [4, 3, 5]]) / torch.tensor([[8.0], [12.0]]))
    torch.testing.assert_close(told["blocks"], told["size"][:, None, None].expand(-1, 2, 3, -1))


# Settings


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"widths": (3, 4)}, "widths has 2 numbers for 3 modalities"),
        ({"steps": (3,)}, "steps has 1 numbers for 3 modalities"),
        ({"combine": "product"}, "A product needs probabilities"),
        ({"classes": ("joy",)}, "One class leaves nothing"),
        ({"operator": "joint", "heads": 5}, "does not divide by heads 5"),
        ({"modalities": ("text",), "widths": (3,), "steps": (2,), "operator": "multiplicative"}, "joins two"),
        ({"operator": "sum"}, "operator"),
        ({"modality_dropout": 1.0}, "modality_dropout"),
    ],
)
def test_settings_that_can_not_be_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        Config(**wrong)


def test_features_of_another_width_or_name_are_refused() -> None:
    config, batch = whole()
    with pytest.raises(FusionError, match=r'"audio" have 3 numbers a step and this model reads 4'):
        Early(replace(config, widths=(5, 4, 4))).eval()(batch)
    with pytest.raises(FusionError, match='no modality "image"'):
        Early(replace(config, modalities=("text", "audio", "image"))).eval()(batch)


def test_one_modality_alone_is_a_network_of_its_own() -> None:
    config, batch = whole(modalities=("audio",), widths=(3,), steps=(9,))
    for key in ("early", "late", "hierarchical", "hybrid"):
        assert MODELS[key](config).eval()(batch).prediction.shape == (6,)


# The picture of opinions


@pytest.fixture(params=list(words.LANGUAGES))
def _language(request: pytest.FixtureRequest) -> Iterator[None]:
    words.use(request.param)
    yield
    words.use("en")


def opinion(values: list[float], present: list[bool], together: float) -> Opinions:
    return Opinions(
        name="branch_answers", unit="none", value=torch.tensor([values]), voices=("text", "audio", "vision"),
        present=torch.tensor([present]), together=torch.tensor([together]), caveat="caveat.branch_answers",
    )  # fmt: skip


@pytest.mark.usefixtures("_language")
def test_scores_of_voices_are_drawn_beside_the_joint_one() -> None:
    sample = Sample("one", {})
    picture = voices(opinion([1.5, -0.25, 9.0], [True, True, False], 0.75), sample, Trace())
    (bars,) = picture.figure.data
    assert list(bars.x) == [1.5, -0.25, 0.0]  # what an absent voice holds is never shown
    assert bars.text[2] == words.t("views.opinions.silent")
    assert [shape.x0 for shape in picture.figure.layout.shapes] == [0, 0.75]
    assert "9" not in picture.alt
    assert words.t("views.opinions.sides", low=say("audio"), high=say("text")) in picture.finding
    table = picture.table[words.t("views.axis.answer")]
    assert table.isna().tolist() == [False, False, True, False]
    assert table.iloc[-1] == 0.75
    one = voices(opinion([1.5, 0.0, 0.0], [True, False, False], 1.5), sample, Trace())
    assert words.t("views.opinions.one", name=say("text"), value=num(1.5), together=num(1.5)) == one.finding
    none = voices(opinion([0.0] * 3, [False] * 3, 0.5), sample, Trace())
    assert words.t("views.opinions.nobody", together=num(0.5)) == none.finding


@pytest.mark.usefixtures("_language")
def test_chances_of_voices_are_drawn_a_row_each() -> None:
    chances = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [1 / 3] * 3]])
    signal = Opinions(
        name="branch_answers", unit="probability", value=chances, voices=("text", "audio", "vision"),
        present=torch.tensor([[True, True, False]]), together=torch.tensor([[0.5, 0.25, 0.25]]), classes=EMOTIONS[:3],
        caveat="caveat.branch_answers", normalised_over="class",
    )  # fmt: skip
    picture = voices(signal, Sample("one", {}), Trace())
    (heat,) = picture.figure.data
    drawn = torch.as_tensor(heat.z)
    torch.testing.assert_close(drawn[[0, 1, 3]], torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.5, 0.25, 0.25]]))
    assert drawn[2].isnan().all()
    (frame,) = picture.figure.layout.shapes
    assert (frame.y0, frame.y1) == (2.5, 3.5)
    assert words.t("views.opinions.other", names=say("audio")) in picture.finding
    assert percent(0.5) in picture.alt
    assert len(picture.table) == 4
