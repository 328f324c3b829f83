"""Checkpoints on disk: a folder of weights.safetensors, config.json, metrics.json and card.md; save, load, list.

Nothing pickled is read here (fusion.adopt does that, weights only). Loading is strict: every tensor of the model is
filled and every tensor of the file is used. A checkpoint may carry encoders of its own below encoders/.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

import fusion
from fusion.files import ASSETS, atomic_folder, digest, file_digest, home, sweep
from fusion.models import MODELS
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.base import FusionModel

READER = "probe.safetensors"  # a linear reader beside the weights of a system of a shared space
FORMAT = 1  # of config.json; a higher one was written by a newer Fusionscope


@dataclass(frozen=True)
class Checkpoint:
    """A trained model on disk, described without its weights."""

    name: str
    folder: Path
    model: str  # key of MODELS
    config: Mapping[str, Any]  # fields of the model's Config
    encoders: Mapping[str, str]  # {modality: encoder name}, see fusion.encoders
    data: str  # what it was trained on
    metrics: Mapping[str, Any]  # held-out figures, calibration
    origin: Mapping[str, Any]  # where the weights come from; "official" only with source and sha256
    created: str
    versions: Mapping[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """sha256 of its weights, and of the reader of its space where it has one."""
        own, reader = file_digest(self.folder / "weights.safetensors"), self.folder / READER
        return digest(own, file_digest(reader)) if reader.exists() else own

    @property
    def card(self) -> str:
        """The card in Markdown, "" without one."""
        path = self.folder / "card.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def size(self) -> int:
        """Bytes of the weights file."""
        return (self.folder / "weights.safetensors").stat().st_size


def roots() -> list[Path]:
    """Where checkpoints are looked for: the bundled ones, the user's, then FUSION_CHECKPOINTS (":"-separated).

    Weights that were trained on share-alike data lie apart, under its licence; a copy without them works.
    """
    named = [Path(root) for root in os.environ.get("FUSION_CHECKPOINTS", "").split(":") if root]
    return [ASSETS / "checkpoints", ASSETS / "share-alike" / "checkpoints", home() / "checkpoints", *named]


def listed() -> list[Checkpoint]:
    """Every checkpoint that can be read below the roots, bundled ones first. Unreadable ones are in `unreadable`."""
    return [read(folder) for folder in _folders() if _problem(folder) is None]


def unreadable() -> dict[str, str]:
    """Folders that look like a checkpoint and can't be read: name -> the sentence that says why."""
    problems = {folder.name: _problem(folder) for folder in _folders()}
    return {name: problem for name, problem in problems.items() if problem}


def _folders() -> list[Path]:
    sweep(home() / "checkpoints")
    found = [path.parent for root in roots() if root.is_dir() for path in sorted(root.glob("*/config.json"))]
    return [folder for folder in found if not folder.name.startswith(".")]  # what a killed save left behind


def _problem(folder: Path) -> str | None:
    try:
        read(folder)
    except FusionError as error:
        return str(error)
    return None


def find(name: str) -> Checkpoint:
    """The checkpoint of a name or folder. Raises FusionError when there is none."""
    for checkpoint in listed():
        if checkpoint.name == name:
            return checkpoint
    folder = Path(name).expanduser()
    if (folder / "config.json").exists():
        return read(folder)
    known = ", ".join(checkpoint.name for checkpoint in listed()) or "none"
    raise FusionError(
        f'There is no checkpoint "{name}". Known: {known}. Name one of them, or a folder with config.json.'
    )


