"""Frames made once for many sockets, on real connections: the same messages as without, and a slow reader is let go."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from django.db import transaction
from django.urls import path
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.server import ServerState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tradingsite.common.actor import Actor
from tradingsite.common.live import consumer as consumer_module
from tradingsite.common.live import hub as hub_module
from tradingsite.common.live import publish
from tradingsite.common.live.consumer import TOO_SLOW, LiveConsumer
from tradingsite.common.live.hub import News
from tradingsite.common.live.protocol import SEND_FRAMES, WRITE_SIZE, DeskProtocol, framed
from tradingsite.common.roles import Role

SIZES = (0, 1, 125, 126, 127, 65_535, 65_536, 200_000)


@contextlib.asynccontextmanager
async def served(application: Any) -> AsyncIterator[str]:
    """Yield the address of `application` behind the desk's protocol."""
    config = uvicorn.Config(application, log_level="critical", ws_ping_interval=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(lambda: DeskProtocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in set(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)


class Sender:
    """An application that sends texts as the consumer does, and keeps what it was offered and how it ended."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self.offered: bool | None = None
        self.error: BaseException | None = None
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.offered = SEND_FRAMES in scope["extensions"]
        await receive()
        await send({"type": "websocket.accept"})
        await self.go.wait()
        try:
            if self.offered:
                for frames in framed(self._texts):
                    await send({"type": SEND_FRAMES, "frames": frames})
            else:
                for text in self._texts:
                    await send({"type": "websocket.send", "text": text})
        except ClientDisconnected as error:
            self.error = error
            raise
        await receive()


@pytest.mark.parametrize(("compression", "offered"), [(None, True), ("deflate", False)])
async def test_a_client_reads_the_same_messages_whether_or_not_it_is_compressed(
    compression: str | None, offered: bool
) -> None:
    texts = [("ä" if size % 2 else "x") * size for size in SIZES]
    application = Sender(texts)
    async with served(application) as address, connect(address, compression=compression) as socket:
        application.go.set()
        assert [await asyncio.wait_for(socket.recv(), 5) for _ in texts] == texts
        assert application.offered is offered


def test_frames_are_joined_up_to_the_size_of_one_write_and_none_is_cut() -> None:
    texts = ["x" * 300] * 1000
    pieces = framed(texts)
    assert len(pieces) == 5
    assert all(len(piece) <= WRITE_SIZE for piece in pieces)
    assert b"".join(pieces) == b"".join(framed([text])[0] for text in texts)
    assert [len(piece) > WRITE_SIZE for piece in framed(["x" * WRITE_SIZE, "y"])] == [True, False]
    assert framed([]) == ()


async def test_frames_for_a_client_that_went_away_end_its_application() -> None:
    application = Sender(["x"])
    async with served(application) as address:
        socket = await connect(address, compression=None)
        await socket.close()
        await asyncio.sleep(0.05)
        application.go.set()
        async with asyncio.timeout(5):
            while application.error is None:
                await asyncio.sleep(0.01)


class TrialConsumer(LiveConsumer):
    feed = "trial"


ROUTES = URLRouter([path("ws/trial", TrialConsumer.as_asgi())])


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = Actor(kind="user", name="viewer", role=Role.VIEWER)
    monkeypatch.setattr(consumer_module, "actor_from_scope", lambda scope: actor)


def say(first: int, last: int, padding: str = "") -> None:
    with transaction.atomic():
        for number in range(first, last):
            publish("trial:1", "step", {"number": number, "padding": padding})


async def numbers(socket: ClientConnection, count: int) -> list[int]:
    return [json.loads(await asyncio.wait_for(socket.recv(), 10))["number"] for _ in range(count)]


@pytest.mark.usefixtures("viewer")
@pytest.mark.django_db(transaction=True)
async def test_a_burst_reaches_every_socket_whole_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(hub_module, "framed", lambda texts: made.append(len(texts)) or framed(texts))
    async with served(ROUTES) as address, contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(connect(f"{address}/ws/trial", compression=None)) for _ in range(20)]
        for socket in sockets:
            assert json.loads(await socket.recv())["type"] == "hello"
        await database_sync_to_async(say)(0, 500)
        for socket in sockets:
            assert await numbers(socket, 500) == list(range(500))
    assert sum(made) == 500, "frames are made once for all sockets"


@pytest.mark.usefixtures("viewer")
@pytest.mark.django_db(transaction=True)
async def test_a_client_that_stops_reading_is_closed_with_a_code_and_has_everything_after_a_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_SIZE", 20)
    padding, rounds, each = "x" * 50_000, 30, 10
    async with served(ROUTES) as address:
        async with (
            connect(f"{address}/ws/trial", compression=None, max_queue=None) as slow,
            connect(f"{address}/ws/trial", compression=None, max_queue=None) as quick,
        ):
            await asyncio.gather(slow.recv(), quick.recv())
            slow.transport.pause_reading()
            heard = []
            for round_ in range(rounds):
                await database_sync_to_async(say)(round_ * each, (round_ + 1) * each, padding)
                heard += await numbers(quick, each)
            assert heard == list(range(rounds * each))
            slow.transport.resume_reading()
            got = []
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    got.append(json.loads(await asyncio.wait_for(slow.recv(), 10)))
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == TOO_SLOW
            assert [message["number"] for message in got] == list(range(len(got)))
            assert 0 < len(got) < rounds * each
        async with connect(f"{address}/ws/trial", compression=None, max_queue=None) as again:
            await again.recv()
            await again.send(json.dumps({"type": "replay", "after": got[-1]["seq"]}))
            missed = await numbers(again, rounds * each - len(got))
            assert [message["number"] for message in got] + missed == list(range(rounds * each))
            await database_sync_to_async(say)(1000, 1001)
            assert await numbers(again, 1) == [1000]


async def test_one_encoding_serves_a_socket_that_needs_some_of_the_messages_only() -> None:
    news = News.of(
        [{"stream": "trial:1", "feed": "trial", "id": number, "seq": number, "message": {}} for number in (1, 2, 3)],
        numbered_by="id",
    )
    assert news.without(set()) is news
    assert news.without({1, 3}).ids == (2,)
    assert [json.loads(text) for text in news.without({1, 3}).texts] == [{"seq": 2}]
