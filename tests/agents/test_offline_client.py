"""The rule-based model behind the interface that every model stands behind."""

import asyncio
import json
from decimal import Decimal
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import CreateResult, FunctionExecutionResult, FunctionExecutionResultMessage, UserMessage
from autogen_core.tools import FunctionTool, ToolSchema

from agents.team.clients.offline import MODEL, OfflineClient
from agents.team.recommendations import recommendation_read
from agents.team.words import Member, Role, Task

TASK = Task("ACME", "What to do with ACME?", Decimal(100), "2026-01-01T00:00:00Z")
MEMBER = Member("Technical", Role.ANALYST, "", tools=("get_bars", "get_indicators"))
ASKED = UserMessage(content=TASK.text, source="user")


def schema(name: str) -> ToolSchema:
    return ToolSchema(name=name, description="", parameters={"type": "object", "properties": {}})


def answered(name: str, answer: dict[str, Any]) -> FunctionExecutionResultMessage:
    result = FunctionExecutionResult(content=json.dumps(answer), name=name, call_id="1", is_error=False)
    return FunctionExecutionResultMessage(content=[result])


def create(
    client: OfflineClient, *messages: Any, tools: tuple[str, ...] = ("get_bars", "get_indicators")
) -> CreateResult:
    return asyncio.run(client.create(messages, tools=[schema(name) for name in tools]))


def test_it_asks_for_its_figures_before_it_speaks_and_not_twice() -> None:
    client = OfflineClient(MEMBER, TASK)
    first = create(client, ASKED)
    assert [
        (call.name, json.loads(call.arguments)["symbol"]) for call in first.content if isinstance(call, FunctionCall)
    ] == [
        ("get_bars", "ACME"),
        ("get_indicators", "ACME"),
    ]
    assert first.finish_reason == "function_calls"
    second = create(client, ASKED, answered("get_bars", {"error": "no"}), answered("get_indicators", {"error": "none"}))
    assert isinstance(second.content, str)
    assert second.finish_reason == "stop"
    assert "get_bars: no" in second.content
    advice = recommendation_read(second.content)
    assert advice is not None
    assert advice.action == "HOLD"


def test_it_speaks_at_once_where_no_tool_is_offered() -> None:
    assert isinstance(create(OfflineClient(MEMBER, TASK), ASKED, tools=()).content, str)


def test_a_stream_says_the_same_line_by_line() -> None:
    async def streamed() -> list[str | CreateResult]:
        return [part async for part in OfflineClient(MEMBER, TASK).create_stream([ASKED])]

    *lines, whole = asyncio.run(streamed())
    assert isinstance(whole, CreateResult)
    assert "".join(str(line) for line in lines) == whole.content


def test_it_counts_words_as_tokens_and_says_what_it_is() -> None:
    client = OfflineClient(MEMBER, TASK)
    result = create(client, ASKED, tools=())
    assert result.usage.prompt_tokens == len(TASK.text.split())
    assert result.usage.completion_tokens == len(str(result.content).split())
    assert client.total_usage() == client.actual_usage() == result.usage
    assert client.model_info["family"] == MODEL == "desk-rules"


def test_autogens_own_agent_works_with_it() -> None:
    async def get_bars(symbol: str, n: int) -> str:
        rows = [["2026-01-01T00:00:00Z", 1, 2 + day, 1, 1 + day, 5] for day in range(n)]
        columns = ["time", "open", "high", "low", "close", "volume"]
        return json.dumps({"symbol": symbol, "columns": columns, "bars": rows})

    async def get_indicators(symbol: str) -> str:
        return json.dumps({"symbol": symbol, "close": 30, "indicators": {"rsi_14": {"value": 61.5, "previous": 60}}})

    async def asked() -> str:
        agent = AssistantAgent(
            "Technical",
            model_client=OfflineClient(MEMBER, TASK),
            tools=[FunctionTool(get_bars, description=""), FunctionTool(get_indicators, description="")],
            max_tool_iterations=5,
        )
        result = await agent.run(task=TASK.text, cancellation_token=CancellationToken())
        return str(result.messages[-1].content)  # type: ignore[union-attr]

    said = asyncio.run(asked())
    assert "The RSI stands at 61.50, up from 60" in said
    assert "support at 1 and resistance at 31" in said
    assert recommendation_read(said) is not None
