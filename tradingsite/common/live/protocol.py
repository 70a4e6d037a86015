"""uvicorn's socket protocol, and one thing more: frames that were made once for many sockets, in one write.

By ASGI alone a message is encoded, framed and written to the network anew for each socket. Where a socket is not
compressed a text frame of the server is the same for all of them, so the hub frames what it hands out once.
"""

import struct
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

# In a scope's `extensions`, and the type of the message: {"type": SEND_FRAMES, "frames": bytes of whole frames}.
SEND_FRAMES = "websocket.send.frames"
# Of one write: beyond that it is a copy in memory for each socket that does not keep up.
WRITE_SIZE = 64 * 1024

_TEXT = 0x81


class DeskProtocol(WebSocketsSansIOProtocol):
    """Offers SEND_FRAMES to the application of each socket that is not compressed."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101 and not self.conn.extensions:
            self.scope["extensions"][SEND_FRAMES] = {}

    async def send(self, message: Any) -> None:
        if message["type"] != SEND_FRAMES:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.conn.state is not State.OPEN:
            raise ClientDisconnected
        self.transport.write(message["frames"])


def framed(texts: Iterable[str]) -> tuple[bytes, ...]:
    """Return texts as a server's frames, joined to pieces of about WRITE_SIZE."""
    pieces: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for text in texts:
        body = text.encode()
        frame = _head(len(body)) + body
        if waiting and size + len(frame) > WRITE_SIZE:
            pieces.append(b"".join(waiting))
            waiting, size = [], 0
        waiting.append(frame)
        size += len(frame)
    if waiting:
        pieces.append(b"".join(waiting))
    return tuple(pieces)


def _head(size: int) -> bytes:
    if size < 126:
        return bytes((_TEXT, size))
    if size < 2**16:
        return struct.pack("!BBH", _TEXT, 126, size)
    return struct.pack("!BBQ", _TEXT, 127, size)
