"""What a multimodal VAE says about how it fused: posteriors, whose weight it was, and what each subset can make.

Papers: MVAE, arXiv:1802.05335; MMVAE, arXiv:1911.03393; MoPoE, arXiv:2105.02470; released: thomassutter/MoPoE@477a441.
All is told at the mean of a posterior, never at a draw, so that it is a property of the sample.

    share of expert m in dimension z, in a product:  w_mz = softmax_m(0, {-l_mz})                          (1)
    weight of component c of a mixture:              a_c q_c(mu) / sum_c' a_c' q_c'(mu),  mu its mean       (2)
    bound at the mean:                               sum_m r_m log p(x_m|mu) - beta sum_c a_c KL(q_c||p)    (3)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.blocks import posteriors
from fusion.signals import CrossGeneration, Embedding, ModalityWeights, Parts, Posterior, Signal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.blocks.posteriors import Experts, Mixture
    from fusion.models.vae import VAE
    from fusion.models.vae_config import Inputs

PRIOR, ALL = "prior", "all"
MANY = 4  # modalities above which not every subset is asked what it makes
WITH = "with_"  # how the name of a subset of modalities begins, "+" between them (fusion/views/speech.py)


def signals(
    model: VAE, given: Inputs, experts: Experts, joint: Mixture
) -> tuple[tuple[Signal, ...], dict[str, Tensor]]:
    """All signals of a forward pass, and the totals that they add up to."""
    names = model.config.modalities
    terms = model.at_mean(given, joint)  # (B, M + 1)
    told: list[Signal] = [
        _posterior(model, experts, joint),
        *_weights(model, experts, joint),
        Parts(
            name="elbo_terms", unit="nats", value=terms, voices=(*names, "kl"), total="elbo",
            caveat="caveat.elbo_terms",
        ),
    ]  # fmt: skip
    members = sources(len(names))
    centres = [_alone(model, experts, one) for one in members]
    told += [_cross(model, given, experts, (members, centres), joint), _embedding("fused", joint.centre())]
    there = experts.there[..., None]
    told += [_embedding(m, torch.where(there[:, at], centres[at], 0.0)) for at, m in enumerate(names)]
    return tuple(told), {"elbo": terms.sum(-1)}


def sources(count: int) -> tuple[tuple[int, ...], ...]:
    """Who makes something of every modality: each alone, then several together but not all; of more than MANY
    modalities those that lack one.

    >>> sources(3)
    ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2))
    """
    wanted = range(2, count) if count <= MANY else (count - 1,)
    return tuple(one for one in posteriors.subsets(count) if len(one) == 1 or len(one) in wanted)


def _alone(model: VAE, experts: Experts, members: tuple[int, ...]) -> Tensor:
    """Mean of the posterior of some experts, of all that are there where one of these isn't. -> (B, Z)"""
    there = experts.there
    some = torch.zeros_like(there)
    some[:, list(members)] = True
    whole = there[:, list(members)].all(1, keepdim=True)
    return model.joint(experts, torch.where(whole, some, there)).centre()


def _posterior(model: VAE, experts: Experts, joint: Mixture) -> Posterior:
    """Experts, joint and every subset as means and standard deviations; who isn't there stands as the prior."""
    names, there = model.config.modalities, experts.there
    table = posteriors.subset_table(len(names), there.device)  # (S, M)
    whole = (there[:, None] | ~table).all(-1)  # (B, S)
    means, spreads = [], []
    for row, members in enumerate(table):
        part = model.joint(experts, torch.where(whole[:, row, None], members, there))
        means.append(part.centre())
        spreads.append(part.spread())
    blank = ~there[..., None]
    prior = torch.as_tensor(model.prior_log_scale(), dtype=experts.mean.dtype, device=experts.mean.device)
    deviation = posteriors.deviation(experts.family, experts.log_scale)
    outside = posteriors.deviation(experts.family, prior)
    return Posterior(
        name="posterior", unit="none", value=torch.where(blank, 0.0, experts.mean),
        scale=torch.where(blank, outside, deviation), present=there, joint=joint.centre(), joint_scale=joint.spread(),
        subset_mean=torch.stack(means, 1), subset_scale=torch.stack(spreads, 1), subset_present=whole,
        prior_scale=outside.expand_as(joint.centre()),
        share=_share(model, experts), kl=joint.divergence(prior), modalities=names, rule=model.rule,
        distance=_distance(torch.where(blank, 0.0, experts.mean), torch.where(blank, outside, deviation), there),
        subsets=tuple(tuple(names[m] for m in members) for members in posteriors.subsets(len(names))),
        caveat="caveat.posterior",
    )  # fmt: skip


