"""What tests of calls out ask for: a door, leave to reach this machine, a name server of their own."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.outbound import awaited, doors
from tradingsite.common import outbound, outbound_rules


@pytest.fixture(params=[outbound.call, awaited], ids=["blocking", "awaited"])
def door(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let `call` take one of the two doors: each keeps every promise."""
    doors.append(request.param)
    yield
    doors.pop()


@pytest.fixture
def allowed(settings: Any, door: None) -> None:
    """Let calls reach the servers of this module, which are on the loopback."""
    settings.OUTBOUND_ALLOWED = ["127.0.0.0/8"]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A name server: what stands here under a name is its addresses, and changes take effect at once."""
    known: dict[str, list[str]] = {}

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in known[host]]

    monkeypatch.setattr(outbound_rules.socket, "getaddrinfo", look_up)
    return known
