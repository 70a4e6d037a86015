"""Calls to addresses that people enter: to real servers on this machine, which behave as badly as the world's."""

import contextlib
import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpcore
import pytest

from tests.support.outbound import call, post
from tests.support.receiver import raw_server, receiver
from tradingsite.common import outbound, outbound_rules
from tradingsite.common.outbound import (
    AddressRefused,
    Allowed,
    AnswerBrokenOff,
    AnswerTooLarge,
    OutboundFailed,
    OutboundTimedOut,
    OutboundUnreachable,
    check_url,
    is_public,
)

# --- which addresses


INNER = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.8.8.8", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.7", "203.0.113.5", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:10::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd12::1",
    "fe80::1", "fe80::1%eth0", "2a00::1%eth0", "fec0::1", "ff02::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.32.0.1", "192.167.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("text", INNER)
def test_an_address_off_the_public_network_is_none_of_the_worlds(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_of_the_public_network_is_one(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://LOCALHOST./", "http://127.1/", "http://2130706433/",
        "http://0x7f.0.0.1/", "http://0177.0.0.1/", "http://0/", "http://[::1]/", "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data", "http://10.0.0.1:8080/", "http://[fe80::1]/",
    ],
)  # fmt: skip
@pytest.mark.usefixtures("door")
def test_every_way_to_write_an_inner_address_is_refused_at_the_check_and_at_the_call(url: str) -> None:
    with pytest.raises(AddressRefused) as checked:
        check_url(url, field="endpoint")
    assert [(e.pointer, e.code) for e in checked.value.errors] == [("endpoint", "address_refused")]
    assert (checked.value.status, checked.value.code) == (400, "ADDRESS_REFUSED")
    with pytest.raises(AddressRefused):
        post(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "here", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)",
        "http://", "http:///path", "http://user:secret@example.com/", "http://user@example.com/",
        "http://example.com:0/", "http://example.com:99999/", "http://exa mple.com/", "http://example.com\n.evil/",
        "http://[::1/", "http://" + "a" * 3000, "//example.com/", "http://a..b/", "http://" + "a" * 70 + ".com/",
    ],
)  # fmt: skip
def test_what_is_no_plain_web_address_is_refused(url: str, names: dict[str, list[str]]) -> None:
    names["example.com"] = names["user"] = names["a"] = ["1.1.1.1"]
    with pytest.raises(AddressRefused):
        check_url(url)


def test_production_calls_https_alone(settings: Any, names: dict[str, list[str]]) -> None:
    names["example.com"] = ["1.1.1.1"]
    check_url("http://example.com/")
    settings.PRODUCTION = True
    check_url("https://example.com/")
    with pytest.raises(AddressRefused, match="https://"):
        check_url("http://example.com/")


def test_one_inner_address_among_public_ones_refuses_the_name(names: dict[str, list[str]]) -> None:
    names["both.example"] = ["1.1.1.1", "10.0.0.1"]
    with pytest.raises(AddressRefused) as refused:
        check_url("https://both.example/")
    assert "10.0.0.1" not in str(refused.value), "a name server of the inner network would answer anybody"


def test_a_name_that_nobody_knows_is_refused_at_the_check_and_may_come_back_at_the_call(
    names: dict[str, list[str]],
) -> None:
    with pytest.raises(AddressRefused, match="cannot be looked up"):
        check_url("https://nobody.example/")
    with pytest.raises(OutboundUnreachable, match="cannot be looked up"):
        post("https://nobody.example/")


