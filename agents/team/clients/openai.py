"""A model at an address that speaks as OpenAI's API does: OpenAI, Ollama, vLLM.

AutoGen and OpenAI's library put the question into words. They get no key and reach no network: their request ends at a
transport of ours, which asks through the desk's one door to addresses, waits and tries again where the API says later,
judges the answer, and puts a stream together before anybody reads it.
"""

import asyncio
import email.utils
import json
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from autogen_core import CancellationToken
from autogen_core.models import CreateResult, LLMMessage, ModelFamily, ModelInfo
from autogen_core.tools import Tool, ToolSchema
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

from agents.team.clients.completions import Completion, completion_read, error_said
from agents.team.failures import ModelFailed
from agents.team.words import Code, ModelRef
from tradingsite.common import outbound

OPENAI_URL = "https://api.openai.com/v1"
MAX_ANSWER = 8 * 1024 * 1024
RETRIES = 2
# Whoever asks for more patience than this is not waited for.
MAX_WAIT_S = 20.0
FIRST_WAIT_S = 0.5
OPTIONS = ("temperature", "max_tokens", "top_p", "seed")
# Instead of what stands in the answer, should an API repeat the key that it was told.
MASK = "[key]"

_INFO: ModelInfo = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "family": ModelFamily.UNKNOWN,
    "structured_output": False,
    "multiple_system_messages": True,
}

# Returns the secret in a variable, for the host of an address; raises LookupError when it is not to be had.
Keys = Callable[[str, str], str]


def openai_client(model: ModelRef, *, keys: Keys) -> "OpenAIClient":
    """Return the client of `model`, with its key if it names one. Reads no database.

    Raises:
        ModelFailed: MODEL_UNUSABLE, without its key.
    """
    url = model.base_url or OPENAI_URL
    key = ""
    if model.api_key_env:
        try:
            key = keys(model.api_key_env, url)
        except LookupError as error:
            raise ModelFailed(Code.MODEL_UNUSABLE, str(error.args[0])) from None
    return OpenAIClient(model, url=url.rstrip("/"), key=key)


