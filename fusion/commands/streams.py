"""The verbs over systems that read several sequences of one sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fusion.commands.telling import say, show
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
