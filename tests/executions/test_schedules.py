"""Workflows on a schedule: created as the requirement says, run by the clock, ended in its history."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from executions import endings
from executions.models import WorkflowExecution
from scheduler import firing
from scheduler.models import Schedule, ScheduleFire
from tests.executions.conftest import Trials
from tradingsite.common.clock import utcnow
from workflows.models import Strategy
from workflows.services import strategy_update

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(api: Callable[..., APIClient], trader: Any) -> APIClient:
    return api("trader")


@pytest.fixture
def strategy(trials: Trials) -> Strategy:
    return trials.strategy(trials.workflow("one", "two"))


def schedule(client: APIClient, strategy: Strategy, **fields: Any) -> Any:
    said = {"strategy_id": str(strategy.pk), "cron_expression": "30 9 * * mon-fri", "enabled": True, **fields}
    return client.post(f"/api/workflows/{strategy.workflow_id}/schedule", said, format="json")


def make_due() -> None:
    moment = utcnow() - timedelta(seconds=5)
    Schedule.objects.update(kind="interval", cron="", every_s=3600, start_at=moment, next_run_at=moment, due_at=moment)


def test_a_workflow_is_scheduled_with_the_fields_of_the_requirement(client: APIClient, strategy: Strategy) -> None:
    answer = schedule(client, strategy)
    assert answer.status_code == 201, answer.json()
    made = answer.json()
    assert strategy.workflow is not None
    assert (made["workflow_name"], made["strategy_name"]) == (strategy.workflow.name, strategy.name)
    assert (made["cron_expression"], made["enabled"], made["last_run_time"]) == ("30 9 * * mon-fri", True, None)
    assert made["next_run_time"] == made["next_run_times"][0]
    assert client.get("/api/schedules").json()["results"] == [made]
    assert client.get(answer["Location"]).json() == made
    changed = client.put(
        f"/api/schedules/{made['id']}", {"cron_expression": "0 16 * * *", "enabled": False}, format="json"
    )
    assert (changed.json()["cron_expression"], changed.json()["enabled"]) == ("0 16 * * *", False)
    assert changed.json()["strategy_id"] == str(strategy.pk)
    assert client.delete(f"/api/schedules/{made['id']}").status_code == 204
    assert client.get("/api/schedules").json()["count"] == 0


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"cron_expression": "61 * * * *"}, "cron_expression"),
        ({"cron_expression": None}, "cron_expression"),
        ({"schedule": {"every_s": 5}}, "schedule"),
        ({"strategy_id": "0190b0e0-0000-7000-8000-000000000000"}, "strategy_id"),
        ({"strategy_id": "x"}, "strategy_id"),
        ({"priority": 10}, "priority"),
        ({"timezone": "Nowhere"}, "timezone"),
        ({"job_type": "tradingsite.clean_up"}, "job_type"),
    ],
)
def test_a_wrong_field_is_named_as_it_is_called_here(
    client: APIClient, strategy: Strategy, fields: dict[str, Any], pointer: str
) -> None:
    answer = schedule(client, strategy, **fields)
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Schedule.objects.exists()


def test_a_strategy_of_another_workflow_is_refused(client: APIClient, strategy: Strategy, trials: Trials) -> None:
    other = trials.workflow("one")
    said = {"strategy_id": str(strategy.pk), "cron_expression": "0 0 * * *"}
    answer = client.post(f"/api/workflows/{other.pk}/schedule", said, format="json")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["workflow_id"]


def test_the_clock_starts_the_run_and_hears_how_it_ended(client: APIClient, strategy: Strategy, trials: Trials) -> None:
    schedule(client, strategy, priority=7)
    make_due()
    assert firing.tick() == 1
    run = WorkflowExecution.objects.get()
    assert (run.triggered_by, run.priority, run.status) == ("schedule", 7, "pending")
    fire = ScheduleFire.objects.get()
    assert (fire.status, fire.run_id) == ("running", run.pk)
    trials.carry(run)
    endings.settle()
    fire.refresh_from_db()
    assert (fire.status, fire.result) == (
        "completed",
        {"execution_id": str(run.pk), "decisions_made": 0, "orders_placed": 0},
    )
    assert Schedule.objects.get().last_status == "completed"


def test_a_disabled_strategy_fails_the_fire_and_starts_nothing(
    client: APIClient, strategy: Strategy, trials: Trials
) -> None:
    schedule(client, strategy)
    strategy_update(actor=trials.actor, strategy_id=strategy.pk, changes={"enabled": False})
    make_due()
    firing.tick()
    assert not WorkflowExecution.objects.exists()
    assert ScheduleFire.objects.get().error_code == "STRATEGY_NOT_RUNNABLE"


def test_a_newer_fire_cancels_the_run_of_the_older(client: APIClient, strategy: Strategy, trials: Trials) -> None:
    schedule(client, strategy, overlap="cancel")
    for _ in range(2):
        make_due()
        Schedule.objects.update(start_at=utcnow() - timedelta(seconds=1))
        firing.tick()
    older, newer = WorkflowExecution.objects.order_by("created_at")
    assert (older.status, newer.status) == ("cancelled", "pending")
    endings.settle()
    assert [fire.status for fire in ScheduleFire.objects.order_by("fired_at")] == ["cancelled", "running"]


def test_the_command_lists_fires_and_pauses(
    client: APIClient, strategy: Strategy, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("schedules", "list")
    assert "There are no schedules" in capsys.readouterr().out
    schedule(client, strategy, name="Morning")
    call_command("schedules", "list")
    shown = capsys.readouterr().out
    assert "Morning" in shown
    assert "executions.run_workflow" in shown
    call_command("schedules", "next", "Morning", "--count", "3")
    assert len(capsys.readouterr().out.splitlines()) == 3
    call_command("schedules", "run", "Morning")
    assert str(WorkflowExecution.objects.get().pk) in capsys.readouterr().out
    call_command("schedules", "pause", "Morning")
    assert not Schedule.objects.get().enabled
    call_command("schedules", "start", "Morning")
    assert Schedule.objects.get().enabled
