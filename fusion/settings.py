"""Settings that came as text: their names checked, their values read as the type that a dataclass annotates."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Setting:
    """One field of a settings dataclass, as a form shows it."""

    name: str
    kind: type  # bool, int, float or str
    default: Any  # of its kind, as the field has it
    choices: tuple[str, ...]  # of a Literal, else empty
    told: str  # the sentence beside it in the source, "" without one


def described(kind: type, leave_out: Iterable[str] = ()) -> tuple[Setting, ...]:
    """The fields of a dataclass that are one number, word or switch with a default, in their order."""
    hints, said, left = typing.get_type_hints(kind), _comments(kind), set(leave_out)
    found = []
    for one in dataclasses.fields(kind):
        hint = hints[one.name]
        if isinstance(hint, types.UnionType):  # a number or None
            hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        plain = str if choices else hint
        if one.name in left or plain not in (bool, int, float, str) or one.default is dataclasses.MISSING:
            continue
        found.append(Setting(one.name, plain, one.default, choices, said.get(one.name, "")))
    return tuple(found)


def _comments(kind: type) -> dict[str, str]:
    """{field: what its line says behind it} of a dataclass and those that it extends."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if dataclasses.is_dataclass(one):
            lines = inspect.getsource(one).splitlines()
            told = (re.match(r"    (\w+): [^#\"]*(?:\"[^\"]*\"[^#\"]*)*# (?!fmt|type)(.+)$", line) for line in lines)
            found |= {match[1]: match[2] for match in told if match}
    return found
