"""People who want the same at once, and who change their mind at every point of a run's life."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.e2e import walk
from tests.faults.cluster import Cluster
from tests.faults.sizes import SIZES

pytestmark = [pytest.mark.e2e, pytest.mark.postgres, pytest.mark.xdist_group("faults")]

STUMBLING = [
    {"name": "first", "type": "marked", "config": {"seconds": 0}},
    {"name": "buy", "type": "buy_one", "config": {}},
    {"name": "second", "type": "stumbling", "config": {}},
]


def at_once(cluster: Cluster, paths: Sequence[str]) -> list[httpx.Response]:
    """Post to all paths in the same moment, each from a thread and a connection of its own."""
    start = threading.Barrier(len(paths))
    headers = dict(cluster.client.headers)

    def ask(path: str) -> httpx.Response:
        with httpx.Client(base_url=cluster.client.base_url, headers=headers, timeout=120) as client:
            client.get("/health")
            start.wait(60)
            return client.post(path, json={})

    with ThreadPoolExecutor(len(paths)) as pool:
        return list(pool.map(ask, paths))


def test_of_many_retries_at_once_one_is_taken_and_each_failed_run_is_done_once(cluster: Cluster) -> None:
    cluster.workflow("stumbling", STUMBLING)
    with cluster.scenario("retries at once", seconds=60) as figures:
        failed = cluster.start(SIZES.failed_runs, "stumbling")
        cluster.wait_for("failed", failed, 120)
        wanted, *others = failed
        answers = at_once(cluster, [f"/api/runs/{wanted}/retry"] * SIZES.retries_at_once)
        assert Counter(answer.status_code for answer in answers) == {202: 1, 409: SIZES.retries_at_once - 1}
        (taken,) = [answer.json()["task_id"] for answer in answers if answer.status_code == 202]
        tasks = (
            "SELECT task_id, (SELECT count(*) FROM earlier_tasks WHERE execution_id = r.id) FROM workflow_execution r"
        )
        assert cluster.ask(f"{tasks} WHERE id = %s", wanted) == [(taken, 1)]
        again = at_once(cluster, [f"/api/runs/{run}/retry" for run in others])
        assert {answer.status_code for answer in again} <= {202}
        cluster.wait_for("completed", failed, 120)
    starts = "SELECT step, attempt, count(*) FROM fault_mark WHERE execution_id = ANY(%s::uuid[]) GROUP BY 1, 2"
    assert sorted(cluster.ask(starts, failed)) == [
        ("first", 1, len(failed)),
        ("second", 1, len(failed)),
        ("second", 2, len(failed)),
    ]
    assert figures.runs == len(failed)


CANCELLED = ("cancelled",)


def test_a_run_can_be_cancelled_in_each_state_and_nothing_comes_after(cluster: Cluster) -> None:
    def cancel(runs: Sequence[str], status: int = 202) -> None:
        for run in runs:
            walk.post(cluster.client, f"/api/runs/{run}/cancel", {}, status)

    with cluster.scenario("cancelled in each state", seconds=60) as figures:
        # Its worker is dead and nobody has noticed.
        (orphan,) = cluster.start(1, wait=30, ends=CANCELLED)
        cluster.kill(cluster.workers[cluster.wait_for_step(orphan, "second")])
        figures.kills = 1
        cluster.worker()
        cancel([orphan])

        # While it waits: the worker that is left is busy with others.
        busy = cluster.start(2, wait=2.0)
        for run in busy:
            cluster.wait_for_step(run, "second")
        waiting = cluster.start(SIZES.cancels, ends=CANCELLED)
        cancel(waiting)
        cluster.wait_for("cancelled", waiting, 10)

        # Within a step.
        within = list[str]()
        for _ in range(SIZES.cancels // 2):
            two = cluster.start(2, wait=30, ends=CANCELLED)
            for run in two:
                cluster.wait_for_step(run, "second")
            cancel(two)
            cluster.wait_for("cancelled", two, 20)
            within += two

        # It was cancelled before, and was retried.
        for run in waiting:
            walk.post(cluster.client, f"/api/runs/{run}/retry", {}, 202)
            cluster.runs[run] = ("completed",)
        cluster.wait_for("completed", [*busy, *waiting], 60)

        # It is over.
        cluster.wait_for("cancelled", [orphan], 60)
        cancel([*waiting, *within, orphan], 409)
        cluster.wait_for_workers()
    begun = "SELECT count(*) FROM fault_mark WHERE step = 'third' AND execution_id = ANY(%s::uuid[])"
    assert cluster.ask(begun, [*within, orphan]) == [(0,)]
