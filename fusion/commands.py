"""What each verb of the command line does: a table VERBS of verb -> (sentence, its options, its function)."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from fusion.checkpoints import Checkpoint
    from fusion.types import Sample


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _print(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def models(options: argparse.Namespace) -> int:
    """A row a system."""
    from fusion import checkpoints
    from fusion.files import ASSETS
    from fusion.models import MODELS

    bundled = [c for c in checkpoints.listed() if c.folder.is_relative_to(ASSETS.resolve())]
    rows = [
        {
            "key": key,
            "name": model.card.name,
            "title": model.card.title,
            "paper": model.card.paper,
            "official": model.card.official,
            "tasks": [task.value for task in model.card.tasks],
            "signals": list(model.card.shows),
            "checkpoints": [c.name for c in bundled if c.model == key],
        }
        for key, model in MODELS.items()
    ]
    if options.json:
        _print(rows)
        return 0
    for row in rows:
        print(
            f"{row['key']:<12} {row['title']}\n{'':<12} {row['paper']}\n{'':<12} {', '.join(row['checkpoints']) or '-'}"
        )
    return 0


def data(options: argparse.Namespace) -> int:
    """A row a data set: the bundled ones, or the one that a path holds; with `features`, a feature file of it."""
    from fusion.data import DATASETS, open_data

    if options.spec == "features":
        return _features(options)
    if options.of is not None:
        raise FusionError(f'"data {options.spec} {options.of}" names two things; one data set, or features DATA.')
    rows = [open_data(spec).summary() for spec in ([options.spec] if options.spec else DATASETS)]
    if options.json:
        _print(rows)
        return 0
    for row in rows:
        graph = f", {row['triples']} triples, {row['links']} links" if "links" in row else ""
        print(
            f"{row['key']:<12} {row['name']} ({row['word']}): {row['samples']} "
            f"{'entities' if graph else 'samples'}, {row['with_image']} with an image{graph}"
        )
        for problem in row["problems"]:
            _say(f"  {problem}")
    return 0


def _features(options: argparse.Namespace) -> int:
    """Features of a graph data set by the product's encoders, into a file that docs/feature-files.md describes."""
    from tqdm import tqdm

    from fusion.data import open_data
    from fusion.data.feature_files import writable_name, write
    from fusion.data.graph_features import graph_tables

    if options.of is None or options.out is None:
        raise FusionError("Nothing to compute: python -m fusion data features DATA --out FILE.safetensors")
    path = writable_name(Path(options.out).expanduser())
    wrong = [pair for pair in options.encoder if "=" not in pair]
    if wrong:
        raise FusionError(f'"--encoder {wrong[0]}" should be MODALITY=ENCODER, such as name=minilm.')
    dataset = open_data(options.of)
    for problem in dataset.problems:
        _say(problem)
    wanted = [name.strip() for name in options.modality.split(",")] if options.modality else None
    with tqdm(unit="row", file=sys.stderr, disable=options.json) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        encoders = dict(pair.split("=", 1) for pair in options.encoder)
        tables = graph_tables(dataset, wanted, encoders=encoders, progress=progress)
    write(path, [sample.id for sample in dataset.samples], tables, dataset.digest, half=options.half)
    made = {
        name: {"width": table.values.shape[1], "known": int(table.known.sum()), "source": table.source}
        for name, table in tables.items()
    }
    if options.json:
        _print({"data": dataset.key, "entities": len(dataset), "file": str(path), "modalities": made})
    else:
        for name, row in made.items():
            print(f"{name:<12} {row['width']:>5} wide, known of {row['known']} of {len(dataset)}, by {row['source']}")
    return 0


