"""What is promised of runs, while workers, the broker and the database die under them.

Every scenario ends with the desk at rest and the same questions: is each accepted run ended once and rightly, did
nothing complete happen twice, did what was hit go on within ten seconds? The broker of this desk delivers each message
three times all along.
"""

import contextlib
import os
import random
import signal
import time

import pytest

from tests.faults.cluster import Cluster
from tests.faults.sizes import SIZES
from tests.support.desk import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("faults")]

CONNECTIONS_MAX = 60


def test_runs_come_through_killed_workers(cluster: Cluster) -> None:
    chance = random.Random(7)
    with cluster.scenario("workers killed", seconds=120) as figures:
        # Kept short of what the workers can carry: a queue's length is not a recovery's.
        left = SIZES.runs_killed_under
        for _ in range(SIZES.kills):
            batch = min(left, max(1, SIZES.runs_killed_under // SIZES.kills))
            left -= batch
            started = cluster.start(batch, wait=1.0)
            cluster.wait_for_step(started[0], "second")
            time.sleep(chance.uniform(0, 0.5))
            at, hit = cluster.kill(chance.choice(list(cluster.workers.values())))
            cluster.worker()
            figures.kills += 1
            cluster.wait_for("completed", started, 60)
            figures.recoveries += cluster.gone_on(hit, at)
        cluster.wait_for_workers()
    assert figures.recoveries, "no run was hit"


def test_a_worker_that_stood_still_writes_nothing_when_it_wakes(cluster: Cluster) -> None:
    with cluster.scenario("worker stopped and woken", seconds=60) as figures:
        (run,) = cluster.start(1, wait=2.0)
        pid = cluster.wait_for_step(run, "second")
        at = time.time()
        os.killpg(pid, signal.SIGSTOP)
        figures.kills = 1
        woken_at = time.monotonic() + SIZES.stopped_s
        cluster.wait_for("completed", [run], 30)
        figures.recoveries = cluster.gone_on([run], at)
        time.sleep(max(0.0, woken_at - time.monotonic()))
        os.killpg(pid, signal.SIGCONT)
        refused = "SELECT 1 FROM workflow_execution WHERE id = %s AND stale_writes > 0"
        wait_until("the refusal", lambda: cluster.ask(refused, run), 20)

        def carries_again() -> bool:
            (later,) = cluster.start(1, wait=0)
            cluster.wait_for("completed", [later], 20)
            return bool(cluster.ask("SELECT 1 FROM fault_mark WHERE execution_id = %s AND pid = %s", later, pid))

        wait_until("a later run on it", carries_again, 60)
    assert figures.refused >= 1


def test_what_a_redis_without_a_memory_forgot_is_done_all_the_same(cluster: Cluster) -> None:
    with cluster.scenario("broker killed, queue forgotten", seconds=420) as figures:
        for pid in cluster.workers:
            os.killpg(pid, signal.SIGSTOP)
        forgotten = cluster.start(SIZES.queued, wait=0)
        sent = "SELECT 1 FROM outbox_message WHERE published_at IS NULL LIMIT 1"
        # The workers stand still and web does not relay: half of the messages must reach Redis to be forgotten.
        relay = cluster.desk.manage("relay")
        wait_until("all messages sent", lambda: not cluster.ask(sent), 60)
        relay.kill()
        cluster.redis.kill()
        figures.kills = 1
        for pid in cluster.workers:
            os.killpg(pid, signal.SIGCONT)
        accepted = cluster.start(3, wait=0)
        time.sleep(2)
        at = time.time()
        cluster.redis.start()
        cluster.wait_for("completed", [*accepted, *forgotten], 400)
        # The first ones say when the desk goes on; how long the rest takes is its throughput.
        figures.recoveries = sorted(cluster.gone_on(forgotten, at))[: len(cluster.workers) * 2]
        figures.note = f"{len(forgotten)} forgotten runs were done {time.time() - at:.1f} s after the broker was back"


def test_every_process_outlives_a_crash_of_the_database(cluster: Cluster) -> None:
    with cluster.scenario("database crashed", seconds=120) as figures:
        for _ in range(SIZES.restarts):
            before = cluster.start(6, wait=1.0)
            cluster.wait_for_step(before[0], "second")
            cluster.postgres.kill()
            figures.kills += 1
            time.sleep(2)
            at = time.time()
            cluster.postgres.start()
            running = [run for run, status in cluster.statuses(before).items() if status == "running"]

            def taken() -> list[str]:
                with contextlib.suppress(AssertionError):
                    return cluster.start(1)
                return []

            after = wait_until("a run taken", taken, 30)
            cluster.wait_for("completed", [*before, *after], 60)
            figures.recoveries += cluster.gone_on(running, at)
        alive = "SELECT count(*) FROM worker_heartbeats WHERE last_seen > now() - interval '4 s'"
        wait_until("the heartbeat of each worker", lambda: cluster.ask(alive)[0][0] >= len(cluster.workers), 30)
    assert "adds up" in cluster.desk.run("rebuild_positions", "--check")
    assert len(cluster.ask("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")) < CONNECTIONS_MAX
