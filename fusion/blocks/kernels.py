"""Kernels, their centring, and features whose products are the kernel: exact, by landmarks, by random waves.

Centring: Schoelkopf, Smola, Mueller 1998. Landmarks: Williams and Seeger 2001 (Nystroem). Waves: Rahimi, Recht 2007.

    K~ = H K H,  H = I - 11'/n;  of a new object k~_z = k_z - mean(k_z) - column means + grand mean              (1)
    K~ = U L U',  features F = U sqrt(L) = K~ U L^(-1/2)                                                          (2)
    K_ZZ = U L U' of m landmarks Z,  F = k(X, Z) U L^(-1/2), less its own column means                            (3)
    F = sqrt(2 / R) cos(X W + b),  W ~ N(0, 2 gamma),  b ~ U(0, 2 pi)                                             (4)

mean(k_z) is over the n fitted columns, never over the new rows. n rows, D columns, m landmarks, R waves, r features.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from fusion.blocks.whitening import EPS, Basis, pairs, steady

Kernel = Literal["linear", "rbf", "polynomial"]
SAMPLED = 2000  # rows from which a width is taken


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|a|^2 + |b|^2 - 2ab, never below 0. (b, D), (m, D) -> (b, m)"""
    found = torch.addmm(y.square().sum(1)[None], x, y.T, alpha=-2)
    return found.add_(x.square().sum(1)[:, None]).clamp_(min=0)


def kernel(x: Tensor, y: Tensor, kind: Kernel, gamma: float, degree: int = 3, offset: float = 1.0) -> Tensor:
    """x'y, exp(-gamma |x - y|^2) or (gamma x'y + offset)^degree. (b, D), (m, D) -> (b, m)"""
    if kind == "rbf":
        return squared_distances(x, y).mul_(-gamma).exp_()
    inner = x @ y.T
    return inner if kind == "linear" else inner.mul_(gamma).add_(offset).pow_(degree)


def median_width(x: Tensor, seed: int = 0) -> float:
    """gamma = 1 / (2 med^2), med the median distance between at most 2,000 rows. (n, D) -> gamma, 0 for equal rows

    Where most rows are equal, the median of the distances that are not 0.
    """
    if len(x) > SAMPLED:
        x = x[chosen(len(x), SAMPLED, seed).to(x.device)]
    apart = torch.pdist(x)
    middle = float(apart.median())
    if middle == 0 and bool((apart > 0).any()):
        middle = float(apart[apart > 0].median())
    return 1 / (2 * middle**2) if middle > 0 else 0.0


def chosen(rows: int, count: int, seed: int) -> Tensor:
    """Some rows without repeats, each as likely as the others, in their order. -> (count,) int"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(rows, generator=generator)[:count].sort().values


def spread_out(x: Tensor, count: int, seed: int) -> Tensor:
    """Rows drawn one after the other with chances by squared distance to those drawn (k-means++). -> (count,) int

    Arthur and Vassilvitskii 2007. x (n, D); equal rows are drawn once while others are left.
    """
    generator = torch.Generator().manual_seed(seed)
    first = int(torch.randint(len(x), (), generator=generator))
    taken, nearest = [first], squared_distances(x, x[first : first + 1])[:, 0]
    for _ in range(count - 1):
        nearest[taken[-1]] = 0
        chance = nearest.cpu()
        if not float(chance.sum()):
            chance = torch.ones(len(x), dtype=torch.float64)
            chance[taken] = 0
        at = int(torch.multinomial(chance, 1, generator=generator))
        taken.append(at)
        nearest = nearest.minimum(squared_distances(x, x[at : at + 1])[:, 0])
    return torch.tensor(sorted(taken))


def centre(k: Tensor, column_means: Tensor, grand_mean: Tensor | float) -> Tensor:
    """Rows of a kernel against the fitted rows, centred in feature space, eq. (1). (b, n), (n,) -> (b, n)"""
    return k - k.mean(1, keepdim=True) - column_means + grand_mean


def exact(grams: list[Tensor], ddof: int = 1, told: list[str] | None = None) -> Basis:
    """Axes of several views from their (centred) Gram matrices, eq. (2). grams V of (n, n)

    An axis (n, r) takes a centred kernel row to a feature: U L^(-1/2).
    """
    said, n = told if told is not None else [], len(grams[0])
    freedom = float(max(1, n - ddof))
    left, sizes = [], []
    for k in grams:
        values, vectors = steady(torch.linalg.eigh, (k + k.T) / 2, said)
        values, vectors = values.flip(0), vectors.flip(1)
        kept = values > values.max() * n * EPS
        left.append(vectors[:, kept])
        sizes.append(values[kept].sqrt())
    axes = tuple(u / s for u, s in zip(left, sizes, strict=True))
    cross = {(a, b): sizes[a][:, None] * (left[a].T @ left[b]) * sizes[b] / freedom for a, b in pairs(len(grams))}
    means = tuple(torch.zeros_like(k[0]) for k in grams)
    return Basis(axes, tuple(s.square() / freedom for s in sizes), cross, means, n, freedom)


def landmark_map(k: Tensor, told: list[str] | None = None) -> Tensor:
    """U L^(-1/2) of eq. (3), from a kernel row against the landmarks to features. (m, m) -> (m, r)"""
    values, vectors = steady(torch.linalg.eigh, (k + k.T) / 2, told if told is not None else [])
    kept = values > values.max() * len(k) * EPS
    return (vectors[:, kept] / values[kept].sqrt()).flip(1)


def waves(width: int, count: int, gamma: float, seed: int) -> tuple[Tensor, Tensor]:
    """Frequencies and phases of eq. (4), float64 on the CPU. -> (D, R), (R,)"""
    generator = torch.Generator().manual_seed(seed)
    frequency = torch.randn(width, count, generator=generator, dtype=torch.float64) * math.sqrt(2 * gamma)
    return frequency, 2 * math.pi * torch.rand(count, generator=generator, dtype=torch.float64)


def wave_features(x: Tensor, frequency: Tensor, phase: Tensor) -> Tensor:
    """Eq. (4). (b, D) -> (b, R)"""
    return (x @ frequency + phase).cos_().mul_(math.sqrt(2 / len(phase)))
