"""Is an explanation true? Hide the parts that it calls important, and see whether the answer follows.

deletion: hide parts, the most important first, and average the target over the shares hidden; insertion: show them in
that order, from nothing. Both are measured as a share of f(all) - f(none), so 1 is the full answer and 0 the answer
from nothing, and both are compared with random orders and with the order reversed. A good explanation has a deletion
area below, and an insertion area above, those of random orders: it beats chance when no more than one in twenty of
these is as good. Showing the parts of one order is hiding those of its reverse, read backwards, so insertion costs
nothing more.
Sources: Samek et al. 2017, arXiv:1509.06321; Petsiuk et al. 2018, arXiv:1806.07421.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.explain.players import Ask
    from fusion.models.base import FusionModel

STEPS, DRAWS = 10, 19  # of a curve; random orders: to beat all of them by chance has the probability 1/20
CHANCE = 0.05


@dataclass(frozen=True, eq=False)
class Curve:
    """What is left of the answer while parts are hidden, or shown, in one order."""

    share: np.ndarray  # (F,) of the parts, 0 to 1
    deletion: np.ndarray  # (F,) target
    insertion: np.ndarray  # (F,)

    def area(self, which: str, span: tuple[float, float]) -> float:
        """Mean height of a curve as a share of the way from f(none) to f(all); NaN where these are equal."""
        none, all_ = span
        if abs(all_ - none) < 1e-9:
            return float("nan")
        value = self.deletion if which == "deletion" else self.insertion
        return float(np.trapezoid((value - none) / (all_ - none), self.share))


@dataclass(frozen=True, eq=False)
class Trial:
    """The curves of an order, of its reverse and of random ones, from the same passes."""

    span: tuple[float, float]  # f(none), f(all)
    own: Curve
    reverse: Curve
    random: tuple[Curve, ...]
    rows: int  # that were run

    def areas(self, which: str = "deletion") -> tuple[float, float, float]:
        """Area of the order, mean of random ones, their standard deviation."""
        chance = np.asarray([one.area(which, self.span) for one in self.random])
        return self.own.area(which, self.span), float(chance.mean()), float(chance.std(ddof=1))

    def beaten(self, which: str = "deletion") -> int:
        """How many of the random orders have an area that is worse."""
        own = self.own.area(which, self.span)
        chance = [one.area(which, self.span) for one in self.random]
        return sum(own < other if which == "deletion" else own > other for other in chance)

    def verdict(self, which: str = "deletion") -> str:
        """better | none | worse than random orders; "" where the answer is the one from nothing, or orders are few."""
        if not np.isfinite(self.own.area(which, self.span)) or 1 / (1 + len(self.random)) > CHANCE:
            return ""
        lost = len(self.random) - self.beaten(which)
        if (1 + lost) / (1 + len(self.random)) <= CHANCE:
            return "better"
        return "worse" if lost / (1 + len(self.random)) >= 1 - CHANCE else "none"


def shares(players: int, steps: int = STEPS) -> Tensor:
    """How many parts are hidden at each point of a curve, from none to all, the same from both ends. -> (F,) int"""
    half = torch.linspace(0, players / 2, min(steps, players) // 2 + 1).floor().long()
    return torch.cat((half, players - half)).unique()


def coalitions(order: Tensor, counts: Tensor) -> Tensor:
    """Parts shown when the first `count` of an order are hidden. order (P,), counts (F,) -> (F, P) bool"""
    place = order.argsort()
    return place[None] >= counts[:, None]


def trial(
    ask: Ask, values: Tensor, *, signed: bool, draws: int = DRAWS, seed: int = 0, chance: tuple[Curve, ...] = ()
) -> Trial:
    """Curves of the order that values (P,) give, the highest first; signed ones in the direction of the answer.

    A part is important for an answer below that from nothing when it pushes down. chance: random curves that another
    trial of the same parts made, which are not run again.
    """
    count = len(values)
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor([[False] * count, [True] * count])
    none, all_ = ask(ends).tolist()
    shuffled = torch.randperm(count, generator=generator)  # parts of whom nothing is said have no order of their own
    ranked = (-values if signed and all_ < none else values)[shuffled].argsort(descending=True, stable=True)
    own = shuffled[ranked]
    orders = [own, own.flip(0)]
    orders += [torch.randperm(count, generator=generator) for _ in range(0 if chance else draws)]
    counts = shares(count)
    hidden = [coalitions(order, counts)[1:-1] for order in orders]  # ends are the same for all
    rows = torch.cat(hidden)
    value = ask(rows).numpy() if len(rows) else np.zeros(0)
    share, size = (counts / count).numpy(), len(counts) - 2
    falls = [np.concatenate(([all_], value[i * size : (i + 1) * size], [none])) for i in range(len(orders))]
    own, reverse = (Curve(share, falls[i], falls[1 - i][::-1]) for i in (0, 1))
    drawn = [Curve(share, fall, fall[::-1]) for fall in falls[2:]]  # of a random order the reverse is random too
    return Trial((none, all_), own, reverse, chance or tuple(drawn), len(rows) + 2)


def agreement(values: Sequence[Tensor]) -> np.ndarray:
    """Rank correlation of each pair of methods over the same parts, NaN where one is constant. K of (P,) -> (K, K)"""
    from fusion.metrics.behaviour import spearman

    count = len(values)
    table = np.eye(count)
    for i in range(count):
        for j in range(i):
            found = spearman(values[i].numpy(), values[j].numpy())
            table[i, j] = table[j, i] = np.nan if found is None else found
    return table


def randomised(model: FusionModel, seed: int = 0) -> FusionModel:
    """The same network with the numbers of each of its weights in another order: what it learned is gone, sizes stay.

    Source: Adebayo et al. 2018, arXiv:1810.03292.
    """
    import copy

    made = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in [*made.parameters(), *(b for b in made.buffers() if b.is_floating_point())]:
            flat = weight.flatten()
            order = torch.randperm(flat.numel(), generator=generator).to(weight.device)
            weight.copy_(flat[order].view_as(weight))
    return made.eval()
