"""One socket client, the same for both sides, cheap enough not to be what is measured.

The opening is done by `websockets`; afterwards frames are cut here, since a full client costs more than a server's
delivery and would make both sides look alike. Of a message only its number is read, and its time when that is asked for.
"""

import asyncio
import socket
import struct
from typing import TypeVar

from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from benchmarks.live.lines import now

SEQ, SENT = b'"seq":', b'"sent":'


class Client(asyncio.Protocol):
    """One connection: keeps the numbers of what comes, and asks for what it missed when it is told to."""

    def __init__(self, url: str, cookie: str) -> None:
        self._opening = ClientProtocol(parse_uri(url))
        self._request = self._opening.connect()
        if cookie:
            self._request.headers["Cookie"] = cookie
        self._rest = b""
        self.transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.hello: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.seqs: list[int] = []
        # Filled only when there is a list.
        self.latencies: list[float] | None = None
        self.last_at = 0.0
        self.close_code: int | None = None
        self.resyncs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._opening.send_request(self._request)
        transport.write(b"".join(self._opening.data_to_send()))

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            head, mark, frames = (self._rest + data).partition(b"\r\n\r\n")
            if not mark:
                self._rest += data
                return
            self._opening.receive_data(head + mark)
            if self._opening.handshake_exc is not None:
                self.opened.set_exception(self._opening.handshake_exc)
                return
            self.opened.set_result(None)
            self._rest, data = b"", frames
        if data:
            self._cut(self._rest + data if self._rest else data)

    def _cut(self, data: bytes) -> None:
        """Take the whole frames of `data`, and keep the beginning of the next."""
        place, end = 0, len(data)
        while end - place >= 2:
            size, head = data[place + 1], 2
            if size == 126:
                if end - place < 4:
                    break
                size, head = int.from_bytes(data[place + 2 : place + 4]), 4
            elif size == 127:
                if end - place < 10:
                    break
                size, head = int.from_bytes(data[place + 2 : place + 10]), 10
            if end - place < head + size:
                break
            payload = data[place + head : place + head + size]
            kind = data[place]
            place += head + size
            if kind == 0x81:
                self._message(payload)
            elif kind == 0x88:
                self.close_code = struct.unpack("!H", payload[:2])[0] if size >= 2 else None
                self._send(0x88, payload[:2])
            elif kind == 0x89:
                self._send(0x8A, payload)
            else:
                raise RuntimeError(f"a frame of kind {kind:#x} was not agreed on")
        self._rest = data[place:]
        self.last_at = now()

    def _message(self, payload: bytes) -> None:
        seq = int(payload[payload.rindex(SEQ) + len(SEQ) : -1])
        if payload.startswith((b'{"type":"step"', b'{"type": "step"')):
            self.seqs.append(seq)
            if self.latencies is not None:
                start = payload.rindex(SENT) + len(SENT)
                self.latencies.append(now() - float(payload[start : payload.index(b",", start)]))
        elif b'"hello"' in payload:
            self.hello.set_result(seq)
        elif b'"resync"' in payload:
            self.resyncs += 1
            self.on_resync()

    def on_resync(self) -> None:
        """Do what must be done when the server says that messages are missing; a counting client does nothing."""

    def replay(self, after: int) -> None:
        self._send(0x81, b'{"type": "replay", "after": %d}' % after)

    def _send(self, kind: int, payload: bytes) -> None:
        # A mask of zeros: a client must mask, and nothing on a loopback needs to be disguised.
        if self.transport is not None:
            self.transport.write(bytes((kind, 0x80 | len(payload))) + b"\0\0\0\0" + payload)

    def connection_lost(self, error: Exception | None) -> None:
        for waiting in (self.opened, self.hello):
            if not waiting.done():
                waiting.cancel()
        self.closed.set_result(self.close_code)


AnyClient = TypeVar("AnyClient", bound=Client)


async def connected(client: AnyClient, url: str, *, receive_buffer: int = 0) -> AnyClient:
    """Open the client's connection and return it once it has been greeted.

    Args:
        receive_buffer: bytes; 0 leaves it to the system.
    """
    uri = parse_uri(url)
    plain = socket.socket()
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(plain, (uri.host, uri.port))
    await loop.create_connection(lambda: client, sock=plain)
    await asyncio.wait_for(client.hello, 60)
    return client
