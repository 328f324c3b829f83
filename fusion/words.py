"""Every sentence that a person reads in the app: t("key", **values), from assets/words/{en,zh}.toml."""

from __future__ import annotations

import functools
import tomllib
from contextvars import ContextVar

from fusion.files import ASSETS

LANGUAGES = {"en": "English", "zh": "中文"}
_language: ContextVar[str] = ContextVar("language", default="en")


@functools.cache
def catalogue(language: str) -> dict[str, str]:
    """All sentences of a language by flat key ("page.view.role")."""
    with (ASSETS / "words" / f"{language}.toml").open("rb") as stream:
        return dict(_flat(tomllib.load(stream), ""))


def _flat(table: dict[str, object], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        rows += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, str(value))]
    return rows


def use(language: str) -> None:
    """Speak this language from now on in this thread or task; an unknown one falls back to English."""
    _language.set(language if language in LANGUAGES else "en")


def current() -> str:
    """The language in use: "en" or "zh"."""
    return _language.get()


def t(key: str, **values: object) -> str:
    """The sentence of a key in the language in use, its placeholders filled. Raises KeyError on an unknown key."""
    sentence = catalogue(_language.get())[key]
    return sentence.format(**values) if values else sentence
