"""What a link predictor reads of a data set, and how IMF is trained and ranked beside the baselines.

N entities, R relations, B queries (head, relation of 2R, perhaps a tail). A batch here holds all entities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fusion.data.graph_features import GraphFeatures, Progress
from fusion.data.link_features import NOTHING, link_features
from fusion.links.evaluation import WHOLE
from fusion.links.objectives import one_of_all
from fusion.models.imf import BRANCHES
from fusion.types import Batch, FusionError, Graph

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet
    from fusion.links.ranking import Block
    from fusion.models.imf import IMF

STRUCTURE = "structure"
OUTER = ("image", "text")
AHEAD = 2048  # queries whose contexts are made at a time
OWN = "learned"  # source of rows that a checkpoint holds itself
FILE = "file:"  # an encoder of this name is a feature file inside the checkpoint


def everything(dataset: DataSet, features: GraphFeatures) -> Batch:
    """A batch of all N entities without a question, over the triples to train on.

    An entity has the structure where it is in one of them. Raises FusionError for a data set without triples.
    """
    triples = dataset.triples
    if triples is None:
        raise FusionError(
            f'"{dataset.name}" holds no triples to predict; open the set keywords, or a folder: triples:PATH.'
        )
    train = torch.from_numpy(triples.part("train")).long()
    linked = torch.zeros(len(dataset), dtype=torch.bool)
    linked[train[:, [0, 2]].flatten()] = True
    return Batch(
        features=dict(features.features), pooled={}, mask={}, kept={},
        present=torch.cat((linked[:, None], features.present()), 1), modalities=(STRUCTURE, *features.modalities),
        ids=(), graph=Graph(train[:, [0, 2]].T.contiguous(), train[:, 1].contiguous()),
        query=torch.zeros(0, 2, dtype=torch.long),
    )  # fmt: skip


def asking(batch: Batch, query: Tensor, target: Tensor | None = None) -> Batch:
    """The same entities with other questions. query (B, 2 or 3) int, target (K, 2) int: row and true tail"""
    return replace(batch, query=query, target=target, ids=tuple(map(str, range(len(query)))))


class Fusing:
    """IMF over one data set as a `Linker`: its four branches, and what it decides of them."""

    columns: tuple[str, ...] = (*BRANCHES, WHOLE)

    def __init__(self, model: IMF, batch: Batch, choice: float = 0.0) -> None:
        """choice: weight of a further term, in shares of 1 / N; see `terms`"""
        self.model, self.batch, self.choice = model, batch, choice

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        return self.model

    def to(self, device: torch.device) -> None:
        """Move what is read along with the model, and keep what training does not change."""
        self.model.to(device)
        self.batch = self.batch.to(device)
        self.batch = replace(self.batch, pooled=self.model.inputs.fixed(self.batch))

    def terms(self, query: Tensor, row: Tensor, tail: Tensor, step: int) -> dict[str, Tensor]:
        """The losses of the paper, and with `choice` that of each branch to choose its answers among all entities.

        The paper's are means over all N entities of yes or no, which says little of who comes first. A shift of a
        query's scores changes nothing in the further term, so that the chances stay those of the paper's.
        query (B, 2); row, tail (K,): which entities are true of which query
        """
        batch = asking(self.batch, query, torch.stack((row, tail), 1))
        output = self.model(batch, trace=False)
        terms = self.model.loss(output, batch, step)
        for k in BRANCHES if self.choice else ():
            scores = output.extras[f"context/{k}"] @ output.extras[f"table/{k}"].T
            terms[f"choice/{k}"] = self.choice / scores.shape[1] * one_of_all(scores, row, tail)
        return terms

    @property
    def count(self) -> int:
        """N"""
        return self.model.config.entities

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """The four branches and the decision, see `ranker_of`."""
        return ranker_of(self.model, replace(self.batch, pooled=self.model.tables(self.batch)), asked)


def ranker_of(model: IMF, ready: Batch, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
    """As `fusion.links.ranking.Ranker`, by the model's branches and by the chance that is decided.

    ready: a batch with the model's tables; asked (Q, 2): all queries in the order in which they will come, so that what
    they look for is made for AHEAD of them at a time: a relation's maps are as large as a core of the model, and
    queries in the order of relations share them.
    """
    read, device = model.read(ready), ready.present.device
    ahead: dict[str, Tensor] = {}
    first = at = 0

    def block(query: Tensor) -> Block:
        nonlocal ahead, first, at
        if asked is None:
            here = model.contexts(ready.pooled, query.to(device))
        else:
            if not ahead or at + len(query) > first + len(ahead[BRANCHES[0]]):
                ahead = model.contexts(ready.pooled, asked[at : at + max(AHEAD, len(query))].to(device))
                first = at
            here = {k: rows[at - first : at - first + len(query)] for k, rows in ahead.items()}
            at += len(query)
        return lambda rows: model.columns(ready.pooled, here, rows, read)

    return block


def encoders_of(features: GraphFeatures) -> dict[str, str]:
    """{m: what made its features} for a checkpoint: the name of an encoder, or of a file."""
    return {m: features.sources[m] for m in OUTER if m in features.features}


def read_features(
    checkpoint: Checkpoint, dataset: DataSet, *, files: Sequence[Path] = (), progress: Progress | None = None
) -> GraphFeatures:
    """The features that a checkpoint was trained on, of its data set.

    Raises FusionError when the data set has other entities, relations or triples, or another width.
    """
    config: Mapping[str, Any] = checkpoint.config
    if dataset.triples is None:
        everything(dataset, GraphFeatures((), {}, {}, {}))  # says so
    elif len(dataset) != config["entities"] or len(dataset.triples.relations) != config["relations"]:
        raise FusionError(
            f'"{dataset.name}" has {len(dataset)} entities and {len(dataset.triples.relations)} relations; '
            f'"{checkpoint.name}" knows {config["entities"]} and {config["relations"]}: it was trained on '
            f"{checkpoint.data}. Open that, or train a checkpoint on this one."
        )
    if checkpoint.origin.get("digest", dataset.digest) != dataset.digest:
        raise FusionError(
            f'"{dataset.name}" holds other triples, names or pictures than those that "{checkpoint.name}" was trained '
            "on; open the files as they were, or train a checkpoint on these."
        )
    read = tuple(m for m in OUTER if checkpoint.encoders.get(m) != NOTHING)
    if not config["freeze_features"]:  # its rows of pictures and texts are weights of its own
        ids, count = tuple(sample.id for sample in dataset.samples), len(dataset)
        known = {m: torch.ones(count, dtype=torch.bool) for m in read}
        tables = {m: torch.zeros(count, 1) for m in read}
        return without(GraphFeatures(ids, tables, known, dict.fromkeys(read, OWN)), count)
    widths = {m: config[f"{m}_width"] for m in read}
    encoders = {m: name for m, name in checkpoint.encoders.items() if name != NOTHING and not name.startswith(FILE)}
    return without(link_features(dataset, read, files, progress, encoders=encoders, widths=widths), len(dataset))


def without(features: GraphFeatures, entities: int) -> GraphFeatures:
    """The same with a modality that it lacks as one that no entity has, in the order of OUTER."""
    tables, known, sources = ({}, {}, {})
    for m in OUTER:
        there = m in features.features
        tables[m] = features.features[m] if there else torch.zeros(entities, 1)
        known[m] = features.known[m] if there else torch.zeros(entities, dtype=torch.bool)
        sources[m] = features.sources[m] if there else NOTHING
    return replace(features, features=tables, known=known, sources=sources)
