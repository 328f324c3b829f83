"""What a checkpoint of streams keeps of its figures: curves as data go missing, subsets, baselines.

Figures come from a file, so each is looked at before it is believed; what isn't there, or isn't what it should be, is
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.views.missing import Kept, Run

FIGURES = ("accuracy", "mae")
BESIDE = ("accuracy", "macro_f1", "mae", "r", "sign", "sign_nonzero", "acc7")  # columns of a comparison
TURNED = {"mae": -1.0}  # kept with the sign that makes a higher one better


def test_of(found: Checkpoint) -> Mapping[str, Any]:
    """The figures of the samples to test, {} without any."""
    test = found.metrics.get("test")
    return test if isinstance(test, dict) and test.get("main") in FIGURES else {}


def main(found: Checkpoint) -> str:
    """The name of the one figure of curves: accuracy or mae; "" where nothing was measured."""
    return str(test_of(found).get("main", ""))


def unanswered(found: Checkpoint) -> bool:
    """Whether a checkpoint answers nothing: its data have no labels, and its space is all that was measured."""
    return not test_of(found) and isinstance(found.metrics.get("space"), dict)


def hidden(found: Checkpoint) -> tuple[str, ...]:
    """What was hidden for the curves that are kept: modalities, steps, or one modality."""
    curves = test_of(found).get("curves", ())
    named = [one.get("what") for one in curves if isinstance(one, dict)] if isinstance(curves, list) else []
    return tuple(what for what in named if isinstance(what, str) and run_of(found, what) is not None)


def run_of(found: Checkpoint, what: str) -> Run | None:
    """The curve of a checkpoint as something goes missing, None where it wasn't measured."""
    from fusion.views.missing import Run

    test = test_of(found)
    sign = TURNED.get(str(test.get("main")), 1.0)
    for one in test.get("curves", ()):
        if not isinstance(one, dict) or one.get("what") != what:
            continue
        try:
            rates, *rest = (np.asarray(one[name], np.float64) for name in ("rates", "mean", "low", "high"))
            draws = int(one["seeds"])
        except (KeyError, TypeError, ValueError):
            return None
        if rates.ndim != 1 or len(rates) < 2 or any(values.shape != rates.shape for values in rest):
            return None
        mean, low, high = (sign * values for values in rest)
        low, high = np.minimum(low, high), np.maximum(low, high)
        return Run(found.name, rates, mean, low, high, draws)
    return None


def subsets_of(found: Checkpoint) -> tuple[list[Kept], float | None]:
    """The main figure with each subset of the modalities alone, and from nothing (None where it wasn't measured)."""
    from fusion.explain import subsets as named
    from fusion.views.missing import Kept

    modalities = modalities_of(found)
    test, figure = test_of(found), main(found)
    tables = test.get("subsets")
    if not isinstance(tables, dict) or not modalities:
        return [], None
    kept = []
    for one in named.subsets(modalities):
        value, count = (number(tables.get(named.called(one, modalities)), name) for name in (figure, "n"))
        if value is not None and count is not None:
            kept.append(Kept(one, value, int(count)))
    return kept, number(tables.get(named.NONE), figure)


def interval_of(found: Checkpoint) -> tuple[float, float] | None:
    """The 95 % interval of the main figure with all modalities, None where it wasn't measured."""
    low, high = (number(test_of(found), name) for name in ("low", "high"))
    return None if low is None or high is None else (low, high)


def modalities_of(found: Checkpoint) -> tuple[str, ...]:
    """The modalities that a checkpoint reads, in its order."""
    return tuple(str(m) for m in found.config.get("modalities", ()))


def number(table: object, name: str) -> float | None:
    """A finite number of a table by name, None where there is none."""
    value = table.get(name) if isinstance(table, dict) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        return None
    return float(value)


def runs_of(table: object) -> list[Mapping[str, Any]]:
    """Figures of several seeds."""
    return [one for one in table if isinstance(one, dict)] if isinstance(table, list) else []


def numbers(table: object) -> list[float]:
    """A list of finite numbers."""
    values = table if isinstance(table, list) else []
    return [float(v) for v in values if isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v)]
