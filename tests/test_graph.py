"""Sparse graph encoders give what dense ones give, forwards and backwards, and never overflow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.blocks import graph as blocks
from fusion.blocks.graph import GAT, GCN, GraphAttention, adjacency, edge_softmax, neighbour_sum
from fusion.types import FusionError, Graph

COUNT = 13


def made(count: int = COUNT, edges: int = 30) -> Graph:
    """Random triples with a repeated pair, a reversed one, a self-loop, and a last entity that nobody knows."""
    torch.manual_seed(2)
    some = torch.randint(0, count - 1, (2, edges))
    some = torch.cat((some, some[:, :2], some[:, 2:3].flip(0), torch.tensor([[4], [4]])), 1)
    return Graph(some, torch.zeros_like(some[0]))


def pattern(graph: Graph, count: int) -> Tensor:
    """Which pairs are linked, both ways and with oneself, as a dense table."""
    dense = torch.eye(count, dtype=torch.bool)
    dense[graph.edges[0], graph.edges[1]] = True
    dense[graph.edges[1], graph.edges[0]] = True
    return dense


def dense_gat(model: GAT, x: Tensor, linked: Tensor) -> Tensor:
    """The published equations over all pairs of entities."""
    for number, layer in enumerate(model.layers):
        heads = []
        for h in range(len(layer.score)):
            g = x * layer.scale[h] if layer.diagonal else x @ layer.scale[h]
            pairs = torch.cat((g[:, None].expand(-1, len(g), -1), g[None].expand(len(g), -1, -1)), -1)
            e = torch.exp(-F.leaky_relu((pairs @ layer.score[h]).squeeze(-1), 0.2)) * linked
            heads.append(e @ g / e.sum(1, keepdim=True))
        last = number == len(model.layers) - 1
        x = torch.stack(heads).mean(0) if last or not model.side_by_side else torch.cat(heads, 1)
        x = x if last else F.elu(x)
    return x


@pytest.mark.parametrize(
    ("widths", "heads", "transform"),
    [
        ((6, 6, 6), (2, 2), "diagonal"),
        ((6, 6, 6, 6), (3, 1, 2), "diagonal"),
        ((6, 5, 4), (2, 3), "full"),
        ((6, 4), (1,), "full"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_attention_and_its_gradients_are_those_of_the_dense_form(widths, heads, transform, dtype) -> None:
    torch.manual_seed(4)
    model = GAT(widths, heads, transform, 0.0, 0.0).to(dtype)
    for layer in model.layers:
        layer.scale.data += 0.3 * torch.randn_like(layer.scale)
        layer.score.data *= 3
    x = torch.randn(COUNT, widths[0], dtype=dtype, requires_grad=True)
    graph = made()
    inputs = (x, *model.parameters())
    sparse, _ = model(x, adjacency(graph, COUNT))
    dense = dense_gat(model, x, pattern(graph, COUNT))
    probe = torch.randn_like(dense)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(sparse, dense, rtol=tolerance, atol=tolerance)
    for own, other in zip(
        torch.autograd.grad((sparse * probe).sum(), inputs), torch.autograd.grad((dense * probe).sum(), inputs),
        strict=True,
    ):  # fmt: skip
        assert float((own - other).norm() / other.norm()) < tolerance


def test_gradients_are_right_to_the_last_digit(monkeypatch) -> None:
    monkeypatch.setattr(blocks, "CHUNK", 20)  # several chunks, the last one shorter
    near = adjacency(made(), COUNT)
    scores = torch.randn(len(near.rows), 2, dtype=torch.float64, requires_grad=True)
    shared = torch.randn(1, COUNT, 3, dtype=torch.float64, requires_grad=True)
    own = torch.randn(2, COUNT, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: edge_softmax(s, near), (scores,))
    for values in (shared, own):
        assert torch.autograd.gradcheck(lambda s, v: torch.stack(neighbour_sum(s, v, near)), (scores, values))


def test_weights_of_the_neighbours_sum_to_one_and_an_entity_alone_keeps_itself() -> None:
    layer = GraphAttention(5, 5, 3, "diagonal", 0.0)
    layer.scale.data += torch.randn_like(layer.scale)
    x, near = torch.randn(COUNT, 5), adjacency(made(), COUNT)
    received, scores = layer(x, near)
    total = torch.zeros(COUNT, 3).index_add(0, near.rows, layer.weights(scores, near))
    torch.testing.assert_close(total, torch.ones_like(total))
    alone = layer.mean(received)[COUNT - 1]  # nobody knows the last one
    torch.testing.assert_close(alone, (x[COUNT - 1] * layer.scale.squeeze(1)).mean(0))


def test_scores_of_any_size_don_t_overflow() -> None:
    near = adjacency(made(), COUNT)
    for size in (1e3, 1e30):
        weights = edge_softmax(size * torch.randn(len(near.rows), 2), near)
        assert torch.isfinite(weights).all()
        total = torch.zeros(COUNT, 2).index_add(0, near.rows, weights)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_a_two_entity_graph_by_hand() -> None:
    """x = (1), (2); w = 1, a = (0, ln 2 per unit of the sender): e_ij = exp(-x_j ln 2) = 2^-x_j."""
    layer = GraphAttention(1, 1, 1, "diagonal", 0.0)
    layer.score.data = torch.tensor([[[0.0], [torch.log(torch.tensor(2.0))]]])
    received, _ = layer(torch.tensor([[1.0], [2.0]]), adjacency(Graph(torch.tensor([[0], [1]]), torch.zeros(1)), 2))
    expected = (0.5 * 1 + 0.25 * 2) / 0.75  # the same for both: each sees both
    torch.testing.assert_close(layer.mean(received), torch.full((2, 1), expected))


def test_renaming_entities_renames_the_answer() -> None:
    torch.manual_seed(1)
    model, x, graph = GAT((4, 4, 4), (2, 1), "diagonal", 0.0, 0.0), torch.randn(COUNT, 4), made()
    moved = torch.randperm(COUNT)
    plain, _ = model(x, adjacency(graph, COUNT))
    turned = torch.empty_like(x)
    turned[moved] = x
    renamed, _ = model(turned, adjacency(Graph(moved[graph.edges], graph.relations), COUNT))
    torch.testing.assert_close(renamed[moved], plain)


def test_convolution_is_that_of_the_dense_normalised_table() -> None:
    torch.manual_seed(5)
    graph, model, x = made(), GCN((6, 5, 4), 0.0).double(), torch.randn(COUNT, 6, dtype=torch.float64)
    counted = torch.eye(COUNT, dtype=torch.float64)
    for head, tail in graph.edges.T.tolist():
        if head != tail:
            counted[head, tail] += 1
            counted[tail, head] += 1
    degree = counted.sum(1).rsqrt()
    table = degree[:, None] * counted * degree
    near = adjacency(graph, COUNT)
    own = torch.zeros_like(table)
    own[near.rows, near.columns] = near.norm.double()
    torch.testing.assert_close(own, table, atol=1e-6, rtol=1e-6)
    dense = table @ F.relu(table @ (x @ model.weight_1) + model.bias_1) @ model.weight_2 + model.bias_2
    sparse, _ = model(x, near)
    torch.testing.assert_close(sparse, dense, atol=1e-6, rtol=1e-6)
    probe = torch.randn_like(dense)
    inputs = tuple(model.parameters())
    for one, other in zip(
        torch.autograd.grad((sparse * probe).sum(), inputs), torch.autograd.grad((dense * probe).sum(), inputs),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_an_adjacency_is_made_once_and_refuses_unknown_entities() -> None:
    graph = made()
    assert adjacency(graph, COUNT) is adjacency(graph, COUNT)
    assert adjacency(graph, COUNT + 1) is not adjacency(graph, COUNT)
    with pytest.raises(FusionError, match="entities 0 to 1"):
        adjacency(Graph(torch.tensor([[0], [COUNT]]), torch.zeros(1)), COUNT)
    empty = adjacency(Graph(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0)), 3)
    assert empty.rows.tolist() == empty.columns.tolist() == [0, 1, 2]


def test_no_table_of_all_pairs_is_ever_made() -> None:
    """40,000 entities: a table of all pairs would take 6 GB, of edges by width twice that of all edges."""
    count, width = 40_000, 4
    edges = torch.randint(0, count, (2, 60_000))
    model = GAT((width, width), (2,), "diagonal", 0.0, 0.0)
    x = torch.randn(count, width, requires_grad=True)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            for one in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(one, Tensor):
                    largest = max(largest, one.numel())
            return result

    near = adjacency(Graph(edges, torch.zeros_like(edges[0])), count)
    with Watch():
        model(x, near)[0].sum().backward()
    assert largest <= max(len(near.rows) * width, count * width * 2)
