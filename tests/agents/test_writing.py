"""What a team says goes in as it is said: cheaply, told to the sockets, and without a secret of the desk."""

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.masking import masked
from agents.models import AgentConversation, AgentRecommendation
from agents.services import outcome_record
from agents.team.words import Arrangement, Member, Outcome, Role, Team
from executions.errors import ExecutionNotFound
from executions.models import StepExecution, WorkflowExecution
from tests.agents.conftest import spoke
from tests.agents.program import Program, answering
from tests.executions.conftest import Trials
from tradingsite.common.ids import uuid7
from tradingsite.common.models import LiveEvent

pytestmark = pytest.mark.django_db
Asking = Callable[..., WorkflowExecution]
TEAM = Team(
    (
        Member("Technical", Role.ANALYST, "p"),
        Member("Risk", Role.RISK, "p"),
        Member("Executor", Role.DECISION, "p"),
    ),
    Arrangement.ROUND_ROBIN,
)
PIN = {"source": "trial-prices", "timeframe": "1d", "adjustment": "none"}
BUY: dict[str, Any] = {
    "symbol": "IBM", "action": "BUY", "confidence": 0.7, "reason": "it rises", "price": "100",
    "bar_time": "2026-01-02T14:30:00Z",
}  # fmt: skip


@pytest.fixture
def run(trials: Trials) -> WorkflowExecution:
    return trials.create("one", "two")


def told(type_: str) -> list[dict[str, Any]]:
    return [event.data for event in LiveEvent.objects.filter(stream="agent", type=type_).order_by("seq")]


def advice() -> dict[str, tuple[str, str, bool]]:
    rows = AgentRecommendation.objects.order_by("agent_name")
    return {row.agent_name: (row.action, row.final_action, row.followed) for row in rows}


def decided(run: WorkflowExecution, decision: dict[str, Any] = BUY, code: str = "", **more: Any) -> None:
    stated = None if code else {"action": decision["action"], "confidence": 0.7, "reason": "it rises"}
    outcome = Outcome("IBM", stated, code=code, tokens=30, messages=3, seconds=1.5)
    outcome_record(
        execution_id=run.pk, step_index=1, outcome=outcome, decision=decision, **{"series": PIN, "team": TEAM, **more}
    )


def test_a_message_holds_all_that_was_said_of_it(run: WorkflowExecution) -> None:
    StepExecution.objects.filter(execution=run, index=1).update(attempts=2)
    spoke(
        run, None, "response", "Up. Recommendation: BUY (confidence 0.62)", step_index=1, symbol="IBM",
        agent_name="Technical", model="desk-rules", prompt_tokens=20, completion_tokens=5, cost=Decimal("0.00125"),
        latency_ms=12.5, cut_off=True,
    )  # fmt: skip
    row = AgentConversation.objects.get()
    assert (row.seq, row.step_index, row.attempt, row.symbol, row.agent_name) == (1, 1, 2, "IBM", "Technical")
    assert (row.tokens_used, row.prompt_tokens, row.completion_tokens) == (25, 20, 5)
    assert (row.model, row.cost, row.latency_ms, row.cut_off) == ("desk-rules", Decimal("0.00125"), 12.5, True)
    (news,) = told("message")
    assert news["execution_id"] == str(run.pk)
    assert (news["message_seq"], news["symbol"], news["agent_name"]) == (1, "IBM", "Technical")
    assert (news["message_type"], news["tokens_used"], news["cost"]) == ("response", 25, "0.00125")


def test_a_tool_is_told_as_one_and_a_long_text_is_cut_for_the_sockets(run: WorkflowExecution) -> None:
    spoke(run, None, "tool_call", '{"bars": 5}', tool="bars", call_id="c1")
    spoke(run, None, "tool_result", "9" * 9000, tool="bars", call_id="c1")
    call, result = told("tool_call")
    assert (call["tool"], call["message_content"], call["truncated"]) == ("bars", '{"bars": 5}', False)
    assert (len(result["message_content"]), result["truncated"]) == (4000, True)
    assert len(AgentConversation.objects.get(seq=2).message_content) == 9000


