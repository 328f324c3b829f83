"""Losses that more than one system uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence


def unit(x: Tensor) -> Tensor:
    """Rows scaled to length 1, zero rows left at zero. (..., D) -> (..., D)"""
    return F.normalize(x, dim=-1, eps=1e-12)


def info_nce(left: Tensor, right: Tensor, temperature: float, left_share: float) -> Tensor:
    """Two-way contrastive loss: each row's partner against all other rows of the batch.

    S_ab = cos(left_a, right_b) / temperature; share * CE(S, id) + (1 - share) * CE(S^T, id). (B, D), (B, D) -> () nats.
    Source: van den Oord et al. 2018; MAF eq. (7) with share = 0.7 and temperature = 0.179.
    """
    similarity = unit(left) @ unit(right).T / temperature  # (B, B)
    partner = torch.arange(len(left), device=left.device)
    forth, back = F.cross_entropy(similarity, partner), F.cross_entropy(similarity.T, partner)
    return left_share * forth + (1 - left_share) * back


class _Contrast(torch.autograd.Function):
    """`contrast` with its gradients made on the way: three P x P matrices live, and only while it runs."""

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, weight: Tensor, temperature: float, left_share: float, pool: bool
    ) -> Tensor:
        forth, own, others = _exponentials(left, right, temperature)
        sums = forth.sum(1) + others[0].sum(1), forth.sum(0) + others[1].sum(1)
        logs = [own - total.log() for total in sums]  # (P,) log q(l, r) and log q(r, l)
        shares = [torch.full_like(own, share) for share in (left_share, 1 - left_share)]
        if pool:
            shifted = [log + one.log() for log, one in zip(logs, shares, strict=True)]
            pair = torch.logaddexp(shifted[0], shifted[1])
            shares = [(one - pair).exp() for one in shifted]
        else:
            pair = shares[0] * logs[0] + shares[1] * logs[1]
        size = len(left)
        pull = [weight * share / size for share in shares]  # how strongly each row pulls its partner
        push = [one / total for one, total in zip(pull, sums, strict=True)]
        if any(ctx.needs_input_grad[:2]):
            forth = forth.mul_(push[0][:, None] + push[1][None, :])
            forth.diagonal().sub_(pull[0] + pull[1])
            for one, by in zip(others, push, strict=True):
                one.mul_(by[:, None] + by[None, :])  # a symmetric matrix meets its transpose
            left64, right64 = left.to(forth.dtype), right.to(forth.dtype)
            of_left = (forth @ right64 + others[0] @ left64) / temperature
            of_right = (forth.T @ left64 + others[1] @ right64) / temperature
            ctx.save_for_backward(of_left.to(left.dtype), of_right.to(left.dtype), (-pair / size).to(left.dtype))
        else:
            ctx.save_for_backward(left.new_zeros(0), left.new_zeros(0), (-pair / size).to(left.dtype))
        return -(weight * pair).mean().to(left.dtype)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        made = zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        return (*(upstream[0] * one if asked else None for one, asked in made), None, None, None)


def _exponentials(left: Tensor, right: Tensor, temperature: float) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """e^((cos - 1) / tau) of left to right (P, P), its own logits (P,), and within each side with an empty diagonal.

    Cosines never pass 1, so nothing overflows; where the smallest would vanish in float32, float64 is used.
    """
    if 2 / temperature > 80:
        left, right = left.double(), right.double()
    forth = (left @ right.T).sub_(1).div_(temperature)
    own = forth.diagonal().clone()
    return forth.exp_(), own, (_within(left, temperature), _within(right, temperature))


def _within(rows: Tensor, temperature: float, blocks: int = 8) -> Tensor:
    """e^((cos - 1) / tau) of some rows to each other, their own left empty: half is multiplied, half copied. (P, P)"""
    made = rows.new_empty(len(rows), len(rows))
    step = max(1, -(-len(rows) // blocks))
    for start in range(0, len(rows), step):
        end = min(start + step, len(rows))
        made[start:end, start:] = (rows[start:end] @ rows[start:].T).sub_(1).div_(temperature).exp_()
        made[end:, start:end] = made[start:end, end:].T
    made.diagonal().zero_()
    return made


def contrast(
    left: Tensor, right: Tensor, temperature: float, *, weight: Tensor | None = None, left_share: float = 0.5,
    pooling: str = "log_of_mean",
) -> Tensor:  # fmt: skip
    """How surely each row picks its partner among all other rows of both sides; the rows have length 1.

    q(l_i, r_i) = e^(l_i r_i / tau) / (sum_j e^(l_i r_j / tau) + sum_{j != i} e^(l_i l_j / tau)), and q(r_i, l_i) alike;
    -1/P sum_i weight_i log(share q(l, r) + (1 - share) q(r, l)) with pooling "log_of_mean", or with "mean_of_logs"
    -1/P sum_i weight_i (share log q(l, r) + (1 - share) log q(r, l)). (P, D), (P, D), (P,) -> () nats, >= 0.
    Source: MCLEA eqs. (4) and (5), as printed and as released; the weight is UMAEA's and MEAformer's confidence.
    """
    weight = torch.ones_like(left[:, 0]) if weight is None else weight
    pool = pooling == "log_of_mean"
    return _Contrast.apply(left, right, weight, temperature, left_share, pool)  # type: ignore[no-any-return]


def contrast_with(
    left: Tensor, right: Tensor, more_left: Tensor, more_right: Tensor, temperature: float, *, left_share: float = 0.5,
    pooling: str = "log_of_mean",
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """`contrast` with more wrong candidates on each side, and the hardest wrong one of each row.

    A left row chooses among right rows, the other left rows and more_left (K, D); a right row alike with more_right.
    -> () nats, hardest of left (P,), of right (P,): places in [other side; own side; more of the own side].
    """
    hardest, logs = [], []
    for one, other, more in ((left, right, more_left), (right, left, more_right)):
        own = (one @ one.T).fill_diagonal_(-torch.inf)
        scores = torch.cat((one @ other.T, own, one @ more.T), 1) / temperature
        logs.append(scores.log_softmax(1).diagonal())
        wrong = scores.detach().clone()
        wrong.diagonal().fill_(-torch.inf)
        hardest.append(wrong.argmax(1))
    shares = [torch.full_like(logs[0], share) for share in (left_share, 1 - left_share)]
    if pooling == "log_of_mean":
        pair = torch.logaddexp(logs[0] + shares[0].log(), logs[1] + shares[1].log())
    else:
        pair = shares[0] * logs[0] + shares[1] * logs[1]
    return -pair.mean(), hardest[0], hardest[1]


def choices(left: Tensor, right: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Log of the distribution of each row over [other side; own side without itself], as in `contrast`.

    (P, D), (P, D) of length 1 -> of left (P, 2P), of right (P, 2P), -inf at a row itself.
    """
    return _log_choice(left, right, temperature), _log_choice(right, left, temperature)


