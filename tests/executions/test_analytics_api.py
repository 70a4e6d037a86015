"""How workflows did, over HTTP."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from executions import endings, rollup
from executions.models import WorkflowExecution
from tests.executions.analytics_desk import Desk, make_desk
from tests.executions.conftest import Trials
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from workflows.models import WorkflowMetrics

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 10, 17, 0, tzinfo=UTC)
DAY = timedelta(days=1)
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def desk(frozen_clock: Any) -> Desk:
    frozen_clock(NOON)
    return make_desk()


@pytest.fixture
def get(api: Callable[..., APIClient]) -> Callable[..., Any]:
    client = api("viewer")

    def call(path: str, status: int = 200) -> Any:
        answer = client.get(f"/api/workflows/{path}")
        assert answer.status_code == status, answer.content
        return answer.json()

    return call


def wrong(problem: Any) -> dict[str, str]:
    return {error["pointer"]: error["code"] for error in problem["errors"]}


# --- one workflow ------------------------------------------------------------------------------------------------


def decide(context: StepContext) -> StepResult:
    decisions = [
        {"symbol": "IBM", "action": "BUY", "confidence": 0.9, "r_coefficient": 3.0, "reason": ""},
        {"symbol": "IBM", "action": "HOLD", "confidence": 0.9, "r_coefficient": None, "reason": ""},
        {"symbol": "IBM", "action": "SELL", "confidence": 0.9, "r_coefficient": 1.5, "reason": ""},
    ]
    orders = [{"symbol": "IBM", "status": "filled"}, {"symbol": "IBM", "status": "denied"}]
    return StepResult({"decisions": decisions, "orders": orders}, "")


def fail(context: StepContext) -> StepResult:
    raise StepError("no", code="NO")


def test_what_runs_decided_and_how_they_ended_is_told_of_their_workflow(
    trials: Trials, get: Callable[..., Any]
) -> None:
    trials.acts["decide"] = decide
    good = trials.carry(trials.create("decide"))
    strategy = good.strategy
    trials.acts["decide"] = fail
    bad = trials.carry(_again(trials, good, strategy))
    _again(trials, good, strategy)
    assert bad.status == "failed"
    found = get(f"{good.workflow_id}/metrics")
    assert found["workflow_id"] == str(good.workflow_id)
    assert found["total_executions"] == 3
    assert found["by_status"] == {"pending": 1, "running": 0, "completed": 1, "failed": 1, "cancelled": 0}
    assert found["success_rate"] == 0.5
    assert found["decisions_breakdown"] == {"BUY": 1, "SELL": 1, "HOLD": 1}
    assert found["orders_placed"] == 1, "the denied one never left the desk"
    assert found["average_r_coefficient"] == 2.25
    assert found["average_duration"] == pytest.approx(good.duration, rel=1e-6)
    assert found["duration_p50"] == found["duration_p95"] == pytest.approx(good.duration, rel=1e-6)
    assert (found["completed_trades"], found["win_rate"]) == (0, None)


def _again(trials: Trials, run: WorkflowExecution, strategy: Any) -> WorkflowExecution:
    from executions.services import execution_create

    return execution_create(actor=trials.actor, workflow=run.workflow, strategy=strategy)


def test_the_end_of_a_run_is_found_in_the_table_of_its_day(trials: Trials, get: Callable[..., Any]) -> None:
    trials.acts["decide"] = decide
    run = trials.carry(trials.create("decide"))
    assert not WorkflowMetrics.objects.exists()
    endings.settle()
    row = WorkflowMetrics.objects.get()
    assert (row.workflow_id, row.version_number) == (run.workflow_id, 1)
    assert row.date == run.created_at.astimezone(rollup.desk_zone()).date()
    stored = row.metrics
    assert (stored["total_executions"], stored["success_rate"], stored["orders_placed"]) == (1, 1.0, 1)
    assert stored["decisions_by_type"] == {"BUY": 1, "SELL": 1, "HOLD": 1}
    assert stored["avg_duration"] == pytest.approx(run.duration, rel=1e-6)
    endings.settle()
    rollup.roll_up([])
    assert WorkflowMetrics.objects.get().metrics == stored


def test_a_workflow_without_runs_says_nothing_but_zeros(desk: Desk, get: Callable[..., Any]) -> None:
    found = get(f"{desk.workflows[0].pk}/metrics")
    assert found["total_executions"] == found["completed_trades"] == 0
    assert found["success_rate"] is found["average_duration"] is found["win_rate"] is None


@pytest.mark.parametrize(
    ("query", "runs"),
    [
        ("date_range=2026-03-08,2026-03-10", 2),
        ("date_range=2026-03-08,", 3),
        ("date_range=,2026-03-09", 3),
        ("date_range=2026-03-08T17:00:00Z,2026-03-08T17:00:00.000001Z", 1),
        ("date_range=2026-03-08T17:00:00%2B01:00,2026-03-09T16:59:59Z", 1),
        ("created_after=2026-03-09", 2),
        ("created_before=2026-03-09", 3),
        ("created_after=2026-03-08&date_range=,2026-03-09", 1),
        ("created_after=0001-01-01&created_before=9999-12-31", 5),
        ("date_range=2026-03-08,2026-03-08", 0),
    ],
)
@pytest.mark.parametrize("covered", [False, True])
def test_a_span_counts_the_runs_that_were_created_in_it(
    desk: Desk, get: Callable[..., Any], query: str, runs: int, covered: bool
) -> None:
    for days in (0, 1, 2, 3, 400):
        desk.run(NOON - days * DAY)
    if covered:
        rollup.close_days()
    assert get(f"{desk.workflows[0].pk}/metrics?{query}")["total_executions"] == runs


def test_a_version_counts_its_own_runs(desk: Desk, get: Callable[..., Any]) -> None:
    desk.run(NOON, version=1)
    desk.run(NOON - DAY, version=2)
    found = get(f"{desk.workflows[0].pk}/metrics?version=2")
    assert (found["version"], found["total_executions"]) == (2, 1)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("date_range=2026-03-08", {"date_range": "invalid"}),
        ("date_range=yesterday,today", {"date_range": "invalid"}),
        ("date_range=2026-03-08T10:00:00,2026-03-09", {"date_range": "invalid"}),
        ("date_range=2026-03-09,2026-03-08", {"date_range": "invalid"}),
        ("created_after=2026-03-09&created_before=2026-03-08", {"created_before": "invalid"}),
        ("created_after=2026-02-30", {"created_after": "invalid"}),
        ("version=0", {"version": "min_value"}),
        ("version=two", {"version": "invalid"}),
        ("version=99999999999", {"version": "max_value"}),
        ("version=7", {"version": "not_found"}),
        ("trend=day", {"trend": "unknown_parameter"}),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(
    desk: Desk, get: Callable[..., Any], query: str, expected: dict[str, str]
) -> None:
    assert wrong(get(f"{desk.workflows[0].pk}/metrics?{query}", 400)) == expected


@pytest.mark.parametrize("path", ["metrics", "metrics/trends", "metrics/versions?a=1&b=2"])
def test_an_unknown_or_deleted_workflow_has_no_figures(desk: Desk, get: Callable[..., Any], path: str) -> None:
    workflow = desk.workflows[0]
    workflow.deleted_at = NOON
    workflow.save()
    assert get(f"{workflow.pk}/{path}", 404)["code"] == "WORKFLOW_NOT_FOUND"
    assert get(f"{NOBODY}/{path}", 404)["code"] == "WORKFLOW_NOT_FOUND"


# --- day by day --------------------------------------------------------------------------------------------------


def test_each_day_is_told_also_one_without_runs(desk: Desk, get: Callable[..., Any]) -> None:
    desk.run(NOON - 2 * DAY, orders_placed=2)
    desk.run(NOON, status="failed")
    # Eight in the evening in New York, the next day already in UTC.
    desk.run(datetime(2026, 3, 9, 0, 0, tzinfo=UTC))
    rollup.close_days()
    found = get(f"{desk.workflows[0].pk}/metrics/trends?first_day=2026-03-07")
    assert found["time_zone"] == "America/New_York"
    assert [(day["date"], day["total_executions"], day["success_rate"]) for day in found["days"]] == [
        ("2026-03-07", 0, None),
        ("2026-03-08", 2, 1.0),
        ("2026-03-09", 0, None),
        ("2026-03-10", 1, 0.0),
    ]
    assert [day["orders_placed"] for day in found["days"]] == [0, 2, 0, 0]


def test_the_trend_is_of_the_last_thirty_days_unless_told(desk: Desk, get: Callable[..., Any]) -> None:
    days = [day["date"] for day in get(f"{desk.workflows[0].pk}/metrics/trends")["days"]]
    assert (len(days), days[0], days[-1]) == (30, "2026-02-09", "2026-03-10")
    days = [day["date"] for day in get(f"{desk.workflows[0].pk}/metrics/trends?last_day=2025-12-31")["days"]]
    assert (len(days), days[-1]) == (30, "2025-12-31")


def test_a_trend_may_be_that_of_one_version(desk: Desk, get: Callable[..., Any]) -> None:
    desk.run(NOON, version=1)
    desk.run(NOON, version=2, orders_placed=5)
    (today,) = get(f"{desk.workflows[0].pk}/metrics/trends?first_day=2026-03-10&version=2")["days"]
    assert (today["total_executions"], today["orders_placed"]) == (1, 5)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("first_day=2026-03-08T00:00:00Z", {"first_day": "invalid"}),
        ("first_day=2026-02-30", {"first_day": "invalid"}),
        ("first_day=0001-01-01", {"first_day": "invalid"}),
        ("last_day=9999-12-31", {"last_day": "invalid"}),
        ("first_day=20260308", {"first_day": "invalid"}),
        ("first_day=2026-03-08&last_day=2026-03-07", {"last_day": "invalid"}),
        ("first_day=2025-03-08&last_day=2026-03-09", {"first_day": "too_many"}),
        ("date_range=a,b", {"date_range": "unknown_parameter"}),
    ],
)
def test_days_that_cannot_be_told_are_refused_by_name(
    desk: Desk, get: Callable[..., Any], query: str, expected: dict[str, str]
) -> None:
    assert wrong(get(f"{desk.workflows[0].pk}/metrics/trends?{query}", 400)) == expected


# --- one version against another ---------------------------------------------------------------------------------


def test_two_versions_are_told_apart_with_what_the_difference_is_worth(desk: Desk, get: Callable[..., Any]) -> None:
    for version, completed, failed in ((1, 20, 20), (2, 38, 2)):
        for number in range(completed + failed):
            status = "completed" if number < completed else "failed"
            desk.run(NOON - DAY, version=version, status=status, took=timedelta(seconds=10 * version))
    rollup.close_days()
    found = get(f"{desk.workflows[0].pk}/metrics/versions?a=1&b=2")
    assert (found["a"]["version"], found["a"]["success_rate"]) == (1, 0.5)
    assert (found["b"]["version"], found["b"]["success_rate"]) == (2, 0.95)
    assert found["differences"]["success_rate"] == pytest.approx(0.45)
    assert found["differences"]["average_duration"] == 10.0
    assert found["differences"]["win_rate"] is None
    test = found["success_rate_test"]
    assert (test["sufficient"], test["significant"]) == (True, True)
    assert test["z"] == pytest.approx(4.508, abs=1e-3)
    assert test["p_value"] < 1e-5


def test_few_runs_are_said_not_to_suffice(desk: Desk, get: Callable[..., Any]) -> None:
    desk.run(NOON, version=1)
    desk.run(NOON, version=2, status="failed")
    test = get(f"{desk.workflows[0].pk}/metrics/versions?a=2&b=1")["success_rate_test"]
    assert (test["sufficient"], test["significant"], test["p_value"]) == (False, None, None)
    assert "Too few runs" in test["detail"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"a": "required", "b": "required"}),
        ("a=1", {"b": "required"}),
        ("a=1&b=x", {"b": "invalid"}),
        ("a=8&b=9", {"a": "not_found", "b": "not_found"}),
    ],
)
def test_versions_that_cannot_be_told_apart_are_refused_by_name(
    desk: Desk, get: Callable[..., Any], query: str, expected: dict[str, str]
) -> None:
    assert wrong(get(f"{desk.workflows[0].pk}/metrics/versions?{query}", 400)) == expected


# --- side by side ------------------------------------------------------------------------------------------------


def test_workflows_stand_side_by_side_with_the_best_of_each_figure(desk: Desk, get: Callable[..., Any]) -> None:
    one, two = (str(each.pk) for each in desk.workflows)
    desk.run(NOON, workflow=0, took=timedelta(seconds=30), orders_placed=4)
    desk.run(NOON, workflow=0, status="failed")
    desk.run(NOON, workflow=1, took=timedelta(seconds=60), r_sum=2.0, r_count=1)
    desk.run(NOON, workflow=1, took=timedelta(seconds=60), status="cancelled")
    found = get(f"compare?workflow_ids={two},{one}")
    assert [each["workflow_id"] for each in found["workflows"]] == [two, one], "in the order asked"
    alone = get(f"{one}/metrics")
    figures = {name: value for name, value in found["workflows"][1].items() if name in alone}
    assert figures == {name: alone[name] for name in figures}, "the same figures as of one alone"
    assert found["best"]["average_duration"] == found["best"]["duration_p95"] == [one]
    assert found["best"]["success_rate"] == found["best"]["average_r_coefficient"] == [two]
    assert found["best"]["total_executions"] == [two, one], "a tie is both"
    assert found["best"]["win_rate"] == []


@pytest.mark.parametrize("form", ["workflow_ids={0},{1}", "workflow_ids={0}&workflow_ids={1}", "workflow_ids[]={0}&workflow_ids[]={1}", "workflow_ids={0},{1},{0}"])  # fmt: skip
def test_workflows_may_be_named_in_any_of_the_usual_ways(desk: Desk, get: Callable[..., Any], form: str) -> None:
    ids = [str(each.pk) for each in desk.workflows]
    found = get(f"compare?{form.format(*ids)}")
    assert [each["workflow_id"] for each in found["workflows"]] == ids


def test_a_comparison_may_be_of_a_span(desk: Desk, get: Callable[..., Any]) -> None:
    desk.run(NOON)
    desk.run(NOON - 9 * DAY)
    found = get(f"compare?workflow_ids={desk.workflows[0].pk}&date_range={date(2026, 3, 10)},")
    assert [each["total_executions"] for each in found["workflows"]] == [1]
    assert (found["created_after"], found["created_before"]) == ("2026-03-10T00:00:00Z", None)


def test_what_cannot_be_compared_is_refused_by_name(desk: Desk, get: Callable[..., Any]) -> None:
    one = desk.workflows[0].pk
    assert wrong(get("compare", 400)) == {"workflow_ids": "required"}
    assert wrong(get("compare?workflow_ids=", 400)) == {"workflow_ids": "required"}
    assert wrong(get(f"compare?workflow_ids={one},nonsense", 400)) == {"workflow_ids/1": "invalid"}
    assert wrong(get(f"compare?workflow_ids={one},{NOBODY}", 400)) == {"workflow_ids/1": "not_found"}
    assert wrong(get("compare?workflow_ids=" + ",".join([str(one)] * 21), 400)) == {"workflow_ids": "too_many"}
    assert wrong(get(f"compare?workflow_ids={one}&version=1", 400)) == {"version": "unknown_parameter"}
