"""Linear-chain conditional random field: likelihood, best path and marginals of a sequence of tags.

s(y) = start[y_1] + sum_t E[t, y_t] + sum_t transitions[y_{t-1}, y_t] + end[y_T];
log p(y) = s(y) - log sum_y' e^{s(y')}.
Source: Lafferty, McCallum, Pereira, ICML 2001. Real steps come first: masked ones are a suffix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CRF(nn.Module):
    """Transition scores over C classes and what follows from them. Scores are log-potentials (nats)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(classes).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(classes, classes).uniform_(-0.1, 0.1))  # [from, to]

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """log p(tags). emissions (B, T, C), tags (B, T) int, mask (B, T) bool with True first -> (B,) nats, <= 0"""
        scores = self._path_score(emissions, tags, mask)
        return scores - self._forward(emissions, mask)[1]

    def _path_score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        real = mask.to(emissions.dtype)
        own = emissions.gather(-1, tags.clamp(min=0)[..., None]).squeeze(-1)  # (B, T)
        moves = self.transitions[tags[:, :-1].clamp(min=0), tags[:, 1:].clamp(min=0)]  # (B, T-1)
        last = tags.gather(1, (mask.long().sum(1) - 1).clamp(min=0)[:, None]).squeeze(1)
        return self.start[tags[:, 0]] + (own * real).sum(1) + (moves * real[:, 1:]).sum(1) + self.end[last]

    def _forward(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Forward messages (B, T, C), frozen after the last real step, and the log-partition (B,)."""
        alpha = self.start + emissions[:, 0]
        messages = [alpha]
        for t in range(1, emissions.shape[1]):
            following = torch.logsumexp(alpha[:, :, None] + self.transitions, dim=1) + emissions[:, t]
            alpha = torch.where(mask[:, t, None], following, alpha)
            messages.append(alpha)
        return torch.stack(messages, 1), torch.logsumexp(alpha + self.end, dim=-1)

    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """p(y_t = c) by forward-backward. -> (B, T, C), rows of real steps sum to 1, others are 0"""
        forward, log_partition = self._forward(emissions, mask)
        beta = self.end.expand(emissions.shape[0], -1)
        messages = [beta]
        for t in range(emissions.shape[1] - 1, 0, -1):
            earlier = torch.logsumexp(self.transitions + (emissions[:, t] + beta)[:, None, :], dim=2)
            beta = torch.where(mask[:, t, None], earlier, self.end.expand_as(beta))
            messages.append(beta)
        backward = torch.stack(messages[::-1], 1)
        return (forward + backward - log_partition[:, None, None]).exp() * mask[..., None]

    def decode(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """The best path (Viterbi). -> (B, T) int, -1 beyond the sequence"""
        score = self.start + emissions[:, 0]
        stay = torch.arange(emissions.shape[2], device=emissions.device).expand_as(score)
        origins = []
        for t in range(1, emissions.shape[1]):
            best, origin = (score[:, :, None] + self.transitions).max(dim=1)  # (B, C) over the class before
            score = torch.where(mask[:, t, None], best + emissions[:, t], score)
            origins.append(torch.where(mask[:, t, None], origin, stay))
        tag = (score + self.end).argmax(-1)
        path = [tag]
        for origin in reversed(origins):
            tag = origin.gather(1, tag[:, None]).squeeze(1)
            path.append(tag)
        return torch.stack(path[::-1], 1).masked_fill(~mask, -1)
