"""Live events: numbered without a gap, replayed by number, pushed through one hub."""

import asyncio
import json
import threading
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import OperationalError, connection, transaction
from django.urls import path

from tradingsite.common.actor import Actor
from tradingsite.common.live import consumer as consumer_module
from tradingsite.common.live import publish
from tradingsite.common.live.consumer import LiveConsumer
from tradingsite.common.live.events import feed_after, stream_after
from tradingsite.common.live.hub import QUEUE_SIZE, TooSlow, channel_name, hub
from tradingsite.common.models import LiveEvent
from tradingsite.common.roles import Role

STREAM = "trial:1"


class TrialConsumer(LiveConsumer):
    feed = "trial"

    async def stream_name(self) -> str | None:
        name = self.scope["url_route"]["kwargs"].get("name")
        if name == "forbidden":
            raise LookupError
        return f"trial:{name}" if name else None


ROUTES = URLRouter([path("ws/trial", TrialConsumer.as_asgi()), path("ws/trial/<name>", TrialConsumer.as_asgi())])


def say(number: int, stream: str = STREAM) -> None:
    with transaction.atomic():
        publish(stream, "step", {"number": number})


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> dict[str, Actor | None]:
    """Who connects; a viewer until told otherwise."""
    who: dict[str, Actor | None] = {"actor": Actor(kind="user", name="viewer", role=Role.VIEWER)}
    monkeypatch.setattr(consumer_module, "actor_from_scope", lambda scope: who["actor"])
    return who


async def connect(target: str = "/ws/trial/1") -> WebsocketCommunicator:
    socket = WebsocketCommunicator(ROUTES, target)
    await socket.connect()
    return socket


@pytest.mark.django_db(transaction=True)
def test_an_event_needs_the_transaction_of_its_change() -> None:
    with pytest.raises(RuntimeError, match="needs the transaction"):
        publish(STREAM, "step", {})


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_uses_no_number() -> None:
    say(1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        publish(STREAM, "step", {"number": 2})
        _ = 1 / 0
    say(3)
    assert [(event.seq, event.data["number"]) for event in LiveEvent.objects.order_by("seq")] == [(1, 1), (2, 3)]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_eight_writers_of_one_stream_leave_no_gap() -> None:
    def write() -> None:
        for number in range(25):
            say(number)
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(LiveEvent.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 201))


@pytest.mark.django_db(transaction=True)
def test_streams_count_apart_and_a_feed_shows_them_all() -> None:
    say(1)
    say(2, stream="trial:2")
    say(3)
    assert [envelope["seq"] for envelope in stream_after(STREAM, 0)] == [1, 2]
    assert [envelope["message"]["number"] for envelope in feed_after("trial", 0)] == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
async def test_a_socket_gets_hello_then_news_from_another_thread(caller: dict[str, Actor | None]) -> None:
    socket = await connect()
    assert await socket.receive_json_from() == {"type": "hello", "seq": 0}
    await database_sync_to_async(say)(7)
    message = await socket.receive_json_from()
    assert (message["type"], message["seq"], message["number"]) == ("step", 1, 7)
    assert message["at"].endswith("Z")
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_socket_that_comes_back_gets_what_it_missed_in_order(caller: dict[str, Actor | None]) -> None:
    for number in range(5):
        await database_sync_to_async(say)(number)
    socket = await connect()
    assert (await socket.receive_json_from())["seq"] == 5
    await socket.send_json_to({"type": "replay", "after": 2})
    assert [(await socket.receive_json_from())["seq"] for _ in range(3)] == [3, 4, 5]
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_replay_from_before_what_is_kept_says_that_there_is_a_gap(caller: dict[str, Actor | None]) -> None:
    for number in range(3):
        await database_sync_to_async(say)(number)
    await LiveEvent.objects.filter(seq__lte=2).adelete()
    socket = await connect()
    await socket.receive_json_from()
    await socket.send_json_to({"type": "replay", "after": 0})
    assert await socket.receive_json_from() == {"type": "gap", "seq": 2}
    assert (await socket.receive_json_from())["seq"] == 3
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "text", ["[]", "nonsense", '{"type": "replay"}', '{"type": "replay", "after": -1}', "[" * 5000]
)
async def test_rubbish_from_a_client_is_answered_and_the_socket_lives(
    caller: dict[str, Actor | None], text: str
) -> None:
    socket = await connect()
    await socket.receive_json_from()
    await socket.send_to(text_data=text)
    assert (await socket.receive_json_from())["type"] == "error"
    await database_sync_to_async(say)(1)
    assert (await socket.receive_json_from())["number"] == 1
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("actor", "target", "code"),
    [
        (None, "/ws/trial/1", 4401),
        (Actor(kind="user", name="nobody", role=None), "/ws/trial/1", 4403),
        (Actor(kind="user", name="viewer", role=Role.VIEWER), "/ws/trial/forbidden", 4403),
    ],
)
async def test_who_may_not_listen_is_closed_with_the_reason(
    caller: dict[str, Actor | None], actor: Actor | None, target: str, code: int
) -> None:
    caller["actor"] = actor
    socket = await connect(target)
    closed: dict[str, Any] = await socket.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", code)


def envelope_of(number: int) -> dict[str, Any]:
    return {"stream": STREAM, "feed": "trial", "id": 100 + number, "seq": number, "message": {"number": number}}


