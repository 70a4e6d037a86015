"""The one door to addresses that people enter: webhooks, registered agents. Behind it no call reaches the inner network.

A host name is resolved once per call, each address it gives is checked, and the connection goes to a checked address:
what the name says a moment later changes nothing. The certificate must still be the name's. No redirect is followed, no
proxy of the environment is used, and one deadline holds for everything, also for a peer that sends a byte a second.
"""

import functools
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import httpcore
import httpx
from django.conf import settings

from tradingsite.common.errors import AppError, FieldError

MAX_URL_LENGTH = 2000
RESOLVE_TIMEOUT_S = 5.0
USER_AGENT = "trading-desk/1.0"
_PORTS = {"http": 80, "https": 443}
_UNSENDABLE = "The request to {} cannot be sent: a header has characters that none may have."

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registry for IPv4, with multicast and what is reserved.
_INNER_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# Of IPv6 only this is handed out; that leaves out loopback, link-local, unique local, multicast, IPv4-mapped and NAT64.
_UNICAST_V6 = ipaddress.IPv6Network("2000::/3")
# Inside it: protocol assignments with Teredo, documentation, and 6to4, which carries any IPv4 address.
_INNER_V6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class AddressRefused(AppError):
    """The desk does not call this address, now or later."""

    code, status, title = "ADDRESS_REFUSED", 400, "The desk does not call this address"

    def __init__(self, detail: str, *, field: str = "url") -> None:
        super().__init__(detail, errors=[FieldError(field, "address_refused", detail)])


class OutboundFailed(AppError):
    """A call was allowed and brought no usable answer. The peer may or may not have acted on it."""

    code, status, title = "OUTBOUND_FAILED", 502, "The call did not succeed"


class OutboundTimedOut(OutboundFailed):
    code, status, title = "OUTBOUND_TIMED_OUT", 504, "The answer did not come in time"


class OutboundUnreachable(OutboundFailed):
    code, status, title = "OUTBOUND_UNREACHABLE", 502, "The address cannot be reached"


class AnswerTooLarge(OutboundFailed):
    """The answer went on past the limit; `reply` has its status and as much of the body as was allowed."""

    code, status, title = "ANSWER_TOO_LARGE", 502, "The answer is too large"
    reply: "Reply"

    def __init__(self, detail: str, *, reply: "Reply") -> None:
        super().__init__(detail)
        self.reply = reply


@dataclass(frozen=True)
class Reply:
    """What came back. `headers` does not mind case; `body` is as sent, `elapsed_s` from the first look-up to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_s: float


@dataclass(frozen=True)
class Allowed:
    """One entry of `OUTBOUND_ALLOWED`: a network or a name, perhaps with the one port that it means."""

    network: Network | None
    name: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> "Allowed":
        """Read `10.0.0.0/8`, `10.1.2.3`, `[::1]:9000`, `agents.internal` or `agents.internal:9000`.

        Raises:
            ValueError: for anything else.
        """
        host, tail, port = text.strip(), "", None
        if host.startswith("["):
            host, _, tail = host[1:].partition("]")
        elif host.count(":") == 1:
            host, tail = host[: host.index(":")], host[host.index(":") :]
        if tail:
            port = int(tail.removeprefix(":"))
            if not 0 < port < 65536:
                raise ValueError(f"{text!r} has no port between 1 and 65535")
        try:
            return cls(ipaddress.ip_network(host), "", port)
        except ValueError:
            if not host or not host.replace("-", "").replace("_", "").replace(".", "").isalnum():
                raise ValueError(f"{text!r} is no host, host:port or network") from None
            return cls(None, host.lower(), port)

    def covers(self, host: str, port: int, address: Address) -> bool:
        if self.port not in (None, port):
            return False
        return self.name == host if self.network is None else address in self.network


class _Deadline:
    """The end of a call, shared by everything that happens in it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            OutboundTimedOut: when none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left

    def error(self) -> OutboundTimedOut:
        return OutboundTimedOut(f"There was no complete answer within {self.seconds:g} s.")


