"""Where a member sits: between AutoGen's agent and its model, and between it and the desk's tools.

Everything that a member asks or is answered passes here, is counted, and is told to whoever listens.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelCapabilities,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import TextResultContent, Tool, ToolResult, ToolSchema, Workbench
from pydantic import BaseModel

from agents.team.budgets import Purse
from agents.team.clients import Cost
from agents.team.failures import BudgetSpent, ModelFailed
from agents.team.words import Code, Member, Provider, Said, SaidType, ToolSpec

ARGUMENTS_INVALID = "TOOL_ARGUMENTS_INVALID"


class Line(Protocol):
    """The line to the thread that listens."""

    def say(self, said: Said) -> None:
        """Tell one message."""
        ...

    async def ask(self, said: Said, arguments: Mapping[str, Any]) -> str:
        """Tell the call of a tool, have it made there, and return what it found."""
        ...


@dataclass
class Table:
    """What the members of one conversation share.

    `left` is set at its end: who still runs then is heard no more.
    """

    symbol: str
    line: Line
    purse: Purse
    cost: Cost
    left: bool = False

    def say(self, said: Said) -> None:
        if not self.left:
            self.line.say(said)


class Seat(ChatCompletionClient):
    """A member's model, each answer of it counted, timed and told."""

    def __init__(self, table: Table, member: Member, client: ChatCompletionClient, *, speaker: str = "") -> None:
        self._table = table
        self._member = member
        self.client = client
        self._speaker = speaker or member.name
        # Whether the last answer ran into the model's limit.
        self.cut_off = False
        # What an answer used that calls tools, by its first call: it is told with that.
        self.used: dict[str, Said] = {}

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """Return the model's next answer.

        Raises:
            BudgetSpent: nothing more may be asked.
            ModelFailed: it does not answer in time, or with nothing that can be used.
        """
        table, ref = self._table, self._member.model
        table.purse.check()
        began = time.monotonic()
        try:
            async with asyncio.timeout(ref.timeout_s):
                result = await self._asked(messages, tools, cancellation_token)
        except TimeoutError:
            raise ModelFailed(Code.MODEL_TIMED_OUT, f"{ref.model} did not answer within {ref.timeout_s:g} s.") from None
        usage = result.usage
        # An API that does not tell is taken for one that used nothing by AutoGen.
        told = bool(usage.prompt_tokens or usage.completion_tokens) or ref.provider is not Provider.OPENAI
        prompt, completion = (usage.prompt_tokens, usage.completion_tokens) if told else (None, None)
        cost = table.cost(self._member, prompt, completion)
        table.purse.answered(
            tokens=usage.prompt_tokens + usage.completion_tokens if told else None,
            characters=sum(len(str(message.content)) for message in messages) + len(str(result.content)),
            cost=cost,
        )
        self.cut_off = result.finish_reason == "length"
        said = Said(
            symbol=table.symbol,
            agent_name=self._speaker,
            type=SaidType.RESPONSE,
            content="",
            model=ref.model,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cost=cost,
            latency_ms=(time.monotonic() - began) * 1000,
            cut_off=self.cut_off,
        )
        if isinstance(result.content, str):
            table.say(replace(said, content=result.content))
            _text_check(result)
        else:
            _calls_check(result.content, offered=bool(tools))
            self.used[result.content[0].id] = said
        return result

    async def _asked(
        self, messages: Sequence[LLMMessage], tools: Sequence[Tool | ToolSchema], token: CancellationToken | None
    ) -> CreateResult:
        if not self._member.model.stream:
            return await self.client.create(messages, tools=tools, cancellation_token=token)
        result = None
        async for part in self.client.create_stream(messages, tools=tools, cancellation_token=token):
            if isinstance(part, CreateResult):
                result = part
        if result is None:
            raise ModelFailed(Code.MODEL_ANSWER_INVALID, "The stream ended without an answer.")
        return result

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Yield the model's next answer whole; parts of one are told to nobody."""
        yield await self.create(messages, tools=tools, cancellation_token=cancellation_token)

    async def close(self) -> None:
        await self.client.close()

    def actual_usage(self) -> RequestUsage:
        return self.client.actual_usage()

    def total_usage(self) -> RequestUsage:
        return self.client.total_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self.client.count_tokens(messages, tools=tools)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self.client.remaining_tokens(messages, tools=tools)

    @property
    def capabilities(self) -> ModelCapabilities:
        return self.client.capabilities

    @property
    def model_info(self) -> ModelInfo:
        return self.client.model_info


