"""The two doors for calls out, the blocking one and that of a loop, by turns behind one name."""

import asyncio
from collections.abc import Callable
from typing import Any

from tradingsite.common import outbound


def awaited(*args: Any, **more: Any) -> outbound.Reply:
    return asyncio.run(outbound.call_async(*args, **more))


doors: list[Callable[..., outbound.Reply]] = [outbound.call]


def call(*args: Any, **more: Any) -> outbound.Reply:
    return doors[-1](*args, **more)


def post(url: str, timeout_s: float = 5.0, max_bytes: int = 10_000, **more: Any) -> outbound.Reply:
    return call("POST", url, content=b'{"a": 1}', timeout_s=timeout_s, max_bytes=max_bytes, **more)
