"""MCLEA: align the entities of two knowledge graphs by contrasting their pictures, names, attributes and neighbours.

Paper: Lin, Zhang, Wang, Shi, Wu, Zheng, "Multi-modal Contrastive Representation Learning for Entity Alignment",
COLING 2022, arXiv:2209.00891. Equations are numbered in the order of the computation.

    g_i = x_i * w_h,  e_ij = exp(-LeakyReLU(a_h^T [g_i; g_j]))                             (1)  edges
    x'_i = 1/H sum_h sum_j e_ij g_j / sum_j e_ij,  ELU after all layers but the last       (2)  graph encoder
    z_i = [w_1 l2(h_1i); ...; w_M l2(h_Mi)],  w = softmax(omega)                           (3)  fusion
    q(l_i, r_i) = d(l_i, r_i) / (sum_j d(l_i, r_j) + sum_{j != i} d(l_i, l_j)),  d = e^(x^T y / tau)     (4)
    L_ICL = -1/P sum_i log 1/2 (q(l_i, r_i) + q(r_i, l_i))                                 (5)  within a modality
    L_IAL = 1/P sum_i 1/2 (KL(q'_o(l_i) || q'_m(l_i)) + KL(q'_o(r_i) || q'_m(r_i)))        (6)  joint to modality
    L = L_ICL(z) + sum_m (e^-s_m L_ICL(h_m) + s_m / 2 + e^-t_m L_IAL(h_m) + t_m / 2)        (7)

h_m (N, D_m) a linear map of the features of modality m, or of the graph (2); z (N, sum D_m); l_i, r_i the two entities
of pair i; q' is q at another temperature over all its 2P - 1 candidates. One omega serves all entities.

Differs from the official code (lzxlin/MCLEA@6946d43), each a switch of `Config`:
* `icl_pooling`: the released code averages the logs, not the probabilities, of the two directions.
* `uncertainty`: the released code adds s and t, not their halves.
* `ial_reduction`, `zoom`: the released code takes the mean of (6) over P 2P entries and multiplies by 0.1 twice, which
  leaves 1 / 102,400 of it at P = 512.
* `name_width`: the released layer of the names has the width of the characters.
* `slots`: modalities that are left out keep their share of the softmax and their s and t.
The released code makes a new optimiser in each epoch after the 500th; what trains this model decides that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fusion.losses import choices, contrast, imitation, uncertain, unit
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
from fusion.models.entity_signals import edge_weights, embeddings, pair_signals, pair_values, precisions
from fusion.signals import FusionOutput, ModalityWeights, Signal, Trace
from fusion.types import Card, FusionError, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

RANGES = {
    **ENTITY_RANGES, "widths": (1, WIDEST), "temperature": (5e-3, 1e3), "ial_temperature": (5e-3, 1e3),
    "left_share": (0, 1), "zoom": (0, 1e6), "pairs": (1, WIDEST),
}  # fmt: skip


@dataclass(frozen=True)
class Config(EntityConfig):
    """Sizes, loss weights and switches of MCLEA; the defaults are the paper's."""

    widths: tuple[int, ...] = (100, 100, 100, 300, 100, 100)  # D of each modality after its encoder
    projected: tuple[str, ...] = ()  # modalities with a projection head
    temperature: float = 0.1  # tau of eq. (4)
    ial_temperature: float = 4.0  # tau of eq. (6)
    left_share: float = 0.5  # weight of left to right in eqs. (5) and (6)
    zoom: float = 1.0  # factor of eq. (6), and once more of its precision-weighted sum
    pairs: int = 512  # P: a batch of more pairs falls into groups whose losses are added up
    icl_pooling: Literal["log_of_mean", "mean_of_logs"] = "log_of_mean"
    uncertainty: Literal["published", "released"] = "published"  # s / 2 or s beside e^-s L
    ial_reduction: Literal["batchmean", "mean", "sum"] = "batchmean"
    name_width: Literal["own", "char"] = "own"  # char: the layer of the names is as wide as that of the characters

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [m for m in self.projected if m not in self.modalities]
        if len(self.widths) != len(self.modalities):
            raise FusionError(f"widths has {len(self.widths)} numbers for {len(self.modalities)} modalities.")
        if unknown:
            raise FusionError(f'"{unknown[0]}" has a projection head and is no modality; take it out of projected.')

    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of each number."""
        return RANGES

    def out_widths(self) -> tuple[int, ...]:
        """D of each modality after its encoder."""
        widths = dict(zip(self.modalities, self.widths, strict=True))
        if self.name_width == "char" and "name" in widths and "char" in widths:
            widths["name"] = widths["char"]
        return tuple(widths.values())

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code."""
        own = cls(
            slots=MODALITIES, icl_pooling="mean_of_logs", uncertainty="released", ial_reduction="mean", zoom=0.1,
            name_width="char",
        )  # fmt: skip
        return replace(own, **overrides)  # type: ignore[arg-type]


