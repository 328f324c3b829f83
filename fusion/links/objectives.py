"""What a batch of queries against all entities is trained for. B queries, N entities, K true answers of the batch.

Sources: Dettmers et al. 2018, arXiv:1707.01476, for `each`; Lacroix et al. 2018, arXiv:1806.07297, for `one_of_all`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def each(scores: Tensor, row: Tensor, tail: Tensor, smoothing: float = 0.1) -> Tensor:
    """Mean binary cross-entropy of all B N scores, targets (1 - smoothing) y + smoothing / N, which are never made.

    scores (B, N) logits; row, tail (K,): where y is 1. -> () nats
    """
    count = scores.shape[1]
    right = (1 - smoothing) * scores[row, tail].sum() + smoothing / count * scores.sum()
    return (F.softplus(scores).sum() - right) / scores.numel()


def one_of_all(scores: Tensor, row: Tensor, tail: Tensor) -> Tensor:
    """Cross-entropy of each answer among all entities, the mean over a query's answers, then over queries.

    scores (B, N) logits; row, tail (K,): the answers. -> () nats
    """
    spread = scores.logsumexp(1)
    times = torch.bincount(row, minlength=len(scores)).clamp(min=1)
    return ((spread[row] - scores[row, tail]) / times[row]).sum() / len(scores)
