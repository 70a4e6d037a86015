"""What an API that speaks as OpenAI's does may answer: well, badly, slowly, or not at all. Acts for a `Program`."""

import json
from collections.abc import Mapping
from typing import Any

from tests.agents.program import Act, Call

Usage = tuple[int, int] | None


def says(text: str | None, *, finish: str | None = "stop", usage: Usage = (100, 20), **message: Any) -> Act:
    """Answer `text`, as a stream where a stream is asked for."""

    def act(call: Call) -> None:
        if call.json.get("stream"):
            _stream(call, events(text, finish=finish, usage=usage, **message))
        else:
            call.answer(200, whole(text, finish=finish, usage=usage, **message), Content_Type="application/json")

    return act


def calls(*wanted: tuple[str, Mapping[str, Any] | str], usage: Usage = (100, 20), finish: str = "tool_calls") -> Act:
    """Ask for tools by name with arguments, an object or the text that should be one."""
    tool_calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": said if isinstance(said, str) else json.dumps(said)},
        }
        for number, (name, said) in enumerate(wanted)
    ]
    return says(None, finish=finish, usage=usage, tool_calls=tool_calls)


def whole(text: str | None, *, finish: str | None = "stop", usage: Usage = None, **message: Any) -> dict[str, Any]:
    """Return an answer as one object."""
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": "some-model-2026",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        ],
    }
    return answer if usage is None else {**answer, "usage": _usage(usage)}


def events(text: str | None, *, finish: str | None = "stop", usage: Usage = None, **message: Any) -> list[str]:
    """Return an answer as the events of a stream, a few letters each and the arguments of tools in halves."""
    pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    pieces += [{"content": text[at : at + 7]} for at in range(0, len(text or ""), 7)] if text else []
    for index, call in enumerate(message.pop("tool_calls", ())):
        arguments = call["function"]["arguments"]
        half = len(arguments) // 2
        first = {**call, "index": index, "function": {**call["function"], "arguments": arguments[:half]}}
        pieces.append({"tool_calls": [first]})
        pieces.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    pieces[0] |= message
    found = [_chunk([{"index": 0, "delta": piece, "finish_reason": None}]) for piece in pieces]
    if finish is not None:
        found.append(_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
    if usage is not None:
        found.append(_chunk([], usage=_usage(usage)))
    return [*(json.dumps(event) for event in found), "[DONE]"]


def fails(status: int, message: str = "", **headers: str) -> Act:
    """Answer an error as the API words it."""
    error = {"error": {"message": message, "type": "error", "code": None}} if message else {}
    return lambda call: call.answer(status, error, **headers)


def wants_key(key: str, then: Act) -> Act:
    """Answer as OpenAI does to whoever does not know the key."""

    def act(call: Call) -> None:
        told = call.headers.get("authorization", "")
        if told == f"Bearer {key}":
            then(call)
        else:
            fails(401, f"Incorrect API key provided: {told.removeprefix('Bearer ')}.")(call)

    return act


def hangs(call: Call) -> None:
    """Take the request and say nothing."""
    call.sleep(30)


def drips(call: Call) -> None:
    """Send an answer of two minutes, a byte a second."""
    body = json.dumps(whole("Buy." * 30)).encode()
    call.handler.send_response(200)
    call.handler.send_header("Content-Length", str(len(body)))
    call.handler.end_headers()
    for byte in body:
        call.handler.wfile.write(bytes([byte]))
        call.sleep(1)
        if call.closing.is_set():
            return


def answers(body: Any, **headers: str) -> Act:
    """Answer 200 with `body`, whatever it is."""
    return lambda call: call.answer(200, body, **headers)


def half(call: Call) -> None:
    """Answer half of the JSON, and say that it is all."""
    body = json.dumps(whole('{"action": "BUY", "confidence": 0.9}')).encode()
    call.answer(200, body[: len(body) // 2], Content_Type="application/json")


def cut(call: Call) -> None:
    """Begin to answer and hang up: in the middle of what was announced, or of the stream."""
    if call.json.get("stream"):
        _stream(call, events("Recommendation: BUY (confidence 0.9)")[:4])
    else:
        body = json.dumps(whole("Recommendation: BUY")).encode()
        call.handler.send_response(200)
        call.handler.send_header("Content-Length", str(len(body) + 50))
        call.handler.end_headers()
        call.handler.wfile.write(body)


def huge(call: Call) -> None:
    """Answer without end."""
    call.handler.send_response(200)
    call.handler.end_headers()
    piece = b'data: {"choices": [{"index": 0, "delta": {"content": "' + b"x" * 60_000 + b'"}}]}\n\n'
    while not call.closing.is_set():
        call.handler.wfile.write(piece)


def _stream(call: Call, said: list[str]) -> None:
    call.handler.send_response(200)
    call.handler.send_header("Content-Type", "text/event-stream")
    call.handler.end_headers()
    for event in said:
        call.handler.wfile.write(f"data: {event}\n\n".encode())


def _chunk(choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
