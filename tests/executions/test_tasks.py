"""Runs as tasks of the queue: Celery's words for them, their end before their time, and how the queue does."""

import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models.functions import Now
from rest_framework.test import APIClient

from executions import services, watchdog
from executions.choices import ExecutionStatus, TaskStatus, task_status
from executions.errors import ExecutionFinished
from executions.fence import claim
from executions.ledger import STEPS, RunLedger
from executions.models import EarlierTask, WorkerHeartbeat, WorkflowExecution
from executions.services import execution_cancel, execution_retry, task_cancel
from executions.task_selectors import queue_metrics, runs_in
from tests.executions.conftest import Trials
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]


def fail(context: StepContext) -> StepResult:
    raise StepError("no", code="NO")


@pytest.fixture
def client(api: Api) -> APIClient:
    return api("trader")


def lose_worker(trials: Trials, run: WorkflowExecution) -> WorkflowExecution:
    """Let a worker take the run and die; the watchdog brings it back."""
    assert claim(run.pk, "gone") is not None
    WorkflowExecution.objects.filter(pk=run.pk).update(lease_until=Now() - timedelta(seconds=1))
    watchdog.tick()
    return trials.again(run)


def one_of_each(trials: Trials) -> dict[str, WorkflowExecution]:
    trials.acts["bad"] = fail
    retry = lose_worker(trials, trials.create("one"))
    started = trials.create("one")
    claim(started.pk, "worker")
    return {
        "PENDING": trials.create("one"),
        "RETRY": retry,
        "STARTED": trials.again(started),
        "SUCCESS": trials.carry(trials.create("one")),
        "FAILURE": trials.carry(trials.create("bad")),
        "REVOKED": execution_cancel(actor=trials.actor, execution=trials.create("one")),
    }


@pytest.mark.parametrize(
    ("status", "attempts", "word"),
    [
        ("pending", 0, "PENDING"),
        ("pending", 1, "RETRY"),
        ("running", 1, "STARTED"),
        ("running", 3, "STARTED"),
        ("completed", 1, "SUCCESS"),
        ("failed", 0, "FAILURE"),
        ("cancelled", 0, "REVOKED"),
        ("cancelled", 2, "REVOKED"),
    ],
)
def test_each_state_of_a_run_has_its_word(status: str, attempts: int, word: str) -> None:
    assert task_status(status, attempts) == word


def test_every_status_has_a_word_and_the_database_means_the_same_by_each_word(trials: Trials) -> None:
    run = trials.create("one")
    for status in ExecutionStatus.values:
        for attempts in (0, 2):
            rows = WorkflowExecution.objects.filter(pk=run.pk)
            rows.update(status=status, attempts=attempts, completed_at=Now())
            found = [word for word in TaskStatus.values if rows.filter(runs_in([word])).exists()]
            assert found == [task_status(status, attempts)]


def test_each_word_is_reached_and_found_by_it(client: APIClient, trials: Trials) -> None:
    runs = one_of_each(trials)
    for word, run in runs.items():
        (row,) = client.get(f"/api/tasks?status={word}").json()["results"]
        assert (row["task_id"], row["status"]) == (run.task_id, word)
        assert client.get(f"/api/tasks/{run.task_id}").json()["status"] == word


def test_the_list_shows_the_active_ones_unless_asked_for_others(client: APIClient, trials: Trials) -> None:
    runs = one_of_each(trials)

    def found(query: str = "") -> set[str]:
        answer = client.get(f"/api/tasks{query}")
        assert answer.status_code == 200, answer.content
        return {row["status"] for row in answer.json()["results"]}

    assert found() == found("?status=") == {"PENDING", "STARTED", "RETRY"}
    assert found("?status=SUCCESS, FAILURE") == {"SUCCESS", "FAILURE"}
    assert found(f"?strategy_id={runs['RETRY'].strategy_id}") == {"RETRY"}
    assert found(f"?strategy_id={runs['REVOKED'].strategy_id}") == set()
    assert found(f"?strategy_id={runs['REVOKED'].strategy_id}&status=REVOKED") == {"REVOKED"}


def test_a_row_says_which_run_it_is_and_how_far(client: APIClient, trials: Trials) -> None:
    run = trials.carry(trials.create("one", priority=4))
    (row,) = client.get("/api/tasks?status=SUCCESS").json()["results"]
    assert row["task_name"] == "executions.run"
    assert (row["workflow_execution_id"], row["strategy_id"]) == (str(run.pk), str(run.strategy_id))
    assert (row["progress"], row["priority"]) == (100, 4)
    assert row["started_at"] is not None
    waiting = trials.create("one")
    assert client.get(f"/api/tasks/{waiting.task_id}").json()["started_at"] is None


def test_pages_by_cursor_show_every_task_once(client: APIClient, trials: Trials) -> None:
    expected = [trials.create("one").task_id for _ in range(5)]
    seen: list[str] = []
    url: str | None = "/api/tasks?page_size=2&count=true"
    while url:
        body = client.get(url).json()
        assert body["count"] == 5
        seen += [row["task_id"] for row in body["results"]]
        url = body["next"]
    assert seen == expected[::-1]


