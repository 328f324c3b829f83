"""What the classic fusion strategies share: settings, inputs, the MLP, answers by task and the loss.

Papers: Zadeh et al., "Tensor Fusion Network", EMNLP 2017, arXiv:1707.07250; Liu et al., ACL 2018, arXiv:1806.00064.
Released code of their tensor and low-rank operators: pliang279/MultiBench@071b5b8.

    x_m = mean of the steps of m that may be read,  h_m = ReLU(LN(W_m x_m + b_m))         (1)
    MLP(x): h <- dropout(ReLU(W h + b)), `layers` times, then W h + b                      (2)

x_m (B, D_m), h_m (B, D).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.sequences import check_streams, masked_mean, visible
from fusion.models.base import WIDEST, FusionModel, check_settings
from fusion.signals import Embedding, ModalityWeights, Opinions
from fusion.types import FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.signals import FusionOutput
    from fusion.types import Batch

OFFICIAL = "pliang279/MultiBench@071b5b8"
KINDS = {"text": "text", "audio": "audio"}  # of a modality; all others are seen
PAIRS = ("cross_attention", "co_attention", "multiplicative")  # operators that need two modalities
ATTENDING = ("self_attention", "cross_attention", "joint")  # operators with heads

_SIZE, _SHARE = (1, WIDEST), (0, 0.999)
RANGES = {
    "widths": _SIZE, "steps": _SIZE, "width": _SIZE, "layers": (0, 100), "levels": (1, 100), "dropout": _SHARE,
    "modality_dropout": _SHARE, "branch_loss": (0, 1e3), "heads": (1, 1024), "rank": (1, 4096),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Sizes and switches of all strategies; those of another strategy are not read. No paper settings apply.

    With one modality, `early` is the network of that modality alone.
    """

    modalities: tuple[str, ...] = ("text", "audio", "vision")
    widths: tuple[int, ...] = (768, 5, 20)  # D of each; the defaults are those of MOSI
    steps: tuple[int, ...] = (50, 50, 50)  # longest T of each
    classes: tuple[str, ...] = ()  # none: one score
    width: int = 128  # D of every projection and hidden layer
    layers: int = 2  # hidden layers of an MLP
    dropout: float = 0.1
    missing: Literal["token", "zero", "mean"] = "token"  # what stands for a missing modality
    modality_dropout: float = 0.0  # chance that training leaves a present modality out, never all of a sample
    branch_loss: float = 0.3  # weight of the branches' own losses, late and hybrid
    early_axis: Literal["feature", "time"] = "feature"  # of early; time: the mean over all projected steps
    combine: Literal["mean", "weighted", "product"] = "mean"  # of late and hybrid
    levels: int = 3  # L of hierarchical: low, middle, high
    order: Literal["levels", "tree"] = "levels"  # of hierarchical
    operator: Literal[
        "concat", "gmu", "softmax", "self_attention", "cross_attention", "co_attention", "joint", "tensor", "low_rank",
        "multiplicative",
    ] = "gmu"  # of feature  # fmt: skip
    gate_norm: Literal["independent", "softmax"] = "independent"  # of gmu with more than two modalities
    heads: int = 4  # of the attention operators
    rank: int = 4  # of low_rank

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        count = len(self.modalities)
        for name in ("widths", "steps"):
            if len(getattr(self, name)) != count:
                raise FusionError(
                    f"{name} has {len(getattr(self, name))} numbers for {count} modalities; give one of each."
                )
        if len(self.classes) == 1:
            raise FusionError("One class leaves nothing to decide; name two or more, or none for a score.")
        if count < 2 and self.operator in PAIRS:
            raise FusionError(f"The operator {self.operator} joins two modalities or more; name one more.")
        if self.operator in ATTENDING and self.width % self.heads:
            raise FusionError(f"width {self.width} does not divide by heads {self.heads}; change one of them.")
        if self.combine == "product" and not self.classes:
            raise FusionError("A product needs probabilities of classes; scores are combined by mean or weighted.")

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The same as published: there is no released code of these strategies that could differ."""
        return replace(cls(), **overrides)  # type: ignore[arg-type]


class MLP(nn.Module):
    """`layers` times h <- dropout(ReLU(W h + b)), then a linear map."""

    def __init__(self, inputs: int, width: int, layers: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(width if i else inputs, width) for i in range(layers))
        self.out = nn.Linear(width if layers else inputs, outputs)
        self.dropout = nn.Dropout(dropout)

    @property
    def first(self) -> nn.Linear:
        """The layer that reads the input."""
        return next(iter(self.hidden), self.out)  # type: ignore[return-value]  # a ModuleList of linear maps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, inputs) -> (B, outputs), what the last map read (B, width)"""
        for layer in self.hidden:
            x = self.dropout(F.relu(layer(x)))
        return self.out(x), x