def read(folder: Path) -> Checkpoint:
    """Describe a checkpoint folder without loading its weights.

    Raises FusionError on a missing or unreadable file, a newer format, or a model that this version doesn't have.
    """
    config = _json(folder / "config.json")
    if not (folder / "weights.safetensors").exists():
        raise FusionError(
            f'"{folder.name}" has no weights.safetensors; use a folder saved by Fusionscope, or adopt one.'
        )
    version = config.get("format")
    if not isinstance(version, int) or version < 1:
        raise FusionError(f'config.json of "{folder.name}" has no format number; it was not saved by Fusionscope.')
    if version > FORMAT:
        raise FusionError(
            f'"{folder.name}" has format {version}; Fusionscope {fusion.__version__} reads up to {FORMAT}. Update it.'
        )
    missing = [key for key in ("model", "config", "encoders", "data") if key not in config]
    if missing:
        raise FusionError(f'config.json of "{folder.name}" lacks {", ".join(missing)}; copy the whole folder again.')
    texts = config["encoders"].values() if isinstance(config["encoders"], dict) else [None]
    if not isinstance(config["config"], dict) or not all(isinstance(text, str) for text in texts):
        raise FusionError(
            f'config and encoders in config.json of "{folder.name}" are no tables; copy the folder again.'
        )
    if config["model"] not in list(MODELS):  # a list compares what can't be hashed, too
        raise FusionError(
            f'"{folder.name}" holds the system "{config["model"]}"; known: {", ".join(MODELS)}. Update Fusionscope.'
        )
    return Checkpoint(
        name=folder.name,
        folder=folder.resolve(),
        model=config["model"],
        config=config["config"],
        encoders=config["encoders"],
        data=str(config["data"]),
        metrics=_json(folder / "metrics.json") if (folder / "metrics.json").exists() else {},
        origin=config.get("origin", {}),
        created=str(config.get("created", "")),
        versions=config.get("versions", {}),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FusionError(f'{path.name} of "{path.parent.name}" can\'t be read ({error}); copy it again.') from None
    if not isinstance(value, dict):
        raise FusionError(f'{path.name} of "{path.parent.name}" holds no table; copy it again.')
    return value


def load(checkpoint: Checkpoint) -> FusionModel:
    """The model with its weights, in evaluation mode, on the CPU; in float32, or in float64 where it is solved.

    Raises FusionError on settings that the model doesn't have, on missing, unknown or misshapen tensors, and on
    weights that are not finite.
    """
    kind = MODELS[checkpoint.model]
    settings = _settings(checkpoint, kind.Config)
    with torch.device("meta"):  # no memory and no random numbers for what the file fills
        model = kind(settings)
    own = model.state_dict()
    try:
        with safe_open(checkpoint.folder / "weights.safetensors", framework="pt") as stream:
            shapes = {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118
            _check_names(checkpoint.name, {name: tuple(value.shape) for name, value in own.items()}, shapes)
            weights = {name: stream.get_tensor(name).to(own[name].dtype) for name in shapes}
    except (SafetensorError, OSError) as error:
        raise FusionError(
            f'weights.safetensors of "{checkpoint.name}" can\'t be read ({error}); copy it again.'
        ) from None
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise FusionError(
            f'{len(broken)} of {len(weights)} tensors of "{checkpoint.name}" hold NaN or infinite numbers '
            f"({', '.join(broken[:3])}); its training went wrong: use an earlier save."
        )
    model.load_state_dict(weights, assign=True)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())), (
        "a tensor outside the state dict"
    )
    return model.eval().requires_grad_(False)


def _settings(checkpoint: Checkpoint, kind: type) -> Any:  # the Config dataclass of one model
    fields = {f.name for f in dataclasses.fields(kind)}
    unknown = set(checkpoint.config) - fields
    if unknown:
        raise FusionError(
            f'config.json of "{checkpoint.name}" has settings that this version of {checkpoint.model} lacks: '
            f"{sorted(unknown)}. Update Fusionscope, or use the config.json that was saved with it."
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in checkpoint.config.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise FusionError(
            f'The settings of "{checkpoint.name}" don\'t fit ({error}); copy its config.json again.'
        ) from None


def _check_names(name: str, own: dict[str, tuple[int, ...]], found: dict[str, tuple[int, ...]]) -> None:
    missing, unknown = sorted(set(own) - set(found)), sorted(set(found) - set(own))
    if missing or unknown:
        lacks = f"lacks {len(missing)} of {len(own)} tensors ({', '.join(missing[:3])})" if missing else ""
        has = f"has {len(unknown)} unknown ones ({', '.join(unknown[:3])})" if unknown else ""
        raise FusionError(
            f'weights.safetensors of "{name}" {" and ".join(p for p in (lacks, has) if p)}: it was saved by another '
            "configuration. Use the config.json that was saved with it."
        )
    wrong = [f"{k} {found[k]} instead of {own[k]}" for k in own if own[k] != found[k]]
    if wrong:
        raise FusionError(
            f'{len(wrong)} tensors of "{name}" have another shape ({"; ".join(wrong[:3])}). Use the config.json that '
            "was saved with it."
        )


def save(
    folder: Path,
    model: FusionModel,
    *,
    encoders: Mapping[str, str],
    data: str,
    metrics: Mapping[str, Any],
    card: str,
    origin: Mapping[str, Any],
    half: bool = False,
    fill: Callable[[Path], None] | None = None,
) -> Checkpoint:
    """Write a checkpoint folder at once (aside, then renamed). `fill` adds files to it.

    `half` stores float16, but for tensors with numbers beyond 65,504.
    """
    config = {
        "format": FORMAT,
        "model": model.card.key,
        "config": dataclasses.asdict(model.config),  # type: ignore[arg-type]
        "encoders": dict(encoders),
        "data": data,
        "origin": dict(origin),
        "created": time.strftime("%Y-%m-%d"),
        "versions": {"fusionscope": fusion.__version__, "torch": torch.__version__.split("+")[0]},
    }
    weights = {
        name: (_halved(value) if half else value).detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }
    with atomic_folder(folder) as aside:
        save_file(weights, aside / "weights.safetensors")
        (aside / "config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (aside / "metrics.json").write_text(json.dumps(metrics, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (aside / "card.md").write_text(card, encoding="utf-8")
        if fill is not None:
            fill(aside)
        for path in (aside, *aside.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    return read(folder)


def _halved(value: torch.Tensor) -> torch.Tensor:
    small = value.half() if value.is_floating_point() else value
    return value if small.isinf().any() else small
