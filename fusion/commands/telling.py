"""What the verbs have in common: where words, values and progress go, and which checkpoint is meant."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from fusion.checkpoints import Checkpoint
    from fusion.data.dataset import DataKind
    from fusion.types import Sample


def say(sentence: str) -> None:
    """To standard error, where a result is not looked for."""
    print(sentence, file=sys.stderr)


def show(value: object) -> None:
    """One JSON value to standard output."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def saved(options: argparse.Namespace, made: Checkpoint) -> int:
    """What came of training, as it was asked for. -> exit status"""
    noted(made.name)
    if options.json:
        show({"name": made.name, "folder": str(made.folder), "metrics": dict(made.metrics)})
    else:
        print(f'Saved the checkpoint "{made.name}".')
    return 0


@contextmanager
def progress(unit: str, quiet: bool, doing: str = "") -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by f(done, total); a job is told, too, what is being done."""
    from tqdm import tqdm

    from fusion import jobs

    with ExitStack() as stack:
        bar: tqdm | None = None

        def moved(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:  # not before: of two stages, the second's would stand there empty all through the first
                bar = stack.enter_context(tqdm(unit=unit, file=sys.stderr, disable=quiet))
            bar.total = total
            bar.update(done - bar.n)
            if doing:
                jobs.report(done, total, doing)

        yield moved


def noted(made: str = "") -> None:
    """Tell a job which device is used, and the checkpoint that it made."""
    from fusion import jobs
    from fusion.device import describe

    told = describe()
    jobs.note("device", told.get("name", told["device"]))
    if made:
        jobs.note("checkpoint", made)


def aligns(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint aligns the entities of two graphs instead of reading samples."""
    return reads(checkpoint) == "graph"


def reads(checkpoint: Checkpoint) -> DataKind:
    """The kind of data set that a checkpoint is for."""
    from fusion.models import MODELS
    from fusion.types import Task

    kinds: dict[Task, DataKind] = {
        Task.ALIGNMENT: "graph", Task.LINKS: "triples", Task.REGRESSION: "streams", Task.CLASSES: "streams",
        Task.REPRESENTATION: "streams",
    }  # fmt: skip
    found: list[DataKind] = [kinds[task] for task in MODELS[checkpoint.model].card.tasks if task in kinds]
    return found[0] if found else "pairs"


def sample_of(text: str | None, image: str | None, name: str) -> Sample:
    """What was given on the command line. Raises FusionError when the image is no file."""
    from fusion.types import Image, Sample, Text

    parts: dict[str, Any] = {"text": Text(text or "")}
    if image is not None:
        path = Path(image).expanduser()
        if not path.is_file():
            raise FusionError(f'There is no image file "{path.name}"; give the path of a JPEG, PNG or WebP file.')
        parts["image"] = Image(path=path)
    return Sample(name, parts)


def checkpoint_for(name: str | None, data: str = "") -> Checkpoint:
    """The one that was named, else the first one that reads the kind of data set that was named."""
    from fusion import checkpoints
    from fusion.data import kind_of

    if name:
        return checkpoints.find(name)
    kind = kind_of(data)
    found = [one for one in checkpoints.listed() if reads(one) == kind]
    if not found:
        model = {
            "pairs": "maf", "graph": "meaformer --data emoji", "triples": "imf --data keywords",
            "streams": "late --data emoji-groups",
        }[kind]  # fmt: skip
        raise FusionError(f"There is no checkpoint for this; train one (python -m fusion train {model}) or name one.")
    return found[0]
