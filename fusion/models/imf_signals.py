"""What IMF shows of one query: the branches' scores of one answer, its exact shares, living factors, vectors.

Paper: Li et al., WWW 2023, doi:10.1145/3543507.3583554; released code: HestiaSky/IMF-Pytorch@df883e4. The shares
g_k y_k of a chance follow from eq. (5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.losses import unit
from fusion.signals import Embedding, ModalityScores, ModalityWeights, Parts, Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.models.imf import IMF

PAIRS = (("structure", "image"), ("structure", "text"), ("image", "text"))


def link_signals(
    model: IMF, tables: Mapping[str, Tensor], query: Tensor, made: Mapping[str, Tensor], read: Tensor
) -> list[Signal]:
    """Signals of B queries about the answers made["told"]: the truth where the query names it, else the first."""
    branches = tuple(model.context)
    heads, told = query[:, 0], made["told"]
    weights = model.weights(read).expand(len(query), -1)
    vectors = [tables[m] for m in branches[:-1]]
    factors = model.fuse_entities.factors([x[heads] for x in vectors])  # (B, rank, M, D)
    signals: list[Signal] = [
        ModalityWeights(
            name="decision_weight", unit="weight", normalised_over="modality", value=weights, modalities=branches,
            caveat="caveat.decision_weight",
        ),
        ModalityScores(
            name="branch_score", unit="logit", value=made["told_logits"], modalities=branches,
            caveat="caveat.branch_score",
        ),
        Parts(
            name="decision_share", unit="probability", value=weights * made["told_logits"].sigmoid(), voices=branches,
            total="chance", caveat="caveat.decision_share",
        ),
        ModalityScores(
            name="living_factors", unit="none", value=(factors > 0).float().mean((1, 3)), modalities=branches[:-1],
            caveat="caveat.living_factors",
        ),
        ModalityScores(
            name="modal_alignment", unit="cosine", value=alignment({m: tables[m][heads] for m in branches[:-1]}),
            modalities=tuple(f"{a}_{b}" for a, b in PAIRS), neutral=0.0, caveat="caveat.modal_alignment",
        ),
    ]  # fmt: skip
    for m in branches:
        for suffix, rows in (("", heads), ("_tail", told)):
            signals.append(
                Embedding(
                    name=f"embedding_{m}{suffix}", unit="none", value=tables[m][rows], modality=m,
                    caveat="caveat.entity_embedding",
                )
            )  # fmt: skip
    return signals


def alignment(tables: Mapping[str, Tensor]) -> Tensor:
    """Cosine of each entity's rows between modalities, in the order of PAIRS. -> (N, 3)"""
    rows = {m: unit(tables[m]) for pair in PAIRS for m in pair}
    return torch.stack([(rows[a] * rows[b]).sum(1) for a, b in PAIRS], 1)
