"""Both sides' servers and helpers, started from what the machine has and ended together."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.live.lines import ROOT, Program
from tests.harness import services

PEER = "channels_redis==4.3.0"
PROTOCOL = "tradingsite.common.live.protocol:DeskProtocol"


@dataclass
class Side:
    """One server with its publisher; `capacity` is the peer's, 0 for the desk."""

    name: str
    url: str
    publisher: Program
    server: "subprocess.Popen[bytes]"
    cookie: str = ""

    def cpu_s(self) -> float:
        """Return the processor seconds that the server has used."""
        fields = Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stage:
    desk: Side
    peers: list[Side]
    clients: Program
    followers: Program
    redis_url: str


@contextlib.contextmanager
def stage(capacities: tuple[int, ...]) -> Iterator[Stage]:
    """Yield the desk, one peer for each capacity, and the clients.

    Raises:
        RuntimeError: something did not start; with its output.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="desk-bench-")))
        for name in ("TEST_DATABASE_URL", "TEST_REDIS_URL"):
            # Servers of its own: others' work on a shared one would be measured too.
            os.environ.pop(name, None)
        database = stack.enter_context(services.postgres())
        redis = stack.enter_context(services.redis())
        found = _Builder(stack, folder, _peer_folder())
        (folder / "data").mkdir()
        desk_env = {"DATA_DIR": str(folder / "data"), "DATABASE_URL": database.url, "REDIS_URL": redis.url}
        desk_env |= {"SECRET_KEY": "only-for-measuring-0123456789-0123456789-0123456789", "LOG_LEVEL": "WARNING"}
        migrated = subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"],
            cwd=ROOT,
            env=found.environment(desk_env),
            capture_output=True,
            text=True,
        )
        if migrated.returncode:
            raise RuntimeError(f"migrate failed: {migrated.stderr[-3000:]}")
        desk = found.side("desk", "tradingsite.asgi:application", PROTOCOL, desk_env)
        desk.cookie = desk.publisher.ask(do="session")["cookie"]
        peers = []
        for number, capacity in enumerate(capacities, start=1):
            env = {"PEER_REDIS_URL": f"{redis.url.rpartition('/')[0]}/{number}", "PEER_CAPACITY": str(capacity)}
            peers.append(
                found.side(f"peer, capacity {capacity}", "benchmarks.live.peer:application", "websockets-sansio", env)
            )
        clients, followers = (found.program(f"benchmarks.live.{name}", {}) for name in ("clients", "followers"))
        yield Stage(desk, peers, clients, followers, redis.url)


@dataclass
class _Builder:
    stack: contextlib.ExitStack
    folder: Path
    peer: Path

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        return {**kept, "PYTHONPATH": f"{ROOT}:{self.peer}", "PYTHONUNBUFFERED": "1", **env}

    def program(self, module: str, env: dict[str, str]) -> Program:
        one = Program(["-m", module], self.environment(env), self.folder / f"{module}.log")
        self.stack.callback(one.end)
        return one

    def side(self, name: str, application: str, protocol: str, env: dict[str, str]) -> Side:
        port = services.free_port()
        command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--ws", protocol]
        # Compression off on both sides: the clients ask for none. A busy machine takes long to answer a ping, and who stops
        # reading shall be let go for that and for nothing else.
        command += ["--ws-ping-interval", "120"]
        command += ["--lifespan", "off", "--log-level", "warning", "--ws-per-message-deflate", "false"]
        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            server = subprocess.Popen(command, cwd=ROOT, env=self.environment(env), stdout=file, stderr=file)
        self.stack.callback(_end, server)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start: {log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)
        publisher = "benchmarks.live.publish_desk" if name == "desk" else "benchmarks.live.publish_peer"
        return Side(name, f"ws://127.0.0.1:{port}/ws/executions", self.program(publisher, env), server)


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(3)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _peer_folder() -> Path:
    """Return a folder with the peer's layer in it, installed there on first use: the desk itself has no need of it."""
    folder = ROOT / "var" / "bench" / PEER.replace("==", "-")
    if not (folder / "channels_redis").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*pip, "--target", folder, PEER], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the peer could not be installed: {done.stderr[-1000:]}")
    return folder
