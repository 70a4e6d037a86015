"""The desk on servers of its own, which may all be killed: web, Celery workers, Redis without a memory, PostgreSQL."""

import contextlib
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx
import psycopg

from tests.e2e import walk
from tests.e2e.servers import Server, postgres_server, redis_server
from tests.faults import invariants
from tests.faults.figures import Figures
from tests.support.desk import Desk, Program, desk, wait_until

BATCH = 100
PROBE_S = 0.02
# On a machine that others keep busy a moment's lateness says nothing of the desk.
BUSY = 3.0
STEPS = [
    {"name": "first", "type": "marked", "config": {"seconds": 0.1}},
    {"name": "buy", "type": "buy_one", "config": {}},
    {"name": "second", "type": "marked", "config": {"seconds": "$wait"}},
    {"name": "third", "type": "marked", "config": {"seconds": 0}},
]


@dataclass
class Cluster:
    desk: Desk
    client: httpx.Client
    postgres: Server
    redis: Server
    workers: dict[int, Program] = field(default_factory=dict)
    # Each accepted run with the ends that are right for it.
    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strategies: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self)

    # --- workers

    def worker(self, pool: str = "threads") -> Program:
        program = self.desk.worker(f"w{secrets.token_hex(3)}", pool)
        self.workers[program.pid] = program
        return program

    def kill(self, program: Program) -> tuple[float, list[str]]:
        """Kill a worker as it stands; return when, and the runs that it left."""
        at = time.time()
        self.workers.pop(program.pid).kill()
        return at, self.carried_by(program)

    def carried_by(self, program: Program) -> list[str]:
        sql = "SELECT id::text FROM workflow_execution WHERE status = 'running' AND lease_owner LIKE %s"
        return [key for (key,) in self.ask(sql, f"{program.name}@%")]

    def tend(self) -> int:
        """Start a worker anew for each one that died, as a process manager would; return how many those were."""
        dead = [program for program in self.workers.values() if program.process.poll() is not None]
        for program in dead:
            assert program.process.returncode == -signal.SIGKILL, program.output()[-4000:]
            del self.workers[program.pid]
            self.worker()
        return len(dead)

    def wait_for_workers(self) -> None:
        """Return when each worker was heard of a moment ago."""
        alive = "SELECT split_part(name, '@', 1) FROM worker_heartbeats WHERE last_seen > now() - interval '4 s'"

        def heard() -> bool:
            return {program.name for program in self.workers.values()} <= {name for (name,) in self.ask(alive)}

        wait_until("the heartbeat of each worker", heard, 60)

    # --- runs

    def workflow(self, name: str, steps: Sequence[dict[str, Any]]) -> None:
        """Make a workflow with its strategy, to be started by its name."""
        body = {"name": name, "type": "custom", "default_params": {"wait": 0.2}, "steps": list(steps)}
        workflow = walk.post(self.client, "/api/workflows", body, 201)["id"]
        body = {"name": name, "strategy_type": "sma_crossover", "workflow_id": workflow, "symbols": ["FB"], "param": {}}
        strategy = walk.post(self.client, "/api/strategies", {**body, "enabled": True}, 201)["id"]
        self.strategies[name] = (workflow, strategy)

    def start(
        self, count: int, name: str = "bought", *, wait: float = 0.2, ends: tuple[str, ...] = ("completed",)
    ) -> list[str]:
        """Have runs accepted, a hundred a request; return their ids."""
        workflow, strategy = self.strategies[name]
        one = {"workflow_id": workflow, "strategy_id": strategy, "input_data": {"wait": wait}}
        started: list[str] = []
        while len(started) < count:
            items = [one] * min(BATCH, count - len(started))
            answer = walk.post(self.client, "/api/workflows/execute-batch", items, 202)
            started += [str(row["workflow_execution_id"]) for row in answer]
        self.runs |= dict.fromkeys(started, ends)
        return started

    def statuses(self, runs: Sequence[str]) -> dict[str, str]:
        sql = "SELECT id::text, status FROM workflow_execution WHERE id = ANY(%s::uuid[])"
        return dict(self.ask(sql, list(runs)))  # type: ignore[arg-type]

    def wait_for(self, status: str, runs: Sequence[str], seconds: float) -> None:
        def reached() -> bool:
            return set(self.statuses(runs).values()) == {status}

        wait_until(f"{status} of {len(runs)} runs", reached, seconds)

    def wait_for_step(self, run: str, step: str, seconds: float = 30) -> int:
        """Return the process that carries the run, once its step has begun."""
        sql = "SELECT pid FROM fault_mark WHERE execution_id = %s AND step = %s ORDER BY id DESC LIMIT 1"
        return int(wait_until(f"start of step {step}", lambda: self.ask(sql, run, step), seconds)[0][0])

    def gone_on(self, runs: Sequence[str], since: float) -> list[float]:
        """Return for each of these runs how long after `since` a worker took it."""
        sql = """
            SELECT extract(epoch FROM min(at)) FROM live_event WHERE type = 'status' AND data->>'status' = 'running'
                AND at > to_timestamp(%s) AND data->>'execution_id' = ANY(%s) GROUP BY stream
        """
        return [float(at) - since for (at,) in self.ask(sql, since, list(runs))]

    # --- the database

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read straight from the database."""
        with psycopg.connect(address(self.postgres), autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def at_rest(self) -> bool:
        unfinished = "SELECT 1 FROM workflow_execution WHERE status IN ('pending', 'running') LIMIT 1"
        return not self.ask(unfinished) and not invariants.I6.violations(self.ask)

    @contextlib.contextmanager
    def scenario(self, name: str, *, seconds: float) -> Iterator[Figures]:
        """Measure what happens inside, wait until the desk is at rest, and ask for every promise."""
        figures, before, began = Figures(name), set(self.runs), time.monotonic()
        self.watch.seen, self.watch.slowness = [], []
        yield figures
        with contextlib.suppress(AssertionError):
            # What is not at rest by then is told by the invariants, each by its name.
            wait_until("rest", self.at_rest, seconds)
        figures.seconds = time.monotonic() - began
        figures.slowness = max(1.0, fmean(self.watch.slowness or [1.0]))
        self._judge(figures, [run for run in self.runs if run not in before])

    def _judge(self, figures: Figures, runs: list[str]) -> None:
        broken = {one.name: one.violations(self.ask) for one in invariants.ALL}
        if figures.slowness < BUSY:
            broken["I5 on the way"] = self.watch.seen
        found = self.statuses(runs)
        figures.runs = len(runs)
        figures.lost = len(invariants.lost(self.ask, runs))
        figures.duplicated = sum(len(broken[one.name]) for one in invariants.TWICE)
        figures.wrong = sum(found.get(run) not in self.runs[run] for run in runs) + len(self.unbought(runs))
        sql = "SELECT coalesce(sum(stale_writes), 0) FROM workflow_execution WHERE id = ANY(%s::uuid[])"
        figures.refused = int(self.ask(sql, runs)[0][0])
        figures.tell()
        assert not any(broken.values()), broken
        assert (figures.lost, figures.duplicated, figures.wrong) == (0, 0, 0)
        figures.assert_recovered()

    def unbought(self, runs: Sequence[str]) -> list[str]:
        """Return the runs whose step `buy` is complete without its one filled order."""
        sql = """
            SELECT s.execution_id::text FROM step_executions s LEFT JOIN orders o
                ON o.execution_id = s.execution_id AND o.status = 'filled'
            WHERE s.name = 'buy' AND s.status = 'completed' AND s.execution_id = ANY(%s::uuid[])
            GROUP BY 1 HAVING count(o.id) <> 1
        """
        return [key for (key,) in self.ask(sql, list(runs))]


class Watch(threading.Thread):
    """Looks all the time for a run that nobody carries and nobody takes up: I5, not only at rest.

    It also feels how slow the machine is: how many seconds go by while it computes for one.
    """

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="watch", daemon=True)
        self._cluster = cluster
        self.ended = threading.Event()
        self.seen: list[str] = []
        self.slowness: list[float] = []

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.slowness.append(slowness())
            with contextlib.suppress(psycopg.OperationalError):
                self.seen += invariants.I5.violations(self._cluster.ask)


def slowness() -> float:
    """Return 1 on a machine that has a core for us, 4 on one where four want it."""
    began, computed = time.monotonic(), time.thread_time()
    while (used := time.thread_time() - computed) < PROBE_S:
        pass
    return (time.monotonic() - began) / used


def address(server: Server) -> str:
    return server.url.replace("postgres://", "postgresql://", 1)


@contextlib.contextmanager
def cluster_at(folder: Path) -> Iterator[Cluster]:
    """Yield a desk with two workers whose broker delivers each message three times."""
    with (
        postgres_server({"max_connections": "200"}) as postgres,
        redis_server() as redis,
        desk(
            folder,
            {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "EXTRA_APPS": "tests.e2e.slowsteps,tests.e2e.echo,tests.faults.steps",
            },
        ) as one,
    ):
        one.run("setup")
        uvicorn = (sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--lifespan", "off")
        web = one.start("web", *uvicorn, "--host", "127.0.0.1", "--port", str(one.port), "--log-level", "warning")
        limits = {"daily_trade_limit": 10_000, "duplicate_window_s": 0, "position_limit": "900000"}
        with psycopg.connect(address(postgres)) as connection:
            connection.execute(invariants.MARKS)
            names = ", ".join(f"{name} = {value}" for name, value in limits.items())
            connection.execute(f"UPDATE safety_settings SET {names}")
            connection.execute("UPDATE account SET cash = cash * 100, starting_cash = starting_cash * 100")
        one.wait_until_up(web)
        with one.client() as client:
            found = Cluster(one, client, postgres, redis)
            found.workflow("bought", STEPS)
            found.worker()
            found.worker()
            found.wait_for_workers()
            found.watch.start()
            yield found
            found.watch.ended.set()
            found.watch.join()
