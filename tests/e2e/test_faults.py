"""What is promised of runs, while workers, the broker and the database die under them."""

import contextlib
import os
import random
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.e2e import walk
from tests.e2e.servers import Server, postgres_server, redis_server
from tests.support.desk import Desk, Program, desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("e2e")]

EXPIRED_FOR_S = 10
STOOD_STILL_S = 10
CONNECTIONS_MAX = 60
TERMINAL = ("completed", "failed", "cancelled")
STEPS = [
    {"name": "first", "type": "slow", "config": {"seconds": 0.1}},
    {"name": "buy", "type": "buy_one", "config": {}},
    {"name": "second", "type": "slow", "config": {"seconds": "$wait"}},
    {"name": "third", "type": "slow", "config": {"seconds": 0}},
]


@dataclass
class Cluster:
    """The desk on servers of its own."""

    desk: Desk
    client: httpx.Client
    postgres: Server
    redis: Server
    workflow: str = ""
    strategy: str = ""
    workers: dict[int, Program] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def worker(self) -> Program:
        program = self.desk.worker(f"w{secrets.token_hex(3)}")
        self.workers[program.pid] = program
        return program

    def run_start(self, wait: float = 0.2) -> str:
        body = {"strategy_id": self.strategy, "input_data": {"wait": wait}}
        answer = walk.post(self.client, f"/api/workflows/{self.workflow}/execute", body, 202)
        self.runs.append(str(answer["workflow_execution_id"]))
        return self.runs[-1]

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read straight from the database."""
        address = self.postgres.url.replace("postgres://", "postgresql://", 1)
        with psycopg.connect(address, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def completed(self, runs: list[str]) -> bool:
        sql = "SELECT count(*) FROM workflow_execution WHERE status = 'completed' AND id = ANY(%s::uuid[])"
        return bool(self.ask(sql, runs)[0][0] == len(runs))

    def workers_seen(self, run: str) -> set[int]:
        """Return the processes that carried a run, which must end soon."""
        wait_until("the end of a run", lambda: self.completed([run]), 20)
        return {pid for _, pid, _ in self.desk.slow_steps(run)}

    def at_rest(self) -> bool:
        (unfinished,) = self.ask("SELECT count(*) FROM workflow_execution WHERE status IN ('pending', 'running')")[0]
        (waiting,) = self.ask("SELECT count(*) FROM outbox_message WHERE published_at IS NULL")[0]
        return not unfinished and not waiting


class LeaseWatch(threading.Thread):
    """Looks all the time for a run that nobody carries and nobody takes up."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="lease watch", daemon=True)
        self._cluster = cluster
        self.ended = threading.Event()
        self.worst_s = 0.0

    def run(self) -> None:
        sql = "SELECT coalesce(extract(epoch FROM max(now() - lease_until)), 0) FROM workflow_execution"
        while not self.ended.wait(0.25):
            with contextlib.suppress(psycopg.OperationalError):
                ((late,),) = self._cluster.ask(f"{sql} WHERE status = 'running' AND lease_until < now()")
                self.worst_s = max(self.worst_s, float(late))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster_at(Path(tmp_path_factory.mktemp("faults"))) as found:
        yield found


