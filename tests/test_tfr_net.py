"""TFR-Net: its fast parts are exact, its switches do what the released program did, its identities hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from fusion.blocks.dropping import Dropout, draws, keep
from fusion.blocks.prenorm import Attend, later, sinusoids
from fusion.blocks.recurrent import bidirectional
from fusion.blocks.tiled import attend
from fusion.models.official import tfr_net as names
from fusion.models.tfr_net import Config, TFRNet
from fusion.models.tfr_net_blocks import cmd
from fusion.models.tfr_net_signals import spread
from fusion.signals import Reconstruction, Trace
from fusion.types import Batch, FusionError, Sample
from fusion.views import draw
from fusion.views.speech import num
from tests import stream_toys
from tests.toys import TOYS, build


def toy(**switches: Any) -> TFRNet:
    model = build("tfr_net", **switches)
    assert isinstance(model, TFRNet)
    return model


def random_batch(model: TFRNet, size: int = 6) -> Batch:
    torch.manual_seed(5)
    return stream_toys.batch(model.config, size)


def guesses(model: TFRNet, batch: Batch) -> dict[str, Tensor]:
    return {s.name: s.value for s in model(batch).trace if s.name.startswith("reconstruction_")}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_loop_over_both_directions_is_the_gru(size, layers):
    torch.manual_seed(1)
    gru = nn.GRU(5, 4, layers, batch_first=True, bidirectional=True).double()
    lengths = torch.tensor([7, 1, 4])[:size]
    mine, theirs = (torch.randn(size, 9, 5, dtype=torch.float64).requires_grad_() for _ in range(2))
    theirs.data.copy_(mine.data)
    packed = pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False)
    wanted = pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=9)[0]
    weight = torch.randn_like(wanted)
    (wanted * weight).sum().backward()
    slopes = {name: p.grad.clone() for name, p in gru.named_parameters()}
    gru.zero_grad()
    got = bidirectional(gru, mine, lengths)
    (got * weight).sum().backward()
    torch.testing.assert_close(got, wanted)
    torch.testing.assert_close(mine.grad, theirs.grad)
    for name, parameter in gru.named_parameters():
        torch.testing.assert_close(parameter.grad, slopes[name], msg=name)


@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (9, 4), (4, 9)])
@pytest.mark.parametrize("tile", [2**17, 24])
def test_attention_in_tiles_is_attention(queries, keys, tile, monkeypatch):
    monkeypatch.setattr("fusion.blocks.tiled.TILE", tile)
    monkeypatch.setattr("fusion.blocks.tiled.HEADS", 4)  # of six: the last group is a smaller one
    torch.manual_seed(2)
    q, k, v = (torch.randn(2, 3, n, 5, dtype=torch.float64, requires_grad=True) for n in (queries, keys, keys))
    for unseen in (None, later(queries, keys, q.device)):
        seen = None if unseen is None else ~unseen
        wanted = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        got = attend(q, k, v, unseen, 0.0)
        torch.testing.assert_close(got, wanted)
        weight = torch.randn_like(wanted)
        ours, theirs = (torch.autograd.grad((x * weight).sum(), (q, k, v)) for x in (got, wanted))
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)


def test_dropout_in_tiles_has_the_right_rate_and_gradient(monkeypatch):
    torch.manual_seed(3)
    assert abs(float(keep(draws(torch.Size((1000, 1001))), 0.2, torch.float32).mean()) - 0.8) < 2e-3
    monkeypatch.setattr("fusion.blocks.tiled.TILE", 30)
    monkeypatch.setattr("fusion.blocks.tiled.HEADS", 1)
    q, k, v = (torch.randn(1, 2, n, 3, dtype=torch.float64, requires_grad=True) for n in (6, 5, 5))

    def used(*inputs: Tensor) -> Tensor:
        torch.manual_seed(4)
        return attend(*inputs, later(6, 5, q.device), 0.4)  # type: ignore[arg-type]  # three tensors

    assert torch.autograd.gradcheck(used, (q, k, v))
    mean = torch.stack([attend(q, k, v, None, 0.4) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(mean, attend(q, k, v, None, 0.0), atol=0.1, rtol=0)


def test_dropout_keeps_the_mean_and_is_gone_in_evaluation():
    torch.manual_seed(5)
    drop, x = Dropout(0.3), torch.randn(7, 3, dtype=torch.float64).abs().add(1).requires_grad_()
    assert drop.eval()(x) is x
    made = drop.train()(x.expand(9000, 7, 3))
    assert abs(float((made == 0).double().mean()) - 0.3) < 2e-3
    torch.testing.assert_close(made[made != 0], (x / 0.7).expand_as(made)[made != 0])
    torch.testing.assert_close(made.mean(0), x, atol=0.1, rtol=0)

    def used(values: Tensor) -> Tensor:
        torch.manual_seed(6)
        return drop(values)  # type: ignore[no-any-return]  # a module

    assert torch.autograd.gradcheck(used, (x,))


def test_a_step_sees_earlier_ones_only_and_always_the_first():
    assert later(3, 3, torch.device("cpu")).tolist() == [
        [False, True, True],
        [False, False, True],
        [False, False, False],
    ]
    assert later(2, 5, torch.device("cpu")).int().tolist() == [[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    assert not later(9, 4, torch.device("cpu"))[:, 0].any()


def test_attention_rows_sum_to_one_and_what_is_masked_gets_nothing():
    torch.manual_seed(0)
    layer, unseen = Attend(6, 3, 0.5).train(), later(5, 5, torch.device("cpu"))
    attention = layer(torch.randn(2, 5, 6), None, unseen, trace=True)[1]
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3, 5))
    assert (attention[..., unseen] == 0).all()


def test_positions_are_sines_first_then_cosines():
    table = sinusoids(4, 6, torch.device("cpu"))
    rates = torch.tensor([1.0, 1e-2, 1e-4])
    torch.testing.assert_close(table[2], torch.cat(((3 * rates).sin(), (3 * rates).cos())))


def test_released_guesses_depend_on_their_batch_and_predictions_never_do():
    for axis, depends in (("channel", False), ("time", False), ("batch", True)):
        model = toy(recon_axis=axis, recon_causal=axis == "batch")
        batch = random_batch(model)
        order = torch.tensor([3, 5, 0, 1, 4, 2])
        plain, moved = guesses(model, batch), guesses(model, batch.rows(order))
        same = all(torch.allclose(value[order], moved[name], atol=1e-5) for name, value in plain.items())
        assert same is not depends, axis
        assert torch.allclose(model(batch).prediction[order], model(batch.rows(order)).prediction, atol=1e-5)


def test_released_guesses_look_at_earlier_samples_only():
    model = toy(recon_axis="batch", recon_causal=True)
    batch = random_batch(model)
    assert batch.whole is not None
    other = stream_toys.changed(replace(batch, present=torch.ones_like(batch.present)), "text")
    batch = replace(batch, present=torch.ones_like(batch.present))
    keep = torch.arange(6) == 3  # only the fourth sample differs
    mixed = replace(batch, features={
        m: torch.where(keep[:, None, None], other.features[m], x) for m, x in batch.features.items()
    })  # fmt: skip
    before, after = guesses(model, batch)["reconstruction_text"], guesses(model, mixed)["reconstruction_text"]
    torch.testing.assert_close(before[:3], after[:3])
    assert all((before[i] - after[i]).abs().max() > 1e-4 for i in (3, 4, 5))


def test_nothing_hidden_costs_nothing_but_the_constant_of_the_released_moments():
    guess, truth = torch.randn(2, 4, 3), torch.randn(2, 4, 3)
    none = torch.zeros(2, 4, dtype=torch.bool)
    assert [float(x) for x in toy().terms(guess, truth, none)] == [0.0, 0.0]
    smooth, moments = toy(empty_cmd=True).terms(guess, truth, none)
    assert float(smooth) == 0.0
    assert float(5 * moments) == pytest.approx(0.15, rel=1e-4)


def test_moments_of_equal_rows_agree_and_of_shifted_ones_differ_in_their_mean():
    rows = torch.randn(50, 4, dtype=torch.float64)
    assert float(cmd(rows, rows)) == pytest.approx(3e-6)
    assert float(cmd(rows, rows + torch.tensor([3.0, 0, 0, 4]))) == pytest.approx(5.0, abs=1e-4)


def test_the_gradient_reaches_the_target_only_as_released():
    hidden = torch.ones(2, 4, dtype=torch.bool)
    for switch in (False, True):
        truth = torch.randn(2, 4, 3, requires_grad=True)
        guess = torch.randn(2, 4, 3, requires_grad=True)
        sum(toy(target_grad=switch).terms(guess, truth, hidden)).backward()
        assert (truth.grad is not None) is switch


def test_padding_can_win_the_maximum_only_as_released():
    plain, released = toy(), toy(padding_pool=True)
    released.load_state_dict(plain.state_dict())
    batch = random_batch(plain)
    real = plain.inputs(batch)[1]
    for model, beyond in ((plain, False), (released, True)):
        made, _ = model.answer(*model.inputs(batch))
        outside = [(~real[m]).gather(1, made[f"winner/{m}"])[real[m].any(1)].any() for m in model.config.modalities]
        assert any(outside) is beyond


def test_a_step_with_a_zero_first_channel_loses_its_position_only_as_released():
    for switch in (False, True):
        model = toy(zero_position=switch)
        with torch.no_grad():
            model.project["text"].weight[0] = 0  # the first channel of every step of the text
        inputs, real = model.inputs(random_batch(model))
        plain = toy()
        plain.load_state_dict(model.state_dict())
        made = [one.answer(inputs, real)[0]["hidden/text"] for one in (model, plain)]
        differs = not torch.allclose(*made)
        assert differs is switch


def test_the_utterance_vector_follows_from_the_winners_of_the_maximum():
    model = toy()
    batch = random_batch(model)
    inputs, real = model.inputs(batch)
    made, _ = model.answer(inputs, real)
    for m in model.config.modalities:
        gated = made[f"gate/{m}"][..., None] * made[f"gru/{m}"].tanh()
        pool = model.pool[m]
        scores = pool.linear(torch.cat((made[f"hidden/{m}"], gated), -1))
        winners = scores.gather(1, made[f"winner/{m}"][:, None])[:, 0].tanh() * real[m].any(1, keepdim=True)
        torch.testing.assert_close(winners, made[f"utterance/{m}"], atol=0, rtol=0)


def test_a_masked_prediction_never_pays_for_the_reconstruction(monkeypatch):
    model = toy()
    monkeypatch.setattr(TFRNet, "guess", lambda *_: pytest.fail("the prediction reads no guess"))
    model(random_batch(model), trace=False)


@pytest.mark.parametrize("count", [2, 4])
def test_any_two_or_more_modalities_with_any_names(count):
    sizes = {"modalities": ("image", "heart", "text", "skin")[:count], "widths": (3, 4, 8, 5)[:count],
             "steps": (4, 26, 7, 13)[:count]}  # fmt: skip
    model = TFRNet(Config(**sizes, width=8, heads=2, cross_layers=1, self_layers=1, gru_layers=1)).eval()  # type: ignore[arg-type]
    output = model(stream_toys.batch(model.config, 5))
    assert output.prediction.shape == (5,)
    assert len([s for s in output.trace if s.name.startswith("attention_")]) == count**2
    assert model.config.rebuild_heads() == (4, 13, 7, 13)[:count]
    assert ("text" in model.project) is False


def test_classes_are_answered_with_logits_and_cross_entropy():
    model = toy(classes=("low", "middle", "high"))
    batch = random_batch(model)
    output = model(batch)
    assert output.prediction.shape == (6, 3)
    wanted = nn.functional.cross_entropy(output.prediction, batch.target)  # type: ignore[arg-type]  # a toy has one
    torch.testing.assert_close(model.loss(output, batch)["prediction"], wanted)


def test_the_reconstruction_is_taught_after_the_warm_up():
    model = toy(warm_up=3)
    batch = random_batch(model)
    assert list(model.loss(model(batch), batch, 2)) == ["prediction"]
    assert len(model.loss(model(batch), batch, 3)) == 4


def test_bad_settings_and_batches_are_refused_in_words():
    sizes = {"widths": (4, 4), "steps": (9, 8)}
    for settings, word in (
        ({"modalities": ("text",), "widths": (4,), "steps": (9,)}, "two or more"),
        ({"modalities": ("text", "audio"), **sizes, "kernels": (2, 3)}, "odd"),
        ({"modalities": ("text", "audio"), **sizes, "kernels": (3,)}, "entries"),
        ({"modalities": ("text", "audio"), **sizes, "recon_heads": 5}, "recon_heads"),
        ({"modalities": ("text", "audio"), **sizes, "heads": 7}, "heads"),
        ({"modalities": ("text", "a.b"), **sizes}, "plain name"),
    ):
        with pytest.raises(FusionError, match=word):
            Config(**settings)  # type: ignore[arg-type]
    model = toy()
    batch = random_batch(model)
    holes = {**batch.mask, "text": batch.mask["text"].roll(1, 1) & ~batch.mask["text"].all(1, keepdim=True)}
    with pytest.raises(FusionError, match='"text" of sample'):
        model(replace(batch, mask=holes))
    empty = {m: mask & (torch.arange(6) != 2)[:, None] for m, mask in batch.mask.items()}
    with pytest.raises(FusionError, match="sample 2"):
        model(replace(batch, mask=empty))
    with pytest.raises(FusionError, match="two samples"):
        model.train()(batch.rows([0]))


@pytest.mark.parametrize("wrapped", [True, False])
def test_official_names_and_sizes_go_there_and_back(wrapped):
    sizes = {
        "width": 8, "heads": 2, "hidden": (5, 4, 6), "gru_layers": 2, "cross_layers": 1, "self_layers": 2,
        "kernels": (1, 5, 3), "head_width": 7,
    }  # fmt: skip
    config = Config.released(**stream_toys.SIZES, **sizes)
    model = TFRNet(config)
    state = {names.official_name(name): value for name, value in model.state_dict().items()}
    assert len(state) == len(model.state_dict())
    state["align_subnet.Model.trans_l_mem.version"] = torch.zeros(1)
    saved = {f"{names.PREFIX if wrapped else ''}{name}": value for name, value in state.items()}
    plain = names.plain(saved)
    assert "align_subnet.Model.trans_l_mem.version" not in plain
    assert names.config(plain, heads=2) == config
    del plain["align_subnet.Model.trans_l_mem.layer_norm.weight"]
    with pytest.raises(FusionError, match="trans_l_mem"):
        names.config(plain)


def test_the_size_of_the_paper_on_mosi_is_that_of_the_official_program():
    with torch.device("meta"):
        model = TFRNet(Config())
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_850_620


def test_the_pictures_say_how_far_off_the_guesses_are_and_what_the_mean_would_miss_by():
    truth = torch.zeros(1, 5, 3)
    truth[0, :, 1] = torch.tensor([0.0, 2.0, 4.0, 2.0, 9.0])  # the only feature that varies; the last step is padding
    guess = truth.clone()
    guess[0, 2, 1] = 1.0  # three off
    mask, hidden = torch.arange(5)[None] < 4, torch.arange(5)[None] == 2
    signal = Reconstruction(
        name="reconstruction_audio", unit="none", value=guess, truth=truth, steps="audio", mask=mask, hidden=hidden,
        scale=spread(truth, mask), caveat="caveat.reconstruction",
    )  # fmt: skip
    torch.testing.assert_close(signal.scale, torch.tensor([[1.0, 2**0.5, 1.0]]))
    lines, errors = draw(signal, Sample("one", {}), Trace((signal,)))
    missed = 3 / 2**0.5 - 0.5, (8 / 3) / 2**0.5 - 0.5  # smooth L1 in spreads, a third of it as one of three features
    assert f"miss by {num(missed[0] / 3)} on average" in lines.finding
    assert f"would miss by {num(missed[1] / 3)}" in lines.finding
    assert len(lines.table) == len(errors.table) == 4
    assert "feature 2" in list(lines.table)[2]
    assert errors.table.iloc[2, 2] == pytest.approx(missed[0] / 3, rel=1e-5)
    shaded = [shape for shape in lines.figure.layout.shapes if shape.type == "rect"]
    assert [(shape.x0, shape.x1) for shape in shaded] == [(2.5, 3.5)]
    absent = draw(replace(signal, mask=mask & False, hidden=hidden & False), Sample("one", {}), Trace((signal,)))
    assert "nothing to guess" in absent[0].finding
    seen = draw(replace(signal, hidden=hidden & False), Sample("one", {}), Trace((signal,)))
    assert "No step" in seen[0].finding


def test_the_toy_is_as_small_as_the_laws_need():
    assert sum(p.numel() for p in toy().parameters()) < 20_000
    assert TOYS["tfr_net"].answer in toy().config.modalities
