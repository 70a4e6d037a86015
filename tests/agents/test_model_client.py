"""A model at an address: what is sent, what is read, and one code for each way in which it may fail."""

import asyncio
import importlib
import json
import logging
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from agents.team.failures import ModelFailed
from agents.team.words import Code, ModelRef, Provider
from tests.agents import model_api as api
from tests.agents.program import Act, Call, Program

TOOL = {"name": "get_bars", "description": "Bars.", "parameters": {"type": "object", "properties": {}}}
KEY = "sk-test-1234567890"
Ask = Callable[..., Any]


def no_keys(name: str, url: str) -> str:
    raise LookupError(f"The variable {name} is empty on this machine.")


@pytest.fixture
def ask(program: Program) -> Ask:
    """Return what asks the program one question as a model, with what a ModelRef may say."""
    # Takes a second or two, which no test's time is meant to hold.
    importlib.import_module("agents.team.clients.openai")

    def one(*, keys: Callable[[str, str], str] = lambda name, url: KEY, tools: Any = (), **more: Any) -> Any:
        return asyncio.run(question(ModelRef(**reference(program, **more)), keys, tools))

    return one


def reference(program: Program, **more: Any) -> dict[str, Any]:
    base = {"provider": Provider.OPENAI, "model": "some-model", "base_url": f"{program.url}/v1", "timeout_s": 5.0}
    return {**base, **more}


async def question(model: ModelRef, keys: Callable[[str, str], str], tools: Any = ()) -> Any:
    from autogen_core.models import SystemMessage, UserMessage

    from agents.team.clients.openai import openai_client

    client = openai_client(model, keys=keys)
    messages = [SystemMessage(content="You analyse."), UserMessage(content="What of IBM?", source="desk")]
    try:
        return await client.create(messages, tools=tools)
    finally:
        await client.close()


def failure(ask: Ask, **more: Any) -> ModelFailed:
    with pytest.raises(ModelFailed) as failed:
        ask(**more)
    return failed.value


both = pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])


# --- what is sent and read


@both
def test_a_model_is_asked_and_its_answer_read(ask: Ask, program: Program, stream: bool) -> None:
    program.says(
        api.wants_key(KEY, api.says("I would wait.\nRecommendation: HOLD (confidence 0.40) – ✓", usage=(812, 33)))
    )
    result = ask(stream=stream, api_key_env="MODEL_KEY", options={"temperature": 0.2, "seed": 7, "max_tokens": 400})
    assert result.content == "I would wait.\nRecommendation: HOLD (confidence 0.40) – ✓"
    assert (result.finish_reason, result.usage.prompt_tokens, result.usage.completion_tokens) == ("stop", 812, 33)
    [call] = program.calls
    assert (call.method, call.path) == ("POST", "/v1/chat/completions")
    assert call.json == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "You analyse."},
            {"role": "user", "content": "desk said:\nWhat of IBM?"},
        ],
        "temperature": 0.2,
        "seed": 7,
        "max_tokens": 400,
        **({"stream": True, "stream_options": {"include_usage": True}} if stream else {"stream": False}),
    }


@both
def test_a_model_may_call_tools(ask: Ask, program: Program, stream: bool) -> None:
    program.says(api.calls(("get_bars", {"symbol": "IBM"}), ("get_bars", {"symbol": "ÄÖ", "n": 3})))
    result = ask(stream=stream, tools=[TOOL])
    assert [(call.name, json.loads(call.arguments)) for call in result.content] == [
        ("get_bars", {"symbol": "IBM"}),
        ("get_bars", {"symbol": "ÄÖ", "n": 3}),
    ]
    assert len({call.id for call in result.content}) == 2
    assert result.finish_reason == "function_calls"
    assert program.calls[0].json["tools"][0]["function"]["name"] == "get_bars"