def doctor(options: argparse.Namespace) -> int:
    """Versions, device, checksums of the encoders, folders that must be writable; 0 when all is well."""
    from importlib import metadata

    import torch

    import fusion
    from fusion import checkpoints, device
    from fusion.encoders import verify
    from fusion.files import home

    packages = ("streamlit", "plotly", "umap-learn", "scikit-learn", "transformers", "safetensors", "numpy", "pillow")
    report: dict[str, Any] = {
        "fusionscope": fusion.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "packages": {name: _version(metadata, name) for name in packages},
        "device": device.describe(),
        "encoders": [check._asdict() for check in verify()],
        "checkpoints": [c.name for c in checkpoints.listed()],
        "unreadable_checkpoints": checkpoints.unreadable(),
    }
    try:
        probe = home() / ".probe"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
        report["writable"] = True
    except OSError as error:
        report["writable"], report["home"] = False, str(error)
    well = (
        all(check["ok"] for check in report["encoders"])
        and report["writable"]
        and all(report["packages"].values())
        and not report["unreadable_checkpoints"]
    )
    report["well"] = well
    if options.json:
        _print(report)
    else:
        for key, value in report.items():
            print(f"{key:<24} {value}")
    if not well:
        _say("Not all is well: see the lines above; `make app` installs what is missing.")
    return 0 if well else 2


