"""From the process where something happened to the hubs of all processes that hold sockets.

Within one process that is a call; between processes it is one Redis channel, one subscription per process. Losing a
message here costs a moment: the row is in the database and the number tells the client that it missed one.
"""

import atexit
import contextlib
import functools
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
from django.conf import settings

from tradingsite.common.live.hub import RESYNC, channel_name, hub

logger = logging.getLogger(__name__)

KEPT = 10_000
TOGETHER = 100
FAREWELL_S = 1.0


@functools.cache
def _redis() -> tuple[redis.Redis, str]:
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, socket_keepalive=True, health_check_interval=30
    )
    return client, channel_name()


def _publish(texts: Sequence[str]) -> None:
    client, channel = _redis()
    with client.pipeline(transaction=False) as together:
        for text in texts:
            together.publish(channel, text)
        together.execute()


class Sender:
    """Publishes from a thread of its own, in order: a Redis that hangs must not hold up a run, its lease or a request.

    What waits leaves together. When that fails, all of it is sent again: a hub may hear a message twice, by its number.

    Args:
        pause_s: between two tries while Redis is away.
        kept: how many messages wait for it; beyond that all are dropped, and the sockets are told to ask anew.
    """

    def __init__(
        self, publish: Callable[[Sequence[str]], None] = _publish, *, pause_s: float = 0.5, kept: int = KEPT
    ) -> None:
        self._publish = publish
        self._pause_s = pause_s
        self._waiting: queue.Queue[str] = queue.Queue(kept)
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, envelope: dict[str, Any]) -> None:
        """Have the envelope sent; returns at once."""
        try:
            self._waiting.put_nowait(json.dumps(envelope))
        except queue.Full:
            self._forget()
        # After a fork the thread is not there.
        if self._thread is None or not self._thread.is_alive():
            with self._starting:
                if self._thread is None or not self._thread.is_alive():
                    self._thread = threading.Thread(target=self._run, name="live sender", daemon=True)
                    self._thread.start()

    def flush(self, timeout_s: float) -> None:
        """Wait until everything has left, but no longer than `timeout_s`: for a process that is about to end."""
        deadline = time.monotonic() + timeout_s
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.01)

    def _forget(self) -> None:
        dropped = 0
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
            self._waiting.task_done()
            dropped += 1
        logger.warning("%d live events are not pushed; the sockets are told to ask for them", dropped + 1)
        self._waiting.put(json.dumps(RESYNC))

    def _run(self) -> None:
        while True:
            texts = [self._waiting.get(), *self._more()]
            failing = False
            while True:
                try:
                    self._publish(texts)
                    break
                except (redis.RedisError, OSError) as error:
                    if not failing:
                        logger.warning("live events wait for Redis: %s", error)
                    failing = True
                    time.sleep(self._pause_s)
            for _ in texts:
                self._waiting.task_done()

    def _more(self) -> Iterator[str]:
        with contextlib.suppress(queue.Empty):
            for _ in range(TOGETHER - 1):
                yield self._waiting.get_nowait()


_sender = Sender()
atexit.register(_sender.flush, FAREWELL_S)


def send(envelope: dict[str, Any]) -> None:
    """Hand one envelope to every hub. Never raises and never waits for a Redis that is away: the news is stored."""
    if settings.REDIS_URL:
        _sender.put(envelope)
    else:
        hub.deliver_threadsafe(envelope)
