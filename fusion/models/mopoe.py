"""MoPoE: a multimodal VAE whose joint posterior is the mixture of the products of all subsets of its experts.

Paper: Sutter, Daunhawer, Vogt, "Generalized Multimodal ELBO", ICLR 2021, arXiv:2105.02470. Released code:
thomassutter/MoPoE@477a441.

    q_S(z|X_S) ~ p(z) prod_{m in S} q(z|x_m) for every non-empty subset S of the M modalities                (1)
    q(z|X) = 1/|P| sum_{S in P} q_S(z|X_S),  |P| = 2^M - 1                                                   (2)
    loss = -E_q sum_m r_m log p(x_m|z) + beta 1/|P| sum_S KL(q_S || p)                                       (3)

KL is nats; the last term of (3) is no less than beta KL(q || p). A subset that lacks a member of a sample is left out
of its (2) and (3), the others share its weight. With `joint=poe`, (3) is the first term of MVAE; with `joint=moe` the
mixture of the experts alone.

Differs from the released code, which puts the prior only into the product of all (`prior_expert=full_only`: a single
expert's posterior is then its encoder's), adds 1e-8 to the variances (`variance_floor`), and gives the rows of a batch
to the components in equal consecutive slices (`mixture_sampling=slices`), so that where a row stands decides what its
latent vector is of. Incomplete batches are drawn at random there, too.

Recipe of the paper: beta by data set (5 on PolyMNIST). Ours for small data: RECIPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from fusion.blocks import posteriors
from fusion.blocks.posteriors import Draws, Mixture, Rule
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
    """Settings of MoPoE; the defaults of its switches are the paper's."""

    joint: Rule = "mopoe"  # the same encoders under another rule: poe, moe
    prior_expert: Literal["every", "full_only"] = "every"  # products that the prior takes part in
    mixture_sampling: Literal["random", "slices"] = "random"  # how a training row gets its component
    variance_floor: float = 0.0  # added to each expert's variance in a product; released: 1e-8

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """As the released program runs."""
        changed = {"prior_expert": "full_only", "mixture_sampling": "slices", "variance_floor": 1e-8, **overrides}
        return replace(cls(), **changed)  # type: ignore[arg-type]


class MoPoE(VAE):
    """Mixture of products of experts, eqs (1) to (3)."""

    Config = Config
    card = Card(
        key="mopoe",
        name="MoPoE",
        title="Multimodal VAE, mixture of products of experts",
        paper="Sutter, Daunhawer, Vogt, ICLR 2021, arXiv:2105.02470",
        official="thomassutter/MoPoE@477a441",
        tasks=(Task.REPRESENTATION,),
        shows=SHOWS,
    )

    def joint(self, experts: Experts, given: Tensor | None = None) -> Mixture:
        """Eq. (2) of those that are there, or of some of them. given (B, M) bool"""
        if self.config.variance_floor:
            lifted = posteriors.floored(experts.log_scale, self.config.variance_floor)
            experts = replace(experts, log_scale=lifted)
        return posteriors.mixture(
            experts, self.rule, experts.there if given is None else given,
            full_prior_only=self.config.prior_expert == "full_only",
        )  # fmt: skip

    def terms(self, given: Inputs, experts: Experts, beta: float, draws: Draws) -> dict[str, Tensor]:
        """Eq. (3): a reconstruction term a modality, and the KL; the mean over all rows."""
        joint = self.joint(experts)
        mean, log_scale = joint.at(self.component(joint, given.there, draws))
        z = posteriors.sample(self.family, mean, log_scale, draws.noise(self.family, tuple(mean.shape), mean))
        terms = -self.explained(z, given).mean(0)
        kl = joint.divergence(self.prior_log_scale()).sum(-1).mean()
        named = {f"reconstruction_{m}": terms[at] for at, m in enumerate(self.config.modalities)}
        return named | {"kl": beta * kl}

    def component(self, joint: Mixture, there: Tensor, draws: Draws) -> Tensor:
        """Which component each row's draw is of. -> (B,) int"""
        if self.config.mixture_sampling == "slices" and draws.components is None and bool(there.all()):
            return posteriors.slices(*joint.weight.shape).to(there.device)
        return draws.component(joint.weight)[0]
