"""Early, late, hierarchical and hybrid fusion: small exact forms, the baselines of every card.

The strategies have no one paper, so these are their definitions here; their role as baselines is that of Zadeh et al.,
"Tensor Fusion Network", EMNLP 2017, arXiv:1707.07250. MLP and h_m are those of fusion/models/strategy.py.

    early         y = MLP([x_1; ...; x_M]), or MLP of the mean over all steps of all modalities of h_mt + e_m     (1)
    late          y_m = MLP_m(x_m);  y = mean of the present y_m,  or  sum_m a_m y_m with
                  a = softmax(theta) over the present,  or  log p = sum_m log p_m - log Z                         (2)
    hierarchical  u_m^l = ReLU(W_m^l u_m^(l-1) + b),  s^l = ReLU(W^l [s^(l-1); u_1^l; ...; u_M^l] + b), u_m^0 = x_m,
                  s^0 is left out, y = W s^L + b;  or as a tree: s = u_1^1, then s <- ReLU(W_m [s; u_m^1] + b)    (3)
    hybrid        y = g y_early + (1 - g) y_late,  g = sigmoid(W_g [h_1; ...; h_M] + b_g)                         (4)

x_m (B, D_m), y (B, C) logits, or (B,) a score, g (B, 1) in (0, 1). What is missing is replaced (`missing`) in (1), (3)
and in the early branch and gate of (4), and has no say in (2). The loss is L1 for scores and cross-entropy for classes;
in (2) and (4) plus `branch_loss` times the mean loss of the branches that spoke, the early one of (4) among them.

The released code of the operators (pliang279/MultiBench@071b5b8) has no such strategies to differ from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import setting
from fusion.blocks.sequences import Filling
from fusion.losses import unit
from fusion.models.strategy import MLP, OFFICIAL, Config, Inputs, Projection, Strategy, embedding, weights
from fusion.signals import FusionOutput, ModalityScores, Parts, Signal, Trace
from fusion.types import Card, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.types import Batch, Fixed

PAPER = "no one paper; defined in fusion/models/mlp_fusion.py, a baseline as in Zadeh et al. 2017, arXiv:1707.07250"
TASKS = (Task.REGRESSION, Task.CLASSES)


class Early(Strategy):
    """Features are joined before anything is learned of each, eq. (1)."""

    card = Card(
        key="early",
        name="Early fusion",
        title="Features joined, then one network",
        paper=PAPER,
        official=OFFICIAL,
        tasks=TASKS,
        shows=("Parts", "Embedding"),
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        widths, width = config.widths, config.width
        over_time = config.early_axis == "time"
        if over_time:
            self.proj = nn.ModuleList(Projection(one, width) for one in widths)
            self.modality = nn.Parameter(0.1 * torch.randn(len(widths), width))
        self.fill = Filling([width] * len(widths) if over_time else widths, config.missing)
        self.fusion = MLP(width if over_time else sum(widths), width, config.layers, self.outputs, config.dropout)

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Score (B,) or logits (B, C), fused (B, D) the last hidden layer, the trace."""
        given = self.read(batch)
        pieces = self._over_time(given) if self.config.early_axis == "time" else self.fill(given.pooled, given.there)
        joined = torch.stack(pieces).sum(0) if self.config.early_axis == "time" else torch.cat(pieces, 1)
        y, hidden = self.fusion(joined)
        first = self.fusion.first
        before = first(joined)  # (B, D) what the first layer says before ReLU
        signals: list[Signal] = []
        if trace:
            if self.config.early_axis == "time":
                maps = [first.weight] * len(pieces)
            else:
                maps = list(first.weight.split([piece.shape[1] for piece in pieces], 1))
            parts = [piece @ of_one.T for piece, of_one in zip(pieces, maps, strict=True)]
            parts = torch.stack([*parts, first.bias.expand_as(before)], 1)  # (B, M + 1, D)
            signals = [
                Parts(
                    name="input_share", unit="none", value=torch.einsum("bvd,bd->bv", parts, unit(before)),
                    voices=(*self.config.modalities, "bias"), total="first_layer", caveat="caveat.input_share",
                ),
                embedding("fused", hidden),
            ]  # fmt: skip
        extras = {"answer": y, "first_layer": before.norm(dim=1)}
        return FusionOutput(self.answer(y), hidden, Trace(tuple(signals), batch.steps), extras)

    def _over_time(self, given: Inputs) -> list[Tensor]:
        """What each modality adds to the mean over all steps; a missing one counts as one step. -> M of (B, D)"""
        sums, counts, means = [], [], []
        for at, (steps, seen) in enumerate(zip(given.steps, given.seen, strict=True)):
            h = self.proj[at](torch.where(seen[..., None], steps, 0.0)) * seen[..., None]
            counts.append(seen.sum(1, keepdim=True).clamp(min=1).to(h.dtype))
            means.append(h.sum(1) / counts[-1])
        for at, mean in enumerate(self.fill(means, given.there)):
            sums.append((mean + self.modality[at]) * counts[at])
        total = torch.stack(counts).sum(0)
        return [one / total for one in sums]


