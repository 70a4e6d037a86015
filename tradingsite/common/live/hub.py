"""One hub per process: a single subscription in front, any number of sockets behind.

A queue per socket in the broker's layer costs the server a round trip per socket and message and loses messages in a
burst; here a message arrives once per process and is copied in memory.
"""

import asyncio
import contextlib
import functools
import json
import logging
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

import redis.asyncio as redis_async
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import RedisError

from tradingsite.common.live.protocol import framed

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1000
FIRST_PAUSE_S, LAST_PAUSE_S = 0.1, 5.0
SILENCE_S = 5.0
RESYNC: dict[str, Any] = {"resync": True}
# By what a socket's messages are numbered: its one stream's own count, or for a feed the events' ids.
SEQ, ID = "seq", "id"


class TooSlow(Exception):
    """A socket did not take its messages in time: it must connect again and ask for what it missed."""


@dataclass(frozen=True, eq=False)
class News:
    """Messages that arrived together for one topic, encoded once however many sockets listen.

    Attributes:
        ids: the events' ids, one for each text.
        texts: the messages as they are sent, each numbered as the topic's sockets count.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, envelopes: Iterable[Mapping[str, Any]], *, numbered_by: str) -> "News":
        """Encode envelopes; `numbered_by` is SEQ for one stream's sockets and ID for a feed's."""
        pairs = [(envelope["id"], _text(envelope, numbered_by)) for envelope in envelopes]
        return cls(tuple(number for number, _ in pairs), tuple(text for _, text in pairs))

    @functools.cached_property
    def frames(self) -> tuple[bytes, ...]:
        """The messages as they stand on the wire of every socket that is not compressed."""
        return framed(self.texts)

    def without(self, ids: Set[int]) -> "News":
        """Return the messages of all other events."""
        kept = [place for place, number in enumerate(self.ids) if number not in ids]
        if len(kept) == len(self.ids):
            return self
        return News(tuple(self.ids[place] for place in kept), tuple(self.texts[place] for place in kept))


def _text(envelope: Mapping[str, Any], numbered_by: str) -> str:
    return json.dumps({**envelope["message"], "seq": envelope[numbered_by]})


# Not news but their absence: what was sent meanwhile must be asked for.
MISSED = News((), ())


class Subscription:
    """One socket's place in the hub: what it wants, and what waits for it."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self._waiting: list[News] = []
        self._messages = 0
        self._overflowed = False
        self._wake = asyncio.Event()

    def put(self, news: News) -> None:
        """Have the socket sent `news`; a socket that lags by more than QUEUE_SIZE messages loses all that waits."""
        if self._overflowed:
            return
        self._messages += len(news.texts)
        if self._messages > QUEUE_SIZE and self._waiting:
            self._overflowed = True
            self._waiting.clear()
        else:
            self._waiting.append(news)
        self._wake.set()

    async def take(self) -> list[News]:
        """Wait for news and return all that there are, oldest first; MISSED among them says that some are missing.

        Raises:
            TooSlow: more waited than is kept for one socket.
        """
        await self._wake.wait()
        self._wake.clear()
        if self._overflowed:
            raise TooSlow
        taken, self._waiting, self._messages = self._waiting, [], 0
        return taken


class Hub:
    """Copies what arrives to the subscriptions that name its stream or its feed. Lives on one event loop.

    Envelopes that arrive in one turn of the loop are handed out together: in a burst a socket is woken and written to
    once for many messages.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived: dict[str, list[tuple[int, str]]] = {}
        self._by_topic: dict[str, set[Subscription]] = {}
        self._listener: asyncio.Task[None] | None = None

    def join(self, topics: frozenset[str]) -> Subscription:
        """Subscribe to streams (`execution:…`) and whole feeds (`feed:execution`). Call on the event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # A new loop means that the old one ended with all its sockets, as between two tests.
            self._loop, self._by_topic, self._listener, self._arrived = loop, {}, None, {}
        if settings.REDIS_URL and (self._listener is None or self._listener.done()):
            self._listener = loop.create_task(self._listen(), name="live listener")
        subscription = Subscription(topics)
        for topic in topics:
            self._by_topic.setdefault(topic, set()).add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Take a socket out."""
        for topic in subscription.topics:
            members = self._by_topic.get(topic)
            if members is not None:
                members.discard(subscription)
                if not members:
                    del self._by_topic[topic]

    def deliver_threadsafe(self, envelope: dict[str, Any]) -> None:
        """Deliver from any thread; without sockets in this process there is nothing to do."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        loop.call_soon_threadsafe(self.deliver, envelope)

    def deliver(self, envelope: Mapping[str, Any]) -> None:
        """Hand an envelope to its sockets at the end of this turn of the event loop. Call on the event loop."""
        waits = bool(self._arrived)
        for topic, numbered_by in ((envelope["stream"], SEQ), (f"feed:{envelope['feed']}", ID)):
            if topic in self._by_topic:
                self._arrived.setdefault(topic, []).append((envelope["id"], _text(envelope, numbered_by)))
        if self._arrived and not waits:
            asyncio.get_running_loop().call_soon(self._hand_out)

    def _hand_out(self) -> None:
        arrived, self._arrived = self._arrived, {}
        for topic, pairs in arrived.items():
            news = News(tuple(number for number, _ in pairs), tuple(text for _, text in pairs))
            for subscription in self._by_topic.get(topic, ()):
                subscription.put(news)

    def _resync(self) -> None:
        for members in self._by_topic.values():
            for subscription in members:
                subscription.put(MISSED)

    async def _listen(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            client = _client()
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(channel_name())
                    # What was sent while we were away is in the database: the sockets ask for it by number.
                    self._resync()
                    while True:
                        # With a limit, so that a server that fell silent is asked whether it is there.
                        message = await channel.get_message(timeout=SILENCE_S)
                        pause_s = FIRST_PAUSE_S
                        if message is not None:
                            self._take(message["data"])
            except (RedisError, OSError) as error:
                logger.warning("live events do not arrive, next try in %.1f s: %s", pause_s, error)
            except Exception:  # this one task serves every socket of the process, and nobody would start it again
                logger.exception("live events do not arrive, next try in %.1f s", pause_s)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LAST_PAUSE_S)

    def _take(self, text: bytes) -> None:
        envelope = json.loads(text)
        if envelope == RESYNC:
            self._resync()
        else:
            self.deliver(envelope)


def channel_name() -> str:
    """Return the Redis channel of this desk.

    Redis keeps channels apart by their name alone, not by its numbered databases: without the number two desks on one
    server would show each other's news.
    """
    address = parse_url(settings.REDIS_URL)  # type: ignore[no-untyped-call]
    return f"desk:live:{address.get('db', 0)}"


def _client() -> redis_async.Redis:
    # Without the client's own retries: it would come back by itself, and nobody would hear that it had been away.
    return redis_async.Redis.from_url(
        settings.REDIS_URL,
        socket_keepalive=True,
        socket_connect_timeout=2,
        health_check_interval=SILENCE_S,
        retry=Retry(NoBackoff(), 0),
    )


hub = Hub()
