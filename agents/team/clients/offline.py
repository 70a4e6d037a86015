"""The desk's own model: rules that read the tools' figures. No key, no network, and the same words for the same figures.

It stands behind AutoGen's interface for models, so that a team is the same team whatever it thinks with.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelInfo,
    RequestUsage,
    UserMessage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from agents.team.rules.figures import figures_of
from agents.team.rules.speaking import Heard, speech, tool_calls
from agents.team.words import Member, Task

MODEL = "desk-rules"
CONTEXT_WORDS = 1_000_000


class OfflineClient(ChatCompletionClient):
    """Thinks for one member about one task. It keeps nothing between calls but the count of its words.

    It counts words as tokens, those of all messages that it is given and those that it answers: nothing is billed for
    them, yet a budget of tokens ends its talk as it would another model's.
    """

    component_type = "model"
    component_config_schema = BaseModel

    def __init__(self, member: Member, task: Task) -> None:
        self._member = member
        self._task = task
        self._actual = RequestUsage(0, 0)
        self._total = RequestUsage(0, 0)

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],  # the interface's own default
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},  # the interface's own default
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        """Ask for the tools' figures first, and speak once they are there."""
        offered = [] if tool_choice == "none" else [_name(tool) for tool in tools]
        answers = _answers(messages)
        asked = {name for name, _ in answers}
        calls = [call for call in tool_calls(self._member, self._task, offered) if call[0] not in asked]
        words = _words_in(messages)
        if calls:
            content = [
                FunctionCall(id=f"{self._member.name}-{number}", name=name, arguments=json.dumps(arguments))
                for number, (name, arguments) in enumerate(calls, start=1)
            ]
            usage = RequestUsage(words, sum(len(call.arguments.split()) + 1 for call in content))
            return self._result(content, usage, "function_calls")
        text = speech(
            self._member,
            self._task,
            figures_of(self._task.symbol, answers),
            _heard(messages, self._member.name),
            turn=1 + _own_turns(messages),
        )
        return self._result(text, RequestUsage(words, len(text.split())), "stop")

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = [],  # the interface's own default
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] = {},  # the interface's own default
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """As `create`, line by line, the whole at the end."""
        result = await self.create(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra_create_args,
            cancellation_token=cancellation_token,
        )
        if isinstance(result.content, str):
            for line in result.content.splitlines(keepends=True):
                yield line
        yield result

    async def close(self) -> None:
        """Nothing is open."""

    def actual_usage(self) -> RequestUsage:
        """Return the words of the last call."""
        return self._actual

    def total_usage(self) -> RequestUsage:
        """Return the words of all calls."""
        return self._total

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        """Return how many words the messages have."""
        return _words_in(messages)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = []) -> int:
        """Return how many more words it would read."""
        return CONTEXT_WORDS - _words_in(messages)

    @property
    def capabilities(self) -> Any:
        """What the interface asked for before `model_info`."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        """Say that it calls tools and neither sees nor promises structured output."""
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family=MODEL,
            structured_output=False,
            multiple_system_messages=True,
        )

    def _result(
        self, content: str | list[FunctionCall], usage: RequestUsage, reason: Literal["stop", "function_calls"]
    ) -> CreateResult:
        self._actual = usage
        self._total = RequestUsage(
            self._total.prompt_tokens + usage.prompt_tokens, self._total.completion_tokens + usage.completion_tokens
        )
        return CreateResult(content=content, usage=usage, finish_reason=reason, cached=False)


def _name(tool: Tool | ToolSchema) -> str:
    return tool["name"] if isinstance(tool, dict) else tool.name


def _answers(messages: Sequence[LLMMessage]) -> list[tuple[str, str]]:
    """Return what tools answered to this member, as (tool, text), oldest first."""
    return [
        (result.name, result.content)
        for message in messages
        if isinstance(message, FunctionExecutionResultMessage)
        for result in message.content
    ]


def _heard(messages: Sequence[LLMMessage], own: str) -> list[Heard]:
    """Return the last words of each other member, in the order in which they first spoke."""
    said: dict[str, str] = {}
    for message in messages:
        # "user" is who put the question.
        if (
            isinstance(message, UserMessage)
            and isinstance(message.content, str)
            and message.source not in (own, "user")
        ):
            said[message.source] = message.content
    return [Heard(name, text) for name, text in said.items()]


def _own_turns(messages: Sequence[LLMMessage]) -> int:
    return sum(isinstance(message, AssistantMessage) and isinstance(message.content, str) for message in messages)


def _words_in(messages: Sequence[LLMMessage]) -> int:
    return sum(len(_text(message).split()) for message in messages)


def _text(message: LLMMessage) -> str:
    if isinstance(message, FunctionExecutionResultMessage):
        return " ".join(result.content for result in message.content)
    if isinstance(message.content, str):
        return message.content
    return " ".join(part.arguments for part in message.content if isinstance(part, FunctionCall))
