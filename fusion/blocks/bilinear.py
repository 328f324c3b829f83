"""Products of modalities: factorised Tucker pooling, and a bilinear map that a relation chooses.

Sources: Ben-younes et al. 2017 (MUTAN) for the pooling, Balazevic et al. 2019 (TuckER) for the map; both as IMF uses
them, doi:10.1145/3543507.3583554.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK = 4  # maps that are thinned at a time: what stays in a processor's cache


def thinned(x: Tensor, share: float) -> tuple[Tensor, Tensor | None]:
    """Dropout with its mask: x without a share of its numbers, the others scaled up. -> like x, bool or None (all kept)

    A quarter of the random numbers of torch's own dropout are drawn, 16 bits an element.
    """
    if not share:
        return x, None
    kept = kept_mask(x.shape, share, x.device)
    return torch.where(kept, x * (1 / (1 - share)), 0.0), kept


def kept_mask(shape: Sequence[int], share: float, device: torch.device) -> Tensor:
    """True where an element is kept; `share` of them, to 1/65,536, are False."""
    count = int(torch.Size(shape).numel())
    bits = torch.empty(-(-count // 4), dtype=torch.int64, device=device)
    bits.random_(-(2**63), None)
    return (bits.view(torch.int16)[:count] >= round(share * 2**16) - 2**15).view(torch.Size(shape))


class BilinearPooling(nn.Module):
    """f(x_1, ..., x_M) = ReLU(sum_i prod_m ReLU(W_im x_m + b_im)), i over a rank; dropout before each map."""

    def __init__(self, modalities: int, width: int, rank: int, dropout: float) -> None:
        super().__init__()
        self.maps = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, width) for _ in range(rank)) for _ in range(modalities)
        )
        self.dropout = dropout

    def factors(self, vectors: Sequence[Tensor]) -> Tensor:
        """ReLU(W_im x_m + b_im) of every term and modality. M of (n, D) -> (n, rank, M, D)"""
        made = [torch.stack([torch.relu(self._map(m, i, x)) for m, x in enumerate(vectors)], 1)
                for i in range(self.rank)]  # fmt: skip
        return torch.stack(made, 1)

    @property
    def rank(self) -> int:
        """How many products are added up."""
        one = self.maps[0]
        assert isinstance(one, nn.ModuleList)
        return len(one)

    def _map(self, modality: int, term: int, x: Tensor) -> Tensor:
        maps = self.maps[modality]
        assert isinstance(maps, nn.ModuleList)
        if self.training:
            x, _ = thinned(x, self.dropout)
        mapped: Tensor = maps[term](x)
        return mapped

    def forward(self, vectors: Sequence[Tensor]) -> Tensor:
        """M of (n, D) -> (n, D), >= 0"""
        total: Tensor | None = None
        for term in range(self.rank):
            product: Tensor | None = None
            for m, x in enumerate(vectors):
                factor = torch.relu(self._map(m, term, x))
                product = factor if product is None else product * factor
            assert product is not None
            total = product if total is None else total + product
        assert total is not None
        return torch.relu(total)


class _ThroughMaps(torch.autograd.Function):
    """x_b^T R_b with R_b the map that row b chooses, thinned anew for every row; no (B, D, D) copy of maps is made."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, maps: Tensor, index: Tensor, dropout: float) -> Tensor:
        order = torch.argsort(index, stable=True)
        runs = torch.bincount(index, minlength=len(maps)).tolist()
        sorted_x, out = x[order], torch.empty_like(x)
        masks = kept_mask((len(x), *maps.shape[1:]), dropout, x.device) if dropout else None
        for number, rows in _runs(runs, CHUNK if dropout else len(x)):
            if masks is None:
                out[rows] = sorted_x[rows] @ maps[number]
            else:
                out[rows] = torch.bmm(sorted_x[rows, None], maps[number] * masks[rows]).squeeze(1)
        ctx.save_for_backward(sorted_x, maps, order, masks)
        ctx.runs, ctx.scale = runs, 1 / (1 - dropout)
        return torch.empty_like(out).index_copy_(0, order, out).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, maps, order, masks = ctx.saved_tensors
        given = upstream[0][order].mul_(ctx.scale)
        of_x, of_maps = torch.empty_like(x), torch.zeros_like(maps)
        for number, rows in _runs(ctx.runs, CHUNK if masks is not None else len(x)):
            if masks is None:
                of_x[rows] = given[rows] @ maps[number].T
                of_maps[number].addmm_(x[rows].T, given[rows])
            else:
                of_x[rows] = torch.bmm(maps[number] * masks[rows], given[rows, :, None]).squeeze(2)
                of_maps[number] += torch.bmm(x[rows, :, None], given[rows, None]).mul_(masks[rows]).sum(0)
        return torch.empty_like(of_x).index_copy_(0, order, of_x), of_maps, None, None


def _runs(lengths: Sequence[int], most: int) -> list[tuple[int, slice]]:
    """Rows of each map, in runs of at most `most`."""
    found, start = [], 0
    for number, length in enumerate(lengths):
        for first in range(start, start + length, most):
            found.append((number, slice(first, min(first + most, start + length))))
        start += length
    return found


class RelationContext(nn.Module):
    """c = drop(BN_1(x^T R)), x = drop(BN_0(e)), R_ab = drop(sum_c r_c W_cab): what is looked for by a relation."""

    def __init__(self, width: int, input_dropout: float, map_dropout: float, output_dropout: float) -> None:
        super().__init__()
        self.core = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, width, width)))  # (relation, in, out)
        self.norm_in, self.norm_out = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.dropout_in, self.dropout_out = nn.Dropout(input_dropout), nn.Dropout(output_dropout)
        self.map_dropout = map_dropout

    def maps(self, relations: Tensor) -> Tensor:
        """R of some relations, before dropout. (U, D) -> (U, D, D)"""
        width = len(self.core)
        return (relations @ self.core.view(width, -1)).view(-1, width, width)

    def forward(self, entities: Tensor, relations: Tensor, index: Tensor) -> Tensor:
        """entities (B, D), relations (U, D) of which row b has number index_b, index (B,) int -> (B, D)"""
        return self.normalised(self.bilinear(entities, relations, index))

    def bilinear(self, entities: Tensor, relations: Tensor, index: Tensor) -> Tensor:
        """x^T R, before the second norm. (B, D), (U, D), (B,) -> (B, D)"""
        x = self.dropout_in(self.norm_in(entities))
        dropout = self.map_dropout if self.training else 0.0
        return _ThroughMaps.apply(x, self.maps(relations), index, dropout)  # type: ignore[no-any-return]  # untyped

    def normalised(self, found: Tensor) -> Tensor:
        """drop(BN_1(x^T R)). (B, D) -> (B, D)"""
        context: Tensor = self.dropout_out(self.norm_out(found))
        return context
