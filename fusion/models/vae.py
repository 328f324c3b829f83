"""What MVAE, MMVAE and MoPoE share: settings, experts, decoders, the joint posterior, and what they are asked for.

Papers: MVAE, Wu and Goodman, NeurIPS 2018, arXiv:1802.05335; MMVAE, Shi et al., NeurIPS 2019, arXiv:1911.03393; MoPoE,
Sutter et al., ICLR 2021, arXiv:2105.02470. Behaviour was compared with AgatheSenellart/MultiVae 1.0.3; the released
programs are mhw32/multimodal-vae-public@594451f, iffsid/mmvae@33e3c8c and thomassutter/MoPoE@477a441.

    q(z|x_m)        one expert a modality, Gaussian exp(l_m), or Laplace of scale Z softmax(l_m) + 1e-6         (1)
    q(z|X_S)        their product with the prior, or a mixture: fusion/blocks/posteriors.py                     (2)
    p(x_m|z)        fusion/blocks/likelihoods.py, weighted r_m = max_n D_n / D_m, D_m = T_m x width             (3)
    log p(X) ~ log 1/K sum_k exp(log p(z_k) + sum_m log p(x_m|z_k) - log q(z_k|X)), z_k ~ q(z|X)                (4)

Minimised are -log p + beta KL: reconstruction terms are maximised, not minimised. A modality that isn't there has no
expert and no reconstruction term; of every one, there or not, the decoder makes something: that is cross-generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from fusion.blocks import posteriors
from fusion.blocks.likelihoods import SCALED, check, expected, log_likelihood
from fusion.blocks.posteriors import Draws, Experts, Mixture, Rule
from fusion.blocks.sequences import check_streams, visible
from fusion.models.base import FusionModel
from fusion.models.vae_blocks import Decoder, Encoder
from fusion.models.vae_config import Config, Elbo, Encoded, Inputs
from fusion.models.vae_signals import signals
from fusion.signals import FusionOutput, Trace
from fusion.types import Batch, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWS = ("Posterior", "CrossGeneration", "ModalityWeights", "Parts", "Embedding")
KINDS = {"text": "text", "audio": "audio"}  # of a modality; all others are seen

Given = Batch | Mapping[str, Tensor]


class VAE(FusionModel):
    """What the three share; a system adds its card, its settings, its rule for q(z|X_S) and its bound."""

    stages: ClassVar[tuple[str, ...]] = ("fusion",)
    family: posteriors.Family
    prior: nn.ParameterDict  # empty but where the prior is learned

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.classes, self.task = config, (), Task.REPRESENTATION
        self.family = getattr(config, "posterior", "normal")
        self.rule: Rule = config.joint  # type: ignore[attr-defined]  # each system's own settings have it
        names = config.modalities
        self.modalities = tuple(
            Modality(m, KINDS.get(m, "image"), config.widths[i], config.steps[i], "step") for i, m in enumerate(names)
        )
        channels = config.channels or config.hidden // 8
        sizes = (config.latent, config.hidden, config.layers, config.activation, config.dropout, channels)
        shape = lambda at: (config.widths[at], config.steps[at], config.picture(at))  # noqa: E731
        self.encoders = nn.ModuleDict({m: Encoder(*shape(i), *sizes) for i, m in enumerate(names)})
        self.decoders = nn.ModuleDict({m: Decoder(*shape(i), *sizes) for i, m in enumerate(names)})
        scales = torch.tensor(config.scales or (1.0,) * len(names)).log()
        self.scales = nn.ParameterDict(
            {m: nn.Parameter(scales[i].clone()) for i, m in enumerate(names)
             if config.learn_scales and config.likelihoods[i] in SCALED}
        )  # fmt: skip
        self.prior = nn.ParameterDict()

    # What goes in.

    def read(self, batch: Batch) -> Inputs:
        """What may be read, padded to as many steps as are decoded. Raises FusionError, naming a row with nothing."""
        names = self.config.modalities
        check_streams(batch, names, self.config.widths)
        xs, masks = [], []
        for m, steps in zip(names, self.config.steps, strict=True):
            x, seen = batch.features[m], visible(batch, m)
            if x.shape[1] > steps and bool(seen[:, steps:].any()):
                raise FusionError(f'"{m}" has {x.shape[1]} steps and this model knows {steps}; cut its sequences.')
            x, seen = x[:, :steps], seen[:, :steps]
            more = steps - x.shape[1]
            xs.append(nn.functional.pad(torch.where(seen[..., None], x, 0.0), (0, 0, 0, more)))
            masks.append(nn.functional.pad(seen, (0, more)))
        there = torch.stack([seen.any(1) for seen in masks], 1)
        present = torch.stack([batch.has(m) for m in names], 1)
        return Inputs(xs, masks, torch.where(there.any(1, keepdim=True), there, present))

    def experts(self, given: Inputs) -> Experts:
        """Every modality's own posterior, eq. (1)."""
        made = [
            self.encoders[m](x, seen)
            for m, x, seen in zip(self.config.modalities, given.x, given.seen, strict=True)
        ]  # fmt: skip
        mean, raw = (torch.stack(parts, 1) for parts in zip(*made, strict=True))
        mean, raw = mean.to(given.x[0].dtype), raw.to(given.x[0].dtype)  # densities in half precision would be none
        return Experts(self.family, mean, self.log_scale(raw), given.there)

    def log_scale(self, raw: Tensor) -> Tensor:
        """What an encoder says of the scale, as the logarithm of one. (..., Z) -> (..., Z)"""
        return posteriors.softmax_scale(raw) if self.family == "laplace" else raw / 2

    def prior_log_scale(self) -> Tensor | float:
        """Of p(z), whose mean is 0. -> (Z,), or 0.0 of the standard normal one"""
        return 0.0

    def joint(self, experts: Experts, given: Tensor | None = None) -> Mixture:
        """q(z|X_S) of those that are there, or of some of them, eq. (2). given (B, M) bool"""
        return posteriors.mixture(experts, self.rule, experts.there if given is None else given)

    # What comes out.

    def decode(self, z: Tensor, modality: str | None = None) -> dict[str, Tensor]:
        """Parameters of each likelihood (means, logits), or of one modality's. z (..., Z) -> {m: (..., T, D)}"""
        flat = z.reshape(-1, z.shape[-1])
        names = self.config.modalities if modality is None else (modality,)
        self._known(names)
        return {m: self.decoders[m](flat).to(z.dtype).unflatten(0, z.shape[:-1]) for m in names}

    def shown(self, made: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What a reader sees of it: means and probabilities. {m: (..., T, D)} -> the same shapes"""
        kinds = dict(zip(self.config.modalities, self.config.likelihoods, strict=True))
        return {m: expected(kinds[m], guess) for m, guess in made.items()}

    def explained(self, z: Tensor, given: Inputs, *, weighted: bool = True) -> Tensor:
        """r_m log p(x_m|z) of every modality, 0 where it isn't there. z (..., B, Z) -> (..., B, M) nats"""
        config, terms = self.config, []
        for at, (m, factor) in enumerate(zip(config.modalities, config.weights(), strict=True)):
            if not bool(given.there[:, at].any()):
                terms.append(torch.zeros_like(z[..., 0]))
                continue
            made = self.decode(z, m)
            one = log_likelihood(config.likelihoods[at], made[m], given.x[at], given.seen[at], self._scale(at))
            terms.append(one * factor if weighted else one)
        return torch.where(given.there, torch.stack(terms, -1), 0.0)

    def _scale(self, at: int) -> Tensor | float:
        """log s of a modality's likelihood."""
        name = self.config.modalities[at]
        if name in self.scales:
            return self.scales[name]
        return float(torch.tensor(self.config.scales[at]).log()) if self.config.scales else 0.0

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Mean of the joint posterior (B, Z), twice, and the trace; nothing is drawn, rows don't touch."""
        given = self.read(batch)
        experts = self.experts(given)
        joint = self.joint(experts)
        mean = joint.centre()
        extras = {"mean": experts.mean, "log_scale": experts.log_scale, "there": experts.there}
        made = Trace()
        if trace:
            told, more = signals(self, given, experts, joint)
            made, extras = Trace(told, batch.steps), extras | more
        elif not self.training:
            extras |= {"elbo": self.at_mean(given, joint).sum(-1)}
        return FusionOutput(mean, mean, made, extras)

    def at_mean(self, given: Inputs, joint: Mixture) -> Tensor:
        """Terms of the bound with the mean in place of a draw: every modality's, then -beta KL. -> (B, M + 1) nats"""
        kl = joint.divergence(self.prior_log_scale()).sum(-1, keepdim=True)
        return torch.cat((self.explained(joint.centre(), given), -self.config.beta * kl), -1)

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """The system's own bound, negated, in its terms; `step` is the optimiser's steps so far, for the warm-up."""
        given = self.read(batch)
        for m, kind, x, seen in zip(self.config.modalities, self.config.likelihoods, given.x, given.seen, strict=True):
            check(kind, m, x, seen)
        experts = Experts(self.family, output.extras["mean"], output.extras["log_scale"], output.extras["there"])
        return self.terms(given, experts, self.annealed(step), Draws())

    def annealed(self, step: int) -> float:
        """beta after some steps: a straight line from 0 over the warm-up."""
        return self.config.beta * (min(step / self.config.warm_up, 1.0) if self.config.warm_up else 1.0)

    def terms(self, given: Inputs, experts: Experts, beta: float, draws: Draws) -> dict[str, Tensor]:
        """What is minimised, by name; each system's own."""
        raise NotImplementedError

    # What one asks of a trained model.

    def encode(self, inputs: Given, subset: Sequence[str] | str | None = None, mask: Tensor | None = None) -> Encoded:
        """The posterior of everything that is there, or of some modalities alone, whose order doesn't matter."""
        given = self._inputs(inputs, mask, subset)
        experts = self.experts(given)
        joint = self.joint(experts)
        variance = joint.log_scale[:, 0] * 2 if joint.mean.shape[1] == 1 else joint.spread().log() * 2
        share = posteriors.precision(experts, experts.there)
        return Encoded(joint.centre(), variance, experts, joint, share)

    def drawn(self, joint: Mixture, count: int, draws: Draws) -> Tensor:
        """Draws of a posterior, a component by its weight each time. -> (count, B, Z)"""
        component = draws.component(joint.weight, count)
        each = [joint.at(one) for one in component]
        mean, log_scale = (torch.stack(parts) for parts in zip(*each, strict=True))
        return posteriors.sample(self.family, mean, log_scale, draws.noise(self.family, tuple(mean.shape), mean))

    @torch.no_grad()
    def generate(
        self, inputs: Given, given: Sequence[str] | str | None = None, target: str | None = None, samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """What the decoders make of draws of q(z|given), as a reader sees it. -> {m: (samples, B, T, D)}

        samples 0: of the posterior's mean alone, without that axis. given None: whatever is there; target None: all.
        """
        joint = self.encode(inputs, given).joint
        z = self.drawn(joint, samples, Draws(generator)) if samples else joint.centre()
        return self.shown(self.decode(z, target))

    @torch.no_grad()
    def imagine(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draws of the prior. -> (count, Z)"""
        like = next(self.parameters())
        zero = torch.zeros(count, self.config.latent, device=like.device)
        noise = Draws(generator).noise(self.family, tuple(zero.shape), zero)
        return posteriors.sample(self.family, zero, zero + self.prior_log_scale(), noise)

    def elbo(self, inputs: Given, mask: Tensor | None = None, generator: torch.Generator | None = None) -> Elbo:
        """One draw's estimate of the bound of everything that is there, with r_m and beta. mask (B, M) bool"""
        given = self._inputs(inputs, mask)
        joint = self.joint(self.experts(given))
        terms = self.explained(self.drawn(joint, 1, Draws(generator))[0], given)
        kl = self.config.beta * joint.divergence(self.prior_log_scale()).sum(-1)
        by_name = {m: terms[:, at] for at, m in enumerate(self.config.modalities)}
        return Elbo(by_name, kl, terms.sum(-1) - kl)

    @torch.no_grad()
    def log_likelihood(
        self, inputs: Given, K: int = 1000, generator: torch.Generator | None = None, *, mask: Tensor | None = None,
        at_once: int = 20,
    ) -> Tensor:  # fmt: skip
        """log p of what is there by K draws, eq. (4): r = 1, and beta plays no part. -> (B,) nats"""
        given = self._inputs(inputs, mask)
        joint, draws = self.joint(self.experts(given)), Draws(generator)
        prior = torch.as_tensor(self.prior_log_scale(), dtype=joint.mean.dtype, device=joint.mean.device)
        parts = []
        for start in range(0, K, at_once):
            z = self.drawn(joint, min(at_once, K - start), draws)
            before = posteriors.log_density(self.family, z, torch.zeros_like(prior), prior).sum(-1)
            parts.append(before + self.explained(z, given, weighted=False).sum(-1) - joint.log_density(z))
        return torch.logsumexp(torch.cat(parts), 0) - torch.tensor(float(K)).log()

    def _known(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.config.modalities:
                have = ", ".join(self.config.modalities)
                raise FusionError(f'This model has no modality "{name[:40]}"; it has {have}. Name one of them.')

    def _inputs(
        self, inputs: Given, mask: Tensor | None = None, subset: Sequence[str] | str | None = None
    ) -> Inputs:  # fmt: skip
        """A batch, or tables of features (B, D) or (B, T, D), as what may be read of some modalities."""
        names = self.config.modalities
        batch = inputs if isinstance(inputs, Batch) else self._batch(inputs)
        order = [batch.modalities.index(m) for m in names]
        present = batch.present[:, order].clone()
        if mask is not None:
            present &= mask.to(present)
        if subset is not None:
            chosen = (subset,) if isinstance(subset, str) else tuple(subset)
            self._known(chosen)
            present &= torch.tensor([m in chosen for m in names], device=present.device)
        return self.read(replace(batch, present=present, modalities=names))

    def _batch(self, inputs: Mapping[str, Tensor]) -> Batch:
        """Tables of features by modality; those that aren't given are absent. Every step is real."""
        names, config = self.config.modalities, self.config
        self._known(tuple(inputs))
        if not inputs:
            raise FusionError(f"No features came; give a table of one of {', '.join(names)}.")
        rows = len(next(iter(inputs.values())))
        features, mask = {}, {}
        for m, steps, width in zip(names, config.steps, config.widths, strict=True):
            value = inputs.get(m)
            if value is None:
                value = torch.zeros(rows, steps, width)
            elif steps == 1 and value[0].numel() == width:
                value = value.reshape(rows, 1, width)
            if value.ndim != 3 or len(value) != rows:
                raise FusionError(
                    f'"{m}" came as {tuple(value.shape)}; give ({rows}, {steps}, {width}): rows, steps, features.'
                )
            features[m], mask[m] = value, torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
        present = torch.tensor([[m in inputs for m in names]] * rows, device=next(iter(inputs.values())).device)
        ids = tuple(str(row) for row in range(rows))
        return Batch(features, {}, mask, mask, present, names, ids)
