"""Where two sets of vectors lie in relation to each other: gap, alignment, uniformity, and likeness of two spaces.

Row i of x and row i of y belong to one pair. Rows are brought to length one for gap, alignment and uniformity, and
left as they are for likeness. None of these says anything about a picture in two dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.metrics.matching import auc
from fusion.neighbours import Scores, blocks, matrix, top, unit
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.neighbours import Array, Vectors

_RIDGE = 0.1  # share of the mean variance added to every direction, so that D may exceed N


def _pairs(x: Vectors, y: Vectors, least: int, same_width: bool) -> tuple[Array, Array]:
    X, Y = matrix(x, "first vectors"), matrix(y, "second vectors")
    if len(X) != len(Y) or len(X) < least:
        raise FusionError(f"{len(X)} and {len(Y)} vectors came; give as many of both, at least {least}.")
    if same_width and X.shape[1] != Y.shape[1]:
        raise FusionError(f"One side has {X.shape[1]} numbers a vector and the other {Y.shape[1]}; "
                          "this measure needs one space.")  # fmt: skip
    return X, Y


def modality_gap(x: Vectors, y: Vectors) -> float:
    """Distance between the two centres, |mean x^ - mean y^| with rows of length one, in [0, 2].

    x (N, D), y (N', D). A gap is not an error: it hardly changes retrieval. Source: Liang et al. 2022, NeurIPS.
    """
    X, Y = matrix(x, "first vectors"), matrix(y, "second vectors")
    _pairs(X[:1], Y[:1], 1, same_width=True)
    return float(np.linalg.norm(unit(X).mean(axis=0) - unit(Y).mean(axis=0)))


def separability(x: Vectors, y: Vectors, seed: int = 0) -> float:
    """How well a straight cut tells the modalities apart: AUC in [0, 1], .5 not at all, 1 entirely.

    x (N, D), y (N, D), rows of length one. Fisher's direction (S + ridge)^-1 (mean x - mean y) is fitted on a random
    half of the pairs and scored on the other, both ways round, and the two AUCs are averaged; the ridge is a tenth of
    the mean variance. Source: Fisher 1936; the AUC as the companion of the gap.
    """
    X, Y = _pairs(x, y, 4, same_width=True)
    X, Y = unit(X), unit(Y)
    half = np.random.default_rng(seed).permutation(len(X)) % 2 == 0  # (N,) bool
    areas = []
    for fit in (half, ~half):
        apart = X[fit].mean(axis=0) - Y[fit].mean(axis=0)  # (D,)
        within = np.concatenate([X[fit] - X[fit].mean(axis=0), Y[fit] - Y[fit].mean(axis=0)])
        S = within.T @ within / len(within)  # (D, D)
        ridge = _RIDGE * np.trace(S) / len(S) + np.finfo(np.float64).tiny
        direction = np.linalg.solve(S + ridge * np.eye(len(S)), apart)
        areas.append(auc(X[~fit] @ direction, Y[~fit] @ direction))
    return float(np.mean(areas))


def alignment(x: Vectors, y: Vectors) -> float:
    """Mean squared distance of partners, mean |x^_i - y^_i|^2 with rows of length one, in [0, 4]; 0 is best.

    x (N, D), y (N, D). Vectors that all collapsed to one point score 0 too: read it with `uniformity`.
    Source: Wang and Isola 2020, ICML.
    """
    X, Y = _pairs(x, y, 1, same_width=True)
    return float(np.mean(np.sum((unit(X) - unit(Y)) ** 2, axis=1)))


def uniformity(x: Vectors, chunk: int | None = None) -> float:
    """log of the mean of exp(-2 |x^_i - x^_j|^2) over i != j, in nats, from -8 to 0; 0 when all are equal.

    x (N, D), rows of length one; blocks of float32 cosines, sums in float64. Depends on N and on how classes are
    balanced: compare equal sets only. Source: Wang and Isola 2020, ICML.
    """
    X = unit(x).astype(np.float32)
    if len(X) < 2:
        raise FusionError("Uniformity compares vectors with each other; give at least two.")
    total = 0.0
    for part in blocks(len(X), len(X), chunk):
        cosine = X[part] @ X[part.start :].T  # (b, N - start): each pair of rows once
        inside = part.stop - part.start
        near = np.exp(4.0 * np.minimum(cosine, 1.0) - 4.0)  # |a - b|^2 = 2 - 2 cos
        near[:, :inside] *= np.triu(np.ones((inside, inside), dtype=np.float32), 1)
        total += float(near.sum(dtype=np.float64))
    return float(np.log(2.0 * total / (len(X) * (len(X) - 1))))


def linear_cka(x: Vectors, y: Vectors) -> float:
    """Likeness of two spaces up to rotation and scale: HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), unbiased.

    x (N, D), y (N, E), K = x x^T and L = y y^T without their diagonals; HSIC =
    (tr KL + (1'K1)(1'L1) / ((N-1)(N-2)) - 2 (1'KL1) / (N-2)) / (N (N-3)), from D x E products, so nothing is N x N.
    1 for a rotated copy, about 0 (also just below) for independent ones; NaN when a side is constant. Dominated by a
    few strong directions. Source: Kornblith et al. 2019, ICML; unbiased HSIC of Song et al. 2012, JMLR 13.
    """
    X, Y = _pairs(x, y, 4, same_width=False)
    X, Y = (A.astype(np.float64) - A.mean(axis=0, dtype=np.float64) for A in (X, Y))  # moves nothing, helps rounding
    across, first, second = _hsic(X, Y), _hsic(X, X), _hsic(Y, Y)
    scale = first * second
    return float(across / np.sqrt(scale)) if scale > 0 else float("nan")


def _hsic(X: Array, Y: Array) -> float:
    n = len(X)
    k, l = np.einsum("nd,nd->n", X, X), np.einsum("nd,nd->n", Y, Y)  # (N,) the diagonals
    row_k, row_l = X @ X.sum(axis=0) - k, Y @ Y.sum(axis=0) - l  # (N,) row sums without the diagonal
    trace = np.sum((X.T @ Y) ** 2) - k @ l
    rest = row_k.sum() * row_l.sum() / ((n - 1) * (n - 2)) - 2.0 * (row_k @ row_l) / (n - 2)
    return float((trace + rest) / (n * (n - 3)))


def mutual_neighbours(x: Vectors, y: Vectors, k: int = 10) -> tuple[float, float]:
    """Do the two spaces agree on who is near: mean of |N_k(x_i) and N_k(y_i)| / k, and chance, k / (N - 1).

    x (N, D), y (N, E); neighbours by cosine, a point never its own. Both in [0, 1]: subtract chance when comparing.
    Source: Huh et al. 2024, ICML.
    """
    X, Y = _pairs(x, y, 2, same_width=False)
    k = min(k, len(X) - 1)
    own = np.arange(len(X))
    in_x, in_y = (top(Scores(A, A, "cosine"), k, skip=own)[0] for A in (X, Y))  # (N, k)
    shared = (in_x[:, :, None] == in_y[:, None, :]).sum(axis=(1, 2))  # (N,)
    return float(shared.mean() / k), k / (len(X) - 1)


def procrustes(x: Vectors, y: Vectors) -> float:
    """What stays apart after the best rotation: min over R'R = I of |x R - y|^2, in [0, 2]; 0 for a rotated copy.

    x (N, D), y (N, D), each centred and divided by its Frobenius norm, so scale and place don't count:
    2 - 2 |x' y|_* with the sum of singular values. NaN when a side is constant. Source: Schoenemann 1966.
    """
    X, Y = _pairs(x, y, 2, same_width=True)
    X, Y = (A.astype(np.float64) - A.mean(axis=0, dtype=np.float64) for A in (X, Y))
    scale = np.linalg.norm(X) * np.linalg.norm(Y)
    if scale == 0:
        return float("nan")
    nuclear = np.linalg.svd(X.T @ Y, compute_uv=False).sum() / scale
    return float(max(0.0, 2.0 - 2.0 * nuclear))
