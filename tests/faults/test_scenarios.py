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
from collections.abc import Iterable, Iterator

import pytest

from tests.faults.cluster import Cluster
from tests.faults.sizes import SIZES
from tests.support.desk import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("faults")]

CONNECTIONS_MAX = 60


@contextlib.contextmanager
def stopped(pids: Iterable[int]) -> Iterator[None]:
    """Let these processes stand still; they go on whatever happens."""
    found = list(pids)
    for pid in found:
        os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            os.killpg(pid, signal.SIGCONT)


def test_runs_come_through_killed_workers(cluster: Cluster) -> None:
    chance = random.Random(7)
    with cluster.scenario("workers killed", seconds=120) as figures:
        each = -(-SIZES.runs_killed_under // SIZES.kills)
        started, hits = list[str](), list[tuple[float, list[str]]]()
        for _ in range(SIZES.kills):
            batch = cluster.start(each, wait=1.0)
            started += batch
            cluster.wait_for_step(batch[0], "second", 60)
            time.sleep(chance.uniform(0, 0.5))
            hits.append(cluster.kill(chance.choice(list(cluster.workers.values()))))
            cluster.worker()
            cluster.wait_for_workers()
        cluster.wait_for("completed", started, 120)
        figures.kills = len(hits)
        figures.recoveries = [seconds for at, hit in hits for seconds in cluster.gone_on(hit, at)]
    assert figures.recoveries, "no run was hit"


def test_a_worker_that_stood_still_writes_nothing_when_it_wakes(cluster: Cluster) -> None:
    with cluster.scenario("worker stopped and woken", seconds=60) as figures:
        (run,) = cluster.start(1, wait=2.0)
        pid = cluster.wait_for_step(run, "second")
        at = time.time()
        figures.kills = 1
        woken_at = time.monotonic() + SIZES.stopped_s
        with stopped([pid]):
            cluster.wait_for("completed", [run], 60)
            figures.recoveries = cluster.gone_on([run], at)
            time.sleep(max(0.0, woken_at - time.monotonic()))
        refused = "SELECT 1 FROM workflow_execution WHERE id = %s AND stale_writes > 0"
        wait_until("the refusal", lambda: cluster.ask(refused, run), 20)

        def carries_again() -> bool:
            (later,) = cluster.start(1, wait=0)
            cluster.wait_for("completed", [later], 20)
            return bool(cluster.ask("SELECT 1 FROM fault_mark WHERE execution_id = %s AND pid = %s", later, pid))

        wait_until("a later run on it", carries_again, 60)
    assert figures.refused >= 1


def test_what_a_redis_without_a_memory_forgot_is_done_all_the_same(cluster: Cluster) -> None:
    cluster.workflow("light", [{"name": "only", "type": "marked", "config": {"seconds": 0}}])
    with cluster.scenario("broker killed, queue forgotten", seconds=120) as figures:
        with stopped(cluster.workers):
            forgotten = cluster.start(SIZES.queued, "light")
            # The workers stand still, and with them their relays; this one brings all messages to Redis, however many.
            sent = "SELECT 1 FROM outbox_message WHERE published_at IS NULL LIMIT 1"
            relay = cluster.desk.manage("relay", RELAY_AHEAD="1000000")
            wait_until("all messages sent", lambda: not cluster.ask(sent), 300)
            relay.kill()
            cluster.redis.kill()
            figures.kills = 1
        accepted = cluster.start(3, wait=0)
        time.sleep(2)
        at = time.time()
        cluster.redis.start()
        cluster.wait_for("completed", [*accepted, *forgotten], 800)
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
        cluster.wait_for_workers()
    assert "adds up" in cluster.desk.run("rebuild_positions", "--check")
    assert len(cluster.ask("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")) < CONNECTIONS_MAX
