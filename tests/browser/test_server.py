"""The server answers this machine only, under its own two names, and takes no more than it says."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from tests.browser.server import Server, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain() -> Server:
    with serve() as started:
        yield started


def answer(server: Server, path: str, **headers: str) -> int:
    request = urllib.request.Request(
        server.url + path, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(("host", "welcome"), [("localhost", True), ("127.0.0.1", True), ("evil.example", False)])
def test_a_foreign_host_name_is_refused(plain: Server, host: str, welcome: bool) -> None:
    port = plain.url.rsplit(":", 1)[1]
    assert (answer(plain, "/_stcore/health", Host=f"{host}:{port}") == 200) == welcome
