"""`manage.py up`: the whole desk in one process."""

import argparse
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from executions.demo import demo_run
from executions.embedded import EmbeddedWorkers
from executions.setup import SetupReport, desk_setup
from tradingsite.common.live.protocol import DeskProtocol


class DeskServer(uvicorn.Server):
    """uvicorn that leaves the signals to us, so that the worker ends cleanly after the sockets have closed."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


class Command(BaseCommand):
    help = "Prepare the desk, then run web, sockets, worker and clock in this one process. Ctrl-C stops it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
        # A default that is text goes through the type too: a wrong PORT is told like a wrong --port.
        parser.add_argument(
            "--port", type=_port, default=os.environ.get("PORT", "8000"), help="0 to 65535; 0 takes a free one."
        )
        parser.add_argument("--no-demo", action="store_true", help="Skip the demo run of the first start.")

    def handle(self, *, host: str, port: int, no_demo: bool, **options: Any) -> None:
        listener = self._listen(host, port)
        if not settings.EMBEDDED:
            self.stdout.write("REDIS_URL or BROKER_URL is set: this process also serves the broker's queues.")
        try:
            report = desk_setup(write=self.stdout.write)
        except KeyboardInterrupt:
            # Each part of the set-up is one transaction or adds nothing twice; the next start goes on.
            self.stdout.write("Stopped before the desk was set up.")
            return
        workers = EmbeddedWorkers()
        config = uvicorn.Config(
            "tradingsite.asgi:application",
            host=host,
            port=port,
            ws=DeskProtocol,
            # A compressed socket costs the server every message anew, for a few bytes.
            ws_per_message_deflate=False,
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
        taken = listener.getsockname()[1]
        server = DeskServer(config, on_ready=lambda: self._welcome(f"http://{host}:{taken}", report))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.handle_exit)
        try:
            workers.start()
        except RuntimeError as error:
            listener.close()
            raise CommandError(f"{error}. Does the server behind REDIS_URL or BROKER_URL answer?") from None
        try:
            if report.first_start and not no_demo:
                demo_run(write=self.stdout.write)
            if not server.should_exit:
                server.run(sockets=[listener])
        finally:
            workers.stop()
            listener.close()
        self.stdout.write("Stopped.")

    def _listen(self, host: str, port: int) -> socket.socket:
        """Take the address before anything else is done: a second desk on it must not touch the first one's data."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family)
        except OSError as error:
            reason = (error.strerror or str(error)).partition(" (while")[0]
            raise CommandError(
                f"Cannot listen on {host}:{port} ({reason}). Choose another address with HOST and PORT."
            ) from None

    def _welcome(self, url: str, report: SetupReport) -> None:
        password = report.password or "as shown at the first start; ADMIN_PASSWORD sets a new one"
        self.stdout.write(
            f"\nThe desk is ready:  {url}\n  user      admin\n  password  {password}\n  Ctrl-C stops it.\n"
        )
        self.stdout.flush()


def _port(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; PORT and --port take 0 to 65535")
    return int(text)
