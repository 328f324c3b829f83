"""MEAformer: align entities with a weight for each modality of each entity, read off a transformer over modalities.

Paper: Chen, Chen, Zhang, Guo, Fang, Huang, Zhang, Geng, Pan, Song, Chen, "MEAformer: Multi-modal Entity Alignment
Transformer for Meta Modality Hybrid", ACM MM 2023, arXiv:2212.14454, doi:10.1145/3581783.3611786. Equations are
numbered in the order of the computation; encoders and the contrastive loss ICL are those of MCLEA.

    X = stack(h_1, ..., h_M),  B_i = softmax((X W_Q)_i (X W_K)_i^T / sqrt(D/H))            (1)  attention of head i
    Y = LN(X + W_o B X W_V),  X^ = LN(Y + W_2 GELU(W_1 Y))                                 (2)  transformer layer
    S_m = sum_i sum_j B_i[j, m],  w_m = exp(S_m / sqrt(M H)) / sum_k exp(S_k / sqrt(M H))  (3)  meta-modality weight
    z = [w_1 l2(h_1); ...; w_M l2(h_M)]                                                    (4)  early fusion
    L = ICL(z) + sum_m (e^-s_m ICL_phi(h_m) + s_m) + sum_m (e^-s_m ICL(X^_m) + s_m)        (5)
    phi_m(l, r) = M min(w_m(l), w_m(r))                                                    (6)  confidence of a pair

X (N, M, D) one token a modality, without positions; S from the last layer; z (N, M D) ranks, X^ serves the loss alone.
(3) as printed sums over keys, j being the second index: rows of B sum to one, so that every w_m would be 1 / M.

Differs from the official code (zjukg/MEAformer@a247a49), each a switch of `Config`:
* `meta_axis`: received attention, as in the released code, is the default; `printed` is the formula of the paper.
* `meta_attention`: the released code reads the weights after dropout while training.
* `confidence`: phi is in the paper and in UMAEA's code (zjukg/UMAEA@83d7235), not in this one.
* `late_order`: the released code reads the tokens, stacked image, attribute, relation, graph, name, char, as graph,
  relation, attribute, image, name, char when it weighs their losses, and a fifth token alone not at all.
* `uncertainty_share`: one vector s for both sums (as released, the default), or one each.
* `icl_pooling`: the released code averages the logs, not the probabilities, of the two directions.
* `slots`: modalities that are left out keep their s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fusion.blocks import setting
from fusion.blocks.attention import CrossLayer
from fusion.losses import contrast, contrast_with, uncertain, unit
from fusion.models.base import WIDEST, FusionModel
from fusion.models.entities import (
    ENTITY_RANGES,
    MODALITIES,
    ROWS,
    EntityConfig,
    EntityEncoder,
    asked,
    candidates_in,
    joined,
    lengths_of_one,
    modalities_of,
    nearest,
)
from fusion.models.entity_signals import (
    TOKENS,
    edge_weights,
    embeddings,
    pair_signals,
    pair_values,
    precisions,
    token_pair_signals,
    token_signals,
)
from fusion.signals import FusionOutput, Signal, Trace
from fusion.types import Card, FusionError, Steps, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

RELEASED_LATE = ("graph", "relation", "attribute", "image", "name", "char")  # as the released code reads its tokens
RANGES = {
    **ENTITY_RANGES, "width": (1, WIDEST), "fusion_layers": (1, 100), "fusion_heads": (1, 1024),
    "inner_width": (0, WIDEST), "fusion_dropout": (0, 0.999), "temperature": (5e-3, 1e3), "left_share": (0, 1),
    "pairs": (1, WIDEST),
}  # fmt: skip


@dataclass(frozen=True)
class Config(EntityConfig):
    """Sizes, loss weights and switches of MEAformer; the defaults are those of the paper's runs."""

    width: int = 300  # D of every modality
    fusion_layers: int = 1
    fusion_heads: int = 1
    inner_width: int = 400  # of the feed-forward part; 0 leaves it out
    fusion_dropout: float = 0.1
    temperature: float = 0.1
    left_share: float = 0.5  # weight of left to right in ICL
    pairs: int = 3500  # P: a batch of more pairs falls into groups whose losses are added up
    icl_pooling: Literal["log_of_mean", "mean_of_logs"] = "log_of_mean"
    meta_axis: Literal["received", "printed"] = "received"
    meta_attention: Literal["before_dropout", "after_dropout"] = "before_dropout"
    confidence: Literal["min", "none"] = "min"
    detach_phi: bool = False  # whether phi of eq. (6) is a constant for the gradient
    late_order: Literal["own", "released"] = "own"
    uncertainty_share: Literal["shared", "separate"] = "shared"
    replay: bool = False  # whether the hardest wrong candidates of earlier steps come back

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.fusion_heads:
            raise FusionError(f"width {self.width} does not divide by fusion_heads {self.fusion_heads}; change one.")
        if self.late_order == "released":
            lacking = [m for m in RELEASED_LATE[:4] if m not in self.slotted]
            if lacking or len(self.modalities) < 4:
                raise FusionError(
                    'late_order="released" reads at least four tokens and the weights of graph, relation, attribute '
                    'and image; add them to slots, or set late_order="own".'
                )

    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of each number."""
        return RANGES

    def out_widths(self) -> tuple[int, ...]:
        """D of each modality after its encoder."""
        return (self.width,) * len(self.modalities)

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code."""
        own = cls(
            slots=MODALITIES, icl_pooling="mean_of_logs", meta_attention="after_dropout", confidence="none",
            late_order="released",
        )  # fmt: skip
        return replace(own, **overrides)  # type: ignore[arg-type]

    def late_names(self) -> tuple[str | None, ...]:
        """Whose s each token's late loss is weighed by, None where it has no late loss."""
        if self.late_order == "own":
            return self.modalities
        read = RELEASED_LATE if len(self.modalities) >= 6 else RELEASED_LATE[:4]
        return (*read, *(None,) * len(self.modalities))[: len(self.modalities)]