@pytest.mark.parametrize(
    ("entry", "url", "reaches"),
    [
        ("10.0.0.0/8", "http://in.example:9000/", True),
        ("10.0.0.5", "http://in.example:9000/", True),
        ("10.0.0.5:9000", "http://in.example:9000/", True),
        ("10.0.0.5:9000", "http://in.example:9001/", False),
        ("in.example:9000", "http://in.example:9000/", True),
        ("in.example:9000", "http://IN.example.:9000/", True),
        ("in.example:80", "http://in.example/", True),
        ("in.example", "http://in.example:1234/", True),
        ("in.example:9000", "http://other.example:9000/", False),
        ("example", "http://in.example:9000/", False),
        ("10.0.1.0/24", "http://in.example:9000/", False),
        ("[fd00::5]:9000", "http://[fd00::5]:9000/", True),
        ("[fd00::5]:9000", "http://[fd00::5]:80/", False),
        ("fd00::/8", "http://[fd00::5]/", True),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/", False),
    ],
)
def test_what_is_allowed_by_setting_is_exactly_that(
    settings: Any, names: dict[str, list[str]], entry: str, url: str, reaches: bool
) -> None:
    settings.OUTBOUND_ALLOWED = [entry]
    names["in.example"] = names["other.example"] = ["10.0.0.5"]
    with contextlib.nullcontext() if reaches else pytest.raises(AddressRefused):
        check_url(url)


@pytest.mark.parametrize("text", ["", " ", ":80", "host:", "host:port", "host:0", "10.0.0.1/8", "http://host", "a b"])
def test_an_entry_that_means_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        Allowed.parse(text)


# --- the call


@pytest.mark.usefixtures("allowed")
def test_a_call_carries_what_it_was_given_and_brings_back_what_was_said() -> None:
    with receiver(lambda request, send: send(201, b"made", X_Left="1")) as there:
        reply = call("PUT", there.url + "?a=b%20c", content=b"text", headers={"X-Key": "7"}, timeout_s=5, max_bytes=100)
    assert (reply.status, reply.body, reply.headers["x-left"], reply.headers["X-LEFT"]) == (201, b"made", "1", "1")
    assert 0 < reply.elapsed_s < 5
    [request] = there.requests
    assert (request.method, request.path, request.body) == ("PUT", "/hook?a=b%20c", b"text")
    assert request.headers["Host"] == f"127.0.0.1:{there.port}"
    assert (request.headers["X-Key"], request.headers["Accept-Encoding"]) == ("7", "identity")


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("status", [204, 301, 304, 404, 410, 500, 503])
def test_any_status_is_an_answer(status: int) -> None:
    with receiver(lambda request, send: send(status)) as there:
        assert post(there.url).status == status


@pytest.mark.usefixtures("allowed")
def test_a_redirect_is_not_followed() -> None:
    with receiver() as inner, receiver(lambda request, send: send(307, Location=inner.url)) as there:
        reply = post(there.url)
        assert (reply.status, reply.headers["location"]) == (307, inner.url)
    assert inner.requests == []


@pytest.mark.usefixtures("allowed")
def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as there:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(there.url).status == 200
    assert (len(there.requests), proxy.requests) == (1, [])


