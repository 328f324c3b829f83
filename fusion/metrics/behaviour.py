"""How a fusion behaves: does a gate follow what its modality does, and where attention goes.

A weight is not importance: `gate_faithfulness` is the number to put beside every picture of a gate.
"""

from __future__ import annotations

import numpy as np

from fusion.types import FusionError

Array = np.ndarray


def spearman(a: Array, b: Array) -> float | None:
    """Rank correlation, the Pearson correlation of the ranks (equal values share the mean rank), in [-1, 1].

    a (N,), b (N,) -> None ("n/a") when one side is constant or there are fewer than three rows.
    Raises FusionError when lengths differ or a number isn't finite. Source: Spearman 1904.
    """
    from scipy.stats import rankdata  # slow to import

    a, b = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if len(a) != len(b) or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise FusionError(
            f"A rank correlation needs a finite number on each side of a row; {len(a)} and {len(b)} came."
        )
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def gate_faithfulness(gate: Array, with_all: Array, without: Array) -> float | None:
    """Do samples whose gate is open change most when the modality is removed: Spearman of gate and |f - f without m|.

    gate (N,) in [0, 1], with_all (N,) and without (N,) in one unit (state which removal made `without`).
    -> in [-1, 1], None ("n/a") for constant gates or effects. Source: ours.
    """
    return spearman(gate, np.abs(np.asarray(with_all, dtype=np.float64) - np.asarray(without, dtype=np.float64)))


def attention_entropy(attention: Array, key_mask: Array | None = None) -> Array:
    """Spread of each query's attention: -sum a log a / log K over real keys, 0 on one key, 1 even; 1 when K is 1.

    attention (..., K), rows sum to one; key_mask (..., K) bool that broadcasts, True = a real key. Weight on padding
    is left out and the rest scaled to one. -> (...) in [0, 1]; NaN where nothing is on real keys.
    """
    a, mask = _real(attention, key_mask)
    total = a.sum(axis=-1, keepdims=True)
    share = np.divide(a, total, out=np.full_like(a, np.nan), where=total > 0)
    log = np.log(share, out=np.zeros_like(share), where=share > 0)
    nats = -(share * log).sum(axis=-1)  # (...)
    keys = np.broadcast_to(mask, a.shape).sum(axis=-1)  # (...)
    return np.where(keys > 1, nats / np.log(np.maximum(keys, 2)), np.where(np.isnan(nats), np.nan, 1.0))


def attention_mass(attention: Array, chosen: Array, key_mask: Array | None = None) -> tuple[Array, Array]:
    """Share of attention on chosen keys, and their share of all real keys: what even attention would give them.

    attention (..., K); chosen and key_mask (..., K) bool that broadcast. Weight on padding counts as spent elsewhere.
    -> (...) and (...), each in [0, 1].
    """
    a, mask = _real(attention, key_mask)
    wanted = np.broadcast_to(np.asarray(chosen, dtype=bool), a.shape) & mask
    keys = np.broadcast_to(mask, a.shape).sum(axis=-1)
    return (a * wanted).sum(axis=-1), wanted.sum(axis=-1) / np.maximum(keys, 1)


def _real(attention: Array, key_mask: Array | None) -> tuple[Array, Array]:
    a = np.asarray(attention, dtype=np.float64)
    mask = np.ones(a.shape[-1:], dtype=bool) if key_mask is None else np.asarray(key_mask, dtype=bool)
    return a * mask, mask
