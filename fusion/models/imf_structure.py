"""IMF's graph encoder, trained before the rest: attention over the heads of an entity's triples, and TransE.

Paper: Li et al., "IMF: Interactive Multimodal Fusion Model for Link Prediction", WWW 2023, doi:10.1145/3543507.3583554;
released code: HestiaSky/IMF-Pytorch@df883e4. Tables of entities x and relations are scaled to length 1 before each use.

    m_ij = W_h [x_i; x_j],  e_ij = exp(-LeakyReLU(a_h^T m_ij)),  x'_i = ELU(sum_j e_ij m_ij / sum_j e_ij)   (1)
    e = l2(x W_e + 1[i is a tail] x''),  r = x_r W,  x'' a second layer (1) over the heads side by side       (2)
    L = mean max(0, margin + |e_h + r - e_t|_1 - |e_h' + r - e_t'|_1)                                       (3)

i the tail and j the head of a training triple. As W_h falls into two halves, m is never made for an edge: neighbours
are added up row by row, in `fusion.blocks.graph`. No relation enters m, as in the released code. The released encoder
is 512 wide and its rows can't be loaded into the 256 of IMF: choose `width` so that `width * heads` is IMF's D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.graph import Adjacency, directed, edge_softmax, neighbour_sum
from fusion.losses import unit
from fusion.models.base import WIDEST, check_settings

if TYPE_CHECKING:
    from fusion.types import Graph

RANGES = {
    "entities": (1, 2**28), "relations": (1, 2**24), "width": (1, WIDEST), "heads": (1, 1024), "slope": (0, 1),
    "dropout": (0, 0.999), "margin": (0, 1e6), "negatives": (1, 10_000),
}  # fmt: skip


@dataclass(frozen=True)
class StructureConfig:
    """Sizes and settings of the graph encoder; its rows have `width * heads` numbers."""

    entities: int  # N
    relations: int  # R
    width: int = 128  # of an entity's own vector and of one head
    heads: int = 2
    slope: float = 0.2  # of LeakyReLU
    dropout: float = 0.3  # of the heads side by side
    margin: float = 1.0
    negatives: int = 2  # wrong triples for each true one, an even number of both kinds where it is even

    def __post_init__(self) -> None:
        check_settings(self, RANGES)


class TailAttention(nn.Module):
    """One head of eq. (1), before ELU."""

    def __init__(self, width: int, out: int, slope: float) -> None:
        super().__init__()
        self.map = nn.Parameter(nn.init.xavier_normal_(torch.empty(out, 2 * width), gain=1.414))
        self.score = nn.Parameter(nn.init.xavier_normal_(torch.empty(1, out), gain=1.414))
        self.slope = slope

    def forward(self, x: Tensor, near: Adjacency) -> Tensor:
        """x (N, D) -> (N, D'), zero for what is no tail"""
        own, sent = (x @ half.T for half in self.map.chunk(2, 1))  # W [x_i; x_j] = own_i + sent_j
        raised = (own @ self.score.T).index_select(0, near.rows) + (sent @ self.score.T).index_select(0, near.columns)
        weights = edge_softmax(-F.leaky_relu(raised, self.slope), near)  # (E, 1)
        return own * told(near)[:, None] + neighbour_sum(weights, sent[None], near)[0]


def told(near: Adjacency) -> Tensor:
    """1 for every entity that is the tail of a triple, else 0. -> (N,)"""
    return (near.starts.diff() > 0).float()


class StructureEncoder(nn.Module):
    """Rows of entities and relations from the triples alone."""

    def __init__(self, config: StructureConfig) -> None:
        super().__init__()
        self.config = config
        width, out = config.width, config.width * config.heads
        self.entities = nn.Parameter(torch.randn(config.entities, width))
        self.relations = nn.Parameter(torch.randn(config.relations, width))
        self.heads = nn.ModuleList(TailAttention(width, width, config.slope) for _ in range(config.heads))
        self.output = TailAttention(out, out, config.slope)
        self.own = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, out), gain=1.414))  # W_e
        self.relation_map = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, out), gain=1.414))  # W
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, graph: Graph) -> tuple[Tensor, Tensor]:
        """Entities (N, D H) of length 1 and relations (R, D H). Raises FusionError on edges beyond the entities.

        The tables are scaled to rows of length 1 in place, as a step of training left them.
        """
        near = directed(graph, self.config.entities)
        with torch.no_grad():
            self.entities.copy_(unit(self.entities))
            self.relations.copy_(unit(self.relations))
        x = self.entities
        beside = torch.cat([F.elu(head(x, near)) for head in self.heads], 1)
        deep = F.elu(self.output(self.dropout(beside), near))
        return unit(x @ self.own + told(near)[:, None] * deep), self.relations @ self.relation_map

    def loss(self, made: tuple[Tensor, Tensor], triples: Tensor, wrong: Tensor) -> Tensor:
        """Eq. (3), in units of distance. triples (P, 3) int, wrong (negatives P, 3) as `corrupted` gives -> ()"""
        entities, relations = made
        true, false = (distance(entities, relations, some) for some in (triples, wrong))
        return F.relu(self.config.margin + true.repeat(len(wrong) // max(len(triples), 1)) - false).mean()


def distance(entities: Tensor, relations: Tensor, triples: Tensor) -> Tensor:
    """City-block distance |e_h + r - e_t| of triples (P, 3). -> (P,)"""
    head, relation, tail = triples.unbind(1)
    return (entities[head] + relations[relation] - entities[tail]).abs().sum(1)


def corrupted(triples: Tensor, entities: int, negatives: int, generator: torch.Generator | None = None) -> Tensor:
    """Copies of triples with one end exchanged at random: the head in the first half of them, then the tail.

    (P, 3) int -> (negatives P, 3), of which row k P + i is made of triple i; a random end may happen to be true
    """
    wrong = triples.repeat(negatives, 1)
    ends = torch.randint(entities, (len(wrong),), generator=generator, dtype=wrong.dtype)
    half = len(wrong) // 2
    wrong[:half, 0], wrong[half:, 2] = ends[:half], ends[half:]
    return wrong
