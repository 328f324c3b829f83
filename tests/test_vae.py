"""Identities of products, mixtures and bounds of the multimodal VAEs: two roads, one result."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from fusion.blocks import posteriors
from fusion.blocks.likelihoods import check, expected, log_likelihood
from fusion.blocks.posteriors import Draws, Experts, Mixture, mixture, product
from fusion.models import mmvae, mopoe, mvae
from fusion.models.vae import VAE
from fusion.signals import CrossGeneration, ModalityWeights, Parts, Posterior
from fusion.types import Batch, FusionError
from tests import vae_toys
from tests.toys import TOYS

KINDS: dict[str, Any] = {"mvae": mvae, "mmvae": mmvae, "mopoe": mopoe}
CLASSES: dict[str, type[VAE]] = {"mvae": mvae.MVAE, "mmvae": mmvae.MMVAE, "mopoe": mopoe.MoPoE}
SMALL: dict[str, Any] = {
    "modalities": ("a", "b", "c"), "widths": (7, 5, 3), "steps": (1, 1, 1), "likelihoods": ("normal",) * 3, "latent": 4,
    "hidden": 11, "layers": 1, "activation": "tanh",
}  # fmt: skip


def build(key: str, **changes: Any) -> VAE:
    torch.manual_seed(2)
    return CLASSES[key](KINDS[key].Config(**(SMALL | changes))).eval()


def features(rows: int = 6, seed: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {m: torch.randn(rows, w) for m, w in zip(SMALL["modalities"], SMALL["widths"], strict=True)}


def random_experts(rows: int = 6, count: int = 3, family: posteriors.Family = "normal") -> Experts:
    torch.manual_seed(7)
    there = torch.ones(rows, count, dtype=torch.bool)
    return Experts(family, torch.randn(rows, count, 4), 0.5 * torch.randn(rows, count, 4), there)


def alone(mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The product of all experts with the prior. (B, M, Z) -> (B, Z), (B, Z), (B, M + 1, Z)"""
    given = torch.ones(mean.shape[0], 1, mean.shape[1], dtype=torch.bool)
    made = product(mean, log_variance, given, torch.ones(mean.shape[0], 1, dtype=torch.bool))
    return made[0][:, 0], made[1][:, 0], made[2][:, 0]


def test_products_have_their_closed_forms() -> None:
    mean, log_variance, _ = alone(torch.full((1, 1, 3), 5.0), torch.zeros(1, 1, 3))
    torch.testing.assert_close(mean, torch.full((1, 3), 2.5))
    torch.testing.assert_close(log_variance.exp(), torch.full((1, 3), 0.5))
    v = 0.3
    _, log_variance, share = alone(torch.randn(1, 2, 3), torch.full((1, 2, 3), math.log(v)))
    torch.testing.assert_close((-log_variance).exp(), torch.full((1, 3), 1 + 2 / v))
    torch.testing.assert_close(share.sum(1), torch.ones(1, 3))
    torch.testing.assert_close(share[:, 0], torch.full((1, 3), 1 / (1 + 2 / v)))  # the prior's
    single = torch.ones(1, 1, 1, dtype=torch.bool)
    given, scale = torch.randn(1, 1, 3), torch.randn(1, 1, 3)
    bare = product(given, scale, single, torch.zeros(1, 1, dtype=torch.bool))
    torch.testing.assert_close(bare[0], given)
    torch.testing.assert_close(bare[1], scale)


