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


def map_masks(rows: int, width: int, share: float, device: torch.device) -> Tensor | None:
    """What dropout multiplies the maps of B rows with: 0 or 1 / (1 - share). -> (B, D, D), None where share is 0"""
    if not share:
        return None
    return kept_mask((rows, width, width), share, device).float().mul_(1 / (1 - share))


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
    """x_b^T (R_b * mask_b) with R_b the map that row b chooses; no (B, D, D) copy of maps is made."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, maps: Tensor, index: Tensor, masks: Tensor | None) -> Tensor:
        order = torch.argsort(index, stable=True)
        lengths = torch.bincount(index, minlength=len(maps)).tolist()
        sorted_x, out = x[order], torch.empty_like(x)
        space = maps.new_empty(CHUNK, *maps.shape[1:])
        for number, rows in _runs(lengths, len(x) if masks is None else CHUNK):
            if masks is None:
                out[rows] = sorted_x[rows] @ maps[number]
            else:
                thin = torch.mul(maps[number], masks[rows], out=space[: rows.stop - rows.start])
                out[rows] = torch.bmm(sorted_x[rows, None], thin).squeeze(1)
        ctx.save_for_backward(sorted_x, maps, order, masks)
        ctx.lengths = lengths
        return torch.empty_like(out).index_copy_(0, order, out)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, maps, order, masks = ctx.saved_tensors
        given = upstream[0][order]
        of_x, of_maps = torch.empty_like(x), torch.empty_like(maps)
        space = maps.new_empty(CHUNK, *maps.shape[1:])
        last = -1
        for number, rows in _runs(ctx.lengths, len(x) if masks is None else CHUNK):
            if masks is None:
                torch.mm(given[rows], maps[number].T, out=of_x[rows])
                torch.mm(x[rows].T, given[rows], out=of_maps[number])
                continue
            thin = torch.mul(maps[number], masks[rows], out=space[: rows.stop - rows.start])
            of_x[rows] = torch.bmm(thin, given[rows, :, None]).squeeze(2)
            change = torch.mul(masks[rows], x[rows, :, None], out=thin).mul_(given[rows, None])
            if number == last:
                of_maps[number] += change.sum(0)
            else:
                torch.sum(change, 0, out=of_maps[number])
            last = number
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

    def __init__(self, width: int, input_dropout: float, output_dropout: float) -> None:
        super().__init__()
        self.core = nn.Parameter(nn.init.xavier_uniform_(torch.empty(width, width, width)))  # (relation, in, out)
        self.norm_in, self.norm_out = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.dropout_in, self.dropout_out = nn.Dropout(input_dropout), nn.Dropout(output_dropout)

    def maps(self, relations: Tensor) -> Tensor:
        """R of some relations, before dropout. (U, D) -> (U, D, D)"""
        width = len(self.core)
        return (relations @ self.core.view(width, -1)).view(-1, width, width)

    def forward(self, entities: Tensor, relations: Tensor, index: Tensor, masks: Tensor | None = None) -> Tensor:
        """The context c of B rows, each with one of U relations.

        entities (B, D); relations (U, D), of which row b has number index_b and none is left out; index (B,) int;
        masks (B, D, D) as `map_masks` gives, None leaves the maps whole -> (B, D)
        """
        x = self.dropout_in(self.norm_in(entities))
        found = _ThroughMaps.apply(x, self.maps(relations), index, masks)
        context: Tensor = self.dropout_out(self.norm_out(found))
        return context
