"""A page of the app as a link opens it, without a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fusion import words

ROOT = Path(__file__).resolve().parent.parent


def opened(page: str, query: Mapping[str, str], seconds: int = 120) -> AppTest:
    """A page after its first run, in the language of its address, English without one."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=seconds)
    for name, value in ({"lang": "en"} | dict(query)).items():
        at.query_params[name] = value
    words.use(query.get("lang", "en"))
    return at.switch_page(f"pages/{page}.py").run()


@contextmanager
def nothing_broken(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No part of a page may fail behind the sentence that stands in for it."""
    yield
    words.use("en")
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


@contextmanager
def opening(page: str, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AppTest]]:
    """What opens a page by the parts of a link, as often as asked; nothing of it may break."""

    def at(**query: str) -> AppTest:
        found = opened(page, query)
        assert not found.exception
        return found

    with nothing_broken(caplog):
        yield at