class MEAformer(FusionModel):
    """The multi-modal entity alignment transformer over given features and the graphs' edges."""

    card = Card(
        key="meaformer",
        name="MEAformer",
        title="Transformer with meta-modality weights for multimodal entity alignment",
        paper="Chen et al., ACM MM 2023, doi:10.1145/3581783.3611786, arXiv:2212.14454",
        official="zjukg/MEAformer@a247a49",
        tasks=(Task.ALIGNMENT,),
        shows=("ModalityWeights", "Attention", "ModalityScores", "Parts", "EdgeWeights", "Embedding"),
        exceptions={"hidden": "with missing=imputed a vector that was filled in is read like any other, as published"},
    )
    Config = Config
    task = Task.ALIGNMENT
    classes = ()

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.modalities = modalities_of(config)
        self.encoder = EntityEncoder(config)
        self.layers = nn.ModuleList(
            CrossLayer(config.width, config.fusion_heads, config.inner_width, config.fusion_dropout)
            for _ in range(config.fusion_layers)
        )
        self.log_variance = nn.Parameter(torch.zeros(len(config.slotted)))  # s
        if config.uncertainty_share == "separate":
            self.late_log_variance = nn.Parameter(torch.zeros(len(config.slotted)))
        self._hardest: Tensor | None = None  # (N,) int, -1 unknown: what replay remembers while it trains
        self._unknown, self._replays = -1, False

    def tables(self, batch: Batch) -> dict[str, Tensor]:
        """Of all N entities, for `Batch.pooled`: "graph", "scores", "joint" (N, M D) of length 1, "meta_weight"."""
        with torch.no_grad():
            made = self.encoder.table(batch)
            joints, weights = [], []
            for index in torch.arange(len(batch.present), device=batch.present.device).split(ROWS):
                one = self.fused(batch, index[:, None], made)
                joints.append(one["joint"][:, 0])
                weights.append(one["meta_weight"][:, 0])
        return {**made, "joint": torch.cat(joints), "meta_weight": torch.cat(weights)}

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """The K nearest entities (B, K) of the first entity asked about, -1 where none is left; its joint vector.

        While training the candidates are those of the batch. Raises FusionError on features or entities that don't fit.
        """
        query = asked(batch, self.config.entities)
        table = self.encoder.table(batch)
        made = self.fused(batch, query, table)
        if self.config.replay and self.training and self._replays and self._hardest is not None:
            for side, half in (("left", 0), ("right", 1)):
                again = self._hardest[query[:, half]].unique()
                again = again[(again >= 0) & ~torch.isin(again, query)]
                made[f"replay/{side}"] = self.fused(batch, again[:, None], table)["joint"][:, 0]
                made[f"replay/{side}_ids"] = again
        signals = self._trace(batch, table, query, made) if trace else Trace()
        extras = {name: value for name, value in made.items() if not name.startswith("attention/")}
        return FusionOutput(self._candidates(batch, query, made["joint"]), made["joint"][:, 0], signals, extras)

    def fused(self, batch: Batch, query: Tensor, table: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Eqs. (1) to (4) of some entities (B, Q): all that is known of them by name, B and Q first."""
        table = self.encoder.table(batch) if table is None else table
        encoded, read = self.encoder(batch, query, table)
        tokens = torch.stack(tuple(encoded.values()), -2).flatten(0, 1)  # (B Q, M, D)
        seen = read.flatten(0, 1)  # (B Q, M)
        after = self.config.meta_attention == "after_dropout"
        attentions = []
        for layer in self.layers:
            tokens, attention = layer(tokens, tokens, seen, trace=True, dropped=after)
            attentions.append(attention)
        received, weights = self._meta(attentions[-1], seen)
        vectors = lengths_of_one(encoded)
        weights = setting.weights(batch.fixed, "meta_weight", weights.unflatten(0, query.shape), self.config.modalities)
        joint = unit(joined(weights, vectors))
        late = (unit(tokens) * seen[..., None]).unflatten(0, query.shape)  # (B, Q, M, D)
        made = {f"embedding/{m}": value for m, value in encoded.items()}
        made |= {f"late/{m}": late[:, :, i] for i, m in enumerate(self.config.modalities)}
        made |= {"received": received.unflatten(0, query.shape), "meta_weight": weights, "joint": joint}
        made |= {"token/read": read, "token/hidden": tokens.unflatten(0, query.shape)}
        made |= {f"attention/{i}": value.unflatten(0, query.shape) for i, value in enumerate(attentions)}
        if query.shape[1] > 1:
            made |= pair_values(joint, weights, vectors)
            made["late_cosines"] = late.prod(1).sum(-1)
            confident = weights * read.sum(-1, keepdim=True)
            made["pair_confidence"] = confident.amin(1)  # eq. (6)
        return made

    def _meta(self, attention: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. (3). attention (B, H, M, M) from query to key, seen (B, M) -> S (B, M), w (B, M), 0 where unseen"""
        both = attention * seen[:, None, :, None] * seen[:, None, None, :]
        sums = both.sum((1, 2)) if self.config.meta_axis == "received" else both.sum((1, 3))
        scale = (seen.sum(-1, keepdim=True) * self.config.fusion_heads).clamp(min=1).to(sums.dtype).sqrt()
        weights = (sums / scale).masked_fill(~seen, -torch.inf).softmax(-1)
        return sums, torch.where(seen, weights, 0.0)

    def _candidates(self, batch: Batch, query: Tensor, joint: Tensor) -> Tensor:
        most = self.config.candidates
        with torch.no_grad():
            if self.training:
                return candidates_in(query, joint, most)
            table = batch.pooled["joint"] if "joint" in batch.pooled else self.tables(batch)["joint"]
            return nearest(table, joint[:, 0], query[:, 0], batch.graph.side if batch.graph else None, most)

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (5) by term, in nats; every question of the batch is a pair. Groups of `config.pairs` pairs add up."""
        config, made = self.config, dict(output.extras)
        assert made["joint"].shape[1] == 2, "a training batch asks about pairs"
        assert batch.query is not None
        again = {name: made.pop(name) for name in list(made) if name.startswith("replay/")}
        terms: dict[str, Tensor] = {}
        for rows in torch.arange(len(batch.query), device=batch.query.device).split(config.pairs):
            group = {name: value[rows] for name, value in made.items()}
            for name, term in self._terms(group, batch.query[rows], again).items():
                terms[name] = terms[name] + term if name in terms else term
        return terms

    def _terms(self, made: Mapping[str, Tensor], query: Tensor, again: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of one group of pairs."""
        config, nothing = self.config, made["joint"].new_zeros(())
        terms = {"icl/joint": self._replay(made["joint"], query, again) if config.replay else self.icl(made["joint"])}
        phi = None
        if config.confidence == "min":
            phi = made["pair_confidence"].detach() if config.detach_phi else made["pair_confidence"]
        late = dict(zip(config.late_names(), config.modalities, strict=True))  # whose s -> which token
        late_variance = self.late_log_variance if config.uncertainty_share == "separate" else self.log_variance
        for number, m in enumerate(config.slotted):
            early_loss, late_loss = nothing, nothing
            if m in config.modalities:
                weight = None if phi is None else phi[:, config.modalities.index(m)]
                early_loss = self.icl(unit(made[f"embedding/{m}"]), weight)
            if m in late:
                late_loss = self.icl(made[f"late/{late[m]}"])
            terms[f"early/{m}"] = uncertain(early_loss, self.log_variance[number], "released")
            terms[f"late/{m}"] = uncertain(late_loss, late_variance[number], "released")
        return terms

    def icl(self, rows: Tensor, weight: Tensor | None = None) -> Tensor:
        """The contrastive loss of pairs (P, 2, D) of length 1, each with its weight (P,). -> () nats"""
        left, right = rows.unbind(1)
        return contrast(
            left, right, self.config.temperature, weight=weight, left_share=self.config.left_share,
            pooling=self.config.icl_pooling,
        )  # fmt: skip

    def _replay(self, joint: Tensor, query: Tensor, again: Mapping[str, Tensor]) -> Tensor:
        """ICL(z) with what was hardest before among the candidates; remembers what is hardest now."""
        empty = joint.new_zeros(0, joint.shape[-1])
        loss, *hardest = contrast_with(
            joint[:, 0], joint[:, 1], again.get("replay/left", empty), again.get("replay/right", empty),
            self.config.temperature, left_share=self.config.left_share, pooling=self.config.icl_pooling,
        )  # fmt: skip
        if self._hardest is None or self._hardest.device != query.device:
            self._hardest = query.new_full((self.config.entities,), -1)
        for half, side in enumerate(("left", "right")):
            more = again.get(f"replay/{side}_ids", query.new_zeros(0))
            ids = torch.cat((query[:, 1 - half], query[:, half], more))
            self._hardest[query[:, half]] = ids[hardest[half]]
        unknown = int((self._hardest < 0).sum())
        self._replays = self._replays or unknown == self._unknown  # a whole step met known entities only
        self._unknown = unknown
        return loss

    def _trace(self, batch: Batch, table: Mapping[str, Tensor], query: Tensor, made: Mapping[str, Tensor]) -> Trace:
        config, signals = self.config, list[Signal]()
        for place, suffix in enumerate(("", "_partner")[: query.shape[1]]):
            signals += token_signals(config.modalities, made, place, suffix, config.fusion_heads)
        signals += pair_signals(config, made) + token_pair_signals(config.modalities, made)
        for place, suffix in enumerate(("", "_partner")[: query.shape[1]]):
            signals += edge_weights(config, batch, table, query[:, place], suffix)
            early = {m: unit(made[f"embedding/{m}"][:, place]) for m in config.modalities}
            late = {m: made[f"late/{m}"][:, place] for m in config.modalities}
            signals += embeddings("embedding", early, suffix, "caveat.entity_embedding")
            signals += embeddings("embedding", {"fused": made["joint"][:, place]}, suffix, "caveat.entity_embedding")
            signals += embeddings("late", late, suffix, "caveat.late_embedding")
        labels = Steps(config.modalities, tuple(range(len(config.modalities))), config.modalities)
        return Trace(tuple(signals), {**batch.steps, TOKENS: (labels,) * len(query)})

    def learned(self) -> Trace:
        """How strongly each modality's early and late loss count: e^-s."""
        named = {"loss_precision": self.log_variance}
        if self.config.uncertainty_share == "separate":
            named["late_loss_precision"] = self.late_log_variance
        return precisions(named, self.config.slotted)
