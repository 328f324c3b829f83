"""What is known of the samples of a set without labels: which views they have, and how close those lie.

N samples, M views, K numbers of the shared space.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.data.graphs import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from torch import Tensor

    from fusion.streams.inspection import Reader


def frame(
    reader: Reader, rows: np.ndarray, vectors: Mapping[str, Tensor], levels: Mapping[str, str],
    weights: Mapping[str, np.ndarray],
) -> pd.DataFrame:  # fmt: skip
    """The columns that `StreamedSet.answers` names. vectors: (N, K) by name of the embedding; levels: whose they are"""
    import pandas as pd

    streams, views = reader.streams, []
    columns: dict[str, object] = {
        "id": [streams.ids[row] for row in rows],
        "split": [SPLITS[s] if s < len(SPLITS) else "" for s in streams.split[rows]],
    }
    for m in reader.names:
        there = streams.present[rows, streams.names.index(m)]
        columns[f"has_{m}"] = there
        name = next((name for name, level in levels.items() if level == m), None)
        if name is not None:
            views.append(np.where(there[:, None], vectors[name].float().numpy(), np.nan))
    columns["cosine"] = together(views, len(rows))
    return pd.DataFrame(columns | {f"weight_{name}": value for name, value in weights.items()})


def together(views: list[np.ndarray], count: int) -> np.ndarray:
    """Mean cosine of the views of each sample, over the pairs that it has. M of (N, K), NaN where absent -> (N,)"""
    unit = [torch.nn.functional.normalize(torch.from_numpy(view), dim=1).numpy() for view in views]
    apart = [(a * b).sum(1) for a, b in itertools.combinations(unit, 2)]
    table = np.stack(apart, 1) if apart else np.full((count, 1), np.nan)
    known = np.isfinite(table)
    total = np.where(known, table, 0).sum(1)
    mean = np.divide(total, known.sum(1), out=np.full(count, np.nan), where=known.any(1))
    return mean.astype(np.float32)
