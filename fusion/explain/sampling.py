"""Shapley values of the parts of a sample: by rule over modalities, by sampled orders over words and regions.

    phi_i = mean over orders of [f(before i, and i) - f(before i)]

Orders come in pairs, one the reverse of the other, which halves what chance adds; the standard error is that over
pairs. Each order costs P + 1 rows, its ends are shared. The values add up to f(all) - f(none) whatever is drawn.
Sources: Shapley 1953; Castro et al. 2009 for sampling; Mitchell et al. 2022, arXiv:2104.12199, for pairs.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.explain.ablation import shapley
from fusion.explain.players import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusion.explain.players import Ask

PAIRS = 8  # of orders, where no number is given
MOST_EXACT = 10  # players of whom every subset is asked


def exact(ask: Ask, count: int) -> tuple[Tensor, int]:
    """All 2^P subsets of P = count players. -> (P,) float64, rows that were run. P at most `MOST_EXACT`"""
    assert count <= MOST_EXACT, f"{count} players have {2**count} subsets"
    shown = torch.tensor(list(itertools.product((False, True), repeat=count)))
    value = ask(shown).tolist()
    names = [str(i) for i in range(count)]
    table = {
        frozenset(name for name, there in zip(names, row, strict=True) if there): number
        for row, number in zip(shown.tolist(), value, strict=True)
    }
    found = shapley(names, table)
    return torch.tensor([found[name] for name in names], dtype=torch.float64), len(shown)


def sampled(
    ask: Ask, count: int, *, pairs: int = PAIRS, seed: int = 0, progress: Callable[[float], None] | None = None
) -> tuple[Tensor, Tensor, int]:
    """Antithetic pairs of orders. -> values (P,), standard errors (P,), both float64, and rows that were run"""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(pairs, count, dtype=torch.float64)
    rows = 0
    ends = ask(torch.tensor([[False] * count, [True] * count]))
    for pair in range(pairs):
        order = torch.randperm(count, generator=generator)
        for one in (order, order.flip(0)):
            place = one.argsort()  # when each player comes
            between = torch.arange(1, count)[:, None] > place[None]  # (P - 1, P): those who came before
            value = ask(between) if count > 1 else ends[:0]
            steps = torch.cat((ends[:1], value, ends[1:])).diff()
            found[pair] += steps[place] / 2
            rows += count - 1
        if progress is not None:
            progress((pair + 1) / pairs)
    error = found.std(0) / pairs**0.5 if pairs > 1 else torch.full((count,), torch.nan, dtype=torch.float64)
    return found.mean(0), error, rows + 2


def cost(players: int, pairs: int = PAIRS) -> int:
    """Rows that `sampled` runs."""
    return 2 * pairs * max(players - 1, 0) + 2


def occluded(ask: Ask, count: int) -> tuple[Tensor, int]:
    """What each part alone is worth to the whole: f(all) - f(all but it). -> (P,) float64, rows that were run"""
    shown = torch.cat((torch.ones(1, count, dtype=torch.bool), ~torch.eye(count, dtype=torch.bool)))
    value = ask(shown)
    return value[0] - value[1:], len(shown)


__all__ = ["MOST_EXACT", "PAIRS", "ROWS", "cost", "exact", "occluded", "sampled"]
