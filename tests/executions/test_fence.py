"""Who may write to a run: one worker at a time, and nobody from the past."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now

from executions import fence
from executions.errors import HandOver, LeaseLost, RunCancelled, StepTimedOut
from executions.fence import RUNS, Claim, claim, fenced, renew
from executions.leases import Lease
from executions.ledger import STEPS, RunLedger
from executions.models import StepExecution, WorkflowExecution
from executions.payloads import checked_output
from executions.runner import run_execution
from executions.services import execution_cancel, execution_retry
from tests.executions.conftest import Trials
from tradingsite.common import lifecycle
from tradingsite.common.contracts.steps import StepContext, StepInterrupted, StepResult


def expire(execution: WorkflowExecution) -> None:
    WorkflowExecution.objects.filter(pk=execution.pk).update(lease_until=Now() - timedelta(seconds=1))


def taken(execution: WorkflowExecution, worker: str = "one") -> Claim:
    held = claim(execution.pk, worker)
    assert held is not None
    return held


@pytest.mark.django_db
def test_a_claimed_run_is_nobody_elses_until_its_lease_runs_out(trials: Trials) -> None:
    run = trials.create()
    first = taken(run)
    assert claim(run.pk, "two") is None
    expire(run)
    second = taken(run, "two")
    assert second.fence == first.fence + 1
    assert trials.again(run).attempts == 2
    assert trials.again(run).lease_owner == "two"


@pytest.mark.django_db
def test_a_renewed_lease_keeps_others_away(trials: Trials) -> None:
    run = trials.create()
    held = taken(run)
    expire(run)
    assert renew(held), "nobody took it meanwhile"
    assert claim(run.pk, "two") is None


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_an_ended_run_cannot_be_claimed(trials: Trials, status: str) -> None:
    run = trials.create()
    WorkflowExecution.objects.filter(pk=run.pk).update(status=status, completed_at=Now())
    assert claim(run.pk, "one") is None


@pytest.mark.django_db
def test_a_run_that_used_its_attempts_up_cannot_be_claimed(trials: Trials) -> None:
    run = trials.create()
    WorkflowExecution.objects.filter(pk=run.pk).update(attempts=5)
    assert claim(run.pk, "one") is None


@pytest.mark.django_db
def test_a_late_writer_is_refused_and_counted_and_changes_nothing(trials: Trials) -> None:
    run = trials.create()
    held = taken(run)
    late = RunLedger(held, held.run, STEPS.all(run.pk))
    late.step_start(late.steps[0])
    expire(run)
    taken(run, "two")
    with pytest.raises(LeaseLost):
        late.step_complete(late.steps[0], checked_output(StepResult({"number": 666})), logs=[])
    with pytest.raises(LeaseLost):
        late.finish("completed")
    with pytest.raises(LeaseLost), fenced(late.held, progress=99):
        pass
    assert not renew(late.held)
    after = trials.again(run)
    assert (after.status, after.progress, after.stale_writes) == ("running", 0, 3)
    assert trials.steps(run)[0].output is None


@pytest.mark.django_db(transaction=True)
def test_a_step_that_outlives_its_lease_writes_nothing_and_its_successor_finishes(trials: Trials) -> None:
    run = trials.create("one", "two")

    def overtaken(context: StepContext) -> StepResult:
        if context.attempt == 1:
            # The late one is alive and renews its lease, so that the successor may find it kept once or twice.
            for _ in range(10):
                expire(run)
                second = threading.Thread(target=in_thread, args=(lambda: trials.carry(run, "two"),))
                second.start()
                second.join(20)
                if trials.again(run).attempts == 2:
                    break
            return StepResult({"by": "the late one"})
        return StepResult({"by": "the second"})

    trials.acts["one"] = overtaken
    after = trials.carry(run, "one")
    assert after.status == "completed"
    assert trials.steps(run)[0].output == {"by": "the second"}
    assert trials.begun == ["one", "one", "two"]
    assert after.stale_writes >= 1


def in_thread(work: Callable[[], Any]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def lease(**seen: Any) -> Lease:
    one = Lease(Claim(None, 1, "one", time.monotonic(), None))  # type: ignore[arg-type]
    for name, value in seen.items():
        setattr(one, name, value)
    return one


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"lost": True, "cancelled": True}, LeaseLost),
        ({"cancelled": True}, RunCancelled),
        ({"deadline": 0.0}, StepTimedOut),
        ({"renewed": -1e9}, LeaseLost),
    ],
)
def test_a_check_says_why_the_step_must_stop(seen: dict[str, Any], reason: type[Exception]) -> None:
    with pytest.raises(reason):
        lease(**seen).check()
    assert issubclass(reason, StepInterrupted)


def test_a_check_in_a_stopping_process_asks_to_hand_over() -> None:
    lease().check()
    lifecycle.stopping.set()
    try:
        with pytest.raises(HandOver):
            lease().check()
    finally:
        lifecycle.stopping.clear()


def test_a_lease_that_could_not_be_renewed_counts_as_lost_before_anybody_else_may_have_it() -> None:
    held = Claim(None, 1, "one", time.monotonic() - fence.LEASE.total_seconds() - 0.1, None)  # type: ignore[arg-type]
    with pytest.raises(LeaseLost):
        Lease(held).check()


WORKERS = 6


def claims_at_once(run: WorkflowExecution, take: Callable[[str], bool]) -> int:
    """Let WORKERS threads take the run at the same moment and return how many believe that they have it."""
    start, wins = threading.Barrier(WORKERS), []

    def work(name: str) -> None:
        start.wait(10)
        if take(name):
            wins.append(name)

    threads = [threading.Thread(target=in_thread, args=(lambda n=n: work(f"worker {n}"),)) for n in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return len(wins)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("expired", [False, True])
def test_of_many_workers_with_the_same_message_one_gets_the_run(trials: Trials, expired: bool) -> None:
    for _ in range(5):
        run = trials.create()
        if expired:
            taken(run, "dead")
            expire(run)
        assert claims_at_once(run, lambda name, run=run: claim(run.pk, name) is not None) == 1  # type: ignore[misc]
        assert trials.again(run).fence == 1 + expired


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_control_looking_first_and_writing_then_gives_the_run_to_several(trials: Trials) -> None:
    run = trials.create()
    looked = threading.Barrier(WORKERS)

    def naive(name: str) -> bool:
        found = WorkflowExecution.objects.get(pk=run.pk)
        looked.wait(10)
        if found.status != "pending":
            return False
        found.status, found.lease_owner = "running", name
        found.save(update_fields=["status", "lease_owner"])
        return True

    assert claims_at_once(run, naive) > 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_cancel_and_a_claim_at_the_same_moment_leave_a_run_that_ends(trials: Trials) -> None:
    for _ in range(5):
        run = trials.create("one")
        work: list[Callable[[], Any]] = [
            lambda run=run: trials.carry(run),  # type: ignore[misc]
            lambda run=run: execution_cancel(actor=trials.actor, execution=run),  # type: ignore[misc]
        ]
        threads = [threading.Thread(target=quietly, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert trials.again(run).status in ("completed", "cancelled")


def quietly(work: Callable[[], Any]) -> None:
    from executions.errors import ExecutionFinished

    try:
        in_thread(work)
    except ExecutionFinished:
        # The run was quicker than the wish.
        return


@pytest.mark.django_db
def test_a_step_that_its_late_worker_completes_while_another_one_claims_does_not_run_again(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trials.create("one", "two")
    late = RunLedger.claim(run.pk, "late")
    assert late is not None
    expire(run)
    read = STEPS.all

    def meanwhile(key: Any) -> list[StepExecution]:
        found = read(key)
        if late.steps[0].status == "running":
            late.step_complete(late.steps[0], checked_output(StepResult({"number": 1})), logs=[])
        return found

    monkeypatch.setattr(STEPS, "all", meanwhile)
    trials.carry(run, "two")
    assert trials.begun == ["two"]
    assert trials.statuses(run) == ["completed", "completed"]


@pytest.mark.django_db
def test_an_old_message_that_meets_a_retry_does_not_cancel_the_run_anew(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trials.create("one")
    execution_cancel(actor=trials.actor, execution=run)
    read = RUNS.first

    def meanwhile(key: Any) -> WorkflowExecution | None:
        found = read(key)
        if found is not None and found.status == "cancelled":
            execution_retry(actor=trials.actor, execution=found)
        return found

    monkeypatch.setattr(RUNS, "first", meanwhile)
    run_execution(run.pk, "with the old message")
    assert trials.again(run).status == "pending"
    assert trials.carry(run).status == "completed"