def test_a_product_knows_no_order_and_an_expert_without_an_opinion_changes_nothing() -> None:
    experts = random_experts()
    l = 2 * experts.log_scale
    mean, log_variance, share = alone(experts.mean, l)
    order = torch.tensor([2, 0, 1])
    turned = alone(experts.mean[:, order], l[:, order])
    torch.testing.assert_close(turned[0], mean)
    torch.testing.assert_close(turned[2][:, 1:], share[:, 1:][:, order])
    assert (log_variance <= torch.minimum(torch.zeros(()), l.amin(1)) + 1e-6).all()
    silent = torch.cat((l, torch.full_like(l[:, :1], math.inf)), 1)
    for strange in (3.0, math.nan, math.inf):
        more = alone(torch.cat((experts.mean, torch.full_like(l[:, :1], strange)), 1), silent)
        assert torch.equal(more[0], mean)
        assert torch.equal(more[1], log_variance)
        assert not more[2][:, 4].any()


@pytest.mark.parametrize("extreme", [-80.0, 80.0])
def test_extreme_variances_stay_finite_and_so_do_their_gradients(extreme: float) -> None:
    mean = torch.randn(2, 3, 4, requires_grad=True)
    l = torch.zeros(2, 3, 4)
    l[:, 1] = extreme
    l.requires_grad_()
    made = alone(mean, l)
    sum(one.sum() for one in made).backward()  # type: ignore[union-attr]  # a sum of tensors is one
    for one in (*made, mean.grad, l.grad):
        assert one is not None
        assert torch.isfinite(one).all()


@pytest.mark.parametrize("family", ["normal", "laplace"])
@pytest.mark.parametrize("prior", [0.0, 0.4])
def test_the_divergence_is_what_draws_say(family: posteriors.Family, prior: float) -> None:
    mean, log_scale = torch.tensor([0.0, 0.7, -1.5, 0.1]), torch.tensor([prior, -0.5, 0.3, -2.0])
    exact = posteriors.divergence(family, mean, log_scale, prior)
    assert (exact >= 0).all()
    torch.testing.assert_close(exact[0], torch.tensor(0.0))
    assert (exact[1:] > 0).all()
    count = 200_000
    noise = Draws(torch.Generator().manual_seed(1)).noise(family, (count, 4), mean)
    z = posteriors.sample(family, mean, log_scale, noise)
    ratio = posteriors.log_density(family, z, mean, log_scale) - posteriors.log_density(
        family, z, torch.zeros(4), torch.full((4,), prior)
    )
    error = ratio.std(0) / math.sqrt(count)
    assert ((ratio.mean(0) - exact).abs() <= 3 * error + 1e-6).all()


@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_densities_are_those_of_torch(family: posteriors.Family) -> None:
    mean, log_scale, z = torch.randn(5), torch.randn(5), torch.randn(5)
    kind = torch.distributions.Normal if family == "normal" else torch.distributions.Laplace
    own = posteriors.log_density(family, z, mean, log_scale)
    torch.testing.assert_close(own, kind(mean, log_scale.exp()).log_prob(z))


def test_a_mixture_is_the_log_of_the_mean_of_its_densities() -> None:
    experts = random_experts(family="laplace")
    parts = mixture(experts, "moe", experts.there)
    z = torch.randn(9, 6, 4)
    each = torch.stack(
        [torch.distributions.Laplace(experts.mean[:, m], experts.log_scale[:, m].exp()).log_prob(z).sum(-1)
         for m in range(3)]
    )  # fmt: skip
    torch.testing.assert_close(parts.log_density(z), torch.logsumexp(each, 0) - math.log(3))
    torch.testing.assert_close(parts.responsibility(z).sum(-1), torch.ones(9, 6))
    torch.testing.assert_close(parts.centre(), experts.mean.mean(1))


def test_products_of_all_subsets_are_those_of_each_and_singletons_are_the_experts() -> None:
    experts = random_experts()
    parts = mixture(experts, "mopoe", experts.there, full_prior_only=True)
    for at, members in enumerate(posteriors.subsets(3)):
        precision = (-2 * experts.log_scale[:, members]).exp()
        whole = precision.sum(1) + (1 if len(members) == 3 else 0)
        torch.testing.assert_close(parts.mean[:, at], (precision * experts.mean[:, members]).sum(1) / whole)
        torch.testing.assert_close((-2 * parts.log_scale[:, at]).exp(), whole)
    singles = mixture(experts, "moe", experts.there)
    torch.testing.assert_close(parts.mean[:, :3], singles.mean)
    torch.testing.assert_close(parts.log_scale[:, :3], singles.log_scale)
    floored = posteriors.floored(experts.log_scale, 1e-2)
    torch.testing.assert_close((2 * floored).exp(), (2 * experts.log_scale).exp() + 1e-2)


