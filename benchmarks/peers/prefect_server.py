"""A Prefect server of its own on the PostgreSQL of the measurement."""

import contextlib
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loads import program, until

START_S = 180.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def prefect_server(asked: dict[str, Any]) -> Iterator[None]:
    """Run the server for the length of the block, this process's environment set up for it.

    Prefect reads its environment once: import it inside the block.
    """
    port, folder = _free_port(), Path(asked["folder"])
    url = f"http://127.0.0.1:{port}/api"
    os.environ |= {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": url,
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_API_DATABASE_CONNECTION_URL": asked["database_url"].replace("postgresql://", "postgresql+asyncpg://"),
    }
    server = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with program(server, str(folder / "server.log")) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the Prefect server ended; see {folder / 'server.log'}")
            return _answers(url)

        until("the Prefect server", ready, pause_s=0.2, within_s=START_S)
        yield
