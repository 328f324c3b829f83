"""A walk along one latent dimension: what the decoders make as it goes from end to end and all others stay.

K places, Z latent dimensions. Everything is decoded from means, in one pass; nothing is drawn at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from fusion.device import exclusive
from fusion.models.vae import VAE
from fusion.signals import CrossGeneration, Posterior
from fusion.streams.probe import Probed
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.streams.inspection import Reader

STEPS = (-3, -2, -1, 0, 1, 2, 3)  # standard deviations
Reach = Literal["prior", "posterior"]


@dataclass(frozen=True, eq=False)
class Walk:
    """What is made at places along one dimension; the sample itself is one of them."""

    dimension: int
    places: np.ndarray  # (K,) float32, ascending
    here: int  # which of them is the sample's own, the mean of its posterior
    made: CrossGeneration  # B = 1, a source a place; no truth is known
    moved: dict[str, np.ndarray]  # {m: (K,)} mean absolute difference from what is made at the sample's own place


def walkable(reader: Reader) -> bool:
    """Whether a checkpoint's system makes samples of a latent space."""
    return isinstance(_inner(reader), VAE)


def order(posterior: Posterior) -> list[int]:
    """The latent dimensions of one sample, those that say most of it first."""
    return posterior.kl[0].argsort(descending=True, stable=True).tolist()


def walk(reader: Reader, posterior: Posterior, dimension: int, reach: Reach = "prior") -> Walk:
    """`along` with a checkpoint's own system. Raises FusionError where that makes no samples."""
    model = _inner(reader)
    if not isinstance(model, VAE):
        raise FusionError(f'"{reader.checkpoint.name}" makes no samples; choose an MVAE, MMVAE or MoPoE.')
    with exclusive(reader.checkpoint.digest):
        return along(model, posterior, dimension, reach)


def _inner(reader: Reader) -> object:
    return reader.model.inner if isinstance(reader.model, Probed) else reader.model


@torch.inference_mode()
def along(model: VAE, posterior: Posterior, dimension: int, reach: Reach = "prior") -> Walk:
    """One dimension of one sample (B = 1) from -3 to 3 standard deviations, all others at the posterior's mean.

    reach: of the prior, about 0, with the sample's own place among them; or of the sample's posterior, about its mean.
    Raises FusionError for a dimension that there isn't.
    """
    mean = posterior.joint[0].float()
    if not 0 <= dimension < len(mean):
        raise FusionError(f"There is no latent dimension {dimension + 1}; this model has {len(mean)}.")
    own, steps = mean[dimension], torch.tensor(STEPS, dtype=mean.dtype, device=mean.device)
    if reach == "posterior":
        places, here = own + steps * posterior.joint_scale[0, dimension], STEPS.index(0)
    else:
        fixed = steps * posterior.prior_scale[0, dimension]
        here = int((fixed < own).sum())
        places = torch.cat((fixed[:here], own[None], fixed[here:]))
    z = mean.repeat(len(places), 1)
    z[:, dimension] = places
    made = {m: value.float().cpu() for m, value in model.shown(model.decode(z.to(next(model.parameters())))).items()}
    names = model.config.modalities
    signal = CrossGeneration(
        name="walk", unit="none", value=torch.cat([made[m].flatten(1) for m in names], -1)[None],
        truth=torch.zeros(1, sum(made[m][0].numel() for m in names)),
        real=torch.zeros(1, sum(made[m][0].numel() for m in names), dtype=torch.bool),
        told=torch.ones(1, len(places), dtype=torch.bool), sources=tuple(str(at) for at in range(len(places))),
        modalities=names, sizes=tuple(zip(model.config.steps, model.config.widths, strict=True)),
        likelihoods=model.config.likelihoods, pictures=tuple(model.config.picture(i) for i in range(len(names))),
        tokens=model.config.names(), inked=model.config.inked,
    )  # fmt: skip
    moved = {m: (value - value[here]).abs().flatten(1).mean(1).numpy() for m, value in made.items()}
    return Walk(dimension, places.cpu().numpy().astype(np.float32), here, signal, moved)
