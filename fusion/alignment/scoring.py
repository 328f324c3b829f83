"""Scores of one entity against many, by modality and for every subset of modalities, from one table of joint vectors.

A joint vector is the weighted concatenation of unit vectors, brought to length 1: its block of modality m has the
length w_m / |w|, and the product of two blocks is that modality's exact part of the joint cosine. So one product with
the table gives everything: parts, cosines by modality, and the joint cosine under each subset S,

    cos_S(i, j) = sum_{m in S} part_m(i, j) / (|z_S(i)| |z_S(j)|),   |z_S|^2 = sum_{m in S} |z_m|^2.

K candidates, M modalities, S subsets, D width of the joint vector.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NEAREST = 3  # of CSLS
BLOCK = 512  # queries at a time


def lengths(joint: Tensor, widths: Sequence[int]) -> Tensor:
    """Length of each modality's block, 0 where it isn't read. (..., D) -> (..., M)"""
    return torch.stack([block.norm(dim=-1) for block in joint.split(list(widths), -1)], -1)


def parts(own: Tensor, table: Tensor, widths: Sequence[int]) -> Tensor:
    """Exact parts of the joint cosine of one entity with many. own (D,), table (K, D) -> (K, M)"""
    sizes = list(widths)  # block by block the table is read once; as one product it would be six times the work
    return torch.stack([block @ mine for block, mine in zip(table.split(sizes, 1), own.split(sizes), strict=True)], 1)


def cosines(made: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """Cosine by modality, 0 where one side lacks it. made (K, M) of `parts`, own (M,), others (K, M) lengths"""
    return made / (own * others).clamp(min=1e-12) * ((own > 0) & (others > 0))


def subset_cosines(made: Tensor, own: Tensor, others: Tensor, inside: Tensor) -> Tensor:
    """Joint cosine under each subset, the weights of what is left kept in proportion.

    made (K, M) of `parts`, own (M,) and others (K, M) lengths, inside (S, M) -> (K, S), 0 where nothing is left
    """
    length = (inside @ own.square()).sqrt() * (others.square() @ inside.T).sqrt()
    return torch.where(length > 0, made @ inside.T / length.clamp(min=1e-12), 0.0)


def ranks(scores: Tensor, at: int) -> Tensor:
    """Rank of one candidate in each column, ties against it. scores (K, ...) higher is nearer -> (...) int, from 1"""
    own = scores[at]
    margin = 1e-6 * (1 + own.abs())
    return (scores >= own - margin).sum(0).clamp(min=1)


def crowding(queries: Tensor, candidates: Tensor, k: int = NEAREST, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """The k + 1 best scores of each candidate with all queries, and whose they are. (Q, D), (K, D) -> (K, <= k + 1) x 2

    One more than CSLS needs: a query whose vector changes is taken out and put in again by `crowded`.
    """
    best, whose = candidates.new_zeros(len(candidates), 0), torch.zeros(len(candidates), 0, dtype=torch.long)
    whose = whose.to(candidates.device)
    for start in range(0, len(queries), block):
        scores = candidates @ queries[start : start + block].T  # (K, block)
        top = scores.topk(min(k + 1, scores.shape[1]), 1)
        both, names = torch.cat((best, top.values), 1), torch.cat((whose, top.indices + start), 1)
        kept = both.topk(min(k + 1, both.shape[1]), 1)
        best, whose = kept.values, names.gather(1, kept.indices)
    return best, whose


def crowded(near: tuple[Tensor, Tensor], own: int, scores: Tensor, k: int = NEAREST) -> Tensor:
    """Mean of the k best scores of each candidate, one query having these scores now.

    near: `crowding` (K, k + 1); own: which query it is, -1 for a new one; scores (K,) -> (K,)
    """
    best, whose = near
    rest = best.masked_fill(whose == own, -torch.inf)
    every = torch.cat((rest, scores[:, None]), 1)
    count = min(k, int(torch.isfinite(every[0]).sum()))
    return every.topk(count, 1).values.mean(1)


def csls(scores: Tensor, near: tuple[Tensor, Tensor], own: int, k: int = NEAREST) -> Tensor:
    """2 s_j - mean of the k best of the query - mean of the k best of candidate j. scores (K,) -> (K,)

    Source: Lample et al. 2018, as MCLEA and MEAformer use it.
    """
    mine = scores.topk(min(k, len(scores))).values.mean()
    return 2 * scores - mine - crowded(near, own, scores, k)