class Projection(nn.Module):
    """h = ReLU(LN(W x + b)), eq. (1), of vectors or of every step."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.map, self.norm = nn.Linear(inputs, width), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., width)"""
        return F.relu(self.norm(self.map(x)))


@dataclass(frozen=True)
class Inputs:
    """What a strategy reads of a batch."""

    steps: list[Tensor]  # M of (B, T_m, D_m)
    seen: list[Tensor]  # M of (B, T_m) bool, steps that may be read
    pooled: list[Tensor]  # M of (B, D_m), mean over what is seen, 0 where nothing is
    there: Tensor  # (B, M) bool, whether anything is seen
    voices: Tensor  # (B, M) bool, the same; where all is hidden, what is present


class Strategy(FusionModel):
    """What the strategies share: inputs, answers in the shape of the task, and the loss."""

    Config = Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.classes = config.classes
        self.task = Task.CLASSES if config.classes else Task.REGRESSION
        self.outputs = max(1, len(config.classes))  # C, 1 for a score
        self.modalities = tuple(
            Modality(name, KINDS.get(name, "image"), width, steps, "step")
            for name, width, steps in zip(config.modalities, config.widths, config.steps, strict=True)
        )

    def read(self, batch: Batch) -> Inputs:
        """Steps, means and what is there. Raises FusionError on a sample without any modality."""
        names = self.config.modalities
        check_streams(batch, names, self.config.widths)
        seen = [visible(batch, m) for m in names]
        if self.training and self.config.modality_dropout:
            left_out = self._drop(torch.stack([one.any(1) for one in seen], 1))
            seen = [one & ~left_out[:, at, None] for at, one in enumerate(seen)]
        pooled = [masked_mean(batch.features[m], one) for m, one in zip(names, seen, strict=True)]
        there = torch.stack([one.any(1) for one in seen], 1)
        present = torch.stack([batch.has(m) for m in names], 1)
        voices = torch.where(there.any(1, keepdim=True), there, present)
        return Inputs([batch.features[m] for m in names], seen, pooled, there, voices)

    def _drop(self, there: Tensor) -> Tensor:
        """Which modalities are left out by chance, never the last one of a sample. (B, M) -> (B, M) bool"""
        chance = torch.rand(there.shape, device=there.device).masked_fill(~there, 2.0)
        spared = chance.argmin(1, keepdim=True)  # one that is there keeps its place whatever happens
        left_out = there & (torch.rand(there.shape, device=there.device) < self.config.modality_dropout)
        return left_out.scatter(1, spared, False)

    def answer(self, y: Tensor) -> Tensor:
        """(B, C) -> the prediction: the logits, or the score (B,)"""
        return y if self.classes else y[:, 0]

    def chances(self, y: Tensor) -> Tensor:
        """(..., C) -> what a reader compares: probabilities (..., C), or scores (...)"""
        return y.softmax(-1) if self.classes else y[..., 0]

    def losses(self, y: Tensor, target: Tensor) -> Tensor:
        """Loss of every answer. y (B, V, C), target (B,) -> (B, V) nats, or distances of scores"""
        if self.classes:
            wanted = target[:, None].expand(-1, y.shape[1])
            return F.cross_entropy(y.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)
        return (y[..., 0] - target[:, None]).abs()

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """`answer`, and `branches` where there are some; `batch.target` (B,) scores or classes."""
        assert batch.target is not None, "a training batch has targets"
        made = output.extras
        terms = {"answer": self.losses(made["answer"][:, None], batch.target).mean()}
        if "branches" in made:
            spoke = made["spoke"]
            own = (self.losses(made["branches"], batch.target) * spoke).sum(1) / spoke.sum(1)
            terms["branches"] = self.config.branch_loss * own.mean()
        return terms

    def opinions(self, branches: Tensor, spoke: Tensor, voices: Sequence[str], y: Tensor) -> Opinions:
        """What each branch answers alone. branches (B, V, C), spoke (B, V), y (B, C)"""
        said = self.chances(branches)
        none = 1 / len(self.classes) if self.classes else 0.0
        return Opinions(
            name="branch_answers", unit="probability" if self.classes else "none", classes=self.classes,
            value=said.masked_fill(~(spoke[..., None] if self.classes else spoke), none), voices=tuple(voices),
            present=spoke, together=self.chances(y), normalised_over="class" if self.classes else None,
            caveat="caveat.branch_answers",
        )  # fmt: skip


def embedding(modality: str, value: Tensor) -> Embedding:
    """A vector that a map can place: of one modality, or fused. value (B, D)"""
    return Embedding(
        name=f"embedding_{modality}", unit="none", value=value, modality=modality, caveat="caveat.stream_embedding"
    )


def weights(name: str, value: Tensor, voices: Sequence[str], caveat: str) -> ModalityWeights:
    """Shares of some voices that sum to one. value (B, V)"""
    return ModalityWeights(
        name=name,
        settable=True,
        unit="weight",
        normalised_over="modality",
        value=value,
        modalities=tuple(voices),
        caveat=caveat,
    )