def _version(metadata: Any, name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def inspect(options: argparse.Namespace) -> int:
    """One sample through a checkpoint, as JSON and, with --out, as a report."""
    from fusion import report
    from fusion.data import open_data, pairs_only
    from fusion.inference import Pipeline
    from fusion.words import use

    use(options.lang)
    data = options.data or "gloss"
    checkpoint = _checkpoint(options.checkpoint, data)
    if aligns(checkpoint):
        return _inspect_entity(options, checkpoint)
    pipeline = Pipeline.open(checkpoint)
    donor = _sample(None, options.donor, "donor") if options.donor else None
    if options.id:
        sample = pairs_only(open_data(data)).get(options.id)
    else:
        if options.image is None and options.text is None:
            raise FusionError("Nothing to inspect: give --text, --image, or --id with --data.")
        sample = _sample(options.text, options.image, "input")
    if donor is None and sample.image() is not None:
        donor = next((s for s in open_data("gallery").samples if s.image() is not None), None)
    observation = pipeline.inspect(sample, donor)
    summary = report.summary(pipeline, observation)
    if options.out:
        summary["written"], absent = report.write(Path(options.out).expanduser(), pipeline, observation)
        if absent:
            _say(absent)
    if options.json:
        _print(summary)
    else:
        print(report.in_words(summary))
    return 0


def _inspect_entity(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """One entity through a checkpoint of two graphs."""
    from fusion import report
    from fusion.alignment.inspection import Aligner
    from fusion.data import open_data

    if options.id is None or options.text is not None or options.donor is not None:
        raise FusionError(
            f'"{checkpoint.name}" aligns entities: name one with --id, perhaps one to compare it with by --against, '
            "or another picture by --image; it takes no --text and no --donor."
        )
    image = _sample(None, options.image, "input").image() if options.image else None
    aligner = Aligner.open(checkpoint, open_data(options.data) if options.data else None)
    observation = aligner.inspect(options.id, image=image, against=options.against, recomputed=options.recomputed)
    summary = report.entity_summary(aligner, observation)
    if options.out:
        summary["written"], absent = report.write_entity(Path(options.out).expanduser(), aligner, observation)
        if absent:
            _say(absent)
    if options.json:
        _print(summary)
    else:
        print(report.entity_in_words(summary))
    return 0


def aligns(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint aligns the entities of two graphs instead of reading samples."""
    from fusion.models import MODELS
    from fusion.types import Task

    return Task.ALIGNMENT in MODELS[checkpoint.model].card.tasks


def _sample(text: str | None, image: str | None, name: str) -> Sample:
    from fusion.types import Image, Sample, Text

    parts: dict[str, Any] = {"text": Text(text or "")}
    if image is not None:
        path = Path(image).expanduser()
        if not path.is_file():
            raise FusionError(f'There is no image file "{path.name}"; give the path of a JPEG, PNG or WebP file.')
        parts["image"] = Image(path=path)
    return Sample(name, parts)


def _checkpoint(name: str | None, data: str = "") -> Checkpoint:
    """The one that was named, else the first one; for a data set of graphs, the first one that aligns entities."""
    from fusion import checkpoints
    from fusion.data import GRAPHS, PREFIXES

    if name:
        return checkpoints.find(name)
    graphs = data in GRAPHS or data.partition(":")[0] in PREFIXES
    found = [one for one in checkpoints.listed() if aligns(one) == graphs]
    if not found:
        model = "meaformer --data emoji" if graphs else "maf"
        raise FusionError(f"There is no checkpoint for this; train one (python -m fusion train {model}) or name one.")
    return found[0]


def observe(options: argparse.Namespace) -> int:
    """A whole data set through a checkpoint; kept for the Map and Match pages."""
    import time

    from tqdm import tqdm

    from fusion import jobs, observations
    from fusion.data import open_data, pairs_only
    from fusion.inference import Pipeline

    checkpoint = _checkpoint(options.checkpoint, options.data)
    if aligns(checkpoint):
        return _observe_entities(options, checkpoint)
    dataset = pairs_only(open_data(options.data))
    pipeline = Pipeline.open(checkpoint)
    started = time.perf_counter()
    with tqdm(total=len(dataset.samples), unit="sample", file=sys.stderr, disable=options.json) as bar:

        def progress(done: int, total: int) -> None:
            bar.update(done - bar.n)
            jobs.report(done, total, "observing")

        observed = observations.observe(pipeline, dataset, progress, bundled=options.bundled)
    frame = observed.frame
    result = {
        "data": dataset.key, "checkpoint": pipeline.checkpoint.name, "samples": len(frame),
        "problems": sum(problem != "" for problem in frame["problem"]),
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        _print(result)
    else:
        print(f"{result['samples']} samples of {result['data']} under {result['checkpoint']} in {result['seconds']} s")
    return 0


def _observe_entities(options: argparse.Namespace, checkpoint: Checkpoint) -> int:
    """All entities of two graphs through a checkpoint."""
    import time

    from tqdm import tqdm

    from fusion import jobs
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import whole
    from fusion.data import open_data

    dataset, started = open_data(options.data), time.perf_counter()
    with tqdm(unit="step", file=sys.stderr, disable=options.json) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            jobs.report(done, total, "observing")

        aligner = Aligner.open(checkpoint, dataset)
        made = whole(aligner, progress, bundled=options.bundled)
    pairs = made.pairs("test")
    first = {name: sum(pairs[name] <= 1) / max(len(pairs), 1) for name in ("rank", "rank_back")}
    result = {
        "data": dataset.key, "checkpoint": checkpoint.name, "entities": len(made.frame), "pairs": len(pairs),
        "hits1": first["rank"], "hits1_back": first["rank_back"],
        "faithful": {m: None if found is None else found.value for m, found in made.faithful.items()},
        "seconds": round(time.perf_counter() - started, 2),
    }  # fmt: skip
    if options.json:
        _print(result)
    else:
        print(
            f"{result['entities']} entities of {dataset.key} under {checkpoint.name} in {result['seconds']} s; partner "
            f"first for {result['hits1']:.1%} of {result['pairs']} pairs to test, back {result['hits1_back']:.1%}"
        )
    return 0


def adopt(options: argparse.Namespace) -> int:
    """An official checkpoint folder -> a Fusionscope checkpoint."""
    from fusion import adopt as adopting
    from fusion.files import home

    source = Path(options.folder).expanduser().resolve()  # "." has a name then
    destination = Path(options.out).expanduser() if options.out else home() / "checkpoints" / source.stem
    if source.is_file() or options.data:
        made = _adopt_entities(options, source, destination)
    else:
        vocabulary = Path(options.vocab).expanduser() if options.vocab else None
        made = adopting.adopt(source, destination, vocabulary=vocabulary)
    for line in made.origin["dropped"]:
        _say(f"Left out: {line}")
    if options.json:
        _print({"name": made.name, "model": made.model, "origin": dict(made.origin)})
    else:
        print(f'Adopted "{source.name}" as the checkpoint "{made.name}".')
    return 0


def _adopt_entities(options: argparse.Namespace, source: Path, destination: Path) -> Checkpoint:
    """A state dict of MCLEA or MEAformer, with the data set whose entities it knows."""
    from fusion.alignment import official
    from fusion.data import open_data

    if not source.is_file():
        raise FusionError(f'There is no file "{source.name}"; name the state dict, a .pkl, .pt or .pth file.')
    if not options.data:
        raise FusionError(
            f'"{source.name}" is one file, as of MCLEA or MEAformer; name its data, too: --data dbp15k:FOLDER.'
        )
    told = [name.strip() for name in (options.modalities or "").split(",") if name.strip()]
    paths = [Path(name).expanduser() for name in (*options.features, *([options.weights] if options.weights else []))]
    absent = [path.name for path in paths if not path.is_file()]
    if absent:
        raise FusionError(f'There is no file "{absent[0]}"; check its path.')
    weights = paths.pop() if options.weights else None
    return official.adopt(
        source, destination, open_data(options.data), modalities=told, heads=options.heads, files=paths, weights=weights
    )


def train(options: argparse.Namespace) -> int:
    """Train a system on a data set and save a checkpoint with its held-out figures."""
    from fusion import experiment
    from fusion.models import MODELS
    from fusion.types import Task

    if options.model in MODELS and MODELS[options.model].task is Task.ALIGNMENT:
        return _align(options)
    if options.features or options.seeds != 1:
        raise FusionError("--features and --seeds are for systems that align entities: mclea and meaformer.")
    made = experiment.train(
        options.model, options.data or "gloss", name=options.name, seed=options.seed, epochs=options.epochs,
        minutes=options.minutes,
        rate=options.rate, batch=options.batch, mismatch=options.mismatch, resume=options.resume, say=_say,
        settings=dict(pair.split("=", 1) for pair in options.set), fine_tune=options.fine_tune,
    )  # fmt: skip
    if options.json:
        _print({"name": made.name, "folder": str(made.folder), "metrics": dict(made.metrics)})
    else:
        print(f'Saved the checkpoint "{made.name}".')
    return 0


def _align(options: argparse.Namespace) -> int:
    """Train a system that aligns the entities of two graphs."""
    from fusion.alignment import runs

    if options.mismatch or options.fine_tune:
        raise FusionError(f"--mismatch and --fine-tune are for pairs of text and image, not for {options.model}.")
    wrong = [pair for pair in options.set if "=" not in pair]
    if wrong:
        raise FusionError(f'"--set {wrong[0]}" should be FIELD=VALUE, such as iterative=100.')
    made = runs.train(
        options.model, options.data or "emoji", name=options.name, seed=options.seed, seeds=options.seeds,
        resume=options.resume, say=_say, files=[Path(path).expanduser() for path in options.features],
        settings=dict(pair.split("=", 1) for pair in options.set),
        wanted={name: getattr(options, name) for name in ("epochs", "minutes", "rate", "batch")},
    )  # fmt: skip
    if options.json:
        _print({"name": made.name, "folder": str(made.folder), "metrics": dict(made.metrics)})
    else:
        print(f'Saved the checkpoint "{made.name}".')
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Held-out figures of a checkpoint on a data set."""
    from fusion import experiment

    checkpoint = _checkpoint(options.checkpoint, options.data or "")
    if aligns(checkpoint):
        from fusion.alignment import evaluation, runs

        if options.mismatch:
            raise FusionError("--mismatch is for pairs of text and image; links between graphs have none.")
        result = runs.evaluate(checkpoint, options.data, options.split)
        result = result if options.json else evaluation.flat(result)
    else:
        result = experiment.evaluate(checkpoint, options.data or "gloss", options.split, options.mismatch, options.seed)
    if options.json:
        _print(result)
    else:
        for key, value in result.items():
            print(f"{key:<24} {value:.3f}" if isinstance(value, float) else f"{key:<24} {value}")
    return 0


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value")


def _data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("spec", nargs="?", help="a bundled data set or a path (default: all bundled), or `features`")
    parser.add_argument("of", nargs="?", metavar="DATA", help="with `features`: the graphs to compute them of")
    parser.add_argument("--out", help="with `features`: the file to write, .safetensors or .npz")
    parser.add_argument("--modality", help="with `features`: which, apart by commas (default: all but char)")
    parser.add_argument("--encoder", action="append", default=[], metavar="MODALITY=NAME", help="another encoder")
    parser.add_argument("--half", action="store_true", help="with `features`: 16 bits a number")
    _json(parser)


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--image", help="path of an image")
    parser.add_argument("--text", help="a sentence")
    parser.add_argument("--id", help="a sample of --data instead, or an entity")
    parser.add_argument("--data", help="data set of --id (default gloss, or what the checkpoint was trained on)")
    parser.add_argument("--against", help="an entity of the other graph to compare with (default: the partner)")
    parser.add_argument("--recomputed", action="store_true", help="make an entity's weights anew under each subset")
    parser.add_argument("--donor", help="path of the image to exchange in the drop test")
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--out", help="folder for the report: HTML, CSV, PNG")
    parser.add_argument("--lang", default="en", choices=("en", "zh"), help="language of the report")
    _json(parser)


def _observe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="a bundled data set or a path")
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--bundled", action="store_true", help="keep the result beside the checkpoint")
    _json(parser)


def _adopt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="folder with pytorch_model.bin, pytorch_encoder.bin and model_config.json; or "
                        "one file, a state dict of MCLEA or MEAformer")  # fmt: skip
    parser.add_argument("--out", help="folder of the new checkpoint (default: beside your others)")
    parser.add_argument("--vocab", help="vocab.txt of its text encoder, where the folder has none")
    parser.add_argument("--data", help="graphs whose entities a state dict knows, such as dbp15k:FOLDER")
    parser.add_argument("--modalities", help="of a state dict: which were read, apart by commas")
    parser.add_argument("--heads", type=int, default=1, help="of MEAformer's transformer, which no file says")
    parser.add_argument("--features", action="append", default=[], metavar="FILE", help="feature file of its data")
    parser.add_argument("--weights", help="*_wight_dic.pkl of MEAformer, to compare with")
    _json(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a system, see `models`")
    parser.add_argument("--data", help="a bundled data set or a path (default gloss, or emoji for graphs)")
    parser.add_argument("--name", help="name of the new checkpoint (default: system-data-seed)")
    parser.add_argument("--seed", type=int, default=37)
    parser.add_argument("--epochs", type=int, help="at most (default: the recipe's)")
    parser.add_argument("--minutes", type=float, default=30.0, help="budget (default 30)")
    parser.add_argument("--rate", type=float, help="peak learning rate (default: the recipe's)")
    parser.add_argument("--batch", type=int, help="samples a step (default: the recipe's)")
    parser.add_argument("--mismatch", type=float, default=0.0, help="share of training pairs whose image is exchanged")
    parser.add_argument("--fine-tune", action="store_true", help="train the text encoder along (slower; kept with it)")
    parser.add_argument("--resume", action="store_true", help="go on from the last saved epoch of this name")
    parser.add_argument("--seeds", type=int, default=1, help="runs, of graphs alone; the first one is kept (default 1)")
    parser.add_argument("--features", action="append", default=[], metavar="FILE", help="a feature file of entities")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the model")
    _json(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", help="name or folder (default: the first one found)")
    parser.add_argument("--data", help="a bundled data set or a path (default gloss, or the graphs it was trained on)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--mismatch", type=float, default=0.0, help="share of pairs whose image is exchanged")
    parser.add_argument("--seed", type=int, default=0, help="of the negatives")
    _json(parser)


VERBS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]] = {
    "models": ("list the systems", _json, models),
    "data": ("list the data sets, check one of your own, or compute features of its entities", _data, data),
    "train": ("train a system", _train, train),
    "evaluate": ("held-out figures of a checkpoint", _evaluate, evaluate),
    "inspect": ("run one image and sentence through a checkpoint", _inspect, inspect),
    "observe": ("run a whole data set through a checkpoint", _observe, observe),
    "adopt": ("turn an official checkpoint folder into one of ours", _adopt, adopt),
    "doctor": ("check versions, device, weights and folders", _json, doctor),
}
