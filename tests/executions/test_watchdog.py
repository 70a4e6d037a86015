"""Runs whose worker died, whose message was lost, or that kill every worker."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django.db.models.functions import Now

from executions import heartbeat, watchdog
from executions.fence import claim
from executions.models import WorkerHeartbeat, WorkflowExecution
from executions.services import execution_cancel, execution_create, execution_retry
from safety.models import AlertEvent
from tests.executions.conftest import Trials
from tests.harness.services import free_port
from tradingsite.common import broker, lifecycle
from tradingsite.common.clock import utcnow
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db


@pytest.fixture
def dead(trials: Trials) -> WorkflowExecution:
    """A run whose worker died in its first step."""
    run = trials.create()
    OutboxMessage.objects.all().update(published_at=utcnow())
    assert claim(run.pk, "dead") is not None
    run.steps.filter(index=0).update(status="running", attempts=1)
    expire(run)
    return run


def expire(run: WorkflowExecution) -> None:
    WorkflowExecution.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))


def messages(run: WorkflowExecution) -> int:
    return OutboxMessage.objects.filter(task_id=run.task_id, published_at=None).count()


def test_a_run_whose_lease_ran_out_is_sent_again_once(trials: Trials, dead: WorkflowExecution) -> None:
    assert watchdog.tick() == 1
    assert messages(dead) == 1
    assert watchdog.tick() == 0, "it is on its way"
    assert OutboxMessage.objects.get(published_at=None).priority == 9, "before all that has not begun"
    assert trials.carry(dead, "two").status == "completed"
    assert [step.attempts for step in trials.steps(dead)] == [2, 1, 1]


def test_a_run_that_is_being_carried_is_left_alone(trials: Trials) -> None:
    run = trials.create()
    OutboxMessage.objects.all().update(published_at=utcnow())
    claim(run.pk, "alive")
    assert watchdog.tick() == 0
    assert trials.again(run).status == "running"


def test_a_dead_workers_late_word_is_refused_after_the_watchdog_took_its_run(dead: WorkflowExecution) -> None:
    before = WorkflowExecution.objects.get(pk=dead.pk).fence
    watchdog.tick()
    assert WorkflowExecution.objects.get(pk=dead.pk).fence > before


def test_a_dead_workers_run_that_was_to_be_cancelled_is_cancelled(trials: Trials, dead: WorkflowExecution) -> None:
    execution_cancel(actor=trials.actor, execution=dead)
    watchdog.tick()
    after = trials.again(dead)
    assert after.status == "cancelled"
    assert after.completed_at is not None
    assert set(trials.statuses(dead)) == {"cancelled"}
    assert messages(dead) == 0


def test_a_run_that_kills_every_worker_fails_after_five_attempts_and_raises_an_alert(
    trials: Trials, dead: WorkflowExecution
) -> None:
    for attempt in range(2, 6):
        watchdog.tick()
        assert claim(dead.pk, f"victim {attempt}") is not None
        expire(dead)
    watchdog.tick()
    after = trials.again(dead)
    assert (after.status, after.error_code, after.attempts) == ("failed", "ATTEMPTS_EXHAUSTED", 5)
    (alert,) = AlertEvent.objects.filter(kind="execution_failed")
    assert alert.severity == "critical"
    assert str(dead.pk) in alert.message
    watchdog.tick()
    assert AlertEvent.objects.count() == 1
    execution_retry(actor=trials.actor, execution=after)
    assert trials.carry(dead).status == "completed", "a person may give it another five"


Queue = Callable[[int | None], None]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Return a setter of how many messages lie in the broker's queue."""
    return lambda count: monkeypatch.setattr(watchdog.broker, "waiting", lambda name: count)


