"""State dicts and settings written by other programs: read without running anything, and moved over completely.

`fill` is the rule of every importer: each of our tensors is filled, each foreign one is used or known to be read by
nothing, and otherwise one error lists them all.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch._utils import _rebuild_tensor_v2

from fusion.types import FusionError

_DAMAGED = (RuntimeError, EOFError, OSError, LookupError, ValueError, AttributeError, TypeError, AssertionError)
_MOST = 2**20  # no size of a network is above it; refuses nonsense before anything is built from it


@dataclass(frozen=True)
class Foreign:
    """One foreign state dict, its keys without the prefixes of wrappers."""

    name: str  # of the file
    tensors: dict[str, Tensor]

    def axis(self, key: str, axis: int) -> int | None:
        """Size of one axis of a tensor, None where there is no such tensor or axis."""
        tensor = self.tensors.get(key)
        return tensor.shape[axis] if tensor is not None and tensor.ndim > axis and tensor.shape[axis] else None

    def indices(self, pattern: str) -> set[str]:
        """What the first group of a pattern stands for in the keys: the numbers of layers."""
        return {match[1] for key in self.tensors if (match := re.match(pattern, key))}

    def agreed(self, key: str, axis: int, said: Mapping[str, Any], setting: str, default: int | None = None) -> int:
        """One size from the shape of a tensor, or from the settings where the tensor is absent (`fill` then lists it).

        Raises FusionError when the two contradict each other, or when neither says it.
        """
        found, declared = self.axis(key, axis), whole(said, setting)
        if found is not None and declared is not None and found != declared:
            raise FusionError(
                f"The settings say {setting} {declared}, but {key} in {self.name} has {found}; use the settings files "
                "that were saved with these weights."
            )
        chosen = found or declared or default
        if chosen is None:
            raise FusionError(f"{self.name} lacks {key}, and the settings lack {setting}; copy the whole folder again.")
        return chosen


def whole(said: Mapping[str, Any], setting: str) -> int | None:
    """A setting that is a size, None where it is absent. Raises FusionError when it is no whole number from 1 up."""
    value = said.get(setting)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST):
        raise FusionError(
            f"The settings say {setting} {value!r}, which is no size; use the file saved with the weights."
        )
    return value


def settings(path: Path) -> dict[str, Any]:
    """The table in a JSON file. Raises FusionError when it can't be read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FusionError(f"{path.name} can't be read ({error}); copy it again.") from None
    if not isinstance(said, dict):
        raise FusionError(f"{path.name} holds no table of settings; copy it again.")
    return said


