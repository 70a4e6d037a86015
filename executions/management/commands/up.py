"""`manage.py up`: the whole desk in one process."""

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
        parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
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
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            timeout_graceful_shutdown=3,
        )
        server = DeskServer(config, on_ready=lambda: self._welcome(f"http://{host}:{port}", report))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.handle_exit)
        workers.start()
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
            raise CommandError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another address with HOST and PORT."
            ) from None

    def _welcome(self, url: str, report: SetupReport) -> None:
        password = report.password or "as shown at the first start; ADMIN_PASSWORD sets a new one"
        self.stdout.write(
            f"\nThe desk is ready:  {url}\n  user      admin\n  password  {password}\n  Ctrl-C stops it.\n"
        )
        self.stdout.flush()
