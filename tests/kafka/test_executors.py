"""Runs by Kafka: a web process and executors of their own, PostgreSQL, and brokers on sockets that come and go."""

import json
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from executions.kafka.records import validator
from tests.e2e import walk
from tests.kafka.cluster import EVENTS, REQUESTS, Cluster, cluster
from tests.kafka.mock_cluster import PARTITIONS
from tests.support.desk import Desk, Program, desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("e2e")]

STOPPED_WITHIN_S = 20.0
# Not a promise: a machine with much else to do may take its time.
SOON_S = 60.0
STEPS = [
    {"name": "first", "type": "slow", "config": {"seconds": 0}},
    {"name": "buy", "type": "buy_one", "config": {}},
    {"name": "second", "type": "slow", "config": {"seconds": "$wait"}},
]


@dataclass
class Site:
    """The desk, its brokers, and what was asked of it."""

    desk: Desk
    kafka: Cluster
    database: str
    client: httpx.Client
    workflow: str = ""
    strategy: str = ""
    executors: dict[int, Program] = field(default_factory=dict)
    runs: list[str] = field(default_factory=list)

    def executor(self, *options: str) -> Program:
        program = self.desk.manage("run_executor", "--concurrency", "4", *options)
        self.executors[program.pid] = program
        return program

    def run_start(self, wait: float = 0.0, priority: int = 0) -> str:
        body = {"strategy_id": self.strategy, "input_data": {"wait": wait}, "priority": priority}
        answer = walk.post(self.client, f"/api/workflows/{self.workflow}/execute", body, 202)
        self.runs.append(str(answer["workflow_execution_id"]))
        return self.runs[-1]

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read straight from the database."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def completed(self, runs: list[str]) -> bool:
        sql = "SELECT count(*) FROM workflow_execution WHERE status = 'completed' AND id = ANY(%s::uuid[])"
        return bool(self.ask(sql, runs)[0][0] == len(runs))

    def at_rest(self) -> bool:
        """Say whether every run has ended, everything has left, and nothing waits to be taken."""
        waiting = """
            SELECT (SELECT count(*) FROM workflow_execution WHERE status IN ('pending', 'running'))
                 + (SELECT count(*) FROM outbox_message WHERE published_at IS NULL AND task LIKE 'executions.%')
                 + (SELECT count(*) FROM kafka_inbox WHERE taken_at IS NULL)
        """
        return bool(self.ask(waiting)[0][0] == 0)

    def health(self, check: str = "kafka") -> dict[str, str]:
        found = httpx.get(f"{self.desk.url}/health/ready", timeout=10).json()["checks"][check]
        assert isinstance(found, dict)
        return found

    def caught_up(self, group: str) -> bool:
        """Say whether `group` has committed every record of the requests."""
        reader = Consumer({"bootstrap.servers": self.kafka.bootstrap, "group.id": group})
        try:
            places = reader.committed([TopicPartition(REQUESTS, number) for number in range(PARTITIONS)], timeout=5)
            return all(max(place.offset, 0) == reader.get_watermark_offsets(place, timeout=5)[1] for place in places)
        finally:
            reader.close()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database of this folder's own, in the server of the suite."""
    server = os.environ["TEST_DATABASE_URL"].replace("postgres://", "postgresql://", 1)
    name = f"desk_kafka_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield _with_path(server, name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


