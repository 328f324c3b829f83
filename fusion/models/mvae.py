"""MVAE: a multimodal VAE whose joint posterior is the product of its experts, taught with incomplete samples too.

Paper: Wu and Goodman, "Multimodal Generative Models for Scalable Weakly-Supervised Learning", NeurIPS 2018,
arXiv:1802.05335. Released code: mhw32/multimodal-vae-public@594451f.

    q(z|X_S) ~ p(z) prod_{m in S} q(z|x_m):  T = 1 + sum_m e^-l_m,  mu = sum_m e^-l_m mu_m / T,  l = -log T    (1)
    ELBO(X_S) = E_q(z|X_S) sum_{m in S} r_m log p(x_m|z) - beta KL(q(z|X_S) || p)                              (2)
    loss = -[ELBO(X) + sum_m ELBO(X_m) + sum_k ELBO(X_S_k)],  S_k k random subsets of 2 to M - 1 modalities    (3)

l_m (B, Z) log variances, mu_m (B, Z), beta without unit, all bounds nats. With fewer than three modalities k is 0; the
random subsets are drawn while training alone. Of an incomplete sample each subset is what is left of it, and one that
is left empty says nothing.

Differs from the released code: an expert's precision is never 1 / (e^l + eps) but stays in the logarithm; the mean is
over all rows (`average`), where MultiVae's is over those that have something of the subset; no likelihood weights of
one data set, but r_m (`rescaling`, `factors`).

Recipe of the paper (MNIST): Adam 1e-3, 500 epochs, 200 of them warm-up, image 1 and text 10. Ours for small data:
RECIPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from fusion.blocks import posteriors
from fusion.blocks.posteriors import Draws, Rule
from fusion.models import vae_config
from fusion.models.vae import SHOWS, VAE
from fusion.types import Card, Task

if TYPE_CHECKING:
    from fusion.blocks.posteriors import Experts
    from fusion.models.vae_config import Inputs

RECIPE: Mapping[str, float] = {
    "rate": 2e-3, "batch": 64, "epochs": 150, "patience": 150, "hide_rate": 0.0, "warm_up": 1400,
}  # fmt: skip  # warm_up in steps: without it experts that are hard to read fall back to the prior


@dataclass(frozen=True)
class Config(vae_config.Config):
    """Settings of MVAE; the defaults of its switches are the paper's."""

    joint: Rule = "poe"  # the same encoders under another rule: moe, mopoe
    subsets: Literal["sampled", "all_only"] = "sampled"  # eq. (3); or its first term alone, which missing input breaks
    random_subsets: int = 1  # k
    average: Literal["all", "present"] = "all"  # rows over which a subset's bound is averaged

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """As the reference program of the parity cases runs."""
        return replace(cls(), random_subsets=0, average="present", **overrides)  # type: ignore[arg-type]


class MVAE(VAE):
    """Product of experts, eqs (1) to (3)."""

    Config = Config
    card = Card(
        key="mvae",
        name="MVAE",
        title="Multimodal VAE, product of experts",
        paper="Wu and Goodman, NeurIPS 2018, arXiv:1802.05335",
        official="mhw32/multimodal-vae-public@594451f",
        tasks=(Task.REPRESENTATION,),
        shows=SHOWS,
    )

    def terms(self, given: Inputs, experts: Experts, beta: float, draws: Draws) -> dict[str, Tensor]:
        """Eq. (3): a reconstruction term a modality and the KL, each summed over the subsets."""
        names = self.config.modalities
        zero = experts.mean.sum() * 0.0
        terms = {**{f"reconstruction_{m}": zero for m in names}, "kl": zero}
        for members in self.chosen():
            part = self.subset(given, experts, members, beta, draws)
            terms = {name: value + part[name] if name in part else value for name, value in terms.items()}
        return terms

    def subset(
        self, given: Inputs, experts: Experts, members: tuple[int, ...], beta: float, draws: Draws
    ) -> dict[str, Tensor]:  # fmt: skip
        """-ELBO(X_S) of eq. (2) in its terms, the mean over rows; {} where no row has anything of the subset."""
        names = self.config.modalities
        inside = torch.zeros_like(given.there)
        inside[:, list(members)] = given.there[:, list(members)]
        rows = inside.any(1).nonzero().squeeze(1)
        if not len(rows):
            return {}
        some = replace(given.rows(rows), there=inside[rows])
        joint = self.joint(experts.rows(rows), some.there)
        if joint.mean.shape[1] == 1:
            mean, log_scale = joint.mean[:, 0], joint.log_scale[:, 0]
        else:
            mean, log_scale = joint.at(draws.component(joint.weight)[0])
        z = posteriors.sample(self.family, mean, log_scale, draws.noise(self.family, tuple(mean.shape), mean))
        count = len(given.there) if self.config.average == "all" else len(rows)
        terms = -self.explained(z, some).sum(0) / count
        kl = joint.divergence(self.prior_log_scale()).sum() / count
        return {f"reconstruction_{names[m]}": terms[m] for m in members} | {"kl": beta * kl}

    def chosen(self) -> list[tuple[int, ...]]:
        """Everything, each modality, and k random subsets in between."""
        config, count = self.config, len(self.config.modalities)
        every = tuple(range(count))
        if config.subsets == "all_only" or count == 1:
            return [every]
        between = [one for one in posteriors.subsets(count) if 1 < len(one) < count]
        picked = torch.randperm(len(between))[: config.random_subsets].tolist() if self.training else []
        return [every, *((m,) for m in every), *(between[at] for at in picked)]
