"""The verbs over systems that read several sequences of one sample."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.commands.telling import progress, saved, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint
    from fusion.streams.inspection import Reader
    from fusion.streams.observed import StreamObservation
    from fusion.streams.whole import StreamedSet
    from fusion.types import Sample


def train_streams(options: argparse.Namespace) -> int:
    """Train a system that reads streams."""
    from fusion import gathering
    from fusion.settings import pairs
    from fusion.streams import runs

    if options.mismatch or options.fine_tune or options.features:
        raise FusionError(f"--mismatch, --fine-tune and --features are for other systems, not for {options.model}.")
    with progress("sample", options.json or not gathering.named(options.data), "gathering signals") as moved:
        gathering.ready(options.data or "", moved)
    made = runs.train(
        options.model, options.data or "emoji-groups", name=options.name, seed=options.seed, seeds=options.seeds,
        resume=options.resume, say=say, settings=pairs(options.set),
        wanted={name: getattr(options, name) for name in ("epochs", "minutes", "rate", "batch")},
    )  # fmt: skip
    return saved(options, made)


def inspect_stream(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """One sample of streams: of the data set, or made of a text, an image and a recording; edited or not."""
    from fusion import report

    reader, observation = see_stream(options, checkpoint)
    summary = report.stream_summary(reader, observation)
    if options.out:
        summary["written"], absent = report.write_stream(Path(options.out).expanduser(), reader, observation)
        if absent:
            say(absent)
    if options.json:
        show(summary)
    else:
        print(report.stream_in_words(summary))
    return 0


def see_stream(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[Reader, StreamObservation]:
    """A sample of the data set or parts of one's own through a checkpoint, edited or not. Raises FusionError."""
    from fusion.explain import edits
    from fusion.streams.inspection import Reader

    for name in ("relation", "against", "donor"):
        if getattr(options, name) is not None:
            raise FusionError(f'--{name} is for other systems; "{checkpoint.name}" reads one sample of streams.')
    reader = Reader.open(checkpoint, options.data)
    made = edits.read(",".join(options.edit), reader.names)
    own = _own(options)
    if (options.id is None) == (own is None):
        raise FusionError("Give one sample: --id of the data set, or parts of your own by --text, --image, --audio.")
    if own is not None:
        closed = [m for m in own.parts if m not in reader.droppable]
        if closed:
            raise FusionError(
                f'"{checkpoint.name}" has no encoder for {", ".join(closed)}; bring '
                f"{', '.join(reader.droppable) or 'no part of your own, but name a sample by --id'}."
            )
    return reader, reader.inspect(options.id if own is None else own, made)


def _own(options: argparse.Namespace) -> Sample | None:
    """The parts on the command line as a sample. Raises FusionError when a file is none."""
    from fusion.types import Audio, Image, Part, Sample, Text

    parts: dict[str, Part] = {"text": Text(options.text)} if options.text else {}
    for name, kind in (("image", Image), ("audio", Audio)):
        given = getattr(options, name)
        if given is not None:
            path = Path(given).expanduser()
            if not path.is_file():
                raise FusionError(f'There is no file "{path.name}" for --{name}; give the path of one.')
            parts[name] = kind(path=path)
    return Sample("input", parts) if parts else None


def evaluate_streams(options: argparse.Namespace, checkpoint: Checkpoint) -> dict[str, Any]:
    """Figures of a checkpoint that reads streams, flat unless they are wanted as JSON."""
    from fusion.streams import runs

    if options.mismatch:
        raise FusionError("--mismatch is for pairs of text and image, not for sequences of one sample.")
    found = runs.evaluate(checkpoint, options.data, options.split)
    return found if options.json else runs.flat(found)


def observe_streams(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """Every sample of a set of sequences through a checkpoint."""
    import time

    from fusion.data import open_data
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import whole

    dataset, started = open_data(options.data), time.perf_counter()
    with progress("sample", options.json, "observing") as moved:
        made = whole(Reader.open(checkpoint, dataset), moved, bundled=options.bundled)
    frame = made.frame
    if not made.answers:
        return _unanswered(options, made, time.perf_counter() - started)
    known = (frame["split"] == "test").to_numpy() & frame["loss"].notna().to_numpy()
    main, column = ("accuracy", "right") if made.classes else ("mae", "error")
    figure = float(frame[column].to_numpy()[known].astype(float).mean()) if known.any() else None
    result = {
        "data": dataset.key, "checkpoint": checkpoint.name, "samples": len(frame), "tested": int(known.sum()),
        main: figure, "badges": dict(Counter(map(str, frame["badge"]))),
        "opposed": int(frame["opposed"].to_numpy().sum()), "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        told = "" if figure is None else f"; {main} of the {known.sum()} to test {figure:.3f}"
        print(f"{len(frame)} samples of {dataset.key} under {checkpoint.name} in {result['seconds']} s{told}")
    return 0


def _unanswered(options: argparse.Namespace, made: StreamedSet, seconds: float) -> int:
    """What is told of a set without labels."""
    close = float(made.frame["cosine"].to_numpy(float).mean())
    result = {
        "data": made.data, "checkpoint": made.checkpoint, "samples": len(made.frame), "cosine": close,
        "seconds": round(seconds, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        told = f"mean cosine of a sample's views {close:.3f}"
        print(f"{len(made.frame)} samples of {made.data} under {made.checkpoint} in {result['seconds']} s; {told}")
    return 0
