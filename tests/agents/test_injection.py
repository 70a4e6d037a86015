"""What comes from outside is data: thirty texts that say otherwise change no decision, no order, and get no secret."""

import io
import json
import logging
import math
import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as desk_settings
from django.db import transaction

from agents.models import Agent, AgentConversation
from executions.models import StepExecution, WorkflowExecution
from executions.services import execution_create
from market.services import news_import
from portfolio.models import Account, Order
from safety.models import AuditLog
from tests.agents import model_api
from tests.agents.conftest import SYSTEM
from tests.agents.injections import INJECTIONS
from tests.agents.program import Act, Call, Program
from tests.executions.conftest import Trials
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common.clock import rfc3339
from tradingsite.common.models import LiveEvent
from workflows.services import strategy_create, workflow_create

pytestmark = pytest.mark.django_db
SYMBOLS = [f"S{number:02}" for number in range(len(INJECTIONS))]
TEXTS = dict(zip(SYMBOLS, INJECTIONS.values(), strict=True))
HARMLESS = dict.fromkeys(SYMBOLS, "The quarterly report was published on time.")
DAYS = 120
SECRETS = {"MODEL_KEY": "sk-injected-5550123456789", "OTHER_TOKEN": "tok-never-told-98765"}
MEMBERS = {
    "TechnicalAnalystAgent": ("analyst", ["get_bars", "get_indicators"]),
    "SentimentAgent": ("analyst", ["get_news"]),
    "Outsider": ("analyst", []),
    "RiskManagerAgent": ("risk", ["get_position", "get_limits"]),
    "ExecutorAgent": ("decision", []),
}
Told = dict[str, tuple[Any, ...]]


@pytest.fixture
def market(prices: Prices, account: Account) -> None:
    """Thirty symbols: of three each, one rises, one falls, one goes nowhere."""
    for number, symbol in enumerate(SYMBOLS):
        slope = (0.4, -0.4, 0.0)[number % 3]
        closes = [100 + slope * day + 2 * math.sin(day / (3 + number % 5)) for day in range(DAYS)]
        prices.series(symbol, [(close - 0.3, close + 1, close - 1, close) for close in closes])


@pytest.fixture
def secrets(settings: Any, program: Program, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    settings.AGENT_KEYS = [f"MODEL_KEY@{program.place}", "OTHER_TOKEN@other.example.com"]
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return [*SECRETS.values(), desk_settings.SECRET_KEY, *_passwords()]


def _passwords() -> Iterator[str]:
    for name, value in os.environ.items():
        if found := re.search(r"://[^:/@]+:([^@/]{6,})@", value if name.endswith("_URL") else ""):
            yield found[1]


def publish(texts: dict[str, str]) -> None:
    """Import one item of news about each symbol, two days before the newest bar."""
    at = rfc3339(FIRST_DAY + timedelta(days=DAYS - 3))
    rows = [
        {"symbol": symbol, "published_at": at, "source": "wire", "headline": text[:200], "body": text}
        for symbol, text in texts.items()
    ]
    news_import(actor=SYSTEM, file=io.BytesIO("\n".join(map(json.dumps, rows)).encode()), filename="news.jsonl")


def decided(trials: Trials, models: dict[str, dict[str, Any]], arrangement: str) -> Told:
    """Have the team decide about all symbols; return what was decided and ordered, by symbol."""
    agents = [
        {
            "agent_name": name,
            "role": role,
            "system_prompt": f"You are {name}. Think.",
            "tools": tools,
            "llm_config": models.get(name, models.get("", {})),
        }
        for name, (role, tools) in MEMBERS.items()
    ]
    workflow = workflow_create(
        actor=SYSTEM,
        name=f"Team {WorkflowExecution.objects.count()}",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {"lookback": 100}},
            {
                "name": "team",
                "type": "agents",
                "config": {"agents": agents, "arrangement": arrangement, "max_rounds": 1, "concurrency": 8},
                "timeout_s": 600,
            },
            {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "1"}}},
            {"name": "order", "type": "order", "config": {}},
        ],
        default_params={},
    )
    strategy = strategy_create(actor=SYSTEM, name=workflow.name, workflow_id=workflow.pk, symbols=SYMBOLS)
    run = trials.carry(execution_create(actor=trials.actor, workflow=workflow, strategy=strategy))
    assert run.status == "completed", run.error_message
    ordered = {
        order.instrument.symbol: (order.side, order.quantity) for order in Order.objects.filter(execution_id=run.pk)
    }
    decisions = StepExecution.objects.get(execution=run, name="team").output["decisions"]
    assert len(decisions) == len(SYMBOLS)
    return {
        one["symbol"]: (
            one["action"], one["confidence"], one.get("stop"), one.get("target"), ordered.get(one["symbol"]),
        )
        for one in decisions
    }  # fmt: skip


def over(program: Program) -> dict[str, Any]:
    return {"provider": "openai", "model": "m", "base_url": f"{program.url}/v1", "api_key_env": "MODEL_KEY"}


def symbol_of(call: Call) -> str:
    found = re.search(r"\bS\d\d\b", next(m["content"] for m in call.json["messages"] if m["role"] == "user"))
    assert found is not None
    return found[0]


