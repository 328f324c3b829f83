"""Settings of the multimodal VAEs, and the records that they hand back.

Papers: MVAE, arXiv:1802.05335; MMVAE, arXiv:1911.03393; MoPoE, arXiv:2105.02470; released: thomassutter/MoPoE@477a441.

    r_m = max_n D_n / D_m,  D_m = T_m x width of a step                                                    (1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fusion.blocks.likelihoods import Likelihood
from fusion.models.base import WIDEST, check_settings
from fusion.types import FusionError

if TYPE_CHECKING:
    from torch import Tensor

    from fusion.blocks.posteriors import Experts, Mixture

_SIZE = (1, WIDEST)
RANGES = {
    "widths": _SIZE, "steps": _SIZE, "pictures": (0, 4096), "latent": (1, 4096), "hidden": (8, 65536),
    "layers": (0, 20), "channels": (0, 4096), "dropout": (0, 0.999), "beta": (0, 1e4), "warm_up": (0, 10**9),
    "factors": (0, 1e6), "scales": (1e-4, 1e4), "random_subsets": (0, 1000), "samples": (1, 10000),
    "variance_floor": (0, 1),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Sizes and switches that all three have. Ours are for small data; each paper's are in its own file."""

    modalities: tuple[str, ...] = ("image", "text")
    widths: tuple[int, ...] = (64, 27)  # D of a step of each; of a picture C x H x W
    steps: tuple[int, ...] = (1, 8)  # T of each; 1: a vector, a picture or a label
    likelihoods: tuple[Likelihood, ...] = ("bernoulli", "categorical")  # of each
    pictures: tuple[int, ...] = ()  # C, H, W of each modality one after another, 0 0 0 of no picture; none: none is one
    tokens: tuple[str, ...] = ()  # "modality:token" of each column of one-hot steps, for a reader; "text:" ends a text
    inked: tuple[str, ...] = ()  # pictures whose numbers are ink: 1 is drawn dark
    latent: int = 16  # Z
    hidden: int = 256  # width of the hidden layers, a vector's of the MVAE paper's order
    layers: int = 2  # hidden layers of a vector
    channels: int = 0  # of a picture's first convolution, doubled at each halving; 0: an eighth of hidden
    activation: Literal["relu", "tanh"] = "relu"
    dropout: float = 0.0  # of the hidden layers
    beta: float = 1.0  # weight of the KL, where a bound has one
    warm_up: int = 0  # steps over which beta rises from 0
    rescaling: bool = True  # r_m = max_n D_n / D_m, eq. (3); else 1
    factors: tuple[float, ...] = ()  # r_m of each modality, instead
    scales: tuple[float, ...] = ()  # s of each normal or Laplace likelihood; none: 1
    learn_scales: bool = False

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        count = len(self.modalities)
        for name, each in (("widths", 1), ("steps", 1), ("likelihoods", 1), ("factors", 1), ("scales", 1),
                           ("pictures", 3)):  # fmt: skip
            value = getattr(self, name)
            if value and len(value) != each * count:
                raise FusionError(f"{name} has {len(value)} entries for {count} modalities; give {each} of each.")
        for at, m in enumerate(self.modalities):
            channels, height, width = self.picture(at) or (self.widths[at], 1, 1)
            if channels * height * width != self.widths[at] or (self.picture(at) and self.steps[at] != 1):
                raise FusionError(
                    f'"{m}" is {self.steps[at]} x {self.widths[at]} numbers and its picture {channels} x {height} x '
                    f"{width}; a picture has one step as wide as its channels, height and width multiplied."
                )
            named = sum(token.startswith(f"{m}:") for token in self.tokens)
            if named not in (0, self.widths[at]):
                raise FusionError(f'"{m}" has {named} tokens for {self.widths[at]} columns; name each or none.')
        if getattr(self, "posterior", "normal") == "laplace" and getattr(self, "joint", "moe") != "moe":
            raise FusionError("A product of Laplace posteriors is none; choose joint=moe or posterior=normal.")

    def picture(self, at: int) -> tuple[int, ...]:
        """C, H, W of a modality, () where it is no picture."""
        shape = self.pictures[3 * at : 3 * at + 3]
        return shape if any(shape) else ()

    def names(self) -> tuple[tuple[str, ...], ...]:
        """The tokens of each modality, () where its columns have no names."""
        return tuple(
            tuple(token.split(":", 1)[1] for token in self.tokens if token.startswith(f"{m}:")) for m in self.modalities
        )

    def weights(self) -> tuple[float, ...]:
        """r_m of every modality."""
        if self.factors:
            return self.factors
        sizes = [steps * width for steps, width in zip(self.steps, self.widths, strict=True)]
        return tuple(max(sizes) / size for size in sizes) if self.rescaling else (1.0,) * len(sizes)


@dataclass(frozen=True)
class Inputs:
    """What a batch holds that may be read."""

    x: list[Tensor]  # M of (B, T_m, D_m), 0 where nothing may be read
    seen: list[Tensor]  # M of (B, T_m) bool
    there: Tensor  # (B, M) bool

    def rows(self, index: Tensor) -> Inputs:
        """Some rows, in the order given."""
        return Inputs([x[index] for x in self.x], [seen[index] for seen in self.seen], self.there[index])


@dataclass(frozen=True)
class Encoded:
    """What `encode` says of some rows."""

    mean: Tensor  # (B, Z) of the joint posterior
    log_var: Tensor  # (B, Z); of a mixture, of its whole variance
    experts: Experts
    joint: Mixture
    share: Tensor  # (B, M + 1, Z) precision shares of the prior and of every modality, in their product


@dataclass(frozen=True)
class Elbo:
    """The evidence lower bound of some rows in its parts, nats; `total` is what is maximised."""

    log_likelihood: dict[str, Tensor]  # {m: (B,)} r_m log p(x_m|z), 0 where absent
    kl: Tensor  # (B,) beta KL
    total: Tensor  # (B,)
