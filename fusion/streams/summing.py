"""What a whole set of streams says together: what each modality is worth, what weights mean, how good answers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.words import t

if TYPE_CHECKING:
    import pandas as pd

    from fusion.streams.whole import StreamedSet
    from fusion.views.faithful import Line

HELD_OUT = "test"
LEAST = 8  # samples below which no correlation is told


def held_out(whole: StreamedSet) -> pd.DataFrame:
    """The samples to test; all of them where none is."""
    held = whole.frame.loc[whole.frame["split"] == HELD_OUT, :]
    return held if len(held) else whole.frame


def signals(whole: StreamedSet) -> dict[str, tuple[str, ...]]:
    """Signals of weights with the modalities that they weigh one by one, two at least."""
    found: dict[str, list[str]] = {}
    for column in whole.frame.columns:
        for m in whole.modalities:
            if column.startswith("weight_") and column.endswith(f"_{m}"):
                found.setdefault(column.removeprefix("weight_").removesuffix(f"_{m}"), []).append(m)
    return {name: tuple(names) for name, names in found.items() if len(names) > 1}


def worth_of(whole: StreamedSet, frame: pd.DataFrame) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The share of each modality of all |Shapley|, and its mean weight by signal."""
    size = np.abs(frame[[f"shapley_{m}" for m in whole.modalities]].to_numpy(np.float64))
    total = float(size.sum())
    shares = {m: float(size[:, i].sum()) / total if total > 0 else 0.0 for i, m in enumerate(whole.modalities)}
    mean = {name: {m: float(np.nanmean(frame[f"weight_{name}_{m}"].to_numpy(np.float64))) for m in modalities}
            for name, modalities in signals(whole).items()}  # fmt: skip
    return shares, mean


def correlated(whole: StreamedSet, frame: pd.DataFrame) -> list[Line]:
    """Rank correlation of each weight of a modality with the size of its Shapley value, over samples that have it."""
    from fusion.metrics.intervals import spearman_interval
    from fusion.views.faithful import Line
    from fusion.views.speech import say

    lines = []
    for name, modalities in signals(whole).items():
        for m in modalities:
            part = frame.loc[frame[f"has_{m}"].astype(bool), :]
            if len(part) < LEAST:
                continue
            size = part[f"shapley_{m}"].abs().to_numpy(np.float64)
            found = spearman_interval(part[f"weight_{name}_{m}"].to_numpy(np.float64), size)
            if found is not None:
                label = t("fusing.weight_of", signal=say(name), name=say(m))
                lines.append(Line(label, found.value, found.low, found.high, len(part)))
    return lines


def of_samples(whole: StreamedSet, frame: pd.DataFrame, name: str = "") -> Line | None:
    """Accuracy, or mean absolute error, of some samples with its 95 % interval; None where no truth is known."""
    from fusion.metrics.intervals import bootstrap, wilson
    from fusion.views.faithful import Line

    known = frame.loc[frame["loss"].notna(), :]
    if not len(known):
        return None
    if whole.classes:
        hits = int(known["right"].sum())
        found = wilson(hits, len(known))
    elif len(known) < 2:
        value = float(known["error"].iloc[0])
        return Line(name, value, value, value, 1)
    else:
        found = bootstrap(known["error"].to_numpy(np.float64))
    return Line(name, found.value, found.low, found.high, len(known))