def state_dict(path: Path, prefix: str = "") -> Foreign:
    """The tensors of a file that torch.save wrote, still on disk until used; "module." and `prefix` are stripped.

    Raises FusionError when the file is damaged, holds anything but tensors (a pickle can run code), or tensors that are
    not finite.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's protocol; what comes of it is judged below
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError:
        raise FusionError(
            f"{path.name} holds more than a table of tensors, and opening it could run code, so it was refused; save "
            "it again with torch.save(model.state_dict(), FILE)."
        ) from None
    except _DAMAGED as error:
        raise FusionError(f"{path.name} is damaged or cut off ({type(error).__name__}); copy it again.") from None
    if not isinstance(loaded, Mapping) or not loaded:
        raise FusionError(f"{path.name} holds no table of tensors; save the state dict of the model.")
    found: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise FusionError(f"{path.name} holds {str(key)[:80]!r}, no tensor; save the state dict of the model.")
        own = _modern(key.removeprefix("module.").removeprefix(prefix))
        if own in found:
            raise FusionError(f"{path.name} holds {own} twice, under two spellings; save the state dict again.")
        found[own] = _sound(path.name, key, value)
    return Foreign(path.name, found)


def arrays(path: Path) -> dict[str, Tensor]:
    """Named arrays of a file that pickle.dump wrote of a dictionary, NumPy's or torch's, on the CPU.

    Only what such arrays are made of is looked up; every other name in the file stops the reading before it is called.
    Raises FusionError when the file is damaged, holds anything else, or numbers that are not finite.
    """
    try:
        with path.open("rb") as stream:
            loaded = _Arrays(stream).load()
    except pickle.UnpicklingError as error:
        raise FusionError(
            f"{path.name} is no plain table of arrays ({error}), and opening it could run code, so it was refused."
        ) from None
    except _DAMAGED as error:
        raise FusionError(f"{path.name} is damaged or cut off ({type(error).__name__}); copy it again.") from None
    if not isinstance(loaded, dict) or not loaded:
        raise FusionError(f"{path.name} holds no table of arrays; use the file that the official program wrote.")
    found: dict[str, Tensor] = {}
    for key, value in loaded.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
            value = torch.from_numpy(np.ascontiguousarray(value))
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise FusionError(f"{path.name} holds {str(key)[:80]!r}, no array; use what the official program wrote.")
        found[key] = _sound(path.name, key, value.detach()).clone()
    return found


def _storage(data: bytes) -> object:
    """In the place of torch's own, which would read anything."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def _reconstruct(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """In the place of NumPy's: an empty array that its state fills."""
    if kind is not np.ndarray or shape != (0,):
        raise pickle.UnpicklingError("an array of an unusual kind")
    return np.ndarray((0,), "b")


class _Arrays(pickle.Unpickler):
    """A pickle of arrays in dictionaries and lists, and nothing else."""

    KNOWN: ClassVar[dict[tuple[str, str], object]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
        ("torch.storage", "_load_from_bytes"): _storage,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    }

    def find_class(self, module: str, name: str) -> object:
        """The replacement of a known name. Raises UnpicklingError for every other one."""
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module[:40]}.{name[:40]}")
        return self.KNOWN[module, name]


def _modern(key: str) -> str:
    """.gamma and .beta, as early BERT files call a norm's two vectors -> .weight and .bias"""
    return re.sub(r"\.beta$", ".bias", re.sub(r"\.gamma$", ".weight", key))


def _sound(file: str, key: str, value: Tensor) -> Tensor:
    """The tensor itself. Raises FusionError when it is not dense, spans more than is stored, or is not finite."""
    dense = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
    if not dense or value.numel() * value.element_size() > value.untyped_storage().nbytes():
        raise FusionError(f"{key} in {file} is not stored as a plain tensor; save the state dict of the model again.")
    if value.is_floating_point() and not bool(torch.isfinite(value).all()):
        raise FusionError(f"{key} in {file} holds NaN or infinite numbers; use a save from before its training broke.")
    return value


def fill(
    file: Foreign,
    wanted: Mapping[str, Tensor],
    foreign: Callable[[str], str],
    unread: tuple[str | re.Pattern[str], ...] = (),
) -> dict[str, Tensor]:
    """Every wanted tensor by our name, in the wanted dtype. `foreign` names ours in the file's words.

    `unread`: prefixes or patterns of foreign keys that no output reads. Raises FusionError with the whole table of what
    is missing, unknown or of another shape.
    """
    by_foreign = {foreign(own): own for own in wanted}
    rows: list[str] = []
    filled: dict[str, Tensor] = {}
    for key, own in by_foreign.items():
        shape, value = tuple(wanted[own].shape), file.tensors.get(key)
        if value is None and key.endswith("num_batches_tracked"):
            value = torch.zeros((), dtype=torch.long)  # a counter of training that early files lack
        if value is None:
            rows.append(f"  missing      {key} {shape}")
        elif tuple(value.shape) != shape:
            rows.append(f"  other shape  {key} {tuple(value.shape)} instead of {shape}")
        else:
            filled[own] = value.to(wanted[own].dtype)
    unknown = [key for key in file.tensors if key not in by_foreign and not _known(key, unread)]
    rows += [f"  unknown      {key} {tuple(file.tensors[key].shape)}" for key in unknown]
    if rows:
        raise FusionError(
            f"{file.name} does not fit: {len(rows)} of its tensors are missing, unknown or of another shape. Use the "
            "files that one run of the official program saved.\n" + "\n".join(sorted(rows))
        )
    return filled


def _known(key: str, patterns: tuple[str | re.Pattern[str], ...]) -> bool:
    return any(key.startswith(p) if isinstance(p, str) else p.match(key) is not None for p in patterns)
