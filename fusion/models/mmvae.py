"""MMVAE: a multimodal VAE whose joint posterior is the mixture of its experts, taught by importance-weighted bounds.

Paper: Shi, Siddharth, Paige, Torr, "Variational Mixture-of-Experts Autoencoders for Multi-Modal Deep Generative
Models", NeurIPS 2019, arXiv:1911.03393. Released code: iffsid/mmvae@33e3c8c.

    q(z|X) = 1/M sum_m q(z|x_m)                                                                              (1)
    w(z) = p(z) prod_n p(x_n|z)^r_n / q(z|X),  z_m^k ~ q(z|x_m), K of each                                    (2)
    looser:  1/M sum_m log 1/K sum_k w(z_m^k)                                                                (3)
    tighter: log 1/(M K) sum_m sum_k w(z_m^k);   elbo: 1/(M K) sum_m sum_k log w(z_m^k)                       (4)

Experts and prior are Laplace, of scale Z softmax(raw) + 1e-6, or Gaussian; the prior's scale is learned. With `dreg`
the gradient is doubly reparameterised: posterior parameters in w are held fixed, what is minimised is
-sum_k v_k log w_k with v = w / sum w held fixed, and the gradient that arrives at z^k is multiplied by v_k once more.
That value is not (3); `bound` gives (3). With one modality its expectation is the gradient of (3); with more it is not,
here as in the released code: z_m is drawn from q(z|x_m) alone while w holds the mixture. Absent modalities are left out
of (1) to (4), M counts those that are there.

Differs from the released code: the mean over rows (`reduction`; the released code sums); beta and its warm-up play no
part, as there. The released checkpoints have a network a data set; ours are of vae_blocks.

Recipe of the paper (MNIST and SVHN): K 30, Z 20, batches of 128, 30 epochs, Adam with AMSGrad 1e-3. Ours for small
data: RECIPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fusion.blocks import posteriors
from fusion.blocks.posteriors import Draws, Family, Rule
from fusion.models import vae_config
from fusion.models.vae import SHOWS, VAE
from fusion.types import Card, Task

if TYPE_CHECKING:
    from fusion.blocks.posteriors import Experts
    from fusion.models.vae_config import Inputs

RECIPE: Mapping[str, float] = {
    "rate": 2e-3, "batch": 64, "epochs": 80, "patience": 20, "hide_rate": 0.0, "samples": 5, "channels": 8,
}  # fmt: skip  # channels: M^2 K decodings a row make convolutions dear


@dataclass(frozen=True)
class Config(vae_config.Config):
    """Settings of MMVAE; the defaults of its switches are the paper's."""

    joint: Rule = "moe"  # the same encoders under another rule: poe, mopoe (Gaussian posteriors)
    posterior: Family = "laplace"  # of experts and prior
    learn_prior: bool = True
    samples: int = 10  # K of each expert; the paper: 20 to 50
    bound: Literal["looser", "tighter", "elbo"] = "looser"  # tighter lets one modality carry all
    dreg: bool = True  # doubly reparameterised gradients of looser and tighter
    reduction: Literal["mean", "sum"] = "mean"  # over rows

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """As the released program runs."""
        return replace(cls(), reduction="sum", **overrides)  # type: ignore[arg-type]


class MMVAE(VAE):
    """Mixture of experts, eqs (1) to (4)."""

    Config = Config
    card = Card(
        key="mmvae",
        name="MMVAE",
        title="Multimodal VAE, mixture of experts",
        paper="Shi, Siddharth, Paige, Torr, NeurIPS 2019, arXiv:1911.03393",
        official="iffsid/mmvae@33e3c8c",
        tasks=(Task.REPRESENTATION,),
        shows=SHOWS,
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.learn_prior:
            self.prior["scale"] = nn.Parameter(torch.zeros(config.latent))

    def prior_log_scale(self) -> Tensor | float:
        """Of p(z): Z softmax(raw) + 1e-6, or exp(raw / 2) of a Gaussian one. -> (Z,), or 0.0 where it isn't learned"""
        return self.log_scale(self.prior["scale"]) if "scale" in self.prior else 0.0

    def terms(self, given: Inputs, experts: Experts, beta: float, draws: Draws) -> dict[str, Tensor]:
        """What is minimised: the bound, negated, or what has its doubly reparameterised gradient."""
        config = self.config
        dreg = config.dreg and config.bound != "elbo"
        z, w, weight = self.importance(given, experts, draws, fixed=dreg)
        if not dreg:
            value = self.bound(w, weight)
        else:
            share = self._shares(w.detach(), weight)  # (K, B, C)
            value = torch.einsum("bc,kbc->b", weight, share * w)
            if config.bound == "tighter":
                value = (share * w).sum((0, 2))
            if z.requires_grad:
                z.register_hook(lambda gradient: share[..., None] * gradient)
        return {"bound": -(value.sum() if config.reduction == "sum" else value.mean())}

    def importance(
        self, given: Inputs, experts: Experts, draws: Draws, *, fixed: bool = False, samples: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """K draws of every component and their log w, eq. (2). -> z (K, B, C, Z), log w (K, B, C), weights (B, C)

        fixed: the posterior's parameters are held fixed in w, not in z.
        """
        joint = self.joint(experts)
        count = samples or self.config.samples
        noise = [
            draws.noise(self.family, (count, len(given.there), self.config.latent), experts.mean)
            for _ in range(joint.mean.shape[1])
        ]
        z = posteriors.sample(self.family, joint.mean, joint.log_scale, torch.stack(noise, 2))
        inside = z.transpose(1, 2)  # (K, C, B, Z): what is compared with rows has B next to the last axis
        prior = torch.as_tensor(self.prior_log_scale(), dtype=z.dtype, device=z.device)
        before = posteriors.log_density(self.family, inside, torch.zeros_like(prior), prior).sum(-1)
        after = (self.joint(experts.detached()) if fixed else joint).log_density(inside)
        w = self.explained(inside, given).sum(-1) + before - after  # (K, C, B)
        return z, w.transpose(1, 2), joint.weight

    def bound(self, w: Tensor, weight: Tensor) -> Tensor:
        """Eq. (3) or (4) of every row. log w (K, B, C), weight (B, C) -> (B,) nats"""
        if self.config.bound == "tighter":
            return torch.logsumexp(w + weight.log(), (0, 2)) - torch.tensor(float(len(w))).log()
        each = w.mean(0) if self.config.bound == "elbo" else torch.logsumexp(w, 0) - torch.tensor(float(len(w))).log()
        return (weight * each).sum(-1)

    def _shares(self, w: Tensor, weight: Tensor) -> Tensor:
        """Normalised weights of the draws: of each component's own, or of all. (K, B, C) -> (K, B, C)"""
        if self.config.bound == "tighter":
            whole = w + weight.log()
            return (whole - torch.logsumexp(whole, (0, 2), keepdim=True)).exp()
        return w.softmax(0)
