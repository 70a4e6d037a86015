"""A PostgreSQL and a Redis that a test may kill and start again at the same address."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.harness import services
from tests.support.desk import wait_until


@dataclass
class Server:
    """One server process on a port of its own."""

    url: str
    command: list[str | Path]
    folder: Path
    user: str | None
    ready: Callable[[], bool]
    kill_signal: signal.Signals
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, user=self.user, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(f"answer of {self.command[0]}", self.ready, 20)

    def kill(self) -> None:
        """End it at once, without a word to its clients; nothing it had promised to keep is lost."""
        if self.process is not None:
            self.process.send_signal(self.kill_signal)
            self.process.wait(20)
            self.process = None


@contextlib.contextmanager
def redis_server() -> Iterator[Server]:
    """Yield a running Redis that keeps nothing over its end."""
    port = services.free_port()
    with services._folder("desk-redis-") as folder:
        flags = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
        server = Server(
            f"redis://127.0.0.1:{port}/0",
            [services._redis_binary(), *flags],
            folder,
            None,
            lambda: services._answers_ping(port),
            signal.SIGKILL,
        )
        with _ended(server):
            server.start()
            yield server


@contextlib.contextmanager
def postgres_server(options: Mapping[str, str]) -> Iterator[Server]:
    """Yield a running PostgreSQL that keeps every commit."""
    port = services.free_port()
    binaries = services._postgres_binaries()
    with services._folder("desk-pg-") as folder:
        user = services._unprivileged_user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
            if services._WHEEL in binaries.parts:
                binaries = services._copy_of_wheel(binaries, folder)
        made = [binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        subprocess.run([*map(str, made), "--locale=C"], user=user, cwd=folder, capture_output=True, check=True)
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": str(folder), "fsync": "off", **options}
        flags = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]

        def ready() -> bool:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(
                    host="127.0.0.1", port=port, user="postgres", dbname="postgres", connect_timeout=2
                ).close()
                return True
            return False

        server = Server(
            f"postgres://postgres@127.0.0.1:{port}/postgres",
            [binaries / "postgres", "-D", folder / "data", "-p", str(port), *flags],
            folder,
            user,
            ready,
            # Immediate shutdown: every backend dies as it stands, the next start recovers.
            signal.SIGQUIT,
        )
        with _ended(server):
            server.start()
            yield server


@contextlib.contextmanager
def _ended(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)