class Branches(nn.Module):
    """One MLP a modality, and how their answers are combined, eq. (2)."""

    def __init__(self, config: Config, outputs: int) -> None:
        super().__init__()
        self.combine, self.modalities = config.combine, config.modalities
        self.voice = nn.ModuleList(
            MLP(width, config.width, config.layers, outputs, config.dropout) for width in config.widths
        )
        if self.combine == "weighted":
            self.theta = nn.Parameter(torch.zeros(len(config.widths)))

    def forward(
        self, pooled: Sequence[Tensor], voices: Tensor, fixed: Mapping[str, Fixed]
    ) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
        """pooled M of (B, D_m), voices (B, M) -> y (B, C), branches (B, M, C), weights (B, M), hidden M of (B, D)"""
        made = [branch(x) for branch, x in zip(self.voice, pooled, strict=True)]
        branches = torch.stack([answer for answer, _ in made], 1)
        hidden = [vector * voices[:, at, None] for at, (_, vector) in enumerate(made)]
        theta = self.theta if self.combine == "weighted" else torch.zeros_like(branches[0, :, 0])
        weight = theta.expand_as(voices).masked_fill(~voices, -torch.inf).softmax(1)
        weight = setting.weights(fixed, "late_weight", weight, self.modalities)
        if self.combine == "product":
            return (branches.log_softmax(-1) * voices[..., None]).sum(1).log_softmax(-1), branches, weight, hidden
        return (weight[..., None] * branches).sum(1), branches, weight, hidden


