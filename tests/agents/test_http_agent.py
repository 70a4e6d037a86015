"""The step that asks an agent: one effect however often it is tried, and nothing in an answer is obeyed."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from agents.models import Agent, AgentConversation
from agents.services import agent_update
from executions import runner
from executions.models import StepExecution, WorkflowExecution
from executions.services import execution_cancel, execution_create, execution_retry
from portfolio.models import Account, Order
from tests.agents.conftest import SERIES, SYSTEM
from tests.agents.program import Call, Program, answering
from tests.executions.conftest import Trials
from tradingsite.common import lifecycle
from tradingsite.common.contracts.steps import StepResult
from tradingsite.common.errors import ValidationFailed
from workflows.services import strategy_create, workflow_create

pytestmark = pytest.mark.django_db
Asking = Callable[..., WorkflowExecution]
BUY = {"symbol": "IBM", "action": "BUY", "confidence": 0.7, "reason": "good news", "stop": "95", "target": "110"}


def ask_step(run: WorkflowExecution) -> StepExecution:
    return StepExecution.objects.get(execution=run, name="ask")


def said(run: WorkflowExecution) -> list[tuple[str, str]]:
    return [(m.message_type, m.error_code) for m in AgentConversation.objects.filter(workflow_execution=run)]


def test_an_agent_is_told_of_the_run_and_its_answer_is_the_steps_output(
    trials: Trials, asking: Asking, program: Program
) -> None:
    program.says(answering({"mood": "calm", "tokens_used": 42}))
    run = trials.carry(asking(payload={"question": "What now?"}))
    assert run.status == "completed", run.error_message
    (call,) = program.calls
    assert (call.method, call.path) == ("POST", "/decide")
    assert call.headers["content-type"] == "application/json"
    assert call.headers["idempotency-key"] == f"{run.pk}:ask"
    told = call.json
    assert told["run_id"] == str(run.pk)
    assert told["step"] == "ask"
    assert told["idempotency_key"] == f"{run.pk}:ask"
    assert told["symbols"] == ["IBM"]
    assert list(told["outputs"]) == ["prices"]
    assert told["payload"] == {"question": "What now?"}
    assert told["as_of"].endswith("Z")
    assert ask_step(run).output == {"agent": "NewsDesk", "answer": {"mood": "calm", "tokens_used": 42}}
    request, response = AgentConversation.objects.filter(workflow_execution=run)
    assert (request.message_type, request.seq, request.message_content) == ("request", 1, call.body.decode())
    assert (response.message_type, response.seq, response.tokens_used) == ("response", 2, 42)
    assert response.latency_ms is not None
    assert response.latency_ms > 0
    assert request.timestamp <= response.timestamp


def test_an_agent_is_called_by_its_id_too(trials: Trials, asking: Asking, desk: Agent, program: Program) -> None:
    run = asking(agent=str(desk.pk))
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"name": "Renamed"})
    assert trials.carry(run).status == "completed"
    assert AgentConversation.objects.values_list("agent_name", flat=True).distinct().get() == "Renamed"


def test_decisions_are_judged_and_stand_as_if_a_signal_had_made_them(
    trials: Trials, asking: Asking, program: Program
) -> None:
    program.says(answering({"why": "read it", "decisions": [BUY]}))
    run = trials.carry(asking())
    assert run.status == "completed", run.error_message
    assert ask_step(run).output == {
        "agent": "NewsDesk",
        "answer": {"why": "read it"},
        "decisions": [{**BUY, "price": "100", "bar_time": "2026-01-02T14:30:00Z", "r_coefficient": 2.0}],
    }
    assert run.decisions_made == 1
    assert AgentConversation.objects.get(message_type="response").decisions == 1


def test_what_an_answer_orders_is_data_and_nothing_more(trials: Trials, asking: Asking, program: Program) -> None:
    orders = {"intents": [{"symbol": "IBM"}], "orders": [{"status": "filled"}], "series": {"IBM": {}}, "agent": "me"}
    program.says(answering(orders))
    run = trials.carry(asking())
    assert ask_step(run).output == {"agent": "NewsDesk", "answer": orders}
    assert run.orders_placed == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"decisions": {}}, "decisions"),
        ({"decisions": [7]}, "decisions/0"),
        ({"decisions": [{**BUY, "symbol": "MSFT"}]}, "decisions/0/symbol"),
        ({"decisions": [{**BUY, "action": "SHORT"}]}, "decisions/0/action"),
        ({"decisions": [{**BUY, "confidence": 1.5}]}, "decisions/0/confidence"),
        ({"decisions": [{**BUY, "confidence": True}]}, "decisions/0/confidence"),
        ({"decisions": [{**BUY, "reason": ""}]}, "decisions/0/reason"),
        ({"decisions": [{**BUY, "price": "99"}]}, "decisions/0/price"),
        ({"decisions": [{**BUY, "bar_time": "2027-01-01T00:00:00Z"}]}, "decisions/0/bar_time"),
        ({"decisions": [{**BUY, "stop": "101"}]}, "decisions/0/stop"),
        ({"decisions": [{**BUY, "stop": 95.5}]}, "decisions/0/stop"),
        ({"decisions": [{**BUY, "target": "99"}]}, "decisions/0/target"),
        ({"decisions": [{**BUY, "action": "HOLD"}]}, "decisions/0/stop"),
        ({"decisions": [{**BUY, "r_coefficient": 9}]}, "decisions/0/r_coefficient"),
        ({"decisions": [{**BUY, "quantity": "1000000"}]}, "decisions/0/quantity"),
        ({"decisions": [BUY, BUY]}, "decisions/1/symbol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_decision_that_is_none_ends_the_step(
    trials: Trials, asking: Asking, program: Program, wrong: Any, named: str
) -> None:
    program.says(answering(wrong))
    run = trials.carry(asking(retries=3))
    assert (run.status, run.error_code) == ("failed", "AGENT_ANSWER_INVALID")
    assert f"{named}: " in run.error_message
    assert len(program.calls) == 1
    assert said(run) == [("request", ""), ("error", "AGENT_ANSWER_INVALID")]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"<html>", "not valid JSON"),
        (b"[1, 2]", "must be a JSON object"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": 1, "a": 2}', "named twice"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\u0000"}', "NUL"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "deeper"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "longer than"),
    ],
)
def test_an_answer_that_is_no_sound_json_ends_the_step(
    trials: Trials, asking: Asking, program: Program, answer: bytes, told: str
) -> None:
    program.says(answering(answer))
    run = trials.carry(asking(retries=3))
    assert (run.status, run.error_code) == ("failed", "AGENT_ANSWER_INVALID")
    assert told in run.error_message
    assert len(program.calls) == 1
    kept = AgentConversation.objects.get(message_type="error")
    assert len(kept.message_content) <= 64 * 1024
    assert kept.truncated == (len(answer) > 64 * 1024)


def test_an_answer_must_be_as_its_schema_has_it(trials: Trials, asking: Asking, program: Program) -> None:
    schema = {
        "type": "object",
        "required": ["score"],
        "properties": {"score": {"$ref": "#/$defs/share"}},
        "$defs": {"share": {"type": "number", "minimum": 0, "maximum": 1}},
    }
    program.says(answering({"score": 0.5}))
    assert trials.carry(asking(answer_schema=schema)).status == "completed"
    program.says(answering({"score": 7}))
    run = trials.carry(asking(answer_schema=schema))
    assert (run.status, run.error_code) == ("failed", "AGENT_ANSWER_INVALID")
    assert "score: 7 is greater than the maximum of 1" in run.error_message


def test_a_fault_that_passes_is_tried_again_with_the_same_key_and_acts_once(
    trials: Trials, asking: Asking, program: Program
) -> None:
    act = program.once_per_key({"done": True})

    def acted_and_failed(call: Call) -> None:
        program.effects[call.headers["idempotency-key"]] += 1
        call.answer(500, {"error": "after the deed"})

    program.says(acted_and_failed, answering({}, status=429), act)
    run = trials.carry(asking(retries=2))
    assert run.status == "completed", run.error_message
    assert len({call.headers["idempotency-key"] for call in program.calls}) == 1
    assert len({call.body for call in program.calls}) == 1
    assert dict(program.effects) == {f"{run.pk}:ask": 1}
    unavailable = ("error", "AGENT_UNAVAILABLE")
    assert said(run) == [("request", ""), unavailable, ("request", ""), unavailable, ("request", ""), ("response", "")]


def test_the_key_stays_when_another_worker_or_a_retry_goes_on(trials: Trials, asking: Asking, program: Program) -> None:
    program.says(answering({}, status=404), program.once_per_key({}))
    run = trials.carry(asking())
    assert (run.status, run.error_code) == ("failed", "AGENT_REFUSED")
    fence = run.fence
    execution_retry(actor=trials.actor, execution=run)
    run = trials.carry(run, "worker two")
    assert run.status == "completed"
    assert run.fence > fence
    assert {call.headers["idempotency-key"] for call in program.calls} == {f"{run.pk}:ask"}


@pytest.mark.parametrize(("status", "code"), [(400, "AGENT_REFUSED"), (404, "AGENT_REFUSED"), (302, "AGENT_REFUSED")])
def test_a_refusal_is_final(trials: Trials, asking: Asking, program: Program, status: int, code: str) -> None:
    program.says(lambda call: call.answer(status, {"say": "no"}, Location=f"{program.url}/other"))
    run = trials.carry(asking(retries=3))
    assert (run.status, run.error_code) == ("failed", code)
    assert [call.path for call in program.calls] == ["/decide"]
    assert "say" in AgentConversation.objects.get(message_type="error").message_content


def test_a_silent_agent_is_not_waited_for_beyond_its_time(trials: Trials, asking: Asking, program: Program) -> None:
    program.says(lambda call: call.sleep(30))
    begun = time.monotonic()
    run = trials.carry(asking(timeout_s=0.5))
    assert time.monotonic() - begun < 5
    assert (run.status, run.error_code) == ("failed", "AGENT_UNAVAILABLE")
    assert "0.5 s" in run.error_message


def test_an_address_off_the_public_network_is_not_called(
    trials: Trials, asking: Asking, program: Program, settings: Any
) -> None:
    settings.OUTBOUND_ALLOWED = []
    run = trials.carry(asking(retries=3))
    assert (run.status, run.error_code) == ("failed", "AGENT_ADDRESS_REFUSED")
    assert program.calls == []
    assert said(run) == [("request", ""), ("error", "AGENT_ADDRESS_REFUSED")]


def test_an_agent_that_is_not_there_any_more_is_named(trials: Trials, asking: Asking, desk: Agent) -> None:
    for changes, words in (
        ({"enabled": False}, "switched off"),
        ({"enabled": True, "kind": "rule", "endpoint": "macd"}, "of kind rule"),
        ({"name": "Other"}, "no agent 'NewsDesk'"),
    ):
        agent_update(actor=SYSTEM, agent_id=desk.pk, changes=changes)
        run = trials.carry(asking(retries=3))
        assert (run.status, run.error_code) == ("failed", "AGENT_UNUSABLE")
        assert words in run.error_message
        assert said(run) == []


def test_a_key_comes_from_the_variable_and_goes_nowhere_else(
    trials: Trials, asking: Asking, desk: Agent, program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AGENT_KEYS = [f"NEWS_TOKEN@{program.place}"]
    agent_update(actor=SYSTEM, agent_id=desk.pk, changes={"api_key_env": "NEWS_TOKEN"})
    monkeypatch.setenv("NEWS_TOKEN", "hush-hush")
    run = trials.carry(asking())
    assert run.status == "completed", run.error_message
    assert program.calls[0].headers["authorization"] == "Bearer hush-hush"
    told = [*AgentConversation.objects.values_list("message_content", flat=True), str(ask_step(run).logs)]
    assert "hush-hush" not in "".join(told)
    for value in ("", "two words", "line\nbreak"):
        monkeypatch.setenv("NEWS_TOKEN", value)
        run = trials.carry(asking())
        assert run.error_code == "AGENT_UNUSABLE"
        assert not value or value not in run.error_message
    # Taken back by who runs the desk, after the agent was registered.
    monkeypatch.setenv("NEWS_TOKEN", "hush-hush")
    settings.AGENT_KEYS = []
    assert trials.carry(asking()).error_code == "AGENT_UNUSABLE"
    assert len(program.calls) == 1


def test_who_took_the_run_over_asks_with_the_same_bytes_as_who_ran_the_steps_before(
    trials: Trials, asking: Asking, program: Program
) -> None:
    numbers = [1e16, 1.5e300, -0.0, 0.0, 1e-7, 0.1, 123456789.123, 100.0, 5]
    odd = {"numbers": numbers, "text": "ä\u2028"}
    run = asking(retries=0)
    trials.acts["prices"] = lambda context: StepResult({"series": SERIES, "odd": odd})
    program.says(answering({}, status=500), answering({}))
    trials.carry(run)
    execution_retry(actor=trials.actor, execution=trials.again(run))
    # The second worker reads the output from the database.
    assert trials.carry(run, "worker two").status == "completed"
    first, second = program.calls
    assert first.body == second.body
    told = first.json["outputs"]["prices"]["odd"]
    assert [float(number) for number in told["numbers"]] == numbers
    assert told["text"] == odd["text"]


def test_a_request_too_large_is_not_sent(
    trials: Trials, asking: Asking, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.calls.MAX_REQUEST", 100)
    run = trials.carry(asking())
    assert run.error_code == "AGENT_REQUEST_TOO_LARGE"
    assert program.calls == []


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_cancelled_stops_waiting_within_two_seconds(
    trials: Trials, asking: Asking, program: Program
) -> None:
    program.says(lambda call: call.sleep(60))
    run = asking(timeout_s=60)

    def carry() -> None:
        try:
            runner.run_execution(run.pk, "worker")
        finally:
            connection.close()

    worker = threading.Thread(target=carry, daemon=True)
    worker.start()
    deadline = time.monotonic() + 20
    while not program.calls and time.monotonic() < deadline:
        time.sleep(0.02)
    assert program.calls
    begun = time.monotonic()
    execution_cancel(actor=trials.actor, execution=trials.again(run))
    while trials.again(run).status == "running" and time.monotonic() < begun + 20:
        time.sleep(0.02)
    took = time.monotonic() - begun
    worker.join(20)
    assert trials.again(run).status == "cancelled"
    assert took < 2, f"{took:.2f} s"
    assert said(run) == [("request", ""), ("error", "RUN_CANCELLED")]


def test_a_process_that_stops_hands_the_question_over_and_the_next_asks_with_the_same_key(
    trials: Trials, asking: Asking, program: Program
) -> None:
    act = program.once_per_key({"done": True})

    def stopped_meanwhile(call: Call) -> None:
        program.effects[call.headers["idempotency-key"]] += 1
        lifecycle.stopping.set()
        call.sleep(30)

    program.says(stopped_meanwhile, act)
    run = trials.carry(asking())
    assert run.status == "pending"
    lifecycle.stopping.clear()
    run = trials.carry(run, "worker two")
    assert run.status == "completed", run.error_message
    assert dict(program.effects) == {f"{run.pk}:ask": 1}
    assert said(run) == [("request", ""), ("error", "HAND_OVER"), ("request", ""), ("response", "")]


@pytest.mark.usefixtures("acme")
def test_an_agent_decides_the_risk_check_sizes_and_the_order_goes_out(
    trials: Trials, desk: Agent, program: Program, account: Account
) -> None:
    decision = {"symbol": "ACME", "action": "BUY", "confidence": 0.9, "reason": "the news", "stop": "90"}

    def decide(call: Call) -> None:
        seen = call.json["outputs"]["prices"]["series"]["ACME"]
        call.answer(200, {"decisions": [{**decision, "price": seen["decision_close"]}]})

    program.says(decide)
    workflow = workflow_create(
        actor=SYSTEM,
        name="Asked",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {}},
            {"name": "ask", "type": "http_agent", "config": {"agent": "NewsDesk"}},
            {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "3"}}},
            {"name": "order", "type": "order", "config": {}},
        ],
        default_params={},
    )
    strategy = strategy_create(actor=SYSTEM, name="Asked", workflow_id=workflow.pk, symbols=["ACME"])
    run = trials.carry(execution_create(actor=trials.actor, workflow=workflow, strategy=strategy))
    assert run.status == "completed", run.error_message
    assert (run.decisions_made, run.orders_placed) == (1, 1)
    order = Order.objects.get()
    assert (order.execution_id, order.side, order.quantity) == (run.pk, "buy", 3)


def test_agents_are_asked_for_when_a_run_comes_to_them_not_before(trials: Trials) -> None:
    run = trials.carry(trials.create({"name": "ask", "type": "http_agent", "config": {"agent": "Nobody"}}))
    assert run.error_code == "AGENT_UNUSABLE"


def test_a_schema_that_is_none_is_refused_when_the_workflow_is_written(trials: Trials) -> None:
    with pytest.raises(ValidationFailed, match="answer_schema"):
        trials.create(
            {"name": "ask", "type": "http_agent", "config": {"agent": "A", "answer_schema": {"type": "objekt"}}}
        )
