"""What holds for every call to an address that people enter, whichever door of `outbound` it takes.

A host name is resolved once per call, each address it gives is checked, and the connection goes to a checked address:
what the name says a moment later changes nothing.
"""

import asyncio
import contextlib
import functools
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx
from django.conf import settings

from tradingsite.common.errors import AppError, FieldError

MAX_URL_LENGTH = 2000
RESOLVE_TIMEOUT_S = 5.0
USER_AGENT = "trading-desk/1.0"
_PORTS = {"http": 80, "https": 443}
UNSENDABLE = "The request to {} cannot be sent: a header has characters that none may have."

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


class AnswerBrokenOff(OutboundUnreachable):
    """The peer was reached and began to answer."""


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


class Deadline:
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
    host, port = host_and_port(parsed_url(url, field))
    try:
        checked_addresses(host, port, Deadline(RESOLVE_TIMEOUT_S), field)
    except OutboundFailed:
        raise AddressRefused(f"The host {host} cannot be looked up.", field=field) from None


def parsed_url(url: str, field: str) -> httpx.URL:
    """Return `url` in its parts, if it is one that the desk would call.

    Raises:
        AddressRefused: naming `field`.
    """
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


def host_and_port(url: httpx.URL) -> tuple[str, int]:
    """Return the host as names are compared, and the port that is meant."""
    return url.raw_host.decode("ascii").lower().rstrip("."), url.port or _PORTS[url.scheme]


def is_public(address: Address) -> bool:
    """Say whether the public network routes `address` to one host, and it stands for no other address."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _INNER_V4)
    return address.scope_id is None and address in _UNICAST_V6 and not any(address in network for network in _INNER_V6)


def checked_addresses(host: str, port: int, deadline: Deadline, field: str) -> list[Address]:
    """Look `host` up and return its addresses; one that may not be called refuses all.

    Raises:
        AddressRefused: naming `field`.
        OutboundTimedOut, OutboundUnreachable
    """
    found: queue.SimpleQueue[list[Address] | None] = queue.SimpleQueue()
    _look_up(host, port, found.put)
    try:
        return _permitted(host, port, found.get(timeout=deadline.left()), field)
    except queue.Empty:
        raise deadline.error() from None


async def checked_addresses_async(host: str, port: int, field: str) -> list[Address]:
    """Do as `checked_addresses`, for a loop that goes on meanwhile; whoever awaits it bounds it.

    Raises:
        AddressRefused: naming `field`.
        OutboundUnreachable
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Address] | None] = loop.create_future()

    def keep(addresses: list[Address] | None) -> None:
        if not found.done():
            found.set_result(addresses)

    def tell(addresses: list[Address] | None) -> None:
        # Nobody waits any more when the loop has gone.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(keep, addresses)

    _look_up(host, port, tell)
    return _permitted(host, port, await found, field)


def _permitted(host: str, port: int, addresses: list[Address] | None, field: str) -> list[Address]:
    if not addresses:
        raise OutboundUnreachable(f"The host {host} cannot be looked up.")
    allowed = [Allowed.parse(entry) for entry in settings.OUTBOUND_ALLOWED]
    for address in addresses:
        # Which address it is remains unsaid: names of the inner network are not for whoever may enter a URL.
        if not (is_public(address) or any(entry.covers(host, port, address) for entry in allowed)):
            raise AddressRefused(f"The host {host} is not on the public network.", field=field)
    return addresses


def _look_up(host: str, port: int, tell: Callable[[list[Address] | None], None]) -> None:
    """Have `tell` told the addresses of `host`, None when it has none; an address in writing is told at once."""
    try:
        tell([ipaddress.ip_address(host)])
    except ValueError:
        # The system's look-up takes no timeout, so it is waited for from outside; its thread ends when it gives up.
        threading.Thread(target=_ask, args=(host, port, tell), name="outbound-look-up", daemon=True).start()


def _ask(host: str, port: int, tell: Callable[[list[Address] | None], None]) -> None:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        tell(list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0])) for entry in entries)))
    except (OSError, ValueError):  # ValueError: a name that IDNA cannot write
        tell(None)


def request_headers(url: httpx.URL, content: bytes, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return `headers` and those that every request of the desk has.

    Raises:
        OutboundFailed: for one that is not ASCII.
    """
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
        raise OutboundFailed(UNSENDABLE.format(url.host)) from None


@functools.cache
def trust() -> ssl.SSLContext:
    """The authorities that certificates are checked against: certifi's, or those of `SSL_CERT_FILE`."""
    return httpx.create_ssl_context()
