"""Puts what docs/measured.json says of a bundled checkpoint into its card: python benchmarks/card.py [NAME]

The section "Measured" of card.md is made anew from the topics below; the rest of the card stays as training wrote it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fusion.files import ASSETS, ROOT, atomic_file

TOPICS = ("folds", "seeds", "spans", "mismatch", "gallery", "faithfulness")
HEADING = "## Measured"


def section(topics: dict[str, Any]) -> str:
    """The topics that were measured, as tables."""
    lines = [HEADING, "", "By the commands named, on the dates in docs/measured.md; a bar that was not met says so."]
    for name in TOPICS:
        if name not in topics:
            continue
        lines += ["", topics[name]["tell"], "", "| what | value | spread | bar |", "|---|---|---|---|"]
        for row in topics[name]["rows"]:
            value = f"{row['value']:.3f}" if abs(row["value"]) < 10 else f"{row['value']:.1f}"
            bar = row["bar"] + ("" if row["met"] is None else " (met)" if row["met"] else " (**not met**)")
            lines.append(f"| {row['name']} | {value} {row['unit']} | {row['spread']} | {bar} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Rewrite one card."""
    name = sys.argv[1] if len(sys.argv) > 1 else "maf-gloss"
    card: Path = ASSETS / "checkpoints" / name / "card.md"
    topics = json.loads((ROOT / "docs" / "measured.json").read_text("utf-8"))
    before = card.read_text("utf-8").partition(HEADING)[0].rstrip()
    with atomic_file(card) as aside:
        aside.write_text(f"{before}\n\n{section(topics)}", encoding="utf-8")
        aside.chmod(0o644)


if __name__ == "__main__":
    main()
