"""A parity case of MVAE, MMVAE or MoPoE: build from its config, load its weights by name, return its outputs.

The reference's networks of these cases have one tanh hidden layer. What a case may tell beyond the bundled ones: the
likelihoods (`decoders_dist`, `decoder_dist_params`), the posterior (`dist`), the bound (`loss`), `warmup` with `epoch`
and `batch_ratio`, own `rescale_factors`, masks, and the mixture component of each row (inputs `component...`).
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from fusion.blocks.posteriors import Draws, Experts, Mixture, product, slices
from fusion.models.mmvae import MMVAE
from fusion.models.mopoe import MoPoE
from fusion.models.mvae import MVAE
from fusion.models.vae import VAE
from fusion.types import Batch

SYSTEMS: dict[str, type[VAE]] = {"mvae": MVAE, "mmvae": MMVAE, "mopoe": MoPoE}
NAMES = {
    "hidden.maps.0": "hidden", "mean": "embedding", "scale": "log_var", "out": "out",
}  # ours -> the reference's, behind encoders.{m} and decoders.{m}  # fmt: skip


def _config(case: dict) -> Any:
    names = tuple(case["input_dims"])
    said = case.get("decoders_dist") or case.get("decoder_dist") or {}
    said = {m: said for m in names} if isinstance(said, str) else said
    params = case.get("decoder_dist_params") or {}
    factors = case.get("rescale_factors") or {}
    common = {
        "modalities": names, "widths": tuple(_size(case["input_dims"][m]) for m in names), "steps": (1,) * len(names),
        "likelihoods": tuple(said.get(m, "normal") for m in names), "latent": case["latent"], "hidden": case["hidden"],
        "layers": 1, "activation": "tanh", "beta": float(case.get("beta", 1.0)),
        "rescaling": bool(case.get("uses_likelihood_rescaling", False)),
        "factors": tuple(float(factors[m]) for m in names) if factors else (),
        "scales": tuple(float(params.get(m, {}).get("scale", 1.0)) for m in names) if params else (),
    }  # fmt: skip
    kind: Any = SYSTEMS[case["method"]].Config
    if case["method"] == "mvae":
        plain = not case.get("use_subsampling", True)
        return kind.released(**common, subsets="all_only" if plain else "sampled")
    if case["method"] == "mmvae":
        loss = case.get("loss", "dreg_looser")
        return kind.released(
            **common, samples=case.get("K", 1), dreg="dreg" in loss, learn_prior=bool(case.get("learn_prior", True)),
            posterior="normal" if case.get("dist") == "normal" else "laplace",
            bound="looser" if "looser" in loss else "tighter",
        )  # fmt: skip
    return kind.released(**common)


def _size(shape: int | list[int]) -> int:
    return shape if isinstance(shape, int) else int(torch.tensor(shape).prod())


def _official(own: str) -> str:
    """The reference's name of one of our tensors."""
    if own == "prior.scale":
        return "prior_log_var"
    part, modality, rest = own.split(".", 2)
    layer, kind = rest.rsplit(".", 1)
    return f"{part}.{modality}.{NAMES[layer]}.{kind}"


def _load(model: VAE, weights: dict[str, Tensor]) -> dict[str, str]:
    """Fill the model. -> {our name: the reference's}"""
    known = {own: _official(own) for own in model.state_dict()}
    fixed = {"prior_mean"} | ({"prior_log_var"} if "prior.scale" not in known else set())
    assert set(known.values()) == set(weights) - fixed, set(known.values()) ^ set(weights)
    assert not weights.get("prior_mean", torch.zeros(1)).any(), "the prior's mean is fixed at 0"
    model.load_state_dict({own: weights[name].view(model.state_dict()[own].shape) for own, name in known.items()})
    return known


def _batch(names: tuple[str, ...], inputs: dict[str, Tensor]) -> Batch:
    features = {m: inputs[f"data/{m}"].flatten(1)[:, None] for m in names}
    rows = len(features[names[0]])
    everything = torch.ones(rows, dtype=torch.bool)
    present = torch.stack([inputs.get(f"mask/{m}", everything).bool().flatten() for m in names], 1)
    seen = {m: torch.ones(rows, 1, dtype=torch.bool) for m in names}
    return Batch(features, {}, seen, seen, present, names, tuple(str(i) for i in range(rows)))


def _draws(inputs: dict[str, Tensor]) -> Draws:
    noise = [inputs[f"noise/{i}"] for i in range(sum(name.startswith("noise/") for name in inputs))]
    told = [value for name, value in inputs.items() if name.split("/")[0] in ("component", "components", "choice")]
    component = None
    if told:
        one = told[0]
        component = (one if one.ndim == 1 else one.argmax(0 if one.shape[0] != len(noise[0]) else 1)).long()
    return Draws(given=noise, components=component)


class Recorded:
    """Every call of a decoder, in order."""

    def __init__(self, model: VAE) -> None:
        self.calls: dict[str, list[tuple[Tensor, Tensor]]] = {m: [] for m in model.config.modalities}
        for m, decoder in model.decoders.items():
            decoder.register_forward_hook(lambda _, given, made, m=m: self.calls[m].append((given[0], made[:, 0])))

    def outputs(self, mmvae: tuple[int, int] | None) -> dict[str, Tensor]:
        """By number. mmvae: K and B, where all components were decoded in one call."""
        said = {}
        for m, calls in self.calls.items():
            if mmvae is not None:
                (z, made), (samples, rows) = calls[0], mmvae
                parts = [one.unflatten(0, (samples, -1, rows)).transpose(0, 1).flatten(1, 2) for one in (z, made)]
                calls = list(zip(*parts, strict=True))
            for number, (z, made) in enumerate(calls):
                said |= {f"reconstruction/{m}/{number}": made, f"latent/{m}/{number}": z}
        return said