@pytest.mark.usefixtures("door")
def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that says something harmless to the check and something else afterwards gets nowhere."""
    answers: list[str] = []
    connected: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        answers.append("1.1.1.1" if not answers else "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[-1], port))]

    def connect(address: outbound.Address, port: int, timeout_s: float) -> socket.socket:
        connected.append(str(address))
        raise OSError(113, "No route to host")

    async def connect_async(network: Any, address: str, port: int, timeout_s: float) -> None:
        connected.append(address)
        raise httpcore.ConnectError from OSError(113, "No route to host")

    monkeypatch.setattr(outbound_rules.socket, "getaddrinfo", look_up)
    monkeypatch.setattr(outbound, "_connected", connect)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_async)
    with receiver() as inner:
        with pytest.raises(OutboundUnreachable, match="No route to host"):
            post(f"http://rebinds.example:{inner.port}/")
        assert (answers, connected) == (["1.1.1.1"], ["1.1.1.1"])
        # The next call looks again, and refuses what it finds then.
        with pytest.raises(AddressRefused):
            post(f"http://rebinds.example:{inner.port}/")
    assert inner.requests == []


@pytest.mark.usefixtures("allowed")
def test_the_second_address_is_tried_when_the_first_one_refuses(names: dict[str, list[str]]) -> None:
    with receiver() as there:
        names["two.example"] = ["127.9.9.9", "127.0.0.1"]
        reply = post(f"http://two.example:{there.port}/hook")
    assert reply.status == 200
    assert there.requests[0].headers["Host"] == f"two.example:{there.port}"


@pytest.mark.usefixtures("allowed")
def test_an_address_where_nothing_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OutboundUnreachable, match="refuses connections") as failed:
        post(f"http://127.0.0.1:{port}/path-with-a-token")
    assert "token" not in str(failed.value)
    assert isinstance(failed.value, OutboundFailed)


# --- bad manners


def _head_drips(connection: socket.socket, ended: threading.Event) -> None:
    connection.recv(65536)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"X-Pad: 1\r\n" * 1000:
        connection.send(bytes([byte]))
        if ended.wait(0.05):
            return


def _body_drips(connection: socket.socket, ended: threading.Event) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not ended.wait(0.05):
        connection.send(b"x")


def _news_without_end(connection: socket.socket, ended: threading.Event) -> None:
    connection.recv(65536)
    while not ended.wait(0.02):
        connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")


def _says_nothing(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait(20)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("speak", [_head_drips, _body_drips, _news_without_end, _says_nothing])
def test_one_deadline_holds_for_everything(speak: Callable[..., None]) -> None:
    with raw_server(speak) as port:
        started = time.monotonic()
        with pytest.raises(OutboundTimedOut, match=r"0\.5 s"):
            post(f"http://127.0.0.1:{port}/", timeout_s=0.5)
        assert 0.45 < time.monotonic() - started < 1.5


@pytest.mark.usefixtures("allowed")
def test_a_peer_that_reads_slowly_meets_the_deadline_too() -> None:
    def reads_slowly(connection: socket.socket, ended: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        while not ended.wait(0.02) and connection.recv(512):
            pass

    with raw_server(reads_slowly) as port:
        started = time.monotonic()
        with pytest.raises(OutboundTimedOut):
            call("POST", f"http://127.0.0.1:{port}/", content=b"x" * 30_000_000, timeout_s=0.5, max_bytes=10)
        assert time.monotonic() - started < 1.5


@pytest.mark.usefixtures("door")
def test_a_name_server_that_does_not_answer_meets_the_deadline_too(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(outbound_rules.socket, "getaddrinfo", lambda *_, **__: ended.wait(20) and [])
    monkeypatch.setattr(outbound_rules, "RESOLVE_TIMEOUT_S", 0.3)
    started = time.monotonic()
    try:
        with pytest.raises(OutboundTimedOut):
            post("http://slow.example/", timeout_s=0.3)
        with pytest.raises(AddressRefused):
            check_url("http://slow.example/")
    finally:
        ended.set()
    assert time.monotonic() - started < 2


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("length", ["Content-Length: 50000000", "Transfer-Encoding: chunked", "X-Length: unknown"])
def test_an_answer_without_end_is_cut_and_says_what_came_first(length: str) -> None:
    sent = []

    def goes_on(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(f"HTTP/1.1 200 OK\r\n{length}\r\n\r\n".encode())
        piece = b"x" * 65536
        while not ended.is_set():
            sent.append(connection.send(b"10000\r\n" + piece + b"\r\n" if "chunked" in length else piece))

    with raw_server(goes_on) as port, pytest.raises(AnswerTooLarge, match="1,000 bytes") as cut:
        post(f"http://127.0.0.1:{port}/", max_bytes=1000)
    assert (cut.value.reply.status, cut.value.reply.body) == (200, b"x" * 1000)
    assert sum(sent) < 20_000_000


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\n" + b"A" * 300_000,
    ],
)
def test_what_is_no_answer_is_unreachable(said: bytes) -> None:
    def speaks(connection: socket.socket, ended: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with raw_server(speaks) as port, pytest.raises(OutboundUnreachable, match="broke off") as failed:
        post(f"http://127.0.0.1:{port}/")
    assert isinstance(failed.value, AnswerBrokenOff) == (b"Content-Length" in said)


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize(
    "value", ["Bearer x\r\nX-Other: 1", "Bearer x\n", "Bearer \x00", "Bearer schlüssel", "Bearer \udcff"]
)
def test_a_header_that_is_none_or_would_be_two_is_not_sent(value: str) -> None:
    with receiver() as there:
        with pytest.raises(OutboundFailed, match="cannot be sent") as failed:
            post(there.url, headers={"Authorization": value})
        assert there.requests == []
    assert "Bearer" not in str(failed.value), "a key would stand in logs"
