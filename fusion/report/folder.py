"""What every folder of a report shares: the shapes of its signals, and that it is written file by file, whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.words import current

if TYPE_CHECKING:
    import pandas as pd

    from fusion.signals import Trace
    from fusion.views.page import Page


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


def put(folder: Path, page: Page, trace: Trace, candidates: pd.DataFrame | None = None) -> tuple[list[str], str]:
    """Write report.html, csv/*.csv and png/*.png into a folder, each file whole; other files there stay.

    candidates: a table beside the signals. -> the names written, and one sentence on why there are no PNGs, "" when
    there are.
    """
    from fusion.views.export import write_csv, write_png
    from fusion.views.page import html_page

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as name:
        aside = Path(name)
        (aside / "report.html").write_text(html_page(page, current()), encoding="utf-8")
        write_csv(aside / "csv", trace)
        if candidates is not None:
            candidates.to_csv(aside / "csv" / "candidates.csv", index=False)
        absent = write_png(aside / "png", page.sections)
        written = sorted(path.relative_to(aside) for path in aside.rglob("*") if path.is_file())
        for path in written:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(aside / path, folder / path)
    return [str(path) for path in written], absent
