"""The estimated share of wrong pairs on the Match page, and whether this data set lets it be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.words import t
from pages.parts import cache

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.metrics.intervals import Interval
    from fusion.reference import Reference

FAR = 0.05  # share of pairs unlike the training data above which scores are doubted; 0.01 of held-out ones are


def reference_of(checkpoint: Checkpoint) -> Reference | None:
    """Held-out scores of the checkpoint, None where it has none."""
    from fusion import reference

    path = checkpoint.folder / reference.NAME
    stamp = path.stat().st_mtime_ns if path.is_file() else 0
    return cache.made(lambda: reference.load(checkpoint.folder), "reference", str(checkpoint.folder), stamp)


def estimate(known: Reference | None, frame: pd.DataFrame) -> Interval | None:
    """Estimated share of wrong pairs, None without held-out scores to compare with."""
    from fusion.metrics.mismatch import fit_mixture, mismatch_rate

    if known is None or not len(known.true) or not len(known.shuffled):
        return None
    return mismatch_rate(fit_mixture(known.true, known.shuffled), frame["match"].to_numpy(np.float32))


def doubt(known: Reference | None, frame: pd.DataFrame) -> str:
    """The sentence that says why the estimate doesn't hold for these pairs, "" where nothing speaks against it."""
    from fusion.metrics.mismatch import unlike
    from fusion.views.speech import num, percent

    if known is None or not len(known.true) or not len(known.shuffled):
        return ""
    far = float(frame["far"].mean())
    if far > FAR:
        return t("match.rate.far", share=percent(far))
    own = frame["match_shuffled"].dropna().to_numpy(np.float32)
    if len(own) and unlike(own, known.shuffled):
        return t("match.rate.unlike", own=num(float(own.mean())), known=num(float(known.shuffled.mean())))
    return ""


def cell(known: Reference | None, rate: Interval | None, doubted: bool) -> tuple[str, str, str]:
    """Name, value and line below of the estimate: never a number without its interval, no number alone in doubt."""
    from fusion.views.speech import percent

    if known is None or rate is None:
        return "rate", "–", t("match.rate.none")
    low, high = percent(rate.low), percent(rate.high)
    if doubted:
        return "rate", t("match.rate.between", low=low.rstrip("% \u00a0"), high=high), t("match.rate.doubted")
    return "rate", percent(rate.value), t("match.rate.range", low=low, high=high)
