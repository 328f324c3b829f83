"""Contrastive losses of entity alignment: worked examples, identities, and gradients equal to the plain form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fusion.losses import choices, contrast, contrast_with, imitation, uncertain, unit

POOLINGS = ("log_of_mean", "mean_of_logs")


def rows(count: int = 9, width: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    left, right = (unit(torch.randn(count, width, dtype=dtype)).requires_grad_() for _ in range(2))
    return left, right


def plain(left: Tensor, right: Tensor, tau: float, share: float, pooling: str, weight: Tensor | None = None) -> Tensor:
    """The printed formula, with the self-pair masked by minus infinity."""
    logs = []
    for one, other in ((left, right), (right, left)):
        own = (one @ one.T).masked_fill(torch.eye(len(one), dtype=torch.bool), -torch.inf)
        logs.append((torch.cat((one @ other.T, own), 1) / tau).log_softmax(1).diagonal())
    if pooling == "log_of_mean":
        pair = torch.log(share * logs[0].exp() + (1 - share) * logs[1].exp())
    else:
        pair = share * logs[0] + (1 - share) * logs[1]
    return -(pair if weight is None else weight * pair).mean()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("tau", [0.05, 0.1, 4.0])
def test_the_loss_and_its_gradients_are_those_of_the_printed_formula(pooling: str, tau: float) -> None:
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        left, right = rows(dtype=dtype)
        weight = torch.rand(len(left), dtype=dtype, requires_grad=True)
        own = contrast(left, right, tau, weight=weight, left_share=0.3, pooling=pooling)
        other = plain(left, right, tau, 0.3, pooling, weight)
        torch.testing.assert_close(own, other, rtol=tolerance, atol=tolerance)
        found = zip(
            torch.autograd.grad(3 * own, (left, right, weight)), torch.autograd.grad(3 * other, (left, right, weight)),
            strict=True,
        )  # fmt: skip
        for a, b in found:
            assert float((a - b).norm() / b.norm()) < tolerance


def test_two_pairs_by_hand() -> None:
    """l = (1,0), (0,1); r the same; tau = 1: q(l_1, r_1) = e / (e + 1 + 1), as l_1 l_2 = l_1 r_2 = 0."""
    both = torch.eye(2)
    expected = -math.log(math.e / (math.e + 2))
    for pooling in POOLINGS:
        assert float(contrast(both, both, 1.0, pooling=pooling)) == pytest.approx(expected, abs=1e-6)


def test_one_pair_has_nothing_to_be_told_from_and_equal_rows_can_t_be_told_apart() -> None:
    one = unit(torch.randn(1, 4))
    assert float(contrast(one, -one, 0.1)) == pytest.approx(0, abs=1e-6)
    same = unit(torch.randn(1, 4)).expand(6, -1)
    for pooling in POOLINGS:
        assert float(contrast(same, same, 0.1, pooling=pooling)) == pytest.approx(math.log(2 * 6 - 1), abs=1e-5)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_is_never_negative_and_neither_order_nor_side_matters(pooling: str) -> None:
    left, right = rows()
    loss = contrast(left, right, 0.1, pooling=pooling)
    order = torch.randperm(len(left))
    assert float(loss.detach()) >= 0
    torch.testing.assert_close(contrast(left[order], right[order], 0.1, pooling=pooling), loss)
    torch.testing.assert_close(contrast(right, left, 0.1, pooling=pooling), loss)


def test_the_published_form_is_never_above_the_released_one() -> None:
    for seed in range(20):
        left, right = rows(seed=seed)
        published, released = (float(contrast(left, right, 0.1, pooling=p).detach()) for p in POOLINGS)
        assert published < released
    # equal where both directions agree for every pair: a set of rows against itself
    left, _ = rows()
    published, released = (contrast(left, left, 0.1, pooling=p) for p in POOLINGS)
    torch.testing.assert_close(published, released)


def test_a_temperature_near_zero_neither_overflows_nor_vanishes() -> None:
    left, right = rows(dtype=torch.float32)
    loss = contrast(left, right, 0.006)
    torch.testing.assert_close(loss, plain(left.double(), right.double(), 0.006, 0.5, "log_of_mean").float())
    gradient = torch.autograd.grad(loss, left)[0]
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().max()) > 0


def test_without_more_candidates_the_replayed_loss_is_the_plain_one_and_with_them_it_is_higher() -> None:
    left, right = rows()
    none = left.new_zeros(0, left.shape[1])
    for pooling in POOLINGS:
        loss, hard_left, _ = contrast_with(left, right, none, none, 0.1, left_share=0.3, pooling=pooling)
        torch.testing.assert_close(loss, contrast(left, right, 0.1, left_share=0.3, pooling=pooling))
    both = torch.cat((left @ right.T, left @ left.T), 1).detach()
    both[torch.arange(9), torch.arange(9)] = both[torch.arange(9), torch.arange(9) + 9] = -9
    assert torch.equal(hard_left, both.argmax(1))
    again = left[:2].detach()  # row 0 meets itself as a wrong candidate
    more, hard_left, _ = contrast_with(left, right, again, none, 0.1, left_share=0.3, pooling=pooling)
    assert float(more.detach()) > float(loss.detach())
    assert int(hard_left[0]) == 18


def test_imitation_is_zero_only_where_the_choices_agree_and_teaches_one_side_only() -> None:
    left, right = rows()
    joint = rows(seed=3)
    wanted = choices(*joint, 4.0)
    assert float(imitation(*joint, wanted, 4.0).detach()) == 0.0
    loss = imitation(left, right, wanted, 4.0)
    assert float(loss.detach()) > 0
    assert torch.autograd.grad(loss, joint, allow_unused=True, retain_graph=True) == (None, None)
    assert torch.autograd.gradcheck(
        lambda a, b: imitation(a, b, tuple(w.detach() for w in wanted), 4.0, left_share=0.4), (left, right)
    )


def test_imitation_is_the_printed_divergence_and_the_released_one_is_far_smaller() -> None:
    left, right = rows()
    wanted, own = choices(*rows(seed=3), 4.0), choices(left, right, 4.0)
    total = 0.0
    for goal, log in zip(wanted, own, strict=True):
        real = ~torch.isinf(goal)
        total += 0.5 * float((goal.exp() * (goal - log))[real].sum().detach()) / len(left)
    assert float(imitation(left, right, wanted, 4.0).detach()) == pytest.approx(total, rel=1e-10)
    published = imitation(left, right, wanted, 4.0)
    torch.testing.assert_close(imitation(left, right, wanted, 4.0, reduction="mean"), published / (2 * len(left)))
    torch.testing.assert_close(imitation(left, right, wanted, 4.0, reduction="sum"), published * len(left))


def test_a_learned_precision_is_best_at_its_loss() -> None:
    """d/ds: published e^-s L = 1/2, so e^s = 2 L; released e^-s L = 1, so e^s = L."""
    loss = torch.tensor(0.7)
    for form, best in (("published", math.log(1.4)), ("released", math.log(0.7))):
        s = torch.tensor(best, requires_grad=True)
        assert float(torch.autograd.grad(uncertain(loss, s, form), s)[0]) == pytest.approx(0, abs=1e-6)
