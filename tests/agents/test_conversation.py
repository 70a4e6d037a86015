"""What runs and agents said."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from agents.models import Agent, AgentConversation
from agents.services import agent_create
from executions.models import WorkflowExecution
from tests.agents.conftest import SYSTEM, spoke
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
        spoke(run, newsdesk, "response" if number % 2 else "request", str(number))
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


def test_a_conversation_is_read_for_one_symbol_with_what_each_message_took(api: Api, trials: Trials) -> None:
    run = trials.create("one")
    spoke(run, None, "request", "What now?", symbol="ACME", agent_name="Technical")
    spoke(
        run, None, "response", "Up.", symbol="IBM", agent_name="Technical", model="desk-rules", prompt_tokens=20,
        completion_tokens=5, cost=Decimal("0.00125"), cut_off=True,
    )  # fmt: skip
    spoke(run, None, "tool_call", "{}", symbol="IBM", agent_name="Technical", tool="bars", call_id="c1")
    client, here = api("viewer"), f"/api/v1/workflow-executions/{run.pk}/agent-conversation"
    answer, call = client.get(f"{here}?symbol=IBM&agent_name=Technical").json()["results"]
    assert (answer["symbol"], answer["model"], answer["attempt"]) == ("IBM", "desk-rules", 1)
    assert (answer["tokens_used"], answer["prompt_tokens"], answer["completion_tokens"]) == (25, 20, 5)
    assert (answer["cost"], answer["cut_off"], call["cost"]) == ("0.00125", True, None)
    assert (call["message_type"], call["tool"], call["call_id"]) == ("tool_call", "bars", "c1")


def test_a_run_that_is_not_there_has_no_conversation(api: Api) -> None:
    answer = api("viewer").get(f"/api/runs/{uuid7()}/agent-conversation")
    assert (answer.status_code, answer.json()["code"]) == (404, "EXECUTION_NOT_FOUND")
    assert api("viewer").get("/api/runs/seven/agent-conversation").status_code == 400


def test_time_never_goes_back_within_a_conversation(trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    for moment in (NOON, NOON - timedelta(seconds=3), NOON + timedelta(seconds=1)):
        with clock.frozen(moment):
            spoke(run, newsdesk, "request", "x")
    times = [m.timestamp for m in AgentConversation.objects.order_by("seq")]
    assert times == [NOON, NOON, NOON + timedelta(seconds=1)]


def test_what_no_database_holds_is_replaced_and_what_is_long_is_cut(trials: Trials, newsdesk: Agent) -> None:
    run = trials.create("one")
    message = spoke(run, newsdesk, "error", "a\x00b\ud800" + "x" * 70_000)
    message.refresh_from_db()
    assert message.message_content.startswith("a\ufffdb?x")
    assert (len(message.message_content), message.truncated) == (64 * 1024, True)
