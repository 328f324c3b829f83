"""Pictures and numbers outside the app: CSV files here, a page in `page`, PNGs in `png`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from fusion.files import atomic_file
from fusion.signals import Attention, Effects, Marginals, ModalityScores, ModalityWeights, Parts, Transitions
from fusion.views.page import html_report
from fusion.views.png import write_png
from fusion.views.speech import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fusion.signals import Signal, Trace

Axes: TypeAlias = "list[tuple[str, Sequence[object]]]"  # a name for each axis, and one for each place on it


def file_name(name: str) -> str:
    """A signal's or a picture's name as a file name: letters, digits, dots, dashes."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._") or "signal"


def write_csv(folder: Path, trace: Trace) -> list[Path]:
    """Every number of every signal as CSV, one file a tensor, in full precision of float32. -> the files

    Leading axes are columns that name the row (head, step, voice); the last axis runs across.
    """
    written = []
    for signal in trace:
        for field, tensor in signal.tensors().items():
            values = tensor.detach().cpu().float().numpy()
            stem = file_name(signal.name if field == "value" else f"{signal.name}.{field}")
            with atomic_file(folder / f"{stem}.csv") as aside:
                _frame(values, signal, field, trace).to_csv(aside, index=False, float_format="%.7g")
            written.append(folder / f"{stem}.csv")
    return written


def _frame(values: np.ndarray, signal: Signal, field: str, trace: Trace) -> pd.DataFrame:
    """A tensor as a table: one row for each place on the leading axes."""
    axes = _axes(values, signal, field, trace)
    if values.ndim == 1:
        names, labels = axes[0]
        return pd.DataFrame({names: labels, field: values})
    *leading, (_, across) = axes
    index = np.indices(values.shape[:-1]).reshape(len(leading), -1)
    columns: dict[str, object] = {}
    for (name, labels), where in zip(leading, index, strict=True):
        columns[name] = where + 1
        if labels and isinstance(labels[0], str):
            columns[f"{name}_name"] = np.asarray(labels, object)[where]
    flat = pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=[str(c) for c in across])
    return pd.concat((pd.DataFrame(columns), flat), axis=1)


def _axes(values: np.ndarray, signal: Signal, field: str, trace: Trace) -> Axes:
    """A name for each axis and one for each place on it."""
    numbered = lambda count: list(range(1, count + 1))  # noqa: E731
    batch: Axes = [("sample", numbered(values.shape[0]))]
    shape = values.shape

    def steps(modality: str, count: int) -> Sequence[object]:
        rows = trace.steps.get(modality, ())
        if len(rows) != 1:
            return numbered(count)
        labels = [plain(label, 60) for label in rows[0].labels[:count]]
        return [*labels, *("" for _ in range(count - len(labels)))]

    if isinstance(signal, Attention) and field == "value":
        across = [f"{i + 1} {name}" for i, name in enumerate(steps(signal.keys, shape[3]))]
        return [*batch, ("head", numbered(shape[1])), ("query", steps(signal.queries, shape[2])), ("key", across)]
    if isinstance(signal, Marginals) and field == "value":
        return [*batch, ("step", steps(signal.steps, shape[1])), ("class", list(signal.classes))]
    if isinstance(signal, Parts) and signal.mask is None:
        return [*batch, ("voice", list(signal.voices))]
    if isinstance(signal, (ModalityWeights, ModalityScores)):
        return [*batch, ("modality", list(signal.modalities))]
    if isinstance(signal, Parts) and field == "value":
        places = steps(signal.steps, shape[2])
        return [*batch, ("voice", list(signal.voices)), ("step", places), ("class", list(signal.classes))]
    if isinstance(signal, Transitions):
        classes: list[object] = list(signal.classes)
        return [("class", classes)] if values.ndim == 1 else [("from", classes), ("to", classes)]
    if isinstance(signal, Effects):
        return [*batch, ("condition", list(signal.conditions)), ("observable", list(signal.observables))]
    modality = getattr(signal, "steps", None)
    rest: Axes = []
    for axis, count in enumerate(shape[1:], 1):
        if axis == 1 and modality is not None:
            rest.append(("step", steps(modality, count)))
        else:
            rest.append((f"axis_{axis}", numbered(count)))
    return [*batch, *rest]


__all__ = ["file_name", "html_report", "write_csv", "write_png"]