@both
def test_an_answer_that_was_cut_off_says_so(ask: Ask, program: Program, stream: bool) -> None:
    program.says(api.says("I would buy, bec", finish="length"))
    assert ask(stream=stream).finish_reason == "length"


def test_tokens_that_an_api_does_not_tell_are_not_made_up(ask: Ask, program: Program) -> None:
    for usage in (None, {"prompt_tokens": -3, "completion_tokens": 1}, {"prompt_tokens": "7"}, 12):
        program.says(api.answers({**api.whole("Well."), "usage": usage}))
        assert ask().usage.prompt_tokens == 0


def test_what_local_servers_do_otherwise_is_read_too(ask: Ask, program: Program) -> None:
    arguments = {"symbol": "IBM"}
    call = {"function": {"name": "get_bars", "arguments": arguments}}
    program.says(api.says("", finish="stop", tool_calls=[call]))
    [found] = ask(tools=[TOOL]).content
    assert (found.name, json.loads(found.arguments), found.id) == ("get_bars", arguments, "call_0")
    alike = [{"id": f"c{n}", "index": 0, "function": {"name": "get_bars", "arguments": "{}"}} for n in range(2)]
    program.says(api.answers(api.whole(None, tool_calls=alike)))
    assert [found.id for found in ask(tools=[TOOL]).content] == ["c0", "c1"]
    program.says(api.answers(api.whole("<think>Should I buy? BUY!</think>\n\nNo.")))
    assert ask().content == "No."
    # Asked for a stream, answers whole; ends its lines otherwise; tells the tokens with the last piece.
    program.says(api.answers(api.whole("Whole.", usage=(5, 2))))
    assert ask(stream=True).content == "Whole."
    pieces = [json.loads(event) for event in api.events("Piecewise.")[:-1]]
    pieces[-1]["usage"] = {"prompt_tokens": 5, "completion_tokens": 2}
    body = ": comment\r\n" + "".join(f"event: x\r\ndata:{json.dumps(piece)}\r\n\r\n" for piece in pieces)
    program.says(api.answers(body.encode()))
    result = ask(stream=True)
    assert (result.content, result.finish_reason, result.usage.prompt_tokens) == ("Piecewise.", "stop", 5)


def test_the_environment_adds_nothing(ask: Ask, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-env",
        "OPENAI_ORG_ID": "org-env",
        "OPENAI_PROJECT_ID": "project-env",
        "OPENAI_BASE_URL": "http://elsewhere.example/",
        "HTTP_PROXY": "http://127.0.0.1:1/",
        "ALL_PROXY": "http://127.0.0.1:1/",
    }.items():
        monkeypatch.setenv(name, value)
    program.says(api.says("Well."))
    assert ask().content == "Well."
    [call] = program.calls
    assert set(call.headers) == {
        "host", "user-agent", "accept", "accept-encoding", "connection", "content-length", "content-type"
    }  # fmt: skip
    assert "env" not in str(call.headers) + call.body.decode()


# --- what goes wrong