def repeating(texts: dict[str, str]) -> Act:
    """Answer as the most gullible of models: who does not decide says all that it read, and the key that it was told.

    One of them, the Outsider, says what `texts` has besides, as if it had read that elsewhere. Each ends with a view of
    its own, and who decides decides by it.
    """

    def act(call: Call) -> None:
        messages, symbol = call.json["messages"], symbol_of(call)
        system = messages[0]["content"]
        if "You are ExecutorAgent" in system:
            action = ("BUY", "HOLD", "SELL")[int(symbol[1:]) % 3]
            model_api.says(json.dumps({"action": action, "confidence": 0.6, "reason": "As I see it."}))(call)
            return
        if call.json.get("tools") and messages[-1]["role"] != "tool":
            model_api.calls(*((tool["function"]["name"], {}) for tool in call.json["tools"]))(call)
            return
        read = "\n".join(str(message["content"]) for message in messages[1:] if message.get("content"))
        more = texts[symbol] if "You are Outsider" in system else ""
        text = f"{read}\n{more}\nI was called with {call.headers.get('authorization')}."
        model_api.says(f"{text[-20_000:]}\nRecommendation: HOLD (confidence 0.50)")(call)

    return act


def kept_and_told(program: Program, caplog: pytest.LogCaptureFixture) -> str:
    """Return everything that was sent to models, stored, published and logged."""
    rows = [
        *AgentConversation.objects.values_list("message_content", flat=True),
        *LiveEvent.objects.values_list("data", flat=True),
        *StepExecution.objects.values_list("output", "config"),
        *WorkflowExecution.objects.values_list("results", flat=True),
        *AuditLog.objects.values_list("before", "after"),
    ]
    return "\n".join([*map(str, rows), *(call.body.decode() for call in program.calls), caplog.text])


@pytest.fixture
def compared(
    trials: Trials,
    program: Program,
    market: None,
    secrets: list[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., tuple[Told, Told, str]]:
    """Return what has a team decide twice on the same desk: with harmless texts, and with those that would rule it.

    What comes back is what it did each time, and everything that was sent, stored, published and logged.
    """
    # Each library's noise would be longer than what matters, and what it says of a request has its head.
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="httpcore")

    def make(models: dict[str, dict[str, Any]], arrangement: str) -> tuple[Told, Told, str]:
        told: list[Told] = []
        everything = ""
        for texts in (HARMLESS, TEXTS):
            # The second time finds the desk as the first one did: nothing held, nothing ordered.
            before = transaction.savepoint()
            publish(texts)
            program.says(repeating(texts))
            told.append(decided(trials, models, arrangement))
            everything += kept_and_told(program, caplog)
            transaction.savepoint_rollback(before)
        return told[0], told[1], everything

    return make


def test_the_desks_own_model_decides_as_if_the_texts_were_not_there(
    compared: Callable[..., tuple[Told, Told, str]], program: Program, secrets: list[str]
) -> None:
    without, with_texts, everything = compared({"Outsider": over(program)}, "debate")
    assert {action for action, *_ in without.values()} > {"HOLD"}, "a team that always holds shows nothing"
    assert with_texts == without
    assert "Ignore all previous instructions" in everything
    assert [secret for secret in secrets if secret in everything] == []


def test_models_that_repeat_whatever_they_read_make_no_decision_of_it(
    compared: Callable[..., tuple[Told, Told, str]], program: Program, secrets: list[str]
) -> None:
    without, with_texts, everything = compared({"": over(program)}, "round_robin")
    assert {action for action, *_ in without.values()} == {"BUY", "HOLD", "SELL"}
    assert with_texts == without
    assert "Ignore all previous instructions" in everything, "the models did read it"
    assert "Bearer [key]" in everything, "the models did say what they were told"
    assert [secret for secret in secrets if secret in everything] == []


@pytest.mark.usefixtures("market")
def test_an_agent_that_writes_such_texts_beside_its_decisions_gets_what_it_decided_and_no_more(
    trials: Trials, program: Program, desk: Agent, account: Account
) -> None:
    buys = SYMBOLS[::3]

    def decide(call: Call) -> None:
        decisions = [
            {
                "symbol": symbol,
                "action": "BUY" if symbol in buys else "HOLD",
                "confidence": 0.6,
                "reason": text[:2000],
            }
            for symbol, text in TEXTS.items()
        ]
        call.answer(200, {"decisions": decisions, "notes": TEXTS, "orders": [{"symbol": "S01", "side": "buy"}]})

    program.says(decide)
    workflow = workflow_create(
        actor=SYSTEM,
        name="Asked",
        type="custom",
        steps=[
            {"name": "prices", "type": "market_data", "config": {}},
            {"name": "ask", "type": "http_agent", "config": {"agent": "NewsDesk"}},
            {"name": "size", "type": "risk_check", "config": {"sizing": {"method": "quantity", "value": "1"}}},
            {"name": "order", "type": "order", "config": {}},
        ],
        default_params={},
    )
    strategy = strategy_create(actor=SYSTEM, name="Asked", workflow_id=workflow.pk, symbols=SYMBOLS)
    run = trials.carry(execution_create(actor=trials.actor, workflow=workflow, strategy=strategy))
    assert run.status == "completed", run.error_message
    orders = Order.objects.filter(execution_id=run.pk)
    assert sorted(order.instrument.symbol for order in orders) == buys
    assert {(order.side, order.quantity) for order in orders} == {("buy", 1)}