def _log_choice(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    own = (one @ one.T).fill_diagonal_(-torch.inf)
    return torch.cat((one @ other.T, own), 1).div_(temperature).log_softmax(1)


class _Imitation(torch.autograd.Function):
    """`imitation` with its gradients made on the way; what is imitated has none."""

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, wanted: tuple[Tensor, Tensor], temperature: float, left_share: float,
        scale: float,
    ) -> Tensor:  # fmt: skip
        total, gradients = left.new_zeros(()), [torch.zeros_like(left), torch.zeros_like(right)]
        for side, (one, other, share) in enumerate(((left, right, left_share), (right, left, 1 - left_share))):
            logs = _log_choice(one, other, temperature)  # (P, 2P)
            gap = (wanted[side] - logs).nan_to_num_(0.0)  # an empty entry, -inf in both, asks for nothing
            chance = wanted[side].exp()
            # p (g + e^-g - 1) adds up to sum p g, and each of its terms is exact however close the two are
            total = total + share * scale * (chance * (gap + torch.expm1(-gap))).sum()
            if any(ctx.needs_input_grad[:2]):
                change = logs.exp_().sub_(chance).mul_(share * scale / temperature)
                across, within = change[:, : len(one)], change[:, len(one) :]
                gradients[side] += across @ other + (within + within.T) @ one
                gradients[1 - side] += across.T @ one
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        made = zip(ctx.saved_tensors, ctx.needs_input_grad, strict=False)
        return (*(upstream[0] * one if asked else None for one, asked in made), None, None, None, None)


def imitation(
    left: Tensor, right: Tensor, wanted: tuple[Tensor, Tensor], temperature: float, *, left_share: float = 0.5,
    reduction: str = "batchmean",
) -> Tensor:  # fmt: skip
    """How far the choices of some rows are from the `choices` that they should imitate, which get no gradient.

    share KL(wanted(l_i) || q(l_i)) + (1 - share) KL(wanted(r_i) || q(r_i)), q the distribution of `contrast` over its
    2P - 1 candidates; divided by P ("batchmean"), by P 2P ("mean") or by nothing ("sum"). Rows (P, D) of length 1,
    wanted (P, 2P) twice -> () nats, >= 0. Source: MCLEA eq. (6); "mean" and "sum" are those of the released code.
    """
    size = len(left)
    scale = {"batchmean": 1 / size, "mean": 1 / (2 * size * size), "sum": 1.0}[reduction]
    held = wanted[0].detach(), wanted[1].detach()
    return _Imitation.apply(left, right, held, temperature, left_share, scale)  # type: ignore[no-any-return]


