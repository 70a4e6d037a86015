"""What an optimisation costs who asks for it, and everybody else: a desk in one process, over HTTP.

Run: python benchmarks/optimize_site.py [--small 30] [--requests 300] [--json FILE]. It starts a desk of its own (SQLite, one
process) and exits with 1 when a target is missed.

- small: 18 combinations, 5 folds, 1,258 bars of one symbol, on a warm desk: from the request to the complete answer.
  Target: median below 0.4 s, and below a tenth of what `import vectorbt` takes, where `optimize.py` has installed it.
- web: a page of the API asked for one after the other, with a pause between: alone, and while a search of 100,000
  combinations runs. Target: its p95 at most three times as long.
- large: that search: how long it takes, how much memory the whole desk has at most, how many rows and bytes it leaves.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from environments import FOLDER

from tests.support.desk import Desk, desk, wait_until

SMALL = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}
GRID = {"lookback": list(range(2, 102)), "threshold": [n / 100 for n in range(1000)], "exit_threshold": [0.0]}
PAGE = "/api/strategies"
PAUSE_S = 0.02
SMALL_S, WEB_TIMES = 0.4, 3.0
IMPORT_PART = 0.1


def complete(client: httpx.Client, body: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Ask for a search, and return the seconds until it was complete and its answer."""
    began = time.perf_counter()
    answer = client.post("/api/optimize/strategy", json=body)
    answer.raise_for_status()
    job = answer.json()["job_id"]
    while True:
        found: dict[str, Any] = client.get(f"/api/optimize/{job}").json()
        if found["status"] not in ("queued", "running"):
            assert found["status"] == "complete", found["error"]
            return time.perf_counter() - began, found
        time.sleep(0.005)


def asked(client: httpx.Client, count: int, until: threading.Event | None = None) -> list[float]:
    """Ask for a page `count` times, or until something has happened, and return the seconds of each."""
    took = []
    while len(took) < count if until is None else not until.is_set():
        began = time.perf_counter()
        client.get(PAGE).raise_for_status()
        took.append(time.perf_counter() - began)
        time.sleep(PAUSE_S)
    return took


def import_s() -> float | None:
    """Return the median seconds of `import vectorbt`, its caches filled; None where it is not installed."""
    python = FOLDER / "vectorbt" / "bin" / "python"
    if not python.exists():
        return None
    took = []
    for _ in range(6):
        began = time.perf_counter()
        subprocess.run([python, "-c", "import vectorbt"], check=True)
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


def p95(seconds: list[float]) -> float:
    return sorted(seconds)[int(0.95 * len(seconds))]


def peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def server_pid(one: Desk, pid: int) -> int:
    """Return the process that serves: the command itself, or its only child."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def measure(small: int, requests: int) -> dict[str, float]:
    with desk(Path(tempfile.mkdtemp(prefix="bench-optimize-site-"))) as one:
        up = one.manage("up")
        one.wait_until_up(up)
        with one.client() as client, one.client() as other:
            # Until its kernels are loaded.
            wait_until("a warm desk", lambda: complete(client, SMALL)[0] < 1.0, 120)
            seconds = [complete(client, SMALL)[0] for _ in range(small)]
            idle = asked(client, requests)
            before = peak_mb(server_pid(one, up.pid))
            over, found = threading.Event(), {}

            def search() -> None:
                found["took"], found["answer"] = complete(other, {**SMALL, "param_grid": GRID})
                over.set()

            thread = threading.Thread(target=search)
            thread.start()
            busy = asked(client, requests, over)
            thread.join()
            after = peak_mb(server_pid(one, up.pid))
            table = client.get(f"/api/optimize/{found['answer']['id']}/matrix").content
    return {
        "small_median_s": statistics.median(seconds),
        "small_p95_s": p95(seconds),
        "web_idle_p95_s": p95(idle),
        "web_busy_p95_s": p95(busy),
        "web_busy_requests": len(busy),
        "web_times": p95(busy) / p95(idle),
        "large_s": found["took"],
        "large_memory_mb": after - before,
        "large_table_mb": len(table) / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, default=30)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.small, arguments.requests)
    imported = import_s()
    if imported is not None:
        figures["import_vectorbt_s"] = imported
    for name, figure in figures.items():
        print(f"{name:20} {figure:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    missed = []
    if figures["small_median_s"] >= SMALL_S:
        missed.append(f"a small search takes {figures['small_median_s']:.2f} s, {SMALL_S} s are allowed")
    if imported is not None and figures["small_median_s"] >= IMPORT_PART * imported:
        missed.append(
            f"a small search takes {figures['small_median_s'] / imported:.2f} of what importing vectorbt takes"
        )
    if figures["web_times"] > WEB_TIMES:
        missed.append(f"the web is {figures['web_times']:.1f} times as slow, {WEB_TIMES} are allowed")
    for line in missed:
        print(line)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