def _text_check(result: CreateResult) -> None:
    if result.finish_reason == "content_filter":
        raise ModelFailed(Code.MODEL_REFUSED, "The model's filter ended the answer.")
    if not str(result.content).strip():
        raise ModelFailed(Code.MODEL_ANSWER_INVALID, "The model answered nothing.")


def _calls_check(calls: Sequence[FunctionCall], *, offered: bool) -> None:
    """Refuse what AutoGen would stumble over."""
    if not calls or not offered:
        raise ModelFailed(Code.MODEL_ANSWER_INVALID, "The model called tools where none were offered.")
    for call in calls:
        try:
            json.loads(call.arguments)
        except RecursionError:
            raise ModelFailed(
                Code.MODEL_ANSWER_INVALID, f"The arguments of {call.name[:60]} are nested deep."
            ) from None
        except ValueError:
            continue  # AutoGen tells the model, which may do better


class Bench(Workbench):
    """The tools of one member. They are called by the thread that listens, never here.

    Nothing is raised here: an exception in one of several calls would leave AutoGen's agent waiting for ever.
    """

    def __init__(
        self,
        table: Table,
        member: Member,
        seat: Seat,
        tools: Mapping[str, ToolSpec],
        end: Callable[[BudgetSpent], None],
    ) -> None:
        self._table = table
        self._member = member
        self._seat = seat
        self._tools = [_schema(tools[name]) for name in member.tools]
        self._end = end
        self._heard: set[str] = set()

    async def list_tools(self) -> list[ToolSchema]:
        return self._tools

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """Have the tool called, and return what it found."""
        call_id = call_id or ""
        if not isinstance(arguments, Mapping):
            return _result(name, "The arguments must be a JSON object.", is_error=True)
        if not self._counted():
            return _result(name, "The conversation is over.", is_error=True)
        self._heard.add(call_id)
        call = self._call(call_id, name, json.dumps(dict(arguments), ensure_ascii=False))
        return _result(name, await self._table.line.ask(call, arguments))

    def misses(self, call: FunctionCall, told: str) -> None:
        """Tell a call that AutoGen answered itself: no such tool, or arguments that are none."""
        if call.id in self._heard or not self._counted():
            return
        said = self._call(call.id, call.name, call.arguments)
        self._table.say(said)
        self._table.say(
            Said(
                symbol=said.symbol,
                agent_name=said.agent_name,
                type=SaidType.TOOL_RESULT,
                content=told,
                tool=said.tool,
                call_id=said.call_id,
                error_code=ARGUMENTS_INVALID,
            )
        )

    def _counted(self) -> bool:
        if self._table.left:
            return False
        try:
            self._table.purse.tool_called()
        except BudgetSpent as spent:
            self._end(spent)
            return False
        return True

    def _call(self, call_id: str, name: str, arguments: str) -> Said:
        said = self._seat.used.pop(call_id, None) or Said(
            symbol=self._table.symbol, agent_name=self._member.name, type=SaidType.TOOL_CALL, content=""
        )
        return replace(said, type=SaidType.TOOL_CALL, content=arguments, tool=name[:60], call_id=call_id[:100])

    async def start(self) -> None:
        """There is nothing to start."""

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def reset(self) -> None:
        """There is nothing to reset."""

    async def save_state(self) -> Mapping[str, Any]:
        return {}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """There is no state."""


def _schema(spec: ToolSpec) -> ToolSchema:
    parameters: Any = dict(spec.parameters)
    return ToolSchema(name=spec.name, description=spec.description, parameters=parameters)


def _result(name: str, text: str, *, is_error: bool = False) -> ToolResult:
    return ToolResult(name=name, result=[TextResultContent(content=text)], is_error=is_error)
