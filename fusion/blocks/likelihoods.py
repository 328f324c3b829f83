"""Likelihoods of what a decoder makes: how well it explains features that are numbers, shares, or one of V tokens.

    normal       -log p = |x - g|^2 / 2 s^2 + D log s + D/2 log 2 pi
    laplace      -log p = |x - g|_1 / s + D log 2 s
    bernoulli    -log p = cross-entropy of x in [0, 1] with sigmoid(g)
    categorical  -log p = cross-entropy of the one-hot x with softmax(g) over the V columns, at every step

g (..., B, T, D) what the decoder says, x (B, T, D), s > 0 the scale, one a modality. Steps that aren't real count
nothing, whatever stands there.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.types import FusionError

Likelihood = Literal["normal", "laplace", "bernoulli", "categorical"]
SCALED = ("normal", "laplace")  # those with a scale
SLACK = 1e-4  # by which shares may leave [0, 1] or miss a sum of one: half precision


def log_likelihood(
    kind: Likelihood, guess: Tensor, truth: Tensor, real: Tensor, log_scale: Tensor | float = 0.0
) -> Tensor:
    """log p(x | z) of every row. guess (..., B, T, D), truth (B, T, D), real (B, T) bool -> (..., B) nats"""
    x = torch.where(real[..., None], truth, 0.0)
    scale = torch.as_tensor(log_scale, dtype=guess.dtype, device=guess.device)
    if kind == "normal":
        each = -0.5 * ((x - guess) * (-scale).exp()).square() - scale - 0.5 * math.log(2 * math.pi)
    elif kind == "laplace":
        each = -(x - guess).abs() * (-scale).exp() - scale - math.log(2)
    elif kind == "bernoulli":
        each = x * guess - F.softplus(guess)
    else:
        each = x * guess.log_softmax(-1)
    return torch.where(real[..., None], each, 0.0).sum((-1, -2))


def expected(kind: Likelihood, guess: Tensor) -> Tensor:
    """What a reader sees of a guess: a mean, or probabilities. (..., D) -> (..., D)"""
    if kind == "bernoulli":
        return guess.sigmoid()
    return guess.softmax(-1) if kind == "categorical" else guess


def check(kind: Likelihood, name: str, truth: Tensor, real: Tensor) -> None:
    """Raises FusionError when features are none that the likelihood is of. truth (B, T, D), real (B, T) bool"""
    x = truth[real]
    if kind in SCALED or not x.numel():
        return
    low, high = float(x.min()), float(x.max())
    if not (low >= -SLACK and high <= 1 + SLACK):
        raise FusionError(
            f'"{name}" has numbers from {low:.3g} to {high:.3g} and its likelihood is {kind}, which takes 0 to 1: leave'
            " its features as they come, or choose normal."
        )
    if kind == "categorical" and float((x.sum(-1) - 1).abs().max()) > SLACK * x.shape[-1]:
        raise FusionError(
            f'A step of "{name}" is not one of its {x.shape[-1]} tokens: the likelihood categorical takes a single 1 '
            "among zeros. Choose bernoulli or normal."
        )
