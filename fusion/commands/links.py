"""The verbs over one graph whose links are predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.commands.telling import say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint


def train_links(options: argparse.Namespace) -> int:
    """Train a system that predicts links."""
    from fusion.links import runs
    from fusion.settings import pairs

    if options.mismatch or options.fine_tune:
        raise FusionError(f"--mismatch and --fine-tune are for pairs of text and image, not for {options.model}.")
    made = runs.train(
        options.model, options.data or "keywords", name=options.name, seed=options.seed, seeds=options.seeds,
        resume=options.resume, say=say, files=[Path(path).expanduser() for path in options.features],
        settings=pairs(options.set),
        wanted={name: getattr(options, name) for name in ("epochs", "minutes", "rate", "batch")},
    )  # fmt: skip
    if options.json:
        show({"name": made.name, "folder": str(made.folder), "metrics": dict(made.metrics)})
    else:
        print(f'Saved the checkpoint "{made.name}".')
    return 0


def evaluate_links(options: argparse.Namespace, checkpoint: Checkpoint) -> dict[str, Any]:
    """Filtered figures of a checkpoint that predicts links, flat unless they are wanted as JSON."""
    from fusion.links import evaluation, runs

    if options.mismatch:
        raise FusionError("--mismatch is for pairs of text and image; triples have none.")
    found = runs.evaluate(checkpoint, options.data, options.split)
    return found if options.json else evaluation.flat(found)
