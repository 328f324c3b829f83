"""Sparse encoders of entities by their neighbours: graph attention (GAT) and graph convolution (GCN).

Nothing here is N x N or edges x 2D: a score of an edge is a sum of two node scores, neighbours are added up row by row,
and the gradient of an edge's weight is a dot product that is taken a chunk of edges at a time.
Sources: Velickovic et al. 2018 (GAT), Kipf and Welling 2017 (GCN), Yang et al. 2015 for the diagonal transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.types import Graph

CHUNK = 2**19  # numbers of a gathered chunk of edges: what stays in a processor's cache
LARGE_CHUNK = 2**26  # elsewhere, where starting a kernel costs more


@dataclass(frozen=True, eq=False)
class Adjacency:
    """Who neighbours whom, both ways and with self-loops, sorted by receiver and, in `back`, by sender."""

    rows: Tensor  # (E,) int, receiving entity of each edge, ascending
    columns: Tensor  # (E,) int, sending entity
    starts: Tensor  # (N + 1,) int, first edge of each receiver
    back: Tensor  # (E,) int, the edges in order of their sender
    back_starts: Tensor  # (N + 1,) int, first place in `back` of each sender
    norm: Tensor  # (E,) float32, D^-1/2 (A + I) D^-1/2 with A counting how often a pair is linked

    @property
    def count(self) -> int:
        """N"""
        return len(self.starts) - 1

    def of(self, entities: Tensor, most: int) -> tuple[Tensor, Tensor]:
        """Edges of some entities, padded or cut to `most`. (B,) int -> edge numbers (B, most), which are real"""
        first = self.starts[entities]
        place = first[:, None] + torch.arange(most, device=first.device)
        real = place < self.starts[entities + 1][:, None]
        return place.clamp(max=len(self.rows) - 1), real


_MADE: WeakKeyDictionary[Graph, dict[int, Adjacency]] = WeakKeyDictionary()


def adjacency(graph: Graph, count: int) -> Adjacency:
    """The adjacency of N entities, made once a graph: both directions, self-loops, equal edges merged.

    Raises FusionError when an edge names an entity that isn't there.
    """
    made = _MADE.setdefault(graph, {})
    if count not in made:
        made[count] = _adjacency(graph.edges, count)
    return made[count]


_DIRECTED: WeakKeyDictionary[Graph, dict[int, Adjacency]] = WeakKeyDictionary()


def directed(graph: Graph, count: int) -> Adjacency:
    """Who is told by whom, made once a graph: each tail by its heads, no self-loops, equal edges kept; norm is 1.

    Raises FusionError when an edge names an entity that isn't there.
    """
    made = _DIRECTED.setdefault(graph, {})
    if count not in made:
        _check(graph.edges, count)
        sender, receiver = graph.edges
        order = torch.argsort(receiver, stable=True)
        rows, columns = receiver[order], sender[order]
        back = torch.argsort(columns, stable=True)
        made[count] = Adjacency(
            rows,
            columns,
            _starts(rows, count),
            back,
            _starts(columns, count),
            torch.ones(len(rows), device=rows.device),
        )
    return made[count]


def _check(edges: Tensor, count: int) -> None:
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < count:
        raise FusionError(
            f"The graph has edges between entities {int(edges.min())} to {int(edges.max())}, but only the numbers 0 to "
            f"{count - 1} exist; give the features of every entity."
        )


def _adjacency(edges: Tensor, count: int) -> Adjacency:
    """edges (2, E) int -> sorted. Source of the counts: released code of EVA and MCLEA, which weigh repeated pairs."""
    _check(edges, count)
    own = torch.arange(count, device=edges.device)
    apart = edges[:, edges[0] != edges[1]]
    receiver = torch.cat((apart[0], apart[1], own))
    sender = torch.cat((apart[1], apart[0], own))
    keys, times = torch.unique(receiver * count + sender, return_counts=True)
    rows, columns = keys // count, keys % count
    back = torch.argsort(columns, stable=True)
    times = times.float()
    degree = torch.zeros(count, device=edges.device).index_add(0, rows, times).rsqrt()  # >= 1 by the self-loop
    return Adjacency(
        rows, columns, _starts(rows, count), back, _starts(columns, count), times * degree[rows] * degree[columns]
    )


def _starts(sorted_or_not: Tensor, count: int) -> Tensor:
    return F.pad(torch.bincount(sorted_or_not, minlength=count).cumsum(0), (1, 0))


def _bag(values: Tensor, index: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """sum_e weights_e values[index_e] over each run of edges. (N, D), (E,), (N + 1,), (E,) -> (N, D)"""
    return F.embedding_bag(index, values, starts[:-1], mode="sum", per_sample_weights=weights)


class _NeighbourSum(torch.autograd.Function):
    """One tensor a head comes out: putting them into one would copy what nobody needs in one piece."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, near: Adjacency) -> tuple[Tensor, ...]:
        ctx.save_for_backward(weights, values)
        ctx.near = near
        return tuple(
            _bag(values[h if len(values) > 1 else 0], near.columns, near.starts, weights[:, h].contiguous())
            for h in range(weights.shape[1])
        )

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (weights, values), near = ctx.saved_tensors, ctx.near
        given = [one.contiguous() for one in upstream]  # H of (N, D)
        of_weights = _edge_products(given, values, near) if ctx.needs_input_grad[0] else None
        of_values = None
        if ctx.needs_input_grad[1]:
            senders, moved = near.rows[near.back], weights[near.back]
            parts = (_bag(one, senders, near.back_starts, moved[:, h].contiguous()) for h, one in enumerate(given))
            if len(values) > 1:
                of_values = torch.stack(tuple(parts))
            else:
                of_values = next(parts)
                for part in parts:
                    of_values += part
                of_values = of_values[None]
        return of_weights, of_values, None