@pytest.mark.parametrize(
    ("in_queue", "runs", "waited", "called"),
    [
        (0, 1, timedelta(seconds=2), 0),
        (0, 1, timedelta(seconds=4), 1),
        (0, 250, timedelta(seconds=4), 250),
        (1, 2, timedelta(seconds=4), 0),
        (1, 2, timedelta(seconds=31), 2),
        (2, 2, timedelta(seconds=31), 0),
        (2, 2, timedelta(minutes=11), 2),
        (None, 2, timedelta(seconds=29), 0),
        (None, 2, timedelta(seconds=31), 2),
    ],
)
def test_a_waiting_run_is_called_for_again_by_what_the_queue_still_holds(
    trials: Trials, queue: Queue, in_queue: int | None, runs: int, waited: timedelta, called: int
) -> None:
    strategy = trials.strategy(trials.workflow("one"))
    for _ in range(runs):
        execution_create(actor=trials.actor, workflow=strategy.workflow, strategy=strategy)
    OutboxMessage.objects.all().update(published_at=utcnow() - waited)
    WorkflowExecution.objects.all().update(queued_at=utcnow() - waited)
    queue(in_queue)
    assert watchdog.tick() == called
    waiting = OutboxMessage.objects.filter(published_at=None)
    assert waiting.count() == waiting.values("task_id").distinct().count() == called
    assert watchdog.tick() == 0, "each is on its way"


def test_a_run_whose_message_a_worker_has_just_taken_is_not_called_for_again(trials: Trials, queue: Queue) -> None:
    run = trials.create("one")
    age(run)
    queue(0)
    OutboxMessage.objects.update(published_at=utcnow() - timedelta(seconds=1))
    assert watchdog.tick() == 0
    OutboxMessage.objects.update(published_at=utcnow() - watchdog.NOTICED_AFTER)
    assert watchdog.tick() == 1


def test_a_queue_that_cannot_be_asked_says_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broker.waiting("a queue that nobody declared") == 0
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(current_app.conf, "broker_read_url", nobody)
    assert broker.waiting("runs") is None


def test_a_waiting_run_whose_message_was_not_published_yet_is_not_sent_twice(trials: Trials) -> None:
    run = trials.create()
    age(run)
    assert watchdog.tick() == 0
    assert messages(run) == 1


def test_a_run_that_was_cancelled_while_it_waited_for_another_worker_leaves_no_step_under_way(
    trials: Trials, dead: WorkflowExecution
) -> None:
    watchdog.tick()
    execution_cancel(actor=trials.actor, execution=dead)
    assert set(trials.statuses(dead)) == {"cancelled"}


def age(run: WorkflowExecution) -> None:
    WorkflowExecution.objects.filter(pk=run.pk).update(queued_at=utcnow() - watchdog.LOST_AFTER - timedelta(seconds=1))


def test_a_start_with_a_broker_in_memory_sends_all_waiting_runs_again(trials: Trials) -> None:
    runs = [trials.create() for _ in range(3)]
    OutboxMessage.objects.all().update(published_at=utcnow())
    assert watchdog.requeue_pending() == 3
    assert [messages(run) for run in runs] == [1, 1, 1]


def test_the_command_does_one_round(dead: WorkflowExecution, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("executions_reap")
    assert "1 runs" in capsys.readouterr().out
    assert messages(dead) == 1


def test_a_worker_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "worker_name", "trial@here")
    heartbeat.beat()
    heartbeat.beat()
    (row,) = WorkerHeartbeat.objects.all()
    assert row.name.startswith("trial@here:")
    assert row.pid > 0
    assert row.active == 0


def test_a_process_without_work_says_nothing() -> None:
    heartbeat.beat()
    assert not WorkerHeartbeat.objects.exists()


@pytest.mark.parametrize(
    ("queues", "silent_s", "expected"), [(["runs"], 1, "ok"), (["control"], 1, "degraded"), (["runs"], 60, "degraded")]
)
def test_health_asks_for_a_living_worker_that_takes_runs(queues: list[str], silent_s: int, expected: str) -> None:
    seen: dict[str, Any] = {"queues": queues, "last_seen": utcnow() - timedelta(seconds=silent_s)}
    WorkerHeartbeat.objects.create(name="one", host="here", pid=1, **seen)
    assert heartbeat.health().status == expected