def _distance(mean: Tensor, scale: Tensor, there: Tensor) -> Tensor:
    """How far apart any two experts are that are there, the root of what posteriors.wasserstein gives. -> (B, M, M)"""
    both = there[:, :, None] & there[:, None]
    return torch.where(both, posteriors.wasserstein(mean, scale), 0.0).sqrt()


def _share(model: VAE, experts: Experts) -> Tensor:
    """Eq. (1); of a mixture of experts, eq. (2) for each latent dimension, the prior with none. -> (B, M + 1, Z)"""
    if model.rule != "moe":
        return posteriors.precision(experts, experts.there)
    spoken = posteriors.by_dimension(posteriors.mixture(experts, "moe", experts.there))
    return torch.cat((torch.zeros_like(spoken[:, :1]), spoken), 1)


def _weights(model: VAE, experts: Experts, joint: Mixture) -> list[Signal]:
    """Of a product the shares of eq. (1), mean over the dimensions; of a mixture the weights of eq. (2)."""
    names = model.config.modalities
    if model.rule == "poe":
        value, voices = posteriors.precision(experts, experts.there).mean(-1), (PRIOR, *names)
        name, caveat = "precision_share", "caveat.precision_share"
    else:
        value = joint.responsibility(joint.centre())
        members = posteriors.subsets(len(names))
        single = model.rule == "moe"
        voices = names if single else tuple(WITH + "+".join(names[m] for m in one) for one in members)
        name, caveat = "component_weight", "caveat.component_weight"
    return [
        ModalityWeights(
            name=name, unit="weight", normalised_over="modality", value=value, modalities=voices, caveat=caveat
        )
    ]  # fmt: skip


def _cross(
    model: VAE, given: Inputs, experts: Experts, parts: tuple[Sequence[tuple[int, ...]], Sequence[Tensor]],
    joint: Mixture,
) -> CrossGeneration:  # fmt: skip
    """What the posterior's mean of each source, and of all, makes of every modality, there or not. parts: the members
    and the mean (B, Z) of each source"""
    config, there = model.config, experts.there
    members, centres = parts
    told = [there[:, list(one)].all(1) for one in members]
    z = torch.stack([*centres, joint.centre()])  # (G, B, Z)
    made = model.shown(model.decode(z))
    flat = torch.cat([made[m].flatten(2) for m in config.modalities], -1)  # (G, B, N)
    return CrossGeneration(
        name="cross_generation", unit="none", value=flat.transpose(0, 1),
        truth=torch.cat([x.flatten(1) for x in given.x], -1),
        real=torch.cat(
            [seen[..., None].expand_as(x).flatten(1) for x, seen in zip(given.x, given.seen, strict=True)], -1
        ),
        told=torch.stack([*told, torch.ones_like(told[0])], 1), modalities=config.modalities,
        sources=(*("+".join(config.modalities[m] for m in one) for one in members), ALL),
        sizes=tuple(zip(config.steps, config.widths, strict=True)),
        likelihoods=config.likelihoods, pictures=tuple(config.picture(i) for i in range(len(config.modalities))),
        tokens=config.names(), inked=config.inked, caveat="caveat.cross_generation",
    )  # fmt: skip


def _embedding(modality: str, value: Tensor) -> Embedding:
    return Embedding(
        name=f"embedding_{modality}", unit="none", value=value, modality=modality, caveat="caveat.latent_mean"
    )
