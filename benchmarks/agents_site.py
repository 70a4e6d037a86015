"""What forty conversations at once cost everybody else: a desk in one process, over HTTP.

Run: python benchmarks/agents_site.py [--conversations 40] [--requests 300] [--json FILE]. It starts a desk of its own (SQLite,
one process) and exits with 1 when a target is missed.

- web: a page of the API asked for one after the other, with a pause between: alone, and while the team of five talks
  offline in as many runs as there are conversations, all begun at once. Target: its p95 at most three times as long.
- talk: how long the conversations take, and how many messages they store each second.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.desk import Desk, desk, wait_until

PAGE = "/api/strategies"
TEAM = "Demo: team"
SYMBOLS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
PAUSE_S = 0.02
WEB_TIMES = 3.0
ENDED = ("completed", "failed", "cancelled")


def asked(client: httpx.Client, count: int, until: threading.Event | None = None) -> list[float]:
    """Ask for a page `count` times, or until something has happened, and return the seconds of each."""
    took = []
    while len(took) < count if until is None else not until.is_set():
        began = time.perf_counter()
        client.get(PAGE).raise_for_status()
        took.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return took


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


class Talkers:
    """Starts runs of the team and follows them to their end."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        rows = client.get("/api/strategies", params={"search": TEAM}).json()["results"]
        row = next(row for row in rows if row["name"] == TEAM)
        self._url = f"/api/workflows/{row['workflow_id']}/execute"
        self._strategy = row["id"]

    def begin(self, number: int) -> str:
        """Start a run that talks about one symbol."""
        body = {"strategy_id": self._strategy, "symbols": [SYMBOLS[number % len(SYMBOLS)]]}
        answer = self._client.post(self._url, json=body)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return str(found["workflow_execution_id"])

    def ended(self, runs: list[str]) -> bool:
        """Say whether all of these runs have completed."""
        for run in runs:
            status = self._client.get(f"/api/runs/{run}").json()["status"]
            if status not in ENDED:
                return False
            assert status == "completed", f"run {run} ended as {status}"
        return True

    def messages(self, run: str) -> int:
        """Return how many messages a run has stored."""
        rows = self._client.get(f"/api/runs/{run}/agent-conversation", params={"page_size": 200}).json()["results"]
        return len(rows)


def measure(conversations: int, requests: int) -> dict[str, float]:
    with desk(Path(tempfile.mkdtemp(prefix="bench-agents-site-"))) as one:
        return _measured(one, conversations, requests)


def _measured(one: Desk, conversations: int, requests: int) -> dict[str, float]:
    up = one.manage("up", WORKER_CONCURRENCY=str(conversations))
    one.wait_until_up(up)
    with one.client() as client, one.client() as other:
        talkers = Talkers(other)
        # The first talk loads what it needs.
        first = talkers.begin(0)
        wait_until("the first conversation", lambda: talkers.ended([first]), 120)
        idle = asked(client, requests)
        over, found = threading.Event(), {}

        def talk() -> None:
            began = time.perf_counter()
            try:
                runs = [talkers.begin(number) for number in range(conversations)]
                while not talkers.ended(runs):
                    time.sleep(0.5)
                found["took"], found["messages"] = time.perf_counter() - began, talkers.messages(runs[0])
            finally:
                over.set()

        thread = threading.Thread(target=talk)
        thread.start()
        busy = asked(client, requests, over)
        thread.join()
    return {
        "web_idle_p95_s": p95(idle),
        "web_busy_p95_s": p95(busy),
        "web_busy_requests": len(busy),
        "web_times": p95(busy) / p95(idle),
        "talk_s": found["took"],
        "talk_messages_per_s": found["messages"] * conversations / found["took"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=40)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.conversations, arguments.requests)
    for name, figure in figures.items():
        print(f"{name:20} {figure:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    if figures["web_times"] > WEB_TIMES:
        print(f"the web is {figures['web_times']:.1f} times as slow, {WEB_TIMES} are allowed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
