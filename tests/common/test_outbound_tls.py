"""Calls out over TLS: the certificate must be the name's, though the connection goes to a checked address."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.outbound import post
from tests.support.receiver import Receiver, certificate, ok, raw_server, receiver
from tradingsite.common import outbound_rules
from tradingsite.common.outbound import OutboundTimedOut, OutboundUnreachable


def _says_nothing(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait(20)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ssl.SSLContext]]:
    """Return a maker of server contexts for a name, whose certificates the desk trusts."""
    bundle = tmp_path / "trusted.pem"
    bundle.touch()

    def serve(name: str) -> ssl.SSLContext:
        made, key = certificate(tmp_path, name)
        bundle.write_bytes(bundle.read_bytes() + made.read_bytes())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made, key)
        return context

    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    outbound_rules.trust.cache_clear()
    yield serve
    outbound_rules.trust.cache_clear()


@contextlib.contextmanager
def _https(context: ssl.SSLContext) -> Iterator[Receiver]:
    with receiver(ok, tls=context) as there:
        yield there


@pytest.mark.usefixtures("allowed")
def test_the_certificate_is_the_names_though_the_connection_goes_to_an_address(
    trusted: Callable[[str], ssl.SSLContext], names: dict[str, list[str]]
) -> None:
    names["hooks.example"] = names["other.example"] = ["127.0.0.1"]
    with _https(trusted("hooks.example")) as there:
        assert post(f"https://hooks.example:{there.port}/").status == 200
        with pytest.raises(OutboundUnreachable, match=r"certificate is not other\.example's"):
            post(f"https://other.example:{there.port}/")
        with pytest.raises(OutboundUnreachable, match="certificate"):
            post(f"https://127.0.0.1:{there.port}/")
    assert len(there.requests) == 1


@pytest.mark.usefixtures("allowed")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    trusted: Callable[[str], ssl.SSLContext], tmp_path: Path, names: dict[str, list[str]]
) -> None:
    trusted("hooks.example")
    names["hooks.example"] = ["127.0.0.1"]
    (tmp_path / "strange").mkdir()
    made, key = certificate(tmp_path / "strange", "hooks.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    with _https(context) as there, pytest.raises(OutboundUnreachable, match="certificate"):
        post(f"https://hooks.example:{there.port}/")


@pytest.mark.usefixtures("allowed")
def test_a_peer_that_speaks_no_tls_or_never_ends_its_greeting_is_left() -> None:
    with receiver() as plain, pytest.raises(OutboundUnreachable, match="speaks no TLS"):
        post(f"https://127.0.0.1:{plain.port}/")
    with raw_server(_says_nothing) as port, pytest.raises(OutboundTimedOut):
        post(f"https://127.0.0.1:{port}/", timeout_s=0.5)
