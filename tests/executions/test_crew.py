"""The threads that carry runs: one that has ended its run takes the next, without the broker, while there is one."""

import threading
import time
from typing import Any

import pytest
from celery import current_app
from celery.worker import state
from django.db import connection

from executions import tasks
from executions.models import WorkflowExecution
from executions.services import execution_create
from tests.executions.conftest import Trials
from tests.support.desk import wait_until
from tradingsite.common import lifecycle
from tradingsite.common.contracts.steps import StepContext, StepResult
from tradingsite.common.models import OutboxMessage


@pytest.fixture
def crew(monkeypatch: pytest.MonkeyPatch) -> tasks.Crew:
    """A crew of its own, which does not wait long."""
    crew = tasks.Crew()
    monkeypatch.setattr(tasks, "crew", crew)
    monkeypatch.setattr(tasks, "LINGER_S", 0.05)
    return crew


def runs(trials: Trials, count: int, **fields: Any) -> list[WorkflowExecution]:
    strategy = trials.strategy(trials.workflow("one"))
    create = lambda: execution_create(actor=trials.actor, workflow=strategy.workflow, strategy=strategy, **fields)  # noqa: E731
    return [create() for _ in range(count)]


def called(run: WorkflowExecution) -> None:
    """Do what Celery does with the run's message."""
    OutboxMessage.objects.filter(task_id=run.task_id).update(published_at=run.created_at)
    tasks.run.run(str(run.pk))


def statuses() -> list[str]:
    return list(WorkflowExecution.objects.order_by("created_at").values_list("status", flat=True))


def test_one_message_has_all_that_waits_carried(trials: Trials, crew: tasks.Crew) -> None:
    first, *_ = runs(trials, 5)
    called(first)
    assert statuses() == ["completed"] * 5
    assert not OutboxMessage.objects.filter(published_at=None).exists()


def test_the_next_is_the_most_urgent_one_even_of_those_written_meanwhile(trials: Trials, crew: tasks.Crew) -> None:
    first, *_ = runs(trials, 3)
    order: list[Any] = []

    def act(context: StepContext) -> StepResult:
        if not order:
            runs(trials, 1, priority=5)
        order.append(context.execution_id)
        return StepResult({}, "done")

    trials.acts["one"] = act
    called(first)
    found = WorkflowExecution.objects.in_bulk(order)
    assert [found[key].priority for key in order] == [0, 5, 0, 0]


def test_a_round_ends_and_leaves_the_rest_to_the_next_message(
    trials: Trials, crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "ROUND_S", 0.0)
    first, *_ = runs(trials, 3)
    called(first)
    assert statuses() == ["completed", "pending", "pending"]


def test_a_thread_goes_back_when_another_task_waits_for_one(
    trials: Trials, crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = runs(trials, 3)
    monkeypatch.setattr(state, "reserved_requests", [object(), object()])
    monkeypatch.setattr(state, "active_requests", [object()])
    called(first)
    assert statuses() == ["completed", "pending", "pending"]


def test_a_process_that_is_to_end_takes_nothing_more(trials: Trials, crew: tasks.Crew) -> None:
    first, *_ = runs(trials, 2)

    def act(context: StepContext) -> StepResult:
        lifecycle.stopping.set()
        return StepResult({}, "done")

    trials.acts["one"] = act
    try:
        called(first)
    finally:
        lifecycle.stopping.clear()
    assert statuses() == ["completed", "pending"]


def test_a_process_without_a_worker_that_takes_runs_has_nobody_to_call(
    crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert crew.idle() is None
    monkeypatch.setattr(lifecycle, "worker_slots", 4)
    assert crew.idle() == 4
    monkeypatch.setattr(current_app.amqp.queues, "_consume_from", {"control": None})
    assert crew.idle() is None


def test_work_of_any_kind_that_was_fetched_keeps_the_relay_from_calling(
    crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "worker_slots", 4)
    for fetched, idle in ((1, 3), (4, 0), (7, 0)):
        monkeypatch.setattr(state, "reserved_requests", [object()] * fetched)
        assert crew.idle() == idle


@pytest.mark.django_db(transaction=True)
def test_one_stands_at_the_bell_and_hears_a_run_that_comes_later(
    trials: Trials, crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "worker_slots", 4)
    monkeypatch.setattr(tasks, "LINGER_S", 5.0)
    assert crew.idle() == 4
    (first,) = runs(trials, 1)

    def work() -> None:
        called(first)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until("it stands at the bell", lambda: crew.idle() == 0 and statuses() == ["completed"], 10)
        (second,) = runs(trials, 1)
        wait_until("the second is carried", lambda: trials.again(second).status == "completed", 3)
        assert OutboxMessage.objects.get(task_id=second.task_id).published_at is not None
    finally:
        lifecycle.stopping.set()
        tasks.wake.ring_all()
        thread.join(10)
        lifecycle.stopping.clear()
    assert not thread.is_alive()
    assert crew.idle() == 4


@pytest.mark.django_db(transaction=True)
def test_who_hears_the_bell_makes_way_for_the_one_behind(
    trials: Trials, crew: tasks.Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LINGER_S", 3.0)
    first, second = runs(trials, 2)
    together = threading.Barrier(2)

    def act(context: StepContext) -> StepResult:
        if context.execution_id not in (first.pk, second.pk):
            together.wait(10)
        return StepResult({}, "done")

    trials.acts["one"] = act

    def work(run: WorkflowExecution) -> None:
        called(run)
        connection.close()

    OutboxMessage.objects.all().update(published_at=first.created_at)
    threads = [threading.Thread(target=work, args=(run,)) for run in (first, second)]
    for thread in threads:
        thread.start()
    wait_until("both are done", lambda: statuses() == ["completed"] * 2, 10)
    time.sleep(0.1)
    # Each is only done while the other one is under way, so two threads have to carry them.
    runs(trials, 2)
    wait_until("both of the others are done", lambda: statuses() == ["completed"] * 4, 10)
    lifecycle.stopping.set()
    tasks.wake.ring_all()
    for thread in threads:
        thread.join(10)
    lifecycle.stopping.clear()
