"""The verbs that say what there is: models, data, doctor; and features of a data set's entities."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion.commands.telling import progress, say, show
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse


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
        show(rows)
        return 0
    for row in rows:
        print(
            f"{row['key']:<12} {row['title']}\n{'':<12} {row['paper']}\n{'':<12} {', '.join(row['checkpoints']) or '-'}"
        )
    return 0


def data(options: argparse.Namespace) -> int:
    """A row a data set: the bundled ones, or the one that a path holds; or what `features`, `import`, `get` make."""
    from fusion import gathering
    from fusion.data import DATASETS, open_data

    if options.spec == "features":
        return _features(options)
    if options.spec in ("import", "get"):
        from fusion.commands.obtaining import obtain

        return obtain(options)
    if options.of is not None:
        raise FusionError(f'"data {options.spec} {options.of}" names two things; one data set, or features DATA.')
    with progress("sample", options.json or not gathering.named(options.spec), "gathering signals") as moved:
        gathering.ready(options.spec or "", moved)
    rows = [open_data(spec).summary() for spec in ([options.spec] if options.spec else DATASETS)]
    if options.json:
        show(rows)
        return 0
    for row in rows:
        graph = f", {row['triples']} triples" if "triples" in row else ""
        graph += f", {row['links']} links" if "links" in row else ""
        print(
            f"{row['key']:<12} {row['name']} ({row['word']}): {row['samples']} "
            f"{'entities' if graph else 'samples'}, {row['with_image']} with an image{graph}"
        )
        for problem in row["problems"]:
            say(f"  {problem}")
    return 0


def _features(options: argparse.Namespace) -> int:
    """Features of a graph data set by the product's encoders, into a file that docs/feature-files.md describes."""
    from fusion.data import open_data
    from fusion.data.feature_files import writable_name, write
    from fusion.data.graph_features import graph_tables
    from fusion.data.link_features import MODALITIES, link_tables

    if options.of is None or options.out is None:
        raise FusionError("Nothing to compute: python -m fusion data features DATA --out FILE.safetensors")
    path = writable_name(Path(options.out).expanduser())
    wrong = [pair for pair in options.encoder if "=" not in pair]
    if wrong:
        raise FusionError(f'"--encoder {wrong[0]}" should be MODALITY=ENCODER, such as name=minilm.')
    dataset = open_data(options.of)
    for problem in dataset.problems:
        say(problem)
    wanted = [name.strip() for name in options.modality.split(",")] if options.modality else None
    with progress("row", options.json) as moved:
        encoders = dict(pair.split("=", 1) for pair in options.encoder)
        if dataset.triples is None:
            tables = graph_tables(dataset, wanted, encoders=encoders, progress=moved)
        else:
            tables = link_tables(dataset, wanted or MODALITIES, progress=moved, encoders=encoders)
            tables = {name: table for name, table in tables.items() if table.known.any()}
    write(path, [sample.id for sample in dataset.samples], tables, dataset.digest, half=options.half)
    made = {
        name: {"width": table.values.shape[1], "known": int(table.known.sum()), "source": table.source}
        for name, table in tables.items()
    }
    if options.json:
        show({"data": dataset.key, "entities": len(dataset), "file": str(path), "modalities": made})
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
        show(report)
    else:
        for key, value in report.items():
            print(f"{key:<24} {value}")
    if not well:
        say("Not all is well: see the lines above; `make app` installs what is missing.")
    return 0 if well else 2


def _version(metadata: Any, name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