def _edge_products(upstream: list[Tensor], values: Tensor, near: Adjacency) -> Tensor:
    """<upstream_i, values_j> of every edge, a chunk at a time. H of (N, D), (1 or H, N, D) -> (E, H)"""
    found = values.new_empty(len(near.rows), len(upstream))
    step = max(1, (CHUNK if values.device.type == "cpu" else LARGE_CHUNK) // values.shape[-1])
    for start in range(0, len(near.rows), step):
        rows, columns = near.rows[start : start + step], near.columns[start : start + step]
        sent = values[0].index_select(0, columns) if len(values) == 1 else None
        for h, one in enumerate(upstream):
            other = sent if sent is not None else values[h].index_select(0, columns)
            found[start : start + step, h] = one.index_select(0, rows).mul_(other).sum(1)
    return found


def neighbour_sum(weights: Tensor, values: Tensor, near: Adjacency) -> tuple[Tensor, ...]:
    """What each entity receives: sum_j weights_ij values_j. (E, H), (H, N, D) or (1, N, D) for all -> H of (N, D)"""
    return _NeighbourSum.apply(weights, values, near)  # type: ignore[no-any-return]  # apply is untyped


def edge_softmax(scores: Tensor, near: Adjacency) -> Tensor:
    """Softmax over the edges that end at one entity; the row's largest score is taken off first. (E, H) -> (E, H)"""
    index = near.rows[:, None].expand_as(scores)
    top = scores.new_full((near.count, scores.shape[1]), -torch.inf)
    top = top.scatter_reduce(0, index, scores.detach(), "amax")
    risen = (scores - top[near.rows]).exp()
    total = torch.zeros_like(top).index_add(0, near.rows, risen)
    return risen / total[near.rows]


class GraphAttention(nn.Module):
    """One layer: e_ij = softmax_j(-LeakyReLU_0.2(a^T [g_i; g_j])), x'_i = sum_j e_ij g_j, for each head.

    g = x * w (diagonal, w init 1) or x W (full). a is kept as two halves of one vector: the receiver's, then the
    sender's. Source: MCLEA eq. (1), with its minus sign, as in the released code of EVA.
    """

    SLOPE = 0.2  # of the LeakyReLU

    def __init__(self, width: int, out: int, heads: int, transform: str, dropout: float) -> None:
        super().__init__()
        if transform == "diagonal":
            assert width == out, f"a diagonal transform keeps the width: {width} to {out}"
            self.scale = nn.Parameter(torch.ones(heads, 1, out))
        else:
            self.scale = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, width, out)))
        self.score = nn.Parameter(torch.empty(heads, 2 * out, 1).uniform_(-((2 * out) ** -0.5), (2 * out) ** -0.5))
        self.diagonal = transform == "diagonal"
        self.dropout = nn.Dropout(dropout)  # of edges, after their softmax

    def forward(self, x: Tensor, near: Adjacency) -> tuple[tuple[Tensor, ...], Tensor]:
        """x (N, D) -> what each head received, H of (N, D'), node scores (2, N, H) of receiver and sender

        After a diagonal transform the weights of the heads are still to be multiplied in: `mean` and `beside` do.
        """
        halves = self.score.squeeze(-1).unflatten(1, (2, -1)).transpose(0, 1)  # (2, H, D')
        if self.diagonal:  # the weight of a head is taken out of the sum: all heads add up the same x
            scores = torch.einsum("nd,shd->snh", x, halves * self.scale.squeeze(1))
            return neighbour_sum(self.dropout(self.weights(scores, near)), x[None], near), scores
        values = torch.einsum("nd,hde->hne", x, self.scale)
        scores = torch.einsum("hne,she->snh", values, halves)
        return neighbour_sum(self.dropout(self.weights(scores, near)), values, near), scores

    def beside(self, received: Sequence[Tensor]) -> Tensor:
        """The heads side by side. H of (N, D') -> (N, H, D')"""
        heads = torch.stack(tuple(received), 1)
        return heads * self.scale.squeeze(1) if self.diagonal else heads

    def mean(self, received: Sequence[Tensor]) -> Tensor:
        """The mean of the heads. H of (N, D') -> (N, D')"""
        if not self.diagonal:
            return torch.stack(tuple(received)).mean(0)
        share = self.scale / len(received)  # (H, 1, D')
        total = received[0] * share[0]
        for one, weight in zip(received[1:], share[1:], strict=True):
            total = torch.addcmul(total, one, weight)
        return total

    @staticmethod
    def weights(scores: Tensor, near: Adjacency) -> Tensor:
        """Attention over the edges of each entity. node scores (2, N, H) -> (E, H), sums to one over a receiver"""
        raised = scores[0].index_select(0, near.rows) + scores[1].index_select(0, near.columns)
        return edge_softmax(-F.leaky_relu(raised, GraphAttention.SLOPE), near)


