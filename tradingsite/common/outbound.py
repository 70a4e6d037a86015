"""The one door to addresses that people enter: webhooks, registered agents. Behind it no call reaches the inner network.

A host name is resolved once per call, each address it gives is checked, and the connection goes to a checked address:
what the name says a moment later changes nothing. The certificate must still be the name's. No redirect is followed, no
proxy of the environment is used, and one deadline holds for everything, also for a peer that sends a byte a second.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

import httpcore
import httpx

from tradingsite.common.outbound_rules import (
    UNSENDABLE,
    Address,
    AddressRefused,
    Allowed,
    AnswerBrokenOff,
    AnswerTooLarge,
    Deadline,
    OutboundFailed,
    OutboundTimedOut,
    OutboundUnreachable,
    Reply,
    check_url,
    checked_addresses,
    checked_addresses_async,
    host_and_port,
    is_public,
    parsed_url,
    request_headers,
    trust,
)

__all__ = [
    "Address",
    "AddressRefused",
    "Allowed",
    "AnswerBrokenOff",
    "AnswerTooLarge",
    "OutboundFailed",
    "OutboundTimedOut",
    "OutboundUnreachable",
    "Reply",
    "call",
    "call_async",
    "check_url",
    "is_public",
]


def call(
    method: str,
    url: str,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int,
) -> Reply:
    """Send one request to a checked address and return the answer, whatever its status; a redirect is an answer too.

    Blocks for up to `timeout_s`; no locks or transactions may be held meanwhile. The body is not unpacked, and the peer
    is asked not to pack it. What is raised and logged names the host, never the path, which may carry a secret.

    Args:
        timeout_s: for the look-up, the connection, the request and the whole answer together.
        max_bytes: of the answer's body.

    Raises:
        AddressRefused: as `check_url`, by what the name gives now.
        OutboundTimedOut, OutboundUnreachable, AnswerTooLarge: all of them OutboundFailed; AnswerBrokenOff, which is
            OutboundUnreachable, once the answer had begun.
    """
    started = time.monotonic()
    deadline = Deadline(timeout_s)
    request, host, port = _request(method, url, content, headers)
    backend = _CheckedBackend(checked_addresses(host, port, deadline, "url"), port, deadline)
    connection = httpcore.HTTPConnection(request.url.origin, ssl_context=trust(), network_backend=backend)
    answered = False
    try:
        response = connection.handle_request(request)
        answered = True
        body, whole = _read(response.iter_stream(), max_bytes)
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise _failure(host, error, answered=answered) from None
    finally:
        connection.close()
        backend.close()
    return _reply(host, response, body, started, max_bytes=max_bytes, whole=whole)


async def call_async(
    method: str,
    url: str,
    *,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout_s: float,
    max_bytes: int,
) -> Reply:
    """Do as `call`, for a loop that goes on meanwhile. Cancelling it closes the connection.

    Raises:
        AddressRefused, OutboundTimedOut, OutboundUnreachable, AnswerTooLarge: as `call`.
    """
    started = time.monotonic()
    deadline = Deadline(timeout_s)
    request, host, port = _request(method, url, content, headers)
    answered = False
    try:
        async with asyncio.timeout(timeout_s):
            backend = _CheckedAsyncBackend(await checked_addresses_async(host, port, "url"), port, deadline)
            connection = httpcore.AsyncHTTPConnection(request.url.origin, ssl_context=trust(), network_backend=backend)
            try:
                response = await connection.handle_async_request(request)
                answered = True
                body, whole = await _read_async(response.aiter_stream(), max_bytes)
            finally:
                await connection.aclose()
                await backend.aclose()
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise _failure(host, error, answered=answered) from None
    except TimeoutError:
        raise deadline.error() from None
    return _reply(host, response, body, started, max_bytes=max_bytes, whole=whole)


def _request(
    method: str, url: str, content: bytes, headers: Mapping[str, str] | None
) -> tuple[httpcore.Request, str, int]:
    parsed = parsed_url(url, "url")
    request = httpcore.Request(
        method,
        httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path),
        headers=request_headers(parsed, content, headers or {}),
        content=content,
    )
    return request, *host_and_port(parsed)


def _failure(host: str, error: httpcore.NetworkError | httpcore.ProtocolError, *, answered: bool) -> OutboundFailed:
    if isinstance(error, httpcore.LocalProtocolError):
        # Its text has the header, which may be a key.
        return OutboundFailed(UNSENDABLE.format(host))
    kind = AnswerBrokenOff if answered else OutboundUnreachable
    return kind(f"{host} broke off: {str(error) or type(error).__name__}.")


def _reply(
    host: str, response: httpcore.Response, body: bytes, started: float, *, max_bytes: int, whole: bool
) -> Reply:
    reply = Reply(response.status, httpx.Headers(response.headers), body, time.monotonic() - started)
    if not whole:
        raise AnswerTooLarge(f"The answer of {host} is longer than {max_bytes:,} bytes.", reply=reply)
    return reply


def _read(pieces: Iterable[bytes], max_bytes: int) -> tuple[bytes, bool]:
    """Return at most `max_bytes`, and whether that was all."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), False
    return bytes(body), True


