"""What runs and agents said, and what it adds up to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from agents.models import Agent, AgentConversation
from agents.services import agent_create, message_record
from executions.models import WorkflowExecution
from tests.agents.conftest import SYSTEM
from tests.agents.program import Program, answering
from tests.executions.conftest import Trials
from tradingsite.common import clock
from tradingsite.common.ids import uuid7

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]
Asking = Callable[..., WorkflowExecution]
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def newsdesk(db: None) -> Agent:
    return agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint="https://agents.example.com/")


def test_a_conversation_is_read_in_the_order_in_which_it_was_held(
    api: Api, trials: Trials, asking: Asking, program: Program
) -> None:
    program.says(answering({}, status=500), answering({"tokens_used": 7}))
    run = trials.carry(asking(retries=1))
    assert run.status == "completed"
    client = api("viewer")
    for name in ("workflow-executions", "runs"):
        answer = client.get(f"/api/{name}/{run.pk}/agent-conversation")
        assert answer.status_code == 200
        rows = answer.json()["results"]
        assert [row["message_type"] for row in rows] == ["request", "error", "request", "response"]
        assert [row["seq"] for row in rows] == [1, 2, 3, 4]
        assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
        assert {row["agent_name"] for row in rows} == {"NewsDesk"}
        assert {row["step_index"] for row in rows} == {1}
        assert rows[3]["tokens_used"] == 7
        assert rows[3]["message_content"] == '{"tokens_used": 7}'
        assert rows[0]["tokens_used"] is None


def test_a_conversation_is_read_in_pages_and_by_kind(api: Api, trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    for number in range(5):
        message_record(
            execution_id=run.pk,
            step_index=0,
            agent=newsdesk,
            message_type="response" if number % 2 else "request",
            content=str(number),
        )
    client, here = api("viewer"), f"/api/v1/runs/{run.pk}/agent-conversation"
    seen, url = [], f"{here}?page_size=2"
    while url:
        page = client.get(url).json()
        seen += [row["message_content"] for row in page["results"]]
        url = page["next"]
    assert seen == ["0", "1", "2", "3", "4"]
    responses = client.get(f"{here}?message_type=response&agent_name=NewsDesk&count=true").json()
    assert responses["count"] == 2
    assert client.get(f"{here}?message_type=gossip").json()["errors"][0]["pointer"] == "message_type"


def test_a_run_that_is_not_there_has_no_conversation(api: Api) -> None:
    answer = api("viewer").get(f"/api/runs/{uuid7()}/agent-conversation")
    assert (answer.status_code, answer.json()["code"]) == (404, "EXECUTION_NOT_FOUND")
    assert api("viewer").get("/api/runs/seven/agent-conversation").status_code == 400


def test_time_never_goes_back_within_a_conversation(trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    for moment in (NOON, NOON - timedelta(seconds=3), NOON + timedelta(seconds=1)):
        with clock.frozen(moment):
            message_record(execution_id=run.pk, step_index=0, agent=newsdesk, message_type="request", content="x")
    times = [m.timestamp for m in AgentConversation.objects.order_by("seq")]
    assert times == [NOON, NOON, NOON + timedelta(seconds=1)]


def test_what_no_database_holds_is_replaced_and_what_is_long_is_cut(trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    message = message_record(
        execution_id=run.pk, step_index=0, agent=newsdesk, message_type="error", content="a\x00b\ud800" + "x" * 70_000
    )
    message.refresh_from_db()
    assert message.message_content.startswith("a\ufffdb?x")
    assert (len(message.message_content), message.truncated) == (64 * 1024, True)


def _figures(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["agent_name"] == name)


@pytest.fixture
def spoken(trials: Trials, newsdesk: Agent) -> list[WorkflowExecution]:
    """Two ended runs with 3 and 5 decisions: NewsDesk answers twice in the first, fails in the second; Other answers."""
    other = agent_create(actor=SYSTEM, name="Other", kind="http", endpoint="https://other.example.com/")
    runs = [trials.create("one") for _ in range(2)]
    for run, decisions in zip(runs, (3, 5), strict=True):
        WorkflowExecution.objects.filter(pk=run.pk).update(decisions_made=decisions)
    base: dict[str, Any] = {"step_index": 0, "content": "x"}
    spoken = [
        (runs[0], newsdesk, {"message_type": "request"}),
        (runs[0], newsdesk, {"message_type": "response", "tokens_used": 10, "latency_ms": 100.0, "decisions": 2}),
        (runs[0], newsdesk, {"message_type": "response", "tokens_used": 30, "latency_ms": 300.0, "decisions": 1}),
        (runs[1], newsdesk, {"message_type": "request"}),
        (runs[1], newsdesk, {"message_type": "error", "latency_ms": 9000.0, "error_code": "AGENT_UNAVAILABLE"}),
        (runs[1], newsdesk, {"message_type": "error", "error_code": "RUN_CANCELLED"}),
        (runs[1], other, {"message_type": "response", "latency_ms": 7.0}),
    ]
    for hour, (run, agent, fields) in enumerate(spoken):
        with clock.frozen(NOON + timedelta(hours=hour)):
            message_record(execution_id=run.pk, agent=agent, **base, **fields)
    return runs


def test_performance_adds_up_what_each_agent_said(api: Api, spoken: list[WorkflowExecution]) -> None:
    rows = api("viewer").get("/api/agents/performance").json()
    assert [row["agent_name"] for row in rows] == ["NewsDesk", "Other"]
    assert _figures(rows, "NewsDesk") == {
        "agent_name": "NewsDesk",
        "total_messages": 6,
        "average_tokens": 20.0,
        "total_tokens": 40,
        "runs": 2,
        "answers": 2,
        "failures": 1,
        "decisions_stated": 3,
        "decisions_influenced": 3,
        "latency_p50_ms": 100.0,
        "latency_p95_ms": 300.0,
        "last_message_at": "2026-01-05T17:00:00Z",
    }
    other = _figures(rows, "Other")
    assert (other["decisions_influenced"], other["average_tokens"], other["latency_p95_ms"]) == (5, None, 7.0)


def test_performance_is_bounded_by_time(api: Api, spoken: list[WorkflowExecution]) -> None:
    rows = api("viewer").get("/api/agents/performance?date_range=2026-01-05T14:00:00Z,2026-01-05T15:00:00Z").json()
    (row,) = rows
    assert (row["total_messages"], row["total_tokens"], row["decisions_influenced"]) == (1, 30, 3)
    assert api("viewer").get("/api/agents/performance?date_range=2030-01-01,").json() == []
    wrong = api("viewer").get("/api/agents/performance?date_range=now")
    assert wrong.json()["errors"][0]["pointer"] == "date_range"


def test_an_agents_own_performance_follows_it_through_its_names(
    api: Api, spoken: list[WorkflowExecution], newsdesk: Agent
) -> None:
    Agent.objects.filter(pk=newsdesk.pk).update(name="Renamed")
    message_record(
        execution_id=spoken[0].pk,
        step_index=0,
        agent=Agent.objects.get(pk=newsdesk.pk),
        message_type="response",
        content="x",
    )
    row = api("viewer").get(f"/api/agents/{newsdesk.pk}/performance").json()
    assert (row["agent_name"], row["total_messages"], row["decisions_influenced"]) == ("Renamed", 7, 3)
    assert api("viewer").get(f"/api/agents/{uuid7()}/performance").status_code == 404


def test_an_agent_that_never_spoke_has_empty_figures(api: Api, newsdesk: Agent) -> None:
    row = api("viewer").get(f"/api/agents/{newsdesk.pk}/performance").json()
    assert (row["total_messages"], row["latency_p50_ms"], row["last_message_at"]) == (0, None, None)


@pytest.mark.parametrize(("count", "p50", "p95"), [(1, 1, 1), (2, 1, 2), (20, 10, 19), (21, 11, 20), (100, 50, 95)])
def test_percentiles_are_those_of_the_nearest_rank(
    api: Api, trials: Trials, newsdesk: Agent, count: int, p50: int, p95: int
) -> None:
    run = trials.create("one")
    AgentConversation.objects.bulk_create(
        AgentConversation(
            workflow_execution=run, seq=n, step_index=0, agent=newsdesk, agent_name="NewsDesk",
            message_type="response", message_content="", latency_ms=float(n),
        )
        for n in range(1, count + 1)
    )  # fmt: skip
    (row,) = api("viewer").get("/api/agents/performance").json()
    assert (row["latency_p50_ms"], row["latency_p95_ms"]) == (p50, p95)


def test_performance_is_added_up_by_the_database(
    api: Api, trials: Trials, newsdesk: Agent, django_assert_max_num_queries: Any
) -> None:
    run = trials.create("one")
    client = api("viewer")
    for number in range(30):
        message_record(
            execution_id=run.pk,
            step_index=0,
            agent=newsdesk,
            message_type="response",
            content=str(number),
            latency_ms=1,
        )
    with django_assert_max_num_queries(5, connection=connection) as captured:
        assert len(client.get("/api/agents/performance").json()) == 1
    assert not any("message_content" in query["sql"] for query in captured)
