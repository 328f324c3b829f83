"""Settings that came as text: their names checked, their values read as the type that a dataclass annotates."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

from fusion.types import FusionError


def parsed(name: str, text: str, kind: Any) -> Any:
    """A setting as its type: a number, a word, a switch, or several apart by commas. Raises FusionError.

    >>> parsed("widths", "64, 128", tuple[int, ...])
    (64, 128)
    """
    arguments = typing.get_args(kind)
    try:
        if typing.get_origin(kind) is tuple:
            one = str if typing.get_origin(arguments[0]) is typing.Literal else arguments[0]
            return tuple(one(part.strip()) for part in text.split(",") if part.strip())
        if kind is bool:
            return text.lower() in ("1", "true", "yes")
        return kind(text) if kind in (int, float) else text
    except ValueError:
        what = " and commas" if typing.get_origin(kind) is tuple else ""
        raise FusionError(f'The setting {name} takes numbers{what}, not "{text}".') from None


def known_names(settings: Mapping[str, str], *kinds: type, more: Iterable[str] = (), less: Iterable[str] = ()) -> None:
    """Raises FusionError for a setting that is no field of the dataclasses `kinds`; `more` and `less` change those."""
    told = {name for kind in kinds for name in typing.get_type_hints(kind)}
    known = sorted((told | set(more)) - set(less))
    wrong = [name for name in settings if name not in known]
    if wrong:
        raise FusionError(f'There is no setting "{wrong[0]}"; there are {", ".join(known)}.')


def pairs(given: Iterable[str]) -> dict[str, str]:
    """{field: value} of FIELD=VALUE, as `--set` takes them. Raises FusionError for one without an equals sign."""
    given = list(given)
    wrong = [pair for pair in given if "=" not in pair]
    if wrong:
        raise FusionError(f'"--set {wrong[0]}" should be FIELD=VALUE, such as epochs=10.')
    return dict(pair.split("=", 1) for pair in given)
