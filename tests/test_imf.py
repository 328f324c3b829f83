"""IMF keeps its identities: exact savings, sums, symmetries, ties; and learns first from the modality that tells."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.blocks.bilinear import BilinearPooling, RelationContext, kept_mask, map_masks
from fusion.blocks.one_to_all import one_to_all
from fusion.losses import agreement
from fusion.metrics.ranking import filtered_ranks
from fusion.models.imf import BRANCHES, IMF, MODALITIES, Config
from fusion.models.imf_structure import StructureConfig, StructureEncoder, corrupted
from fusion.types import Batch, FusionError, Graph

N, R, D, B = 60, 7, 16, 8
STILL = {"fusion_dropout": 0.0, "dropout": 0.0, "map_dropout": 0.0, "output_dropout": 0.0}


def made(**switches: Any) -> IMF:
    torch.manual_seed(2)
    return IMF(Config(**({"entities": N, "relations": R, "width": D, "image_width": 9, "text_width": 20} | switches)))


def asked(size: int = B) -> Batch:
    torch.manual_seed(4)
    query = torch.stack((torch.randint(N, (size,)), torch.randint(2 * R, (size,)), torch.randint(N, (size,))), 1)
    return Batch(
        features={"image": torch.randn(N, 9), "text": torch.randn(N, 20)}, pooled={}, mask={}, kept={},
        present=torch.ones(N, 3, dtype=torch.bool), modalities=MODALITIES, ids=tuple(map(str, range(size))),
        query=query, target=torch.stack((torch.arange(size), query[:, 2]), 1),
    )  # fmt: skip


def test_relation_maps_made_once_equal_one_einsum() -> None:
    context, index = RelationContext(D, 0.0, 0.0).double().eval(), torch.tensor([2, 0, 1, 0, 2, 2])
    x, r = torch.randn(6, D).double(), torch.randn(3, D).double()
    plain = torch.einsum("bc,cij,bi->bj", r[index], context.core, x / math.sqrt(1 + 1e-5)) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(context(x, r, index), plain)
    masks = map_masks(6, D, 0.4, x.device)
    assert masks is not None
    order = torch.argsort(index, stable=True)  # masks are drawn for the rows in the order of their maps
    thin = torch.empty_like(masks)
    thin[order] = masks
    maps = context.maps(r)[index] * thin.double()
    plain = torch.einsum("bij,bi->bj", maps, x / math.sqrt(1 + 1e-5)) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(context(x, r, index, masks.double()), plain)


@pytest.mark.parametrize("thinned", [False, True])
def test_gradients_through_shared_maps_are_those_of_autograd(thinned: bool) -> None:
    context, index = RelationContext(5, 0.0, 0.0).double().train(), torch.tensor([0, 1, 0, 0, 0, 0, 0])
    masks = map_masks(7, 5, 0.4, torch.device("cpu")) if thinned else None
    x, r = (torch.randn(size, 5).double().requires_grad_() for size in (7, 2))
    masks = None if masks is None else masks.double()
    assert torch.autograd.gradcheck(lambda x, r: context(x, r, index, masks), (x, r))


def test_dropout_keeps_the_share_that_it_should() -> None:
    torch.manual_seed(0)
    assert float(kept_mask((1000, 401), 0.4, torch.device("cpu")).float().mean()) == pytest.approx(0.6, abs=0.003)
    assert kept_mask((3, 5), 0.0, torch.device("cpu")).all()


def plain_loss(contexts: list[Tensor], tables: list[Tensor], true: Tensor, base: float, weights: Tensor) -> Tensor:
    size, count = len(contexts[0]), len(tables[0])
    target = torch.full((size, count), base, dtype=contexts[0].dtype)
    target[true[:, 0], true[:, 1]] += 0.9
    logits = [c @ e.T + i / 3 for i, (c, e) in enumerate(zip(contexts, tables, strict=True))]
    losses = [F.binary_cross_entropy_with_logits(one, target) for one in logits]
    chance = sum(w * one.sigmoid() for w, one in zip(weights, logits, strict=True))
    assert isinstance(chance, Tensor)
    return torch.stack([*losses, F.binary_cross_entropy(chance, target)])


def test_the_loss_in_chunks_is_the_plain_one_with_the_plain_gradients() -> None:
    torch.manual_seed(1)
    contexts = [torch.randn(70, 4).double().requires_grad_() for _ in range(3)]  # more rows than a chunk has
    tables = [torch.randn(13, 4).double().requires_grad_() for _ in range(3)]
    weights = torch.tensor([0.2, 0.5, 0.3]).double().requires_grad_()
    offsets = (torch.arange(3).double() / 3).requires_grad_()
    true = (torch.rand(70, 13) < 0.2).nonzero()[torch.randperm(int((torch.rand(1)).item()) + 150)]
    terms = one_to_all(contexts, tables, true, gain=0.9, base=0.05, weights=weights, offsets=offsets)
    plain = plain_loss(contexts, tables, true, 0.05, weights)
    torch.testing.assert_close(terms, plain)
    scale = torch.tensor([1.0, 2.0, 3.0, 0.5]).double()
    inputs = [*contexts, *tables]
    for own, other in zip(
        torch.autograd.grad((terms * scale).sum(), inputs), torch.autograd.grad((plain * scale).sum(), inputs),
        strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(own, other)
    logits = torch.zeros(3).double().requires_grad_()  # of a softmax: its gradient is the same, whatever is added to g

    def of_logits(name: Any) -> Tensor:
        shares = logits.softmax(0)
        made_ = one_to_all(contexts, tables, true, gain=0.9, base=0.05, weights=shares, offsets=offsets)
        total = made_[-1] if name else plain_loss(contexts, tables, true, 0.05, shares)[-1]
        return torch.autograd.grad(total, logits)[0]

    torch.testing.assert_close(of_logits(True), of_logits(False))
    moved = one_to_all(contexts, tables, true, gain=0.9, base=0.05, weights=weights, offsets=offsets).sum()
    slope = torch.autograd.grad(moved, offsets)[0]
    step = torch.zeros(3).double()
    step[1] = 1e-6
    ahead, behind = (
        one_to_all(contexts, tables, true, gain=0.9, base=0.05, weights=weights, offsets=offsets + way * step).sum()
        for way in (1, -1)
    )
    assert float(slope[1]) == pytest.approx(float((ahead - behind).detach()) / 2e-6, rel=1e-5)


def test_the_decision_starts_as_the_mean_and_its_shares_add_up() -> None:
    model, batch = made().eval(), asked()
    assert batch.query is not None
    with torch.no_grad():
        logits = model.scores(batch, batch.query)
        torch.testing.assert_close(model.decide(logits), logits.sigmoid().mean(1), atol=1e-7, rtol=1e-6)
        model.decision.copy_(torch.randn(4))  # type: ignore[union-attr]  # learned by default
        assert float(model.weights().sum()) == pytest.approx(1, abs=1e-6)
        output = model(batch)
        shares = next(signal for signal in output.trace if signal.name == "decision_share").value
        torch.testing.assert_close(shares.sum(1), output.extras["chance"], atol=1e-6, rtol=1e-5)
        row = torch.arange(B)
        own = model.decide(logits)[row, batch.query[:, 2]]
        torch.testing.assert_close(output.extras["chance"], own, atol=1e-7, rtol=1e-6)


def test_tables_made_before_give_the_same_scores() -> None:
    model, batch = made(inputs="principal").eval(), asked()
    model.begin(batch)
    assert batch.query is not None
    ready = replace(batch, pooled=model.tables(batch))
    torch.testing.assert_close(model.scores(ready, batch.query), model.scores(batch, batch.query))
    head, known = batch.query[:, 0], model.tables(batch)
    torch.testing.assert_close(model(batch, trace=False).fused, known["fused"][head])


def test_the_product_ignores_the_order_of_its_terms_and_a_scale_moved_between_modalities() -> None:
    torch.manual_seed(0)
    pooling, rows = BilinearPooling(3, D, 2, 0.0), [torch.randn(9, D) for _ in range(3)]
    before = pooling(rows)
    assert before.max() > 0
    factors = pooling.factors(rows)
    assert factors.shape == (9, 2, 3, D)
    torch.testing.assert_close(torch.relu(factors.prod(2).sum(1)), before)
    with torch.no_grad():
        for term in (0, 1):
            first, second = pooling.maps[0][term], pooling.maps[1][term]  # type: ignore[index]  # lists of lists
            for one, factor in ((first, 4.0), (second, 0.25)):
                one.weight *= factor
                one.bias *= factor
    torch.testing.assert_close(pooling(rows), before)
    for maps in pooling.maps:
        maps[0], maps[1] = maps[1], maps[0]  # type: ignore[index,operator]
    torch.testing.assert_close(pooling(rows), before)
    with torch.no_grad():
        for linear in pooling.maps[1]:  # type: ignore[union-attr]
            linear.bias.zero_()
    assert not pooling([rows[0], torch.zeros(9, D), rows[2]]).any()


def test_inverse_relations_turn_the_question_round() -> None:
    model, batch = made().eval(), asked(1)
    with torch.no_grad():  # head prediction of (h, r, t) is tail prediction of (t, r + R, ?): one row of relations each
        forth, back = (model.scores(batch, torch.tensor([[3, r]])) for r in (2, 2 + R))
        assert not torch.allclose(forth, back)
        for rows in model.relations.values():
            rows[2 + R] = rows[2]
        torch.testing.assert_close(*(model.scores(batch, torch.tensor([[3, r]])) for r in (2, 2 + R)))


def test_agreement_is_ln_2_where_nothing_tells_and_less_where_rows_agree() -> None:
    same = torch.ones(5, D)
    assert float(agreement([same, same, same])) == pytest.approx(math.log(2))
    rows = torch.eye(5, D)
    assert float(agreement([rows, rows, rows])) == pytest.approx(math.log1p(math.exp(-1)))
    torch.manual_seed(0)
    assert float(agreement([torch.randn(50, D) for _ in range(3)], "whole")) == pytest.approx(math.log(2), abs=2e-3)


def test_frozen_features_stay_and_trained_ones_move() -> None:
    for frozen in (True, False):
        switches = {} if frozen else vars(Config.released()) | {"entities": N, "relations": R, "width": D}
        model, batch = made(**switches).train(), asked()
        if not frozen:
            batch = replace(batch, features={"image": torch.randn(N, 4096), "text": torch.randn(N, 768)})
        model.begin(batch)
        before = {m: value.clone() for m, value in model.inputs(batch).items()}
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(3):
            loss = torch.stack(list(model.loss(model(batch), batch).values())).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        after = model.inputs(batch)
        assert not torch.equal(before["structure"], after["structure"])
        for m in ("image", "text"):
            assert torch.equal(before[m], after[m]) == frozen


def test_what_is_missing_is_read_as_the_mean_of_the_others() -> None:
    model, batch = made().eval(), asked()
    present = batch.present.clone()
    present[5, 1] = False
    lacking = replace(batch, present=present)
    told = batch.features["image"].clone()
    told[5] = told[present[:, 1]].mean(0)
    filled = replace(batch, features={**batch.features, "image": told})
    assert batch.query is not None
    torch.testing.assert_close(model.scores(lacking, batch.query), model.scores(filled, batch.query))
    nobody = batch.without("image")
    assert model.read(nobody).tolist() == [True, False, True, True]
    weights = model.weights(model.read(nobody)).detach()
    assert weights[1] == 0
    assert float(weights.sum()) == pytest.approx(1)


def test_a_query_beyond_the_graph_is_refused() -> None:
    model, batch = made().eval(), asked()
    for query, what in (([[N, 0]], "entity 60"), ([[0, 2 * R]], "relation 14"), ([[0, 0, N]], "entity 60")):
        with pytest.raises(FusionError, match=what):
            model.scores(batch, torch.tensor(query))
    with pytest.raises(FusionError, match="head and a relation"):
        model(replace(batch, query=None))
    with pytest.raises(FusionError, match="this checkpoint reads"):
        model(replace(batch, features={"image": torch.randn(N, 3), "text": torch.randn(N, 20)}))
    with pytest.raises(FusionError, match="joint loss"):
        Config(joint_loss=False)


def test_some_questions_keep_their_own_answers() -> None:
    batch = replace(asked(3), target=torch.tensor([[0, 5], [0, 6], [1, 7], [2, 8]]))
    some = batch.rows([2, 0])
    assert some.query is not None
    assert some.target is not None
    assert batch.query is not None
    assert some.query.tolist() == batch.query[[2, 0]].tolist()
    assert some.target.tolist() == [[0, 8], [1, 5], [1, 6]]
    assert batch.rows([1, 1]).target.tolist() == [[0, 7], [1, 7]]  # type: ignore[union-attr]  # as above


def planted(informative: str, model: IMF, steps: int) -> tuple[dict[str, float], Tensor]:
    """Train on a graph whose tails follow from one modality of the head; mean reciprocal rank by branch, weights."""
    batch = asked(24)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps + 1):
        order = torch.randperm(N)
        heads, tails = order[:24], order[24:48]
        rows = F.normalize(torch.randn(N, batch.features[informative].shape[1]), dim=1)
        rows[tails] = -rows[heads]  # the tail looks like the opposite of the head, anew in every step
        query = torch.stack((heads, torch.randint(2 * R, (24,)), tails), 1)
        batch = replace(
            batch, features={**batch.features, informative: rows}, query=query,
            target=torch.stack((torch.arange(24), tails), 1),
        )  # fmt: skip
        if step == steps:
            break
        loss = torch.stack(list(model.loss(model.train()(batch), batch).values())).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        logits = model.eval().scores(batch, query)
        none = torch.zeros(0, dtype=torch.long)
        ranks = [filtered_ranks(logits[:, i], tails, none, none) for i in range(4)]
    return {k: float((1 / rank).mean()) for k, rank in zip(BRANCHES, ranks, strict=True)}, model.weights().detach()


@pytest.mark.parametrize("informative", ["image", "text"])
def test_the_modality_that_tells_ranks_first_and_gets_the_largest_weight(informative: str) -> None:
    model = made(**STILL, offsets=True, contrastive=False)
    reciprocal, weights = planted(informative, model, 80)
    best = max(reciprocal, key=lambda k: reciprocal[k])
    assert best == informative, reciprocal
    assert reciprocal[best] > 0.7
    assert reciprocal["structure"] < 0.3
    assert weights[BRANCHES.index(informative)] > 0.3
    assert int(weights.argmax()) == BRANCHES.index(informative)


def test_equal_scores_give_the_expected_rank() -> None:
    none = torch.zeros(0, dtype=torch.long)
    assert filtered_ranks(torch.ones(2, 9), torch.tensor([0, 8]), none, none).tolist() == [5, 5]


def test_ranks_are_those_of_a_sort_without_the_other_answers() -> None:
    torch.manual_seed(0)
    scores = torch.randint(0, 6, (40, 30)).float()  # many ties
    truth, known = torch.randint(30, (40,)), torch.rand(40, 30) < 0.3
    rows, tails = known.nonzero().unbind(1)
    found = filtered_ranks(scores, truth, rows, tails)
    for row in range(40):
        others = [j for j in range(30) if j != truth[row] and not known[row, j]]
        own = float(scores[row, truth[row]])
        better = sum(float(scores[row, j]) > own for j in others)
        equal = sum(float(scores[row, j]) == own for j in others)
        assert float(found[row]) == 1 + better + equal / 2


def structure(**switches: Any) -> tuple[StructureEncoder, Graph, Tensor]:
    torch.manual_seed(6)
    triples = torch.stack((torch.randint(20, (50,)), torch.randint(3, (50,)), torch.randint(18, (50,))), 1)
    encoder = StructureEncoder(StructureConfig(**({"entities": 20, "relations": 3, "width": 4} | switches)))
    return encoder, Graph(triples[:, [0, 2]].T, triples[:, 1]), triples


@pytest.mark.parametrize(("heads", "slope"), [(1, 0.2), (3, 0.01), (4, 0.5)])
def test_the_graph_encoder_is_the_plain_sum_over_heads_of_triples(heads: int, slope: float) -> None:
    encoder, graph, triples = structure(heads=heads, slope=slope)
    entities, relations = encoder.double().eval()(graph)
    assert entities.shape == (20, 4 * heads)
    assert relations.shape == (3, 4 * heads)

    def layer(x: Tensor, head: Any) -> Tensor:
        out = torch.zeros(20, len(head.map)).double()
        for i in set(triples[:, 2].tolist()):
            messages = torch.stack([head.map @ torch.cat((x[i], x[j])) for j in triples[triples[:, 2] == i, 0]])
            weights = torch.exp(-F.leaky_relu(messages @ head.score[0], slope))
            out[i] = (weights[:, None] * messages).sum(0) / weights.sum()
        return out

    x = encoder.entities
    beside = torch.cat([F.elu(layer(x, head)) for head in encoder.heads], 1)
    plain = F.normalize(x @ encoder.own + F.elu(layer(beside, encoder.output)), dim=1)
    torch.testing.assert_close(entities, plain)
    torch.testing.assert_close(x.norm(dim=1), torch.ones(20).double())


def test_the_margin_loss_falls_and_wrong_triples_differ_in_one_end() -> None:
    encoder, graph, triples = structure(dropout=0.0, negatives=4)
    wrong = corrupted(triples, 20, 4, torch.Generator().manual_seed(0))
    apart = wrong != triples.repeat(4, 1)
    assert wrong.shape == (200, 3)
    assert not apart[:, 1].any()
    assert not apart[:100, 2].any()
    assert not apart[100:, 0].any()
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = encoder.loss(encoder(graph), triples, wrong)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_one_query_alone_can_be_asked_but_not_trained_on() -> None:
    model, batch = made(), asked(1)
    assert model.eval()(batch).prediction.shape == (1, 10)
    with pytest.raises(ValueError, match="more than 1 value"):
        model.train()(batch)
