"""What takes minutes: a step that kills each worker it meets, and workers whose pool is made of processes."""

import os
import signal
import time

import pytest

from tests.faults.cluster import STEPS, Cluster
from tests.support.desk import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("faults")]

DEADLY = [
    {"name": "first", "type": "marked", "config": {"seconds": 0}},
    {"name": "buy", "type": "buy_one", "config": {}},
    {"name": "second", "type": "deadly", "config": {}},
    {"name": "third", "type": "marked", "config": {"seconds": 0}},
]


def test_a_step_that_kills_its_workers_ends_after_five_of_them_and_its_neighbours_come_through(
    cluster: Cluster,
) -> None:
    cluster.workflow("deadly", DEADLY)
    with cluster.scenario("poison step", seconds=60) as figures:
        (poison,) = cluster.start(1, "deadly", ends=("failed",))
        neighbours = cluster.start(12, wait=0.5)

        def over() -> bool:
            figures.kills += cluster.tend()
            return cluster.statuses([poison])[poison] == "failed"

        wait_until("the end of the poison", over, 180)
        figures.kills += cluster.tend()
        cluster.wait_for("completed", neighbours, 90)
        cluster.wait_for_workers()
    assert figures.kills == 5
    code = "SELECT error_code, attempts FROM workflow_execution WHERE id = %s"
    assert cluster.ask(code, poison) == [("ATTEMPTS_EXHAUSTED", 5)]
    (alerts,) = cluster.ask("SELECT count(*) FROM alert_event WHERE message LIKE %s", f"%{poison}%")
    assert alerts == (1,)
    begun = "SELECT step, count(*) FROM fault_mark WHERE execution_id = %s GROUP BY 1 ORDER BY 1"
    assert cluster.ask(begun, poison) == [("first", 1), ("second", 5)]


def test_a_pool_of_processes_loses_one_and_its_run_goes_on(cluster: Cluster) -> None:
    """The desk's workers are pools of threads; a process of a prefork pool is lost and found all the same."""
    cluster.workflow("in processes", STEPS)
    for program in list(cluster.workers.values()):
        cluster.kill(program)
    # Celery takes `prefork` for "nothing said" and keeps to the settings; its other name means it.
    worker = cluster.worker("processes")
    with cluster.scenario("prefork: pool process killed", seconds=90) as figures:
        for _ in range(3):
            runs = cluster.start(2, "in processes", wait=2.0)
            child = cluster.wait_for_step(runs[0], "second", 60)
            assert child != worker.pid, "the step runs in a process of the pool"
            at = time.time()
            os.kill(child, signal.SIGKILL)
            figures.kills += 1
            cluster.wait_for("completed", runs, 60)
            figures.recoveries += cluster.gone_on([runs[0]], at)
        assert worker.process.poll() is None
    assert len(figures.recoveries) == figures.kills
    cluster.kill(worker)
    cluster.worker()
    cluster.worker()
    cluster.wait_for_workers()
