"""What every report shares: the shapes of its signals, its facts, and a folder that is written file by file, whole."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fusion
from fusion.words import current, t

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.models.base import FusionModel
    from fusion.signals import Trace
    from fusion.views import Picture


def signals(trace: Trace) -> list[dict[str, Any]]:
    """Name, kind and shapes of each signal."""
    return [
        {
            "name": signal.name, "kind": type(signal).__name__, "unit": signal.unit,
            "normalised_over": signal.normalised_over,
            "shapes": {name: list(tensor.shape) for name, tensor in signal.tensors().items()},
        }
        for signal in trace
    ]  # fmt: skip


def facts(checkpoint: Checkpoint, model: FusionModel) -> dict[str, str]:
    """What a report is of: checkpoint, weights, system."""
    return {
        t("report.checkpoint"): checkpoint.name,
        t("report.weights"): checkpoint.digest,
        t("report.model"): model.card.name,
    }


def today() -> dict[str, str]:
    """Version and time."""
    return {t("report.version"): fusion.__version__, t("report.date"): time.strftime("%Y-%m-%d %H:%M")}


def put(
    folder: Path, title: str, trace: Trace, sections: list[tuple[str, list[Picture]]], facts: dict[str, str],
    candidates: pd.DataFrame | None = None,
) -> tuple[list[str], str]:  # fmt: skip
    """Write report.html, csv/*.csv and png/*.png into a folder, each file whole; other files there stay.

    candidates: a table beside the signals. -> the names written, and one sentence on why there are no PNGs, "" when
    there are.
    """
    from fusion.views.export import html_report, write_csv, write_png

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as name:
        aside = Path(name)
        (aside / "report.html").write_text(html_report(title, sections, facts, current()), encoding="utf-8")
        write_csv(aside / "csv", trace)
        if candidates is not None:
            candidates.to_csv(aside / "csv" / "candidates.csv", index=False)
        absent = write_png(aside / "png", sections)
        written = sorted(path.relative_to(aside) for path in aside.rglob("*") if path.is_file())
        for path in written:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, folder / path)
    return [str(path) for path in written], absent
