"""Operators that make one vector of M vectors: gates, tensors, low-rank and multiplicative interactions.

Each returns (f, internals): f (B, D_f), and what it computed on the way by name. `voices` (B, M) says which modalities
have a say; a vector of one that has none is what stands for it (fusion.blocks.sequences.Filling).

    GMU             k_m = tanh(W_m x_m); M = 2: z = sigmoid(W_z [x_1; x_2]), f = z k_1 + (1 - z) k_2;
                    M > 2: z_m = sigmoid(W_z,m [x_1; ...; x_M]), f = sum_m z_m k_m                 (1)
    SoftmaxGate     a = softmax_m(v^T tanh(W h_m)), f = sum_m a_m h_m                              (2)
    Outer           f = vec([1; h_1] x ... x [1; h_M])                                             (3)
    LowRank         f = sum_r w_r prod_m (W_m,r^T [1; h_m]) + b                                    (4)
    Multiplicative  f = sum_(m < n) h_m^T W_mn h_n + sum_m U_m h_m + b                             (5)

Sources: (1) Arevalo et al. 2017, arXiv:1702.01992; (3) Zadeh et al. 2017, arXiv:1707.07250; (4) Liu et al. 2018,
arXiv:1806.00064; (5) Jayakumar et al. 2020, whose form for M = 2 is taken for every pair.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fusion.blocks import setting
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.types import Fixed

Internals = dict[str, Tensor]
LARGEST = 1_000_000  # numbers of a tensor of one sample
FACTORS = 4  # of more than so many, a product may leave the range of float32 on the way


class Concat(nn.Module):
    """f = [x_1; ...; x_M], no weights."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.width = sum(widths)

    def forward(self, vectors: Sequence[Tensor], voices: Tensor) -> tuple[Tensor, Internals]:
        """M of (B, D_m) -> f (B, sum D_m)"""
        return torch.cat(list(vectors), 1), {}


class GMU(nn.Module):
    """Gated multimodal unit, eq. (1). Of two modalities z and 1 - z are shares, and so is a softmax over M.

    Shares go to the modalities that have a say alone; independent gates need not sum to anything.
    """

    def __init__(self, widths: Sequence[int], width: int, norm: str = "independent") -> None:
        super().__init__()
        self.count, self.width, self.norm = len(widths), width, norm
        gates = 1 if self.count == 2 else self.count
        self.value = nn.ModuleList(nn.Linear(one, width, bias=False) for one in widths)
        self.gate = nn.Linear(sum(widths), gates * width, bias=False)

    def forward(
        self,
        vectors: Sequence[Tensor],
        voices: Tensor,
        fixed: Mapping[str, Fixed] = setting.NOTHING,
        names: Sequence[str] = (),
    ) -> tuple[Tensor, Internals]:
        """M of (B, D_m), (B, M) -> f (B, D); gate (B, M, D) in [0, 1], passed (B, M, D) what comes through it"""
        k = torch.stack([torch.tanh(one(x)) for one, x in zip(self.value, vectors, strict=True)], 1)  # (B, M, D)
        logits = self.gate(torch.cat(list(vectors), 1)).unflatten(1, (-1, self.width))  # (B, 1 or M, D)
        if self.count == 2:
            z = torch.cat((logits.sigmoid(), (-logits).sigmoid()), 1) * voices[..., None]
            z = z / z.sum(1, keepdim=True).clamp(min=torch.finfo(z.dtype).tiny)
        elif self.norm == "softmax":
            z = logits.masked_fill(~voices[..., None], -torch.inf).softmax(1)
        else:
            z = logits.sigmoid()
        z = setting.gate(fixed, "gmu_gate", z, names)
        passed = z * k
        return passed.sum(1), {"gate": z, "passed": passed}


class SoftmaxGate(nn.Module):
    """One weight a modality, eq. (2): attention over those that have a say."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.width = width

    def forward(
        self,
        vectors: Sequence[Tensor],
        voices: Tensor,
        fixed: Mapping[str, Fixed] = setting.NOTHING,
        names: Sequence[str] = (),
    ) -> tuple[Tensor, Internals]:
        """M of (B, D), (B, M) -> f (B, D); weight (B, M), 0 without a say, rows sum to one"""
        h = torch.stack(list(vectors), 1)  # (B, M, D)
        scores = self.score(torch.tanh(self.hidden(h)))[..., 0]
        weight = scores.masked_fill(~voices, -torch.inf).softmax(1)
        weight = setting.weights(fixed, "modality_attention", weight, names)
        return (weight[..., None] * h).sum(1), {"weight": weight}


class Outer(nn.Module):
    """All products of one number a modality, none of some, eq. (3); no weights.

    Raises FusionError when one sample would have more than LARGEST of them.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.width = math.prod(one + 1 for one in widths)
        if self.width > LARGEST:
            raise FusionError(
                f"The tensor of {len(widths)} modalities would have {self.width:,} numbers a sample, more than "
                f"{LARGEST:,}; choose a smaller width (now {max(widths)}), or low_rank."
            )

    def forward(self, vectors: Sequence[Tensor], voices: Tensor) -> tuple[Tensor, Internals]:
        """M of (B, D_m) -> f (B, prod(D_m + 1)), the first number is 1; orders (B, M)"""
        f = with_one(vectors[0])
        for one in vectors[1:]:
            f = (f[:, :, None] * with_one(one)[:, None, :]).flatten(1)
        squares = [one.square().sum(1) for one in vectors]  # the squared length of order k is their k-th symmetric sum
        sums = by_order([(torch.ones_like(square), square) for square in squares])
        return f, {"orders": torch.stack(sums[1:], 1).sqrt()}


