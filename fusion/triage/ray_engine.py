"""The same run over the actors of a Ray cluster, or over several processes of this machine.

Each actor holds one `Inspector` and takes numbers of shards; what comes back is written here, by the one process that
holds the folder, so the file is that of the plain engine. The cluster that RAY_ADDRESS names is used, else one is
started on this machine. On other machines the same program, data and checkpoint must lie at the same names: an actor
whose data have another hash ends the run with a sentence.
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion.files import ROOT, home, shorten
from fusion.triage.engine import Inspector, Shard
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataSet

PATIENCE = 10.0  # seconds to find the cluster
STORE = 512 * 2**20  # bytes of shards on their way, where the cluster is started here
ABSENT = 'The engine "ray" needs Ray; install it: pip install "ray[data]==2.60.0".'


class Actor:
    """One `Inspector` in a process of its own, as Ray Data calls it."""

    def __init__(self, data: DataSet | str, checkpoint: Checkpoint | str | None, expected: str, size: int) -> None:
        self.inspector = Inspector(data, checkpoint, expected, size)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        """The shards of some numbers, as bytes; instead of one that a user must put right, the sentence on it."""
        made: list[bytes] = []
        said: list[str] = []
        for number in batch["shard"].tolist():
            try:
                made.append(self.inspector(number).packed())
                said.append("")
            except FusionError as error:
                made.append(b"")
                said.append(str(error))
        return {"shard": batch["shard"], "made": np.array(made, dtype=object), "said": np.array(said, dtype=object)}


def available() -> None:
    """Raises FusionError when Ray isn't installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise FusionError(ABSENT) from error


def run(inspector: Inspector, numbers: Sequence[int], workers: int) -> Iterator[Shard]:
    """The shards of these numbers as they get ready, in any order, by so many actors."""
    available()
    import ray
    import ray.data

    started = not ray.is_initialized()
    if started:
        _start(workers)
    try:
        yield from _mapped(inspector, numbers, workers)
    finally:
        if started:
            ray.shutdown()


def _mapped(inspector: Inspector, numbers: Sequence[int], workers: int) -> Iterator[Shard]:
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.print_on_execution_start = False, False
    for name in ("ray", "ray.data"):  # a run tells its own progress
        logging.getLogger(name).setLevel(logging.ERROR)
    gpus = ray.cluster_resources().get("GPU", 0)
    count = max(1, min(workers, len(numbers)))
    told = ray.data.from_items([{"shard": number} for number in numbers], override_num_blocks=len(numbers))
    made = told.map_batches(
        Actor,
        fn_constructor_args=_meant(inspector),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=count),
        num_cpus=1,
        num_gpus=min(1.0, gpus / count) if gpus else None,
    )
    for row in made.iter_rows():
        if row["said"]:
            raise FusionError(str(row["said"]))
        yield Shard.unpacked(int(row["shard"]), bytes(row["made"]))


def _meant(inspector: Inspector) -> tuple[Any, Any, str, int]:
    """What an actor opens: by name where a name leads to the same, else the thing itself."""
    given, checkpoint = inspector.given
    name = checkpoint if isinstance(checkpoint, str) or checkpoint is None else str(checkpoint.folder)
    return given, name, inspector.dataset.digest, inspector.size


def _start(workers: int) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one here. Raises FusionError where neither works."""
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone
    address = os.environ.get("RAY_ADDRESS")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    here: dict[str, Any] = {} if address else {
        "num_cpus": max(1, workers),
        "include_dashboard": False,
        "object_store_memory": STORE,
        "runtime_env": {"env_vars": {"FUSION_HOME": str(home()), "PYTHONPATH": os.pathsep.join(paths)}},
    }  # fmt: skip
    try:
        if found := re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address or ""):
            with socket.create_connection((found[1], int(found[2])), PATIENCE):
                pass  # Ray itself would try for ten minutes
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **here)
    except (RuntimeError, ValueError, OSError) as error:
        where = f'The cluster "{shorten(address)}" can\'t be reached' if address else "Ray can't start here"
        raise FusionError(f"{where}: {shorten(str(error))}. Put it right, or take the engine plain.") from error
