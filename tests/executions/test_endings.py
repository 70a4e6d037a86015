"""What follows the end of a run: noted with it, done once for all, and no harm if done twice."""

import json
import threading
from typing import Any

import pytest
from celery import states
from celery.result import AsyncResult
from django.db import connections
from django.utils import timezone
from django_celery_results.models import TaskResult

from executions import endings, fence, watchdog
from executions.models import RunEnding, WorkflowExecution
from executions.services import execution_cancel, execution_retry
from tests.executions.conftest import Trials
from tests.executions.test_fence import expire
from tests.executions.test_running import fail

pytestmark = pytest.mark.django_db


def rows() -> dict[str, TaskResult]:
    return {row.task_id: row for row in TaskResult.objects.all()}


def test_each_way_to_end_is_noted_in_the_transaction_of_the_end(trials: Trials) -> None:
    done = trials.carry(trials.create("one"))
    trials.acts["two"] = fail
    failed = trials.carry(trials.create("one", "two"))
    waiting = trials.create("one")
    execution_cancel(actor=trials.actor, execution=waiting)
    poison = trials.create("one")
    fence.claim(poison.pk, "one")
    expire(poison)
    WorkflowExecution.objects.filter(pk=poison.pk).update(attempts=5)
    watchdog.tick()
    noted = dict(RunEnding.objects.values_list("execution_id", "status"))
    assert noted == {done.pk: "completed", failed.pk: "failed", waiting.pk: "cancelled", poison.pk: "failed"}


def test_a_run_that_still_waits_or_runs_is_not_noted(trials: Trials) -> None:
    trials.create("one")
    fence.claim(trials.create("one").pk, "worker")
    assert not RunEnding.objects.exists()


def test_celerys_own_reader_finds_how_each_task_ended(trials: Trials) -> None:
    done = trials.carry(trials.create({"name": "one", "config": {"number": 7}}), worker="w1@host")
    trials.acts["two"] = fail
    failed = trials.carry(trials.create("one", "two"))
    waiting = trials.create("one")
    execution_cancel(actor=trials.actor, execution=waiting)
    assert endings.settle() == 3
    assert not RunEnding.objects.exists()

    success = AsyncResult(done.task_id)
    assert (success.status, success.result) == (states.SUCCESS, trials.again(done).results)
    assert AsyncResult(failed.task_id).status == states.FAILURE
    assert type(AsyncResult(failed.task_id).result).__name__ == "NEVER"
    assert "it will never do" in str(AsyncResult(failed.task_id).result)
    assert AsyncResult(waiting.task_id).status == states.REVOKED

    row = rows()[done.task_id]
    assert (row.task_name, json.loads(row.task_args), row.worker) == ("executions.run", [str(done.pk)], "w1@host")
    ended = trials.again(done)
    assert (row.date_created, row.date_started, row.date_done) == (
        ended.created_at,
        ended.started_at,
        ended.completed_at,
    )


def test_a_retried_run_leaves_a_row_for_each_of_its_tasks(trials: Trials) -> None:
    trials.acts["two"] = fail
    run = trials.carry(trials.create("one", "two"))
    first = run.task_id
    execution_retry(actor=trials.actor, execution=run)
    trials.acts.clear()
    run = trials.carry(run)
    # Both ends wait for the same round.
    endings.settle()
    assert {task: row.status for task, row in rows().items()} == {first: states.FAILURE, run.task_id: states.SUCCESS}
    assert "NEVER" in rows()[first].result


def test_settling_twice_changes_nothing(trials: Trials) -> None:
    run = trials.carry(trials.create("one"))
    note: dict[str, Any] = RunEnding.objects.values().get()
    endings.settle()
    before = TaskResult.objects.values().get()
    RunEnding.objects.create(**note)
    assert endings.settle() == 1
    assert TaskResult.objects.values().get() == before
    assert trials.again(run).status == "completed"


def test_a_follower_that_fails_keeps_the_notes_for_the_next_round(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials.carry(trials.create("one"))

    def broken(_: Any) -> None:
        raise RuntimeError("the table is away")

    with monkeypatch.context() as patch:
        patch.setattr(endings, "FOLLOWERS", (*endings.FOLLOWERS, broken))
        with pytest.raises(RuntimeError):
            endings.settle()
    assert RunEnding.objects.count() == 1
    assert not TaskResult.objects.exists()
    assert endings.settle() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_that_settle_at_once_share_the_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(endings, "BATCH", 5)
    RunEnding.objects.bulk_create(
        RunEnding(execution_id=f"00000000-0000-7000-8000-{n:012}", task_id=f"t{n}", status="failed", run_created_at=now)
        for n in range(40)
    )
    taken: list[str] = []
    together = threading.Barrier(2)

    def follow(batch: Any) -> None:
        taken.extend(note.task_id for note in batch)

    monkeypatch.setattr(endings, "FOLLOWERS", (follow,))

    def work() -> None:
        together.wait()
        endings.settle()
        connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(taken) == sorted(f"t{n}" for n in range(40))