def uncertain(loss: Tensor, log_variance: Tensor, form: str = "published") -> Tensor:
    """A loss weighed by its learned precision: e^-s L + s / 2 ("published"), or e^-s L + s ("released"). -> () nats

    Source: Kendall, Gal, Cipolla 2018; the forms are those of MCLEA eq. (7) and of its released code.
    """
    return torch.exp(-log_variance) * loss + log_variance / (2 if form == "published" else 1)


def agreement(vectors: Sequence[Tensor], norm: str = "row") -> Tensor:
    """Pull the vectors that M modalities have of one entity together, push those of different entities apart.

    softplus(neg_i - pos_i), mean over i: pos the mean dot product over pairs of modalities, neg the mean within a
    modality with the other entities. norm "row": rows of length 1, neg over M (B - 1) products. norm "whole": each
    matrix divided by its Frobenius norm, neg over M B, zeros on the diagonal included, as in the released code, where
    the value is near ln 2 whatever the vectors. M of (B, D) -> () nats. Source: IMF eq. (5).
    """
    size, count = len(vectors[0]), len(vectors)
    if norm == "row":
        rows, others = [unit(x) for x in vectors], max(size - 1, 1)
    else:
        rows, others = [x / x.norm().clamp(min=1e-12) for x in vectors], size
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    alike = torch.stack([(rows[a] * rows[b]).sum(1) for a, b in pairs]).mean(0)
    apart = torch.stack([(x * (x.sum(0) - x)).sum(1) for x in rows]).sum(0) / (count * others)
    return F.softplus(apart - alike).mean()


def supcr(left: Tensor, right: Tensor, target: Tensor, temperature: float, denominator: str = "anchor") -> Tensor:
    """Supervised contrastive regression: whoever has a closer label should be closer, seen from each of 2N views.

    S_ij = cos(z_i, z_j) / tau over both views of all samples, d_ij the distance of their targets:
    -1/2N sum_i 1/(2N-1) sum_{j != i} log(e^S_ij / sum_{k != i, d_ik >= d_ij} e^S_.k), with . = i for denominator
    "anchor" and . = j for "positive". A view of zeros has no direction: its cosines are 0. Integer targets are classes,
    whose distance is 0 or 1. Targets are compared in the precision that they come in, where ties count.

    Those who are at least as far from i as j is lie to both ends of the targets in their order, so each sum is one from
    either end: O(N^2) numbers, no product of three indices, and only positive ones are added.
    (N, D), (N, D), (N,) -> () nats, >= 0. Source: HSCL eq. (3), with the logarithm; "positive" is the released form.
    """
    size, order = len(left), target.argsort(stable=True)
    target = target[order]
    gap = target[None, :] - target[:, None]  # (N, N) of anchor and other, ascending along the other
    gap = gap if target.is_floating_point() else gap.sign()
    far = gap.abs()
    low = torch.searchsorted(gap, -far, right=True)  # so many others lie at least as far below, (N, N)
    high = torch.searchsorted(gap, far).maximum(low)  # others from here on lie at least as far above
    views = torch.cat((left[order], right[order]))  # (2N, D)
    views = unit(views) * (views != 0).any(1, keepdim=True)  # no gradient through the length of nothing
    cosine = views @ views.T
    if 2 / temperature > 80:  # else the smallest would vanish in float32
        cosine = cosine.double()
    logits = (cosine - 1) / temperature  # never above 0
    itself = torch.eye(2 * size, dtype=torch.bool, device=left.device)
    chance = logits.exp()
    added = chance.masked_fill(itself, 0.0) if denominator == "anchor" else chance
    added = added[:, :size] + added[:, size:]  # two views have one target, (2N, N)
    below = F.pad(added.cumsum(1), (1, 0))  # (2N, N + 1)
    above = F.pad(added.flip(1).cumsum(1).flip(1), (0, 1))
    if denominator == "anchor":
        total = below.gather(1, low.repeat(2, 1)) + above.gather(1, high.repeat(2, 1))  # (2N, N) of anchor, positive
        total = total.repeat(1, 2)
    else:
        low, high = low.T.repeat(2, 1), high.T.repeat(2, 1)  # (2N, N) of positive, anchor
        total = (below.gather(1, low) + above.gather(1, high)).T.repeat(2, 1)
        total = total - chance.T * (far == 0).repeat(2, 2)  # the anchor itself, where it is not nearer than the others
    loss = (total.masked_fill(itself, 1.0).log() - logits.masked_fill(itself, 0.0)).sum() / (2 * size * (2 * size - 1))
    return loss.to(left.dtype)
