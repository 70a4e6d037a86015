"""A mail server on the loopback that misbehaves as a test wants. It speaks SMTP over real sockets."""

import contextlib
import email
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

# Gets the connection at a stage of the conversation; returns the answer, None for the usual one.
Answer = Callable[["Conversation"], bytes | None]


class HungUp(Exception):
    """The server ends the conversation without a word."""


@dataclass(frozen=True)
class Taken:
    """A message whose last line has arrived, whatever was answered to it."""

    recipients: tuple[str, ...]
    message: Message


@dataclass
class MailServer:
    """What came in, and how each stage (`greeting, ehlo, mail, rcpt, data, content, body, quit`) is answered."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    taken: list[Taken] = field(default_factory=list)
    conversations: int = 0
    # Set at the end of the test: whoever hangs stops hanging.
    over: threading.Event = field(default_factory=threading.Event)

    def says(self, stage: str, answer: bytes | Answer | None) -> None:
        """Answer a stage so from now on; None for the usual answer."""
        if answer is None:
            self.answers.pop(stage, None)
        elif isinstance(answer, bytes):
            self.answers[stage] = lambda _: answer
        else:
            self.answers[stage] = answer


def dies(_: "Conversation") -> bytes | None:
    raise HungUp


class Conversation(socketserver.StreamRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        self.server.desk.conversations += 1
        with contextlib.suppress(HungUp, OSError):
            self._converse()

    def hang(self) -> bytes | None:
        """Say nothing until the test is over or the other side has gone."""
        self.connection.settimeout(0.05)
        while not self.server.desk.over.is_set():
            try:
                if not self.connection.recv(1000):
                    break
            except TimeoutError:
                continue
        raise HungUp

    def drip(self) -> bytes | None:
        """Send one letter after the other and never a line's end."""
        while not self.server.desk.over.wait(0.02):
            self.wfile.write(b"2")
        raise HungUp

    def _say(self, stage: str, usual: bytes) -> bool:
        answer = self.server.desk.answers.get(stage)
        said = (answer(self) if answer else None) or usual
        self.wfile.write(said + b"\r\n")
        return said[:1] in b"23"

    def _converse(self) -> None:
        self._say("greeting", b"220 test")
        recipients: list[str] = []
        for line in self.rfile:
            verb = line.split(b" ")[0].strip().upper()
            if verb in (b"EHLO", b"HELO"):
                self._say("ehlo", b"250 test")
            elif verb == b"MAIL":
                recipients = []
                self._say("mail", b"250 ok")
            elif verb == b"RCPT":
                if self._say("rcpt", b"250 ok"):
                    recipients.append(line.decode().split("<")[1].split(">")[0])
            elif verb == b"DATA":
                if self._say("data", b"354 go on"):
                    self._content(tuple(recipients))
            elif verb == b"QUIT":
                self._say("quit", b"221 bye")
                return
            else:
                self._say(verb.decode().lower(), b"250 ok")

    def _content(self, recipients: tuple[str, ...]) -> None:
        answer = self.server.desk.answers.get("content")
        if answer is not None:
            answer(self)
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                self.server.desk.taken.append(Taken(recipients, email.message_from_bytes(b"".join(lines))))
                self._say("body", b"250 taken")
                return
            lines.append(line[1:] if line.startswith(b"..") else line)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    desk: MailServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away in the middle is what these tests are about."""


@contextlib.contextmanager
def mail_server() -> Iterator[MailServer]:
    """Yield a mail server on a free port of the loopback."""
    desk = MailServer()
    with _Server(("127.0.0.1", 0), Conversation) as server:
        server.desk = desk
        desk.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield desk
        finally:
            desk.over.set()
            server.shutdown()
            thread.join(10)


def free_port() -> int:
    """Return a port of the loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
