"""Up to a thousand clients in one process: how much reached them, and when."""

import asyncio
import resource
from typing import Any

from benchmarks.live.client import Client, connected
from benchmarks.live.lines import now, serve_async


class Crowd:
    """All clients of one server."""

    def __init__(self) -> None:
        self._clients: list[Client] = []

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(self, order.pop("do"))(**order)
        return answer

    async def open(self, url: str, clients: int, cookie: str = "") -> dict[str, Any]:
        """Connect, at most fifty at a time, until each has been greeted."""
        began, gate = now(), asyncio.Semaphore(50)

        async def one() -> Client:
            async with gate:
                return await connected(Client(url, cookie), url)

        self._clients = await asyncio.gather(*(one() for _ in range(clients)))
        return {"seconds": now() - began}

    async def begin(self, latencies: bool = False) -> dict[str, Any]:
        """Forget what came before."""
        for client in self._clients:
            client.seqs, client.last_at = [], 0.0
            client.latencies = [] if latencies else None
        return {}

    async def take(self, events: int, quiet_s: float, at_most_s: float) -> dict[str, Any]:
        """Wait until each client has `events`, or until nothing has come for `quiet_s`; tell what each has."""
        deadline, in_time = now() + at_most_s, False
        while not in_time and now() < deadline:
            if all(len(client.seqs) >= events for client in self._clients):
                in_time = True
            last = max(client.last_at for client in self._clients)
            if last and now() - last > quiet_s:
                in_time = True
            await asyncio.sleep(0.01)
        # Whatever were sent twice would come now.
        await asyncio.sleep(0.1)
        return {
            "in_time": in_time,
            "last_at": max(client.last_at for client in self._clients),
            "delivered": sum(len(client.seqs) for client in self._clients),
            "lost": [max(0, events - len(set(client.seqs))) for client in self._clients],
            "twice": sum(len(client.seqs) - len(set(client.seqs)) for client in self._clients),
            "disordered": sum(client.seqs != sorted(client.seqs) for client in self._clients),
            "closed": sum(client.closed.done() for client in self._clients),
            "resyncs": sum(client.resyncs for client in self._clients),
            "latency": _percentiles([value for client in self._clients for value in client.latencies or ()]),
        }

    async def close(self) -> dict[str, Any]:
        for client in self._clients:
            assert client.transport is not None
            client.transport.abort()
        await asyncio.gather(*(client.closed for client in self._clients))
        self._clients = []
        return {}


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    values.sort()
    return {
        f"p{share}_ms": values[min(len(values) - 1, int(len(values) * share / 100))] * 1000 for share in (50, 95, 99)
    }


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    asyncio.run(serve_async(Crowd().do))