async def test_a_client_too_slow_to_follow_is_let_go_and_the_others_are_not() -> None:
    slow = hub.join(frozenset({STREAM}))
    quick = hub.join(frozenset({STREAM}))
    for number in range(QUEUE_SIZE + 5):
        hub.deliver(envelope_of(number))
        (news,) = await asyncio.wait_for(quick.take(), 1)
        assert news.ids == (100 + number,)
    with pytest.raises(TooSlow):
        await slow.take()
    hub.leave(slow)
    hub.leave(quick)


async def test_a_burst_larger_than_what_may_wait_reaches_a_socket_that_follows() -> None:
    socket = hub.join(frozenset({STREAM}))
    for number in range(QUEUE_SIZE + 500):
        hub.deliver(envelope_of(number))
    (news,) = await asyncio.wait_for(socket.take(), 1)
    assert [json.loads(text)["seq"] for text in news.texts] == list(range(QUEUE_SIZE + 500))
    hub.leave(socket)


async def test_what_arrives_together_is_encoded_once_for_all_sockets_and_numbered_as_each_kind_counts() -> None:
    first, second = hub.join(frozenset({STREAM})), hub.join(frozenset({STREAM}))
    feed = hub.join(frozenset({"feed:trial"}))
    for number in (1, 2):
        hub.deliver(envelope_of(number))
    hub.deliver({**envelope_of(9), "stream": "trial:2"})
    ((one,), (other,), (all_,)) = [await asyncio.wait_for(each.take(), 1) for each in (first, second, feed)]
    assert one is other
    assert [json.loads(text) for text in one.texts] == [{"number": 1, "seq": 1}, {"number": 2, "seq": 2}]
    assert [json.loads(text)["seq"] for text in all_.texts] == [101, 102, 109]
    for each in (first, second, feed):
        hub.leave(each)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", ["/ws/trial/1", "/ws/trial"])
async def test_what_a_replay_has_told_already_is_not_told_again_when_it_arrives(
    caller: dict[str, Actor | None], target: str
) -> None:
    for number in range(1, 4):
        await database_sync_to_async(say)(number)
    socket = await connect(target)
    await socket.receive_json_from()
    await socket.send_json_to({"type": "replay", "after": 0})
    assert [(await socket.receive_json_from())["number"] for _ in range(3)] == [1, 2, 3]
    # As from another process, later than its row.
    for envelope in await database_sync_to_async(stream_after)(STREAM, 1):
        hub.deliver(envelope)
    await database_sync_to_async(say)(4)
    assert (await socket.receive_json_from())["number"] == 4
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("target", ["/ws/trial/1", "/ws/trial"])
async def test_a_replay_goes_on_to_the_present_however_much_was_missed(
    caller: dict[str, Actor | None], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(consumer_module.events, "REPLAY_LIMIT", 3)
    for number in range(1, 11):
        await database_sync_to_async(say)(number)
    socket = await connect(target)
    await socket.receive_json_from()
    read, pages = consumer_module.events.feed_after, []

    def read_while_news_arrive(name: str, after: int) -> list[dict[str, Any]]:
        pages.append(after)
        if len(pages) == 2:
            say(11)
        return (stream_after if target.endswith("/1") else read)(name, after)

    for name in ("stream_after", "feed_after"):
        monkeypatch.setattr(consumer_module.events, name, read_while_news_arrive)
    await socket.send_json_to({"type": "replay", "after": 0})
    assert [(await socket.receive_json_from())["number"] for _ in range(11)] == list(range(1, 12))
    assert len(pages) == 4
    assert await socket.receive_nothing()
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_news_do_not_fall_into_the_middle_of_a_replay(
    caller: dict[str, Actor | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 4):
        await database_sync_to_async(say)(number)
    socket = await connect()
    await socket.receive_json_from()

    def read_while_news_arrive(stream: str, after: int) -> list[dict[str, Any]]:
        found = stream_after(stream, after)
        say(4)
        return found

    monkeypatch.setattr(consumer_module.events, "stream_after", read_while_news_arrive)
    await socket.send_json_to({"type": "replay", "after": 0})
    assert [(await socket.receive_json_from())["seq"] for _ in range(4)] == [1, 2, 3, 4]
    await socket.disconnect()


@pytest.mark.django_db(transaction=True)
async def test_a_socket_that_cannot_be_told_where_it_stands_is_closed_so_that_it_comes_again(
    caller: dict[str, Actor | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await connect()
    assert (await socket.receive_json_from())["type"] == "hello"

    def away(_name: str) -> int:
        raise OperationalError("the database is away")

    monkeypatch.setattr(consumer_module.events, "stream_position", away)
    hub._resync()
    closed = await socket.receive_output(timeout=3)
    assert (closed["type"], closed["code"]) == ("websocket.close", consumer_module.TRY_AGAIN)


def test_two_desks_on_one_redis_do_not_hear_each_other(settings: Any) -> None:
    names = set()
    for address in ("redis://127.0.0.1:6379/1", "redis://127.0.0.1:6379/2", "unix:///run/redis.sock?db=3"):
        settings.REDIS_URL = address
        names.add(channel_name())
    assert len(names) == 3
    settings.REDIS_URL = "redis://127.0.0.1:6379"
    assert channel_name() == "desk:live:0"
