"""Calls out from an event loop: many at once, and one that is given up hangs up."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from tests.support.receiver import raw_server
from tradingsite.common import outbound


def test_a_call_that_is_cancelled_hangs_up_at_once(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.0/8"]
    asked, hung_up = threading.Event(), threading.Event()

    def waits(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        asked.set()
        if connection.recv(1) == b"":
            hung_up.set()

    async def asks(port: int) -> None:
        task = asyncio.create_task(outbound.call_async("GET", f"http://127.0.0.1:{port}/", timeout_s=20, max_bytes=10))
        await asyncio.to_thread(asked.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(hung_up.wait, 5)

    with raw_server(waits) as port:
        asyncio.run(asks(port))


def test_one_loop_has_many_calls_under_way(settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.0/8"]
    together = threading.Barrier(8, timeout=5)

    def meets(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        together.wait()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def asks(port: int) -> list[outbound.Reply]:
        url = f"http://127.0.0.1:{port}/"
        return await asyncio.gather(*(outbound.call_async("GET", url, timeout_s=5, max_bytes=10) for _ in range(8)))

    with raw_server(meets) as port:
        assert [reply.body for reply in asyncio.run(asks(port))] == [b"ok"] * 8