def outputs(case: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its reference name."""
    config = _config(case)
    names = config.modalities
    model = SYSTEMS[case["method"]](config).train()
    known = _load(model, weights)
    batch, draws = _batch(names, inputs), _draws(inputs)
    given = model.read(batch)
    raw: dict[str, tuple[Tensor, Tensor]] = {}
    for m, encoder in model.encoders.items():
        encoder.register_forward_hook(lambda _, __, made, m=m: raw.update({m: made}))
    experts = model.experts(given)
    said: dict[str, Tensor] = {}
    masked = any(name.startswith("mask/") for name in inputs)
    recorded = Recorded(model)
    if isinstance(model, MVAE):
        said |= _mvae(model, case, given, experts, draws)
        said |= _products(names, experts, full_only=False, wholly=masked)
        loss = said["loss"]
    elif isinstance(model, MoPoE):
        terms = model.terms(given, experts, config.beta, draws)
        said |= _mopoe(model, given, experts, draws, terms)
        loss = said["loss"]
    else:
        loss = model.terms(given, experts, config.beta, draws)["bound"]
        said["loss"] = loss
    said |= recorded.outputs((config.samples, len(batch)) if isinstance(model, MMVAE) else None)
    if not (masked and isinstance(model, MVAE)):
        for m, (mean, log_var) in raw.items():
            said |= {f"encoder_mean/{m}": mean, f"encoder_log_var/{m}": log_var}
    said |= {f"rescale_factor/{m}": torch.tensor(r) for m, r in zip(names, config.weights(), strict=True)}
    loss.backward()
    for own, parameter in model.named_parameters():
        if parameter.grad is not None:
            shape = weights[known[own]].shape
            said[f"grad/{known[own]}"] = parameter.grad.view(shape)
            said[f"grad_norm/{known[own]}"] = parameter.grad.norm()
    return said


def _mvae(model: MVAE, case: dict, given: Any, experts: Experts, draws: Draws) -> dict[str, Tensor]:
    """Bounds by subset; until `warmup` epochs are over, beta rises with them and with the share of the epoch done."""
    names, warm_up, epoch = model.config.modalities, case.get("warmup", 0), case.get("epoch", 1)
    beta = model.config.beta
    if epoch < warm_up:
        beta *= (epoch - 1 + case.get("batch_ratio", 0)) / warm_up
    said: dict[str, Tensor] = {}
    total = torch.zeros(())
    for members in model.chosen():
        part = model.subset(given, experts, members, beta, draws)
        if not part:
            continue
        name = "_".join(names[m] for m in members)
        whole = torch.stack(list(part.values())).sum()
        kl = part["kl"] / beta if beta else model.subset(given, experts, members, 1.0, Draws())["kl"]
        said |= {f"metric/{name}": whole, f"metric/kld{name}": kl, f"metric/recon{name}": whole}
        total = total + whole
    return said | {"loss": total}


def _products(names: tuple[str, ...], experts: Experts, *, full_only: bool, wholly: bool) -> dict[str, Tensor]:
    """Products of subsets, in which a missing modality has no part. wholly: that of all modalities alone"""
    said = {}
    every = range(len(names))
    for size in [len(names)] if wholly else range(1, len(names) + 1):
        for members in combinations(every, size):
            given = torch.zeros_like(experts.there)
            given[:, list(members)] = experts.there[:, list(members)]
            prior = torch.full_like(given[:, :1], not full_only or size == len(names))
            mean, log_var, _ = product(experts.mean, 2 * experts.log_scale, given[:, None], prior)
            name = "_".join(names[m] for m in members)
            said |= {f"posterior_mean/{name}": mean[:, 0], f"posterior_log_var/{name}": log_var[:, 0]}
    return said


def _mopoe(
    model: MoPoE, given: Any, experts: Experts, draws: Draws, terms: dict[str, Tensor]
) -> dict[str, Tensor]:  # fmt: skip
    names, joint = model.config.modalities, model.joint(experts)
    chosen = draws.components if draws.components is not None else slices(*joint.weight.shape)
    mean, log_scale = joint.at(chosen)
    said = {f"metric/recon_{m}": terms[f"reconstruction_{m}"] for m in names}
    said |= {
        "metric/joint_divergence": terms["kl"] / model.config.beta, "joint_mean": mean, "joint_log_var": 2 * log_scale,
        "component_weights": joint.weight.T, "loss": torch.stack(list(terms.values())).sum(),
    }  # fmt: skip
    return said | _named(names, joint)


def _named(names: tuple[str, ...], joint: Mixture) -> dict[str, Tensor]:
    """The components of a mixture of products by the names of their members."""
    said, at = {}, 0
    for size in range(1, len(names) + 1):
        for members in combinations(names, size):
            name = "_".join(members)
            said |= {
                f"posterior_mean/{name}": joint.mean[:, at],
                f"posterior_log_var/{name}": 2 * joint.log_scale[:, at],
            }
            at += 1
    return said