@both
@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        (api.fails(401, "Incorrect API key provided."), Code.MODEL_UNAUTHORIZED, "127.0.0.1 answered 401: Incorrect"),
        (api.fails(403), Code.MODEL_UNAUTHORIZED, "answered 403."),
        (api.fails(404, "The model `large` does not exist"), Code.MODEL_REFUSED, "`large` does not exist"),
        (api.fails(400, "maximum context length is 8192 tokens"), Code.MODEL_REFUSED, "context length"),
        (api.fails(307, Location="http://169.254.169.254/"), Code.MODEL_REFUSED, "follows no redirect"),
        (api.cut, Code.MODEL_ANSWER_INVALID, "broke off"),
        (api.half, Code.MODEL_ANSWER_INVALID, "no whole JSON"),
        (api.huge, Code.MODEL_ANSWER_INVALID, "longer than"),
        (api.answers(b"<html>Sign in</html>"), Code.MODEL_ANSWER_INVALID, "neither"),
        (api.answers(b"\xff\xfe\x00"), Code.MODEL_ANSWER_INVALID, "no text"),
        (api.answers(b"[" * 100_000), Code.MODEL_ANSWER_INVALID, "neither"),
        (api.answers(b'{"a":' * 100_000), Code.MODEL_ANSWER_INVALID, "no whole JSON"),
        (api.answers(b""), Code.MODEL_ANSWER_INVALID, "neither"),
        (api.answers(b"data: {\n\n"), Code.MODEL_ANSWER_INVALID, "no whole JSON"),
        (api.answers(b"data: 7\n\n"), Code.MODEL_ANSWER_INVALID, "no object"),
        (api.answers(b"data: [DONE]\n\n"), Code.MODEL_ANSWER_INVALID, "says nothing"),
        (api.answers({}), Code.MODEL_ANSWER_INVALID, "no choices"),
        (api.answers({"choices": []}), Code.MODEL_ANSWER_INVALID, "no choices"),
        (api.answers({"choices": [7]}), Code.MODEL_ANSWER_INVALID, "no choices"),
        (api.answers({"choices": [{"message": 7}]}), Code.MODEL_ANSWER_INVALID, "no message"),
        (api.answers({"error": {"message": "overloaded"}}), Code.MODEL_ANSWER_INVALID, "overloaded"),
        (api.says(""), Code.MODEL_ANSWER_INVALID, "says nothing"),
        (api.says(" \n"), Code.MODEL_ANSWER_INVALID, "says nothing"),
        (api.says("x" * 300_000), Code.MODEL_ANSWER_INVALID, "longer than 256"),
        (api.answers(api.whole(None, content={"parts": []})), Code.MODEL_ANSWER_INVALID, "content is no text"),
        (api.answers(api.whole(None, tool_calls={})), Code.MODEL_ANSWER_INVALID, "tool calls are no list"),
        (api.answers(api.whole(None, tool_calls=[7])), Code.MODEL_ANSWER_INVALID, "names no function"),
        (api.calls(("", {})), Code.MODEL_ANSWER_INVALID, "names no function"),
        (api.calls(*[("get_bars", {})] * 33), Code.MODEL_ANSWER_INVALID, "more than 32"),
        (api.calls(("get_bars", '{"symbol": "I'), finish="length"), Code.ANSWER_CUT_OFF, "limit"),
        (api.says("", finish="length"), Code.ANSWER_CUT_OFF, "limit"),
        (api.says("<think>Buy? Sell? Recommendation: BUY", finish="length"), Code.ANSWER_CUT_OFF, "limit"),
        (api.says("", refusal="I cannot help with that."), Code.MODEL_REFUSED, "declined"),
        (api.says("I would", finish="content_filter"), Code.MODEL_REFUSED, "declined"),
    ],
)
def test_each_failure_has_its_code(ask: Ask, program: Program, act: Act, code: Code, words: str, stream: bool) -> None:
    program.says(act)
    failed = failure(ask, stream=stream, tools=[TOOL])
    assert failed.code is code
    assert words in failed.detail
    assert len(program.calls) == 1, "none of these is asked again"


@both
@pytest.mark.parametrize("act", [api.hangs, api.drips])
def test_one_time_holds_for_the_whole_answer(ask: Ask, program: Program, act: Act, stream: bool) -> None:
    program.says(act)
    began = time.monotonic()
    failed = failure(ask, stream=stream, timeout_s=0.4)
    assert (failed.code, "0.4 s" in failed.detail) == (Code.MODEL_TIMED_OUT, True)
    assert time.monotonic() - began < 2


