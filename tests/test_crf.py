"""The CRF against every path counted one by one, against numbers worked out by hand, and against pytorch-crf."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch
from torch import Tensor

from fusion.blocks.crf import CRF

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of an old package
    from torchcrf import CRF as Oracle

CLASSES = 3


@pytest.fixture
def crf() -> CRF:
    made = CRF(CLASSES)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made.requires_grad_(False)


def by_hand() -> CRF:
    """Two classes: start 1, 0; end 0, 2; going from the first to the second costs 3."""
    made = CRF(2).requires_grad_(False)
    made.start.copy_(torch.tensor([1.0, 0.0]))
    made.end.copy_(torch.tensor([0.0, 2.0]))
    made.transitions.copy_(torch.tensor([[0.0, -3.0], [1.0, 0.0]]))
    return made


def mask_of(*lengths: int, steps: int) -> Tensor:
    return torch.arange(steps) < torch.tensor(lengths)[:, None]


def all_paths(crf: CRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """Score of every path of one sequence (T, C), in double precision and plain Python."""
    start, end, moves = crf.start.tolist(), crf.end.tolist(), crf.transitions.tolist()
    scores = {}
    for path in itertools.product(range(emissions.shape[1]), repeat=len(emissions)):
        score = start[path[0]] + end[path[-1]] + sum(float(emissions[t, c]) for t, c in enumerate(path))
        scores[path] = score + sum(moves[a][b] for a, b in itertools.pairwise(path))
    return scores


def test_two_steps_and_two_classes_worked_out_by_hand() -> None:
    crf = by_hand()
    emissions, mask = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]]), mask_of(2, steps=2)
    # paths: 00 = 1+2+0+0+0 = 3; 01 = 1+2-3+1+2 = 3; 10 = 0+0+1+0+0 = 1; 11 = 0+0+0+1+2 = 3
    partition = math.log(3 * math.exp(3) + math.exp(1))
    for path, score in {(0, 0): 3, (0, 1): 3, (1, 0): 1, (1, 1): 3}.items():
        got = crf.log_likelihood(emissions, torch.tensor([path]), mask)
        assert float(got) == pytest.approx(score - partition, abs=1e-5), path
    first = 2 * math.exp(3) / (3 * math.exp(3) + math.exp(1))  # paths 00 and 01 open with the first class
    second = (math.exp(3) + math.exp(1)) / (3 * math.exp(3) + math.exp(1))
    expected = torch.tensor([[[first, 1 - first], [second, 1 - second]]])
    torch.testing.assert_close(crf.marginals(emissions, mask), expected, atol=1e-5, rtol=0)


def test_the_best_path_worked_out_by_hand_is_not_the_best_of_each_step() -> None:
    crf = by_hand()
    emissions = torch.tensor([[[2.0, 0.0], [0.9, 1.0]]])
    # 00 = 3.9; 01 = 3; 10 = 1.9; 11 = 3: the first class wins at the second step although 1.0 > 0.9
    assert crf.decode(emissions, mask_of(2, steps=2)).tolist() == [[0, 0]]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_every_path_counted_one_by_one_agrees(crf: CRF, length: int) -> None:
    steps = 5
    emissions, mask = torch.randn(1, steps, CLASSES), mask_of(length, steps=steps)
    scores = all_paths(crf, emissions[0, :length])
    partition = math.log(sum(math.exp(score) for score in scores.values()))
    best = max(scores, key=lambda path: scores[path])
    assert crf.decode(emissions, mask).tolist() == [[*best, *[-1] * (steps - length)]]
    marginals = crf.marginals(emissions, mask)[0]
    for step, kind in itertools.product(range(length), range(CLASSES)):
        share = sum(math.exp(score - partition) for path, score in scores.items() if path[step] == kind)
        assert float(marginals[step, kind]) == pytest.approx(share, abs=1e-5)
    for path, score in scores.items():
        tags = torch.tensor([[*path, *[0] * (steps - length)]])
        assert float(crf.log_likelihood(emissions, tags, mask)) == pytest.approx(score - partition, abs=1e-4)


def test_marginals_sum_to_one_and_no_path_scores_above_the_partition(crf: CRF) -> None:
    emissions, mask = 4 * torch.randn(7, 6, CLASSES), mask_of(6, 1, 2, 3, 4, 5, 6, steps=6)
    total = crf.marginals(emissions, mask).sum(-1)
    torch.testing.assert_close(total, mask.float(), atol=1e-5, rtol=0)
    assert (crf.log_likelihood(emissions, torch.randint(0, CLASSES, (7, 6)), mask) <= 0).all()
    best = crf.decode(emissions, mask)
    likeliest = crf.log_likelihood(emissions, best.clamp(min=0), mask)
    for _ in range(20):
        other = torch.randint(0, CLASSES, (7, 6))
        assert (crf.log_likelihood(emissions, other, mask) <= likeliest + 1e-5).all()


def test_without_transitions_decoding_is_the_best_of_each_step_and_marginals_the_softmax() -> None:
    crf = CRF(CLASSES).requires_grad_(False)
    for parameter in crf.parameters():
        parameter.zero_()
    emissions, mask = torch.randn(4, 6, CLASSES), mask_of(6, 5, 1, 3, steps=6)
    assert torch.equal(crf.decode(emissions, mask), emissions.argmax(-1).masked_fill(~mask, -1))
    expected = emissions.softmax(-1) * mask[..., None]
    torch.testing.assert_close(crf.marginals(emissions, mask), expected, atol=1e-5, rtol=0)


def test_what_stands_behind_a_sequence_changes_nothing(crf: CRF) -> None:
    emissions, mask = torch.randn(2, 7, CLASSES), mask_of(3, 5, steps=7)
    other = torch.where(mask[..., None], emissions, 9 * torch.randn_like(emissions))
    tags, others = torch.randint(0, CLASSES, (2, 7)), torch.randint(0, CLASSES, (2, 7))
    others = torch.where(mask, tags, others)
    assert torch.equal(crf.decode(emissions, mask), crf.decode(other, mask))
    assert torch.equal(crf.marginals(emissions, mask), crf.marginals(other, mask))
    assert torch.equal(crf.log_likelihood(emissions, tags, mask), crf.log_likelihood(other, others, mask))
    short = crf.marginals(emissions[:, :5], mask[:, :5])
    torch.testing.assert_close(short, crf.marginals(emissions, mask)[:, :5], atol=1e-6, rtol=0)


def test_scores_far_apart_stay_finite(crf: CRF) -> None:
    emissions = 1e4 * torch.randn(3, 5, CLASSES)
    mask = mask_of(5, 4, 1, steps=5)
    marginals = crf.marginals(emissions, mask)
    assert torch.isfinite(marginals).all()
    torch.testing.assert_close(marginals.sum(-1), mask.float(), atol=1e-2, rtol=0)
    assert torch.isfinite(crf.log_likelihood(emissions, torch.zeros(3, 5, dtype=torch.long), mask)).all()


@pytest.mark.parametrize(("size", "steps", "classes"), [(1, 2, 2), (5, 8, 13), (3, 128, 4)])
def test_likelihood_gradients_and_best_paths_equal_those_of_pytorch_crf(size: int, steps: int, classes: int) -> None:
    ours, theirs = CRF(classes).double(), Oracle(classes, batch_first=True).double()  # float32 loses 2e-5 in 128 steps
    with torch.no_grad():
        for own, name in (("start", "start_transitions"), ("end", "end_transitions"), ("transitions", "transitions")):
            getattr(ours, own).copy_(torch.nn.init.normal_(getattr(theirs, name)))
    emissions = torch.randn(size, steps, classes, dtype=torch.float64)
    tags = torch.randint(0, classes, (size, steps))
    mask = mask_of(*[steps - (7 * i) % steps for i in range(size)], steps=steps)
    left, right = emissions.clone().requires_grad_(), emissions.clone().requires_grad_()
    own, reference = ours.log_likelihood(left, tags, mask), theirs(right, tags, mask=mask, reduction="none")
    torch.testing.assert_close(own, reference, atol=1e-10, rtol=0)
    own.sum().backward()
    reference.sum().backward()
    torch.testing.assert_close(left.grad, right.grad, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.transitions.grad, theirs.transitions.grad, atol=1e-10, rtol=0)
    paths = [row[row >= 0].tolist() for row in ours.decode(emissions, mask)]
    assert paths == theirs.decode(emissions, mask=mask)


def test_the_gradient_of_the_partition_is_the_marginals(crf: CRF) -> None:
    emissions, mask = torch.randn(4, 6, CLASSES, requires_grad=True), mask_of(6, 2, 1, 5, steps=6)
    crf._forward(emissions, mask)[1].sum().backward()
    torch.testing.assert_close(emissions.grad, crf.marginals(emissions.detach(), mask), atol=1e-5, rtol=0)
