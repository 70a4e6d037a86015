"""A model that says what was said in an earlier conversation, again."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Literal

from autogen_core import CancellationToken
from autogen_core.models import (
    ChatCompletionClient,
    CreateResult,
    LLMMessage,
    ModelCapabilities,
    ModelFamily,
    ModelInfo,
    RequestUsage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from agents.team.failures import ModelFailed
from agents.team.words import Code

_INFO: ModelInfo = {
    "vision": False,
    "function_calling": False,
    "json_output": False,
    "family": ModelFamily.UNKNOWN,
    "structured_output": False,
}


class ReplayClient(ChatCompletionClient):
    """Gives the answers of an earlier conversation in their order, whatever it is asked. It calls no tools."""

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self._given = 0

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
        """Return the next answer.

        Raises:
            ModelFailed: REPLAY_EXHAUSTED, when there is none.
        """
        if self._given == len(self._answers):
            raise ModelFailed(
                Code.REPLAY_EXHAUSTED, f"The earlier conversation holds {self._given} answers of this member, no more."
            )
        answer = self._answers[self._given]
        self._given += 1
        return CreateResult(finish_reason="stop", content=answer, usage=RequestUsage(0, 0), cached=True)

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
        """Yield the next answer whole.

        Raises:
            ModelFailed: as `create`.
        """
        yield await self.create(messages)

    async def close(self) -> None:
        """There is nothing to close."""

    def actual_usage(self) -> RequestUsage:
        return RequestUsage(0, 0)

    def total_usage(self) -> RequestUsage:
        return RequestUsage(0, 0)

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return 0

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return 2**31 - 1

    @property
    def capabilities(self) -> ModelCapabilities:
        return _INFO

    @property
    def model_info(self) -> ModelInfo:
        return _INFO
