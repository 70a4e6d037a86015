"""What agents contribute: what they said, what it cost, and how what they advised turned out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from agents.models import Agent, AgentConversation, AgentRecommendation
from agents.services import agent_create
from executions.models import WorkflowExecution
from tests.agents.conftest import SYSTEM, spoke
from tests.executions.conftest import Trials
from tradingsite.common import clock
from tradingsite.common.ids import uuid7

pytestmark = pytest.mark.django_db
Api = Callable[..., APIClient]
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
THEN = "date_range=2026-01-01,2026-02-01"
HERE = "/api/agents/performance"


@pytest.fixture
def newsdesk(db: None) -> Agent:
    return agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint="https://agents.example.com/")


def advised(run: WorkflowExecution, name: str, action: str, final: str, **fields: Any) -> AgentRecommendation:
    """Write one recommendation straight into its table."""
    defaults: dict[str, Any] = {
        "step_index": 0, "symbol": "IBM", "followed": action == final, "created_at": NOON, "price": Decimal(100),
        "bar_time": NOON,
    }  # fmt: skip
    return AgentRecommendation.objects.create(
        workflow_execution=run, agent_name=name, action=action, final_action=final, **{**defaults, **fields}
    )


def figures(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["agent_name"] == name)


@pytest.fixture
def spoken(trials: Trials, newsdesk: Agent) -> list[WorkflowExecution]:
    """Two runs: NewsDesk answers twice in the first, fails in the second; Other answers there."""
    other = agent_create(actor=SYSTEM, name="Other", kind="http", endpoint="https://other.example.com/")
    runs = [trials.create("one") for _ in range(2)]
    spoken = [
        (runs[0], newsdesk, {"type_": "request"}),
        (runs[0], newsdesk, {"type_": "response", "tokens_used": 10, "latency_ms": 100.0, "cost": Decimal("0.25")}),
        (runs[0], newsdesk, {"type_": "response", "tokens_used": 30, "latency_ms": 300.0, "cost": Decimal("0.5")}),
        (runs[1], newsdesk, {"type_": "request"}),
        (runs[1], newsdesk, {"type_": "error", "latency_ms": 9000.0, "error_code": "AGENT_UNAVAILABLE"}),
        (runs[1], newsdesk, {"type_": "error", "error_code": "RUN_CANCELLED"}),
        (runs[1], other, {"type_": "response", "latency_ms": 7.0}),
    ]
    for hour, (run, agent, fields) in enumerate(spoken):
        with clock.frozen(NOON + timedelta(hours=hour)):
            spoke(run, agent, **fields)
    return runs


def test_performance_adds_up_what_each_agent_said(api: Api, spoken: list[WorkflowExecution], newsdesk: Agent) -> None:
    advised(spoken[0], "NewsDesk", "BUY", "BUY", agent=newsdesk, others=3, agreed=2)
    advised(spoken[0], "NewsDesk", "SELL", "HOLD", symbol="ACME", agent=newsdesk, others=1)
    rows = api("viewer").get(f"{HERE}?{THEN}").json()
    assert [row["agent_name"] for row in rows] == ["NewsDesk", "Other"]
    nothing = {
        "judged": 0, "mean_return": None, "hit_rate": None, "base_return": None, "base_hit_rate": None,
    }  # fmt: skip
    assert figures(rows, "NewsDesk") == {
        "agent_name": "NewsDesk",
        "total_messages": 6,
        "average_tokens": 20.0,
        "total_tokens": 40,
        "runs": 2,
        "answers": 2,
        "failures": 1,
        "cost": "0.75",
        "known_cost": "0.75",
        "recommendations": 2,
        "decisions_influenced": 1,
        "agreement_rate": 0.5,
        "latency_p50_ms": 100.0,
        "latency_p95_ms": 300.0,
        "last_message_at": "2026-01-05T17:00:00Z",
        "later_returns": [{"bars": bars, **nothing} for bars in (1, 5, 20)],
    }
    other = figures(rows, "Other")
    assert (other["decisions_influenced"], other["average_tokens"], other["latency_p95_ms"]) == (0, None, 7.0)
    assert other["agreement_rate"] is None


def test_one_unknown_price_makes_the_cost_unknown_and_the_known_part_stays(
    api: Api, spoken: list[WorkflowExecution], newsdesk: Agent
) -> None:
    with clock.frozen(NOON):
        spoke(spoken[0], newsdesk, "response", tokens_used=5)
    row = figures(api("viewer").get(f"{HERE}?{THEN}").json(), "NewsDesk")
    assert (row["cost"], row["known_cost"]) == (None, "0.75")


def test_performance_is_bounded_by_time(api: Api, spoken: list[WorkflowExecution]) -> None:
    advised(spoken[0], "NewsDesk", "BUY", "BUY", created_at=NOON + timedelta(hours=2))
    advised(spoken[1], "NewsDesk", "BUY", "BUY", created_at=NOON + timedelta(hours=3))
    (row,) = api("viewer").get(f"{HERE}?date_range=2026-01-05T14:00:00Z,2026-01-05T15:00:00Z").json()
    assert (row["total_messages"], row["total_tokens"], row["decisions_influenced"]) == (1, 30, 1)
    assert api("viewer").get(f"{HERE}?date_range=2030-01-01,").json() == []
    wrong = api("viewer").get(f"{HERE}?date_range=now")
    assert wrong.json()["errors"][0]["pointer"] == "date_range"


def test_without_a_range_the_last_ninety_days_are_meant(api: Api, spoken: list[WorkflowExecution]) -> None:
    client = api("viewer")
    with clock.frozen(NOON + timedelta(days=90)):
        assert [row["agent_name"] for row in client.get(HERE).json()] == ["NewsDesk", "Other"]
    with clock.frozen(NOON + timedelta(days=91)):
        assert client.get(HERE).json() == []
        assert len(client.get(f"{HERE}?date_range=,").json()) == 2


def test_an_agents_own_performance_follows_it_through_its_names(
    api: Api, spoken: list[WorkflowExecution], newsdesk: Agent
) -> None:
    Agent.objects.filter(pk=newsdesk.pk).update(name="Renamed")
    with clock.frozen(NOON):
        spoke(spoken[0], Agent.objects.get(pk=newsdesk.pk), "response", "x")
    advised(spoken[0], "NewsDesk", "BUY", "BUY", agent=newsdesk)
    advised(spoken[0], "Renamed", "BUY", "BUY", agent=newsdesk, symbol="ACME")
    row = api("viewer").get(f"/api/agents/{newsdesk.pk}/performance?{THEN}").json()
    assert (row["agent_name"], row["total_messages"], row["decisions_influenced"]) == ("Renamed", 7, 2)
    assert api("viewer").get(f"/api/agents/{uuid7()}/performance").status_code == 404


def test_later_returns_are_signed_by_the_action_and_stand_beside_the_same_by_lot(api: Api, trials: Trials) -> None:
    run = trials.create("one")
    for symbol, action, gained in (
        ("A", "BUY", 0.10), ("B", "BUY", -0.02), ("C", "SELL", -0.04), ("D", "HOLD", 0.08), ("E", "SELL", None),
    ):  # fmt: skip
        advised(run, "Technical", action, action, symbol=symbol, return_1=gained)
    (row,) = api("viewer").get(f"{HERE}?{THEN}").json()
    one, five, _ = row["later_returns"]
    assert (one["bars"], one["judged"], five["judged"]) == (1, 3, 0)
    assert one["mean_return"] == pytest.approx((0.10 - 0.02 + 0.04) / 3)
    assert one["hit_rate"] == pytest.approx(2 / 3)
    # Two BUYs and a SELL dealt by lot to four, whose mean is 0.03 and of which two rose and two fell.
    assert one["base_return"] == pytest.approx(0.03 / 3)
    assert one["base_hit_rate"] == pytest.approx(0.5)
    assert five["mean_return"] is None


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
    (row,) = api("viewer").get(HERE).json()
    assert (row["latency_p50_ms"], row["latency_p95_ms"]) == (p50, p95)


def test_performance_is_added_up_by_the_database(
    api: Api, trials: Trials, newsdesk: Agent, django_assert_max_num_queries: Any
) -> None:
    run = trials.create("one")
    client = api("viewer")
    for number in range(30):
        spoke(run, newsdesk, "response", str(number), latency_ms=1)
    with django_assert_max_num_queries(5, connection=connection) as captured:
        assert len(client.get(HERE).json()) == 1
    assert not any("message_content" in query["sql"] for query in captured)