def test_a_message_takes_two_statements_beside_its_transaction(run: WorkflowExecution) -> None:
    spoke(run)
    with CaptureQueriesContext(connection) as captured:
        spoke(run)
    statements = [q["sql"] for q in captured if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    # SQLite, to which no trip leads, takes the sockets' line as two.
    assert len(statements) <= (2 if connection.vendor == "postgresql" else 3), statements


def test_a_run_that_is_not_there_is_named() -> None:
    with pytest.raises(ExecutionNotFound):
        spoke(WorkflowExecution(pk=uuid7()))


def test_no_secret_of_the_desk_is_kept(run: WorkflowExecution, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    key = 'hush-"hush"/1'
    monkeypatch.setenv("NEWS_TOKEN", key)
    settings.AGENT_KEYS = ["NEWS_TOKEN@agents.example.com", "nonsense"]
    settings.SECRET_KEY = "signs-everything"
    settings.REDIS_URL = "redis://:pass%2Fword@127.0.0.1:6379/0"
    said = [
        key, json.dumps({"key": key}), base64.b64encode(key.encode()).decode(), "hush-%22hush%22%2F1",
        "signs-everything", "pass/word", settings.REDIS_URL,
    ]  # fmt: skip
    spoke(run, None, "response", "\n".join(said))
    for text in (AgentConversation.objects.get().message_content, told("message")[0]["message_content"]):
        assert "hush-" not in text
        assert "signs" not in text
        assert "word" not in text
        assert base64.b64encode(key.encode()).decode()[:-2] not in text
        assert "[secret NEWS_TOKEN]" in text
        assert "[secret SECRET_KEY]" in text


def test_a_secret_that_the_cut_would_go_through_is_masked_before(run: WorkflowExecution, settings: Any) -> None:
    settings.SECRET_KEY = "signs-everything"
    spoke(run, None, "response", "x" * (64 * 1024 - 8) + settings.SECRET_KEY)
    assert "signs" not in AgentConversation.objects.get().message_content


def test_what_is_too_short_to_be_a_secret_stays(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWS_TOKEN", "desk")
    settings.AGENT_KEYS = ["NEWS_TOKEN@agents.example.com"]
    assert masked("the desk decides") == "the desk decides"


def test_what_each_member_advised_stands_beside_the_decision(run: WorkflowExecution) -> None:
    base = {"step_index": 1, "symbol": "IBM"}
    spoke(run, None, "response", "Recommendation: SELL (confidence 0.9)", agent_name="Technical", **base)
    spoke(run, None, "response", "Now it turned.\nRecommendation: BUY (confidence 0.4)", agent_name="Technical", **base)
    spoke(run, None, "response", "Recommendation: HOLD (confidence 0.5)", agent_name="Risk", **base)
    spoke(run, None, "response", "Recommendation: SELL (confidence 0.5)", agent_name="Stranger", **base)
    spoke(run, None, "response", '{"action": "BUY", "confidence": 0.7}', agent_name="Executor", **base)
    spoke(run, None, "response", "Recommendation: SELL", agent_name="Risk", step_index=1, symbol="MSFT")
    decided(run)
    assert advice() == {
        "Executor": ("BUY", "BUY", True),
        "Risk": ("HOLD", "BUY", False),
        "Technical": ("BUY", "BUY", True),
    }
    row = AgentRecommendation.objects.get(agent_name="Executor")
    assert (row.confidence, row.price, row.is_decider, row.source) == (0.7, Decimal(100), True, "trial-prices")
    assert (row.others, row.agreed) == (2, 1)
    (news,) = told("decision")
    assert (news["symbol"], news["action"], news["reason"], news["tokens_used"]) == ("IBM", "BUY", "it rises", 30)


def test_who_argues_for_a_side_as_it_was_told_does_not_advise(run: WorkflowExecution) -> None:
    base = {"step_index": 1, "symbol": "IBM"}
    bull = Member("Bull", Role.BULL, "p")
    debate = Team((*TEAM.members, bull), Arrangement.DEBATE)
    for name, action in (("Technical", "SELL"), ("Risk", "HOLD"), ("Bull", "BUY"), ("Technical", "BUY")):
        spoke(run, None, "response", f"Recommendation: {action}", agent_name=name, **base)
    decided(run, team=debate)
    assert advice() == {
        "Executor": ("BUY", "BUY", True),
        "Risk": ("HOLD", "BUY", False),
        "Technical": ("SELL", "BUY", False),
    }


def test_who_advised_to_hold_was_not_followed_by_a_team_that_failed(run: WorkflowExecution) -> None:
    spoke(run, None, "response", "Recommendation: HOLD", agent_name="Risk", step_index=1, symbol="IBM")
    decided(run, {**BUY, "action": "HOLD"}, code="BUDGET_TOKENS")
    assert advice() == {"Risk": ("HOLD", "HOLD", False)}
    assert told("decision")[0]["code"] == "BUDGET_TOKENS"


def test_a_step_that_is_tried_again_advises_anew(run: WorkflowExecution) -> None:
    base = {"step_index": 1, "symbol": "IBM"}
    spoke(run, None, "response", "Recommendation: SELL", agent_name="Technical", **base)
    spoke(run, None, "response", "Recommendation: SELL", agent_name="Risk", **base)
    decided(run, {**BUY, "action": "SELL"})
    AgentRecommendation.objects.update(return_1=0.5)
    StepExecution.objects.filter(execution=run, index=1).update(attempts=2)
    spoke(run, None, "response", "Recommendation: BUY", agent_name="Technical", **base)
    decided(run)
    assert advice() == {"Executor": ("BUY", "BUY", True), "Technical": ("BUY", "BUY", True)}
    assert AgentRecommendation.objects.get(agent_name="Technical").return_1 is None


def test_the_series_is_found_in_the_runs_own_step(trials: Trials) -> None:
    pins = {"IBM": {**PIN, "source": "pinned"}, "MSFT": PIN}
    run = trials.create("market", "two")
    StepExecution.objects.filter(execution=run, index=0).update(type="market_data", output={"series": pins})
    decided(run, series=None)
    assert AgentRecommendation.objects.get().source == "pinned"


def test_an_answer_of_an_http_agent_advises_too_and_a_later_decision_stands_above_it(
    trials: Trials, asking: Asking, program: Program
) -> None:
    buy = {"symbol": "IBM", "action": "BUY", "confidence": 0.7, "reason": "good news"}
    program.says(answering({"decisions": [buy]}))
    run = trials.carry(asking())
    assert run.status == "completed", run.error_message
    assert advice() == {"NewsDesk": ("BUY", "BUY", True)}
    (news,) = told("decision")
    assert (news["agent_name"], news["action"]) == ("NewsDesk", "BUY")
    outcome = Outcome("IBM", {"action": "SELL", "confidence": 0.6})
    outcome_record(
        execution_id=run.pk, step_index=2, outcome=outcome, decision={**BUY, "action": "SELL"}, team=TEAM, series=PIN
    )
    assert advice() == {"Executor": ("SELL", "SELL", True), "NewsDesk": ("BUY", "SELL", False)}