@contextlib.contextmanager
def cluster_at(folder: Path) -> Iterator[Cluster]:
    """Yield a desk with two workers, and see to it at the end that no run was left lying."""
    with (
        postgres_server({"max_connections": "100"}) as postgres,
        redis_server() as redis,
        desk(
            folder,
            {
                "DATABASE_URL": postgres.url,
                "REDIS_URL": redis.url,
                "EXTRA_APPS": "tests.e2e.slowsteps,tests.e2e.echo",
            },
        ) as one,
    ):
        one.run("setup")
        uvicorn = (sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--lifespan", "off")
        web = one.start("web", *uvicorn, "--host", "127.0.0.1", "--port", str(one.port), "--log-level", "warning")
        one.wait_until_up(web)
        with one.client() as client:
            found = Cluster(one, client, postgres, redis)
            limits = {"daily_trade_limit": 10_000, "duplicate_window_s": 0, "position_limit": "90000"}
            with psycopg.connect(postgres.url.replace("postgres://", "postgresql://", 1)) as connection:
                names = ", ".join(f"{name} = {value}" for name, value in limits.items())
                connection.execute(f"UPDATE safety_settings SET {names}")
            body = {
                "name": "Faults",
                "type": "custom",
                "default_params": {"wait": 0.2},
                "steps": STEPS,
            }
            found.workflow = walk.post(client, "/api/workflows", body, 201)["id"]
            strategy = {
                "name": "Faults",
                "strategy_type": "sma_crossover",
                "workflow_id": found.workflow,
                "symbols": ["FB"],
                "param": {},
                "enabled": True,
            }
            found.strategy = walk.post(client, "/api/strategies", strategy, 201)["id"]
            found.worker()
            found.worker()
            watch = LeaseWatch(found)
            watch.start()
            yield found
            watch.ended.set()
            watch.join()
            assert watch.worst_s < EXPIRED_FOR_S, f"a run was nobody's for {watch.worst_s:.1f} s"


def test_runs_come_through_killed_workers_with_each_message_delivered_three_times(cluster: Cluster) -> None:
    for _ in range(40):
        cluster.run_start()
    chance = random.Random(7)
    for _ in range(3):
        time.sleep(chance.uniform(0.5, 2.5))
        cluster.workers.pop(chance.choice(list(cluster.workers))).kill()
        cluster.worker()
    wait_until("the end of all runs", cluster.at_rest, 60)
    assert_kept(cluster)


def test_a_worker_that_stood_still_writes_nothing_when_it_wakes(cluster: Cluster) -> None:
    run = cluster.run_start(1.0)
    pid, _ = walk.wait_for_step(cluster.desk, run, "second", 1, 20)
    os.killpg(pid, signal.SIGSTOP)
    woken_at = time.monotonic() + STOOD_STILL_S
    wait_until("the end of the run elsewhere", lambda: cluster.completed([run]), STOOD_STILL_S + 4)
    time.sleep(max(0.0, woken_at - time.monotonic()))
    os.killpg(pid, signal.SIGCONT)
    refused = "SELECT 1 FROM workflow_execution WHERE id = %s AND stale_writes > 0"
    wait_until("the refusal", lambda: cluster.ask(refused, run), 10)
    wait_until("a later run on it", lambda: pid in cluster.workers_seen(cluster.run_start(0)), 20)
    wait_until("rest", cluster.at_rest, 20)
    assert_kept(cluster)


def test_what_a_redis_without_a_memory_forgot_is_done_all_the_same(cluster: Cluster) -> None:
    for pid in cluster.workers:
        os.killpg(pid, signal.SIGSTOP)
    forgotten = [cluster.run_start() for _ in range(4)]
    cluster.redis.kill()
    for pid in cluster.workers:
        os.killpg(pid, signal.SIGCONT)
    accepted = [cluster.run_start() for _ in range(3)]
    time.sleep(2)
    cluster.redis.start()
    wait_until("the runs that were accepted meanwhile", lambda: cluster.completed(accepted), 30)
    # A message counts as lost after half a minute; here that has passed.
    cluster.ask("UPDATE workflow_execution SET queued_at = queued_at - interval '30 s' WHERE status = 'pending'")
    wait_until("the forgotten runs", lambda: cluster.completed(forgotten), 20)
    wait_until("rest", cluster.at_rest, 20)
    assert_kept(cluster)


def test_every_process_outlives_a_crash_of_the_database(cluster: Cluster) -> None:
    before = [cluster.run_start(1.0) for _ in range(6)]
    walk.wait_for_step(cluster.desk, before[0], "second", 1, 20)
    cluster.postgres.kill()
    time.sleep(3)
    cluster.postgres.start()

    def taken() -> str | None:
        with contextlib.suppress(AssertionError):
            return cluster.run_start()
        return None

    after = wait_until("a run taken", taken, 20)
    wait_until("all runs", lambda: cluster.completed([*before, after]), 40)
    wait_until("rest", cluster.at_rest, 20)
    alive = "SELECT count(*) FROM worker_heartbeats WHERE last_seen > now() - interval '4 s'"
    wait_until("the heartbeat of each worker", lambda: cluster.ask(alive)[0][0] == len(cluster.workers), 15)
    assert_kept(cluster)
    assert "adds up" in cluster.desk.run("rebuild_positions", "--check")
    assert len(cluster.ask("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")) < CONNECTIONS_MAX


def assert_kept(cluster: Cluster) -> None:
    """Check the promises from the database alone."""
    found = {str(key): status for key, status in cluster.ask("SELECT id, status FROM workflow_execution")}
    assert {found.get(run) for run in cluster.runs} == {"completed"}
    told = "SELECT data->>'execution_id', data->>'name', count(*) FROM live_event WHERE"
    ends = f"{told} type = 'status' AND data->>'status' = ANY(%s) GROUP BY 1, 2"
    assert [count for *_, count in cluster.ask(ends, list(TERMINAL))] == [1] * len(found), "each run ends once"
    steps = f"{told} type = 'step' AND data->>'status' = 'completed' GROUP BY 1, 2"
    assert [count for *_, count in cluster.ask(steps)] == [1] * len(found) * len(STEPS), "each step ends once"
    again = """
        SELECT later.stream, later.data->>'name' FROM live_event later JOIN live_event done
            ON done.stream = later.stream AND done.data->>'name' = later.data->>'name' AND done.seq < later.seq
        WHERE later.type = 'step' AND done.type = 'step' AND done.data->>'status' = 'completed'
    """
    assert cluster.ask(again) == [], "no completed step begins again"
    outcomes = cluster.ask("SELECT status, code, detail, count(*) FROM orders GROUP BY 1, 2, 3")
    assert outcomes == [("filled", "", "", len(found))]
    for table in ("orders", "paper_order"):
        placed = f"SELECT count(*), count(DISTINCT client_order_id) FROM {table}"
        assert cluster.ask(placed) == [(len(found), len(found))], f"one row in {table} for each run"
    assert cluster.ask("SELECT sum(quantity) FROM position") == cluster.ask("SELECT sum(quantity) FROM fill")