class GAT(nn.Module):
    """Layers of graph attention with ELU between them.

    Heads are averaged after a diagonal transform; after a full one they are set side by side, averaged in the end.
    """

    def __init__(
        self, widths: Sequence[int], heads: Sequence[int], transform: Literal["diagonal", "full"], dropout: float,
        attention_dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        side_by_side = transform == "full"
        self.layers = nn.ModuleList(
            GraphAttention(
                widths[i] * (heads[i - 1] if side_by_side and i else 1), widths[i + 1], heads[i], transform,
                attention_dropout,
            )
            for i in range(len(heads))
        )  # fmt: skip
        self.side_by_side = side_by_side
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, near: Adjacency) -> tuple[Tensor, list[Tensor]]:
        """x (N, D) -> (N, D'), node scores (2, N, H) of each layer"""
        scores = []
        for number, layer in enumerate(self.layers):
            assert isinstance(layer, GraphAttention)
            last = number == len(self.layers) - 1
            received, score = layer(x if last else self.dropout(x), near)
            scores.append(score)
            joined = layer.mean(received) if last or not self.side_by_side else layer.beside(received).flatten(1)
            x = joined if last else F.elu(joined)
        return x, scores


class GCN(nn.Module):
    """Two layers of graph convolution: A drop(ReLU(A X W_1 + b_1)) W_2 + b_2 with A normalised symmetrically."""

    def __init__(self, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        assert len(widths) == 3, f"a GCN has two layers, three widths: {widths}"
        first, middle, last = widths
        self.weight_1, self.bias_1 = nn.Parameter(_uniform(first, middle)), nn.Parameter(_uniform(middle))
        self.weight_2, self.bias_2 = nn.Parameter(_uniform(middle, last)), nn.Parameter(_uniform(last))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, near: Adjacency) -> tuple[Tensor, list[Tensor]]:
        """x (N, D) -> (N, D'), no node scores"""
        spread = lambda values: neighbour_sum(near.norm[:, None].to(values.dtype), values[None], near)[0]  # noqa: E731
        hidden = self.dropout(F.relu(spread(x @ self.weight_1) + self.bias_1))
        return spread(hidden @ self.weight_2) + self.bias_2, []


def _uniform(*shape: int) -> Tensor:
    """Uniform in +-1/sqrt(last width)."""
    bound = shape[-1] ** -0.5
    return torch.empty(*shape).uniform_(-bound, bound)
