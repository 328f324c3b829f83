"""The verbs over one graph whose links are predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.commands.telling import progress, sample_of, saved, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint
    from fusion.links.inspection import Predictor
    from fusion.links.observed import LinkObservation


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
    return saved(options, made)


def evaluate_links(options: argparse.Namespace, checkpoint: Checkpoint) -> dict[str, Any]:
    """Filtered figures of a checkpoint that predicts links, flat unless they are wanted as JSON."""
    from fusion.links import evaluation, runs

    if options.mismatch:
        raise FusionError("--mismatch is for pairs of text and image; triples have none.")
    found = runs.evaluate(checkpoint, options.data, options.split)
    return found if options.json else evaluation.flat(found)


def inspect_link(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """One question through a checkpoint that predicts links."""
    from fusion import report

    predictor, observation = see_link(options, checkpoint)
    summary = report.link_summary(predictor, observation)
    if options.out:
        summary["written"], absent = report.write_link(Path(options.out).expanduser(), predictor, observation)
        if absent:
            say(absent)
    if options.json:
        show(summary)
    else:
        print(report.link_in_words(summary))
    return 0


def see_link(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[Predictor, LinkObservation]:
    """One question through a checkpoint, perhaps with another picture or text of the head. Raises FusionError."""
    from fusion.data import open_data
    from fusion.links.inspection import Predictor

    if options.id is None or options.relation is None or options.donor is not None or options.recomputed:
        raise FusionError(
            f'"{checkpoint.name}" predicts links: ask with --head ID and --relation NAME ("~NAME" reads it backwards), '
            "perhaps with --tail ID, or another picture or description of the head by --image or --text."
        )
    image = sample_of(None, options.image, "input").image() if options.image else None
    predictor = Predictor.open(checkpoint, open_data(options.data) if options.data else None)
    return predictor, predictor.inspect(options.id, options.relation, options.against, image=image, text=options.text)


def observe_links(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """All held-out questions through a checkpoint that predicts links."""
    import time

    from fusion.data import open_data
    from fusion.links.inspection import Predictor

    dataset, started = open_data(options.data), time.perf_counter()
    with progress("question", options.json, "observing") as moved:
        made = Predictor.open(checkpoint, dataset).whole(moved, bundled=options.bundled)
    tested = made.frame.loc[made.frame["split"] == "test", :]
    result = {
        "data": dataset.key, "checkpoint": checkpoint.name, "entities": len(dataset), "questions": len(made.frame),
        "tested": len(tested), "mrr": float((1 / tested["rank"]).mean()),
        "mrr_by": {branch: float((1 / tested[f"rank_{branch}"]).mean()) for branch in made.branches},
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        print(
            f"{result['questions']} questions of {dataset.key} under {checkpoint.name} in {result['seconds']} s; "
            f"MRR of the {result['tested']} to test {result['mrr']:.3f}"
        )
    return 0