class OpenAIClient(OpenAIChatCompletionClient):
    """One model, asked for one conversation. Every failure of it is one ModelFailed.

    An API that does not tell its tokens counts as zero here, which is how AutoGen says that it does not know.
    """

    component_provider_override = "agents.team.clients.openai.OpenAIClient"

    def __init__(self, model: ModelRef, *, url: str, key: str) -> None:
        arguments: dict[str, Any] = {
            "model": model.model,
            "base_url": url,
            # The libraries insist on one; the real one is the transport's alone.
            "api_key": "none",
            "model_info": _INFO,
            "max_retries": 0,
            # The name of a speaker as a field is refused by some APIs and ignored by others.
            "include_name_in_message": False,
            "add_name_prefixes": True,
            "http_client": httpx.AsyncClient(
                transport=_Transport(model, url=f"{url}/chat/completions", key=key),
                trust_env=False,
                follow_redirects=False,
                timeout=None,
            ),
        }
        options = {name: model.options[name] for name in OPTIONS if model.options.get(name) is not None}
        super().__init__(**arguments, **options)
        # AutoGen warns of a model that calls itself otherwise than its table has it; the desk goes by what was asked.
        self._resolved_model = None

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        max_consecutive_empty_chunk_tolerance: int = 0,
        include_usage: bool | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Yield the answer whole; whether it comes as a stream is the model's own `stream`.

        Raises:
            ModelFailed: as `create`.
        """
        yield await self.create(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra_create_args or {},
            cancellation_token=cancellation_token,
        )

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        """Return an estimate: to count them, AutoGen would fetch a table."""
        return sum(len(str(message.content)) for message in messages) // 4

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        """Return what is without bound here; a model that has enough says so itself."""
        return 2**31 - 1


class _Transport(httpx.AsyncBaseTransport):
    """Where the libraries' request ends and the desk's own begins."""

    def __init__(self, model: ModelRef, *, url: str, key: str) -> None:
        self._model = model
        self._url = url
        self._key = key
        self._host = urlsplit(url).hostname or "the model's host"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return a sound answer, or raise ModelFailed."""
        payload = json.loads(await request.aread())
        if self._model.stream:
            payload |= {"stream": True, "stream_options": {"include_usage": True}}
        completion = await self._asked(json.dumps(payload).encode())
        return httpx.Response(200, json=completion.body(self._model.model))

    async def _asked(self, content: bytes) -> Completion:
        end = time.monotonic() + self._model.timeout_s
        for attempt in range(RETRIES + 1):
            reply = await self._replied(content, end - time.monotonic())
            if 200 <= reply.status < 300:
                return self._without_key(completion_read(self._masked(reply.body)))
            wait = _wait(reply, attempt)
            if wait is None or attempt == RETRIES or time.monotonic() + wait >= end:
                raise self._failure(reply)
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _replied(self, content: bytes, left_s: float) -> outbound.Reply:
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if self._model.stream else "application/json",
        }
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            return await outbound.call_async(
                "POST", self._url, content=content, headers=headers, timeout_s=max(left_s, 0.0), max_bytes=MAX_ANSWER
            )
        except outbound.AddressRefused as error:
            raise ModelFailed(Code.MODEL_ADDRESS_REFUSED, error.detail) from None
        except outbound.OutboundTimedOut:
            detail = f"{self._host} gave no whole answer within {self._model.timeout_s:g} s."
            raise ModelFailed(Code.MODEL_TIMED_OUT, detail) from None
        except outbound.AnswerTooLarge as error:
            if error.reply.status >= 300:
                return error.reply
            raise ModelFailed(Code.MODEL_ANSWER_INVALID, error.detail) from None
        except outbound.AnswerBrokenOff as error:
            raise ModelFailed(Code.MODEL_ANSWER_INVALID, self._shown(error.detail)) from None
        except outbound.OutboundFailed as error:
            raise ModelFailed(Code.MODEL_UNAVAILABLE, self._shown(error.detail)) from None

    def _masked(self, body: bytes) -> bytes:
        return body.replace(self._key.encode(), MASK.encode()) if self._key else body

    def _without_key(self, completion: Completion) -> Completion:
        """Mask a key that came in pieces."""
        calls = tuple(replace(call, arguments=self._shown(call.arguments)) for call in completion.calls)
        return replace(completion, text=self._shown(completion.text), calls=calls)

    def _shown(self, text: str) -> str:
        return text.replace(self._key, MASK) if self._key else text

    def _failure(self, reply: outbound.Reply) -> ModelFailed:
        said = self._shown(error_said(self._masked(reply.body)))
        detail = f"{self._host} answered {reply.status}{f': {said}' if said else '.'}"
        status = reply.status
        if status in (401, 403):
            return ModelFailed(Code.MODEL_UNAUTHORIZED, detail)
        if status == 429:
            return ModelFailed(Code.MODEL_RATE_LIMITED, detail)
        if 300 <= status < 400:
            return ModelFailed(Code.MODEL_REFUSED, f"{detail.rstrip('.')}. The desk follows no redirect.")
        return ModelFailed(Code.MODEL_UNAVAILABLE if status >= 500 else Code.MODEL_REFUSED, detail)


def _wait(reply: outbound.Reply, attempt: int) -> float | None:
    """Return how many seconds to wait before asking again; None when there is no point in it."""
    if reply.status != 429 and reply.status < 500:
        return None
    said = reply.headers.get("retry-after", "").strip()
    try:
        wait = float(said)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            wait = math.nan
    if math.isnan(wait):
        return FIRST_WAIT_S * 2**attempt
    return max(wait, 0.0) if wait <= MAX_WAIT_S else None
