"""Feature-level fusion: one vector made of the modalities' own by a gate, a tensor or attention, then read out.

Papers: Arevalo et al., "Gated Multimodal Units", arXiv:1702.01992; Zadeh et al., "Tensor Fusion Network", EMNLP 2017,
arXiv:1707.07250; Liu et al., "Efficient Low-rank Multimodal Fusion", ACL 2018, arXiv:1806.00064; Tsai et al., "MulT",
arXiv:1906.00295; Lu et al., co-attention, arXiv:1606.00061. The operators are in fusion/blocks, each exact.

    h_m = ReLU(LN(W_m x_m + b_m)), or of every step                                        (1)
    y = W_y f(h_1, ..., h_M) + b_y;  of `concat` and `tensor`  y = MLP(f)                  (2)

x_m (B, D_m) the mean over the steps that may be read; `gmu` reads x_m itself, attention reads every step. What is
missing is replaced (`missing`), a sequence by one step; `softmax` leaves it out. The loss is L1 for scores,
cross-entropy for classes. Two of them can't solve an answer that needs two modalities at once: with one map behind it,
`self_attention` is a sum of what each modality says, and `softmax` such a sum divided by a positive number, so that its
sign is right in three of the four cases of an exclusive or at best.

Differs from the released code (pliang279/MultiBench@071b5b8): there the factors of the low-rank form are in a plain
list, so they are neither trained nor saved; here every factor is a parameter. `co_attention` and `multiplicative` are
those of two modalities, taken for every pair where there are more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.attention_operators import CoAttention, CrossAttention, Joint, SelfAttention
from fusion.blocks.operators import GMU, Concat, LowRank, Multiplicative, Outer, SoftmaxGate
from fusion.blocks.sequences import Filling, masked_mean
from fusion.models.strategy import MLP, OFFICIAL, Config, Inputs, Projection, Strategy, embedding, weights
from fusion.signals import Attention, FusionOutput, Gate, ModalityScores, Signal, Trace
from fusion.types import Card, Steps, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

SETTABLE = ("gmu", "softmax")  # operators with a gate or weights that a person can set
OF_STEPS = ("self_attention", "cross_attention", "co_attention", "joint")
MODALITIES, READOUT = "modalities", "readout"  # axes that are no modality's steps


def operator(config: Config) -> nn.Module:
    """The operator of a config; `width` is D of what it makes."""
    count, width, dropout = len(config.widths), config.width, config.dropout
    projected = [width] * count
    made = {
        "concat": lambda: Concat(projected),
        "gmu": lambda: GMU(config.widths, width, config.gate_norm),
        "softmax": lambda: SoftmaxGate(width),
        "tensor": lambda: Outer(projected),
        "low_rank": lambda: LowRank(projected, width, config.rank),
        "multiplicative": lambda: Multiplicative(projected, width),
        "self_attention": lambda: SelfAttention(count, width, config.heads, dropout),
        "cross_attention": lambda: CrossAttention(count, width, config.heads, dropout),
        "co_attention": lambda: CoAttention(count, width),
        "joint": lambda: Joint(count, width, config.heads, dropout),
    }
    return made[config.operator]()


class Feature(Strategy):
    """Vectors of the modalities are made one by an operator, eq. (2)."""

    card = Card(
        key="feature",
        name="Feature fusion",
        title="One vector of all modalities by gates, tensors or attention",
        paper="Arevalo et al. 2017, arXiv:1702.01992; Zadeh et al. 2017, arXiv:1707.07250; Liu et al. 2018, "
        "arXiv:1806.00064; Tsai et al. 2019, arXiv:1906.00295; Lu et al. 2016, arXiv:1606.00061",
        official=OFFICIAL,
        tasks=(Task.REGRESSION, Task.CLASSES),
        shows=("Gate", "ModalityScores", "Embedding"),
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        count, width = len(config.widths), config.width
        raw = config.operator == "gmu"
        if not raw:
            self.proj = nn.ModuleList(Projection(one, width) for one in config.widths)
        if config.operator != "softmax":
            self.fill = Filling(config.widths if raw else [width] * count, config.missing)
        self.fusion = operator(config)
        inputs: int = self.fusion.width  # type: ignore[assignment]  # every operator has one
        if config.operator in ("concat", "tensor"):
            self.head: nn.Module = MLP(inputs, width, config.layers, self.outputs, config.dropout)
        else:
            self.head = nn.Linear(inputs, self.outputs)

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Score (B,) or logits (B, C), fused (B, D_f) what the operator made, the trace."""
        given = self.read(batch)
        if self.config.operator in OF_STEPS:
            steps, seen = self._sequences(given)
            fused, told = self.fusion(steps, seen, trace=trace)
            vectors = [masked_mean(x, real) for x, real in zip(steps, seen, strict=True)]
        else:
            seen, vectors = given.seen, self._vectors(given)
            reached = (batch.fixed, self.config.modalities) if self.config.operator in SETTABLE else ()
            fused, told = self.fusion(vectors, given.voices, *reached)
        y = self.head(fused)[0] if isinstance(self.head, MLP) else self.head(fused)
        names = self.config.modalities
        extra: dict[str, tuple[Steps, ...]] = {}
        signals: list[Signal] = []
        if trace:
            signals = [*_gates(names, given.voices, told), *_scores(names, told), *_attention(names, seen, told)]
            own = list(told["passed"].unbind(1)) if "passed" in told else vectors
            signals += [embedding(m, vector) for m, vector in zip(names, own, strict=True)]
            signals.append(embedding("fused", fused))
            extra = {MODALITIES: (_named(names),) * len(batch), READOUT: (_named((READOUT,)),) * len(batch)}
        return FusionOutput(self.answer(y), fused, Trace(tuple(signals), {**batch.steps, **extra}), {"answer": y})

    def _vectors(self, given: Inputs) -> list[Tensor]:
        """What an operator of vectors reads. -> M of (B, D)"""
        if self.config.operator == "gmu":
            return self.fill(given.pooled, given.there)
        projected = [one(x) for one, x in zip(self.proj, given.pooled, strict=True)]
        return projected if self.config.operator == "softmax" else self.fill(projected, given.there)

    def _sequences(self, given: Inputs) -> tuple[list[Tensor], list[Tensor]]:
        """What an operator of steps reads; a missing modality is one step. -> M of (B, T_m, D), M of (B, T_m) bool"""
        steps, seen = [], []
        for one, raw, real in zip(self.proj, given.steps, given.seen, strict=True):
            if not raw.shape[1]:
                raw, real = F.pad(raw, (0, 0, 0, 1)), F.pad(real, (0, 1))  # room for what stands for it
            steps.append(one(torch.where(real[..., None], raw, 0.0)) * real[..., None])
            seen.append(real)
        means = [masked_mean(x, real) for x, real in zip(steps, seen, strict=True)]
        for at, substitute in enumerate(self.fill(means, given.there)):
            stands = ~given.there[:, at, None] & (torch.arange(steps[at].shape[1], device=substitute.device) == 0)
            steps[at] = torch.where(stands[..., None], substitute[:, None], steps[at])
            seen[at] = seen[at] | stands
        return steps, seen


