"""A real program at a loopback address that answers as a test tells it, and remembers what it was asked."""

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Act = Callable[["Call"], None]


@dataclass
class Call:
    """One request, and how to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    handler: BaseHTTPRequestHandler
    closing: threading.Event

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def answer(self, status: int = 200, body: Any = None, **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
        self.handler.send_response(status)
        for name, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.end_headers()
        self.handler.wfile.write(raw)

    def sleep(self, seconds: float) -> None:
        """Wait, but not longer than the test."""
        self.closing.wait(seconds)


@dataclass
class Program:
    """Answers by `acts`, one for each request, the last for all that follow. `effects` counts what it did by key."""

    acts: list[Act] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def says(self, *acts: Act) -> None:
        self.acts = list(acts)

    def once_per_key(self, body: Any) -> Act:
        """Answer `body`, with one effect for each Idempotency-Key however often it comes."""

        def act(call: Call) -> None:
            key = call.headers["idempotency-key"]
            if key not in self.effects:
                self.effects[key] += 1
            call.answer(200, body)

        return act


def answering(body: Any, status: int = 200) -> Act:
    return lambda call: call.answer(status, body)


@contextlib.contextmanager
def served() -> Iterator[Program]:
    program, closing = Program(acts=[answering({})]), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.command, self.path, headers, self.rfile.read(length), self, closing)
            program.calls.append(call)
            act = program.acts[min(len(program.calls), len(program.acts)) - 1]
            # The desk may have hung up; that is what some tests are about.
            with contextlib.suppress(OSError):
                act(call)

        do_GET = do_POST = _take  # noqa: N815  # the names that the base class calls

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    program.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield program
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
