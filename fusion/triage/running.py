"""A whole data set through a checkpoint into the folder of a run, by shards: stopped or killed, it goes on.

    inspect_set(data, checkpoint=None, out=None, engine="plain", workers=2, progress=None, notice=None) -> Store

The default folder is home()/triage/<key>, the key being that of the content (data, checkpoint, shard size): data that
changed is another run. In a folder that was named, data or a checkpoint that changed is refused, by hash.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import fusion
from fusion.checkpoints import Checkpoint
from fusion.data.dataset import DataSet
from fusion.device import best
from fusion.files import digest, file_digest, home, shorten
from fusion.triage.engine import Inspector, Progress, plain
from fusion.triage.known import VERSION, read_meta, remember, runs
from fusion.triage.partners import indexed
from fusion.triage.recording import Recording, alone, clear, writing
from fusion.triage.score import scored
from fusion.triage.store import Store
from fusion.triage.tables import said
from fusion.types import FusionError

ENGINES = ("plain", "ray")
SCORE = 2  # of the suspicion that the rows are sorted by; runs sorted by another one are sorted anew
_ROWS = re.compile(r"rows-([0-9a-f]{16})\.parquet")
LEFT_OUT = 1000  # sentences on rows that the reader left out that are kept
Notice = Callable[[str], None]


def inspect_set(
    data: DataSet | str, checkpoint: Checkpoint | str | None = None, out: str | Path | None = None,
    engine: str = "plain", workers: int = 2, progress: Progress | None = None, notice: Notice | None = None,
    comparing: Progress | None = None,
) -> Store:  # fmt: skip
    """Look at every sample of a data set, score it, and keep the run; one that is there already is opened.

    data: a set, or what `open_data` takes; checkpoint: None for the untrained encoders; out: a folder of your own;
    engine: "plain", or "ray" with so many workers; progress: samples done and their number; comparing: after them,
    pairs compared with the others and their number; notice: one sentence at a time on what a person should know.
    Raises FusionError on what doesn't fit, a folder that another run writes or that holds another run, and a disk that
    is full or can't be written.
    """
    if engine not in ENGINES:
        raise FusionError(f'There is no engine "{shorten(engine)}"; there are {" and ".join(ENGINES)}.')
    if engine == "ray":
        from fusion.triage import ray_engine

        ray_engine.available()
    tell: Notice = notice or (lambda sentence: None)
    inspector = Inspector(data, checkpoint)
    inspector.check()
    facts = _facts(inspector, data)
    folder = _named(out) if out is not None else home() / "triage" / facts["key"][:24]
    with alone(folder):
        recording = _begun(folder, facts, tell)
        if not _scored(recording):
            _look(inspector, recording, engine, workers, progress, tell)
            _finish(recording, inspector, comparing)
        elif progress is not None:
            progress(int(recording.meta["count"]), int(recording.meta["count"]))
        store = Store.open(folder)
        indexed(store, comparing, tell)  # a large run; it is finished already, and asked by the scan until then
    return store


def _named(out: str | Path) -> Path:
    """The folder that was named. Raises FusionError where its name is no text, so that no list could hold it."""
    folder = Path(out).expanduser()
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise FusionError(f'"{shorten(folder.name)}" is not written in UTF-8; name another folder.') from error
    return folder


def _facts(inspector: Inspector, data: DataSet | str) -> dict[str, Any]:
    """What the run is of, by content. Any: what JSON holds."""
    dataset, checkpoint = inspector.dataset, inspector.checkpoint
    against = "" if checkpoint is None else checkpoint.digest
    path = Path(dataset.spec).expanduser() if dataset.spec else None
    return {
        "version": VERSION,
        "key": digest("triage", str(VERSION), dataset.digest, against, str(inspector.size)),
        "kind": dataset.kind,
        "data": dataset.spec or dataset.key,
        "data_key": dataset.key,
        "name": dataset.name,
        "data_digest": dataset.digest,
        "manifest_digest": file_digest(path) if path is not None and path.is_file() else "",
        "checkpoint": "" if checkpoint is None else checkpoint.name,
        "checkpoint_digest": against,
        "checkpoint_folder": "" if checkpoint is None else str(checkpoint.folder),
        "count": inspector.count,
        "size": inspector.size,
        "shards": inspector.shards,
        "made_with": {
            "fusionscope": fusion.__version__, "torch": torch.__version__, "device": str(best()[0]),
        },
        "left_out": list(dataset.problems[:LEFT_OUT]),
        "left_out_count": len(dataset.problems),
    }  # fmt: skip


def _begun(folder: Path, facts: dict[str, Any], tell: Notice) -> Recording:
    """The run that is in a folder, or a new one. Raises FusionError when the folder holds another run."""
    before = read_meta(folder)
    if before is None:
        with writing(folder):
            clear(folder)
        recording = Recording(folder, dict(facts))
        _changed(facts, tell)
        recording.write_meta(began=_now())
        _remembered(folder, tell)
        return recording
    changed = [
        f"{what} (hash {str(before.get(name))[:12]} then, {facts[name][:12]} now)"
        for name, what in (("data_digest", "the data"), ("checkpoint_digest", "the checkpoint"))
        if before.get(name) != facts[name]
    ]
    shape = ["key", "kind", "size", "shards"]
    shape += ["count"] if facts["shards"] > 1 else []  # what comes in one shard is counted when it is there
    if changed or any(before.get(name) != facts[name] for name in shape):
        other = " and ".join(changed) or "the format"
        raise FusionError(
            f'The run in "{shorten(folder.name)}" is of other content: {other} changed. Name another folder with '
            "--out for what is there now, or put back what it began with."
        )
    recording = Recording(folder, facts | before)
    if facts.keys() - before.keys():
        recording.write_meta()
    before = recording.meta
    if not recording.fits():
        tell("Vectors of the run were lost or damaged, so all samples are looked at again.")
        before = {name: value for name, value in before.items() if name not in ("vectors", "rows")}
        recording = Recording(folder, before)
        recording.write_meta()
    if not before.get("rows") and before.get("made_with") != facts["made_with"]:
        tell("The run began under other versions or on another device, so it starts anew.")
        with writing(folder):
            clear(folder)
        before = {name: value for name, value in before.items() if name != "vectors"} | facts
        recording = Recording(folder, before)
        recording.write_meta()
        return recording
    _remembered(folder, tell)
    return recording


def _remembered(folder: Path, tell: Notice) -> None:
    """Have the run listed. No run ends because it can't be: what it makes is in its own folder."""
    try:
        remember(folder)
    except OSError as error:
        tell(f"The list of runs can't be written ({said(error)}), so this one is found by its folder alone.")