def check_url(url: str, *, field: str = "url") -> None:
    """Look up the host of `url` and see that the desk may call it. Not inside a transaction: a name server may be slow.

    Raises:
        AddressRefused: naming `field`; for another scheme than http and https (https alone in production), credentials
            in the address, a host that cannot be looked up, or any address of it that is not public, unless
            `OUTBOUND_ALLOWED` has it.
    """
    host, port = _host_and_port(_parse(url, field))
    try:
        _checked_addresses(host, port, _Deadline(RESOLVE_TIMEOUT_S), field)
    except OutboundFailed:
        raise AddressRefused(f"The host {host} cannot be looked up.", field=field) from None


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
        OutboundTimedOut, OutboundUnreachable, AnswerTooLarge: all of them OutboundFailed.
    """
    started = time.monotonic()
    deadline = _Deadline(timeout_s)
    parsed = _parse(url, "url")
    host, port = _host_and_port(parsed)
    backend = _CheckedBackend(_checked_addresses(host, port, deadline, "url"), port, deadline)
    request = httpcore.Request(
        method,
        httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path),
        headers=_request_headers(parsed, content, headers or {}),
        content=content,
    )
    connection = httpcore.HTTPConnection(request.url.origin, ssl_context=_trust(), network_backend=backend)
    try:
        response = connection.handle_request(request)
        body, whole = _read(response.iter_stream(), max_bytes)
    except httpcore.LocalProtocolError:
        # Its text has the header, which may be a key.
        raise OutboundFailed(_UNSENDABLE.format(host)) from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise OutboundUnreachable(f"{host} broke off: {str(error) or type(error).__name__}.") from None
    finally:
        connection.close()
        backend.close()
    reply = Reply(response.status, httpx.Headers(response.headers), body, time.monotonic() - started)
    if not whole:
        raise AnswerTooLarge(f"The answer of {host} is longer than {max_bytes:,} bytes.", reply=reply)
    return reply


def _parse(url: str, field: str) -> httpx.URL:
    schemes = ("https",) if settings.PRODUCTION else ("http", "https")
    if len(url) > MAX_URL_LENGTH:
        raise AddressRefused(f"An address has at most {MAX_URL_LENGTH:,} characters.", field=field)
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        raise AddressRefused("This is no web address.", field=field) from None
    if parsed.scheme not in schemes or not parsed.host:
        raise AddressRefused(f"An address begins with {' or '.join(f'{s}://' for s in schemes)}.", field=field)
    if parsed.userinfo or "@" in parsed.netloc.decode("ascii"):
        raise AddressRefused("An address carries no user and no password.", field=field)
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise AddressRefused("A port is between 1 and 65535.", field=field)
    return parsed


def _host_and_port(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii").lower().rstrip("."), url.port or _PORTS[url.scheme]


def is_public(address: Address) -> bool:
    """Say whether the public network routes `address` to one host, and it stands for no other address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _INNER_V4)
    return address.scope_id is None and address in _UNICAST_V6 and not any(address in network for network in _INNER_V6)


def _checked_addresses(host: str, port: int, deadline: _Deadline, field: str) -> list[Address]:
    """Look `host` up and return its addresses; one that may not be called refuses all."""
    allowed = [Allowed.parse(entry) for entry in settings.OUTBOUND_ALLOWED]
    addresses = _resolve(host, port, deadline)
    for address in addresses:
        # Which address it is remains unsaid: names of the inner network are not for whoever may enter a URL.
        if not (is_public(address) or any(entry.covers(host, port, address) for entry in allowed)):
            raise AddressRefused(f"The host {host} is not on the public network.", field=field)
    return addresses


def _resolve(host: str, port: int, deadline: _Deadline) -> list[Address]:
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    found: queue.SimpleQueue[list[Address] | None] = queue.SimpleQueue()
    # The system's look-up takes no timeout, so it is waited for from outside; its thread ends when it gives up.
    threading.Thread(target=_look_up, args=(host, port, found), name="outbound-look-up", daemon=True).start()
    try:
        addresses = found.get(timeout=deadline.left())
    except queue.Empty:
        raise deadline.error() from None
    if not addresses:
        raise OutboundUnreachable(f"The host {host} cannot be looked up.")
    return addresses


def _look_up(host: str, port: int, found: "queue.SimpleQueue[list[Address] | None]") -> None:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        found.put(list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in entries)))
    except (OSError, ValueError):  # ValueError: a name that IDNA cannot write
        found.put(None)


def _request_headers(url: httpx.URL, content: bytes, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    given = {name.lower() for name in headers}
    own = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": str(len(content)),
    }
    sent = {**{name: value for name, value in own.items() if name.lower() not in given}, **headers}
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]
    except UnicodeEncodeError:
        raise OutboundFailed(_UNSENDABLE.format(url.host)) from None


def _read(pieces: Iterable[bytes], max_bytes: int) -> tuple[bytes, bool]:
    """Return at most `max_bytes`, and whether that was all."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), False
    return bytes(body), True


@functools.cache
def _trust() -> ssl.SSLContext:
    """The authorities that certificates are checked against: certifi's, or those of `SSL_CERT_FILE`."""
    return httpx.create_ssl_context()


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends by the call's deadline. Its own timeouts would begin anew with each byte."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
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
        except ssl.SSLCertVerificationError as error:
            raise OutboundUnreachable(f"The certificate is not {server_hostname}'s: {error.verify_message}.") from None
        except (OSError, ValueError) as error:
            raise OutboundUnreachable(f"{server_hostname} speaks no TLS: {error}.") from None
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

    reasons: ClassVar[dict[type[OSError], str]] = {ConnectionRefusedError: "refuses connections"}

    def __init__(self, addresses: list[Address], port: int, deadline: _Deadline) -> None:
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
                reason = self.reasons.get(type(error), error.strerror or "cannot be reached")
            else:
                return self._stream
        raise OutboundUnreachable(f"{host} {reason}.")

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