class LowRank(nn.Module):
    """Eq. (4): what `Outer` and a linear map make when the map's weights have at most so many terms."""

    def __init__(self, widths: Sequence[int], width: int, rank: int) -> None:
        super().__init__()
        self.width = width
        self.factor = nn.ParameterList(nn.Parameter(torch.empty(rank, one + 1, width)) for one in widths)
        self.weight = nn.Parameter(torch.empty(rank))
        self.bias = nn.Parameter(torch.zeros(width))
        for one in self.factor:
            nn.init.xavier_normal_(one)
        nn.init.normal_(self.weight, std=rank**-0.5)

    def forward(self, vectors: Sequence[Tensor], voices: Tensor) -> tuple[Tensor, Internals]:
        """M of (B, D_m) -> f (B, D_f); orders (B, M): length of the part in which k modalities are multiplied"""
        constant = [one[:, 0].expand(len(vectors[0]), -1, -1) for one in self.factor]  # M of (B, R, D_f)
        linear = [
            torch.einsum("bd,rdf->brf", x, one[:, 1:]) for x, one in zip(vectors, self.factor, strict=True)
        ]  # fmt: skip
        terms = product([a + b for a, b in zip(constant, linear, strict=True)])
        parts = by_order(list(zip(constant, linear, strict=True)))  # M + 1 of (B, R, D_f)
        told = torch.stack([self._mix(part).norm(dim=1) for part in parts[1:]], 1)
        return self._mix(terms) + self.bias, {"orders": told}

    def _mix(self, terms: Tensor) -> Tensor:
        """(B, R, D_f) -> (B, D_f)"""
        return torch.einsum("r,brf->bf", self.weight, terms)


class Multiplicative(nn.Module):
    """Eq. (5): a product of every two modalities and a linear map of each."""

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.width = width
        self.pairs = tuple(combinations(range(len(widths)), 2))
        self.linear = nn.ModuleList(nn.Linear(one, width, bias=False) for one in widths)
        self.product = nn.ParameterList(nn.Parameter(torch.empty(widths[a], widths[b], width)) for a, b in self.pairs)
        self.bias = nn.Parameter(torch.zeros(width))
        for one, (a, b) in zip(self.product, self.pairs, strict=True):
            nn.init.normal_(one, std=(widths[a] * widths[b]) ** -0.5)

    def forward(self, vectors: Sequence[Tensor], voices: Tensor) -> tuple[Tensor, Internals]:
        """M of (B, D_m) -> f (B, D_f); orders (B, 2): length of the additive part and of the products"""
        alone = torch.stack([one(x) for one, x in zip(self.linear, vectors, strict=True)]).sum(0)
        together = torch.stack([
            torch.einsum("bi,ijf,bj->bf", vectors[a], one, vectors[b])
            for one, (a, b) in zip(self.product, self.pairs, strict=True)
        ]).sum(0)  # fmt: skip
        return alone + together + self.bias, {"orders": torch.stack((alone.norm(dim=1), together.norm(dim=1)), 1)}


def with_one(x: Tensor) -> Tensor:
    """[1; x]. (B, D) -> (B, D + 1)"""
    return torch.cat((torch.ones_like(x[:, :1]), x), 1)


def product(factors: Sequence[Tensor]) -> Tensor:
    """Elementwise product of M tensors; of many, by signs and logarithms, which can't leave the range on the way."""
    if len(factors) <= FACTORS:
        return torch.stack(list(factors)).prod(0)
    stack = torch.stack(list(factors))
    size = stack.abs().clamp(min=torch.finfo(stack.dtype).tiny).log().sum(0)
    return stack.sign().prod(0) * size.exp()


def by_order(terms: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """prod_m (c_m + t l_m) by powers of t: part k holds the products in which k of the M are linear. -> M + 1 parts"""
    parts = [torch.ones_like(terms[0][0])]
    for constant, linear in terms:
        longer = [parts[0] * constant]
        longer += [parts[k] * constant + parts[k - 1] * linear for k in range(1, len(parts))]
        parts = [*longer, parts[-1] * linear]
    return parts
