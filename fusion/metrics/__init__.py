"""Measures: how well vectors retrieve, tags agree and scores separate, and how a fusion behaves.

Every function names its formula, unit and source, gives the same number whatever the block size and the row order (up
to a stated seed), and counts ties against the model.
"""

from __future__ import annotations

import numpy as np


def sample(rows: int, seed: int = 0, full: int = 5000, size: int = 2000) -> np.ndarray:
    """Which rows a measure of quadratic cost should read: all of them up to `full`, else a seeded sample of `size`.

    -> (n,) int64, ascending. A page says n and the seed beside the number.
    """
    if rows <= full:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, size, replace=False))
