"""Durable runs of three steps: the desk beside a version written by hand, DBOS and Prefect, in one run on one machine.

Run: python benchmarks/runs.py. It needs a PostgreSQL whose user may create databases (BENCH_DATABASE_URL, otherwise the
one at 127.0.0.1:5432) and a Redis database that may be emptied (BENCH_REDIS_URL, otherwise number 14 at 127.0.0.1:6379).
DBOS and Prefect are installed in environments of their own under BENCH_DIR, otherwise var/bench, on the first call.

The contenders take turns, round by round, so that a busy moment of the machine hits them all; ratios are formed within a
round, and their median is what counts. Nothing is asserted: the table says which targets hold.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

import psycopg
import redis
from environments import FOLDER, PEERS, interpreter
from loads import Load
from psycopg import sql

DATABASE_URL = os.environ.get("BENCH_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "redis://127.0.0.1:6379/14")

# Each contender's script, the database it works in, and the environment of its own that it needs.
CONTENDERS: Mapping[str, tuple[str, str, str]] = {
    "desk": ("desk.py", "bench_runs", ""),
    "by hand": ("byhand.py", "bench_runs", ""),
    "dbos": ("with_dbos.py", "bench_runs_dbos", "dbos"),
    "prefect": ("with_prefect_served.py", "bench_runs_prefect", "prefect"),
    "prefect in process": ("with_prefect.py", "bench_runs_prefect_in_process", "prefect"),
}

Rounds = Mapping[str, Sequence[Mapping[str, Any]]]


def loads_of(runs: int) -> dict[str, Load]:
    """Return how much each contender is asked; Prefect is a hundred times slower and gets less."""
    usual = Load(warm=50, idle=min(runs // 5, 200), rested=20, steady=min(runs // 5, 200), steady_per_s=20, burst=runs)
    slow = Load(warm=1, idle=2, rested=1, steady=2, steady_per_s=0.1, burst=6, submitters=4)
    return {name: slow if name.startswith("prefect") else usual for name in CONTENDERS}


# ---------------------------------------------------------------------------------------------- servers, environments


def postgres_url(database: str) -> str:
    parts = urlsplit(DATABASE_URL)
    return urlunsplit(("postgresql", parts.netloc, f"/{database}", "", ""))


@contextmanager
def databases(names: Sequence[str]) -> Iterator[None]:
    """Make these databases anew, and drop them at the end."""
    try:
        server = psycopg.connect(postgres_url(urlsplit(DATABASE_URL).path.lstrip("/")), autocommit=True)
    except psycopg.OperationalError as error:
        sys.exit(f"No PostgreSQL: {error}\nName one in BENCH_DATABASE_URL whose user may create databases.")
    with server:
        try:
            for name in names:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
                server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            yield
        finally:
            for name in names:
                server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def broker() -> Iterator[redis.Redis]:
    """Yield an empty Redis database, and empty it at the end."""
    client = redis.Redis.from_url(REDIS_URL, socket_connect_timeout=2)
    try:
        kept = client.dbsize()
    except redis.RedisError as error:
        sys.exit(f"No Redis: {error}\nName one in BENCH_REDIS_URL; its database will be emptied.")
    if kept and "BENCH_REDIS_URL" not in os.environ:
        sys.exit(f"{REDIS_URL} is not empty. Name a database that may be emptied in BENCH_REDIS_URL.")
    client.flushdb()
    try:
        yield client
    finally:
        client.flushdb()


# ---------------------------------------------------------------------------------------------- rounds


def turn(name: str, python: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Measure one contender once.

    Raises:
        SystemExit: it failed; what it printed is shown.
    """
    script, database, _ = CONTENDERS[name]
    with tempfile.TemporaryDirectory(prefix="desk-bench-") as folder:
        asked = {**asked, "folder": folder, "database_url": postgres_url(database)}
        done = subprocess.run([python, str(PEERS / script), json.dumps(asked)], capture_output=True, text=True)
        if done.returncode:
            logs = "\n".join(log.read_text(errors="replace")[-3000:] for log in Path(folder).glob("*.log"))
            sys.exit(f"{logs}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{name} failed")
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)]


def median_of(rounds: Rounds, name: str, figure: Callable[[Mapping[str, Any]], float]) -> float:
    return statistics.median(figure(one) for one in rounds[name])


def ratio(rounds: Rounds, over: str, under: str, figure: Callable[[Mapping[str, Any]], float]) -> float:
    """Return the median over the rounds of the first contender's figure divided by the second's."""
    return statistics.median(figure(a) / figure(b) for a, b in zip(rounds[over], rounds[under], strict=True))


# ---------------------------------------------------------------------------------------------- what is told