def test_a_server_that_is_not_there_is_unavailable(ask: Ask, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.OUTBOUND_ALLOWED = [f"127.0.0.1:{port}"]
    failed = failure(ask, base_url=f"http://127.0.0.1:{port}/v1")
    assert (failed.code, "refuses connections" in failed.detail) == (Code.MODEL_UNAVAILABLE, True)


def test_an_inner_address_is_not_called(ask: Ask, program: Program, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = []
    for url in (f"{program.url}/v1", "http://169.254.169.254/v1", "http://localhost:11434/v1", "file:///etc", "no url"):
        assert failure(ask, base_url=url).code is Code.MODEL_ADDRESS_REFUSED
    assert program.calls == []


# --- later


@both
def test_who_says_later_is_asked_again(ask: Ask, program: Program, stream: bool) -> None:
    program.says(api.fails(429, "Slow down.", Retry_After="0.2"), api.fails(503, Retry_After="0"), api.says("Now."))
    began = time.monotonic()
    assert ask(stream=stream).content == "Now."
    assert time.monotonic() - began >= 0.2
    assert len(program.calls) == 3
    assert len({call.body for call in program.calls}) == 1


@pytest.mark.parametrize(("status", "code"), [(429, Code.MODEL_RATE_LIMITED), (502, Code.MODEL_UNAVAILABLE)])
def test_who_keeps_saying_later_is_asked_three_times(ask: Ask, program: Program, status: int, code: Code) -> None:
    program.says(api.fails(status, "Later.", Retry_After="0"))
    assert failure(ask).code is code
    assert len(program.calls) == 3


@pytest.mark.parametrize("later", ["3600", "21", "4", "Wed, 01 Jan 2200 00:00:00 GMT", "1e400", "inf"])
def test_nobody_is_waited_for_longer_than_there_is_time(ask: Ask, program: Program, later: str) -> None:
    program.says(api.fails(429, "Later.", Retry_After=later))
    began = time.monotonic()
    assert failure(ask, timeout_s=3.0).code is Code.MODEL_RATE_LIMITED
    assert time.monotonic() - began < 1
    assert len(program.calls) == 1


@pytest.mark.parametrize("later", ["nan", "-1", "soon", "Wed, 01 Jan 1986 00:00:00 GMT"])
def test_a_time_that_means_nothing_stops_nothing(ask: Ask, program: Program, later: str) -> None:
    program.says(api.fails(429, "Later.", Retry_After=later), api.says("Now."))
    assert ask().content == "Now."


# --- keys


def test_without_its_key_a_model_is_not_asked(ask: Ask, program: Program) -> None:
    failed = failure(ask, keys=no_keys, api_key_env="MODEL_KEY")
    assert (failed.code, failed.detail) == (Code.MODEL_UNUSABLE, "The variable MODEL_KEY is empty on this machine.")
    assert program.calls == []


@both
def test_a_key_is_in_no_error_no_answer_and_no_log(
    ask: Ask, program: Program, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    def repeats(call: Call) -> None:
        api.says(f"You told me {call.headers['authorization']}")(call)

    caplog.set_level(logging.DEBUG)
    program.says(api.wants_key("another", api.says("Well.")))
    failed = failure(ask, stream=stream, api_key_env="MODEL_KEY")
    assert (failed.code, failed.detail) == (
        Code.MODEL_UNAUTHORIZED,
        "127.0.0.1 answered 401: Incorrect API key provided: [key].",
    )
    program.says(repeats)
    assert ask(stream=stream, api_key_env="MODEL_KEY").content == "You told me Bearer [key]"
    assert KEY not in caplog.text + repr(failed.__context__) + repr(failed.__cause__)


def test_a_question_that_is_given_up_hangs_up(program: Program) -> None:
    from autogen_core import CancellationToken
    from autogen_core.models import UserMessage

    from agents.team.clients.openai import openai_client

    program.says(api.hangs)

    async def give_up() -> float:
        client = openai_client(ModelRef(**reference(program, timeout_s=30.0)), keys=no_keys)
        token = CancellationToken()
        task = asyncio.create_task(client.create([UserMessage(content="?", source="desk")], cancellation_token=token))
        while not program.calls:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await client.close()
        return time.monotonic() - began

    assert asyncio.run(give_up()) < 1
