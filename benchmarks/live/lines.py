"""Programs that do what a line of JSON on their input says and answer with one on their output."""

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class Program:
    """A helper process that is asked and answers; it ends with its input."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
            )
        self._log = log

    def tell(self, **order: Any) -> None:
        """Send an order whose answer is fetched later."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, seconds: float) -> dict[str, Any]:
        """Return the next answer.

        Raises:
            RuntimeError: it did not come in time, or the program ended; with the end of the program's log.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], seconds)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            what = "ended" if ready else f"did not answer within {seconds:.0f} s"
            raise RuntimeError(f"a helper {what}: {self._log.read_text(errors='replace')[-3000:]}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, seconds: float = 60, **order: Any) -> dict[str, Any]:
        self.tell(**order)
        return self.answer(seconds)

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def serve(do: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer each order until the input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(do(json.loads(line))) + "\n")
        sys.stdout.flush()


async def serve_async(do: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Answer each order until the input ends, on one event loop that goes on between orders."""
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        sys.stdout.write(json.dumps(await do(json.loads(line))) + "\n")
        sys.stdout.flush()


def now() -> float:
    """Return seconds on the clock that all processes of one machine share."""
    return time.monotonic()