def test_absent_experts_have_no_part_in_a_mixture() -> None:
    experts = random_experts()
    there = experts.there.clone()
    there[2, 1] = False
    odd = experts.mean.clone()
    odd[2, 1] = math.nan
    for rule, zero in (("moe", [1]), ("mopoe", [1, 3, 5, 6]), ("poe", [])):
        parts = mixture(Experts("normal", odd, experts.log_scale, there), rule, there)  # type: ignore[arg-type]  # a rule
        assert (parts.weight[2] == 0).nonzero().flatten().tolist() == zero
        torch.testing.assert_close(parts.weight.sum(1), torch.ones(6))
        assert torch.isfinite(parts.centre()).all()
        assert torch.isfinite(parts.log_density(torch.randn(6, 4))).all()


def test_slices_cut_a_batch_and_draws_follow_the_weights() -> None:
    assert posteriors.slices(16, 7).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 6, 6]
    assert posteriors.slices(3, 7).tolist() == [6, 6, 6]
    weight = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    drawn = Draws(torch.Generator().manual_seed(0)).component(weight, 400)
    assert set(drawn[:, 0].tolist()) == {0, 2}
    assert set(drawn[:, 1].tolist()) == {1}
    assert abs(float((drawn[:, 0] == 0).float().mean()) - 0.5) < 0.1


# Bounds.


def terms(model: VAE, batch: dict[str, Tensor] | Batch, noise: list[Tensor]) -> Tensor:
    given = model._inputs(batch)
    made = model.terms(given, model.experts(given), model.config.beta, Draws(given=noise))
    return torch.stack(list(made.values())).sum()


def test_with_one_modality_every_system_is_the_vae() -> None:
    one = {"modalities": ("a",), "widths": (7,), "steps": (1,), "likelihoods": ("normal",)}
    x, e = torch.randn(6, 7), torch.randn(6, 4)
    plain = build("mopoe", **one, joint="moe")
    given = plain._inputs({"a": x})
    mean, raw = plain.encoders["a"](given.x[0], given.seen[0])
    z = mean + (raw / 2).exp() * e
    log_p = log_likelihood("normal", plain.decode(z)["a"], x[:, None], given.seen[0])
    kl = 0.5 * (mean.square() + raw.exp() - raw - 1).sum(1)
    torch.testing.assert_close(terms(plain, {"a": x}, [e]), (kl - log_p).mean())
    both = [build(key, **one) for key in ("mvae", "mopoe")]  # with the prior as an expert
    both[1].load_state_dict(both[0].state_dict())
    torch.testing.assert_close(terms(both[0], {"a": x}, [e]), terms(both[1], {"a": x}, [e]))
    sampled = build("mmvae", **one, posterior="normal", learn_prior=False, samples=1, dreg=False)
    sampled.load_state_dict(plain.state_dict())
    normal = torch.distributions.Normal(mean, (raw / 2).exp())
    wanted = log_p + torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) - normal.log_prob(z).sum(1)
    torch.testing.assert_close(terms(sampled, {"a": x}, [e[None]]), -wanted.mean())


def test_mopoe_of_the_full_product_is_mvae_of_the_joint_bound_alone() -> None:
    first, second = build("mvae", subsets="all_only", beta=1.5), build("mopoe", joint="poe", beta=1.5)
    second.load_state_dict(first.state_dict())
    x, e = features(), torch.randn(6, 4)
    torch.testing.assert_close(terms(first, x, [e]), terms(second, x, [e]))