class MCLEA(FusionModel):
    """Multi-modal contrastive entity alignment over given features and the graphs' edges."""

    card = Card(
        key="mclea",
        name="MCLEA",
        title="Contrastive learning for multimodal entity alignment",
        paper="Lin, Zhang, Wang, Shi, Wu, Zheng, COLING 2022, arXiv:2209.00891",
        official="lzxlin/MCLEA@6946d43",
        tasks=(Task.ALIGNMENT,),
        shows=("ModalityWeights", "ModalityScores", "Parts", "EdgeWeights", "Embedding"),
        exceptions={"hidden": "with missing=imputed a vector that was filled in is read like any other, as published"},
    )
    Config = Config
    task = Task.ALIGNMENT
    classes = ()

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.modalities = modalities_of(config)
        self.encoder = EntityEncoder(config, config.projected)
        count = len(config.slotted)
        self.fusion = nn.Parameter(torch.ones(count))  # omega
        self.icl_log_variance = nn.Parameter(torch.zeros(count))  # s
        self.ial_log_variance = nn.Parameter(torch.zeros(count))  # t

    def weights(self) -> Tensor:
        """w = softmax(omega) of every name in `config.slotted`. -> (S,)"""
        return self.fusion.softmax(0)

    def tables(self, batch: Batch) -> dict[str, Tensor]:
        """Of all N entities, for `Batch.pooled`: "graph", "scores", and "joint" (N, sum D_m) of length 1."""
        with torch.no_grad():
            made = self.encoder.table(batch)
            rows = [
                unit(self.joint(*self.encoder(batch, index, made)))
                for index in torch.arange(len(batch.present), device=batch.present.device).split(ROWS)
            ]
        return {**made, "joint": torch.cat(rows)}

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """The K nearest entities (B, K) of the first entity asked about, -1 where none is left; its joint vector.

        While training the candidates are those of the batch. Raises FusionError on features or entities that don't fit.
        """
        query = asked(batch, self.config.entities)
        made = self.encoder.table(batch)
        encoded, read = self.encoder(batch, query, made)  # {m: (B, Q, D_m)}, (B, Q, M)
        vectors = lengths_of_one(encoded)
        weights = self.weights()[: read.shape[-1]] * read  # (B, Q, M)
        joint = unit(joined(weights, vectors))
        extras = {f"embedding/{m}": value for m, value in encoded.items()} | {"joint": joint}
        extras |= pair_values(joint, weights, vectors)
        signals = self._trace(batch, made, query, vectors, extras) if trace else Trace()
        return FusionOutput(self._candidates(batch, query, joint), joint[:, 0], signals, extras)

    def joint(self, encoded: Mapping[str, Tensor], read: Tensor) -> Tensor:
        """Eq. (3). {m: (..., D_m)}, read (..., M) bool -> (..., sum D_m)"""
        return joined(self.weights()[: read.shape[-1]] * read, lengths_of_one(encoded))

    def _candidates(self, batch: Batch, query: Tensor, joint: Tensor) -> Tensor:
        most = self.config.candidates
        with torch.no_grad():
            if self.training:
                return candidates_in(query, joint, most)
            table = batch.pooled["joint"] if "joint" in batch.pooled else self.tables(batch)["joint"]
            return nearest(table, joint[:, 0], query[:, 0], batch.graph.side if batch.graph else None, most)

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (7) by term, in nats; every question of the batch is a pair. Groups of `config.pairs` pairs add up."""
        config, made = self.config, output.extras
        assert made["joint"].shape[1] == 2, "a training batch asks about pairs"
        terms: dict[str, Tensor] = {}
        for rows in torch.arange(len(made["joint"]), device=made["joint"].device).split(config.pairs):
            for name, term in self._terms({name: value[rows] for name, value in made.items()}).items():
                terms[name] = terms[name] + term if name in terms else term
        return terms

    def _terms(self, made: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms of one group of pairs."""
        config, nothing = self.config, made["joint"].new_zeros(())
        joint = made["joint"].detach()
        wanted = choices(joint[:, 0], joint[:, 1], config.ial_temperature)
        terms = {"icl/joint": self.icl(made["joint"])}
        for number, m in enumerate(config.slotted):
            rows = unit(made[f"embedding/{m}"]) if m in config.modalities else None
            within = nothing if rows is None else self.icl(rows)
            across = nothing if rows is None else self.ial(rows, wanted)
            terms[f"icl/{m}"] = uncertain(within, self.icl_log_variance[number], config.uncertainty)
            terms[f"ial/{m}"] = config.zoom * uncertain(across, self.ial_log_variance[number], config.uncertainty)
        return terms

    def icl(self, rows: Tensor) -> Tensor:
        """Eq. (5) of pairs (P, 2, D) of length 1. -> () nats"""
        left, right = rows.unbind(1)
        return contrast(
            left, right, self.config.temperature, left_share=self.config.left_share, pooling=self.config.icl_pooling
        )

    def ial(self, rows: Tensor, wanted: tuple[Tensor, Tensor]) -> Tensor:
        """Eq. (6) of pairs (P, 2, D) of length 1 towards the joint `choices`, times `zoom`. -> () nats"""
        config = self.config
        left, right = rows.unbind(1)
        return config.zoom * imitation(
            left, right, wanted, config.ial_temperature, left_share=config.left_share, reduction=config.ial_reduction
        )

    def _trace(
        self, batch: Batch, made: Mapping[str, Tensor], query: Tensor, vectors: Mapping[str, Tensor],
        extras: Mapping[str, Tensor],
    ) -> Trace:  # fmt: skip
        weights = self.weights()
        signals: list[Signal] = [
            ModalityWeights(
                name="modality_weight", unit="weight", normalised_over="modality",
                value=weights.expand(len(query), -1), modalities=self.config.slotted, caveat="caveat.modality_weight",
            ),
            *pair_signals(self.config, extras),
        ]  # fmt: skip
        for place, suffix in enumerate(("", "_partner")[: query.shape[1]]):
            signals += edge_weights(self.config, batch, made, query[:, place], suffix)
            own = {m: value[:, place] for m, value in vectors.items()}
            signals += embeddings("embedding", own, suffix, "caveat.entity_embedding")
            signals += embeddings("embedding", {"fused": extras["joint"][:, place]}, suffix, "caveat.entity_embedding")
        return Trace(tuple(signals), batch.steps)

    def learned(self) -> Trace:
        """How strongly each modality's two losses count: e^-s and e^-t."""
        named = {"icl_precision": self.icl_log_variance, "ial_precision": self.ial_log_variance}
        return precisions(named, self.config.slotted)