def _named(names: tuple[str, ...]) -> Steps:
    return Steps(names, tuple(range(len(names))), names)


def _gates(names: tuple[str, ...], voices: Tensor, told: Mapping[str, Tensor]) -> list[Signal]:
    """Gates and weights of operators of vectors."""
    signals: list[Signal] = []
    if "gate" in told:
        signals.append(Gate(
            name="gmu_gate", settable=True, unit="weight", value=told["gate"], modality=MODALITIES, steps=MODALITIES,
            mask=voices, caveat="caveat.gmu_gate",
        ))  # fmt: skip
        signals.append(ModalityScores(
            name="gmu_norm", unit="none", value=told["passed"].norm(dim=-1), modalities=names, caveat="caveat.gmu_norm",
        ))  # fmt: skip
    if "weight" in told:
        signals.append(weights("modality_attention", told["weight"], names, "caveat.weights"))
    return signals


def _scores(names: tuple[str, ...], told: Mapping[str, Tensor]) -> list[Signal]:
    """Lengths of what products of k modalities make, and how many steps each has in a joint sequence."""
    signals: list[Signal] = []
    if "orders" in told:
        orders = tuple(f"order_{k + 1}" for k in range(told["orders"].shape[1]))
        signals.append(ModalityScores(
            name="interaction_order", unit="none", value=told["orders"], modalities=orders,
            caveat="caveat.interaction_order",
        ))  # fmt: skip
    if "size" in told:
        signals.append(ModalityScores(
            name="step_share", unit="none", value=told["size"], modalities=names, caveat="caveat.step_share",
        ))  # fmt: skip
    return signals


def _attention(names: tuple[str, ...], seen: list[Tensor], told: Mapping[str, Tensor]) -> list[Signal]:
    """Attention of operators of steps, from the keys that these give their weights."""
    signals: list[Signal] = []
    one = torch.ones_like(seen[0][:, :1])

    def add(name: str, value: Tensor, queries: str, keys: str, masks: tuple[Tensor, Tensor], caveat: str) -> None:
        signals.append(Attention(
            name=name, unit="weight", normalised_over=keys, value=value, layer=0, layers=1, queries=queries, keys=keys,
            query_mask=masks[0], key_mask=masks[1], caveat=caveat,
        ))  # fmt: skip

    for key, value in told.items():
        kind, *places = key.split(".")
        at = [int(place) for place in places]
        who = [names[place] for place in at]
        if kind == "self":
            add(f"attention_{who[0]}_{who[0]}", value, who[0], who[0], (seen[at[0]], seen[at[0]]), "caveat.own_steps")
        if kind == "cross":
            masks = seen[at[0]], seen[at[1]]
            add(f"attention_{who[0]}_{who[1]}", value, who[0], who[1], masks, "caveat.cross_steps")
        if kind == "pool":
            masks = one, seen[at[0]]
            add(f"attention_{READOUT}_{who[0]}", value[:, None, None], READOUT, who[0], masks, "caveat.pooled_steps")
        if kind == "co":
            masks = one, seen[at[0]]
            add(f"attention_{who[1]}_{who[0]}", value[:, None, None], READOUT, who[0], masks, "caveat.co_steps")
    if "blocks" in told:
        every = torch.ones(len(one), len(names), dtype=torch.bool, device=one.device)
        add("attention_blocks", told["blocks"], MODALITIES, MODALITIES, (every, every), "caveat.blocks")
    return signals
