"""A folder as MAF's authors save it (BERT-base, ResNet-152, L = 128), adopted and then used once by the command line.

Weights are random: only sizes and times count. Each command is a process of its own, start included; peak memory is
that of the process. The first inspection is not counted: it reads cold files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks import adopt
from benchmarks.measuring import Row, at_most


def measure(checkpoint: str) -> list[Row]:
    """Make the folder, adopt it, inspect one picture. The checkpoint is not used."""
    with tempfile.TemporaryDirectory(prefix="fusion-bench-") as folder:
        found = adopt.measure(Path(folder))
    return [
        Row("size of the official files", found["source_mb"], "MB"),
        at_most("adopting it", found["adopt"]["seconds"], "s", 60),
        at_most("peak memory of adopting", found["adopt"]["peak_mb"] / 1024, "GB", 4),
        at_most("one inspection after it, a process of its own", found["inspect"]["seconds"], "s", 6),
        Row("peak memory of that inspection", found["inspect"]["peak_mb"] / 1024, "GB"),
    ]
