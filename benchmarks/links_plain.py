"""The arithmetic of the released IMF program, its defects repaired, plainly: what ours is to be cheaper than.

Source: HestiaSky/IMF-Pytorch@df883e4 as far as its formulas go (see `fusion.models.imf`, eq. (2) to (6) with the
released switches); no line is taken from it. B queries, N entities, R relations, D width. Every table is trained, the
pooled features too; each query has relation maps of its own in each branch; the product of modalities is made of all
entities at every batch, also when ranking; scores become chances and a dense target of 0 and 1 stands beside them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODALITIES = 3
RATE = 5e-4


class Product(nn.Module):
    """Eq. (2): two products of modalities, each mapped after a dropout of .2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, width) for _ in range(2)) for _ in range(MODALITIES)
        )  # fmt: skip

    def forward(self, *vectors: Tensor) -> Tensor:
        """3 of (n, D) -> (n, D)"""
        mapped = [
            torch.stack([F.relu(one(F.dropout(x, 0.2, self.training))) for one in maps], 1)  # type: ignore[union-attr]  # a list
            for maps, x in zip(self.maps, vectors, strict=True)
        ]
        return F.relu((mapped[0] * mapped[1] * mapped[2]).sum(1))


class Branch(nn.Module):
    """Eq. (4) up to the scores: maps of a relation for every query, (B, D, D) of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.core = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, width, width)))
        self.before, self.after = nn.BatchNorm1d(width), nn.BatchNorm1d(width)

    def forward(self, entities: Tensor, relations: Tensor, table: Tensor) -> Tensor:
        """(B, D), (B, D), (N, D) -> (B, N) chances"""
        width = len(self.core)
        x = F.dropout(self.before(entities), 0.3, self.training)
        maps = (relations @ self.core.view(width, -1)).view(-1, width, width)
        found = torch.bmm(x[:, None], F.dropout(maps, 0.4, self.training))[:, 0]
        return torch.sigmoid(F.dropout(self.after(found), 0.5, self.training) @ table.T)


class Plain(nn.Module):
    """The released model: 78,206,506 numbers with the unused bias, at the size of DB15K."""

    def __init__(self, entities: int, relations: int, width: int) -> None:
        super().__init__()
        self.entities = nn.ModuleList(nn.Embedding(entities, width) for _ in range(MODALITIES))
        self.relations = nn.ModuleList(nn.Embedding(2 * relations, width) for _ in range(MODALITIES))
        for table in (*self.entities, *self.relations):
            nn.init.xavier_normal_(table.weight)  # type: ignore[arg-type]  # of an Embedding
        self.of_entities, self.of_relations = Product(width), Product(width)
        self.branches = nn.ModuleList(Branch(width) for _ in range(MODALITIES + 1))

    def forward(self, query: Tensor) -> list[Tensor]:
        """(B, 2) -> 4 of (B, N) chances: three modalities and their product"""
        heads = [table(query[:, 0]) for table in self.entities]
        asked = [table(query[:, 1]) for table in self.relations]
        tables: list[Tensor] = [table.weight for table in self.entities]  # type: ignore[misc]  # of an Embedding
        heads.append(self.of_entities(*heads))
        asked.append(self.of_relations(*asked))
        tables.append(self.of_entities(*tables))
        return [one(*given) for one, *given in zip(self.branches, heads, asked, tables, strict=True)]


class Training:
    """One step after another: four binary cross-entropies of all (B, N) chances, backward, Adam over every number."""

    def __init__(self, model: Plain) -> None:
        self.model, self.optimiser = model, torch.optim.Adam(model.parameters(), lr=RATE)

    def step(self, query: Tensor, row: Tensor, tail: Tensor) -> float:
        """query (B, 2); row, tail (K,): which entities are true of which query. -> the loss in nats"""
        self.model.train()
        count = self.model.entities[0].num_embeddings
        target = torch.zeros(len(query), count)  # type: ignore[arg-type]  # of an Embedding
        target[row, tail] = 1.0
        target = 0.9 * target + 1 / count  # type: ignore[operator]
        loss = torch.stack([F.binary_cross_entropy(one, target) for one in self.model(query)]).sum()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


def ranks(model: Plain, asked: np.ndarray, known: Mapping[tuple[int, int], Sequence[int]], batch: int) -> np.ndarray:
    """Filtered ranks by the mean of the branches: the answer put in at random among the others, all sorted.

    asked (Q, 3); known: all true tails of (head, relation); -> (Q,) int, from 1
    """
    model.eval()
    generator = np.random.default_rng(0)
    found = []
    with torch.no_grad():
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            chance = torch.stack(model(torch.from_numpy(some[:, :2]))).mean(0).numpy()
            for (head, relation, tail), scores in zip(some.tolist(), chance, strict=True):
                others = np.delete(scores, [*known.get((head, relation), ()), tail])
                place = int(generator.integers(len(others) + 1))
                order = torch.from_numpy(np.insert(others, place, scores[tail])).sort(descending=True).indices
                found.append(int((order == place).nonzero()[0, 0]) + 1)
    return np.array(found)