class Late(Strategy):
    """Each modality answers, the answers are combined, eq. (2)."""

    card = Card(
        key="late",
        name="Late fusion",
        title="One network a modality, their answers combined",
        paper=PAPER,
        official=OFFICIAL,
        tasks=TASKS,
        shows=("Opinions", "ModalityWeights", "Embedding"),
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.fusion = Branches(config, self.outputs)

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Score (B,) or logits (B, C), fused (B, M D) the branches' hidden vectors, the trace."""
        given = self.read(batch)
        y, branches, weight, hidden = self.fusion(given.pooled, given.voices, batch.fixed)
        names = self.config.modalities
        signals: list[Signal] = []
        if trace:
            signals = [self.opinions(branches, given.voices, names, y), *self._weights(weight)]
            signals += [embedding(m, vector) for m, vector in zip(names, hidden, strict=True)]
        extras = {"answer": y, "branches": branches, "spoke": given.voices}
        return FusionOutput(self.answer(y), torch.cat(hidden, 1), Trace(tuple(signals), batch.steps), extras)

    def _weights(self, weight: Tensor) -> list[Signal]:
        """The weights of a mean; a product has none."""
        if self.config.combine == "product":
            return []
        return [weights("late_weight", weight, self.config.modalities, "caveat.late_weight")]


class Hierarchical(Strategy):
    """Modalities are joined at every level of their towers, or one after the other, eq. (3)."""

    card = Card(
        key="hierarchical",
        name="Hierarchical fusion",
        title="Modalities joined level by level",
        paper=PAPER,
        official=OFFICIAL,
        tasks=TASKS,
        shows=("ModalityScores", "Embedding"),
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        count, width = len(config.widths), config.width
        tree = config.order == "tree"
        self.levels = max(count - 1, 1) if tree else config.levels
        self.fill = Filling(config.widths, config.missing)
        self.tower = nn.ModuleList(
            nn.ModuleList(nn.Linear(width if level else one, width) for one in config.widths)
            for level in range(1 if tree else config.levels)
        )
        joined = min(2, count) if tree else count  # vectors that a level reads
        self.fusion = nn.ModuleList(
            nn.Linear((joined if tree or not level else joined + 1) * width, width) for level in range(self.levels)
        )
        self.head = nn.Linear(width, self.outputs)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Score (B,) or logits (B, C), fused (B, D) the last level, the trace."""
        given = self.read(batch)
        names, joined = self.config.modalities, self.fill(given.pooled, given.there)
        towers: list[list[Tensor]] = []  # u_m^l by level
        for level in self.tower:
            joined = [self._layer(map_, u) for map_, u in zip(level, joined, strict=True)]  # type: ignore[call-overload]
            towers.append(joined)
        carried: Tensor | None = None
        signals: list[Signal] = []
        merged: list[Signal] = []
        for at, layer in enumerate(self.fusion):
            voices, vectors = self._read_at(at, carried, towers)
            carried = self._layer(layer, torch.cat(vectors, 1))
            if trace:
                maps = layer.weight.split(self.config.width, 1)  # type: ignore[operator, union-attr]  # a linear map
                told = torch.stack([(u @ of_one.T).norm(dim=1) for u, of_one in zip(vectors, maps, strict=True)], 1)
                signals.append(
                    ModalityScores(
                        name=f"level_norm_{at + 1}", unit="none", value=told, modalities=voices,
                        caveat="caveat.level_norm",
                    )
                )  # fmt: skip
                if self.config.order == "tree" and at + 1 < self.levels:
                    merged.append(embedding("+".join(names[: at + 2]), carried))
        assert carried is not None, "there is a level"
        if trace:
            signals += [embedding(m, u) for m, u in zip(names, towers[-1], strict=True)]
            signals += [*merged, embedding("fused", carried)]
        y = self.head(carried)
        return FusionOutput(self.answer(y), carried, Trace(tuple(signals), batch.steps), {"answer": y})

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        return self.dropout(F.relu(layer(x)))

    def _read_at(
        self, at: int, carried: Tensor | None, towers: list[list[Tensor]]
    ) -> tuple[tuple[str, ...], list[Tensor]]:
        """Who is joined at a level, and their vectors."""
        names = self.config.modalities
        if self.config.order == "tree":
            if carried is None:
                return names[:2], towers[0][:2]
            return ("carried", names[at + 1]), [carried, towers[0][at + 1]]
        if carried is None:
            return names, towers[at]
        return ("carried", *names), [carried, *towers[at]]


class Hybrid(Strategy):
    """An early branch and the late ones, mixed by a gate, eq. (4)."""

    card = Card(
        key="hybrid",
        name="Hybrid fusion",
        title="An early and a late answer, mixed by a gate",
        paper=PAPER,
        official=OFFICIAL,
        tasks=TASKS,
        shows=("Opinions", "ModalityWeights", "Embedding"),
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        widths, width = config.widths, config.width
        self.fill = Filling(widths, config.missing)
        self.early = MLP(sum(widths), width, config.layers, self.outputs, config.dropout)
        self.late = Branches(config, self.outputs)
        self.proj = nn.ModuleList(Projection(one, width) for one in widths)
        self.fill_gate = Filling([width] * len(widths), config.missing)
        self.gate = nn.Linear(len(widths) * width, 1)

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Score (B,) or logits (B, C), fused the hidden vectors of all branches (B, (M + 1) D), the trace."""
        given = self.read(batch)
        early, hidden = self.early(torch.cat(self.fill(given.pooled, given.there), 1))
        late, branches, weight, vectors = self.late(given.pooled, given.voices, batch.fixed)
        projected = [one(x) for one, x in zip(self.proj, given.pooled, strict=True)]
        g = torch.sigmoid(self.gate(torch.cat(self.fill_gate(projected, given.there), 1)))  # (B, 1)
        mix = setting.weights(batch.fixed, "mix_gate", torch.cat((g, 1 - g), 1), ("early", "late"))  # (B, 2)
        y = mix[:, :1] * early + mix[:, 1:] * late
        names, spoke = self.config.modalities, torch.cat((given.voices, torch.ones_like(given.voices[:, :1])), 1)
        branches = torch.cat((branches, early[:, None]), 1)
        signals: list[Signal] = []
        if trace:
            signals = [
                self.opinions(branches, spoke, (*names, "early"), y),
                weights("mix_gate", mix, ("early", "late"), "caveat.mix_gate"),
                *(
                    [] if self.config.combine == "product"
                    else [weights("late_weight", weight, names, "caveat.late_weight")]
                ),
                *(embedding(m, vector) for m, vector in zip(names, vectors, strict=True)),
                embedding("fused", hidden),
            ]  # fmt: skip
        extras = {"answer": y, "branches": branches, "spoke": spoke}
        fused = torch.cat((*vectors, hidden), 1)
        return FusionOutput(self.answer(y), fused, Trace(tuple(signals), batch.steps), extras)
