"""Optimisations on real processes: over HTTP and the socket, with a worker killed in the middle, and cancelled."""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from websockets.sync.client import connect

from tests.e2e import walk
from tests.e2e.sockets import ticket
from tests.e2e.test_distributed import with_path
from tests.support.desk import Desk, Program, desk, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("e2e")]

SMALL = {"strategy_type": "momentum", "symbols": ["MSFT"], "start": "2005-01-01", "end": "2009-12-31"}
GRID = {"lookback": list(range(2, 102)), "threshold": [n / 100 for n in range(400)], "exit_threshold": [0.0]}
LARGE = {**SMALL, "param_grid": GRID}
STOPS_WITHIN_S = 2.0
PATIENCE_S = 120.0


@dataclass
class Cluster:
    desk: Desk
    client: httpx.Client
    workers: dict[str, Program]
    database: str

    def start(self, body: dict[str, Any]) -> str:
        answer = walk.post(self.client, "/api/optimize/strategy", body, 200)
        assert answer["status"] == "running"
        return str(answer["job_id"])

    def look(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = walk.get(self.client, f"/api/optimize/{job}")
        return found

    def ended(self, job: str) -> dict[str, Any]:
        def over() -> dict[str, Any] | None:
            found = self.look(job)
            return found if found["status"] not in ("queued", "running") else None

        found: dict[str, Any] = wait_until(f"the end of {job}", over, PATIENCE_S)
        return found

    def chunks(self, job: str) -> list[tuple[Any, ...]]:
        """Return (index, status, worker, attempts) of each chunk."""
        with psycopg.connect(self.database.replace("postgres://", "postgresql://", 1)) as database:
            return database.execute(
                'SELECT "index", status, worker, attempts FROM optimization_chunk WHERE job_id = %s ORDER BY "index"',
                [job],
            ).fetchall()

    def worker(self, name: str) -> None:
        self.workers[name] = self.desk.worker(name)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    server = os.environ["TEST_DATABASE_URL"]
    name = f"desk_e2e_{secrets.token_hex(4)}"
    url = with_path(server, name)
    env = {"DATABASE_URL": url, "REDIS_URL": with_path(os.environ["TEST_REDIS_URL"], "11")}
    with psycopg.connect(server.replace("postgres://", "postgresql://", 1), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            with desk(Path(tmp_path_factory.mktemp("optimize")), env) as one:
                one.run("setup")
                uvicorn = (sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--lifespan", "off")
                uvicorn += (
                    "--ws",
                    "tradingsite.common.live.protocol:DeskProtocol",
                    "--ws-per-message-deflate",
                    "false",
                )
                web = one.start("web", *uvicorn, "--host", "127.0.0.1", "--port", str(one.port))
                workers = {each: one.worker(each) for each in ("first", "second")}
                one.wait_until_up(web)
                with one.client() as client:
                    yield Cluster(one, client, workers, url)
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_progress_is_heard_on_the_socket_up_to_the_end_and_may_be_asked_for_again(cluster: Cluster) -> None:
    address = f"{cluster.desk.url.replace('http', 'ws')}/ws/optimize"
    with connect(f"{address}?ticket={ticket(cluster.client)}") as feed:
        hello = json.loads(feed.recv(timeout=PATIENCE_S))
        assert hello["type"] == "hello"
        job = cluster.start(SMALL)
        heard: list[dict[str, Any]] = []
        while not heard or heard[-1]["status"] != "complete":
            message = json.loads(feed.recv(timeout=PATIENCE_S))
            if message.get("job_id") == job:
                heard.append(message)
        feed.send(json.dumps({"type": "replay", "after": hello["seq"]}))
        again = [json.loads(feed.recv(timeout=PATIENCE_S)) for _ in heard]
    assert again == heard
    assert {"job_id", "combo", "total", "fold", "n_folds", "status"} <= heard[-1].keys()
    combos = [message["combo"] for message in heard]
    assert combos == sorted(combos)
    assert (combos[0], combos[-1], heard[-1]["total"]) == (0, 18, 18)


def test_a_killed_worker_s_chunk_is_redone_by_another_and_changes_no_figure(cluster: Cluster) -> None:
    unharmed = cluster.ended(cluster.start(LARGE))
    assert unharmed["status"] == "complete", unharmed["error"]

    job = cluster.start(LARGE)
    victim = cluster.workers.pop("first")

    def holds() -> bool:
        return any(status == "running" and who.startswith("first@") for _, status, who, _ in cluster.chunks(job))

    def caught() -> bool:
        """Hold the worker still; if it has a chunk now, it has it for good."""
        if not holds():
            return False
        os.killpg(victim.pid, signal.SIGSTOP)
        if holds():
            return True
        os.killpg(victim.pid, signal.SIGCONT)
        return False

    wait_until("a chunk of the first worker", caught, PATIENCE_S)
    victim.kill()
    harmed = cluster.ended(job)

    assert harmed["status"] == "complete", harmed["error"]
    chunks = cluster.chunks(job)
    assert {status for _, status, _, _ in chunks} == {"done"}
    redone = [(who, attempts) for _, _, who, attempts in chunks if attempts > 1]
    assert redone
    assert all(who.startswith("second@") for who, _ in redone)
    for name in ("results", "best_params", "folds", "verdict", "walk_forward", "overfitting", "sensitivity"):
        assert harmed[name] == unharmed[name], name
    cluster.worker("third")


def test_a_cancelled_job_stops_within_two_seconds_and_keeps_what_is_done(cluster: Cluster) -> None:
    job = cluster.start(LARGE)
    wait_until("the first chunk", lambda: any(status == "done" for _, status, _, _ in cluster.chunks(job)), PATIENCE_S)

    answer = cluster.client.delete(f"/api/optimize/{job}")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    deadline = time.monotonic() + STOPS_WITHIN_S
    *_, gathering = cluster.chunks(job)
    while any(status == "running" and index != gathering[0] for index, status, _, _ in cluster.chunks(job)):
        assert time.monotonic() < deadline, cluster.chunks(job)

    def gathered() -> dict[str, Any] | None:
        found = cluster.look(job)
        return found if found.get("results") else None

    found = wait_until("what is done", gathered, PATIENCE_S)
    assert found["status"] == "cancelled"
    assert found["partial"] is True
    assert 0 < found["evaluated"] < found["total_combinations"]
    table = cluster.client.get(f"/api/optimize/{job}/matrix.csv")
    assert len(table.text.splitlines()) == found["evaluated"] + 1
