"""The verbs about which samples are wrong: look at a whole set, take verdicts out and in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.commands.telling import noted, progress, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.triage.store import Store

SHOWN = 20  # rows that can't be read that are named at the end
FIRST = 5  # suspects that are named


def inspect_set(options: argparse.Namespace) -> int:
    """A whole data set through a checkpoint, or the untrained encoders, ranked by suspicion."""
    from fusion import jobs
    from fusion.triage.running import inspect_set as run

    noted()
    if options.workers < 1:
        raise FusionError(f"{options.workers} workers do nothing; give one or more.")
    started = time.perf_counter()
    with (
        progress("sample", options.json, "observing") as moved,
        progress("pair", options.json, "comparing") as comparing,
    ):
        store = run(
            options.data, options.checkpoint, options.out, engine=options.engine, workers=options.workers,
            progress=moved, notice=say, comparing=comparing,
        )  # fmt: skip
    jobs.note("triage", str(store.folder))
    seconds = round(time.perf_counter() - started, 2)
    meta = store.meta
    result = {
        "run": str(store.folder), "data": meta["data"], "checkpoint": meta["checkpoint"], "samples": store.count,
        "problems": meta["problems"], "left_out": meta["left_out_count"], "parts": meta["parts"],
        "missing": meta["calibration"]["missing"], "engine": meta["engine"], "seconds": seconds,
        "first": store.page(limit=FIRST)["id"].tolist(),
    }  # fmt: skip
    if options.json:
        show(result)
        return 0
    under = meta["checkpoint"] or "the untrained encoders"
    print(f"{store.count:,} samples of {meta['data_key']} under {under} in {seconds} s: {store.folder}")
    print(f"Most suspicious: {', '.join(result['first'])}")
    _unread(store)
    return 0


def _unread(store: Store) -> None:
    """The list at the end: samples without a half, and what the reader of the data noted."""
    from fusion.triage.conditions import Condition

    meta = store.meta
    if meta["problems"]:
        print(f"Looked at with one half alone ({meta['problems']:,}):")
        for row in store.page("row", [Condition("problem", "filled")], limit=SHOWN).to_dict("records"):
            print(f"  {row['id']}: {row['problem']}")
        if meta["problems"] > SHOWN:
            print(f"  and {meta['problems'] - SHOWN:,} more")
    if meta["left_out_count"]:
        print(f"Noted when the data was read ({meta['left_out_count']:,}):")
        for sentence in meta["left_out"][:SHOWN]:
            print(f"  {sentence}")
        if meta["left_out_count"] > SHOWN:
            print(f"  and {meta['left_out_count'] - SHOWN:,} more")


def verdicts(options: argparse.Namespace) -> int:
    """Verdicts of a run to a file, from one, or applied to the manifest."""
    from fusion.triage.store import Store
    from fusion.triage.verdicts import Verdicts

    folder = _folder(options.run)
    store = Store.open(folder)  # a run, before a file of verdicts is made in a folder that is none
    decided = Verdicts.open(folder, options.reviewer)
    more: dict[str, int] = {}
    if options.what == "export":
        count = decided.export(options.file, history=options.history)
        said = f"Wrote {count:,} verdicts to {Path(options.file).name}."
    elif options.what == "import":
        count, unknown = decided.load(options.file, store)
        said = f"Loaded {count:,} new verdicts from {Path(options.file).name}."
        more["unknown"] = unknown
        if unknown:
            said += f" Left out {unknown:,} of samples that the run doesn't have."
    else:
        count = decided.cleaned(store, options.file)
        said = f"Wrote {count:,} rows that stay to {Path(options.file).name}."
    if options.json:
        show({"run": str(folder), "rows": count, **more, "counts": decided.counts()})
    else:
        print(said)
    return 0


def _folder(name: str) -> Path:
    """The folder of a run, by its path or by its name among the user's runs. Raises FusionError without one."""
    from fusion.files import home, shorten
    from fusion.triage.known import META

    for folder in (Path(name).expanduser(), home() / "triage" / Path(name).name):
        if (folder / META).is_file():
            return folder
    raise FusionError(f'There is no run "{shorten(name)}"; make one with: python -m fusion inspect-set DATA --out RUN.')
