"""Publishes on the peer's side: one `group_send` for each event, as its documentation shows."""

import asyncio
from typing import Any

from channels.layers import get_channel_layer

from benchmarks.live import peer
from benchmarks.live.lines import now, serve_async
from benchmarks.live.messages import EXECUTION, step

_last = 0


async def _do(order: dict[str, Any]) -> dict[str, Any]:
    global _last
    layer = get_channel_layer()
    began = now()
    for number in range(order["events"]):
        if order.get("gap_s"):
            await asyncio.sleep(max(0.0, began + number * order["gap_s"] - now()))
        _last += 1
        body = step(_last, now(), order.get("padding", 0))
        message = {"type": "step", "at": "2026-01-01T00:00:00Z", "execution_id": EXECUTION, **body, "seq": _last}
        await layer.group_send(peer.GROUP, {"type": "news", "message": message})
    return {"began": began, "handed_over": now(), "last": _last}


asyncio.run(serve_async(_do))