@pytest.mark.parametrize(
    "query", ["status=done", "status=pending", "status=SUCCESS,odd", "strategy_id=7", "colour=red"]
)
def test_a_wrong_parameter_is_named(client: APIClient, query: str) -> None:
    answer = client.get(f"/api/tasks?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == query.split("=")[0]


def test_a_task_tells_its_result_or_its_error(client: APIClient, trials: Trials) -> None:
    runs = one_of_each(trials)
    done = client.get(f"/api/tasks/{runs['SUCCESS'].task_id}").json()
    assert done["result"]["decisions_made"] == 0
    assert done["error"] is None
    failed = client.get(f"/api/tasks/{runs['FAILURE'].task_id}").json()
    assert failed["result"] is None
    assert failed["error"] == {"code": "NO", "message": "step bad: no"}
    assert failed["completed_at"] is not None


def test_what_is_not_there_is_not_found(client: APIClient) -> None:
    for method in (client.get, client.delete):
        answer = method(f"/api/tasks/{uuid.uuid4()}")
        assert (answer.status_code, answer.json()["code"]) == (404, "TASK_NOT_FOUND")
        assert method("/api/tasks/seven").status_code == 400


def test_an_earlier_task_is_answered_as_it_ended_and_names_the_later_one(client: APIClient, trials: Trials) -> None:
    trials.acts["bad"] = fail
    first = trials.carry(trials.create("bad"))
    second = execution_retry(actor=trials.actor, execution=first)
    waiting = client.get(f"/api/tasks/{second.task_id}").json()
    assert (waiting["status"], waiting["started_at"], waiting["superseded_by"]) == ("PENDING", None, None)
    trials.acts.clear()
    trials.carry(second)
    old = client.get(f"/api/tasks/{first.task_id}").json()
    assert (old["status"], old["error"]["code"], old["superseded_by"]) == ("FAILURE", "NO", second.task_id)
    assert old["result"] is None
    assert client.get(f"/api/tasks/{second.task_id}").json()["status"] == "SUCCESS"
    answer = client.delete(f"/api/tasks/{first.task_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "EXECUTION_FINISHED")


def test_a_waiting_task_is_revoked_at_once(client: APIClient, trials: Trials) -> None:
    run = trials.create("one")
    answer = client.delete(f"/api/tasks/{run.task_id}")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["task_id"], body["status"], body["execution_status"]) == (run.task_id, "REVOKED", "cancelled")
    assert trials.again(run).status == "cancelled"
    assert claim(run.pk, "worker") is None


def test_a_running_task_is_asked_to_stop_and_does(client: APIClient, trials: Trials) -> None:
    run = trials.create("one", "two")
    held = claim(run.pk, "worker")
    assert held is not None
    answer = client.delete(f"/api/tasks/{run.task_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "STARTED")
    assert answer.json()["cancel_requested_at"] is not None
    RunLedger(held, held.run, STEPS.all(held.execution_id)).finish(ExecutionStatus.CANCELLED)
    assert client.get(f"/api/tasks/{run.task_id}").json()["status"] == "REVOKED"


@pytest.mark.parametrize("word", ["SUCCESS", "FAILURE", "REVOKED"])
def test_a_task_that_has_ended_is_not_cancelled(client: APIClient, trials: Trials, word: str) -> None:
    run = one_of_each(trials)[word]
    answer = client.delete(f"/api/tasks/{run.task_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "EXECUTION_FINISHED")
    assert trials.again(run).status == run.status


def test_a_trader_cancels_its_own_tasks_and_an_operator_those_of_others(
    api: Api, trials: Trials, django_user_model: Any, trader: Any
) -> None:
    other = django_user_model.objects.create_user("other")
    other.groups.set(trader.groups.all())
    run = trials.create("one")
    answer = api(other).delete(f"/api/tasks/{run.task_id}")
    assert answer.status_code == 403
    assert trials.again(run).status == "pending"
    assert api("operator").delete(f"/api/tasks/{run.task_id}").status_code == 200


def test_figures_of_an_idle_queue_are_zero_or_empty(client: APIClient) -> None:
    assert client.get("/api/tasks/metrics").json() == {
        "tasks_queued": 0,
        "tasks_active": 0,
        "tasks_completed_today": 0,
        "tasks_failed_today": 0,
        "average_duration": None,
        "worker_count": 0,
        "wait_p95": None,
        "oldest_waiting_s": 0.0,
        "outbox_lag_s": 0.0,
        "lease_age_max_s": None,
    }


def test_the_queue_counts_what_waits_runs_and_ended_today(trials: Trials) -> None:
    one_of_each(trials)
    found = queue_metrics()
    assert (found["tasks_queued"], found["tasks_active"]) == (2, 1)
    assert (found["tasks_completed_today"], found["tasks_failed_today"]) == (1, 1)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", datetime(2026, 1, 5, 5, 0, tzinfo=UTC), 24),
        ("America/New_York", datetime(2026, 3, 8, 5, 0, tzinfo=UTC), 23),
        ("Asia/Tokyo", datetime(2026, 1, 4, 15, 0, tzinfo=UTC), 24),
    ],
)
def test_today_begins_and_ends_at_midnight_of_the_desk(
    trials: Trials, frozen_clock: Any, settings: Any, zone: str, day: datetime, hours: int
) -> None:
    settings.DESK_TIME_ZONE = zone
    second = timedelta(seconds=1)
    for completed_at in (day - second, day, day + timedelta(hours=hours) - second):
        run = trials.create("one")
        WorkflowExecution.objects.filter(pk=run.pk).update(
            status="completed", started_at=completed_at - timedelta(minutes=1), completed_at=completed_at
        )
    frozen_clock(day - second)
    assert queue_metrics()["tasks_completed_today"] == 3, (
        "nothing ends in the future, so only the begin of a day counts"
    )
    frozen_clock(day)
    assert queue_metrics()["tasks_completed_today"] == 2
    frozen_clock(day + timedelta(hours=hours) - second)
    assert queue_metrics()["tasks_completed_today"] == 2
    frozen_clock(day + timedelta(hours=hours))
    assert queue_metrics()["tasks_completed_today"] == 0


def test_durations_and_waits_are_those_of_today(trials: Trials, frozen_clock: Any) -> None:
    noon = datetime(2026, 1, 5, 17, 0, tzinfo=UTC)
    frozen_clock(noon)
    for number in range(1, 21):
        run = trials.create("one")
        WorkflowExecution.objects.filter(pk=run.pk).update(
            status="completed",
            created_at=noon - timedelta(seconds=number),
            started_at=noon,
            completed_at=noon + timedelta(seconds=2 * number),
        )
    found = queue_metrics()
    assert found["average_duration"] == pytest.approx(21.0)
    assert found["wait_p95"] == pytest.approx(19.0), "19 of 20 waited no longer"


def test_the_time_before_a_retry_does_not_count_as_work(trials: Trials) -> None:
    trials.acts["bad"] = fail
    trials.carry(trials.create("one"))
    slow = trials.carry(trials.create("bad"))
    WorkflowExecution.objects.filter(pk=slow.pk).update(started_at=Now() - timedelta(days=4))
    trials.acts.clear()
    assert trials.carry(execution_retry(actor=trials.actor, execution=slow)).status == "completed"
    found = queue_metrics()
    assert found["tasks_completed_today"] == 2
    assert found["average_duration"] < 60


def test_the_oldest_wait_goes_on_when_a_lost_message_is_sent_again(trials: Trials, frozen_clock: Any) -> None:
    start = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
    run = trials.create("one")
    frozen_clock(start + timedelta(seconds=40))
    assert queue_metrics()["oldest_waiting_s"] == 40
    assert queue_metrics()["outbox_lag_s"] == 0, "it stays there until a worker takes it"
    OutboxMessage.objects.update(attempts=1)
    assert queue_metrics()["outbox_lag_s"] == 40, "a broker has refused it"
    OutboxMessage.objects.update(published_at=start)
    assert queue_metrics()["outbox_lag_s"] == 0
    watchdog.tick()
    assert trials.again(run).queued_at > start, "it was sent again"
    frozen_clock(start + timedelta(seconds=50))
    assert queue_metrics()["oldest_waiting_s"] == 50


def test_a_lease_ages_from_its_renewal(trials: Trials) -> None:
    fresh, silent = trials.create("one"), trials.create("one")
    claim(fresh.pk, "worker")
    claim(silent.pk, "worker")
    assert queue_metrics()["lease_age_max_s"] < 5
    WorkflowExecution.objects.filter(pk=silent.pk).update(lease_until=Now() - timedelta(seconds=4))
    assert queue_metrics()["lease_age_max_s"] == pytest.approx(10, abs=3)


def test_workers_are_counted_by_their_heartbeats(trials: Trials) -> None:
    now = datetime.now(UTC)
    for name, queues, seen in (("a", ["runs"], 1), ("b", ["runs"], 60), ("c", ["control"], 1)):
        WorkerHeartbeat.objects.create(
            name=name, host="here", pid=1, queues=queues, last_seen=now - timedelta(seconds=seen)
        )
    assert queue_metrics()["worker_count"] == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_cancelling_a_task_never_ends_the_one_that_a_retry_put_in_its_place(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials.acts["bad"] = fail
    run = trials.carry(trials.create("bad"))
    retried, errors = threading.Event(), []
    call = services._call

    def slowly(execution: WorkflowExecution) -> None:
        # The retry has written the new task and not committed; the cancel comes now and waits for the row.
        retried.set()
        canceller.join(0.5)
        call(execution)

    monkeypatch.setattr(services, "_call", slowly)

    def cancel() -> None:
        retried.wait(10)
        try:
            task_cancel(actor=trials.actor, task_id=run.task_id)
        except ExecutionFinished as error:
            errors.append(error)
        finally:
            connections.close_all()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    execution_retry(actor=trials.actor, execution=run)
    canceller.join()
    assert len(errors) == 1
    assert trials.again(run).status == "pending"
    assert EarlierTask.objects.get().task_id == run.task_id
