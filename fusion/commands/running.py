"""The verbs that use or make a checkpoint; what aligns or links entities goes on in a file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusion.commands.entities import adopt_entities, inspect_entity, observe_entities, train_entities
from fusion.commands.links import evaluate_links, inspect_link, observe_links, train_links
from fusion.commands.obtaining import read_scale
from fusion.commands.streams import evaluate_streams, inspect_stream, observe_streams, train_streams
from fusion.commands.telling import aligns, checkpoint_for, noted, progress, reads, sample_of, saved, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.inference import Observation, Pipeline


def inspect(options: argparse.Namespace) -> int:
    """One sample through a checkpoint, as JSON and, with --out, as a report."""
    from fusion import report
    from fusion.explain import edits
    from fusion.words import use

    use(options.lang)
    checkpoint = checkpoint_for(options.checkpoint, options.data or "gloss")
    if reads(checkpoint) == "streams":
        return inspect_stream(options, checkpoint)
    not_streams(options, checkpoint)
    if aligns(checkpoint):
        return inspect_entity(options, checkpoint)
    if reads(checkpoint) == "triples":
        return inspect_link(options, checkpoint)
    pipeline, observation, _, before, made = see_pair(options, checkpoint)
    summary = report.summary(pipeline, observation)
    if before is not None:
        summary |= {"edits": edits.write(made), "before": report.summary(pipeline, before)["prediction"]}
    if options.out:
        folder = Path(options.out).expanduser()
        summary["written"], absent = report.write(folder, pipeline, observation, before, made)
        if absent:
            say(absent)
    if options.json:
        show(summary)
    else:
        print(report.in_words(summary))
    return 0


def see_pair(
    options: argparse.Namespace, checkpoint: Checkpoint
) -> tuple[Pipeline, Observation, DataSet | None, Observation | None, tuple[Edit, ...]]:
    """A picture with its sentence through a checkpoint, after its edits. Raises FusionError.

    -> the pipeline, what came out, the data set that they are from, the same before the edits, and the edits
    """
    from fusion.data import open_data, pairs_only
    from fusion.explain import edits
    from fusion.inference import Pipeline

    if options.relation is not None:
        raise FusionError(
            f'--relation is for systems that predict links; "{checkpoint.name}" reads an image and a text.'
        )
    pipeline, dataset = Pipeline.open(checkpoint), None
    donor = sample_of(None, options.donor, "donor") if options.donor else None
    if options.id:
        dataset = pairs_only(open_data(options.data or "gloss"))
        sample = dataset.get(options.id)
    else:
        if options.image is None and options.text is None:
            raise FusionError("Nothing to inspect: give --text, --image, or --id with --data.")
        sample = sample_of(options.text, options.image, "input")
    if donor is None and sample.image() is not None:
        others = (s for s in open_data("gallery").samples if s.image() is not None)
        donor = next((s for s in others if s.image() != sample.image()), None)
    made = edits.read(",".join(options.edit), ("text", "image"))
    swapped = next((one.text for one in made if one.how == "swap"), None)
    other = None if swapped is None else pairs_only(open_data(options.data or "gloss")).get(swapped)
    before = pipeline.inspect(sample, donor) if made else None
    return pipeline, pipeline.inspect(sample, donor, made, other), dataset, before, made


def not_streams(options: argparse.Namespace, checkpoint: Checkpoint) -> None:
    """Raises FusionError on an option that only systems of streams take, or of edits where none are made."""
    if options.audio is not None:
        raise FusionError(f'--audio is for systems that read streams; "{checkpoint.name}" is none.')
    if options.edit and reads(checkpoint) != "pairs":
        raise FusionError(f'--edit is for systems that read pairs or streams; "{checkpoint.name}" is none.')


def observe(options: argparse.Namespace) -> int:
    """A whole data set through a checkpoint; kept for the Map and Match pages."""
    import time

    from fusion import observations
    from fusion.data import open_data, pairs_only
    from fusion.inference import Pipeline

    checkpoint = checkpoint_for(options.checkpoint, options.data)
    noted(checkpoint.name)
    if aligns(checkpoint):
        return observe_entities(options, checkpoint)
    if reads(checkpoint) == "triples":
        return observe_links(options, checkpoint)
    if reads(checkpoint) == "streams":
        return observe_streams(options, checkpoint)
    dataset = pairs_only(open_data(options.data))
    pipeline = Pipeline.open(checkpoint)
    started = time.perf_counter()
    with progress("sample", options.json, "observing") as moved:
        observed = observations.observe(pipeline, dataset, moved, bundled=options.bundled)
    frame = observed.frame
    result = {
        "data": dataset.key, "checkpoint": pipeline.checkpoint.name, "samples": len(frame),
        "problems": sum(problem != "" for problem in frame["problem"]),
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        show(result)
    else:
        print(f"{result['samples']} samples of {result['data']} under {result['checkpoint']} in {result['seconds']} s")
    return 0


def adopt(options: argparse.Namespace) -> int:
    """An official checkpoint folder -> a Fusionscope checkpoint."""
    from fusion import adopt as adopting
    from fusion.files import home
    from fusion.streams import official, official_tate, official_tfr_net
    from fusion.streams.adopted import MOSI

    source = Path(options.folder).expanduser().resolve()  # "." has a name then
    destination = Path(options.out).expanduser() if options.out else home() / "checkpoints" / source.stem
    vocabulary = Path(options.vocab).expanduser() if options.vocab else None
    scale = read_scale(options.scale) or MOSI
    if source.is_file() and not options.data and official.recognised(source):
        told = read_numbers("--encoder-heads", options.encoder_heads)
        made = official.adopt(
            source, destination, vocabulary=vocabulary, heads=options.heads, encoder_heads=told, scale=scale
        )
    elif source.is_file() and not options.data and official_tfr_net.recognised(source):
        made = official_tfr_net.adopt(
            source, destination, vocabulary=vocabulary, heads=options.heads, text_heads=options.text_heads,
            recon_heads=options.recon_heads, scale=scale,
        )  # fmt: skip
    elif source.is_file() and not options.data and official_tate.recognised(source):
        made = official_tate.adopt(
            source, destination, heads=options.heads, steps=read_numbers("--steps", options.steps),
            classes=[one.strip() for one in options.classes.split(",")] if options.classes else (),
            tag=read_numbers("--tag", ",".join(options.tag or "")),
        )  # fmt: skip
    elif source.is_file() or options.data:
        made = adopt_entities(options, source, destination)
    else:
        made = adopting.adopt(source, destination, vocabulary=vocabulary)
    for line in made.origin["dropped"]:
        say(f"Left out: {line}")
    if options.json:
        show({"name": made.name, "model": made.model, "origin": dict(made.origin)})
    else:
        print(f'Adopted "{source.name}" as the checkpoint "{made.name}".')
    return 0


def read_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """Whole numbers apart by commas, () of nothing. Raises FusionError."""
    try:
        return tuple(int(one) for one in text.split(",")) if text else ()
    except ValueError:
        raise FusionError(f'{option} "{text}" is no list of whole numbers; write them as 1,5.') from None


def train(options: argparse.Namespace) -> int:
    """Train a system on a data set and save a checkpoint with its held-out figures."""
    from fusion import experiment
    from fusion.models import MODELS
    from fusion.settings import pairs
    from fusion.types import Task

    noted()
    if options.model in MODELS and Task.ALIGNMENT in MODELS[options.model].card.tasks:
        return train_entities(options)
    if options.model in MODELS and Task.LINKS in MODELS[options.model].card.tasks:
        return train_links(options)
    if options.model in MODELS and MODELS[options.model].card.tasks[0] in (
        Task.REGRESSION, Task.CLASSES, Task.REPRESENTATION,
    ):  # fmt: skip
        return train_streams(options)
    if options.features or options.seeds != 1:
        raise FusionError("--features and --seeds are not for systems that read an image and a sentence.")
    made = experiment.train(
        options.model, options.data or "gloss", name=options.name, seed=options.seed, epochs=options.epochs,
        minutes=options.minutes,
        rate=options.rate, batch=options.batch, mismatch=options.mismatch, resume=options.resume, say=say,
        settings=pairs(options.set), fine_tune=options.fine_tune,
    )  # fmt: skip
    return saved(options, made)


def evaluate(options: argparse.Namespace) -> int:
    """Held-out figures of a checkpoint on a data set."""
    from fusion import experiment

    checkpoint = checkpoint_for(options.checkpoint, options.data or "")
    if aligns(checkpoint):
        from fusion.alignment import evaluation, runs

        if options.mismatch:
            raise FusionError("--mismatch is for pairs of text and image; links between graphs have none.")
        result = runs.evaluate(checkpoint, options.data, options.split)
        result = result if options.json else evaluation.flat(result)
    elif reads(checkpoint) == "triples":
        result = evaluate_links(options, checkpoint)
    elif reads(checkpoint) == "streams":
        result = evaluate_streams(options, checkpoint)
    else:
        result = experiment.evaluate(checkpoint, options.data or "gloss", options.split, options.mismatch, options.seed)
    if options.json:
        show(result)
    else:
        for key, value in result.items():
            print(f"{key:<24} {value:.3f}" if isinstance(value, float) else f"{key:<24} {value}")
    return 0
