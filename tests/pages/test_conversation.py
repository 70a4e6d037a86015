"""A run's conversation as a chat, and the list of agents: what models say is text, and every state has its words."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from agents.pages import conversation
from agents.pages.turns import dollars, pieces_of, readable, took
from agents.services import agent_create, outcome_record, said_record
from agents.team.words import Member, Outcome, Role, Said, SaidType, Team
from executions.models import StepExecution, WorkflowExecution
from portfolio.models import Account
from tests.pages.conftest import make_order
from tests.pages.test_frame import inline_of
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

Browser = Callable[..., Client]
MakeRun = Callable[..., WorkflowExecution]
MEMBERS = ("Technical", "Executor")
TEAM = Team(tuple(Member(name, role, "p") for name, role in zip(MEMBERS, (Role.ANALYST, Role.DECISION), strict=True)))
BUY = {
    "symbol": "ACME", "action": "BUY", "confidence": 0.64, "reason": "trend and momentum agree", "price": "102",
    "stop": "98", "target": "111", "r_coefficient": 2.25, "bar_time": "2026-01-02T14:30:00Z",
}  # fmt: skip


@pytest.fixture
def run(make_run: MakeRun, account: Account) -> WorkflowExecution:
    """A run whose team is at work."""
    run = make_run("running")
    team = {
        "agents": [
            {"agent_name": name, "role": role} for name, role in zip(MEMBERS, ("analyst", "decision"), strict=True)
        ]
    }
    StepExecution.objects.create(
        execution=run, index=1, name="team", type="agents", status="running", attempts=1, config=team, started_at=utcnow()
    )  # fmt: skip
    return run


def say(run: WorkflowExecution, who: str, type_: str, content: str, *, symbol: str = "ACME", **more: Any) -> None:
    said_record(execution_id=run.pk, step_index=1, said=Said(symbol, who, SaidType(type_), content, **more))


def decide(run: WorkflowExecution, decision: dict[str, Any] = BUY, **outcome: Any) -> None:
    stated = None if outcome.get("code") else {"action": decision["action"], "confidence": 0.64}
    outcome_record(
        execution_id=run.pk, step_index=1, outcome=Outcome("ACME", stated, **outcome), decision=decision, team=TEAM
    )


def page_of(client: Client, run: WorkflowExecution, query: str = "") -> str:
    answer = client.get(f"/runs/{run.pk}/conversation/{query}")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_a_conversation_is_told_in_turns_with_what_was_looked_up_and_what_it_took(
    browser: Browser, run: WorkflowExecution
) -> None:
    say(run, "Technical", "request", "What now?")
    say(run, "Technical", "tool_call", '{"count":5}', tool="bars", call_id="c1", prompt_tokens=100, completion_tokens=1)
    say(run, "Technical", "tool_result", '{"close":[1,2]}', tool="bars", call_id="c1", latency_ms=4)
    say(
        run, "Technical", "response", "It rises.\nRecommendation: BUY (confidence 0.62)", model="gpt-test",
        prompt_tokens=800, completion_tokens=99, cost=Decimal("0.0018"), latency_ms=1840,
    )  # fmt: skip
    say(run, "Executor", "request", "Decide.")
    html = page_of(browser("viewer"), run)
    assert html.count('class="turn hue-0"') == html.count('class="turn hue-1"') == 1
    for text in ("Asked: What now?", "Analyst", "BUY 62 %", "Looked up <code>bars</code>", "It rises.", "gpt-test", "1,000 tokens",
                 "cost unknown", "1.8 s", "&quot;count&quot;: 5", "The conversation goes on."):  # fmt: skip
        assert text in html, text
    assert "data-live-final" not in html


def test_what_a_model_says_is_only_ever_text(browser: Browser, run: WorkflowExecution) -> None:
    evil = '<script>alert(1)</script> <a href="https://evil.example">here</a> https://evil.example/x {{ run.id }} {% now %}'
    for type_ in ("request", "tool_call", "tool_result", "response", "error"):
        say(run, "Technical", type_, evil, tool=evil, call_id="c1", error_code="X", model=evil)
    say(run, "Technical", "response", f"```json\n{evil}\n```")
    decide(run, {**BUY, "reason": evil})
    StepExecution.objects.filter(execution=run, index=1).update(
        status="completed", output={"decisions": [{**BUY, "reason": evil}], "outcomes": {"ACME": {"warnings": [evil]}}}
    )
    answer = browser("viewer").get(f"/runs/{run.pk}/conversation/")
    html = answer.content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>alert" not in html
    assert 'evil.example">' not in html
    assert not re.search(r'href="https?://evil', html)
    assert inline_of(html) == []


def test_the_offline_rules_are_named_as_such(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Technical", "response", "It rises.", model="desk-rules", prompt_tokens=5, cost=Decimal(0))
    html = page_of(browser("viewer"), run)
    assert "offline, rule-based: no model was asked" in html
    assert "desk-rules (offline, rule-based)" in html
    assert "$0" in html


def test_an_error_and_a_cut_are_marked(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Technical", "response", "It ri", cut_off=True)
    say(run, "Technical", "response", "x" * 70_000)
    say(run, "Executor", "error", "The model answered 429.", error_code="MODEL_RATE_LIMITED")
    decide(run, {**BUY, "action": "HOLD"}, code="MODEL_RATE_LIMITED", detail="429")
    html = page_of(browser("viewer"), run)
    for text in ("Cut off: the model ran into its limit here.", "Cut at 64 KiB.", "MODEL_RATE_LIMITED", "answered 429"):
        assert text in html


def test_the_decision_stands_at_the_end_with_what_the_gate_and_the_orders_made_of_it(
    browser: Browser, run: WorkflowExecution, account: Account
) -> None:
    say(run, "Technical", "response", "Recommendation: HOLD (confidence 0.5)")
    decide(run)
    html = page_of(browser("viewer"), run)
    assert "The reason stands here once the step has ended." in html
    StepExecution.objects.filter(execution=run, index=1).update(
        status="completed",
        output={"decisions": [BUY], "outcomes": {"ACME": {"code": "", "warnings": ["ANSWER_CUT_OFF"]}}},
    )
    verdict = {"allowed": False, "code": "ORDER_NOTIONAL_EXCEEDS_LIMIT", "detail": "10200 is more than 5000"}
    StepExecution.objects.create(
        execution=run, index=2, name="risk", type="risk_check", status="completed",
        output={"intents": [{"symbol": "ACME", "side": "buy", "quantity": "100", "verdict": verdict}], "skipped": {}},
    )  # fmt: skip
    make_order(account, execution_id=run.pk, client_order_id="one")
    html = page_of(browser("viewer"), run)
    assert html.index("Recommendation: HOLD") < html.index("trend and momentum agree") < html.index("What became of it")
    for text in ("Confidence 64 %", "98.00", "111.00", "not followed", "decides", "ORDER_NOTIONAL_EXCEEDS_LIMIT",
                 "100 at 102.051", "An answer was cut off"):  # fmt: skip
        assert text in html, text
    assert "The conversation goes on." not in html


def test_a_decision_without_an_order_says_why(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Executor", "response", "x")
    StepExecution.objects.filter(execution=run, index=1).update(status="completed", output={"decisions": [BUY]})
    StepExecution.objects.create(
        execution=run, index=2, name="risk", type="risk_check", status="completed",
        output={"intents": [], "skipped": {"ACME": "the cash buys none"}},
    )  # fmt: skip
    assert "No order: the cash buys none." in page_of(browser("viewer"), run)


def test_each_symbol_has_its_own_conversation(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Technical", "response", "of the one", symbol="ACME")
    say(run, "Technical", "response", "of the other", symbol="OTHER")
    say(run, "NewsDesk", "response", "of all", symbol="")
    client = browser("viewer")
    assert "of all" in page_of(client, run)
    assert "of the other" not in page_of(client, run, "?symbol=ACME")
    html = page_of(client, run, "?symbol=OTHER")
    assert "of the other" in html
    assert "of the one" not in html
    assert "The whole run" in html
    assert "of all" in page_of(client, run, "?symbol=NOBODY&after=x")


def test_a_long_conversation_comes_in_pages(
    browser: Browser, run: WorkflowExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "PAGE", 3)
    for number in range(7):
        say(run, "Technical", "response", f"said {number}.")
    decide(run)
    client, query, seen = browser("viewer"), "", []
    while True:
        html = page_of(client, run, query)
        seen += re.findall(r"said (\d)\.", html)
        assert ('id="talk-outcome"' in html) == ("What was said next" not in html)
        later = re.search(r'id="talk-later"><a class="button" href="[^?]*([^"]*)"', html)
        if later is None:
            break
        query = later[1].replace("&amp;", "&")
    assert seen == [str(number) for number in range(7)]
    assert "From the beginning" in html


def test_a_second_attempt_is_set_apart(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Technical", "response", "first")
    StepExecution.objects.filter(execution=run, index=1).update(attempts=2)
    say(run, "Technical", "response", "second")
    assert "Attempt 2 of the step" in page_of(browser("viewer"), run)


@pytest.mark.parametrize(
    ("status", "type_", "words"),
    [
        ("running", "agents", "The steps before the agents are still at work"),
        ("running", "signal", "No step of this run asks an agent."),
        ("failed", "agents", "It ended before its agents were asked"),
        ("completed", "signal", "autogen_multi_agent"),
    ],
)
def test_a_run_without_a_conversation_says_why(
    browser: Browser, make_run: MakeRun, status: str, type_: str, words: str
) -> None:
    run = make_run(status)
    StepExecution.objects.create(execution=run, index=0, name="one", type=type_)
    assert words in page_of(browser("viewer"), run)


def test_a_run_links_to_what_was_said_in_it(
    browser: Browser, run: WorkflowExecution, told_run: WorkflowExecution
) -> None:
    client = browser("viewer")
    assert f"/runs/{run.pk}/conversation/" in client.get(f"/runs/{run.pk}/").content.decode()
    assert "/conversation/" not in client.get(f"/runs/{told_run.pk}/").content.decode()


def test_a_refresh_gets_the_panels_of_the_same_symbol(browser: Browser, run: WorkflowExecution) -> None:
    say(run, "Technical", "response", "of the other", symbol="OTHER")
    assert f'hx-get="/runs/{run.pk}/conversation/?symbol=OTHER"' in page_of(browser("viewer"), run, "?symbol=OTHER")
    answer = browser("viewer").get(f"/runs/{run.pk}/conversation/?symbol=OTHER", headers={"HX-Request": "true"})
    html = answer.content.decode()
    assert "of the other" in html
    assert "<html" not in html


def test_the_agents_are_listed_with_what_they_contributed(browser: Browser, run: WorkflowExecution) -> None:
    agent_create(
        actor=Actor.system("tests"), name="NewsDesk", kind="http", endpoint="https://agents.example.com/",
        description="<b>news</b>",
    )  # fmt: skip
    say(run, "Technical", "response", "Recommendation: SELL", prompt_tokens=5)
    decide(run)
    html = page_of_list(browser("viewer"))
    for text in ("NewsDesk", "Program at an address", "Not probed", "&lt;b&gt;news", "Member of a team", "0 of 1", "1 of 1",
                 "unknown", "not yet"):  # fmt: skip
        assert text in html, text


def test_a_desk_without_agents_says_what_to_do(browser: Browser, account: Account) -> None:
    html = page_of_list(browser("viewer"))
    assert "autogen_multi_agent" in html
    assert "import_agents" in html


def page_of_list(client: Client) -> str:
    answer = client.get("/agents/")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_small_figures_stay_readable() -> None:
    assert [dollars(Decimal(text)) for text in ("0", "0.0000001", "0.0018", "0.25", "3.4567")] == [
        "$0", "under $0.000001", "$0.0018", "$0.25", "$3.46",
    ]  # fmt: skip
    assert (took(4.2), took(1840)) == ("4 ms", "1.8 s")


def test_code_between_fences_is_set_apart_and_nothing_is_lost() -> None:
    text = 'Before.\n```json\n{"a": 1}\n```\nAfter.\n```\nnever closed'
    assert [(part.kind, part.text) for part in pieces_of(text)] == [
        ("text", "Before."), ("code", '{"a": 1}'), ("text", "After.\n```\nnever closed"),
    ]  # fmt: skip
    assert [part.kind for part in pieces_of('{"a": 1}')] == ["code"]
    bars = [[f"2026-01-{day:02}", 100.5] for day in range(1, 9)]
    assert '\n    ["2026-01-02", 100.5],\n' in readable(json.dumps({"bars": bars}))
    deep = "[" * 5000 + "]" * 5000
    assert readable(deep) == deep
    assert [(part.kind, part.text) for part in pieces_of("")] == [("text", "")]
