"""Members with the desk's rules over the desk's own tools and the sample's prices: a whole conversation, by hand."""

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    UserMessage,
)
from autogen_core.tools import ToolSchema
from django.core.management import call_command

from agents.team.clients.offline import OfflineClient
from agents.team.fencing import fence, nonce_new
from agents.team.recommendations import recommendation_read
from agents.team.words import Member, Role, Task
from agents.tools import DeskHost
from market.services import bars_import_source
from portfolio.services import account_ensure_default
from tests.agents.test_tools import context_of
from tests.market.test_feeds import EXAMPLES
from tradingsite.common.actor import Actor
from workflows.agent_prompts import TEMPLATES

TEAM = tuple(
    Member(name, Role(TEMPLATES[name].role), TEMPLATES[name].default_prompt, tools=TEMPLATES[name].required_tools)
    for name in (
        "TechnicalAnalystAgent", "FundamentalAgent", "SentimentAgent", "BullAgent", "BearAgent", "RiskManagerAgent",
        "ExecutorAgent",
    )
)  # fmt: skip


@pytest.fixture
def host(db: None, data_dir: Any) -> DeskHost:
    actor = Actor.system("tests")
    account_ensure_default(actor=actor)
    bars_import_source(actor=actor, source="sample")
    call_command("import_news", str(EXAMPLES / "news.jsonl"))
    call_command("import_fundamentals", str(EXAMPLES / "fundamentals.csv"))
    return DeskHost(context_of("AAPL", "IBM"))


def turn(member: Member, task: Task, host: DeskHost, heard: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Let a member call its tools and speak, as the engine does; return its words and what the tools answered."""
    client = OfflineClient(member, task)
    nonce = nonce_new()
    messages: list[LLMMessage] = [UserMessage(content=task.text, source="user")]
    messages += [UserMessage(content=fence(text, nonce, name), source=name) for name, text in heard.items()]
    offered = [ToolSchema(name=name, description="", parameters={}) for name in member.tools]  # type: ignore[typeddict-item]
    answers: dict[str, str] = {}
    while True:
        result: CreateResult = asyncio.run(client.create(messages, tools=offered))
        if isinstance(result.content, str):
            return result.content, answers
        calls: list[FunctionCall] = result.content
        messages.append(AssistantMessage(content=calls, source=member.name))
        for call in calls:
            arguments = json.loads(call.arguments)
            answers[call.name] = host.call(
                symbol=task.symbol, agent_name=member.name, tool=call.name, arguments=arguments
            )
        done = [
            FunctionExecutionResult(content=answers[call.name], name=call.name, call_id=call.id, is_error=False)
            for call in calls
        ]
        messages.append(FunctionExecutionResultMessage(content=done))


def test_the_team_comes_to_a_decision_from_what_its_tools_found(host: DeskHost) -> None:
    pin = host._desk.pin("AAPL")
    task = Task("AAPL", "What to do with AAPL?", Decimal(pin["decision_close"]), pin["decision_time"])
    heard: dict[str, str] = {}
    for member in TEAM:
        heard[member.name], answers = turn(member, task, host, heard)
        assert set(answers) == set(member.tools)
        assert not any('"error"' in answer for answer in answers.values())
        assert "Not answered" not in heard[member.name]
        assert "What is missing" not in heard[member.name]
        assert recommendation_read(heard[member.name]) is not None
    # The sample's Apple fell through the winter; nothing is held that could be sold.
    assert recommendation_read(heard["TechnicalAnalystAgent"])[0] == "SELL"  # type: ignore[index]
    assert "Of 2 news items, 0 read well and 2 badly" in heard["SentimentAgent"]
    assert "times its earnings" in heard["FundamentalAgent"]
    assert "daily trade limit" in heard["RiskManagerAgent"]
    block = re.search(r"```json\n(.*)\n```$", heard["ExecutorAgent"], re.DOTALL)
    assert block is not None
    assert json.loads(block[1])["action"] == "HOLD"
    assert "there is nothing to give away" in heard["ExecutorAgent"]