def _changed(facts: dict[str, Any], tell: Notice) -> None:
    """Say when an earlier run was of the same data and checkpoint by name, and of other content."""
    for run in runs():
        before = run.meta
        same = all(before.get(name) == facts[name] for name in ("data", "checkpoint", "size"))
        for name, what in (("data_digest", "data"), ("checkpoint_digest", "checkpoint")):
            if same and before.get(name) != facts[name]:
                tell(
                    f"The {what} changed since the run in {run.folder.name} (hash {str(before.get(name))[:12]} then, "
                    f"{facts[name][:12]} now), so this is a run of its own."
                )
                return


def _look(
    inspector: Inspector, recording: Recording, engine: str, workers: int, progress: Progress | None, tell: Notice
) -> None:
    """Run and keep the shards that aren't there yet."""
    shards, size, total = inspector.shards, inspector.size, int(recording.meta["count"])
    there = set(recording.whole())
    todo = [number for number in range(shards) if number not in there]
    done = sum(min(size, total - number * size) for number in there) if shards > 1 else total * len(there)
    if there and todo:
        tell(f"{done:,} of {total:,} samples were looked at before; the run goes on after them.")
    if progress is not None:
        progress(done, total)
    if todo or {"engine", "workers"} - recording.meta.keys():
        recording.write_meta(engine=engine, workers=workers if engine == "ray" else 1)
    if not todo:
        return
    if engine == "ray":
        from fusion.triage import ray_engine

        made = ray_engine.run(inspector, todo, workers)
    else:
        made = plain(inspector, todo, progress if shards == 1 else None)
    for shard in made:
        recording.keep(shard)
        done += len(shard.table)
        if progress is not None:
            progress(done, total if shards > 1 else done)  # one shard may hold links or questions, not samples


def _scored(recording: Recording) -> bool:
    """Whether the rows are there as they were written, sorted by the score of now, and told of."""
    named = _ROWS.fullmatch(str(recording.meta.get("rows", "")))
    told = all(name in recording.meta for name in ("engine", "workers", "problems", "parts", "calibration"))
    if named is None or not told or recording.meta.get("score") != SCORE:
        return False
    path = recording.folder / named.group()
    return path.is_file() and file_digest(path).startswith(named.group(1))


def _finish(recording: Recording, inspector: Inspector, comparing: Progress | None) -> None:
    """Score all rows and write them, the most suspicious first."""
    table = recording.table()
    # Text stays in Arrow: a million captions as objects of Python would be most of the memory.
    words = [field.name for field in table.schema if pa.types.is_string(field.type) and field.name != "id"]
    frame = table.drop_columns(words).to_pandas()
    frame = frame.assign(row=np.arange(len(frame)))
    frame, calibration = scored(frame, recording.vectors(), kind=inspector.dataset.kind, progress=comparing)
    frame = frame.sort_values("rank", ignore_index=True)
    made = pa.Table.from_pandas(frame, preserve_index=False)
    for name in words:
        made = made.append_column(name, table.column(name).cast(pa.large_string()).take(pa.array(frame["row"])))
    names = dict.fromkeys((*table.column_names, *frame.columns))
    recording.finish(
        made.select([name for name in names if name in made.column_names]), made=_now(), score=SCORE,
        problems=int(table.column("problem").to_pandas().ne("").sum()),
        parts=[name.removeprefix("part_") for name in frame.columns if name.startswith("part_")],
        calibration=_json(calibration.told()),
    )  # fmt: skip


def _json(value: Any) -> Any:
    """A value as strict JSON holds it: what is no number as null. Any: what JSON holds."""
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
