"""What runs beside the work outlives every fault: a thread that died would look like one that has nothing to do."""

import asyncio
import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import redis
from django.db import InterfaceError, OperationalError
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tradingsite.common.background import guarded
from tradingsite.common.live import hub as hub_module
from tradingsite.common.live import transport
from tradingsite.common.live.hub import RESYNC, Hub, News

ENVELOPE = {"stream": "trial:1", "feed": "trial", "id": 1, "seq": 1, "message": {"type": "step"}}


@pytest.mark.parametrize("fault", [OperationalError("gone"), InterfaceError("closed"), OSError(), KeyError("a bug")])
@pytest.mark.django_db
def test_a_duty_goes_on_after_any_fault(fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    faults: list[Exception] = [fault]
    done = []

    def duty() -> None:
        if faults:
            raise faults.pop()
        done.append(1)

    round_ = guarded("trial", duty)
    with caplog.at_level(logging.WARNING):
        round_()
    round_()
    assert done == [1]
    assert "trial" in caplog.text


@pytest.fixture
def hanging_publish() -> Iterator[Callable[[Sequence[str]], None]]:
    """Publishing to a server that takes connections and never answers; once the test is over it does nothing."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        # Without the client's own retries, which draw from `random` beside the tests that must not see it change.
        client = redis.Redis(port=server.getsockname()[1], socket_timeout=1, retry=Retry(NoBackoff(), 0))

        def publish(texts: Sequence[str]) -> None:
            if not over.is_set():
                client.publish("trial", texts[0])

        yield publish
        over.set()


def test_a_redis_that_hangs_holds_nobody_up_who_has_news(hanging_publish: Callable[[Sequence[str]], None]) -> None:
    sender = transport.Sender(hanging_publish, pause_s=0.01)
    began = time.monotonic()
    for _ in range(20):
        sender.put(ENVELOPE)
    assert time.monotonic() - began < 0.2


def wait_for(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_news_wait_in_order_for_a_redis_that_is_away() -> None:
    away, sent = threading.Event(), []
    away.set()

    def publish(texts: Sequence[str]) -> None:
        if away.is_set():
            raise RedisError("away")
        sent.extend(json.loads(text)["seq"] for text in texts)

    sender = transport.Sender(publish, pause_s=0.01)
    for number in range(5):
        sender.put({**ENVELOPE, "seq": number})
    time.sleep(0.05)
    assert sent == []
    away.clear()
    wait_for(lambda: len(sent) == 5)
    assert sent == [0, 1, 2, 3, 4]


def test_when_more_news_wait_than_are_kept_the_sockets_are_told_to_ask() -> None:
    away, sent = threading.Event(), []
    away.set()

    def publish(texts: Sequence[str]) -> None:
        if away.is_set():
            raise RedisError("away")
        sent.extend(json.loads(text) for text in texts)

    sender = transport.Sender(publish, pause_s=0.01, kept=3)
    for number in range(10):
        sender.put({**ENVELOPE, "seq": number})
    away.clear()
    wait_for(lambda: RESYNC in sent)
    assert len(sent) <= 6


class Channel:
    """A subscription that breaks in the way it is told, once, and then brings one message."""

    breaks: list[Exception | dict[str, Any]] = []

    async def __aenter__(self) -> "Channel":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def subscribe(self, _name: str) -> None:
        return None

    async def get_message(self, **_: Any) -> dict[str, Any] | None:
        if not self.breaks:
            await asyncio.sleep(0.01)
            return None
        found = self.breaks.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


class Client:
    def pubsub(self, **_: Any) -> Channel:
        return Channel()

    async def aclose(self) -> None:
        raise RedisError("closing what is broken breaks too")


@pytest.mark.parametrize("fault", [RedisError("gone"), OSError("gone"), RuntimeError("a bug"), {"data": b"no json"}])
async def test_the_hub_hears_again_after_any_fault_and_says_that_it_was_away(
    fault: Exception | dict[str, Any], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = "redis://nowhere"
    monkeypatch.setattr(hub_module, "_client", Client)
    monkeypatch.setattr(Channel, "breaks", [fault, {"data": json.dumps(ENVELOPE).encode()}])
    one = Hub()
    subscription = one.join(frozenset({"trial:1"}))
    heard: list[News] = []
    while not any(news.ids for news in heard):
        heard += await asyncio.wait_for(subscription.take(), 3)
    assert [news.ids for news in heard] == [(), (), (1,)]
    assert one._listener is not None
    one._listener.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await one._listener
