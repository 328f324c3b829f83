"""Posteriors of several experts over one latent space: their products, their mixtures, densities and distances.

B samples, M experts, S subsets of them, C components of a mixture, Z latent dimensions, K draws. A distribution is its
mean and the logarithm of its scale: the standard deviation of a Gaussian, the b of a Laplace distribution. An expert
that isn't there may hold anything, NaN too: it has weight exactly 0.

    product   log T_S = logsumexp(0, {-l_m} of S),  w = softmax(0, {-l_m}),  mean = sum_k w_k mean_k,  l_S = -log T_S
    mixture   q = sum_c a_c q_c,  log q(z) = logsumexp_c (log a_c + log q_c(z))

with l = log variance and the standard normal prior as the expert 0, where it takes part.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Family = Literal["normal", "laplace"]
Rule = Literal["poe", "moe", "mopoe"]
FLOOR = 1e-6  # added to every scale that a softmax made, as the program of MMVAE does


@dataclass(frozen=True)
class Experts:
    """What each modality alone says of the latent vector."""

    family: Family
    mean: Tensor  # (B, M, Z)
    log_scale: Tensor  # (B, M, Z)
    there: Tensor  # (B, M) bool

    def rows(self, index: Tensor) -> Experts:
        """Some rows, in the order given."""
        return Experts(self.family, self.mean[index], self.log_scale[index], self.there[index])

    def detached(self) -> Experts:
        """The same numbers, through which no gradient goes."""
        return Experts(self.family, self.mean.detach(), self.log_scale.detach(), self.there)


@dataclass(frozen=True)
class Mixture:
    """C components with weights that sum to one in every row; a single one is a plain distribution."""

    family: Family
    mean: Tensor  # (B, C, Z)
    log_scale: Tensor  # (B, C, Z)
    weight: Tensor  # (B, C), 0 where a component isn't there

    def centre(self) -> Tensor:
        """The mean of the mixture. -> (B, Z)"""
        return torch.einsum("bc,bcz->bz", self.weight, self.mean)

    def spread(self) -> Tensor:
        """The standard deviation of the mixture: within its components, and between their means. -> (B, Z)"""
        within = deviation(self.family, self.log_scale).square()
        about = (self.mean - self.centre()[:, None]).square()
        return torch.einsum("bc,bcz->bz", self.weight, within + about).sqrt()

    def log_density(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., B) nats"""
        return torch.logsumexp(self.by_component(z) + self.weight.log(), -1)

    def by_component(self, z: Tensor) -> Tensor:
        """log q_c(z) of each component. (..., B, Z) -> (..., B, C) nats"""
        return log_density(self.family, z[..., None, :], self.mean, self.log_scale).sum(-1)

    def responsibility(self, z: Tensor) -> Tensor:
        """How likely each component made z: softmax(log a_c + log q_c(z)). (..., B, Z) -> (..., B, C)"""
        return (self.by_component(z) + self.weight.log()).softmax(-1)

    def divergence(self, prior_log_scale: Tensor | float = 0.0) -> Tensor:
        """sum_c a_c KL(q_c || p) by latent dimension, an upper bound of the mixture's own. -> (B, Z) nats"""
        each = divergence(self.family, self.mean, self.log_scale, prior_log_scale)
        return torch.einsum("bc,bcz->bz", self.weight, each)

    def at(self, component: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log scale of one component a row. (B,) int -> (B, Z), (B, Z)"""
        rows = torch.arange(len(component), device=component.device)
        return self.mean[rows, component], self.log_scale[rows, component]


@dataclass
class Draws:
    """Where random numbers come from: a generator (None: torch's own), or tensors that are used up in order."""

    generator: torch.Generator | None = None
    given: Iterable[Tensor] = ()
    components: Tensor | None = None  # (B,) int, given instead of drawn
    _left: list[Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self._left = list(self.given)

    def noise(self, family: Family, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Standard noise: normal, or uniform in (-1, 1) for a Laplace distribution. -> shape"""
        if self._left:
            taken = self._left.pop(0).to(like)
            assert taken.shape == shape, f"{tuple(taken.shape)} was given, {shape} is wanted"
            return taken
        device = like.device if self.generator is None else self.generator.device
        if family == "normal":
            return torch.randn(shape, generator=self.generator, device=device).to(like)
        low = torch.finfo(torch.float32).eps - 1  # above -1, whose Laplace quantile is infinite
        return (low + (1 - low) * torch.rand(shape, generator=self.generator, device=device)).to(like)

    def component(self, weight: Tensor, count: int = 1) -> Tensor:
        """Components by their weights. (B, C) -> (count, B) int"""
        if self.components is not None:
            return self.components.to(weight.device).expand(count, -1)
        device = weight.device if self.generator is None else self.generator.device
        drawn = torch.multinomial(weight.to(device), count, replacement=True, generator=self.generator)
        return drawn.T.to(weight.device)


def subsets(count: int) -> tuple[tuple[int, ...], ...]:
    """All 2^M - 1 non-empty subsets of M experts, small ones first.

    >>> subsets(3)
    ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    """
    return tuple(one for size in range(1, count + 1) for one in combinations(range(count), size))


def subset_table(count: int, device: torch.device | str = "cpu") -> Tensor:
    """The same as a table of who is in. -> (S, M) bool"""
    table = torch.zeros(2**count - 1, count, dtype=torch.bool)
    for row, members in enumerate(subsets(count)):
        table[row, list(members)] = True
    return table.to(device)


def product(mean: Tensor, log_variance: Tensor, given: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Products of Gaussian experts, of all subsets at once.

    mean, log_variance (B, M, Z); given (B, S, M) bool, who takes part; prior (B, S) bool, whether the prior does, which
    it always does where nobody else is. -> mean (B, S, Z), log variance (B, S, Z), precision shares (B, S, M + 1, Z) of
    the prior and of every expert, which sum to one and weigh the means. Source: MVAE, the module's equation.
    """
    out = ~given[..., None]  # (B, S, M, 1)
    argument = (-log_variance)[:, None].masked_fill(out, -torch.inf)  # (B, S, M, Z)
    own = torch.zeros_like(argument[:, :, :1]).masked_fill(
        ~(prior | ~given.any(-1))[..., None, None], -torch.inf
    )  # (B, S, 1, Z): the prior's log precision is 0
    argument = torch.cat((own, argument), 2)
    top = argument.detach().amax(2, keepdim=True)
    each = (argument - top).exp()
    total = reduce(torch.add, each.unbind(2))  # one after the other: an expert of weight 0 leaves every bit as it is
    share = each / total[:, :, None]
    known = torch.where(out | log_variance.isposinf()[:, None], 0.0, mean[:, None])  # else 0 x NaN
    centre = reduce(torch.add, (share[:, :, 1:] * known).unbind(2))
    return centre, -(top.squeeze(2) + total.log()), share


def mixture(experts: Experts, rule: Rule, given: Tensor, *, full_prior_only: bool = False) -> Mixture:
    """The joint posterior of the experts that are given, by a rule.

    poe: their product with the prior, one component. moe: each of them, the same weight each. mopoe: the products of
    all their non-empty subsets, the same weight each; subsets with somebody who isn't given have weight 0.
    given (B, M) bool; full_prior_only: the prior takes part in the product of all M experts alone.
    """
    count = given.shape[1]
    if rule == "moe":
        here = given[..., None]
        weight = given / given.sum(1, keepdim=True)
        mean, scale = torch.where(here, experts.mean, 0.0), torch.where(here, experts.log_scale, 0.0)
        return Mixture(experts.family, mean, scale, weight.to(mean.dtype))
    assert experts.family == "normal", "a product of Laplace distributions is none"
    if rule == "poe":
        members, weight = given[:, None], torch.ones_like(given[:, :1], dtype=experts.mean.dtype)
    else:
        table = subset_table(count, given.device)  # (S, M)
        whole = (given[:, None] | ~table).all(-1)  # (B, S), every member is given
        members, weight = table & given[:, None], (whole / whole.sum(1, keepdim=True)).to(experts.mean.dtype)
    prior = members.all(-1) if full_prior_only else torch.ones_like(members[..., 0])
    mean, log_variance, _ = product(experts.mean, 2 * experts.log_scale, members, prior)
    return Mixture("normal", mean, log_variance / 2, weight)


def floored(log_scale: Tensor, variance: float) -> Tensor:
    """Scales of Gaussians whose variance has something added to it, without leaving the logarithm."""
    return log_scale if not variance else torch.logaddexp(2 * log_scale, log_scale.new_tensor(math.log(variance))) / 2


def softmax_scale(raw: Tensor) -> Tensor:
    """log of Z softmax(raw) + 1e-6: scales whose mean over the dimensions is one. (..., Z) -> (..., Z)"""
    return (raw.shape[-1] * raw.softmax(-1) + FLOOR).log()


def sample(family: Family, mean: Tensor, log_scale: Tensor, noise: Tensor) -> Tensor:
    """mean + scale e; of a Laplace distribution, by its quantiles of uniform noise in (-1, 1). All (..., Z)"""
    if family == "laplace":
        noise = -noise.sign() * torch.log1p(-noise.abs())
    return mean + log_scale.exp() * noise


def log_density(family: Family, z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log q(z) by latent dimension. (..., Z) -> (..., Z) nats"""
    away = (z - mean) * (-log_scale).exp()
    if family == "laplace":
        return -away.abs() - log_scale - math.log(2)
    return -0.5 * away.square() - log_scale - 0.5 * math.log(2 * math.pi)


def divergence(family: Family, mean: Tensor, log_scale: Tensor, prior_log_scale: Tensor | float = 0.0) -> Tensor:
    """KL(q || p) by latent dimension; p has mean 0 and is of the same family. (..., Z) -> (..., Z) nats, >= 0"""
    ratio = log_scale - prior_log_scale
    away = mean * torch.exp(-torch.as_tensor(prior_log_scale, dtype=mean.dtype, device=mean.device))
    if family == "laplace":
        return ratio.exp() * torch.exp(-mean.abs() * (-log_scale).exp()) + away.abs() - ratio - 1
    return 0.5 * (away.square() + torch.expm1(2 * ratio) - 2 * ratio)


def deviation(family: Family, log_scale: Tensor) -> Tensor:
    """The standard deviation of a scale."""
    return log_scale.exp() * (math.sqrt(2) if family == "laplace" else 1.0)


def wasserstein(mean: Tensor, scale: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of Gaussians, each to each. mean, standard deviation (B, M, Z) -> (B, M, M)"""
    both = torch.cat((mean, scale), -1)
    return (both[:, :, None] - both[:, None]).square().sum(-1)


def slices(rows: int, components: int) -> Tensor:
    """The component of each row where a batch is cut into equal consecutive blocks, the rest to the last. -> (B,) int

    >>> slices(7, 3).tolist()
    [0, 0, 1, 1, 2, 2, 2]
    """
    size = rows // components
    if not size:
        return torch.full((rows,), components - 1)
    return (torch.arange(rows) // size).clamp(max=components - 1)


def precision(experts: Experts, given: Tensor) -> Tensor:
    """Shares of the prior and of every expert in the product of those given. (B, M) bool -> (B, M + 1, Z)"""
    everyone = torch.ones_like(given[:, :1])
    return product(experts.mean, 2 * experts.log_scale, given[:, None], everyone)[2][:, 0]


def by_dimension(parts: Mixture) -> Tensor:
    """Responsibility of every component at the mixture's centre, each latent dimension on its own. -> (B, C, Z)"""
    at = log_density(parts.family, parts.centre()[:, None], parts.mean, parts.log_scale)
    return F.softmax(at + parts.weight.log()[..., None], 1)