def of(name: str, part: float) -> Callable[[Mapping[str, Any]], float]:
    return lambda one: percentile(one[name], part)


def per_s(one: Mapping[str, Any]) -> float:
    return float(one["per_s"])


COLUMNS: Sequence[tuple[str, Callable[[Mapping[str, Any]], float]]] = (
    ("runs/s", per_s),
    ("idle, done p50", of("idle_done_ms", 0.5)),
    ("idle, done p95", of("idle_done_ms", 0.95)),
    ("rested, p50", of("rested_done_ms", 0.5)),
    ("step p50", of("steady_overhead_ms", 0.5)),
    ("step p95", of("steady_overhead_ms", 0.95)),
    ("start p50", of("steady_start_ms", 0.5)),
    ("start p95", of("steady_start_ms", 0.95)),
)


def targets(rounds: Rounds) -> list[tuple[str, float, bool]]:
    """Return what is to be reached: its name, what was measured, whether it holds."""
    found: list[tuple[str, float, bool]] = []
    if "desk" not in rounds:
        return found
    if "by hand" in rounds:
        share = ratio(rounds, "desk", "by hand", per_s)
        found.append(("runs/s, of the version by hand: at least 0.5", share, share >= 0.5))
        slower = ratio(rounds, "desk", "by hand", of("idle_done_ms", 0.5))
        found.append(("idle submit-to-done p50, of the version by hand: at most 2", slower, slower <= 2))
    if "dbos" in rounds:
        share = ratio(rounds, "desk", "dbos", per_s)
        found.append(("runs/s, of DBOS in process: at least 1.5", share, share >= 1.5))
    if "prefect" in rounds:
        share = ratio(rounds, "desk", "prefect", per_s)
        found.append(("runs/s, of Prefect as it is deployed: at least 100", share, share >= 100))
    overhead = median_of(rounds, "desk", of("steady_overhead_ms", 0.5))
    found.append(("step overhead p50 in ms: at most 10", overhead, overhead <= 10))
    return found


def show(rounds: Rounds) -> None:
    count = len(next(iter(rounds.values())))
    print(f"\nThree-step runs; times in ms; median of {count} interleaved round{'s' * (count > 1)}")
    print(" " * 18 + "".join(f"{title:>16}" for title, _ in COLUMNS))
    for name in rounds:
        figures = (median_of(rounds, name, figure) for _, figure in COLUMNS)
        print(f"{name:18}" + "".join(f"{figure:>16.1f}" for figure in figures))
    print()
    for title, value, holds in targets(rounds):
        print(f"  {value:8.2f}   {'holds ' if holds else 'MISSED'}   {title}")
    for name in rounds:
        notes = rounds[name][-1]["notes"]
        if notes:
            rows = "; ".join(f"{table} {counts}" for table, counts in notes["rows_per_run"].items())
            spent = ", ".join(f"{part} {ms:.1f} ms" for part, ms in notes["cpu_ms_per_run"].items())
            print(f"\nOne run of {name} takes of the processor: {spent}.")
            print(f"  It inserts, updates and deletes rows: {rows}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender has its turn")
    parser.add_argument("--runs", type=int, default=1000, help="runs of the burst")
    parser.add_argument("--concurrency", type=int, default=8, help="threads of the one worker process")
    parser.add_argument("--only", help=f"contenders with commas between: {', '.join(CONTENDERS)}")
    parser.add_argument("--json", type=Path, default=FOLDER / "runs.json", help="where every figure goes")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    names = [name.strip() for name in given.only.split(",")] if given.only else list(CONTENDERS)
    if unknown := set(names) - set(CONTENDERS):
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. There are {', '.join(CONTENDERS)}.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    pythons = {name: interpreter(CONTENDERS[name][2]) for name in names}
    loads = loads_of(given.runs)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with databases(sorted({CONTENDERS[name][1] for name in names})), broker() as client:
        for number in range(given.rounds):
            for name in names:
                client.flushdb()
                asked = {"redis_url": REDIS_URL, "concurrency": given.concurrency, "load": asdict(loads[name])}
                rounds[name].append(turn(name, pythons[name], asked))
                print(f"round {number + 1}: {name:18} {rounds[name][-1]['per_s']:8.1f} runs/s", flush=True)
    taken = {"at": datetime.now(UTC).isoformat(), "arguments": sys.argv[1:], "cores": os.cpu_count()}
    told = [{"target": title, "measured": value, "holds": holds} for title, value, holds in targets(rounds)]
    given.json.write_text(json.dumps({**taken, "targets": told, "rounds": rounds}, indent=1))
    show(rounds)
    print(f"\nEvery figure: {given.json}")


if __name__ == "__main__":
    main()
