"""What fusion has to beat: popularity, DistMult and TransE, trained and ranked as the fusion systems are.

N entities, R relations, B queries (head, relation of 2R), D width.
Sources: Yang et al. 2015, arXiv:1412.6575 (DistMult); Bordes et al. 2013 (TransE); Dettmers et al. 2018,
arXiv:1707.01476, for asking for all tails of a query at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from fusion.links.evaluation import WHOLE
from fusion.links.objectives import each, one_of_all
from fusion.links.ranking import blocks_of
from fusion.losses import unit

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from fusion.links.ranking import Block

Loss = Literal["each", "one_of_all"]


class Baseline(nn.Module):
    """Tables of entities and relations, and a score of every entity for a query."""

    columns: tuple[str, ...] = (WHOLE,)

    def __init__(self, entities: int, relations: int, width: int, dropout: float, loss: Loss) -> None:
        super().__init__()
        self.entities, self.relations = nn.Embedding(entities, width), nn.Embedding(2 * relations, width)
        for table in (self.entities, self.relations):
            nn.init.xavier_normal_(table.weight)
        self.dropout, self.kind = nn.Dropout(dropout), loss

    @property
    def module(self) -> nn.Module:
        """What is trained."""
        return self

    def scores(self, query: Tensor) -> Tensor:
        """(B, 2) -> (B, N) logits"""
        raise NotImplementedError

    @property
    def count(self) -> int:
        """N"""
        return self.entities.num_embeddings

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """As `fusion.links.ranking.Ranker`."""
        return lambda query: blocks_of(self.scores(query))

    def terms(self, query: Tensor, row: Tensor, tail: Tensor, step: int) -> dict[str, Tensor]:
        """The loss of a batch. query (B, 2); row, tail (K,): which entities are true of which query"""
        scores = self.scores(query)
        if self.kind == "each":
            return {"each": each(scores, row, tail)}
        return {"one of all": one_of_all(scores, row, tail)}


class DistMult(Baseline):
    """sum_d h_d r_d t_d"""

    def scores(self, query: Tensor) -> Tensor:
        """(B, 2) -> (B, N) logits"""
        asked = self.dropout(self.entities(query[:, 0]) * self.relations(query[:, 1]))
        return asked @ self.entities.weight.T


class TransE(Baseline):
    """margin - |h + r - t|_1, entities of length 1, the margin and a scale learned."""

    def __init__(self, entities: int, relations: int, width: int, dropout: float, loss: Loss) -> None:
        super().__init__(entities, relations, width, dropout, loss)
        self.margin, self.scale = nn.Parameter(torch.tensor(6.0)), nn.Parameter(torch.tensor(1.0))

    def scores(self, query: Tensor) -> Tensor:
        """(B, 2) -> (B, N) logits"""
        table = unit(self.entities.weight)
        asked = self.dropout(table[query[:, 0]] + self.relations(query[:, 1]))
        return self.margin - self.scale.exp() * torch.cdist(asked, table, p=1)


BASELINES: dict[str, type[Baseline]] = {"distmult": DistMult, "transe": TransE}
SETTINGS = {"distmult": (256, 0.5), "transe": (64, 0.0)}  # width and dropout, chosen on valid triples of keywords
RATE, BATCH, EPOCHS, CHECK = 1e-2, 256, 60, 5  # chosen alike; `one_of_all` beats `each` by far in both


class Popularity:
    """How often an entity is the tail of the relation in training, then how often of any."""

    columns: tuple[str, ...] = (WHOLE,)

    def __init__(self, queries: np.ndarray, entities: int, relations: int) -> None:
        """queries (2E, 3): the training triples in both directions"""
        asked = torch.from_numpy(queries).long()
        at = asked[:, 1] * entities + asked[:, 2]
        counts = torch.bincount(at, minlength=2 * relations * entities).reshape(2 * relations, entities)
        self.counts = counts + counts.sum(0) / (counts.sum() + 1)  # (2R, N)

    @property
    def count(self) -> int:
        """N"""
        return self.counts.shape[1]

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """As `fusion.links.ranking.Ranker`."""
        return lambda query: blocks_of(self.counts[query[:, 1]])
