"""Encoders and decoders of the multimodal VAEs: of vectors, of small pictures, and of sequences of steps.

Papers: MVAE, Wu and Goodman, NeurIPS 2018, arXiv:1802.05335; MMVAE, Shi et al., NeurIPS 2019, arXiv:1911.03393. The
networks are our own, of a size for small data, not those of mhw32/multimodal-vae-public@594451f.

    vector    h = x,  h <- dropout(f(W h + b)), `layers` times;  mean = W h + b,  raw scale = W h + b      (1)
    picture   h = f(conv_s(..f(conv_1(x)))) flattened, each but the first at half the size; then (1)       (2)
    sequence  h = mean over the steps t that may be read of f(W x_t + p_t); then (1)                      (3)

with f = ReLU or tanh. Decoders are their mirror: of a sequence, g_t = W f(W f(W z + p_t) + b) + b. x (B, T, D) where a
vector and a picture have T = 1; z (..., Z) -> (..., T, D).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

Activation = Literal["relu", "tanh"]
SMALLEST = 4  # pixels along an edge, below which a picture isn't halved


class Hidden(nn.Module):
    """`layers` times h <- dropout(f(W h + b)), eq. (1)."""

    def __init__(self, inputs: int, width: int, layers: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(layers))
        self.activation: Activation = activation
        self.dropout = nn.Dropout(dropout)
        self.width = width if layers else inputs

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., width)"""
        for one in self.maps:
            x = self.dropout(bent(self.activation, one(x)))
        return x


class Encoder(nn.Module):
    """Mean and raw scale of one modality's posterior, eqs (1) to (3). first: channels of the first convolution."""

    def __init__(
        self, width: int, steps: int, picture: Sequence[int], latent: int, hidden: int, layers: int,
        activation: Activation, dropout: float, first: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.picture, self.steps = tuple(picture), steps
        self.activation: Activation = activation
        if self.picture:
            sizes = halvings(self.picture)
            channels = [self.picture[0], *(first * 2**i for i in range(len(sizes)))]
            self.conv = nn.ModuleList(
                nn.Conv2d(before, after, 3, 2 if i else 1, 1) for i, (before, after) in enumerate(pairwise(channels))
            )
            width = channels[-1] * sizes[-1][0] * sizes[-1][1]
        elif steps > 1:
            self.step = nn.Linear(width, hidden)
            self.place = nn.Parameter(0.1 * torch.randn(steps, hidden))
            width = hidden
        self.hidden = Hidden(width, hidden, layers, activation, dropout)
        self.mean = nn.Linear(self.hidden.width, latent)
        self.scale = nn.Linear(self.hidden.width, latent)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, D), 0 where nothing may be read, seen (B, T) bool -> mean (B, Z), raw scale (B, Z)"""
        if self.picture:
            x = x[:, 0].unflatten(-1, self.picture)
            for one in self.conv:
                x = bent(self.activation, one(x))
            x = x.flatten(1)
        elif self.steps > 1:
            made = bent(self.activation, self.step(x) + self.place[: x.shape[1]]) * seen[..., None]
            x = made.sum(1) / seen.sum(1, keepdim=True).clamp(min=1).to(made.dtype)
        else:
            x = x[:, 0]
        x = self.hidden(x)
        return self.mean(x), self.scale(x)


class Decoder(nn.Module):
    """What a latent vector says of one modality: the parameters of its likelihood, the mirror of an encoder."""

    def __init__(
        self, width: int, steps: int, picture: Sequence[int], latent: int, hidden: int, layers: int,
        activation: Activation, dropout: float, first: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.picture, self.steps = tuple(picture), steps
        self.activation: Activation = activation
        self.hidden = Hidden(latent, hidden, layers, activation, dropout)
        inside = self.hidden.width
        if self.picture:
            sizes = halvings(self.picture)
            channels = [first * 2**i for i in range(len(sizes))]
            self.small = (channels[-1], *sizes[-1])
            self.sizes = sizes[-2::-1]
            self.grow = nn.Linear(inside, self.small[0] * self.small[1] * self.small[2])
            self.conv = nn.ModuleList(
                nn.Conv2d(channels[i], channels[i - 1], 3, 1, 1) for i in range(len(sizes) - 1, 0, -1)
            )
            self.out = nn.Conv2d(channels[0], self.picture[0], 3, 1, 1)
            return
        if steps > 1:
            self.step = nn.Linear(inside, hidden)
            self.place = nn.Parameter(0.1 * torch.randn(steps, hidden))
            self.mix = nn.Linear(hidden, hidden)
            inside = hidden
        self.out = nn.Linear(inside, width)

    def forward(self, z: Tensor) -> Tensor:
        """(N, Z) -> (N, T, D)"""
        x = self.hidden(z)
        if self.picture:
            x = bent(self.activation, self.grow(x)).unflatten(-1, self.small)
            for one, size in zip(self.conv, self.sizes, strict=True):
                x = bent(self.activation, one(F.interpolate(x, size=size, mode="nearest")))
            return self.out(x).flatten(1)[:, None]
        if self.steps > 1:
            x = bent(self.activation, self.step(x)[:, None] + self.place)
            return self.out(bent(self.activation, self.mix(x)))
        return self.out(x)[:, None]


def bent(activation: Activation, x: Tensor) -> Tensor:
    """ReLU or tanh."""
    return x.tanh() if activation == "tanh" else F.relu(x)


def halvings(picture: Sequence[int]) -> list[tuple[int, int]]:
    """Height and width of a picture and of its halves, down to SMALLEST pixels along the shorter edge.

    >>> halvings((1, 8, 8)), halvings((3, 32, 20))
    ([(8, 8), (4, 4)], [(32, 20), (16, 10), (8, 5)])
    """
    sizes = [(picture[1], picture[2])]
    while min(sizes[-1]) > SMALLEST + 1:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes
