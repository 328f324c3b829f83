"""Official TATE variables -> ours: a table of them by their names becomes a checkpoint with the released switches.

TensorFlow isn't needed here. Where it is, `reader = tf.train.load_checkpoint(PREFIX)` and
`numpy.savez(FILE, **{v: reader.get_tensor(v) for v in reader.get_variable_to_shape_map()})` write such a table. Nothing
in a file ever runs. No values were ever published, and a file says neither heads, lengths, the names of classes nor the
tag: they are told.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fusion import checkpoints
from fusion.files import file_digest
from fusion.foreign import Foreign, fill
from fusion.models.official import tate as names
from fusion.models.tate import TATE
from fusion.streams.adopted import check_place
from fusion.streams.inputs import GIVEN
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.models.tate import Config

KINDS = (".npz", ".safetensors")
MARK = f"{names.PREFIX}all_weights/Wr_wq"  # no other official file has it
STEPS, HEADS, TAG = (100, 150, 25), 4, (0, 1, 1, 0)  # of the MOSI program: vision, audio, text
LARGEST = 2**31  # bytes of all variables; the paper's are 25 MB, three times that with the optimiser's


def recognised(source: Path) -> bool:
    """Whether a file is a table of the variables of TATE."""
    if source.suffix not in KINDS:
        return False
    try:
        return MARK in variables(source).tensors
    except FusionError:
        return False


def variables(path: Path) -> Foreign:
    """The arrays of an .npz or .safetensors file by name; ":0" at the end of names is dropped.

    Raises FusionError when it is damaged, holds anything but arrays of numbers, or numbers that are not finite.
    """
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as packed:
                size = sum(one.file_size for one in packed.infolist())
            if size > LARGEST:
                raise FusionError(f"{path.name} unpacks to {size:,} bytes, more than any TATE has; use another file.")
            with np.load(path, allow_pickle=False) as arrays:
                found = {key: torch.from_numpy(np.array(arrays[key])) for key in arrays.files}
        else:
            found = load_file(path)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, SafetensorError) as error:
        if isinstance(error, FusionError):
            raise
        raise FusionError(f"{path.name} is no table of arrays ({type(error).__name__}); write it again.") from None
    for key, value in found.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise FusionError(f"{key} in {path.name} holds NaN or infinite numbers; use an earlier step of the run.")
    return Foreign(path.name, {key.removesuffix(":0"): value for key, value in found.items()})


def adopt(
    source: Path, destination: Path, *, heads: int | None = None, steps: Sequence[int] = (),
    classes: Sequence[str] = (), tag: Sequence[int] = (),
) -> Checkpoint:  # fmt: skip
    """Turn official variables into a checkpoint with the released switches.

    heads, steps (of vision, audio and text) and tag, the constant that every sample gets, are by default those of the
    program for MOSI; IEMOCAP has steps 100, 150, 50 and tag 0 0 0 1. classes: their names, by default numbers.
    Raises FusionError on damaged files, missing or unknown variables, and on what doesn't fit them.
    """
    check_place(destination)
    file = variables(source)
    model = filled(file, heads or HEADS, tuple(steps) or STEPS, classes, tuple(tag) or TAG)
    origin: dict[str, Any] = {
        "kind": "adopted", "source": f"{TATE.card.official}: {file.name}", "official": False,
        "sha256": {source.name: file_digest(source)}, "dropped": _dropped(file),
    }  # fmt: skip
    return checkpoints.save(
        destination, model, encoders=dict.fromkeys(names.ORDER, GIVEN), data="not recorded in the official file",
        metrics={}, card=_card(destination.name, origin, model.config), origin=origin,
    )  # fmt: skip


def filled(
    file: Foreign, heads: int = HEADS, steps: Sequence[int] = STEPS, classes: Sequence[str] = (),
    tag: Sequence[int] = TAG,
) -> TATE:  # fmt: skip
    """The model of a table of variables, in evaluation mode. Raises FusionError where they aren't those of TATE."""
    try:
        config = names.config(file.tensors, heads, steps, classes, constant_tag=tuple(tag))
    except (KeyError, IndexError) as error:
        raise FusionError(f"{file.name} lacks {error.args[0]}; write all variables of a run into it.") from None
    count = file.tensors[names.ANSWER].shape[1]
    if len(config.classes) != count:
        raise FusionError(f"{file.name} answers with {count} classes and {len(config.classes)} were named; name those.")
    with torch.device("meta"):
        wanted = TATE(config).state_dict()
    official = {own: names.official_name(own, config.weighted) for own in wanted}
    turned = {official[own]: own for own in wanted}
    ours = {
        key: names.from_official(turned[key], value) if key in turned else value for key, value in file.tensors.items()
    }
    model = TATE(config)
    model.load_state_dict(fill(Foreign(file.name, ours), wanted, official.__getitem__, names.UNUSED))
    return model.eval().requires_grad_(False)


def _dropped(file: Foreign) -> list[str]:
    """One line a group of variables that nothing reads."""
    said = ("two readouts that no output reads", "slots of the optimiser")
    lines = []
    for what, pattern in zip(said, names.UNUSED, strict=True):
        found = [value for key, value in file.tensors.items() if pattern.match(key)]
        if found:
            lines.append(f"{what}: {len(found)} variables, {sum(value.numel() for value in found):,} numbers")
    return lines


def _card(name: str, origin: Mapping[str, Any], config: Config) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    lengths = ", ".join(f"{m} {t}" for m, t in zip(config.modalities, config.steps, strict=True))
    return f"""# {name}

Adopted from variables in the format of the official program ({TATE.card.official}), which published no values: these
can't be compared with published ones, and are not called official. Licence: what their owner says.

Switches as released: every sample gets the tag {" ".join(map(str, config.constant_tag))}, padding and what is missing
are attended and read out, and **dropout is on while it answers**, so that two answers to one sample differ.
Longest sequences: {lengths}. Features must be those that it was trained on, in their order.

## Files
{hashes}

## Left out, because nothing reads it
{dropped}

## Figures
None: nothing was measured here. What it was trained on is not recorded in the file.
"""
