"""TATE: its tags, masks and losses are what the paper writes, each switch does what it says, and a teacher teaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion.blocks.sequences import masked_mean
from fusion.models.tate import TATE, Config
from fusion.models.tate_blocks import Block, Readout, divergence
from fusion.signals import Attention, ModalityScores, ModalityWeights, Norms, Opinions, Signal
from fusion.types import Batch, FusionError, Task

STEPS, WIDTHS, NAMES = (4, 5, 3), (6, 7, 5), ("vision", "audio", "text")
CODES = {
    (): (1, 0, 0, 0), ("vision",): (0, 1, 0, 0), ("audio",): (0, 0, 1, 0), ("text",): (0, 0, 0, 1),
    ("audio", "text"): (0, 0, 1, 1), ("vision", "text"): (0, 1, 0, 1), ("vision", "audio"): (0, 1, 1, 0),
}  # fmt: skip  # step 4 of the paper: complete and the six patterns
every_pattern = pytest.mark.parametrize("missing", list(CODES), ids=lambda gone: "+".join(gone) or "complete")


def made(**switches: Any) -> TATE:
    """The smallest of all TATEs, in evaluation mode."""
    torch.manual_seed(1)
    sizes = {"modalities": NAMES, "widths": WIDTHS, "steps": STEPS, "classes": ("-", "0", "+"), "width": 12}
    return TATE(Config(**(sizes | switches))).eval()


def given(size: int = 2, missing: tuple[str, ...] = (), names: tuple[str, ...] = NAMES, **sizes: Any) -> Batch:
    """Random features without padding; some modalities are taken away from every sample, `whole` has them."""
    torch.manual_seed(2)
    steps, widths = sizes.get("steps", STEPS), sizes.get("widths", WIDTHS)
    mask = {m: torch.ones(size, t, dtype=torch.bool) for m, t in zip(names, steps, strict=True)}
    whole = Batch(
        features={m: torch.randn(size, t, d) for m, t, d in zip(names, steps, widths, strict=True)}, pooled={},
        mask=mask, kept=mask, present=torch.ones(size, len(names), dtype=torch.bool), modalities=names,
        ids=tuple(f"sample {i}" for i in range(size)), target=torch.arange(size) % 3,
    )  # fmt: skip
    present = torch.tensor([m not in missing for m in names]).expand(size, -1)
    return replace(whole, present=present, whole=whole)


def signal(model: TATE, batch: Batch, name: str) -> Signal:
    return model(batch).trace[name]


@every_pattern
def test_the_tag_says_which_modalities_are_missing(missing: tuple[str, ...]) -> None:
    batch = given(missing=missing)
    model = made()
    output = model(batch)
    assert output.extras["tag"].tolist() == [list(map(float, CODES[missing]))] * 2
    assert torch.equal(output.extras["tagged"][:, :, -4:], output.extras["tag"][:, None].expand(-1, sum(STEPS), -1))
    terms = model.train().loss(model(batch, trace=False), batch)
    assert set(terms) == {"answer", "decoder", "tag", "decay"}
    torch.stack(list(terms.values())).sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(bool(torch.isfinite(grad).all()) for grad in grads)


def test_a_modality_of_which_every_step_is_hidden_is_missing() -> None:
    model, batch = made(), given(missing=("audio",))
    hidden = replace(batch, present=batch.whole.present, kept={**batch.kept, "audio": torch.zeros(2, 5) > 0})  # type: ignore[union-attr]
    torch.testing.assert_close(model(hidden).prediction, model(batch).prediction)


def zeroed(batch: Batch, modality: str) -> Batch:
    return replace(batch, features={**batch.features, modality: torch.zeros_like(batch.features[modality])})


def test_the_flag_alone_changes_the_published_answer_and_not_the_released_one() -> None:
    there, gone = zeroed(given(), "audio"), zeroed(given(missing=("audio",)), "audio")
    released = Config.released(eval_dropout=False)
    switches = {name: getattr(released, name) for name in ("tag", "teacher", "masked_readout", "padding")}
    for changes, same in ((switches, True), (switches | {"tag": "sample"}, False), ({}, False)):
        model = made(**changes)
        assert torch.equal(model(there).prediction, model(gone).prediction) is same
    assert Config.released().eval_dropout


def test_a_constant_tag_is_the_one_of_the_settings_and_its_caveat_says_so() -> None:
    model = made(tag="constant", constant_tag=(0, 0, 0, 1))
    shown = signal(model, given(missing=("vision",)), "tag")
    assert isinstance(shown, ModalityScores)
    assert shown.value.tolist() == [[0, 0, 0, 1]] * 2
    assert shown.caveat == "caveat.tag_constant"
    assert shown.modalities == ("complete", "without_vision", "without_audio", "without_text")


def test_a_row_of_zeros_stays_zero_and_is_one_constant_after_its_block() -> None:
    model, batch = made(), given(missing=("audio",))
    pass_ = model.run(batch, trace=True)
    assert not pass_.projected[1].any()
    constant = pass_.own[1][0, 0]
    assert constant.abs().max() > 0
    torch.testing.assert_close(pass_.own[1], constant.expand_as(pass_.own[1]))


def test_a_block_whose_keys_are_all_masked_is_finite_and_its_queries_take_nothing() -> None:
    torch.manual_seed(0)
    block, x, nothing = Block(8, 2), torch.randn(3, 4, 8), torch.zeros(3, 4)
    for trace in (True, False):
        result, inside = block(x, nothing, nothing > 0, 0.0, trace=trace)
        assert torch.isfinite(result).all()
        torch.testing.assert_close(inside.after, block.attended_norm(x))


def test_one_row_that_counts_n_times_is_n_rows() -> None:
    torch.manual_seed(0)
    block, readout, x = Block(8, 2), Readout(8), torch.randn(3, 4, 8)
    counts = torch.tensor([1.0, 5.0, 1.0, 0.0]).expand(3, -1)
    many = torch.cat((x[:, :1], x[:, 1:2].expand(-1, 5, -1), x[:, 2:3]), 1)
    for trace in (True, False):
        few, _ = block(x, counts, None, 0.0, trace=trace)
        all_, _ = block(many, torch.ones(3, 7), None, 0.0, trace=trace)
        torch.testing.assert_close(few[:, :3], all_[:, [0, 1, 6]])
    vector, share = readout(x, counts)
    same, each = readout(many, torch.ones(3, 7))
    torch.testing.assert_close(vector, same)
    torch.testing.assert_close(share[:, 1], each[:, 1:6].sum(1))


def test_a_missing_modality_counts_as_many_rows_as_it_can_have_whatever_it_had() -> None:
    model, batch = made(), given(missing=("audio",))
    short = {m: value[:, :2] if m == "audio" else value for m, value in batch.features.items()}
    less = {m: value[:, :2] if m == "audio" else value for m, value in batch.mask.items()}
    other = replace(batch, features=short, mask=less, kept=less, whole=None)
    torch.testing.assert_close(model(other).prediction, model(batch).prediction)
    assert not torch.allclose(made(steps=(4, 9, 3))(batch).prediction, model(batch).prediction)


def test_gradient_reaches_both_uses_of_each_shared_matrix() -> None:
    model = made()
    for number, (a, b) in enumerate(model.config.pairs):
        for m in (a, b):
            model.zero_grad()
            model.run(given(), trace=False).shared[number][(a, b).index(m)].square().sum().backward()
            for n, space in enumerate(model.shared):
                assert (space.weight.grad is not None and bool(space.weight.grad.any())) is (n == number)
            reached = [next(project.parameters()).grad is not None for project in model.project]
            assert reached == [n == m for n in range(3)]


def test_a_modality_holds_its_shared_spaces_in_the_order_of_the_others() -> None:
    made_ = made().run(given(), trace=False)
    (va, av), (vt, tv), (at, ta) = made_.shared
    common = torch.cat((torch.cat((va, vt), -1), torch.cat((av, at), -1), torch.cat((tv, ta), -1)), 1)
    assert torch.equal(made_.tagged[:, :, :12], common)


def test_the_divergence_is_symmetric_and_zero_only_between_equals() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(5, 9), torch.randn(5, 9)
    torch.testing.assert_close(divergence(x, y), divergence(y, x))
    assert (divergence(x, y) > 0).all()
    assert not divergence(x, x).any()
    torch.testing.assert_close(divergence(x, x + 3.0), torch.zeros(5), atol=1e-6, rtol=0)  # a softmax knows no offset
    p, q = x.softmax(-1), y.softmax(-1)
    plain = (p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)
    torch.testing.assert_close(divergence(x, y), plain, atol=1e-5, rtol=1e-5)


def test_losses_are_sums_over_samples_but_for_the_tag_and_the_decay() -> None:
    model, one = made(), given(2)
    two = one.rows([0, 1, 0, 1])
    first, second = (model.loss(model(batch), batch) for batch in (one, two))
    for name in first:
        factor = 1 if name in ("tag", "decay") else 2
        torch.testing.assert_close(second[name], factor * first[name])


def test_terms_are_those_of_equation_five() -> None:
    model, batch = made(), given(missing=("text",))
    made_ = model.run(batch, trace=False)
    output = model(batch)
    terms = model.loss(output, batch)
    assert batch.target is not None
    torch.testing.assert_close(
        terms["answer"], torch.nn.functional.cross_entropy(output.prediction, batch.target, reduction="sum")
    )
    rows = divergence(made_.decoded, made_.tagged)
    real = torch.cat((rows[:, :9], rows[:, 9:10].expand(-1, 3)), 1)  # the three rows of the missing text are one
    torch.testing.assert_close(terms["decoder"], 0.1 * real.mean(1).sum())
    told = torch.sigmoid(made_.fused[:, -4:])
    torch.testing.assert_close(terms["tag"], 0.1 * (told - torch.tensor([0.0, 0, 0, 1])).abs().mean())
    weights = sum(p.square().sum() for p in model.answer.parameters())
    torch.testing.assert_close(terms["decay"], torch.as_tensor(weights) * 1e-4 / 2)
    nothing = replace(output, fused=torch.zeros_like(output.fused))
    assert model.terms(nothing, batch.target, None)["tag"] == pytest.approx(0.05)  # half of the digits, times 0.1


def test_the_readout_of_equal_scores_takes_each_modality_by_its_size() -> None:
    steps = (100, 150, 25)
    model, batch = made(steps=steps), given(steps=steps)
    torch.nn.init.zeros_(model.readout.score.weight)
    mass, lift = signal(model, batch, "readout_mass"), signal(model, batch, "readout_lift")
    assert isinstance(mass, ModalityWeights)
    torch.testing.assert_close(mass.value, torch.tensor([100, 150, 25]).expand(2, -1) / 275)
    torch.testing.assert_close(lift.value, torch.ones(2, 3))
    gone = signal(model, replace(batch, present=torch.tensor([[True, False, True]] * 2)), "readout_mass")
    torch.testing.assert_close(gone.value, torch.tensor([[0.8, 0.0, 0.2]] * 2))


def test_the_released_readout_takes_padding_and_missing_modalities_in() -> None:
    model, batch = made(masked_readout=False, padding="attended"), given(missing=("vision",))
    torch.nn.init.zeros_(model.readout.score.weight)
    short = torch.arange(5) < torch.tensor([[2], [3]])
    batch = replace(batch, mask={**batch.mask, "audio": short}, kept={**batch.kept, "audio": short})
    mass = signal(model, batch, "readout_mass")
    assert isinstance(mass, ModalityWeights)
    assert mass.modalities == (*NAMES, "padding")
    torch.testing.assert_close(mass.value, torch.tensor([[4.0, 2, 3, 3], [4, 3, 3, 2]]) / 12)
    torch.testing.assert_close(signal(model, batch, "readout_lift").value, torch.ones(2, 4))
    cut = {m: value[:, :3] if m == "audio" else value for m, value in batch.features.items()}
    less = {m: value[:, :3] if m == "audio" else value for m, value in batch.mask.items()}
    other = replace(batch, features=cut, mask=less, kept=less, whole=None)
    torch.testing.assert_close(model(other).prediction, model(batch).prediction)  # it pads by itself


def test_attention_between_modalities_adds_up_the_attention_between_positions() -> None:
    model, batch = made(), given()
    whole, blocks = signal(model, batch, "encoder_attention"), signal(model, batch, "block_attention")
    assert isinstance(whole, Attention)
    starts = (0, 4, 9, 12)
    for q in range(3):
        for k in range(3):
            part = whole.value[:, :, starts[q] : starts[q + 1], starts[k] : starts[k + 1]]
            torch.testing.assert_close(blocks.value[:, :, q, k], part.sum(-1).mean(-1))


def test_missing_modalities_are_attended_but_not_read_out() -> None:
    trace = made()(given(missing=("audio",))).trace
    blocks, mass = trace["block_attention"].value, trace["readout_mass"].value
    assert (blocks[:, :, :, 1] > 0).all()
    assert not mass[:, 1].any()


def test_cosines_in_shared_spaces_are_those_of_the_vectors_shown() -> None:
    model = made()
    trace = model(given()).trace
    cosines = trace["shared_cosine"]
    assert isinstance(cosines, ModalityScores)
    assert cosines.modalities == ("audio_vision", "text_vision", "audio_text")
    for column, pair in enumerate(cosines.modalities):
        a, b = (trace[f"shared_{pair}_{m}"].value for m in pair.split("_"))
        torch.testing.assert_close(cosines.value[:, column], torch.nn.functional.cosine_similarity(a, b))
    assert not model(given(missing=("audio",))).trace["shared_cosine"].value[:, [0, 2]].any()


def test_equal_confidences_weigh_a_third_each() -> None:
    model = made(weighted=True)
    for sure in model.sure:
        for parameter in sure.parameters():
            torch.nn.init.zeros_(parameter)
    weighted, plain = model.run(given(), trace=False), made().run(given(), trace=False)
    model.load_state_dict({**model.state_dict(), **made().state_dict()})
    weighted = model.run(given(), trace=False)
    assert weighted.sure is not None
    torch.testing.assert_close(weighted.sure.weight, torch.full((2, 3), 1 / 3))
    torch.testing.assert_close(weighted.tagged[:, :, :12], plain.tagged[:, :, :12] / 3)


@every_pattern
def test_weights_of_three_classes_stay_in_their_narrow_range(missing: tuple[str, ...]) -> None:
    model = made(weighted=True)
    for sure in model.sure:
        torch.nn.init.normal_(next(sure.parameters()), std=30.0)  # as sure as can be
    trace = model(given(8, missing)).trace
    weights, opinions = trace["confidence_weight"].value, trace["modality_opinion"]
    assert isinstance(opinions, Opinions)
    assert (weights >= 0.203).all()
    assert (weights <= 0.494).all()
    assert opinions.present.tolist() == [[m not in missing for m in NAMES]] * 8
    torch.testing.assert_close(opinions.value.amax(-1), trace["modality_confidence"].value)
    names = [name for name, _ in model.named_parameters() if name.startswith("pools.")]
    assert len(names) == 9  # three pools with W_u, W_m and W_r of their own


def test_the_teacher_reads_complete_samples_and_learns_from_them_alone() -> None:
    model, batch = made().train(), given(3, ("audio",))
    model.start("teacher")
    assert batch.whole is not None
    torch.manual_seed(0)
    output = model(batch, trace=False)
    torch.manual_seed(0)
    assert torch.equal(output.prediction, model(batch.whole, trace=False).prediction)
    assert output.extras["tag"][:, 0].all()
    terms = model.loss(output, batch)
    assert set(terms) == {"answer", "decay"}
    total = sum(float(p.detach().square().sum()) for p in model.parameters())
    assert float(terms["decay"].detach()) == pytest.approx(1e-4 / 2 * total, rel=1e-5)
    lacking = replace(
        batch, whole=replace(batch.whole, present=torch.tensor([[True] * 3, [True, False, True], [True] * 3]))
    )
    output = model(lacking, trace=False)
    each = torch.nn.functional.cross_entropy(output.prediction, lacking.target, reduction="none")  # type: ignore[arg-type]
    torch.testing.assert_close(model.loss(output, lacking)["answer"], each[0] + each[2])


def taught() -> tuple[TATE, dict[str, Tensor]]:
    """A model in its last stage, and what its teacher had learned."""
    model = made()
    model.start("teacher")
    learned = {name: value.clone() for name, value in model.state_dict().items()}
    model.start("fusion")
    return model, learned


def test_the_teacher_is_a_frozen_copy_beside_a_network_that_starts_anew() -> None:
    model, learned = taught()
    assert model.state_dict().keys() == learned.keys()
    assert not torch.equal(model.state_dict()["hidden.weight"], learned["hidden.weight"])
    batch = given(missing=("audio",))
    terms = model.loss(model(batch), batch)
    assert terms["teacher"] > 0
    terms["teacher"].backward()
    assert model.hidden.weight.grad is None
    assert model.encoder.query.weight.grad is not None
    copy = made()
    copy.load_state_dict(learned)
    target = copy.run(batch.whole, trace=False).encoded  # type: ignore[arg-type]
    gap = divergence(model.run(batch, trace=False).encoded, target)
    torch.testing.assert_close(terms["teacher"], 0.1 * gap.mean(1).sum())
    shown = model(batch).trace["teacher_gap"]
    assert isinstance(shown, Norms)
    torch.testing.assert_close(shown.value, gap)
    model.load_state_dict(learned)
    assert float(model.loss(model(batch.whole), batch.whole)["teacher"].detach()) < 1e-6  # type: ignore[arg-type]


def test_samples_that_never_were_complete_have_no_teacher() -> None:
    model, _ = taught()
    batch = given(missing=("audio",))
    lacking = replace(batch, whole=batch)
    assert float(model.loss(model(lacking), lacking)["teacher"].detach()) == 0
    assert not model(lacking).trace["teacher_gap"].value.any()


def test_the_released_teacher_is_the_network_with_another_draw_of_dropout() -> None:
    batch = given(missing=("audio",))
    for rate, silent in ((0.0, True), (0.5, False)):
        model = made(teacher="self", dropout=rate, eval_dropout=True)
        model.start("teacher")
        learned = model.state_dict()["hidden.weight"].clone()
        model.start("fusion")
        assert torch.equal(model.state_dict()["hidden.weight"], learned)
        assert (float(model.loss(model(batch), batch)["teacher"].detach()) < 1e-9) is silent
        assert ("teacher_gap" in model(batch).trace) is True


def test_dropout_is_off_in_evaluation_unless_it_is_asked_for() -> None:
    batch = given()
    quiet, noisy = made(dropout=0.5), made(dropout=0.5, eval_dropout=True)
    assert torch.equal(quiet(batch).prediction, quiet(batch).prediction)
    assert not torch.equal(noisy(batch).prediction, noisy(batch).prediction)


@pytest.mark.parametrize(("count", "heads"), [(2, 3), (3, 4), (4, 1), (5, 3)])
def test_any_number_of_modalities_from_two_up(count: int, heads: int) -> None:
    names, steps, widths = tuple("abcde"[:count]), tuple(range(3, 3 + count)), tuple(range(2, 2 + count))
    model = made(modalities=names, steps=steps, widths=widths, classes=())
    assert model.task is Task.REGRESSION
    assert model.encoder.heads == heads  # of 12 + count + 1 numbers, the most of up to 4 that divides them
    batch = given(3, (names[1],), names, steps=steps, widths=widths)
    batch = replace(batch, target=torch.tensor([0.5, -1.0, 2.0]))
    output = model(batch)
    assert output.prediction.shape == (3,)
    assert output.fused.shape == (3, 12 + count + 1)
    terms = model.loss(output, batch)
    torch.testing.assert_close(terms["answer"], (output.prediction - batch.target).abs().sum())
    assert output.trace["tag"].value.tolist() == [[0.0, *(float(m == names[1]) for m in names)]] * 3


def test_vectors_of_a_modality_are_the_mean_of_its_steps() -> None:
    model, batch = made(), given()
    own = model.run(batch, trace=False).own[2]
    shown = signal(model, batch, "embedding_text").value
    torch.testing.assert_close(shown, masked_mean(own, batch.mask["text"]))


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"width": 10}, "heads 4"), ({"width": 12, "joint_heads": 5}, "joint_heads 5"),
        ({"modalities": ("text",)}, "two modalities"), ({"steps": (4, 5)}, "a longest length"),
        ({"tag": "constant", "constant_tag": (0, 1)}, "constant_tag has 2"),
        ({"weighted": True, "classes": ()}, "name the classes"), ({"tag": "other"}, "tag"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(switches: dict[str, Any], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        made(**switches)


def test_a_sample_with_nothing_to_read_is_named() -> None:
    model, batch = made(), given()
    with pytest.raises(FusionError, match='"sample 1"'):
        model(replace(batch, present=torch.tensor([[True] * 3, [False] * 3])))
    none = {m: torch.tensor([[True], [False]]) & kept for m, kept in batch.kept.items()}
    with pytest.raises(FusionError, match='"sample 1"'):
        model(replace(batch, kept=none))


def test_more_steps_than_it_was_made_for_are_refused() -> None:
    with pytest.raises(FusionError, match='"audio" has 5 steps and this model reads 4'):
        made(steps=(4, 4, 3))(given())


def test_an_unknown_stage_is_refused() -> None:
    with pytest.raises(FusionError, match='no stage "warm"'):
        made().start("warm")
