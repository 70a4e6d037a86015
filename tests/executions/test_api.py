"""Runs over HTTP."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from executions.models import WorkflowExecution
from executions.selectors import execution_wait
from tests.executions.conftest import Trials
from tests.support.queries import query_count
from tradingsite.common.contracts.steps import StepContext, StepError, StepResult
from tradingsite.common.models import OutboxMessage

pytestmark = pytest.mark.django_db

Api = Callable[..., APIClient]


def fail(context: StepContext) -> StepResult:
    raise StepError("no", code="NO")


@pytest.fixture
def client(api: Api, trader: Any) -> APIClient:
    return api("trader")


def execute(client: APIClient, trials: Trials, body: dict[str, Any] | None = None, **extra: Any) -> Any:
    workflow = trials.workflow("one", "two", n=1)
    strategy = trials.strategy(workflow)
    return client.post(
        f"/api/workflows/{workflow.pk}/execute",
        {"strategy_id": str(strategy.pk), **(body or {})},
        format="json",
        **extra,
    )


def test_execute_answers_202_with_the_run_its_task_and_where_to_look(client: APIClient, trials: Trials) -> None:
    answer = execute(client, trials, {"symbols": ["IBM"], "priority": 3, "input_data": {"n": 2}})
    assert answer.status_code == 202, answer.content
    body = answer.json()
    run = WorkflowExecution.objects.get(pk=body["workflow_execution_id"])
    assert body["task_id"] == run.task_id
    assert body["status"] == "pending"
    assert run.params == {"n": 2}
    assert client.get(answer["Location"]).json()["id"] == str(run.pk)
    assert client.get(body["links"]["steps"]).status_code == 200
    assert client.get(body["links"]["events"]).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"strategy_id": None}, "strategy_id"),
        ({"strategy_id": str(uuid.uuid4())}, "strategy_id"),
        ({"symbols": ["ibm!"]}, "symbols/0"),
        ({"symbols": "IBM"}, "symbols"),
        ({"symbols": ["NOSUCH"]}, "symbols/0"),
        ({"priority": 10}, "priority"),
        ({"priority": "high"}, "priority"),
        ({"input_data": {"leverage": 9}}, "input_data/leverage"),
        ({"input_data": []}, "input_data"),
        ({"mode": "yolo"}, "mode"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_body_names_the_field_and_writes_nothing(
    client: APIClient, trials: Trials, body: dict[str, Any], pointer: str
) -> None:
    answer = execute(client, trials, body)
    assert answer.status_code == 400
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not WorkflowExecution.objects.exists()
    assert not OutboxMessage.objects.filter(task="executions.run").exists()


def test_an_unknown_workflow_is_not_found(client: APIClient, trials: Trials) -> None:
    strategy = trials.strategy(trials.workflow("one"))
    answer = client.post(f"/api/workflows/{uuid.uuid4()}/execute", {"strategy_id": str(strategy.pk)}, format="json")
    assert answer.status_code == 404
    assert answer.json()["code"] == "WORKFLOW_NOT_FOUND"


def test_the_same_key_starts_one_run(client: APIClient, trials: Trials) -> None:
    workflow = trials.workflow("one")
    body = {"strategy_id": str(trials.strategy(workflow).pk)}
    key = {"Idempotency-Key": "once"}
    first, second = (
        client.post(f"/api/workflows/{workflow.pk}/execute", body, format="json", headers=key) for _ in range(2)
    )
    assert second.status_code == 202
    assert second["Idempotent-Replayed"] == "true"
    assert second.json() == first.json()
    assert WorkflowExecution.objects.count() == 1


def test_a_strategy_with_inline_steps_is_executed_by_itself(client: APIClient, trials: Trials) -> None:
    strategy = trials.strategy(trials.workflow("one"))
    answer = client.post(f"/api/v1/strategies/{strategy.pk}/execute", {}, format="json")
    assert answer.status_code == 202


@pytest.mark.parametrize("name", ["workflow-executions", "runs"])
def test_both_names_show_the_run_with_progress_results_and_steps(client: APIClient, trials: Trials, name: str) -> None:
    run = trials.carry(trials.create("one", "two"))
    body = client.get(f"/api/{name}/{run.pk}").json()
    assert {"id", "workflow_id", "strategy_id", "status", "started_at", "completed_at", "progress", "results"} <= set(
        body
    )
    assert (body["status"], body["progress"]) == ("completed", 100)
    assert {"symbols_processed", "decisions_made", "orders_placed", "execution_logs"} <= set(body["results"])
    assert [(step["name"], step["status"]) for step in body["steps"]] == [("one", "completed"), ("two", "completed")]
    steps = client.get(f"/api/{name}/{run.pk}/steps").json()
    assert isinstance(steps, list)
    assert steps[0]["output"] == {"number": 0}
    (listed,) = client.get(f"/api/{name}").json()["results"]
    assert {"id", "workflow_name", "strategy_name", "status", "started_at", "duration", "decisions_made"} <= set(listed)


def test_the_list_is_narrowed_and_ordered(client: APIClient, trials: Trials) -> None:
    done = trials.carry(trials.create("one"))
    trials.acts["bad"] = fail
    failed = trials.carry(trials.create("bad"))

    def found(**query: str) -> list[str]:
        answer = client.get("/api/runs", query)
        assert answer.status_code == 200, answer.content
        return [row["id"] for row in answer.json()["results"]]

    assert found() == [str(failed.pk), str(done.pk)]
    assert found(ordering="created_at") == [str(done.pk), str(failed.pk)]
    assert found(ordering="-started_at") == [str(failed.pk), str(done.pk)]
    assert found(status="failed") == [str(failed.pk)]
    assert found(workflow_id=str(done.workflow_id)) == [str(done.pk)]
    assert found(strategy_id=str(failed.strategy_id)) == [str(failed.pk)]
    assert found(date_range="2000-01-01,2001-01-01") == []
    assert len(found(created_after="2000-01-01", started_after="2000-01-01")) == 2
    assert found(started_before="2000-01-01") == []


@pytest.mark.parametrize(
    "query",
    ["colour=red", "status=odd", "workflow_id=7", "ordering=status", "date_range=a", "cursor=%%%", "page_size=0"],
)
def test_a_wrong_parameter_is_named(client: APIClient, query: str) -> None:
    answer = client.get(f"/api/runs?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == query.split("=")[0]


@pytest.mark.parametrize("ordering", ["-created_at", "started_at", "-started_at", "completed_at"])
def test_pages_by_cursor_show_every_run_once_also_those_that_did_not_start(
    client: APIClient, trials: Trials, ordering: str
) -> None:
    runs = [trials.create("one") for _ in range(5)]
    for run in runs[:2]:
        trials.carry(run)
    seen: list[str] = []
    url: str | None = f"/api/runs?page_size=2&count=true&ordering={ordering}"
    while url:
        body = client.get(url).json()
        assert body["count"] == 5
        seen += [row["id"] for row in body["results"]]
        url = body["next"]
    assert sorted(seen) == sorted(str(run.pk) for run in runs)


def test_queries_do_not_grow_with_the_list(client: APIClient, trials: Trials) -> None:
    trials.create("one")
    client.get("/api/runs")
    few, _ = query_count(lambda: client.get("/api/runs"))
    for _ in range(6):
        trials.create("one")
    many, made = query_count(lambda: client.get("/api/runs"))
    assert many == few, made


def test_queries_do_not_grow_with_the_steps(client: APIClient, trials: Trials) -> None:
    short, long = trials.create("one"), trials.create(*(f"step{number}" for number in range(12)))
    client.get(f"/api/runs/{short.pk}")
    for path in ("", "/steps"):
        few, _ = query_count(lambda path=path: client.get(f"/api/runs/{short.pk}{path}"))  # type: ignore[misc]
        many, made = query_count(lambda path=path: client.get(f"/api/runs/{long.pk}{path}"))  # type: ignore[misc]
        assert many == few, made


def test_a_look_with_wait_returns_at_the_end_of_the_run(trials: Trials) -> None:
    run = trials.create("one")

    def worker_meanwhile(seconds: float) -> None:
        trials.carry(run)

    found = execution_wait(run.pk, seconds=30, sleep=worker_meanwhile)
    assert found.status == "completed"


def test_a_look_with_wait_ends_when_the_time_is_up(client: APIClient, trials: Trials) -> None:
    run = trials.create("one")
    assert client.get(f"/api/runs/{run.pk}?wait=1").json()["status"] == "pending"
    for wrong in ("-1", "61", "soon", "1e3", "９"):
        answer = client.get(f"/api/runs/{run.pk}", {"wait": wrong})
        assert answer.status_code == 400, wrong


def test_events_are_read_from_a_number_on(client: APIClient, trials: Trials) -> None:
    run = trials.carry(trials.create("one"))
    events = client.get(f"/api/runs/{run.pk}/events").json()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    later = client.get(f"/api/runs/{run.pk}/events?after=2").json()
    assert later == events[2:]
    assert later[-1]["type"] == "status"


def test_cancel_and_retry_move_the_run_or_say_why_not(client: APIClient, trials: Trials) -> None:
    run = trials.create("one")
    answer = client.post(f"/api/runs/{run.pk}/cancel", {"reason": "no"}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    assert client.post(f"/api/runs/{run.pk}/cancel", {}, format="json").json()["code"] == "EXECUTION_FINISHED"
    answer = client.post(f"/api/workflow-executions/{run.pk}/retry", {}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    answer = client.post(f"/api/runs/{run.pk}/retry", {}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "EXECUTION_NOT_RETRYABLE")


def test_what_is_not_there_is_not_found(client: APIClient) -> None:
    for path in ("", "/steps", "/events"):
        answer = client.get(f"/api/runs/{uuid.uuid4()}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "EXECUTION_NOT_FOUND")
    for verb in ("cancel", "retry"):
        assert client.post(f"/api/runs/{uuid.uuid4()}/{verb}", {}, format="json").status_code == 404
    assert client.get("/api/runs/seven").status_code == 400


def test_a_viewer_looks_and_changes_nothing(api: Api, trials: Trials, viewer: Any) -> None:
    run = trials.create("one")
    client = api("viewer")
    assert client.get("/api/runs").status_code == 200
    assert client.get(f"/api/runs/{run.pk}").status_code == 200
    assert execute(client, trials).status_code == 403
    for verb in ("cancel", "retry"):
        assert client.post(f"/api/runs/{run.pk}/{verb}", {}, format="json").status_code == 403
    assert trials.again(run).status == "pending"
    assert api().get("/api/runs").status_code == 401


def test_a_trader_stops_its_own_runs_and_an_operator_anybodys(
    api: Api, trials: Trials, operator: Any, django_user_model: Any
) -> None:
    from tests.conftest import user_with_role
    from tradingsite.common.roles import Role

    run = trials.create("one")
    other = user_with_role(Role.TRADER, "other")
    assert api(other).post(f"/api/runs/{run.pk}/cancel", {}, format="json").status_code == 403
    assert trials.again(run).status == "pending"
    assert api(operator).post(f"/api/runs/{run.pk}/cancel", {}, format="json").status_code == 202


def test_a_workflows_detail_tells_how_its_runs_went(client: APIClient, trials: Trials) -> None:
    run = trials.carry(trials.create("one"))
    told = client.get(f"/api/workflows/{run.workflow_id}").json()["recent_executions"]
    assert told["total_executions"] == 1
    assert told["by_status"] == {"completed": 1}
    assert told["success_rate"] == 1
    assert told["average_duration"] >= 0
    assert told["recent"][0]["id"] == str(run.pk)
    assert told["recent"][0]["started_at"] is not None