@pytest.fixture(scope="module")
def site(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with cluster() as kafka:
        env = {
            "DATABASE_URL": database.replace("postgresql://", "postgres://", 1),
            # Not the database number of other tests.
            "REDIS_URL": _with_path(os.environ["TEST_REDIS_URL"], "12"),
            "EXECUTION_TRANSPORT": "kafka",
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            # The mock waits for nearly a session at each rebalance, even when all members are there. And some runs
            # take longer than a member may take from poll to poll.
            "KAFKA_CONFIG": '{"session.timeout.ms": 2000, "heartbeat.interval.ms": 400, "max.poll.interval.ms": 4000}',
        }
        with desk(Path(tmp_path_factory.mktemp("kafka")), env) as one:
            one.run("setup")
            uvicorn = (sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--lifespan", "off")
            web = one.start("web", *uvicorn, "--host", "127.0.0.1", "--port", str(one.port), "--log-level", "warning")
            found = Site(one, kafka, database, httpx.Client())
            found.executor()
            found.executor()
            one.wait_until_up(web)
            with one.client() as found.client:
                _prepare(found)
                yield found


def _prepare(site: Site) -> None:
    site.ask("UPDATE safety_settings SET daily_trade_limit = 10000, duplicate_window_s = 0, position_limit = 90000")
    workflow = {"name": "By Kafka", "type": "custom", "default_params": {"wait": 0}, "steps": STEPS}
    site.workflow = walk.post(site.client, "/api/workflows", workflow, 201)["id"]
    strategy = {
        "name": "By Kafka",
        "strategy_type": "sma_crossover",
        "workflow_id": site.workflow,
        "symbols": ["FB"],
        "param": {},
        "enabled": True,
    }
    site.strategy = walk.post(site.client, "/api/strategies", strategy, 201)["id"]


@pytest.fixture(autouse=True)
def kept(site: Site) -> Iterator[None]:
    """After each test: every run that was accepted has ended once, its steps once each, with one order."""
    yield
    wait_until("rest", site.at_rest, SOON_S)
    found = site.ask("SELECT id, status || error_message FROM workflow_execution")
    assert {str(key): ended for key, ended in found} == dict.fromkeys(site.runs, "completed")
    steps = site.ask("SELECT data->>'execution_id', data->>'name', count(*) FROM live_event"
                     " WHERE type = 'step' AND data->>'status' = 'completed' GROUP BY 1, 2")  # fmt: skip
    assert [count for *_, count in steps] == [1] * len(site.runs) * len(STEPS)
    assert site.ask("SELECT status, count(*) FROM orders GROUP BY 1") == [("filled", len(site.runs))]
    assert site.ask("SELECT count(DISTINCT client_order_id) FROM orders") == [(len(site.runs),)]


def test_a_run_goes_by_kafka_from_the_request_to_its_end(site: Site) -> None:
    run = site.run_start(priority=3)
    final = walk.get(site.client, f"/api/runs/{run}", wait=20)
    assert final["status"] == "completed", final
    (asked,) = [message for message in site.kafka.records(REQUESTS) if message.key() == run.encode()]
    validator("run-request.v1").validate(json.loads(asked.value() or b""))
    inbox = (
        "SELECT topic, partition, priority, outcome FROM kafka_inbox WHERE execution_id = %s AND done_at IS NOT NULL"
    )
    wait_until("the row of the request", lambda: site.ask(inbox, run), SOON_S)
    assert site.ask(inbox, run) == [(REQUESTS, asked.partition(), 3, "carried")]
    wait_until("rest", site.at_rest, SOON_S)
    events = [json.loads(m.value() or b"") for m in site.kafka.records(EVENTS) if m.key() == run.encode()]
    for event in events:
        validator("run-event.v1").validate(event)
    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert [event["data"]["status"] for event in events if event["type"] == "run.status"] == [
        "pending", "running", "completed",
    ]  # fmt: skip
    assert site.health() == {"status": "ok", "detail": "3 brokers"}
    assert site.health("workers") == {"status": "ok", "detail": "2 alive"}


def test_records_that_come_three_times_and_requests_that_come_twice_run_once(site: Site) -> None:
    runs = [site.run_start(0.5) for _ in range(8)]
    wait_until("the requests", lambda: len(_asked(site, runs)) == len(runs), SOON_S)
    again: list[tuple[bytes | None, bytes | None, dict[str, Any]]] = []
    for message in _asked(site, runs):
        body = json.loads(message.value() or b"")
        anew = json.dumps(body | {"message_id": f"{body['message_id']}.anew"}).encode()
        again += [(message.key(), message.value(), dict(message.headers() or []))] * 2 + [(message.key(), anew, {})]
    site.kafka.write(REQUESTS, again)
    wait_until("the end of the runs", lambda: site.completed(runs), SOON_S)
    wait_until("the whole topic", lambda: site.caught_up("desk-executors"), SOON_S)
    wait_until("rest", site.at_rest, SOON_S)
    rows = "SELECT message_id LIKE '%%.anew', outcome, count(*) FROM kafka_inbox WHERE execution_id = ANY(%s::uuid[])"
    outcomes = Counter({(anew, out): n for anew, out, n in site.ask(f"{rows} GROUP BY 1, 2", runs)})
    assert outcomes == {(False, "carried"): len(runs), (True, "not_ours"): len(runs)}


def _asked(site: Site, runs: list[str]) -> list[Any]:
    wanted = {run.encode() for run in runs}
    return [message for message in site.kafka.records(REQUESTS) if message.key() in wanted]


def test_poison_records_are_parked_and_stop_no_partition(site: Site) -> None:
    run = site.run_start(0)
    wait_until("the run", lambda: site.completed([run]), SOON_S)
    (asked,) = _asked(site, [run])
    body = json.loads(asked.value() or b"")
    poison = {
        "not_json": b"\x00\xff{",
        "empty": None,
        "wrong_schema": b'{"run": "please"}',
        "newer_schema": json.dumps(body | {"schema_version": 2}).encode(),
        "unknown_run": json.dumps(body | {"run_id": "11111111-2222-4333-8444-555555555555"}).encode(),
        "too_large": b"x" * 200_000,
    }
    # Spread over the partitions by their keys, each twice.
    site.kafka.write(REQUESTS, [
        (b"11111111-2222-4333-8444-555555555555" if reason == "unknown_run" else f"{reason}{n}".encode(), value, {})
        for n in range(2) for reason, value in poison.items()
    ])  # fmt: skip
    later = [site.run_start(0) for _ in range(8)]
    wait_until("the runs behind them", lambda: site.completed(later), SOON_S)
    wait_until("the whole topic", lambda: site.caught_up("desk-executors"), SOON_S)
    found = site.ask("SELECT reason, count(*) FROM kafka_parked GROUP BY 1")
    assert dict(found) == dict.fromkeys(poison, 2)
    assert len(site.ask("SELECT DISTINCT partition FROM kafka_parked")) > 1


def test_runs_come_through_when_an_executor_is_killed_among_them(site: Site) -> None:
    runs = [site.run_start(1.5) for _ in range(12)]
    pid, _ = walk.wait_for_step(site.desk, runs[0], "second", 1, SOON_S)
    site.executors.pop(pid).kill()
    # Until the group notices, requests on its partitions wait; they are read by the one that is left.
    runs += [site.run_start(0.2) for _ in range(8)]
    wait_until("the end of the runs", lambda: site.completed(runs), SOON_S)
    (left,) = site.executors
    assert {carrier for run in runs[12:] for _, carrier, _ in site.desk.slow_steps(run)} == {left}
    interrupted = [run for run in runs if len(site.desk.slow_steps(run)) > 2]
    assert runs[0] in interrupted
    newcomer = site.executor()
    groups = "SELECT count(*) FROM worker_heartbeats WHERE pid = %s"
    wait_until("its heartbeat", lambda: site.ask(groups, newcomer.pid)[0][0], SOON_S)


def test_the_web_accepts_runs_without_brokers_and_they_run_when_the_brokers_are_back(site: Site) -> None:
    under_way = site.run_start(6.0)
    walk.wait_for_step(site.desk, under_way, "second", 1, SOON_S)
    site.kafka.down()
    try:
        accepted = [site.run_start(0) for _ in range(5)]
        # What is under way needs no broker.
        wait_until("the run under way", lambda: site.completed([under_way]), SOON_S)
        refused = "SELECT count(*) FROM outbox_message WHERE task = 'executions.run' AND last_error <> ''"
        wait_until(
            "the reason in the outbox", lambda: site.ask(f"{refused} AND published_at IS NULL")[0][0] == 5, SOON_S
        )
        health = site.health()
        assert (health["status"], "wait in the outbox" in health["detail"]) == ("degraded", True)
        assert not site.completed(accepted[:1])
    finally:
        site.kafka.up()
    wait_until("the runs that were accepted", lambda: site.completed(accepted), SOON_S)
    told = [program.output() for program in site.desk.programs]
    assert not any("_MAX_POLL_EXCEEDED" in output for output in told), "no run keeps an executor from polling"


def test_an_executor_that_is_told_to_end_hands_over_and_another_goes_on(site: Site) -> None:
    run = site.run_start(4.0)
    pid, _ = walk.wait_for_step(site.desk, run, "second", 1, SOON_S)
    leaving = site.executors.pop(pid)
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    assert leaving.process.wait(STOPPED_WITHIN_S) == 0
    assert time.monotonic() - began < STOPPED_WITHIN_S
    assert "Stopped." in leaving.output()
    resumed_by, _ = walk.wait_for_step(site.desk, run, "second", 2, SOON_S)
    assert resumed_by in site.executors
    wait_until("the end of the run", lambda: site.completed([run]), SOON_S)


def test_the_whole_topic_read_again_runs_nothing_again(site: Site) -> None:
    wait_until("rest", site.at_rest, SOON_S)
    before = site.ask("SELECT id, status, fence, attempts FROM workflow_execution ORDER BY id")
    parked = site.ask("SELECT count(*) FROM kafka_parked")
    messages = site.ask("SELECT message_id FROM kafka_inbox ORDER BY id")
    # Half of the rows know their message; for the other half only the claims can tell.
    site.ask("DELETE FROM kafka_inbox WHERE id %% 2 = 0 AND %s", True)
    kept = {row for (row,) in site.ask("SELECT id FROM kafka_inbox")}
    site.executor("--group", "again")
    wait_until("the whole topic", lambda: site.caught_up("again"), SOON_S)
    wait_until("rest", site.at_rest, SOON_S)
    # Rows of the executor that was killed stay as it left them.
    open_ = "SELECT 1 FROM kafka_inbox WHERE done_at IS NULL AND NOT id = ANY(%s)"
    wait_until("all requests", lambda: not site.ask(open_, sorted(kept)), SOON_S)
    assert sorted(site.ask("SELECT message_id FROM kafka_inbox")) == sorted(messages)
    anew = [outcome for key, outcome in site.ask("SELECT id, outcome FROM kafka_inbox") if key not in kept]
    assert anew == ["not_ours"] * (len(messages) - len(kept))
    assert len(anew) > 10
    assert site.ask("SELECT id, status, fence, attempts FROM workflow_execution ORDER BY id") == before
    assert site.ask("SELECT count(*) FROM kafka_parked") == parked


def test_an_executor_ends_in_time_without_brokers_too(site: Site) -> None:
    pid = next(iter(site.executors))
    site.kafka.down()
    try:
        os.kill(pid, signal.SIGTERM)
        assert site.executors.pop(pid).process.wait(STOPPED_WITHIN_S) == 0
    finally:
        site.kafka.up()
