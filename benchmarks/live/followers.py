"""Clients that come back: each asks by number for what it missed, and takes each number once.

A replay may repeat what came as news between the question and its answer; who keeps a ledger drops what it has already.
"""

import asyncio
from collections import Counter
from typing import Any

from benchmarks.live.client import Client, connected
from benchmarks.live.lines import now, serve_async

AWAY_S = 0.3
SMALL_BUFFER = 8 * 1024


class FollowingClient(Client):
    """One connection of a follower."""

    def __init__(self, url: str, cookie: str, seqs: list[int]) -> None:
        super().__init__(url, cookie)
        self.seqs = seqs

    def on_resync(self) -> None:
        # What was told before the first greeting is nothing that this client missed.
        self.replay(max(self.seqs, default=self.hello.result()))


class Follower:
    """One reader of the feed over all its connections."""

    def __init__(self, url: str, cookie: str, *, small: bool) -> None:
        self._url, self._cookie, self._small = url, cookie, small
        self.seqs: list[int] = []
        self.codes: Counter[str] = Counter()
        self.resyncs = 0
        self.greeted = asyncio.Event()
        self._client: FollowingClient | None = None
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            # Of now: the first news on the new connection must not hide what came before them.
            after = max(self.seqs, default=0)
            client = FollowingClient(self._url, self._cookie, self.seqs)
            await connected(client, self._url, receive_buffer=SMALL_BUFFER if self._small else 0)
            self._client = client
            if after:
                client.replay(after)
            self.greeted.set()
            code = await client.closed
            self.codes[str(code)] += 1
            self.resyncs += client.resyncs
            await asyncio.sleep(AWAY_S)

    def stall(self) -> None:
        assert self._client is not None
        assert self._client.transport is not None
        self._client.transport.pause_reading()

    def read_on(self) -> None:
        if self._client is not None and self._client.transport is not None and not self._client.closed.done():
            self._client.transport.resume_reading()

    def drop(self) -> None:
        assert self._client is not None
        assert self._client.transport is not None
        self._client.transport.abort()


class Followers:
    def __init__(self) -> None:
        self._all: list[Follower] = []
        self._stalled = 0

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(self, order.pop("do"))(**order)
        return answer

    async def open(self, url: str, cookie: str, clients: int, stalled: int) -> dict[str, Any]:
        """Connect; the first `stalled` with small buffers, so that what they do not read waits at the server."""
        self._stalled = stalled
        self._all = [Follower(url, cookie, small=number < stalled) for number in range(clients)]
        await asyncio.wait_for(asyncio.gather(*(one.greeted.wait() for one in self._all)), 60)
        return {}

    async def stall(self) -> dict[str, Any]:
        for one in self._all[: self._stalled]:
            one.stall()
        return {}

    async def drop(self, first: int, last: int) -> dict[str, Any]:
        """Cut the connections of some, who come back after AWAY_S."""
        for one in self._all[first:last]:
            one.drop()
        return {}

    async def read_on(self) -> dict[str, Any]:
        for one in self._all[: self._stalled]:
            one.read_on()
        return {}

    async def finish(self, ids: list[int], at_most_s: float) -> dict[str, Any]:
        """Wait until every follower has all of `ids`; tell what is missing and how they were closed."""
        wanted, deadline = set(ids), now() + at_most_s
        while now() < deadline and not all(wanted <= set(one.seqs) for one in self._all):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        counts = [Counter(one.seqs) for one in self._all]
        codes: Counter[str] = sum((one.codes for one in self._all), Counter())
        live = sum(
            one._client.resyncs for one in self._all if one._client is not None and not one._client.closed.done()
        )
        for one in self._all:
            one.task.cancel()
            one.drop()
        return {
            "missing": sum(len(wanted - set(count)) for count in counts),
            "unknown": sum(len(set(count) - wanted) for count in counts),
            "repeated": sum(number - 1 for count in counts for number in count.values()),
            "closed": dict(codes),
            "resyncs": sum(one.resyncs for one in self._all) + live,
        }


if __name__ == "__main__":
    asyncio.run(serve_async(Followers().do))
