"""The verbs over systems that read several sequences of one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusion.commands.telling import progress, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint


def train_streams(options: argparse.Namespace) -> int:
    """Train a system that reads streams."""
    from fusion.settings import pairs
    from fusion.streams import runs

    if options.mismatch or options.fine_tune or options.features:
        raise FusionError(f"--mismatch, --fine-tune and --features are for other systems, not for {options.model}.")
    made = runs.train(
        options.model, options.data or "emoji-groups", name=options.name, seed=options.seed, seeds=options.seeds,
        resume=options.resume, say=say, settings=pairs(options.set),
        wanted={name: getattr(options, name) for name in ("epochs", "minutes", "rate", "batch")},
    )  # fmt: skip
    if options.json:
        show({"name": made.name, "folder": str(made.folder), "metrics": dict(made.metrics)})
    else:
        print(f'Saved the checkpoint "{made.name}".')
    return 0


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
    tested = frame[frame["split"] == "test"]
    known = tested[tested["loss"].notna()]
    main = "accuracy" if made.classes else "mae"
    figure = (known["right"].mean() if made.classes else known["error"].mean()) if len(known) else None
    result = {
        "data": dataset.key, "checkpoint": checkpoint.name, "samples": len(frame), "tested": len(known),
        main: None if figure is None else float(figure), "badges": frame["badge"].value_counts().to_dict(),
        "opposed": int(frame["opposed"].sum()), "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        told = "" if figure is None else f"; {main} of the {len(known)} to test {figure:.3f}"
        print(f"{len(frame)} samples of {dataset.key} under {checkpoint.name} in {result['seconds']} s{told}")
    return 0
