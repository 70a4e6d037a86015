"""The base of every socket: check the right, join the hub, forward, replay."""

import asyncio
import contextlib
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import Error

from tradingsite.common.access.sockets import actor_from_scope
from tradingsite.common.actor import Actor
from tradingsite.common.live import events
from tradingsite.common.live.hub import ID, MISSED, SEQ, News, Subscription, TooSlow, hub
from tradingsite.common.live.protocol import SEND_FRAMES
from tradingsite.common.roles import Role

UNAUTHENTICATED, FORBIDDEN, BAD_REQUEST, TOO_SLOW = 4401, 4403, 4400, 4408
# By RFC 6455's registry: try again later.
TRY_AGAIN = 1013


class LiveConsumer(AsyncJsonWebsocketConsumer):
    """One socket on one stream, or on a whole feed.

    A message carries `seq`: the number in the stream, or for a feed the event's id. A client that sends
    `{"type": "replay", "after": seq}` gets what came after. A client too slow to follow is closed with 4408.
    """

    required_role: ClassVar[Role] = Role.VIEWER
    feed: ClassVar[str]

    subscription: Subscription | None = None
    actor: Actor | None = None
    stream: str | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # One speaks at a time, so that news do not fall into the middle of a replay.
        self._turn = asyncio.Lock()
        self._replayed: set[int] = set()

    async def stream_name(self) -> str | None:
        """Return the one stream that the client asked for, or None for the whole feed.

        Raises:
            LookupError: the client asked for something that it may not see or that is not there.
        """
        return None

    async def connect(self) -> None:
        # The refusal's code reaches a browser only on an accepted socket.
        await self.accept()
        self.actor = await database_sync_to_async(actor_from_scope)(self.scope)
        if self.actor is None:
            await self.close(UNAUTHENTICATED)
            return
        if not self.actor.may(self.required_role):
            await self.close(FORBIDDEN)
            return
        try:
            self.stream = await self.stream_name()
        except LookupError:
            await self.close(FORBIDDEN)
            return
        topic = self.stream or f"feed:{self.feed}"
        self.subscription = hub.join(frozenset({topic}))
        await self.send_json({"type": "hello", "seq": await self._position()})
        self._pump_task = asyncio.create_task(self._pump(self.subscription))

    async def disconnect(self, code: int) -> None:
        if self.subscription is not None:
            hub.leave(self.subscription)
            self._pump_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pump_task

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if self.subscription is None:
            return
        after = content.get("after") if isinstance(content, dict) and content.get("type") == "replay" else None
        if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 2**63:
            await self.send_json({"type": "error", "detail": 'Send {"type": "replay", "after": <seq>}.'})
            return
        async with self._turn:
            await self._replay(after)

    async def _replay(self, after: int) -> None:
        numbered_by = ID if self.stream is None else SEQ
        first = True
        while True:
            missed = await self._stored(after)
            if first and self.stream is not None and missed and missed[0]["seq"] > after + 1:
                # Older events are no longer kept: the client must load the present state instead.
                await self.send_json({"type": "gap", "seq": missed[0]["seq"] - 1})
            news = News.of(missed, numbered_by=numbered_by)
            # What the pump still holds of these, or is still on its way, has been sent by then.
            self._replayed = {*sorted(self._replayed)[-events.REPLAY_LIMIT :], *news.ids}
            await self._send_news(news)
            if len(missed) < events.REPLAY_LIMIT:
                # Up to the present: newer ones let go first would hide from a feed's client that some are missing.
                return
            after, first = missed[-1][numbered_by], False

    @database_sync_to_async
    def _stored(self, after: int) -> list[dict[str, Any]]:
        if self.stream is not None:
            return events.stream_after(self.stream, after)
        return events.feed_after(self.feed, after)

    @classmethod
    async def decode_json(cls, text_data: str) -> Any:
        try:
            return await super().decode_json(text_data)
        except (ValueError, RecursionError):
            return None

    @database_sync_to_async
    def _position(self) -> int:
        if self.stream is not None:
            return events.stream_position(self.stream)
        return events.feed_position(self.feed)

    async def _pump(self, subscription: Subscription) -> None:
        while True:
            try:
                taken = await subscription.take()
            except TooSlow:
                await self.close(TOO_SLOW)
                return
            async with self._turn:
                for news in taken:
                    if news is not MISSED:
                        await self._send_news(news.without(self._replayed) if self._replayed else news)
                    elif not await self._send_resync():
                        return

    async def _send_resync(self) -> bool:
        try:
            position = await self._position()
        except Error:
            # Broker and database may be away together; a socket left open would be deaf without knowing it.
            await self.close(TRY_AGAIN)
            return False
        await self.send_json({"type": "resync", "seq": position})
        return True

    async def _send_news(self, news: News) -> None:
        # Past the generic consumer's layers, which cost more than the sending.
        if SEND_FRAMES in self.scope.get("extensions", ()):
            for frames in news.frames:
                await self.base_send({"type": SEND_FRAMES, "frames": frames})
        else:
            for text in news.texts:
                await self.base_send({"type": "websocket.send", "text": text})
