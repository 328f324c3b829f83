"""What a graph checkpoint reads of a data set, and how the linear maps of a new model start.

N entities, D features. A batch here holds all entities; its questions are what is asked at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fusion.data.graph_features import ENCODED, GraphFeatures, Progress, graph_features
from fusion.types import Batch, FusionError, Graph

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet
    from fusion.models.mclea import MCLEA
    from fusion.models.meaformer import MEAformer

    EntityModel = MCLEA | MEAformer

GRAPH = "graph"


def everything(dataset: DataSet, features: GraphFeatures) -> Batch:
    """A batch of all N entities without a question; an entity has the graph where an edge leads to another one.

    Raises FusionError for a data set without graphs.
    """
    graph = dataset.graph
    if graph is None:
        raise FusionError(
            f'"{dataset.name}" holds no graphs to align; open the set emoji, or a folder: dbp15k:PATH or fb15k:PATH.'
        )
    triples = torch.from_numpy(graph.triples).long()
    side = torch.from_numpy(graph.side).long()
    linked = torch.from_numpy(graph.degree() > 0)
    return Batch(
        features=dict(features.features), pooled={}, mask={}, kept={},
        present=torch.cat((features.present(), linked[:, None]), 1), modalities=(*features.modalities, GRAPH), ids=(),
        graph=Graph(triples[:, [0, 2]].T.contiguous(), triples[:, 1].contiguous(), side),
        query=torch.zeros(0, 2, dtype=torch.long),
    )  # fmt: skip


def asking(batch: Batch, query: Tensor) -> Batch:
    """The same entities with other questions. query (B, 1 or 2) int"""
    return replace(batch, query=query, ids=tuple(f"{i}" for i in query[:, 0].tolist()))


def encoders_of(features: GraphFeatures, modalities: Sequence[str]) -> dict[str, str]:
    """{m: what made its features} for a checkpoint: the name of an encoder, of a way to count, or of a file."""
    return {m: features.sources[m] for m in modalities if m != GRAPH}


def read_features(
    checkpoint: Checkpoint, dataset: DataSet, *, files: Sequence[Path] = (), progress: Progress | None = None
) -> GraphFeatures:
    """The features that a checkpoint was trained on, of its data set.

    Raises FusionError when the data set has other entities, another width, or lacks a modality.
    """
    config: Mapping[str, Any] = checkpoint.config
    if dataset.graph is None or len(dataset) != config["entities"]:
        raise FusionError(
            f'"{dataset.name}" has {len(dataset)} entities and the checkpoint "{checkpoint.name}" knows '
            f"{config['entities']}: it was trained on {checkpoint.data}. Open that, or train a checkpoint on this one."
        )
    if checkpoint.origin.get("digest", dataset.digest) != dataset.digest:
        raise FusionError(
            f'"{dataset.name}" holds other triples, names, pictures or links than those that "{checkpoint.name}" was '
            "trained on; open the files as they were, or train a checkpoint on these."
        )
    widths = dict(zip(config["modalities"], config["input_widths"], strict=True))
    widths.pop(GRAPH, None)
    encoders = {m: name for m, name in checkpoint.encoders.items() if m in ENCODED}
    return graph_features(dataset, tuple(widths), encoders=encoders, files=files, widths=widths, progress=progress)


def start_linear(model: EntityModel, batch: Batch, flatten: Mapping[str, float]) -> None:
    """Start each linear map so that cosines of the features survive it.

    y = D V^T (x - mean): V the main directions of what is known, D = diag(lambda^(-flatten / 2)), so that flatten 0
    keeps cosines and 1 makes all directions count alike; mean lies midway between the means of the two graphs, and the
    direction that parts them is left out, so that each graph is centred. Counts are centred, too. In place.
    """
    side = batch.graph.side if batch.graph is not None else None
    for m, linear in model.encoder.linear.items():
        assert isinstance(linear, torch.nn.Linear)
        x, known = model_input(model, batch, m), batch.has(m)
        if not known.any():
            continue
        groups = [known] if side is None else [known & (side == one) for one in (0, 1)]
        means = [x[rows].mean(0) for rows in groups if rows.any()]
        middle = torch.stack(means).mean(0)
        apart = F.normalize(means[-1] - means[0], dim=0) if len(means) > 1 else torch.zeros_like(middle)
        rows = x[known] - middle
        rows = rows - (rows @ apart)[:, None] * apart
        values, vectors = torch.linalg.eigh(rows.double().T @ rows.double() / len(rows))
        values, vectors = values.flip(0), vectors.flip(1)  # largest first
        kept = min(linear.out_features, linear.in_features, int((values > values[0] * 1e-6).sum()))
        scale = (values[:kept] / values[0]).clamp(min=1e-6) ** (-flatten.get(m, 0.0) / 2)
        weight = torch.zeros_like(linear.weight)
        weight[:kept] = (vectors[:, :kept] * scale).T.to(weight.dtype)
        weight -= (weight @ apart)[:, None] * apart
        weight *= linear.out_features**0.5 / (rows @ weight.T).norm(dim=1).mean().clamp(min=1e-6)
        with torch.no_grad():
            linear.weight.copy_(weight)
            linear.bias.copy_(-(weight @ middle))


def model_input(model: EntityModel, batch: Batch, modality: str) -> Tensor:
    """The features of a modality as the model's linear map reads them. -> (N, D)"""
    features = batch.features[modality]
    return torch.log1p(features) if modality == "relation" and model.config.relation_scaling == "log" else features
