"""Inputs and encoders of entity alignment, which MCLEA and MEAformer have in common, and the nearest candidates.

Papers: Liu et al., "Visual Pivoting for (Unsupervised) Entity Alignment", AAAI 2021,
doi:10.1609/aaai.v35i5.16550 (EVA); Lin et al., COLING 2022, arXiv:2209.00891. Released code: lzxlin/MCLEA@6946d43.

    h_m = W_m x_m + b_m for each modality,  h_graph = GAT(E)                               (1)

x_m (N, D_in) the features of modality m, E (N, D) one learned vector an entity.
Only the graph encoder reads all N entities; every other row is computed for the entities that are asked about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from fusion.blocks.graph import GAT, GCN, adjacency
from fusion.losses import unit
from fusion.models.base import WIDEST, check_settings
from fusion.types import FusionError, Modality

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

MODALITIES = ("image", "attribute", "relation", "graph", "name", "char")  # in the order of the papers' stacks
ROWS = 4096  # entities at a time where all of them are encoded

_SIZE, _SHARE = (1, WIDEST), (0, 0.999)
ENTITY_RANGES = {
    "entities": (1, 2**28), "input_widths": _SIZE, "hidden_widths": _SIZE, "heads": (1, 1024), "dropout": _SHARE,
    "attention_dropout": _SHARE, "candidates": (1, 10_000),
}  # fmt: skip


@dataclass(frozen=True)
class EntityConfig:
    """Settings of the inputs and of the graph encoder; the defaults are those of DBP15K zh_en with names."""

    entities: int = 38_960  # N, part of the weights: each entity has a vector of its own
    modalities: tuple[str, ...] = MODALITIES  # in the order in which they are joined
    input_widths: tuple[int, ...] = (2048, 1000, 1000, 300, 300, 1811)  # D of each; of the graph, an entity's own
    slots: tuple[str, ...] = ()  # who has learned weights, beyond `modalities`; empty: nobody
    structure: Literal["gat", "gcn"] = "gat"
    hidden_widths: tuple[int, ...] = (300,)  # D between the layers of the graph encoder; a GCN has one
    heads: tuple[int, ...] = (2, 2)  # of each GAT layer
    transform: Literal["diagonal", "full"] = "diagonal"  # of the GAT
    dropout: float = 0.0  # between graph layers
    attention_dropout: float = 0.0  # of edges
    relation_scaling: Literal["raw", "log"] = "raw"  # log: log(1 + counts), so that hubs dominate less
    missing: Literal["imputed", "masked"] = "imputed"  # masked: an entity is read without what it doesn't have
    candidates: int = 10  # K of the prediction

    def __post_init__(self) -> None:
        check_settings(self, self.ranges())
        count, wrong = len(self.modalities), [m for m in self.slotted if not _fit(m)]
        if wrong:
            raise FusionError(f'"{wrong[0]}" can\'t name a modality; use small letters, digits and _.')
        if len(self.input_widths) != count:
            raise FusionError(
                f"input_widths has {len(self.input_widths)} numbers for {count} modalities; give one of each."
            )
        if "graph" in self.modalities:
            self._check_structure()

    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """Lowest and highest value of each number."""
        return ENTITY_RANGES

    def _check_structure(self) -> None:
        layers, widths = len(self.hidden_widths) + 1, self.structure_widths()
        if self.structure == "gcn" and layers != 2:
            raise FusionError(f"A GCN has two layers, so hidden_widths must hold one number, not {layers - 1}.")
        if self.structure == "gat" and len(self.heads) != layers:
            raise FusionError(f"heads names {len(self.heads)} layers and hidden_widths makes {layers}; change one.")
        if self.structure == "gat" and self.transform == "diagonal" and len(set(widths)) > 1:
            raise FusionError(
                f'A diagonal transform keeps the width, not {widths}; make them equal or set transform="full".'
            )

    @property
    def slotted(self) -> tuple[str, ...]:
        """Every name with learned weights: the modalities, then the slots that no modality fills."""
        return (*self.modalities, *(m for m in self.slots if m not in self.modalities))

    def out_widths(self) -> tuple[int, ...]:
        """D of each modality after its encoder."""
        raise NotImplementedError

    def structure_widths(self) -> tuple[int, ...]:
        """D of an entity's own vector, between the graph layers, and after them."""
        at = self.modalities.index("graph")
        return (self.input_widths[at], *self.hidden_widths, self.out_widths()[at])


