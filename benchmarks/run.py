"""Measures what this project promises, and writes docs/measured.md: python benchmarks/run.py [--only NAME ...]

Each benchmark is a module here with `measure(checkpoint) -> list[Row]`, and runs in a process of its own. One that is
not asked for, or can't be run here, keeps the rows that it had in docs/measured.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Title of each benchmark on the page, in its order.
BENCHMARKS: dict[str, str] = {
    "latency": "One inspection",
    "throughput": "Many inspections",
    "entity": "One entity among 40,000",
    "browser": "On screen",
    "memory": "Memory of a tab",
    "tabs": "Two checkpoints at once",
    "map": "A map of 10,000 pairs, on the server",
    "big_map": "A map of 10,000 pairs, on screen",
    "official": "Adopting a full-size official checkpoint",
    "folds": "Matching and retrieval, five folds",
    "seeds": "The bundled training from three seeds",
    "spans": "Entities, with and without the picture",
    "mismatch": "Planted mismatch and calibration",
    "gallery": "Photographs unlike the training pictures",
    "alignment": "Entity alignment",
    "links": "Link prediction",
    "planted": "Fusion on planted sequences",
    "coherence": "Multimodal VAEs on digits in two hands",
    "canonical": "Canonical correlation at size",
    "supcr": "Contrast ordered by score",
    "tfr": "A training step of TFR-Net",
    "explaining": "Explanations against what is known",
    "comparing": "Two checkpoints over one data set",
    "triage": "Planted mismatches, found without labels",
    "first_suspect": "From a table to the first suspect",
    "triage_store": "A run over a million pairs, asked",
    "faithfulness": "Does the gate tell what the picture did?",
}


def main() -> int:
    """Run what was asked for and write the page. -> 0, or 1 when a benchmark couldn't be run"""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME",
                        help=f"some of: {' '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--checkpoint", default="maf-gloss", help="name or folder (default: the bundled one)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs", help="folder of measured.md and measured.json")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)  # measure here, write rows to this file
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))  # so that `benchmarks`, `fusion` and `tests` are found from this file
    if options.child:
        return _child(options.only[0], options.checkpoint, options.child)
    kept = options.out / "measured.json"
    topics: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    failed = []
    for name in options.only:
        made = _measure(name, options.checkpoint)
        if made is None:
            failed.append(name)
            continue
        topics[name] = made
        _write(options.out, topics)
    if failed:
        print(f"Not measured: {', '.join(failed)}; see above. Their earlier rows stay.", file=sys.stderr)
    return 1 if failed else 0


def _measure(name: str, checkpoint: str) -> dict[str, Any] | None:
    """One benchmark in a child, with the machine's state before it; None where it couldn't be run."""
    print(f"{name}: {BENCHMARKS[name]} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="fusion-bench-") as folder:
        rows = Path(folder) / "rows.json"
        state, started = machine(), time.monotonic()
        command = [sys.executable, __file__, "--only", name, "--checkpoint", checkpoint, "--child", str(rows)]
        environment = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", **os.environ}
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        if status or not rows.exists():
            return None
        said = json.loads(rows.read_text("utf-8"))
    for row in said["rows"]:
        print("  " + " | ".join(cells(row)), file=sys.stderr, flush=True)
    return {"tell": said["tell"], "machine": state, "seconds": round(time.monotonic() - started), "rows": said["rows"]}


def _child(name: str, checkpoint: str, to: Path) -> int:
    """Measure in this process. -> 2 and a sentence where something that the benchmark needs is absent"""
    from fusion.types import FusionError

    module = importlib.import_module(f"benchmarks.{name}")
    try:
        rows = module.measure(checkpoint)
    except FusionError as error:
        print(f"{name} can't be measured here: {error}", file=sys.stderr)
        return 2
    tell = " ".join((module.__doc__ or "").split())
    to.write_text(json.dumps({"tell": tell, "rows": [dataclasses.asdict(row) for row in rows]}), "utf-8")
    return 0


def machine() -> dict[str, Any]:
    """Where and when: date, processor, cores, memory (GB), versions, and how busy the machine was (load, 1 minute)."""
    from importlib import metadata

    model = platform.processor() or platform.machine()
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        lines = listing.read_text("utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = {name: metadata.version(name) for name in ("torch", "streamlit", "plotly", "numpy")}
    return {
        "date": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "cpu": model, "cores": os.cpu_count(),
        "memory_gb": round(memory), "python": platform.python_version(), "versions": versions,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def cells(row: dict[str, Any]) -> list[str]:
    """One row of a table: what, value, bar, met, n, spread."""
    met = {None: "", True: "yes", False: "**no**"}[row["met"]]
    value = f"{number(row['value'])} {row['unit']}".strip()
    return [row["name"], value, row["bar"], met, f"{row['n']:,}", row["spread"]]


def number(value: float) -> str:
    """Three digits that count: 0.0123, 1.23, 123."""
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def page(topics: dict[str, Any]) -> str:
    """docs/measured.md from what was kept."""
    rows = [row for topic in topics.values() for row in topic["rows"]]
    bars = [row["met"] for row in rows if row["met"] is not None]
    lines = [
        "# Measured", "",
        "Written by `make bench` (`python benchmarks/run.py`); don't edit it. A table says when and where it was made, "
        "and how busy the machine was: a load above the number of cores makes wall times longer, ratios little. "
        "Times are medians; a spread is the 10th to the 90th percentile of the runs, an interval is a 95 % bootstrap "
        "interval.", "",
        f"{sum(bars)} of {len(bars)} bars are met.", "",
    ]  # fmt: skip
    for row in rows:
        if row["met"] is False:
            lines.append(f"* Not met: {row['name']}, {number(row['value'])} {row['unit']} ({row['bar']})")
    for name, title in BENCHMARKS.items():
        if name in topics:
            lines += ["", *section(name, title, topics[name])]
    return "\n".join(lines) + "\n"


def section(name: str, title: str, topic: dict[str, Any]) -> list[str]:
    """One table with what it is of, its command and its machine."""
    at = topic["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in at["versions"].items())
    return [
        f"## {title}", "", topic["tell"], "",
        "| what | value | bar | met | n | spread |", "|---|---|---|---|---|---|",
        *("| " + " | ".join(cells(row)) + " |" for row in topic["rows"]), "",
        f"`python benchmarks/run.py --only {name}` on {at['date']} UTC, {topic['seconds']} s; {at['cores']} cores of "
        f"{at['cpu']}, {at['memory_gb']} GB, load {at['load']} at the start; Python {at['python']}, {versions}.",
    ]  # fmt: skip


def _write(folder: Path, topics: dict[str, Any]) -> None:
    from fusion.files import atomic_file

    order = {name: topics[name] for name in BENCHMARKS if name in topics}
    for name, text in (("measured.json", json.dumps(order, indent=1) + "\n"), ("measured.md", page(order))):
        with atomic_file(folder / name) as aside:
            aside.write_text(text, "utf-8")
            aside.chmod(0o644)


if __name__ == "__main__":
    sys.exit(main())
