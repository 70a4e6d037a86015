"""Prefect: flows of three tasks, carried in this process, their states kept by a local server on the same PostgreSQL."""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from loads import Marks, given, hand_back, measure, program, until

START_S = 180.0


class Peer:
    """A flow call returns when the flow has ended: submitting and waiting are one."""

    def __init__(self, flow: object) -> None:
        self._flow = flow
        self._marks: dict[str, Marks] = {}

    def submit(self) -> str:
        run = str(uuid.uuid4())
        self._marks[run] = self._flow()
        return run

    def wait(self, run: str) -> None:
        pass

    def wait_all(self, runs: Sequence[str]) -> None:
        pass

    def marks(self, runs: Sequence[str]) -> Mapping[str, Marks]:
        return {run: self._marks[run] for run in runs}


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


def _three_steps() -> object:
    from prefect import flow, task

    @task
    def timed() -> tuple[float, float]:
        began = time.monotonic()
        return began, time.monotonic()

    @flow
    def three_steps() -> list[tuple[float, float]]:
        return [timed(), timed(), timed()]

    return three_steps


def main() -> None:
    asked = given()
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
        # Imported now: Prefect reads its environment once.
        hand_back(measure(Peer(_three_steps()), asked["load"]))


if __name__ == "__main__":
    main()
