"""HSCL: its contrast equals the direct form, its identities hold, each switch does what it says, its sets are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion.blocks.multihead import EncoderLayer, MultiHead, positions
from fusion.losses import supcr
from fusion.models import hscl_signals
from fusion.models.hscl import HSCL, Config
from fusion.signals import Attention, Embedding, Opinions
from fusion.types import Batch, FusionError
from tests import stream_toys
from tests.toys import build

DENOMINATORS = pytest.mark.parametrize("denominator", ["anchor", "positive"])
SIX = torch.tensor([-2.4, -1.0, 0.0, 0.6, 0.6, 3.0])


def direct(left: Tensor, right: Tensor, target: Tensor, temperature: float, denominator: str) -> Tensor:
    """Eq. (3) as it is written: three indices."""
    rows = torch.nn.functional.normalize(torch.cat((left, right)), dim=1)
    S, labels = rows @ rows.T / temperature, target.repeat(2)
    gaps = labels[:, None] - labels[None, :]
    far, total = gaps.abs() if target.is_floating_point() else (gaps != 0).long(), []
    for i in range(len(S)):
        for j in (j for j in range(len(S)) if j != i):
            others = [k for k in range(len(S)) if k != i and far[i, k] >= far[i, j]]
            total.append(S[i if denominator == "anchor" else j][others].logsumexp(0) - S[i, j])
    return torch.stack(total).mean()


def some(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(size, 5).double(), torch.randn(size, 5).double()


TARGETS = {
    "different": lambda n: torch.randn(n).double(),
    "decimals": lambda n: (6 * torch.rand(n) - 3).round(decimals=1),  # float32: which distances tie is its rounding
    "few": lambda n: torch.randint(-3, 4, (n,)).double(),
    "equal": lambda n: torch.zeros(n).double(),
    "classes": lambda n: torch.randint(0, 3, (n,)),
}


@DENOMINATORS
@pytest.mark.parametrize("kind", list(TARGETS))
@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_the_contrast_equals_the_direct_form_with_its_gradients(size: int, kind: str, denominator: str) -> None:
    left, right = (one.requires_grad_() for one in some(size))
    target = TARGETS[kind](size)
    ours, theirs = supcr(left, right, target, 0.5, denominator), direct(left, right, target, 0.5, denominator)
    torch.testing.assert_close(ours, theirs, atol=1e-14, rtol=1e-14)
    for one, other in zip(
        torch.autograd.grad(ours, (left, right)), torch.autograd.grad(theirs, (left, right)), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-14, rtol=1e-12)


@DENOMINATORS
def test_the_gradient_of_the_contrast_is_its_slope(denominator: str) -> None:
    left, right = (one.requires_grad_() for one in some(6))
    assert torch.autograd.gradcheck(lambda a, b: supcr(a, b, SIX, 0.5, denominator), (left, right))


@DENOMINATORS
def test_only_the_order_of_label_distances_counts(denominator: str) -> None:
    left, right = some(6)
    order = torch.randperm(6)
    target = (8 * SIX.double()).round()  # exact under what follows, so that ties stay ties
    value = supcr(left, right, target, 0.5, denominator)
    same = [
        supcr(left[order], right[order], target[order], 0.5, denominator), supcr(right, left, target, 0.5, denominator),
        supcr(left, right, target + 64, 0.5, denominator), supcr(left, right, 4 * target, 0.5, denominator),
        supcr(3 * left, 0.2 * right, target, 0.5, denominator),
    ]  # fmt: skip
    for other in same:
        torch.testing.assert_close(other, value, atol=1e-14, rtol=1e-14)
    assert not torch.isclose(supcr(left, right, target.flip(0), 0.5, denominator), value)
    assert value >= 0


def test_with_equal_labels_the_contrast_is_a_mean_cross_entropy() -> None:
    left, right = some(7)
    rows = torch.nn.functional.normalize(torch.cat((left, right)), dim=1)
    S = (rows @ rows.T / 0.5).fill_diagonal_(-torch.inf)
    logs = S.log_softmax(1)[~torch.eye(14, dtype=torch.bool)]
    torch.testing.assert_close(supcr(left, right, torch.zeros(7), 0.5), -logs.mean())


@DENOMINATORS
def test_views_of_nothing_and_small_temperatures_stay_finite(denominator: str) -> None:
    left, right = (one.float() for one in some(6))
    left[2] = 0
    left, right = left.requires_grad_(), right.requires_grad_()
    for temperature in (0.5, 0.01):
        value = supcr(left, right, SIX, temperature, denominator)
        exact = direct(left.double().detach(), right.double().detach(), SIX, temperature, denominator)
        torch.testing.assert_close(value, exact.float(), atol=1e-5, rtol=1e-5)
        for gradient in torch.autograd.grad(value, (left, right)):
            assert torch.isfinite(gradient).all()
        assert not torch.autograd.grad(supcr(left, right, SIX, temperature, denominator), left)[0][2].any()


def test_no_array_has_three_indices() -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        most = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for one in made if isinstance(made, (tuple, list)) else [made]:
                self.most = max(self.most, one.numel() if isinstance(one, Tensor) else 0)
            return made

    left, right = (one.requires_grad_() for one in some(50))
    with Largest() as largest:
        for denominator in ("anchor", "positive"):
            supcr(left, right, torch.rand(50), 0.5, denominator).backward()
    assert largest.most <= 100 * 101


def test_positions_of_an_odd_width_lack_the_last_cosine() -> None:
    like = torch.zeros(1)
    odd = positions(4, 5, like)
    assert odd.shape == (4, 5)
    torch.testing.assert_close(odd[1, 2], torch.tensor(10_000.0 ** (-2 / 5)).sin())
    torch.testing.assert_close(odd[:, 1], torch.arange(4).float().cos())
    assert positions(4, 6, like).shape == (4, 6)


@pytest.mark.parametrize("other", [12, 7])
def test_attention_is_torch_s_with_its_names(other: int) -> None:
    from fusion.models.official.hscl import ATTENTION

    theirs = nn.MultiheadAttention(12, 3, kdim=other, vdim=other, batch_first=True)
    ours = MultiHead(12, 3, 0.0, other)
    nn.init.normal_(theirs.in_proj_bias)
    named = {name: theirs.state_dict()[ATTENTION[name]] for name in ours.state_dict()}
    assert len(named) == len(theirs.state_dict())
    ours.load_state_dict(named)
    queries, keys, seen = torch.randn(2, 4, 12), torch.randn(2, 5, other), torch.arange(5) < torch.tensor([[5], [3]])
    wanted, weights = theirs(queries, keys, keys, key_padding_mask=~seen, average_attn_weights=False)
    got, attention = ours(queries, keys, seen, trace=True)
    torch.testing.assert_close(got, wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(attention, weights, atol=1e-6, rtol=1e-5)


def test_the_encoder_s_layer_is_torch_s() -> None:
    from fusion.models.official.hscl import encoder_name

    theirs = nn.TransformerEncoderLayer(6, 2, 9, dropout=0.0, batch_first=True)
    ours, start = EncoderLayer(6, 2, 9, 0.0), len("transformer_encoder.layers.0.")
    ours.load_state_dict(
        {name: theirs.state_dict()[encoder_name(f"layers.0.{name}")[start:]] for name in ours.state_dict()}
    )
    x, seen = torch.randn(2, 5, 6), torch.arange(5) < torch.tensor([[5], [3]])
    wanted = theirs(x, src_key_padding_mask=~seen)
    torch.testing.assert_close(ours(x, seen), wanted, atol=1e-6, rtol=1e-5)


def batch(model: HSCL, size: int = 7) -> Batch:
    torch.manual_seed(5)
    made = stream_toys.batch(model.config, size)
    assert made.whole is not None
    return made.whole


def toy(**switches: Any) -> HSCL:
    model = build("hscl", **switches)
    assert isinstance(model, HSCL)
    return model


def test_published_padding_of_text_changes_nothing_and_released_does() -> None:
    for padding, changes in (("masked", False), ("attended", True)):
        model = toy(text_padding=padding)
        before = batch(model)
        longer = lambda tensors, value=0.0: {  # noqa: E731
            **tensors, "text": torch.nn.functional.pad(tensors["text"], (0, 0, 0, 3), value=value)
        }  # fmt: skip
        masks = {**before.mask, "text": torch.nn.functional.pad(before.mask["text"], (0, 3))}
        after = replace(before, features=longer(before.features, 0.7), mask=masks, kept=masks, steps={})
        apart = (model(before, trace=False).prediction - model(after, trace=False).prediction).abs().max()
        assert (apart > 1e-4) == changes
        assert changes or apart < 1e-6


def test_the_residual_of_the_cross_attention_is_a_switch() -> None:
    layer, own = toy(cross_residual="attended").fusions[0], toy(cross_residual="input").fusions[0]
    own.load_state_dict(layer.state_dict())
    text, other = torch.randn(2, 4, 5), torch.randn(2, 6, 3)
    seen = torch.ones(2, 4, dtype=torch.bool), torch.ones(2, 6, dtype=torch.bool)
    published, released = layer(text, other, *seen), own(text, other, *seen)
    torch.testing.assert_close(published.attended, released.attended)
    across = layer.cross(published.attended, other, seen[1])[0]
    torch.testing.assert_close(published.crossed, layer.cross_norm(published.attended + across))
    torch.testing.assert_close(released.crossed, layer.cross_norm(text + across))
    torch.testing.assert_close(
        published.share, across[:, 0].norm(dim=1) / published.attended[:, 0].norm(dim=1), atol=1e-6, rtol=1e-5
    )


def test_a_fixed_summary_gives_equal_answers_and_another_one_other_attention() -> None:
    model = toy(cls_token="noise")
    assert not list(model.summaries)
    assert not any("summar" in name for name in model.state_dict())
    made = batch(model)
    first = model(made, cls=model.draw(1))
    assert torch.equal(first.prediction, model(made, cls=model.draw(1)).prediction)
    other = model(made, cls=model.draw(2))
    for name in ("cross_attention_audio", "cross_attention_vision"):
        assert not torch.allclose(first.trace[name].value, other.trace[name].value)
    assert torch.equal(model(made).prediction, model(made, cls=model.draw(0)).prediction)
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(made, trace=False).prediction, model(made, trace=False).prediction)


def test_the_drawn_summary_has_the_released_deviations() -> None:
    with torch.device("meta"):
        model = HSCL(Config.released(widths=(768, 4000, 4000)))
    drawn = model.draw(3)
    assert abs(float(drawn["audio"].std()) - 1.0) < 0.05
    assert abs(float(drawn["vision"].std()) - 0.2) < 0.01
    wide = hscl_signals.spread(toy(cls_token="noise"), batch(toy()), draws=20)
    assert wide.shape == (20, 7)
    assert (wide.std(0) > 0).all()


def test_the_learned_summary_is_saved_and_trained() -> None:
    model = toy().train()
    made = batch(model)
    sum(model.loss(model(made), made).values()).backward()  # type: ignore[union-attr]  # a sum of tensors
    assert all(one.grad is not None and one.grad.any() for one in model.summaries)
    assert {"summaries.0", "summaries.1"} <= set(model.state_dict())


def test_the_loss_is_that_of_eq_5() -> None:
    for power in (2, 1):
        model = toy(similarity_power=power, supcr_denominator="positive")
        made = batch(model)
        output = model(made)
        config, terms, target = model.config, model.loss(output, made), made.target
        assert target is not None
        named = {name: output.trace[f"contrast_{name}"].value for name in config.modalities}
        pairs = [output.trace[f"contrast_pair_{name}"].value for name in config.modalities[1:]]
        contrast = sum(direct(named["text"], named[m], target, 0.5, "positive") for m in ("audio", "vision"))
        apart = sum((named["text"] - named[m]).pow(2).sum(1).sqrt().pow(power).mean() for m in ("audio", "vision"))
        expected = {
            "prediction": (output.prediction - target).abs().mean(), "single_contrast": 0.01 * contrast,
            "single_similarity": 0.01 * 0.1 * apart, "pair_contrast": 0.1 * direct(*pairs, target, 0.5, "positive"),
        }  # fmt: skip
        for name, value in expected.items():
            torch.testing.assert_close(terms[name], value, atol=1e-5, rtol=1e-5, msg=name)


def test_who_lacks_a_modality_is_left_out_of_its_contrast_alone() -> None:
    model = toy()
    made = batch(model)
    present = made.present.clone()
    present[2, 1] = False
    lacking = replace(made, present=present)
    rest = made.rows([0, 1, 3, 4, 5, 6])
    terms, fewer = model.loss(model(lacking), lacking), model.loss(model(rest), rest)
    torch.testing.assert_close(terms["pair_contrast"], fewer["pair_contrast"])
    assert not torch.isclose(terms["single_contrast"], fewer["single_contrast"])  # it still has text and vision
    present[:, 1] = False
    none = replace(made, present=present)
    terms = {name: value.detach() for name, value in model.loss(model(none), none).items()}
    assert terms["pair_contrast"] == 0.0
    assert terms["single_contrast"] > 0.0
    nothing = replace(made, present=present & False)
    with pytest.raises(FusionError, match='"sample 0" has none of text, audio, vision'):
        model(nothing)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("classes", [(), ("low", "middle", "high")])
def test_any_number_of_modalities_and_classes_works(count: int, classes: tuple[str, ...]) -> None:
    names, widths = ("text", "audio", "vision", "image", "other"), (6, 5, 7, 4, 9)
    torch.manual_seed(0)
    config = Config(
        modalities=names[: count + 1], widths=widths[: count + 1], steps=(6,) * (count + 1), projection=8,
        classes=classes, heads=3, encoder_layers=1,
    )  # fmt: skip
    model = HSCL(config).eval()
    made = stream_toys.batch(config, 5)
    output = model(made)
    assert output.prediction.shape == ((5, 3) if classes else (5,))
    terms = model.loss(output, made)
    assert (float(terms["pair_contrast"].detach()) == 0.0) == (count == 1)
    opinions = output.trace.first(Opinions)
    assert opinions is not None
    assert opinions.voices == tuple(f"text+{name}" for name in names[1 : count + 1])
    if count == 1:
        torch.testing.assert_close(opinions.value[:, 0], opinions.together)
    one = made.rows([3])
    torch.testing.assert_close(model(one).prediction[0], output.prediction[3], atol=1e-6, rtol=1e-5)
    assert all(torch.isfinite(term) for term in model.loss(model(one), one).values())


def test_the_signals_are_those_of_the_paper() -> None:
    model = toy()
    made = batch(model)
    output = model(made)
    trace = output.trace
    assert [one.name for one in trace.of(Attention)] == [
        "self_attention_audio", "cross_attention_audio", "self_attention_vision", "cross_attention_vision",
    ]  # fmt: skip
    audio = trace["cross_attention_audio"]
    assert isinstance(audio, Attention)
    assert audio.value.shape == (7, 5, 6, 10)  # the first key is the summary
    assert trace.steps["audio+summary"][0].labels[:2] == ("[summary]", "audio 1")
    assert trace.steps["audio+summary"][0].group[:2] == (-1, 0)
    assert audio.key_mask[:, 0].all()
    assert trace["fusion_feature"].value is output.fused
    assert {one.modality for one in trace.of(Embedding)} == {
        "fused", "text", "audio", "vision", "text+audio", "text+vision",
    }  # fmt: skip
    for name in ("text", "audio", "vision", "pair_audio", "pair_vision"):
        assert (trace[f"contrast_{name}"].value >= 0).all()
    feature = trace["fusion_feature"].value
    torch.testing.assert_close(model.answer(feature.tanh())[:, 0], output.prediction)


def test_a_set_tells_its_order_gap_and_silence() -> None:
    target = torch.linspace(-3, 3, 20)
    ordered = torch.stack((torch.ones(20), target / 30), 1)
    assert (hscl_signals.label_order(ordered, target) > 0.98).all()  # rounding turns a tie of distances over
    assert hscl_signals.label_order(ordered, torch.zeros(20)).isnan().all()
    classes = (target > 0).long()
    assert (hscl_signals.label_order(ordered, classes) > 0.1).all()
    model = toy()
    made = batch(model)
    output = model(made)
    assert made.target is not None
    extras = dict(output.extras)
    extras["views_audio"] = extras["views_audio"].clone()
    extras["views_audio"][3, 1] = 0
    found = hscl_signals.spaces(model, extras, made.target)
    assert [one.views for one in found] == [("text", "audio"), ("text", "vision"), ("text+audio", "text+vision")]
    assert found[0].silent == 1 + int((extras["views_audio"][:3] == 0).all(-1).sum())
    for one in found:
        assert one.vectors.shape == (14, 8)
        assert one.order.shape == (14,)
        assert 0 <= one.gap <= 2
    worth = hscl_signals.branch_worth(model, output.extras["branches"])
    assert worth.shape == (7, 2)
    alike = output.extras["branches"].mean(0).expand(7, -1, -1)
    torch.testing.assert_close(hscl_signals.branch_worth(model, alike), torch.zeros(7, 2), atol=1e-6, rtol=0)


def test_the_paper_s_settings_are_the_defaults() -> None:
    mosi = Config()
    assert (mosi.text_heads(), mosi.own_heads(), mosi.own_inner()) == (12, (1, 5), (32, 64))
    mosei = Config(widths=(768, 74, 35))
    assert (mosei.own_heads(), mosei.own_inner()) == ((2, 5), (32, 32))
    assert (mosi.similarity_weight, mosi.single_weight, mosi.pair_weight, mosi.temperature) == (0.1, 0.01, 0.1, 0.5)
    with torch.device("meta"):
        model = HSCL(Config.released())
    assert sum(p.numel() for p in model.parameters()) == 9_928_688  # of the released program outside its text encoder
    assert Config(widths=(11, 7, 7)).text_heads() == 11


def test_the_weights_are_drawn_by_xavier_and_many_times_over_as_released() -> None:
    torch.manual_seed(0)
    once = HSCL(Config(widths=(48, 5, 20)))
    torch.manual_seed(0)
    more = HSCL(Config(widths=(48, 5, 20), init="repeated"))
    for model in (once, more):
        weight = model.fusions[0].inner.weight
        assert abs(float(weight.detach().std()) - (2 / 96) ** 0.5) < 0.01
    assert not torch.equal(once.fusions[0].inner.weight, more.fusions[0].inner.weight)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"modalities": ("text",), "widths": (6,), "steps": (4,)}, "at least one more"),
        ({"widths": (768, 5)}, "3 modalities, 2 widths"),
        ({"heads": 7}, "does not divide by its 7 heads"),
        ({"encoder_heads": (2, 5)}, "width 5 of audio"),
        ({"encoder_heads": (1,)}, "encoder_heads has 1"),
        ({"classes": ("one",)}, "nothing to choose"),
        ({"temperature": 0.0}, "temperature"),
        ({"similarity_power": 3}, "similarity_power"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(FusionError, match=words):
        Config(**wrong)