def test_mopoe_of_experts_alone_draws_from_the_mixture_of_mmvae() -> None:
    first = build("mmvae", posterior="normal", learn_prior=False)
    second = build("mopoe", joint="moe")
    second.load_state_dict(first.state_dict())
    x, z = features(), torch.randn(6, 4)
    torch.testing.assert_close(first.encode(x).joint.log_density(z), second.encode(x).joint.log_density(z))


def test_bounds_are_in_their_order_and_grow_with_more_draws() -> None:
    x = features(500)
    bounds = {}
    for bound in ("elbo", "looser", "tighter"):
        model = build("mmvae", bound=bound, dreg=False)
        given = model._inputs(x)
        experts = model.experts(given)
        values = []
        for count in (1, 2, 8):
            drawn = Draws(torch.Generator().manual_seed(3))
            with torch.no_grad():
                _, w, weight = model.importance(given, experts, drawn, samples=count)  # type: ignore[operator]  # MMVAE
                values.append(model.bound(w, weight))  # type: ignore[operator]
        bounds[bound] = values
    for count in range(3):
        assert (bounds["looser"][count] >= bounds["elbo"][count] - 1e-4).all()
        assert (bounds["tighter"][count] >= bounds["looser"][count] - 1e-4).all()
    torch.testing.assert_close(bounds["looser"][0], bounds["elbo"][0])
    for bound in ("looser", "tighter"):
        means = [float(value.mean()) for value in bounds[bound]]
        assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("bound", ["looser", "tighter"])
def test_doubly_reparameterised_gradients_agree_with_plain_ones_in_expectation(bound: str) -> None:
    """Of one modality; of more, the mixture in w is not what z is drawn from, and they don't."""
    rows, one = 20_000, {"modalities": ("a",), "widths": (7,), "steps": (1,), "likelihoods": ("normal",)}
    x = {"a": features(1)["a"].expand(rows, -1).contiguous()}
    found = []
    for dreg in (True, False):
        model = build("mmvae", samples=4, dreg=dreg, reduction="sum", latent=2, bound=bound, **one)
        given = model._inputs(x)
        with torch.no_grad():
            experts = model.experts(given)
        mean, scale = experts.mean.clone().requires_grad_(), experts.log_scale.clone().requires_grad_()
        made = Experts("laplace", mean, scale, experts.there)
        generator = torch.Generator().manual_seed(5 + dreg)
        model.terms(given, made, 1.0, Draws(generator))["bound"].backward()
        assert mean.grad is not None
        assert scale.grad is not None
        found.append(torch.cat((mean.grad.flatten(1), scale.grad.flatten(1)), 1))
    error = torch.stack([one.var(0) / rows for one in found]).sum(0).sqrt()
    apart = (found[0].mean(0) - found[1].mean(0)).abs()
    assert (apart <= 4 * error).all(), (apart / error).max()
    assert found[0].mean(0).abs().max() > 20 * error.max()  # there is a gradient to agree on
    assert found[0].var(0).sum() < found[1].var(0).sum()  # what the trick is for


