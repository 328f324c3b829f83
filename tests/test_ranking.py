"""Ranks of aligned entities: those of a full sort, whatever the block, with ties against the model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.metrics.ranking import Ranking, mutual, rank_pairs, similarities, top_candidates
from fusion.types import FusionError


def pairs(count: int = 41, width: int = 6, noise: float = 0.9) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    left = torch.randn(count, width)
    return left, left + noise * torch.randn(count, width)


def sorted_ranks(scores: Tensor) -> Tensor:
    order = scores.argsort(1, descending=True)
    return 1 + (order == torch.arange(len(scores))[:, None]).long().argmax(1)


def reference(left: Tensor, right: Tensor, measure: str, csls: int) -> Tensor:
    """Every score by its definition, in float64."""
    x, y = (F.normalize(side.double(), dim=1) for side in (left, right))
    gap = x[:, None] - y[None]
    if measure == "cosine":
        scores = x @ y.T
    else:
        scores = 1 - (gap.abs().sum(-1) if measure == "cityblock" else gap.square().sum(-1))
    if csls:
        by_row, by_column = scores.topk(csls, 1).values.mean(1), scores.topk(csls, 0).values.mean(0)
        scores = 2 * scores - by_row[:, None] - by_column
    return scores


@pytest.mark.parametrize("measure", ["squared", "cosine", "cityblock"])
@pytest.mark.parametrize("csls", [0, 3])
def test_ranks_are_those_of_a_full_sort_whatever_the_block(measure: str, csls: int) -> None:
    left, right = pairs()
    scores = reference(left, right, measure, csls)
    torch.testing.assert_close(
        similarities(left, right, measure, csls=csls).double(), scores, atol=1e-5, rtol=1e-5
    )  # fmt: skip
    for block, keep in ((7, 0), (7, 10**9), (41, 0), (500, 2000)):
        forth, back = rank_pairs(left, right, measure=measure, csls=csls, block=block, keep=keep)
        assert torch.equal(forth.ranks, sorted_ranks(scores))
        assert torch.equal(back.ranks, sorted_ranks(scores.T))
        assert (forth.ties, back.ties, forth.candidates) == (0, 0, 41)
    assert int(forth.ranks.max()) > 3, "a problem without a wrong answer shows nothing"


def test_equal_scores_count_against_the_model_and_are_counted() -> None:
    left = torch.eye(3)
    right = torch.stack((left[0], left[0], left[2]))  # the second is a copy of the first
    forth, back = rank_pairs(left, right, csls=0)
    assert forth.ranks.tolist() == [2, 3, 1]  # two at the first's place; all three are as far from the second
    assert back.ranks.tolist() == [1, 3, 1]
    assert forth.ties == 2
    all_same = torch.ones(5, 4)
    for csls in (0, 3):
        forth, back = rank_pairs(all_same, all_same, csls=csls)
        assert forth.ranks.tolist() == back.ranks.tolist() == [5] * 5
        assert forth.ties == back.ties == 5
    nothing, _ = rank_pairs(torch.zeros(4, 3), torch.zeros(4, 3))
    assert nothing.ranks.tolist() == [4] * 4


def test_figures_by_hand() -> None:
    ranking = Ranking(torch.tensor([1, 2, 4, 10]), 0, 12)
    assert (ranking.hits(1), ranking.hits(2), ranking.hits(10)) == (0.25, 0.5, 1.0)
    assert ranking.mrr == pytest.approx((1 + 0.5 + 0.25 + 0.1) / 4)
    assert ranking.mean == pytest.approx(17 / 4)


def test_csls_by_hand() -> None:
    """Cosines [[1, 0], [0.6, 0.8]], k = 1: rows' best 1 and 0.8, columns' best 1 and 0.8."""
    left, right = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.eye(2)
    expected = torch.tensor([[2 - 1 - 1, 0 - 1 - 0.8], [1.2 - 0.8 - 1, 1.6 - 0.8 - 0.8]])
    torch.testing.assert_close(similarities(left, right, "cosine", csls=1), expected)


@pytest.mark.parametrize("csls", [0, 3])
def test_the_best_candidates_and_mutual_ones_are_those_of_the_whole_table(csls: int) -> None:
    left, right = pairs(noise=1.5)
    right = torch.cat((right, torch.randn(9, 6)))  # sides of different size
    scores = reference(left, right, "squared", csls)
    index, value = top_candidates(left, right, 4, csls=csls, block=7)
    best = scores.topk(4, 1)
    assert torch.equal(index, best.indices)
    torch.testing.assert_close(value.double(), best.values, atol=1e-5, rtol=1e-5)
    forth, back = scores.argmax(1), scores.argmax(0)
    expected = [[i, int(forth[i])] for i in range(41) if int(back[forth[i]]) == i]
    for block in (7, 100):
        assert mutual(left, right, csls=csls, block=block).tolist() == expected
    assert 0 < len(expected) < 41


def test_bad_vectors_are_refused_in_words() -> None:
    left, right = pairs()
    with pytest.raises(FusionError, match="no pairs"):
        rank_pairs(left, right[:5])
    with pytest.raises(FusionError, match="one width"):
        top_candidates(left, right[:, :3], 2)
    with pytest.raises(FusionError, match="NaN"):
        rank_pairs(left, right.masked_fill(torch.eye(41, 6).bool(), torch.nan))
    with pytest.raises(FusionError, match="no measure"):
        rank_pairs(left, right, measure="manhattan")


def test_one_pair_is_first() -> None:
    forth, back = rank_pairs(torch.randn(1, 3), torch.randn(1, 3))
    assert forth.ranks.tolist() == back.ranks.tolist() == [1]
    assert forth.ties == 0
