"""One checkpoint with a switch flipped: the same weights run as the paper says, or as the released program does.

Offered are the settings in which `Config()` and `Config.released()` differ and under which the weights still fit,
tensor by tensor. A switch that acts in training alone is among them: then nothing differs, which is the answer.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from fusion.checkpoints import Checkpoint
from fusion.files import digest
from fusion.models import MODELS
from fusion.types import FusionError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Switch:
    """A setting of a checkpoint, and what it could be instead."""

    name: str
    now: Any  # as the checkpoint was saved; Any: what a setting holds
    other: Any
    which: str  # what `other` is: "published" | "released"

    @property
    def word(self) -> str:
        """How it is written in a link or on the command line: "padding=attended"."""
        return f"{self.name}={written(self.other)}"


class Switched(Checkpoint):
    """A checkpoint with another setting; its content is another one, so nothing kept of one is taken for the other."""

    @functools.cached_property
    def digest(self) -> str:
        """Of the weights and of the settings."""
        plain = Checkpoint(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Checkpoint)})
        settings = (f"{name}={written(value)}" for name, value in sorted(self.config.items()))
        return digest(plain.digest, *settings)


def written(value: Any) -> str:
    """A setting as a word: true, 0.1, image+name."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "+".join(map(written, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def switches(checkpoint: Checkpoint) -> tuple[Switch, ...]:
    """The switches that can be flipped with these weights; () where what was released is what was published."""
    kind = MODELS[checkpoint.model]
    published, released = kind.Config(), kind.Config.released()
    own = _settings(checkpoint.config)
    shapes = _shapes(checkpoint.model, own)
    found = []
    for one in dataclasses.fields(kind.Config):
        first, second = getattr(published, one.name), getattr(released, one.name)
        if first == second:
            continue
        now = own.get(one.name, first)
        for which, other in (("published", first), ("released", second)):
            if other != now and shapes is not None and _shapes(checkpoint.model, own | {one.name: other}) == shapes:
                found.append(Switch(one.name, now, other, which))
    return tuple(found)


def switched(checkpoint: Checkpoint, word: str) -> Checkpoint:
    """The checkpoint with one switch flipped, "NAME=VALUE". Raises FusionError for a switch that isn't offered."""
    known = switches(checkpoint)
    chosen = next((one for one in known if one.word == word), None)
    if chosen is None:
        told = f"It has {', '.join(one.word for one in known)}." if known else "It has none; compare two checkpoints."
        raise FusionError(f'"{checkpoint.name}" has no switch "{word[:60]}" that its weights fit. {told}')
    fields = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(Checkpoint)}
    own = chosen.other
    config = {**checkpoint.config, chosen.name: list(own) if isinstance(own, tuple) else own}
    return Switched(**fields | {"config": config, "name": f"{checkpoint.name} {word}"})


def second(a: Checkpoint, other: Checkpoint | None, switch: str) -> Checkpoint:
    """B: another checkpoint, or A with a switch flipped. Raises FusionError where neither or both are named."""
    if switch and other is not None:
        raise FusionError("Name a second checkpoint or a switch, not both.")
    if switch:
        return switched(a, switch)
    if other is None:
        known = ", ".join(one.word for one in switches(a))
        told = f", or flip a switch by --switch: {known}" if known else ""
        raise FusionError(f'"{a.name}" is compared with nothing: name a second checkpoint{told}.')
    return other


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


def _shapes(model: str, settings: dict[str, Any]) -> dict[str, tuple[int, ...]] | None:
    """Every tensor of a model by name, without making one; None where the settings can't be built together."""
    kind = MODELS[model]
    try:
        with torch.device("meta"):
            made = kind(kind.Config(**settings))
    except (FusionError, TypeError, ValueError):
        return None
    return {name: tuple(value.shape) for name, value in made.state_dict().items()}
