"""Agents to register, and a program at an address that answers as a test tells it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from agents.models import Agent, AgentConversation
from agents.services import agent_create, said_record
from agents.team.words import Said, SaidType
from executions import leases
from executions.models import WorkflowExecution
from executions.services import execution_create
from tests.agents.program import Program, served
from tests.executions.conftest import Trials, instrument, trials
from tests.portfolio.conftest import account, acme, prices
from tradingsite.common.actor import Actor
from tradingsite.common.contracts.steps import StepContext, StepResult

__all__ = ["account", "acme", "instrument", "prices", "trials"]

SYSTEM = Actor.system("tests")
SERIES = {"IBM": {"decision_close": "100", "decision_time": "2026-01-02T14:30:00Z"}}


@pytest.fixture(autouse=True)
def lease_of_what_nobody_else_sees(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run that is rolled back keep its worker, however long the machine takes.

    Leases are renewed by another thread over another connection, for which such a run is not there: on PostgreSQL it is
    lost, on SQLite that thread waits for the test to end its transaction. So they last long here, and nobody renews them.
    """
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and not marker.kwargs.get("transaction") and "transactional_db" not in request.fixturenames:
        monkeypatch.setattr("executions.fence.LEASE", timedelta(minutes=10))
        monkeypatch.setattr(leases.Lease, "length", timedelta(minutes=10))
        monkeypatch.setattr(leases.LeaseKeeper, "_keep", lambda keeper, lease: None)


@pytest.fixture
def body() -> dict[str, Any]:
    """A valid body of an agent at an address."""
    return {
        "name": "NewsDesk",
        "kind": "http",
        "description": "Reads the news.",
        "endpoint": "https://agents.example.com/decide",
        "tools": ["search_news"],
    }


@pytest.fixture
def program(settings: Any) -> Iterator[Program]:
    """A program on this machine that the desk may call."""
    with served() as one:
        settings.OUTBOUND_ALLOWED = [one.place]
        yield one


@pytest.fixture
def desk(db: None, program: Program) -> Agent:
    """The program, registered as NewsDesk."""
    return agent_create(actor=SYSTEM, name="NewsDesk", kind="http", endpoint=f"{program.url}/decide")


@pytest.fixture
def asking(trials: Trials, desk: Agent) -> Callable[..., WorkflowExecution]:
    """Return a factory of runs with two steps: one that puts IBM's prices out, and one that asks NewsDesk."""

    def make(retries: int = 0, **config: Any) -> WorkflowExecution:
        trials.acts["prices"] = _prices
        ask = {"name": "ask", "type": "http_agent", "config": {"agent": "NewsDesk", **config}, "retries": retries}
        workflow = trials.workflow("prices", ask)
        return execution_create(actor=trials.actor, workflow=workflow, strategy=trials.strategy(workflow))

    return make


def _prices(context: StepContext) -> StepResult:
    return StepResult({"series": SERIES})


def spoke(
    run: WorkflowExecution,
    agent: Agent | None = None,
    type_: str = "request",
    content: str = "x",
    *,
    step_index: int = 0,
    tokens_used: int | None = None,
    decisions: int = 0,
    **said: Any,
) -> AgentConversation:
    """Write one message of a conversation down."""
    words = {"symbol": "", "agent_name": agent.name if agent is not None else "Somebody", **said}
    return said_record(
        execution_id=run.pk,
        step_index=step_index,
        said=Said(type=SaidType(type_), content=content, **words),
        agent=agent,
        tokens_used=tokens_used,
        decisions=decisions,
    )