@pytest.mark.parametrize("key", list(CLASSES))
def test_what_an_absent_modality_holds_changes_no_bound_and_no_gradient(key: str) -> None:
    model = TOYS[key].config()
    model = CLASSES[key](model).train()
    torch.manual_seed(1)
    batch = vae_toys.batch(model.config, 9)
    found = []
    for strange in (None, 7.0, math.nan):
        changed = dict(batch.features)
        if strange is not None:
            for m in changed:
                changed[m] = torch.where(batch.has(m)[:, None, None], changed[m], strange)
        made = replace(batch, features=changed)
        model.zero_grad()
        torch.manual_seed(8)
        value = torch.stack(list(model.loss(model(made, trace=False), made).values())).sum()
        value.backward()
        found.append((value.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    for value, gradients in found[1:]:
        assert torch.equal(value, found[0][0])
        assert all(torch.equal(a, b) for a, b in zip(gradients, found[0][1], strict=True))


@pytest.mark.parametrize("key", list(CLASSES))
def test_the_importance_estimate_is_no_less_than_the_bound_and_settles(key: str) -> None:
    model = build(key, learn_scales=True, rescaling=False, **({"joint": "moe"} if key == "mmvae" else {}))
    x = features(40)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        bound = torch.stack([model.elbo(x, generator=generator).total for _ in range(200)]).mean(0)
    estimates = [model.log_likelihood(x, 400, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
    assert float(estimates[0].mean()) >= float(bound.mean()) - 0.05
    assert abs(float((estimates[0] - estimates[1]).mean())) < 0.3
    fewer = model.log_likelihood(x, 400, torch.Generator().manual_seed(1), at_once=400)
    assert abs(float(fewer.mean() - estimates[0].mean())) < 0.1


def test_a_linear_gaussian_model_has_its_exact_likelihood() -> None:
    """With a decoder W z and unit noise, p(x) = N(0, W W' + I)."""
    model = build("mvae", modalities=("a",), widths=(3,), steps=(1,), likelihoods=("normal",), layers=0, latent=2)
    decoder = model.decoders["a"]
    torch.nn.init.zeros_(decoder.out.bias)  # type: ignore[attr-defined]  # a linear map
    W = decoder.out.weight.detach()  # type: ignore[attr-defined]
    x = torch.randn(5, 3)
    exact = torch.distributions.MultivariateNormal(torch.zeros(3), W @ W.T + torch.eye(3)).log_prob(x)
    found = model.log_likelihood({"a": x}, 20_000, torch.Generator().manual_seed(0), at_once=500)
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0)


# What one asks of a model.


@pytest.mark.parametrize("key", list(CLASSES))
def test_a_subset_has_no_order_and_is_what_is_left_when_the_rest_is_absent(key: str) -> None:
    model, x = build(key), features()
    one, other = model.encode(x, ("a", "c")), model.encode(x, ("c", "a"))
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.log_var, other.log_var)
    left = model.encode({"a": x["a"], "c": x["c"]})
    assert torch.equal(left.mean, one.mean)
    masked = model._inputs(x, torch.tensor([[True, False, True]] * 6))
    assert torch.equal(masked.there, one.experts.there)
    torch.testing.assert_close(one.share.sum(1), torch.ones(6, 4))
    assert not one.share[:, 2].any()
    single = model.encode(x, "b")
    torch.testing.assert_close(single.mean, model.encode({"b": x["b"]}).mean)


@pytest.mark.parametrize("key", list(CLASSES))
def test_generation_has_its_shapes_is_repeatable_and_reaches_what_is_absent(key: str) -> None:
    model, x = build(key), features()
    draw = lambda: model.generate({"a": x["a"]}, samples=3, generator=torch.Generator().manual_seed(1))  # noqa: E731
    made, again = draw(), draw()
    assert {m: tuple(value.shape) for m, value in made.items()} == {
        "a": (3, 6, 1, 7),
        "b": (3, 6, 1, 5),
        "c": (3, 6, 1, 3),
    }
    assert all(torch.equal(value, again[m]) for m, value in made.items())
    assert list(model.generate(x, "a", "b")) == ["b"]
    middle = model.generate(x, ("a", "b"), samples=0)["c"]
    torch.testing.assert_close(middle, model.shown(model.decode(model.encode(x, ("b", "a")).mean))["c"])
    assert model.imagine(8, torch.Generator().manual_seed(0)).shape == (8, 4)
    told = model.elbo(x, torch.tensor([[True, True, False]] * 6), torch.Generator().manual_seed(0))
    assert not told.log_likelihood["c"].any()
    torch.testing.assert_close(told.total, sum(told.log_likelihood.values()) - told.kl)


def test_a_row_with_nothing_and_a_name_that_is_unknown_are_refused_by_name() -> None:
    model, x = build("mmvae"), features()
    mask = torch.ones(6, 3, dtype=torch.bool)
    mask[4] = False
    with pytest.raises(FusionError, match='"4" has none of a, b, c'):
        model.elbo(x, mask)
    with pytest.raises(FusionError, match='no modality "d"'):
        model.encode(x, ("a", "d"))
    with pytest.raises(FusionError, match="No features came"):
        model.encode({})
    with pytest.raises(FusionError, match=r'"a" came as \(6, 9\)'):
        model.encode({"a": torch.zeros(6, 9)})


# Likelihoods and settings.


def test_likelihoods_are_those_of_torch_and_leave_padding_out() -> None:
    guess, real = torch.randn(2, 4, 3, 5), torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    x = torch.rand(4, 3, 5)
    kinds = {
        "normal": torch.distributions.Normal(guess, 0.7), "laplace": torch.distributions.Laplace(guess, 0.7),
        "bernoulli": torch.distributions.Bernoulli(logits=guess, validate_args=False),
    }  # fmt: skip
    for kind, other in kinds.items():
        wanted = (other.log_prob(x) * real[..., None]).sum((-1, -2))
        odd = torch.where(real[..., None], x, math.nan)
        torch.testing.assert_close(log_likelihood(kind, guess, odd, real, math.log(0.7)), wanted)  # type: ignore[arg-type]
    letters = torch.randint(0, 5, (4, 3))
    one_hot = torch.nn.functional.one_hot(letters, 5).float()
    wanted = torch.distributions.Categorical(logits=guess).log_prob(letters) * real
    torch.testing.assert_close(log_likelihood("categorical", guess, one_hot, real), wanted.sum(-1))
    torch.testing.assert_close(expected("categorical", guess).sum(-1), torch.ones(2, 4, 3))
    with pytest.raises(FusionError, match=r"from -?[\d.]+ to [\d.]+ and its likelihood is bernoulli"):
        check("bernoulli", "a", 3 * torch.randn(4, 3, 5), real)
    with pytest.raises(FusionError, match="not one of its 5 tokens"):
        check("categorical", "a", torch.rand(4, 3, 5) / 2, real)
    check("categorical", "a", torch.where(real[..., None], one_hot, 9.0), real)


def test_factors_follow_the_sizes_and_the_warm_up_rises_in_a_line() -> None:
    sizes = {"widths": (20, 10, 5)}
    assert build("mvae", **sizes).config.weights() == (1.0, 2.0, 4.0)
    assert build("mvae", **sizes, rescaling=False).config.weights() == (1.0, 1.0, 1.0)
    assert build("mvae", **sizes, factors=(3.0, 1.0, 2.0)).config.weights() == (3.0, 1.0, 2.0)
    model = build("mvae", beta=2.0, warm_up=10)
    assert [model.annealed(step) for step in (0, 5, 10, 99)] == [0.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("key", "changes", "said"),
    [
        ("mvae", {"likelihoods": ("normal", "poisson", "normal")}, "likelihoods"),
        ("mvae", {"widths": (7, 5)}, "widths has 2 entries for 3"),
        ("mvae", {"pictures": (1, 2, 3, 0, 0, 0, 0, 0, 0)}, "picture 1 x 2 x 3"),
        ("mvae", {"tokens": ("a:x",)}, "1 tokens for 7 columns"),
        ("mmvae", {"joint": "poe"}, "product of Laplace"),
        ("mmvae", {"samples": 0}, "samples is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(key: str, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        build(key, **changes)


def test_settings_come_from_text_too() -> None:
    import typing

    from fusion.settings import parsed

    kinds = typing.get_type_hints(mvae.Config)
    assert parsed("likelihoods", "normal, bernoulli", kinds["likelihoods"]) == ("normal", "bernoulli")


def test_learned_scales_start_at_the_given_ones_and_move() -> None:
    model = build("mvae", learn_scales=True, scales=(2.0, 1.0, 0.5), likelihoods=("normal", "bernoulli", "laplace"))
    assert {m: round(float(s.detach().exp()), 5) for m, s in model.scales.items()} == {"a": 2.0, "c": 0.5}
    x = features() | {"b": torch.rand(6, 5)}
    terms(model, x, [torch.randn(6, 4) for _ in range(4)]).backward()
    assert all(s.grad is not None and float(s.grad.abs()) > 0 for s in model.scales.values())


@pytest.mark.parametrize("rule", ["poe", "moe", "mopoe"])
@pytest.mark.parametrize("key", list(CLASSES))
def test_every_system_takes_every_rule(key: str, rule: str) -> None:
    own = {"posterior": "normal"} if key == "mmvae" else {}
    model = build(key, joint=rule, **own).train()
    given = model._inputs(features())
    made = model.terms(given, model.experts(given), 1.0, Draws(torch.Generator().manual_seed(0)))
    assert all(torch.isfinite(value) for value in made.values())


# What it tells.


@pytest.mark.parametrize("key", list(CLASSES))
def test_signals_say_what_the_model_does(key: str) -> None:
    model = CLASSES[key](TOYS[key].config()).eval()
    torch.manual_seed(3)
    batch = vae_toys.batch(model.config, 7)
    output = model(batch)
    trace = output.trace
    told, parts = trace.first(Posterior), trace.first(Parts)
    made, weights = trace.first(CrossGeneration), trace.first(ModalityWeights)
    assert told is not None
    assert parts is not None
    assert made is not None
    assert weights is not None
    torch.testing.assert_close(told.joint, output.fused)
    torch.testing.assert_close(told.share.sum(1), torch.ones(7, 10))
    apart = torch.cat((told.value[:, 0] - told.value[:, 2], told.scale[:, 0] - told.scale[:, 2]), 1).norm(dim=1)
    pair = batch.has("text") & batch.has("audio")
    torch.testing.assert_close(told.distance[pair, 0, 2], apart[pair])
    assert not told.distance[~pair, 0, 2].any()
    whole = told.subset_present[:, -1]
    torch.testing.assert_close(told.subset_mean[whole, -1], told.joint[whole])
    for at, members in enumerate(told.subsets):
        here = told.subset_present[:, at]
        alone = model.encode(batch.rows(here.nonzero().flatten()), members)
        torch.testing.assert_close(told.subset_mean[here, at], alone.mean)
        torch.testing.assert_close(2 * told.subset_scale[here, at].log(), alone.log_var, atol=1e-4, rtol=1e-4) if (
            key != "mmvae"
        ) else None
    names = {"mvae": 4, "mmvae": 3, "mopoe": 7}
    assert len(weights.modalities) == names[key]
    start = 6 * 5
    rows = batch.has("text").nonzero().flatten()
    from_text = model.generate(batch.rows(rows), "text", "image", samples=0)["image"]
    torch.testing.assert_close(made.value[rows, 0, start : start + 42], from_text.flatten(1))
    assert not parts.value[:, :3][~batch.present].any()


def test_a_mixture_component_can_be_given() -> None:
    model, x = build("mopoe"), features()
    given = model._inputs(x)
    experts = model.experts(given)
    e = torch.randn(6, 4)
    component = torch.tensor([6, 0, 3, 3, 2, 5])
    joint = model.joint(experts)
    mean, log_scale = joint.at(component)
    z = mean + log_scale.exp() * e
    wanted = -model.explained(z, given).sum(-1).mean() + joint.divergence().sum(-1).mean()
    made = model.terms(given, experts, 1.0, Draws(given=[e], components=component))
    torch.testing.assert_close(torch.stack(list(made.values())).sum(), wanted)
    assert isinstance(joint, Mixture)
