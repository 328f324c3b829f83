"""What entity alignment shows of one entity or a pair: exact shares of a cosine, neighbours, vectors.

    z = [w_1 h_1; ...; w_M h_M],  |h_m| = 1                                                (1)
    cos(z_i, z_j) = sum_m w_m(i) w_m(j) cos_m / (|w(i)| |w(j)|)                            (2)  exact shares

Sources: MCLEA, arXiv:2209.00891, lzxlin/MCLEA@6946d43, for (1); (2) follows from the concatenation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.blocks.graph import GraphAttention, adjacency
from fusion.signals import Attention, EdgeWeights, Embedding, ModalityScores, ModalityWeights, Parts, Signal, Trace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.models.entities import EntityConfig
    from fusion.types import Batch

EDGES = 24  # of an entity, that a signal holds
TOKENS = "modalities"  # what the steps of a transformer over modalities are


def pair_shares(weights: Tensor, cosines: Tensor) -> Tensor:
    """Exact parts of the cosine of two weighted concatenations: w_m(i) w_m(j) cos_m / (|w(i)| |w(j)|).

    weights (B, 2, M), 0 where a modality isn't read, cosines (B, M) -> (B, M), which sum to the joint cosine.
    """
    length = weights.norm(dim=-1).prod(1).clamp(min=1e-12)  # (B,)
    return weights.prod(1) * cosines / length[:, None]


def edge_weights(
    config: EntityConfig, batch: Batch, table: Mapping[str, Tensor], entities: Tensor, suffix: str
) -> list[Signal]:
    """Attention of some entities to their neighbours, the largest of each layer. entities (B,)"""
    if "scores" not in table or batch.graph is None:
        return []
    near = adjacency(batch.graph, len(table["graph"]))
    degree = near.starts[entities + 1] - near.starts[entities]
    edges, real = near.of(entities, max(EDGES, int(degree.max()) if len(degree) else 0))
    senders = near.columns[edges]  # (B, E')
    signals: list[Signal] = []
    split = table["scores"].split([2 * heads for heads in config.heads], 1)
    for layer, flat in enumerate(split):
        receiver, sender = flat.unflatten(1, (2, -1)).unbind(1)  # (N, H) each
        raised = receiver[entities][:, None] + sender[senders]  # (B, E', H)
        scores = -F.leaky_relu(raised, GraphAttention.SLOPE)
        weights = scores.masked_fill(~real[..., None], -torch.inf).softmax(1)
        top = weights.mean(-1).masked_fill(~real, -1.0).topk(EDGES).indices  # (B, K)
        shown = real.gather(1, top)
        value = weights.gather(1, top[..., None].expand(-1, -1, weights.shape[-1])).transpose(1, 2)
        signals.append(
            EdgeWeights(
                name=f"edge_attention_{layer + 1}{suffix}",
                unit="weight",
                value=value,
                layer=layer,
                layers=len(split),
                entity=entities,
                neighbours=senders.gather(1, top).masked_fill(~shown, -1),
                mask=shown,
                degree=degree,
                caveat="caveat.edge_attention",
            )
        )
    return signals


def embeddings(kind: str, vectors: Mapping[str, Tensor], suffix: str, caveat: str) -> list[Signal]:
    """A signal a modality. {m: (B, D)} of length 1"""
    return [
        Embedding(name=f"{kind}_{m}{suffix}", unit="cosine", value=value, modality=m, caveat=caveat)
        for m, value in vectors.items()
    ]


def pair_signals(config: EntityConfig, made: Mapping[str, Tensor]) -> list[Signal]:
    """Cosine of a pair by modality and its exact shares of the joint one; nothing for a single entity."""
    if "cosine_shares" not in made:
        return []
    return [
        ModalityScores(
            name="modality_cosine", unit="cosine", value=made["cosines"], modalities=config.modalities,
            caveat="caveat.modality_cosine", neutral=0.0,
        ),
        Parts(
            name="cosine_share", unit="cosine", value=made["cosine_shares"], voices=config.modalities,
            total="joint_cosine", caveat="caveat.cosine_share",
        ),
    ]  # fmt: skip


def pair_values(joint: Tensor, weights: Tensor, vectors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Joint cosine (B,), cosine by modality (B, M) and their exact shares (B, M) of each pair; {} for single entities.

    joint (B, Q, D) of length 1, weights (B, Q, M), vectors {m: (B, Q, D_m)} of length 1
    """
    if joint.shape[1] < 2:
        return {}
    cosines = torch.stack([value.prod(1).sum(-1) for value in vectors.values()], -1)
    return {
        "joint_cosine": joint.prod(1).sum(-1),
        "cosines": cosines,
        "cosine_shares": pair_shares(weights, cosines),
    }


def precisions(named: Mapping[str, Tensor], modalities: tuple[str, ...]) -> Trace:
    """How strongly each modality's losses count: e^-s. {name of the signal: s (S,)}"""
    return Trace(
        tuple(
            ModalityScores(
                name=name, unit="weight", per_sample=False, value=torch.exp(-log_variance.detach())[None],
                modalities=modalities, caveat="caveat.loss_precision", neutral=1.0,
            )
            for name, log_variance in named.items()
        )
    )  # fmt: skip


def token_signals(
    modalities: tuple[str, ...], made: Mapping[str, Tensor], place: int, suffix: str, heads: int
) -> list[Signal]:
    """Meta weights, received attention and the attention of each layer, of one entity of each question.

    made: "meta_weight" and "received" (B, Q, M), "token/read" (B, Q, M) bool, "attention/0"... (B, Q, H, M, M)
    """
    read, layers = made["token/read"][:, place], sum(name.startswith("attention/") for name in made)
    signals: list[Signal] = [
        ModalityWeights(
            name=f"meta_weight{suffix}", settable=not suffix, unit="weight", normalised_over="modality",
            value=made["meta_weight"][:, place],
            modalities=modalities, caveat="caveat.meta_weight",
        ),
        ModalityScores(
            name=f"received_attention{suffix}", unit="weight", value=made["received"][:, place], modalities=modalities,
            neutral=float(heads), caveat="caveat.received_attention",
        ),
    ]  # fmt: skip
    return signals + [
        Attention(
            name=f"modality_attention_{layer + 1}{suffix}", unit="weight", normalised_over=TOKENS,
            value=made[f"attention/{layer}"][:, place], layer=layer, layers=layers, queries=TOKENS, keys=TOKENS,
            query_mask=read, key_mask=read, caveat="caveat.modality_attention",
        )
        for layer in range(layers)
    ]  # fmt: skip


def token_pair_signals(modalities: tuple[str, ...], made: Mapping[str, Tensor]) -> list[Signal]:
    """Similarity after the transformer and confidence of a pair by modality; nothing for a single entity."""
    if "late_cosines" not in made:
        return []
    return [
        ModalityScores(
            name="late_cosine", unit="cosine", value=made["late_cosines"], modalities=modalities, neutral=0.0,
            caveat="caveat.late_cosine",
        ),
        ModalityScores(
            name="pair_confidence", unit="weight", value=made["pair_confidence"], modalities=modalities, neutral=1.0,
            caveat="caveat.pair_confidence",
        ),
    ]  # fmt: skip
