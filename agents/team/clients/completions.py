"""Reading what an API that speaks as OpenAI's does has answered, whole or as a stream of events.

A stranger wrote it. It is judged here, before any library makes objects of it: nothing half, nothing misshapen goes on.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.team.failures import ModelFailed
from agents.team.words import Code

MAX_TEXT = 256 * 1024
MAX_CALLS = 32
MAX_SAID = 300
# More is a mistake in counting, not an answer.
MAX_TOKENS = 100_000_000
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool that the model asks for; `arguments` is JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Completion:
    """One whole answer. Tokens are None where the API does not tell; `finish` is "length" where it was cut off."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    finish: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def body(self, model: str) -> dict[str, Any]:
        """Return it as the API's own libraries read an answer."""
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in self.calls
        ]
        message = {"role": "assistant", "content": self.text or None, **({"tool_calls": calls} if calls else {})}
        usage = None
        if self.prompt_tokens is not None and self.completion_tokens is not None:
            usage = {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            }
        return {
            "id": "answer",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else self.finish, "message": message}],
            "usage": usage,
        }


def completion_read(body: bytes) -> Completion:
    """Return the answer in `body`: a JSON object, or the events of a stream.

    Raises:
        ModelFailed: MODEL_ANSWER_INVALID for what is no whole, sound answer; MODEL_REFUSED where the model declined or
            its filter stepped in; ANSWER_CUT_OFF where it met its limit before it had said anything of use.
    """
    if body.lstrip()[:1] == b"{":
        answer = _object(body)
        _no_error(answer)
        choice = _choice(answer)
        parts = _Parts(usage=answer.get("usage"))
        parts.take(choice, choice.get("message"))
    else:
        parts = _streamed(body)
    return parts.completion()


def error_said(body: bytes) -> str:
    """Return what an API says of an error, in one line of printable text; empty when it says nothing readable."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    said = answer.get("error", answer) if isinstance(answer, Mapping) else None
    if isinstance(said, Mapping):
        said = next((said[name] for name in ("message", "detail") if isinstance(said.get(name), str)), None)
    if not isinstance(said, str):
        return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in said[: 2 * MAX_SAID]).split())
    return line if len(line) <= MAX_SAID else f"{line[:MAX_SAID]} …"


@dataclass
class _Parts:
    """What has come of one answer."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish: str | None = None
    usage: Any = None

    def take(self, choice: Mapping[str, Any], message: Any) -> None:
        """Add what a message, or a piece of one, says."""
        if not isinstance(message, Mapping):
            raise _invalid("it holds no message")
        self.text.append(_text(message, "content"))
        self.refusal.append(_text(message, "refusal"))
        calls = message.get("tool_calls")
        if not isinstance(calls, list | None):
            raise _invalid("its tool calls are no list")
        for number, call in enumerate(calls or ()):
            self._call(number, call)
        finish = choice.get("finish_reason")
        self.finish = finish if isinstance(finish, str) and finish else self.finish

    def _call(self, number: int, call: Any) -> None:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise _invalid("a tool call names no function")
        index, id_ = call.get("index"), _text(call, "id")
        index = index if isinstance(index, int) else number
        if id_ and (self.calls.get(index, {}).get("id") or id_) != id_:
            # Some number all their calls alike.
            index = max(self.calls) + 1
        known = self.calls.setdefault(index, {"id": "", "name": "", "arguments": ""})
        if len(self.calls) > MAX_CALLS:
            raise _invalid(f"it calls more than {MAX_CALLS} tools at once")
        arguments = function.get("arguments")
        if isinstance(arguments, Mapping):
            # As some write them; the API says text.
            function = {**function, "arguments": json.dumps(arguments)}
        known["id"] = known["id"] or id_
        known["name"] += _text(function, "name")
        known["arguments"] += _text(function, "arguments")

    def completion(self) -> Completion:
        """Return the answer that the parts make.

        Raises:
            ModelFailed: as `completion_read`.
        """
        if self.finish == "content_filter" or (any(self.refusal) and not any(self.text)):
            raise ModelFailed(Code.MODEL_REFUSED, "The model declined to answer.")
        text, calls = "".join(self.text), tuple(self._calls())
        if sum(len(call.arguments) for call in calls) + len(text) > MAX_TEXT:
            raise _invalid(f"it is longer than {MAX_TEXT // 1024} Ki characters")
        # What a model thinks aloud is not what it says.
        text = _THOUGHTS.sub("", text)
        cut_off = self.finish == "length"
        if not calls and (not text.strip() or (cut_off and text.lstrip().startswith("<think>"))):
            if cut_off:
                raise _cut_off()
            raise _invalid("it says nothing")
        if cut_off and not all(_is_object(call.arguments) for call in calls):
            raise _cut_off()
        return Completion(text, calls, self.finish, *_tokens(self.usage))

    def _calls(self) -> Iterator[ToolCall]:
        for number, call in sorted(self.calls.items()):
            if not call["name"]:
                raise _invalid("a tool call names no function")
            yield ToolCall(call["id"] or f"call_{number}", call["name"], call["arguments"] or "{}")


def _streamed(body: bytes) -> _Parts:
    parts, whole = _Parts(), False
    for data in _events(body):
        if data == "[DONE]":
            whole = True
            break
        piece = _object(data.encode())
        _no_error(piece)
        # The last piece, or any, tells the tokens up to it.
        parts.usage = piece.get("usage") or parts.usage
        # The piece that tells the tokens alone has no choices.
        if piece.get("choices") != []:
            choice = _choice(piece)
            parts.take(choice, choice.get("delta"))
    if not whole and parts.finish is None:
        raise _invalid("the stream broke off")
    return parts


def _events(body: bytes) -> Iterator[str]:
    """Yield the data of each event of a stream; one that was begun and not ended is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise _invalid("it is no text") from None
    found = False
    data: list[str] = []
    for line in re.split(r"\r\n|\n|\r", text):
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif line == "" and data:
            found = True
            yield "\n".join(data)
            data = []
    if not found:
        raise _invalid("it is neither an object of JSON nor a stream of events")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("it is no whole JSON") from None
    if not isinstance(answer, Mapping):
        raise _invalid("it is no object")
    return answer


def _no_error(answer: Mapping[str, Any]) -> None:
    if answer.get("error"):
        said = error_said(json.dumps(answer).encode())
        raise _invalid(f"it reports an error: {said}" if said else "it reports an error")


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise _invalid("it holds no choices")
    return choices[0]


def _text(holder: Mapping[str, Any], name: str) -> str:
    text = holder.get(name)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise _invalid(f"its {name} is no text")
    # Half a pair of surrogates could neither be stored nor sent on.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _tokens(usage: Any) -> tuple[int | None, int | None]:
    counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")] if isinstance(usage, Mapping) else []
    if len(counts) == 2 and all(type(count) is int and 0 <= count <= MAX_TOKENS for count in counts):
        return counts[0], counts[1]
    return None, None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _invalid(why: str) -> ModelFailed:
    return ModelFailed(Code.MODEL_ANSWER_INVALID, f"The model's answer is not usable: {why}.")


def _cut_off() -> ModelFailed:
    return ModelFailed(Code.ANSWER_CUT_OFF, "The model met its limit before it had said anything of use.")