async def _read_async(pieces: AsyncIterable[bytes], max_bytes: int) -> tuple[bytes, bool]:
    """Do as `_read`."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), False
    return bytes(body), True


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends by the call's deadline. Its own timeouts would begin anew with each byte."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._socket = sock
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._socket.settimeout(self._deadline.left())
        try:
            return self._socket.recv(max_bytes)
        except TimeoutError:
            raise self._deadline.error() from None
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            self._socket.settimeout(self._deadline.left())
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                raise self._deadline.error() from None
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self._socket.settimeout(self._deadline.left())
        try:
            self._socket = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError:
            raise self._deadline.error() from None
        except (OSError, ValueError) as error:
            raise _no_tls(server_hostname, error) from None
        return self

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return None  # the connection serves one request of HTTP/1.1 and is not used again


def _connected(address: Address, port: int, timeout_s: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
    try:
        sock.settimeout(timeout_s)
        sock.connect((str(address), port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever the host is called."""

    def __init__(self, addresses: list[Address], port: int, deadline: Deadline) -> None:
        self._addresses = addresses
        self._port = port
        self._deadline = deadline
        self._stream: _Stream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        reason = ""
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            # One address that swallows packets must leave time for the next.
            share = self._deadline.left() / left
            try:
                self._stream = _Stream(_connected(address, self._port, share), self._deadline)
            except TimeoutError:
                self._deadline.left()
                reason = "does not answer"
            except OSError as error:
                reason = _reason(error)
            else:
                return self._stream
        raise OutboundUnreachable(f"{host} {reason}.")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class _AsyncStream(httpcore.AsyncNetworkStream):
    """A connection of a loop, which says why there is no TLS."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer)

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        try:
            self._stream = await self._stream.start_tls(ssl_context, server_hostname)
        except (httpcore.ConnectError, ValueError) as error:
            raise _no_tls(server_hostname, error.__cause__ or error) from None
        return self

    async def aclose(self) -> None:
        await self._stream.aclose()


class _CheckedAsyncBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were checked, whatever the host is called."""

    def __init__(self, addresses: list[Address], port: int, deadline: Deadline) -> None:
        self._addresses = addresses
        self._port = port
        self._deadline = deadline
        self._network = httpcore.AnyIOBackend()
        self._stream: _AsyncStream | None = None

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        reason = ""
        for left, address in zip(range(len(self._addresses), 0, -1), self._addresses, strict=True):
            try:
                stream = await self._network.connect_tcp(str(address), self._port, self._deadline.left() / left)
            except httpcore.ConnectTimeout:
                self._deadline.left()
                reason = "does not answer"
            except httpcore.ConnectError as error:
                reason = _reason(error)
            else:
                self._stream = _AsyncStream(stream)
                return self._stream
        raise OutboundUnreachable(f"{host} {reason}.")

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()


def _reason(error: BaseException) -> str:
    """Say why there is no connection, by what the system said first; libraries put words of theirs around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    return (error.strerror if isinstance(error, OSError) else None) or "cannot be reached"


def _no_tls(host: str | None, error: BaseException) -> OutboundUnreachable:
    if isinstance(error, ssl.SSLCertVerificationError):
        return OutboundUnreachable(f"The certificate is not {host}'s: {error.verify_message}.")
    return OutboundUnreachable(f"{host} speaks no TLS: {error}.")
