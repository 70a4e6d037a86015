"""Web and two separate Celery workers on PostgreSQL and Redis."""

import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from tests.e2e import sockets, walk
from tests.support.desk import Desk, Program, desk

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("e2e")]

RESUMED_WITHIN_S = 10.0


@dataclass
class Cluster:
    desk: Desk
    web: Program
    workers: dict[int, Program]


def with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A database of this test's own, in the server of the suite."""
    server = os.environ["TEST_DATABASE_URL"]
    name = f"desk_e2e_{secrets.token_hex(4)}"
    with psycopg.connect(server.replace("postgres://", "postgresql://", 1), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield with_path(server, name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def cluster(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    # Not the database number that the in-process tests use.
    env = {"DATABASE_URL": database, "REDIS_URL": with_path(os.environ["TEST_REDIS_URL"], "9")}
    with desk(Path(tmp_path_factory.mktemp("cluster")), env) as one:
        one.run("setup")
        uvicorn = (sys.executable, "-m", "uvicorn", "tradingsite.asgi:application", "--lifespan", "off")
        uvicorn += ("--ws", "tradingsite.common.live.protocol:DeskProtocol", "--ws-per-message-deflate", "false")
        web = one.start("web", *uvicorn, "--host", "127.0.0.1", "--port", str(one.port), "--log-level", "warning")
        workers = [one.worker("one"), one.worker("two")]
        one.wait_until_up(web)
        yield Cluster(one, web, {worker.pid: worker for worker in workers})


def test_the_readmes_calls_come_to_the_same_figures_on_servers(cluster: Cluster) -> None:
    with cluster.desk.client() as client:
        cash = Decimal(walk.get(client, "/api/portfolio")["cash"])
        assert cash == 100_000
        run = walk.walk(cluster.desk)
        walk.assert_bought_by_hand(client, run, cash)


def test_the_other_worker_goes_on_within_ten_seconds_when_one_is_killed_in_a_step(cluster: Cluster) -> None:
    with cluster.desk.client() as client:
        run = walk.slow_run_start(client, "FB", 4)
        pid, _ = walk.wait_for_step(cluster.desk, run, "second", 1, 20)
        killed = cluster.workers[pid]
        killed.kill()
        # The wait is the promise: it fails when the step has not begun again by then.
        resumed_by, _ = walk.wait_for_step(cluster.desk, run, "second", 2, RESUMED_WITHIN_S)
        assert resumed_by in cluster.workers
        assert resumed_by != pid
        walk.assert_resumed_without_repeating(cluster.desk, client, run)


def test_the_web_takes_work_while_no_worker_is_there_and_one_that_comes_does_it(cluster: Cluster) -> None:
    for worker in cluster.workers.values():
        worker.kill()
    with cluster.desk.client() as client:
        run = walk.slow_run_start(client, "GOOG", 0)
        assert walk.get(client, f"/api/runs/{run}")["status"] == "pending"
        cluster.desk.worker("three")
        final = walk.get(client, f"/api/runs/{run}", wait=30)
        assert final["status"] == "completed", final
        assert [name for name, _, _ in cluster.desk.slow_steps(run)] == ["first", "second", "third"]


def test_a_program_hears_on_the_web_process_what_a_worker_does(cluster: Cluster) -> None:
    with cluster.desk.client() as client:
        sockets.listened_run(cluster.desk, client)
