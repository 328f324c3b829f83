"""MAF: each equation on numbers worked out by hand, and the identities that hold whatever the weights."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion.losses import info_nce, unit
from fusion.models.maf import MAF, Config
from fusion.signals import Attention, FusionOutput
from fusion.types import Batch, FusionError
from tests.toys import build, maf_batch


def fill(parameter: Tensor, values: list[Any]) -> None:
    with torch.no_grad():
        parameter.copy_(torch.tensor(values, dtype=torch.float32))


def two_numbers_wide() -> MAF:
    """One word, one region, D = 2, two classes; every weight chosen so that the pass can be done on paper."""
    model = MAF(
        Config(
            text_width=2, image_width=2, regions=1, max_length=1, heads=1, inner_width=3, classes=("O", "B-LOC"),
            dropout=0.0, temperature=0.5,
        )
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(float(name.endswith("norm.weight")))
    eye = [[1.0, 0.0], [0.0, 1.0]]
    layer = model.cross[0]
    for weight in (model.region_map.weight, layer.attended.weight, model.gate_text.weight):
        fill(weight, eye)
    fill(layer.value.weight, [[2.0, 0.0], [0.0, 2.0]])
    fill(layer.inner.weight, [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    fill(layer.outer.weight, [[0.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    fill(model.match.weight, [[0.0, 0.0, 0.0, 0.0], [0.5, 9.0, 0.0, 1.0]])
    fill(model.gate_image.weight, [[2.0, 0.0], [0.0, 2.0]])
    fill(model.emission.weight, [[3.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 1.0]])
    fill(model.emission.bias, [0.25, -0.5])
    return model


def one_word(target: int | None = None) -> Batch:
    """X = (1, 0) and one region (0, 1); p and v are the same vectors."""
    there = torch.ones(1, 1, dtype=torch.bool)
    text, image = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    return Batch(
        features={"text": text, "image": image},
        pooled={"text": text[:, 0], "image": image[:, 0]},
        mask={"text": there, "image": there},
        kept={"text": there, "image": there},
        present=torch.ones(1, 2, dtype=torch.bool),
        modalities=("text", "image"),
        ids=("one",),
        target=None if target is None else torch.tensor([[target]]),
    )


def near(got: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(got.flatten(), torch.tensor(expected), atol=1e-4, rtol=0)


def test_equation_2_alignment_heads() -> None:
    model = two_numbers_wide()
    fill(model.align_text[0].weight, [[2.0, 0.0], [-1.0, 0.0]])
    fill(model.align_text[0].bias, [0.5, 0.25])
    fill(model.align_text[2].weight, [[1.0, 5.0], [2.0, 7.0]])
    fill(model.align_text[2].bias, [0.0, -1.0])
    # W_1 p + b = (2.5, -0.75); ReLU = (2.5, 0); W_2 . + b = (2.5, 5 - 1)
    output = model(one_word())
    near(output.extras["align_text"], [2.5, 4.0])
    near(output.trace["aligned_text"].value, [2.5 / math.hypot(2.5, 4), 4 / math.hypot(2.5, 4)])


def test_equation_3_attention_over_two_regions() -> None:
    layer = two_numbers_wide().cross[0]
    for weight in (layer.query.weight, layer.key.weight):
        fill(weight, [[1.0, 0.0], [0.0, 1.0]])
    queries, regions = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[3.0, 1.0], [1.0, -1.0]]])
    _, attention = layer(queries, regions, torch.ones(1, 2, dtype=torch.bool), trace=True)
    # scores 3 and 1 over sqrt(2): the first gets 1 / (1 + e^-sqrt(2)) = 0.8044
    near(attention, [0.8044, 0.1956])


def test_equation_3_the_layer_around_it() -> None:
    output = two_numbers_wide()(one_word())
    # one region: A = 1. Context 2 V = (0, 2); X + context = (1, 2); LN = (-1, 1); GELU(1) = 0.8413 comes back four
    # times in the second place: (-1, 4.3654); LN = (-1, 1)
    near(output.trace["region_attention"].value, [1.0])
    near(output.extras["cross_output"], [-1.0, 1.0])


def test_equations_4_to_6_on_paper() -> None:
    output = two_numbers_wide()(one_word())
    # (4) c = (0, 0.5*1 + 9*0 + 0*-1 + 1*1) = (0, 1.5), P = 1 / (1 + e^-1.5) = 0.8176
    near(output.extras["match_logits"], [0.0, 1.5])
    near(output.trace["match_score"].value, [0.8176])
    # (5) O' = (-0.8176, 0.8176); G = sigmoid(1 - 1.6351, 0 + 1.6351) = (0.3463, 0.8369); Z = (-0.2832, 0.6842)
    near(output.trace["gate"].value, [0.3463, 0.8369])
    near(output.extras["gated"], [-0.2832, 0.6842])
    near(output.trace["image_share"].value, [math.hypot(0.2832, 0.6842)])
    # (6) E = (3*1 + 0.25, 0.2832 + 0.6842 - 0.5)
    near(output.extras["emissions"], [3.25, 0.4674])
    near(output.trace["emission_parts"].value, [3.0, 0.0, 0.0, 0.9674, 0.25, -0.5])
    near(output.trace["crf_marginals"].value, [1 / (1 + math.exp(-2.7826)), 1 / (1 + math.exp(2.7826))])
    assert output.prediction.tolist() == [[0]]


def test_equation_7_on_two_pairs() -> None:
    text, image = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    # cosines (1, 0.7071; 0, 0.7071) over 0.5
    high, low = 2.0, math.sqrt(2)
    forth = (math.log(math.exp(high) + math.exp(low)) - high + math.log(1 + math.exp(low)) - low) / 2
    back = (math.log(math.exp(high) + 1) - high + math.log(2 * math.exp(low)) - low) / 2
    assert float(info_nce(text, image, 0.5, 1.0)) == pytest.approx(forth, abs=1e-6)
    assert float(info_nce(text, image, 0.5, 0.0)) == pytest.approx(back, abs=1e-6)
    assert float(info_nce(text, image, 0.5, 0.7)) == pytest.approx(0.7 * forth + 0.3 * back, abs=1e-6)


def test_equation_8_adds_up_with_its_weights() -> None:
    model, batch = two_numbers_wide(), one_word(target=1)
    terms = {name: term.detach() for name, term in model.loss(model(batch), batch).items()}
    # -log p(1) = log(1 + e^2.7826), CE of a true pair = log(1 + e^-1.5); one pair alone has nothing to be told from
    assert float(terms["tagging"]) == pytest.approx(0.62 * math.log(1 + math.exp(2.7826)), abs=1e-4)
    assert float(terms["matching"]) == pytest.approx(0.38 * math.log(1 + math.exp(-1.5)), abs=1e-4)
    assert float(terms["alignment"]) == pytest.approx(0.0, abs=1e-6)


def loop_loss(text: Tensor, image: Tensor, temperature: float, share: float) -> float:
    """Eq. (7) as it is written: one exponential at a time."""
    size = len(text)
    score = [[float(torch.cosine_similarity(t, i, dim=0)) / temperature for i in image] for t in text]
    total = 0.0
    for a in range(size):
        forth = math.exp(score[a][a]) / sum(math.exp(score[a][b]) for b in range(size))
        back = math.exp(score[a][a]) / sum(math.exp(score[b][a]) for b in range(size))
        total -= (share * math.log(forth) + (1 - share) * math.log(back)) / size
    return total


def test_the_alignment_loss_equals_its_loop_and_knows_no_scale_and_no_side() -> None:
    text, image = torch.randn(9, 5, dtype=torch.float64), torch.randn(9, 5, dtype=torch.float64)
    loss = float(info_nce(text, image, 0.179, 0.7))
    assert loss == pytest.approx(loop_loss(text, image, 0.179, 0.7), abs=1e-6)
    assert loss == pytest.approx(float(info_nce(image, text, 0.179, 0.3)), abs=1e-12)
    assert loss == pytest.approx(float(info_nce(text * torch.rand(9, 1) * 7, image, 0.179, 0.7)), abs=1e-12)
    assert math.isfinite(float(info_nce(text, image, 1e-3, 0.7)))  # where exponentials one at a time overflow


def test_a_zero_vector_has_a_loss_and_a_gradient() -> None:
    text = torch.zeros(3, 5, requires_grad=True)
    loss = info_nce(text, torch.randn(3, 5), 0.179, 0.7)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(3), abs=1e-6)
    assert text.grad is not None
    assert torch.isfinite(text.grad).all()
    assert torch.equal(unit(torch.zeros(2, 4)), torch.zeros(2, 4))


def toy(size: int = 7, **switches: Any) -> tuple[MAF, Batch]:
    model = build("maf", **switches)
    assert isinstance(model, MAF)
    torch.manual_seed(5)
    return model, maf_batch(model.config, size)


def test_exchanging_regions_moves_attention_along_and_leaves_what_comes_of_it() -> None:
    model, batch = toy()
    order = torch.randperm(model.config.regions)
    moved = replace(
        batch,
        features={**batch.features, "image": batch.features["image"][:, order]},
        kept={**batch.kept, "image": batch.kept["image"][:, order]},
    )
    before, after = model(batch), model(moved)
    for ours, theirs in zip(before.trace.of(Attention), after.trace.of(Attention), strict=True):
        torch.testing.assert_close(ours.value[..., order], theirs.value, atol=1e-6, rtol=0)
    torch.testing.assert_close(before.extras["cross_output"], after.extras["cross_output"], atol=1e-5, rtol=0)
    assert torch.equal(before.prediction, after.prediction)


@pytest.mark.parametrize("how", ["no picture", "a text-only network"])
def test_with_a_match_of_zero_the_picture_says_nothing(how: str) -> None:
    model, batch = toy(use_image=how == "no picture")
    output = model(batch.without("image") if how == "no picture" else batch)
    assert torch.equal(output.trace["match_score"].value, torch.zeros(len(batch)))
    assert torch.equal(output.extras["gated"], torch.zeros_like(output.extras["gated"]))
    text, image, bias = output.trace["emission_parts"].value.unbind(1)
    assert torch.equal(image, torch.zeros_like(image))
    torch.testing.assert_close(output.extras["emissions"], text + bias, atol=1e-6, rtol=1e-6)


def test_the_voices_are_the_two_halves_of_the_emission_matrix() -> None:
    model, batch = toy()
    made = model(batch)
    parts, width = made.trace["emission_parts"].value, model.config.text_width
    image = made.extras["gated"] @ model.emission.weight[:, width:].T
    torch.testing.assert_close(parts[:, 1], image, atol=1e-6, rtol=0)
    torch.testing.assert_close(parts.sum(1), made.extras["emissions"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("padding", ["published", "masked"])
def test_what_the_encoder_left_at_padding_moves_the_match_only_as_published(padding: str) -> None:
    model, batch = toy(cm_padding=padding)
    features = batch.features["text"] + 3 * torch.randn_like(batch.features["text"]) * ~batch.mask["text"][..., None]
    other = model(replace(batch, features={**batch.features, "text": features}))
    padded = ~batch.mask["text"].all(1)
    assert padded.any()
    assert (~padded).any()
    moved = (model(batch).trace["match_score"].value - other.trace["match_score"].value).abs()
    assert (moved[~padded] < 1e-6).all()
    assert (moved[padded] > 1e-6).all() == (padding == "published")


def test_the_published_head_takes_texts_of_the_trained_length_only() -> None:
    model, batch = toy(cm_padding="published")
    short = lambda tensors, steps: {**tensors, "text": tensors["text"][:, :steps]}  # noqa: E731
    cut = replace(batch, features=short(batch.features, 5), mask=short(batch.mask, 5), kept=short(batch.kept, 5))
    with pytest.raises(FusionError, match="pad texts to 9 pieces, not 5"):
        model(cut)
    longer = lambda tensors: {**tensors, "text": tensors["text"].repeat_interleave(2, 1)}  # noqa: E731
    long = replace(batch, features=longer(batch.features), mask=longer(batch.mask), kept=longer(batch.kept))
    with pytest.raises(FusionError, match="has 18 word pieces; this checkpoint reads 9"):
        model(long)


def train(model: MAF, batch: Batch) -> FusionOutput:
    return model.train()(batch, trace=False)


@pytest.mark.parametrize("negatives", ["images", "representations"])
def test_a_batch_of_2k_or_fewer_has_no_negatives_nor_has_evaluation(negatives: str) -> None:
    for size in (1, 3, 4):
        model, batch = toy(size, negatives=negatives)
        made = train(model, batch)
        assert made.extras["match_target"].tolist() == [1] * size
        torch.testing.assert_close(made.extras["match_logits"].softmax(-1)[:, 1], made.extras["match"])
    model, batch = toy(5, negatives=negatives)
    assert train(model, batch).extras["match_target"].tolist() == [1, 0, 0, 0, 0]
    assert model.eval()(batch).extras["match_target"].tolist() == [1] * 5
    model, batch = toy(9, negatives=negatives, negative_rate=0)
    assert train(model, batch).extras["match_target"].tolist() == [1] * 9


@pytest.mark.parametrize("negatives", ["images", "representations"])
def test_negatives_are_the_last_2k_with_halves_exchanged(negatives: str) -> None:
    model, batch = toy(7, negatives=negatives)
    plain, made = model.eval()(batch).extras["match_logits"], train(model, batch).extras["match_logits"]
    torch.testing.assert_close(made[:3], plain[:3], atol=1e-5, rtol=0)
    partner = [0, 1, 2, 5, 6, 3, 4]
    if negatives == "images":
        swapped = {part: {**tensors, "image": tensors["image"][partner]} for part, tensors in (
            ("features", batch.features), ("kept", batch.kept), ("mask", batch.mask),
        )}  # fmt: skip
        expected = model.eval()(replace(batch, **swapped)).extras["match_logits"]
    else:
        text, _, read = model._inputs(batch)
        expected = model._match_logits(text, model.eval()(batch).extras["cross_output"][partner], read)
    torch.testing.assert_close(made[3:], expected[3:], atol=1e-5, rtol=0)


def test_why_pictures_are_exchanged_and_not_finished_representations() -> None:
    """The matching head is linear, so a finished representation that is exchanged tells it nothing on average.

    c is a term in X plus a term in O~: over a set of exchanges the logits of the wrong pairs add up to exactly those of
    the true pairs (where all positions are read), and no weights can score the wrong ones lower on average. With the
    pictures exchanged before the co-attention, O~ depends on both sides and the sums part.
    """
    for seed in range(3):
        torch.manual_seed(seed)
        for negatives in ("representations", "images"):
            model, batch = toy(9, negatives=negatives, cm_padding="published")
            with torch.no_grad():
                model.match.weight.normal_()
            true = model.eval()(batch).extras["match_logits"][-4:].sum(0)
            wrong = train(model, batch).extras["match_logits"][-4:].sum(0)
            assert torch.allclose(true, wrong, atol=1e-4) == (negatives == "representations")


@pytest.mark.parametrize("swap", [False, True])
def test_tagging_meets_wrong_pictures_in_training_only_as_released(swap: bool) -> None:
    model, batch = toy(7, negatives="representations", cm_swap_in_ner=swap)
    plain, made = model.eval()(batch).extras["emissions"], train(model, batch).extras["emissions"]
    torch.testing.assert_close(made[:3], plain[:3], atol=1e-5, rtol=0)
    assert torch.allclose(made[3:], plain[3:], atol=1e-5) != swap


def test_dropout_spares_the_alignment_heads() -> None:
    model, batch = toy(dropout=0.5)
    made, plain = train(model, batch).extras, model.eval()(batch).extras
    for name in ("align_text", "align_image"):
        assert torch.equal(made[name], plain[name])
    assert not torch.allclose(made["cross_output"], plain["cross_output"])


def test_the_released_switches_and_settings_that_contradict() -> None:
    released = Config.released(max_length=9)
    assert (released.negatives, released.cm_swap_in_ner, released.cm_padding) == ("representations", True, "published")
    assert released.max_length == 9
    with pytest.raises(FusionError, match="reads exchanged representations"):
        Config(cm_swap_in_ner=True)
    with pytest.raises(FusionError, match="does not divide by heads 5"):
        Config(heads=5)


def test_the_defaults_are_those_of_the_paper() -> None:
    model = MAF(Config())
    assert model.match.weight.shape == (2, 196_608)
    assert (model.config.temperature, model.config.text_share, model.config.tagging_share) == (0.179, 0.7, 0.62)
    # 136,087,506 of the released program, less its text encoder (108,310,272) and its two unread layers (14,175,744)
    assert sum(p.numel() for p in model.parameters()) == 136_087_506 - 108_310_272 - 14_175_744
