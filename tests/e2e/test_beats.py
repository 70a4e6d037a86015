"""Three beats on one database: killed in turn, and the database closed to writes for a while."""

import itertools
import math
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from tests.e2e.test_distributed import database, with_path
from tests.support.desk import Desk, Program, desk, wait_until

__all__ = ["database"]

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("e2e")]

SCHEDULES = 3
KILLS, BETWEEN_KILLS_S = 4, 2.0
READ_ONLY_S = 3.0
LAG_P95_S = 1.0

CREATE = f"""
from scheduler.services import schedule_create
from tradingsite.common.actor import Actor
for number in range({SCHEDULES}):
    schedule_create(
        actor=Actor.system("test"), name=f"every second {{number}}", job_type="tradingsite.clean_up",
        schedule={{"every_s": 1}}, misfire="all", misfire_bound=1000, misfire_grace_s=60, overlap="cancel",
    )
"""


def beat(one: Desk) -> Program:
    return one.start("beat", sys.executable, "-m", "celery", "-A", "tradingsite", "beat", "-l", "WARNING")


@pytest.fixture
def beats(database: str, tmp_path: Path) -> Iterator[tuple[Desk, "psycopg.Connection[tuple[object, ...]]"]]:
    env = {"DATABASE_URL": database, "REDIS_URL": with_path(os.environ["TEST_REDIS_URL"], "9")}
    address = database.replace("postgres://", "postgresql://", 1)
    with desk(tmp_path, env) as one, psycopg.connect(address, autocommit=True) as connection:
        one.run("setup")
        one.run("shell", "-c", CREATE)
        yield one, connection


def fires(connection: "psycopg.Connection[tuple[object, ...]]") -> dict[object, list[tuple[datetime, datetime]]]:
    """Return (nominal time, when it was written) of every fire by schedule, in order."""
    found: dict[object, list[tuple[datetime, datetime]]] = {}
    rows = connection.execute("SELECT schedule_id, nominal_at, fired_at FROM schedule_fires ORDER BY nominal_at")
    for schedule, nominal, fired in rows:
        assert isinstance(nominal, datetime)
        assert isinstance(fired, datetime)
        found.setdefault(schedule, []).append((nominal, fired))
    return found


def looks(connection: "psycopg.Connection[tuple[object, ...]]", program: Program) -> None:
    """Return when this beat has said that it looks for what is due."""
    question = "SELECT count(*) FROM schedule_clock_keepers WHERE pid = %s"
    wait_until("a beat that looks", lambda: connection.execute(question, [program.pid]).fetchone() == (1,), 60)


def newest(connection: "psycopg.Connection[tuple[object, ...]]") -> datetime:
    row = connection.execute("SELECT coalesce(max(fired_at), 'epoch') FROM schedule_fires").fetchone()
    assert row is not None
    assert isinstance(row[0], datetime)
    return row[0]


def test_each_nominal_time_fires_once_while_beats_die_and_the_database_refuses_writes(
    beats: tuple[Desk, "psycopg.Connection[tuple[object, ...]]"],
) -> None:
    one, connection = beats
    running = [beat(one) for _ in range(3)]
    wait_until("the first fire", lambda: fires(connection), 60)
    for program in running:
        looks(connection, program)
    steady = newest(connection)

    for _ in range(KILLS):
        time.sleep(BETWEEN_KILLS_S)
        running.pop(0).kill()
        running.append(beat(one))
        # The next is killed only when this one looks: with no beat alive, what is late would say nothing of the others.
        looks(connection, running[-1])
    time.sleep(BETWEEN_KILLS_S)
    calm = newest(connection)

    name = connection.info.dbname
    connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    end_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    connection.execute(end_others, [name])
    closed = newest(connection)
    time.sleep(READ_ONLY_S)
    assert newest(connection) == closed
    connection.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    connection.execute(end_others, [name])
    wait_until("fires after the database took writes again", lambda: newest(connection) > closed, 30)
    time.sleep(2.0)

    by_schedule = fires(connection)
    assert len(by_schedule) == SCHEDULES
    lags = []
    for written in by_schedule.values():
        nominals = [nominal for nominal, _ in written]
        gaps = {later - earlier for earlier, later in itertools.pairwise(nominals)}
        # None twice and none left out, neither while beats died nor while nothing could be written.
        assert gaps == {timedelta(seconds=1)}, gaps
        lags += [(fired - nominal).total_seconds() for nominal, fired in written if steady < nominal < calm]
    assert len(lags) > SCHEDULES * KILLS
    p95 = sorted(lags)[math.ceil(len(lags) * 0.95) - 1]
    assert p95 <= LAG_P95_S, f"{len(lags)} fires: lag p95 {p95:.3f} s, max {max(lags):.3f} s"
