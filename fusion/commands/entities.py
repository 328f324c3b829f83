"""The verbs over two graphs whose entities are aligned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusion.commands.telling import progress, sample_of, saved, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.checkpoints import Checkpoint


def train_entities(options: argparse.Namespace) -> int:
    """Train a system that aligns the entities of two graphs."""
    from fusion.alignment import runs
    from fusion.settings import pairs

    if options.mismatch or options.fine_tune:
        raise FusionError(f"--mismatch and --fine-tune are for pairs of text and image, not for {options.model}.")
    made = runs.train(
        options.model, options.data or "emoji", name=options.name, seed=options.seed, seeds=options.seeds,
        resume=options.resume, say=say, files=[Path(path).expanduser() for path in options.features],
        settings=pairs(options.set),
        wanted={name: getattr(options, name) for name in ("epochs", "minutes", "rate", "batch")},
    )  # fmt: skip
    return saved(options, made)


def inspect_entity(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """One entity through a checkpoint of two graphs."""
    from fusion import report

    aligner, observation = see_entity(options, checkpoint)
    summary = report.entity_summary(aligner, observation)
    if options.out:
        summary["written"], absent = report.write_entity(Path(options.out).expanduser(), aligner, observation)
        if absent:
            say(absent)
    if options.json:
        show(summary)
    else:
        print(report.entity_in_words(summary))
    return 0


def see_entity(options: argparse.Namespace, checkpoint: Checkpoint) -> tuple[Aligner, EntityObservation]:
    """One entity through a checkpoint, perhaps with another picture. Raises FusionError."""
    from fusion.alignment.inspection import Aligner
    from fusion.data import open_data

    if options.id is None or options.text is not None or options.donor is not None:
        raise FusionError(
            f'"{checkpoint.name}" aligns entities: name one with --id, perhaps one to compare it with by --against, '
            "or another picture by --image; it takes no --text and no --donor."
        )
    image = sample_of(None, options.image, "input").image() if options.image else None
    aligner = Aligner.open(checkpoint, open_data(options.data) if options.data else None)
    return aligner, aligner.inspect(options.id, image=image, against=options.against, recomputed=options.recomputed)


def observe_entities(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """All entities of two graphs through a checkpoint."""
    import time

    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import whole
    from fusion.data import open_data

    dataset, started = open_data(options.data), time.perf_counter()
    with progress("step", options.json, "observing") as moved:
        aligner = Aligner.open(checkpoint, dataset)
        made = whole(aligner, moved, bundled=options.bundled)
    pairs = made.pairs("test")
    first = {name: sum(pairs[name] <= 1) / max(len(pairs), 1) for name in ("rank", "rank_back")}
    result = {
        "data": dataset.key, "checkpoint": checkpoint.name, "entities": len(made.frame), "pairs": len(pairs),
        "hits1": first["rank"], "hits1_back": first["rank_back"],
        "faithful": {m: None if found is None else found.value for m, found in made.faithful.items()},
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        print(
            f"{result['entities']} entities of {dataset.key} under {checkpoint.name} in {result['seconds']} s; partner "
            f"first for {result['hits1']:.1%} of {result['pairs']} pairs to test, back {result['hits1_back']:.1%}"
        )
    return 0


def adopt_entities(options: argparse.Namespace, source: Path, destination: Path) -> Checkpoint:
    """A state dict of MCLEA, MEAformer or IMF, with the data set whose entities it knows."""
    from fusion.alignment import official
    from fusion.data import open_data
    from fusion.links import official as links

    if not source.is_file():
        raise FusionError(f'There is no file "{source.name}"; name the state dict, a .pkl, .pt or .pth file.')
    if not options.data:
        raise FusionError(
            f'"{source.name}" is one file, as of MCLEA, MEAformer or IMF; name its data, too: --data '
            "dbp15k:FOLDER or triples:FOLDER."
        )
    told = [name.strip() for name in (options.modalities or "").split(",") if name.strip()]
    paths = [Path(name).expanduser() for name in (*options.features, *([options.weights] if options.weights else []))]
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        raise FusionError(f'There is no file "{absent[0]}"; check its path.')
    weights = paths.pop() if options.weights else None
    dataset = open_data(options.data)
    if dataset.triples is not None:
        return links.adopt(source, destination, dataset)
    return official.adopt(
        source,
        destination,
        dataset,
        modalities=told,
        heads=1 if options.heads is None else options.heads,
        files=paths,
        weights=weights,
    )
