"""The verb that compares two checkpoints, or one with a switch flipped: on a sample, or over a data set."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion.commands.telling import progress, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.versus.samples import SampleCompared
    from fusion.versus.sets import SetCompared
    from fusion.views.page import Page

ROWS = 10  # samples that the terminal shows


def compare(options: argparse.Namespace) -> int:
    """Where two checkpoints answer differently, and by how much."""
    from fusion import checkpoints, versus
    from fusion.data import open_data
    from fusion.words import use

    use(options.lang)
    out = Path(options.out).expanduser() if options.out else None
    if out is not None and (out.is_dir() or out.suffix.lower() not in (".html", ".csv")):
        raise FusionError(f'"{out.name}" says no kind of file; name one that ends in .html or .csv.')
    a = checkpoints.find(options.a)
    b = versus.second(a, checkpoints.find(options.b) if options.b else None, options.switch)
    versus.check(a, b, checkpoints.listed())
    dataset = open_data(options.data or a.data)
    if options.id:
        return _sample(options, out, a, b, dataset)
    with progress("sample", options.json, "observing") as moved:
        found = versus.compared(a, b, dataset, moved)
    if out is not None:
        _write_set(out, a, b, dataset, found)
    if options.json:
        show(_plain(found))
    else:
        print("\n".join(_lines(found)))
    return 0


def _sample(options: argparse.Namespace, out: Path | None, a: Checkpoint, b: Checkpoint, dataset: DataSet) -> int:
    from fusion import report, versus

    found = versus.compare_sample(a, b, dataset, options.id)
    if out is not None:
        if out.suffix.lower() == ".csv":
            _csv(out, versus.cells(found))
        else:
            _html(out, report.versus_sample_page(a, b, dataset, found))
    if options.json:
        show(_plain_sample(found))
    else:
        print("\n".join(_sample_lines(found)))
    return 0


def _write_set(out: Path, a: Checkpoint, b: Checkpoint, dataset: DataSet, found: SetCompared) -> None:
    from fusion import report

    if out.suffix.lower() == ".csv":
        _csv(out, found.frame)
    else:
        _html(out, report.versus_set_page(a, b, dataset, found))


def _csv(out: Path, frame: Any) -> None:  # a DataFrame
    from fusion.files import atomic_file

    with atomic_file(out) as aside:
        frame.to_csv(aside, index=False, encoding="utf-8-sig")
    say(f"Wrote {out.name}: {len(frame):,} rows.")


def _html(out: Path, page: Page) -> None:
    from fusion import report

    size, absent = report.write_page(out, page)
    say(f"Wrote {out.name}: {len(page.pictures)} pictures, {size / 1e6:.2f} MB.")
    if absent:
        say(absent)


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def _plain(found: SetCompared) -> dict[str, Any]:
    return {
        "a": found.a, "b": found.b, "data": found.data, "split": found.split or "all", "samples": len(found.frame),
        "differ": found.differ, "few": found.few,
        "figures": [
            {"name": one.name, "more_is_better": one.more, "a": one.a, "b": one.b, "samples": one.n,
             "change": one.b - one.a, "interval": None if one.change is None else [one.change.low, one.change.high],
             "better": one.verdict}
            for one in found.figures
        ],
        "movement": [
            {"space": one.space, "samples": len(one.ids), "disparity": one.disparity, "mean": float(one.far.mean())}
            for one in found.movement
        ],
        "first": [
            {"id": str(row["id"]), "a": row["said_a"], "b": row["said_b"], "truth": row["truth"],
             "change": _number(row["change"])}
            for row in found.frame.head(ROWS).to_dict("records") if row["differs"]
        ],
    }  # fmt: skip


def _lines(found: SetCompared) -> list[str]:
    told = [
        f"A {found.a}", f"B {found.b}",
        f"{len(found.frame):,} samples of {found.data}{' to test' if found.split else ''}: {found.differ:,} answered "
        "differently",
    ]  # fmt: skip
    for one in found.figures:
        better = {"a": "A is better", "b": "B is better", "same": "the same", "open": "open"}[one.verdict]
        sure = "too few samples for an interval"
        if one.change is not None:
            sure = f"{one.change.value:+.4f} ({one.change.low:+.4f} to {one.change.high:+.4f})  {better}"
        told.append(f"  {one.name:<16}{one.a:>9.4f} -> {one.b:<9.4f}{sure}")
    told += [f"  {one.space:<16}disparity {one.disparity:.3f}" for one in found.movement]
    for row in found.frame.head(ROWS).to_dict("records"):
        if row["differs"]:
            told.append(
                f"{row['id']}: A {row['said_a'] or '-'} | B {row['said_b'] or '-'} | truth {row['truth'] or '?'}"
            )
    if found.nothing:
        told.append("Nothing differs.")
    return told


def _plain_sample(found: SampleCompared) -> dict[str, Any]:
    return {
        "a": found.a, "b": found.b, "id": found.id, "said": list(found.said), "truth": found.truth,
        "same": found.same,
        "numbers": [
            {"name": " ".join(filter(None, one.of)), "a": one.a, "b": one.b, "change": one.change}
            for one in found.numbers
        ],
        "signals": [
            {"name": one.name, "kind": one.kind, "shape": list(one.change.shape), "mean": one.mean, "most": one.most,
             "at": list(one.place())}
            for one in found.signals
        ],
        "apart": [asdict(one) | {"told": list(one.told)} for one in found.apart],
    }  # fmt: skip


def _sample_lines(found: SampleCompared) -> list[str]:
    told = [f"A {found.a}: {found.said[0] or '-'}", f"B {found.b}: {found.said[1] or '-'}"]
    told.append(f"truth {found.truth or '?'}")
    for one in found.numbers:
        a, b = ("-" if value is None else f"{value:.4g}" for value in (one.a, one.b))
        told.append(f"  {' '.join(filter(None, one.of)):<28}{a:>10} -> {b}")
    for one in found.signals:
        told.append(f"  {one.name:<28}mean {one.mean:.4f}, most {one.most:+.4f} at {', '.join(one.place()) or '-'}")
    if found.apart:
        told.append("not compared: " + ", ".join(f"{one.name} ({one.why})" for one in found.apart))
    return told