def _fit(name: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", name) is not None and not hasattr(nn.ModuleDict, name)


KINDS = {"name": "name", "char": "name", "description": "text"}  # where they differ from the modality's own name


def modalities_of(config: EntityConfig) -> tuple[Modality, ...]:
    """The inputs as the rest of the program knows them."""
    return tuple(
        Modality(m, KINDS.get(m, m), width, None, "entity")
        for m, width in zip(config.modalities, config.input_widths, strict=True)
    )


class ProjectionHead(nn.Module):
    """W_2 drop(ReLU(W_1 h)), no bias, width kept."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)"""
        projected: Tensor = self.outer(self.dropout(torch.relu(self.inner(x))))
        return projected


class _RowsLinear(torch.autograd.Function):
    """A linear map of some rows of a table, without keeping a copy of these rows until the backward pass."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weight: Tensor, bias: Tensor, logarithm: bool) -> Tensor:
        ctx.save_for_backward(table, index, weight)
        ctx.logarithm = logarithm
        return torch.addmm(bias, _gathered(table, index, logarithm, weight.dtype), weight.T)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[None, None, Tensor, Tensor, None]:
        table, index, weight = ctx.saved_tensors
        rows = _gathered(table, index, ctx.logarithm, weight.dtype)
        return None, None, upstream[0].T @ rows, upstream[0].sum(0), None


def _gathered(table: Tensor, index: Tensor, logarithm: bool, dtype: torch.dtype) -> Tensor:
    """table[index] as numbers of another type, log(1 + count) where asked."""
    rows = table[index].to(dtype)
    return torch.log1p(rows) if logarithm else rows


def rows_linear(layer: nn.Module, table: Tensor, index: Tensor, logarithm: bool = False) -> Tensor:
    """layer(table[index]), or of its log(1 + .). table (N, D) of any number type, index (...) int -> (..., D')"""
    assert isinstance(layer, nn.Linear)
    if table.requires_grad:  # an explanation asks for the derivative by the features
        mapped: Tensor = layer(_gathered(table, index, logarithm, layer.weight.dtype))
        return mapped
    rows = _RowsLinear.apply(table, index.flatten(), layer.weight, layer.bias, logarithm)
    return rows.unflatten(0, index.shape)  # type: ignore[no-any-return]  # apply is untyped


class EntityEncoder(nn.Module):
    """One vector an entity and modality: a linear map of its features, a graph encoder for its neighbourhood."""

    def __init__(self, config: EntityConfig, projected: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.config = config
        widths = dict(zip(config.modalities, config.out_widths(), strict=True))
        inputs = dict(zip(config.modalities, config.input_widths, strict=True))
        self.linear = nn.ModuleDict({m: nn.Linear(inputs[m], widths[m]) for m in widths if m != "graph"})
        self.project = nn.ModuleDict({m: ProjectionHead(widths[m], config.dropout) for m in widths if m in projected})
        self.own: nn.Parameter | None = None
        self.structure: GAT | GCN | None = None
        if "graph" in widths:
            own = torch.empty(config.entities, inputs["graph"]).normal_(std=config.entities**-0.5)
            self.own, layers = nn.Parameter(own), config.structure_widths()
            if config.structure == "gat":
                self.structure = GAT(layers, config.heads, config.transform, config.dropout, config.attention_dropout)
            else:
                self.structure = GCN(layers, config.dropout)

    def table(self, batch: Batch) -> dict[str, Tensor]:
        """The graph encoder over all entities: "graph" (N, D) and "scores" (N, columns) of a GAT's nodes.

        What `batch.pooled` holds is taken from there, but while training. Nothing when no entity has the graph.
        Raises FusionError without a graph.
        """
        if self.structure is None or self.own is None or not batch.has("graph").any():
            return {}
        if "graph" in batch.pooled and not self.training:
            return {name: batch.pooled[name] for name in ("graph", "scores") if name in batch.pooled}
        if batch.graph is None:
            raise FusionError("This system reads the neighbours of an entity; give the triples of the graph, too.")
        table, scores = self.structure(self.own, adjacency(batch.graph, len(self.own)))
        flat = [score.detach().transpose(0, 1).flatten(1) for score in scores]  # (N, 2 H) a layer
        return {"graph": table} | ({"scores": torch.cat(flat, 1)} if flat else {})

    def forward(self, batch: Batch, index: Tensor, table: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Vectors of some entities, zero where a modality isn't read, and where it is.

        index (...) int, table as made by `table` -> {m: (..., D_m)}, read (..., M) bool
        Raises FusionError on features of another width, of other entities, or none.
        """
        read = self.read(batch, index)
        encoded = {}
        for number, m in enumerate(self.config.modalities):
            if m != "graph":
                counted = m == "relation" and self.config.relation_scaling == "log"
                vectors = rows_linear(self.linear[m], self._features(batch, m), index, counted)
            elif "graph" in table:
                vectors = table["graph"][index]
            else:  # never read
                vectors = read.new_zeros((*index.shape, self.config.structure_widths()[-1]), dtype=torch.float32)
            if m in self.project:
                vectors = self.project[m](vectors)
            encoded[m] = torch.where(read[..., number : number + 1], vectors, 0.0)
        return encoded, read

    def read(self, batch: Batch, index: Tensor) -> Tensor:
        """Which modalities each entity is read with: none that nobody has. index (...) -> (..., M) bool"""
        columns = [batch.modalities.index(m) if m in batch.modalities else -1 for m in self.config.modalities]
        present = torch.stack([batch.present[:, c] if c >= 0 else _none(batch) for c in columns], 1)  # (N, M)
        if self.config.missing == "masked":
            return present[index]
        return present.any(0).expand(*index.shape, -1)

    def _features(self, batch: Batch, modality: str) -> Tensor:
        width = self.config.input_widths[self.config.modalities.index(modality)]
        features = batch.features.get(modality)
        if features is None:  # nobody has it; what it holds is never read
            return batch.present.new_zeros((1, 1), dtype=torch.float32).expand(len(batch.present), width)
        if features.ndim != 2 or features.shape[1] != width or len(features) != len(batch.present):
            raise FusionError(
                f"The features of {modality} have the shape {tuple(features.shape)}; this checkpoint reads "
                f"({len(batch.present)}, {width}). Compute them with the encoder that it was trained with."
            )
        return features


def _none(batch: Batch) -> Tensor:
    return torch.zeros_like(batch.present[:, 0])


def asked(batch: Batch, entities: int) -> Tensor:
    """The entities of the questions (B, 1 or 2). Raises FusionError when there are none, or numbers beyond N."""
    if batch.query is None:
        raise FusionError("This system answers about entities of a graph; ask about one or a pair, not about samples.")
    if len(batch.present) != entities:
        raise FusionError(
            f"The data has {len(batch.present)} entities and the checkpoint {entities}: it knows only the graphs that "
            "it was trained on. Open those."
        )
    return batch.query


def nearest(table: Tensor, rows: Tensor, own: Tensor, side: Tensor | None, most: int) -> Tensor:
    """The entities of highest cosine to each row, best first, of the other graph where there are two.

    table (N, D) and rows (B, D) of length 1, own (B,) the asking entity, side (N,) -> (B, K) int, -1 where none is left
    """
    found = []
    step = max(1, 2**24 // len(table))
    for start in range(0, len(rows), step):
        asking = own[start : start + step]
        scores = rows[start : start + step] @ table.T
        scores[torch.arange(len(asking), device=asking.device), asking] = -torch.inf
        if side is not None:
            scores.masked_fill_(side[None, :] == side[asking][:, None], -torch.inf)
        best = scores.topk(min(most, len(table)))
        found.append(best.indices.masked_fill(best.values == -torch.inf, -1))
    empty = own.new_zeros(0, min(most, len(table)))
    return torch.cat(found) if found else empty


def candidates_in(query: Tensor, joint: Tensor, most: int) -> Tensor:
    """The nearest among the other entities of a batch, for training. query (B, Q) int, joint (B, Q, D) -> (B, K) int

    Of a batch of pairs, among their other halves.
    """
    ids, pair = query.flatten(), query.shape[1]
    half = torch.arange(pair, device=ids.device).repeat(len(query)) if pair > 1 else None
    first = torch.arange(0, len(ids), pair, device=ids.device)
    found = nearest(joint.flatten(0, 1), joint[:, 0], first, half, most)
    return torch.where(found >= 0, ids[found], -1)


def joined(weights: Tensor, vectors: Mapping[str, Tensor]) -> Tensor:
    """The weighted concatenation [w_1 h_1; ...; w_M h_M]. weights (..., M), {m: (..., D_m)} -> (..., sum D_m)"""
    return torch.cat([weights[..., i : i + 1] * value for i, value in enumerate(vectors.values())], -1)


def lengths_of_one(vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same vectors with length 1, zeros left at zero."""
    return {m: unit(value) for m, value in vectors.items()}
