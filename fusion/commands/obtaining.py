"""Data sets that come from outside: feature files to import, packages to get."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from fusion.commands.telling import progress, say, show
from fusion.files import home
from fusion.types import FusionError

if TYPE_CHECKING:
    import argparse


def obtain(options: argparse.Namespace) -> int:
    """`data import mmsa FILE --out FOLDER`, or `data get stamps`."""
    if (options.spec, options.of) == ("import", "mmsa") and options.file:
        return _import(options)
    if (options.spec, options.of) == ("get", "stamps"):
        return _get(options)
    raise FusionError(
        "There are two: python -m fusion data import mmsa FILE --out FOLDER, and python -m fusion data get stamps."
    )


def _import(options: argparse.Namespace) -> int:
    from fusion.data.mmsa_import import import_file

    path = Path(options.file).expanduser()
    folder = Path(options.out).expanduser() if options.out else home() / "data" / path.stem
    if folder.exists() and not _ours(folder):
        raise FusionError(f'"{folder}" holds something else; name a new folder, or an earlier copy, with --out.')
    with progress("row", options.json) as moved:
        said = import_file(path, folder, read_scale(options.scale), classes=options.classes, progress=moved)
    if options.json:
        show(said | {"folder": str(folder), "spec": f"mmsa:{folder}"})
        return 0
    for one in said["modalities"]:
        print(f"{one['name']:<8} {one['width']:>5} wide, up to {one['steps']} steps")
    print(f"{said['samples']} samples ({', '.join(f'{name} {n}' for name, n in said['splits'].items())})")
    print(f"mmsa:{folder}")
    for sentence in (*said["notes"], *said["problems"]):
        say(f"  {sentence}")
    return 0


def _ours(folder: Path) -> bool:
    """Whether a folder is empty or an earlier copy, which a new one may replace."""
    from fusion.data.mmsa import FORMAT

    if not folder.is_dir():
        return False
    try:
        return json.loads((folder / "meta.json").read_text("utf-8"))["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        return not any(folder.iterdir())


def read_scale(text: str | None) -> tuple[float, float] | None:
    """Lowest and highest score. Raises FusionError for anything but two rising numbers."""
    if text is None:
        return None
    try:
        low, high = (float(one) for one in text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise FusionError(f'"--scale {text}" should be the lowest and the highest score, such as --scale=-3,3.')
    return low, high


def _get(options: argparse.Namespace) -> int:
    from fusion.data import stamps_get

    with progress("file", options.json) as moved:
        said = stamps_get.get(Path(options.file).expanduser() if options.file else None, moved)
    if options.json:
        show(said)
        return 0
    print(f"stamps       {said['stamps']} stamps, {said['with_speech']} with speech, in {said['folder']}")
    return 0
