"""MCLEA and MEAformer: the identities of their pages, worked examples, and every switch."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fusion.losses import contrast, unit
from fusion.models import MODELS
from fusion.models.entity_signals import pair_shares
from fusion.models.mclea import Config as Mclea
from fusion.models.meaformer import Config as Meaformer
from fusion.models.official import mclea as mclea_names
from fusion.models.official import meaformer as meaformer_names
from fusion.signals import Attention, EdgeWeights, ModalityWeights, Parts
from fusion.types import Batch, FusionError
from tests.toys import SIDES, TOYS, WIDTHS, build, entity_batch

BOTH = pytest.mark.parametrize("key", ["mclea", "meaformer"])


def ask(size: int = 11, seed: int = 5) -> Batch:
    torch.manual_seed(seed)
    return entity_batch(None, size)


def lively(key: str, **switches: object) -> torch.nn.Module:
    """A toy whose learned weights of modalities are not all the same."""
    model = build(key, **switches)
    torch.manual_seed(8)
    for name, parameter in model.named_parameters():
        if name in ("fusion", "log_variance", "icl_log_variance", "ial_log_variance"):
            parameter.data += torch.randn_like(parameter)
    return model


@BOTH
def test_shares_of_the_cosine_add_up_to_it_exactly(key: str) -> None:
    model, batch = lively(key), ask()
    output = model(batch)
    shares = output.trace.first(Parts)
    rows = output.extras["joint"]
    cosine = torch.nn.functional.cosine_similarity(rows[:, 0], rows[:, 1])
    torch.testing.assert_close(shares.value.sum(1), cosine, atol=1e-6, rtol=0)
    torch.testing.assert_close(output.extras["joint_cosine"], cosine, atol=1e-6, rtol=0)
    assert output.trace.first(Parts).voices == model.config.modalities
    masked = lively(key, missing="masked")(batch)
    torch.testing.assert_close(masked.trace.first(Parts).value.sum(1), masked.extras["joint_cosine"], atol=1e-6, rtol=0)
    absent = ~batch.present[batch.query].all(1)  # (B, M)
    assert (masked.trace.first(Parts).value[absent] == 0).all()


def test_equal_weights_make_the_joint_cosine_the_mean_of_the_others() -> None:
    cosines = torch.tensor([[0.9, 0.1, -0.4]])
    torch.testing.assert_close(pair_shares(torch.full((1, 2, 3), 1 / 3), cosines).sum(1), cosines.mean(1))
    # w = (2, 1) and (1, 1): shares 2 * 0.9 and 1 * 0.1 over sqrt(5) sqrt(2)
    uneven = pair_shares(torch.tensor([[[2.0, 1.0], [1.0, 1.0]]]), torch.tensor([[0.9, 0.1]]))
    torch.testing.assert_close(uneven, torch.tensor([[1.8, 0.1]]) / math.sqrt(10))


@BOTH
def test_only_the_graph_encoder_reads_entities_that_nobody_asked_about(key: str) -> None:
    model, batch = build(key).train(), ask()
    plain = model.loss(model(batch), batch)
    others = torch.ones(sum(SIDES), dtype=torch.bool)
    others[batch.query.flatten()] = False
    broken = {m: value.masked_fill(others[:, None], torch.nan) for m, value in batch.features.items()}
    same = model.loss(model(replace(batch, features=broken)), batch)
    assert all(torch.equal(value, same[name]) for name, value in plain.items())


@BOTH
def test_tables_made_before_give_the_same_answer(key: str) -> None:
    model, batch = build(key), ask()
    tables = model.tables(batch)
    before, after = model(batch), model(replace(batch, pooled=tables))
    assert torch.equal(before.prediction, after.prediction)
    torch.testing.assert_close(before.fused, after.fused)
    torch.testing.assert_close(tables["joint"][batch.query[:, 0]], before.fused)
    assert before.trace.first(EdgeWeights).value.shape == after.trace.first(EdgeWeights).value.shape


@BOTH
def test_candidates_are_the_nearest_of_the_other_graph(key: str) -> None:
    model, batch = build(key), ask()
    table = model.tables(batch)["joint"]
    own = batch.query[:, 0]
    expected = SIDES[0] + (table[own] @ table[SIDES[0] :].T).topk(5, 1).indices
    assert torch.equal(model(batch).prediction, expected)
    one = replace(batch, graph=replace(batch.graph, side=None))
    found = model(one).prediction
    assert not (found == own[:, None]).any()
    learning = build(key).train()(batch).prediction
    assert torch.isin(learning, batch.query[:, 1]).all()


@BOTH
def test_a_single_entity_is_answered_like_the_first_of_a_pair(key: str) -> None:
    model, batch = build(key), ask()
    pair, single = model(batch), model(replace(batch, query=batch.query[:, :1]))
    assert torch.equal(pair.prediction, single.prediction)
    torch.testing.assert_close(pair.fused, single.fused)
    assert "cosine_share" not in single.trace
    assert not any(signal.name.endswith("_partner") for signal in single.trace)
    for signal in single.trace:
        torch.testing.assert_close(signal.value, pair.trace[signal.name].value, atol=1e-5, rtol=1e-5)


@BOTH
@pytest.mark.parametrize("chosen", [("image", "graph", "name", "char"), ("graph",), ("name", "description"), ("char",)])
def test_any_modalities_in_any_order_make_a_system(key: str, chosen: tuple[str, ...]) -> None:
    widths = {**WIDTHS, "description": 6}
    switches = {"modalities": chosen, "input_widths": tuple(widths[m] for m in chosen)}
    if key == "mclea":
        switches |= {"widths": tuple({"graph": 12}.get(m, 4 + i) for i, m in enumerate(chosen)), "projected": ()}
    model, batch = build(key, **switches).train(), ask()
    extra = {**batch.features, "description": torch.randn(sum(SIDES), 6)}
    present = torch.ones(sum(SIDES), len(widths), dtype=torch.bool)
    batch = replace(batch, features=extra, modalities=tuple(widths), present=present)
    output = model(batch)
    sum(model.loss(output, batch).values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    assert output.trace.first(ModalityWeights).modalities == chosen
    turned = build(key, **{
        name: value[::-1] if isinstance(value, tuple) else value for name, value in switches.items()
    })  # fmt: skip
    assert turned.config.modalities == chosen[::-1]


@BOTH
def test_groups_of_pairs_add_up(key: str) -> None:
    batch = ask(11)
    together, apart = build(key, pairs=4), build(key)
    output = together(batch)
    terms = together.loss(output, batch)
    groups = [apart.loss(apart(part), part) for part in (batch.rows(range(a, min(a + 4, 11))) for a in (0, 4, 8))]
    for name, term in terms.items():
        torch.testing.assert_close(term, sum(group[name] for group in groups), atol=1e-5, rtol=1e-5)


@BOTH
def test_logarithms_tame_counts_only_where_asked(key: str) -> None:
    batch = ask()
    batch = replace(batch, features={**batch.features, "relation": torch.randint(0, 900, (sum(SIDES), 10)).float()})
    logged = replace(batch, features={**batch.features, "relation": torch.log1p(batch.features["relation"])})
    raw, log = build(key), build(key, relation_scaling="log")
    torch.testing.assert_close(log(batch).fused, raw(logged).fused)
    whole = replace(batch, features={**batch.features, "relation": batch.features["relation"].to(torch.int16)})
    torch.testing.assert_close(raw(whole).fused, raw(batch).fused)


@BOTH
def test_edge_attention_of_an_entity_sums_to_one_over_its_edges(key: str) -> None:
    model, batch = build(key), ask()
    signals = model(batch).trace.of(EdgeWeights)
    assert len(signals) == 2 * 2  # two layers of both entities
    assert [s.value.shape[1] for s in signals[:2]] == [2, 3]  # heads
    for signal in signals:
        assert (signal.degree <= signal.value.shape[-1]).all()
        torch.testing.assert_close(signal.value.sum(-1), torch.ones(signal.value.shape[:2]))
        assert (signal.mask.sum(1) == signal.degree).all()
        assert (signal.neighbours == signal.entity[:, None]).any(1).all()  # the self-loop


@BOTH
def test_settings_that_contradict_each_other_are_refused(key: str) -> None:
    config = TOYS[key].config
    for switches, said in (
        ({"heads": (2,)}, "layers"), ({"input_widths": (3, 4)}, "give one of each"),
        ({"hidden_widths": (9,)}, "diagonal"), ({"structure": "gcn", "hidden_widths": (12, 12)}, "GCN"),
        ({"modalities": ("a b", *tuple(WIDTHS)[1:])}, "name a modality"), ({"heads": (2, 0)}, "list of int"),
        ({"modalities": ("keys", *tuple(WIDTHS)[1:])}, "name a modality"),
    ):  # fmt: skip
        with pytest.raises(FusionError, match=said):
            config(**switches)


@BOTH
def test_data_that_don_t_fit_are_refused_in_words(key: str) -> None:
    model, batch = build(key), ask()
    for changed, said in (
        ({"query": None}, "ask about one"), ({"graph": None}, "triples"),
        ({"features": {**batch.features, "image": torch.randn(sum(SIDES), 3)}}, "features of image"),
        ({"present": batch.present[:9]}, "knows only the graphs"),
    ):  # fmt: skip
        with pytest.raises(FusionError, match=said):
            model(replace(batch, **changed))


def test_the_released_switches() -> None:
    old, new = Mclea.released(), Mclea()
    changed = {name for name, value in vars(old).items() if value != getattr(new, name)}
    assert changed == {"slots", "icl_pooling", "uncertainty", "ial_reduction", "zoom", "name_width"}
    old, new = Meaformer.released(), Meaformer()
    changed = {name for name, value in vars(old).items() if value != getattr(new, name)}
    assert changed == {"slots", "icl_pooling", "meta_attention", "confidence", "late_order"}
    assert new.meta_axis == "received"
    assert new.uncertainty_share == "shared"
    assert Mclea.released(name_width="char", widths=(100, 100, 100, 300, 80, 90)).out_widths()[4] == 90


def test_an_absent_modality_keeps_its_slot_in_the_released_softmax() -> None:
    four = {"modalities": tuple(WIDTHS)[:4], "input_widths": tuple(WIDTHS.values())[:4], "widths": (18, 5, 14, 12)}
    published, released = build("mclea", **four), build("mclea", **four, slots=tuple(WIDTHS))
    torch.testing.assert_close(published.weights(), torch.full((4,), 1 / 4))
    torch.testing.assert_close(released.weights(), torch.full((6,), 1 / 6))
    batch = ask()
    released.icl_log_variance.data[5] = 0.8
    terms = released.loss(released(batch), batch)
    torch.testing.assert_close(terms["icl/char"], torch.tensor(0.4))  # s / 2 of nothing


def test_released_imitation_is_that_much_smaller() -> None:
    batch = ask()
    published, released = build("mclea"), build("mclea", ial_reduction="mean", zoom=0.1, uncertainty="released")
    one = published.loss(published(batch), batch)["ial/image"]
    other = released.loss(released(batch), batch)["ial/image"]
    torch.testing.assert_close(other, one / (2 * len(batch)) * 0.01, rtol=1e-5, atol=0)


def trained_once(key: str, batch: Batch, **switches: object) -> dict[str, Tensor]:
    model = build(key, **switches)
    return model.loss(model(batch), batch)


# MEAformer's meta weights


def test_the_formula_as_printed_gives_the_same_weight_to_all_and_ours_does_not() -> None:
    batch = ask()
    printed = build("meaformer", meta_axis="printed")(batch).trace["meta_weight"].value
    torch.testing.assert_close(printed, torch.full_like(printed, 1 / 6), atol=1e-6, rtol=0)
    received = build("meaformer")(batch).trace["meta_weight"].value
    assert float(received.detach().std(1).min()) > 1e-3


@pytest.mark.parametrize(("heads", "layers", "inner"), [(1, 1, 17), (3, 2, 17), (4, 3, 0)])
def test_meta_weights_follow_the_attention_that_is_shown_within_their_bounds(heads, layers, inner) -> None:
    model, batch = build("meaformer", fusion_heads=heads, fusion_layers=layers, inner_width=inner), ask()
    for parameter in model.layers.parameters():
        parameter.data *= 6  # strong attention
    trace = model(batch).trace
    attention = trace.of(Attention)[layers - 1]
    assert attention.layer == layers - 1
    received = attention.value.sum((1, 2))  # over heads and queries
    torch.testing.assert_close(trace["received_attention"].value, received)
    torch.testing.assert_close(received.sum(1), torch.full((11,), 6.0 * heads))
    weights = trace["meta_weight"].value.detach()
    torch.testing.assert_close(weights, (received / math.sqrt(6 * heads)).softmax(1))
    top = math.exp(math.sqrt(6 * heads))
    assert float(weights.max()) <= top / (top + 5) + 1e-6
    assert float(weights.min()) >= 1 / (top + 5) - 1e-6


def test_the_bounds_of_the_page() -> None:
    for count, heads, high, low in ((4, 1, 0.711, 0.096), (6, 1, 0.698, 0.060), (4, 5, 0.967, 0.011)):
        top = math.exp(math.sqrt(count * heads))
        assert top / (top + count - 1) == pytest.approx(high, abs=6e-4)
        assert 1 / (top + count - 1) == pytest.approx(low, abs=6e-4)


def test_one_modality_has_all_the_weight() -> None:
    model = build("meaformer", modalities=("name",), input_widths=(8,))
    batch = ask()
    output = model(batch)
    torch.testing.assert_close(output.trace["meta_weight"].value, torch.ones(11, 1))
    torch.testing.assert_close(output.fused, unit(output.extras["embedding/name"][:, 0]))


def test_the_order_of_the_tokens_changes_nothing_but_their_order() -> None:
    batch, plain = ask(), build("meaformer")
    order = (3, 0, 5, 1, 4, 2)
    names = tuple(tuple(WIDTHS)[i] for i in order)
    turned = build("meaformer", modalities=names, input_widths=tuple(WIDTHS[m] for m in names))
    turned.load_state_dict(plain.state_dict())
    one, other = plain(batch), turned(batch)
    torch.testing.assert_close(one.trace["meta_weight"].value[:, order], other.trace["meta_weight"].value)
    for m in names:
        torch.testing.assert_close(one.extras[f"late/{m}"], other.extras[f"late/{m}"])
    torch.testing.assert_close(one.extras["joint_cosine"], other.extras["joint_cosine"])
    assert torch.equal(one.prediction, other.prediction)


def test_an_entity_is_read_without_what_it_lacks_where_masked() -> None:
    batch = ask()
    masked = build("meaformer", missing="masked")
    weights = masked(batch).trace["meta_weight"].value
    lacks = ~batch.present[batch.query[:, 0]]
    assert lacks.any()
    assert (weights[lacks] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(11))
    assert (build("meaformer")(batch).trace["meta_weight"].value > 0).all()
    # a modality that nobody has is as one that the system was built without
    fewer = tuple(m for m in WIDTHS if m != "image")
    small = build("meaformer", modalities=fewer, input_widths=tuple(WIDTHS[m] for m in fewer))
    whole = build("meaformer")
    small.load_state_dict({
        k: v if k != "log_variance" else v[1:] for k, v in whole.state_dict().items() if ".image." not in k
    })  # fmt: skip
    torch.testing.assert_close(
        whole(batch.without("image")).trace["meta_weight"].value[:, 1:], small(batch).trace["meta_weight"].value
    )


def test_confidence_is_the_smaller_weight_times_the_number_of_modalities() -> None:
    batch = ask()
    output = build("meaformer")(batch)
    pair = torch.stack((output.trace["meta_weight"].value, output.trace["meta_weight_partner"].value))
    torch.testing.assert_close(output.extras["pair_confidence"], 6 * pair.amin(0))
    even = build("meaformer", meta_axis="printed")
    terms, plain = (
        even.loss(even(batch), batch),
        trained_once("meaformer", batch, meta_axis="printed", confidence="none"),
    )
    for name, term in terms.items():
        torch.testing.assert_close(term, plain[name], atol=1e-5, rtol=1e-5)
    ours = trained_once("meaformer", batch)
    assert float(ours["early/image"].detach()) != pytest.approx(
        float(trained_once("meaformer", batch, confidence="none")["early/image"].detach()), abs=1e-4
    )


def test_a_detached_confidence_gets_no_gradient() -> None:
    batch = ask()
    for detach in (False, True):
        model = build("meaformer", detach_phi=detach)
        terms = model.loss(model(batch), batch)
        gradient = torch.autograd.grad(terms["early/image"], model.layers[0].query.weight, allow_unused=True)[0]
        assert (gradient is None) == detach


def test_released_late_losses_are_weighed_by_others() -> None:
    batch = ask()
    own, released = lively("meaformer"), lively("meaformer", late_order="released")
    assert released.config.late_names() == ("graph", "relation", "attribute", "image", "name", "char")
    plain, crossed = own.loss(own(batch), batch), released.loss(released(batch), batch)
    s = dict(zip(own.config.modalities, own.log_variance.detach(), strict=True))
    loss_of = lambda m: (plain[f"late/{m}"].detach() - s[m]) * s[m].exp()  # noqa: E731
    for weigher, token in (
        ("graph", "image"),
        ("relation", "attribute"),
        ("attribute", "relation"),
        ("image", "graph"),
    ):
        expected = (-s[weigher]).exp() * loss_of(token) + s[weigher]
        torch.testing.assert_close(crossed[f"late/{weigher}"].detach(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(crossed["late/name"], plain["late/name"])
    five = tuple(WIDTHS)[:5]
    config = Meaformer.released(modalities=five, input_widths=(2048, 1000, 1000, 300, 300))
    assert config.late_names() == ("graph", "relation", "attribute", "image", None)  # the fifth token has no late loss
    with pytest.raises(FusionError, match="four tokens"):
        Meaformer.released(modalities=("image",), input_widths=(9,))


def test_early_and_late_losses_may_have_weights_of_their_own() -> None:
    batch, model = ask(), build("meaformer", uncertainty_share="separate")
    model.late_log_variance.data += 1.0
    terms, shared = model.loss(model(batch), batch), trained_once("meaformer", batch)
    torch.testing.assert_close(terms["early/image"], shared["early/image"])
    torch.testing.assert_close(terms["late/image"], shared["late/image"] * math.exp(-1) + 1)
    assert [signal.name for signal in model.learned()] == ["loss_precision", "late_loss_precision"]


def test_weights_after_dropout_are_noisy_only_while_training() -> None:
    batch = ask()
    after = build("meaformer", meta_attention="after_dropout", fusion_dropout=0.5, meta_axis="printed")
    torch.testing.assert_close(
        after(batch).trace["meta_weight"].value, torch.full((11, 6), 1 / 6), atol=1e-6, rtol=0
    )  # fmt: skip
    noisy = after.train()(batch).trace["meta_weight"].value.detach()
    assert float((noisy - 1 / 6).abs().max()) > 1e-2  # how the mistake of the printed axis stays hidden
    before = build("meaformer", fusion_dropout=0.5, meta_axis="printed").train()(batch).trace["meta_weight"].value
    torch.testing.assert_close(before, torch.full((11, 6), 1 / 6), atol=1e-6, rtol=0)


def test_replay_brings_the_hardest_candidates_back_once_all_are_known() -> None:
    batch = ask(20)
    first, second = batch.rows(range(10)), batch.rows(range(10, 20))
    model = build("meaformer", replay=True).train()
    plain = trained_once("meaformer", second)["icl/joint"]
    for part in (first, second, first):
        output = model(part)
        assert not any(name.startswith("replay/") for name in output.extras)
        before = model.loss(output, part)["icl/joint"]
    output = model(second)
    again = {name for name in output.extras if name.startswith("replay/")}
    assert again, "a step that met known entities only starts the replay"
    assert set(model._hardest[second.query].flatten().tolist()) <= set(batch.query.flatten().tolist())
    loss = model.loss(output, second)["icl/joint"]
    assert float(loss.detach()) >= float(plain.detach()) - 1e-6
    assert torch.isfinite(before)
    assert "_hardest" not in model.state_dict()


def test_the_early_loss_is_that_of_the_encoders_alone() -> None:
    batch, model = ask(), build("meaformer", confidence="none")
    rows = unit(model(batch).extras["embedding/name"])
    own = model.loss(model(batch), batch)["early/name"]
    torch.testing.assert_close(own, contrast(rows[:, 0], rows[:, 1], 0.1))


# Official names


@BOTH
def test_official_names_are_one_to_one_and_lead_back(key: str) -> None:
    names = {"mclea": mclea_names, "meaformer": meaformer_names}[key]
    model = lively(key, late_order="released") if key == "meaformer" else lively(key)
    official = {
        names.official_name(own): names.to_official(own, value, model.config.slotted)
        for own, value in model.state_dict().items()
    }
    assert len(official) == len(model.state_dict())
    back = {
        own: names.from_official(own, official[names.official_name(own)], model.config.slotted)
        for own in model.state_dict()
    }
    assert all(torch.equal(value, back[own]) for own, value in model.state_dict().items())
    if key == "meaformer":
        found = names.settings(official, tuple(WIDTHS), heads=3)
        assert all(getattr(model.config, name) == value for name, value in found.items())
    else:
        found = names.sizes(official, tuple(WIDTHS))
        assert all(getattr(model.config, name) == value for name, value in found.items())
        assert names.widths(official, tuple(WIDTHS)) == model.config.widths


def test_the_paper_s_models_have_the_paper_s_size() -> None:
    with torch.device("meta"):
        model = MODELS["mclea"](Mclea())
    assert sum(p.numel() for p in model.parameters()) == 12_308_018
