"""The server talks to pages of this machine only, under its own two names (`allowedHosts` in the settings)."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.browser.server import Server, serve


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    with serve() as started:
        yield started


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1", "127.0.0.1", 101),
        ("localhost", "localhost", 101),
        ("evil.example", "evil.example", 403),  # a name that someone else points at this machine
        ("127.0.0.1", "evil.example", 403),  # a page of someone else's
    ],
)
def test_a_session_opens_under_our_own_names_only(plain: Server, host: str, origin: str, status: int) -> None:
    port = int(plain.url.rsplit(":", 1)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    asked = {
        "Host": f"{host}:{port}",
        "Origin": f"http://{origin}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    connection.request("GET", "/_stcore/stream", headers=asked)
    assert connection.getresponse().status == status
    connection.close()
