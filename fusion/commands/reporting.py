"""The verbs that write one HTML file, of a sample or of a whole data set, and the stories of the demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fusion.commands.entities import see_entity
from fusion.commands.explaining import entity_case, link_case, pair_case, stream_case
from fusion.commands.links import see_link
from fusion.commands.running import not_streams, see_pair
from fusion.commands.streams import see_stream
from fusion.commands.telling import checkpoint_for, progress, reads, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse

    from fusion.checkpoints import Checkpoint
    from fusion.views.page import Page

OF_ONE = ("id", "relation", "against", "text", "image", "audio", "donor")  # options that name one sample


def report(options: argparse.Namespace) -> int:
    """One self-contained page: of the sample that is named, else of a whole data set."""
    from fusion import jobs
    from fusion.report import write_page
    from fusion.words import use

    use(options.lang)
    path = Path(options.out or "report.html").expanduser()
    if path.is_dir():
        raise FusionError(f'"{path.name}" is a folder; name the HTML file to write, such as {path.name}/report.html.')
    options.data = options.data or options.of
    checkpoint = checkpoint_for(options.checkpoint, options.data or "gloss")
    one = any(getattr(options, name) is not None for name in OF_ONE)
    jobs.report(0, 2, "reading")
    page = _of_sample(options, checkpoint) if one else _of_set(options, checkpoint)
    jobs.report(1, 2, "drawing")
    size, absent = write_page(path, page, interactive=options.interactive)
    jobs.report(2, 2, "drawing")
    if absent:
        say(absent)
    if options.json:
        show({"file": str(path), "bytes": size, "pictures": len(page.pictures), "still": not absent})
    else:
        print(f"{path}: {len(page.pictures)} pictures, {size / 1e6:.2f} MB")
    return 0


def _of_sample(options: argparse.Namespace, checkpoint: Checkpoint) -> Page:
    from fusion import report

    kind = reads(checkpoint)
    if kind == "streams":
        reader, seen = see_stream(options, checkpoint)
        return report.explained(report.stream_page(reader, seen), stream_case(options, reader, seen), seen.sample)
    not_streams(options, checkpoint)
    if kind == "graph":
        aligner, entity = see_entity(options, checkpoint)
        page = report.entity_page(aligner, entity)
        return report.explained(page, entity_case(options, aligner, entity), entity.sample)
    if kind == "triples":
        predictor, question = see_link(options, checkpoint)
        page = report.link_page(predictor, question)
        return report.explained(page, link_case(options, predictor, question), question.head)
    pipeline, pair, dataset, before, made = see_pair(options, checkpoint)
    page = report.pair_page(pipeline, pair, dataset, before, made)
    return report.explained(page, pair_case(options, pipeline, pair), pair.sample, pipeline.image.recipe.fit)


def _of_set(options: argparse.Namespace, checkpoint: Checkpoint) -> Page:
    """Every sample, run now where it was not before."""
    from fusion import report

    if options.edit or options.recomputed:
        raise FusionError("--edit and --recomputed are for one sample; name it by --id.")
    with progress("sample", options.json, "observing") as moved:
        return report.set_page(checkpoint, options.data or checkpoint.data, moved)


def stories(options: argparse.Namespace) -> int:
    """The stories of the demo, asked of the bundled checkpoints and kept; with --check only compared."""
    from fusion.report import stories as library

    if options.check:
        found = library.check()
        if options.json:
            show({"differences": found})
        else:
            print("\n".join(found) or "The checkpoints say what is kept.")
        return 2 if found else 0
    size = library.write()
    if options.json:
        show({"file": str(library.STORED), "bytes": size})
    else:
        print(f"{library.STORED.name}: {size:,} bytes")
    return 0
