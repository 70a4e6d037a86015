"""Whatever bytes an API answers, they are one sound answer or one failure with a code."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.team.clients.completions import MAX_TEXT, Completion, completion_read, error_said
from agents.team.failures import ModelFailed
from tests.agents import model_api

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["choices", "message", "delta", "content", "tool_calls", "function", "name", "arguments", "usage", "error"]


def read(body: bytes) -> Completion | None:
    """Return a sound answer; None for a failure in the desk's own words."""
    failures: list[ModelFailed] = []
    try:
        found = completion_read(body)
    except ModelFailed as failed:
        failures.append(failed)
    if failures:
        assert failures[0].code
        assert failures[0].detail.isprintable()
        return None
    assert found.text.strip() or found.calls
    assert len(found.text) <= MAX_TEXT
    assert all(call.name and call.id for call in found.calls)
    json.dumps(found.body("m"), ensure_ascii=False).encode()
    return found


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    read(body)


def _changed(value: Any, path: list[int], into: Any) -> Any:
    """Replace what stands at a random place of a JSON value."""
    if not path or not isinstance(value, dict | list) or not value:
        return into
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    made = dict(value) if isinstance(value, dict) else list(value)
    made[key] = _changed(value[key], path[1:], into)
    return made


CALL = {"id": "c", "type": "function", "function": {"name": "get_bars", "arguments": "{}"}}


@given(st.lists(st.integers(0, 9), max_size=6), json_values | st.sampled_from(NAMES), st.booleans())
def test_a_sound_answer_with_something_else_in_one_place(path: list[int], into: Any, calls: bool) -> None:
    answer = model_api.whole("Well.", usage=(1, 2), **({"tool_calls": [CALL]} if calls else {}))
    read(json.dumps(_changed(answer, path, into)).encode())


@given(st.integers(0, 11), st.lists(st.integers(0, 9), max_size=6), json_values)
def test_a_sound_stream_with_something_else_in_one_place(number: int, path: list[int], into: Any) -> None:
    pieces = model_api.events("All is well.", usage=(1, 2), tool_calls=[CALL])[:-1]
    pieces[number % len(pieces)] = json.dumps(_changed(json.loads(pieces[number % len(pieces)]), path, into))
    read("".join(f"data: {piece}\n\n" for piece in [*pieces, "[DONE]"]).encode())


@given(st.text(min_size=1, max_size=80), st.integers(0, 400))
def test_a_stream_that_breaks_off_anywhere_is_no_answer(text: str, place: int) -> None:
    body = "".join(f"data: {piece}\n\n" for piece in model_api.events(text, finish="stop")).encode()
    finish = body.index(b'"finish_reason": "stop"')
    assert read(body[: place % finish]) is None


@given(st.text(max_size=200), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_stream_says_what_the_whole_answer_says(text: str, end: str) -> None:
    said = "".join(f"data: {piece}{end}{end}" for piece in model_api.events(text, usage=(3, 4)))
    whole = model_api.whole(text, usage=(3, 4))
    assert read(said.encode()) == read(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "No.\\n\\u001b[31m Never."}}', "No. [31m Never."),
        (b'{"error": "model not found"}', "model not found"),
        (b'{"detail": "Not here"}', "Not here"),
        (b'{"error": {"code": 7}}', ""),
        (b"<html>", ""),
        (b"[]", ""),
    ],
)
def test_what_an_api_says_of_an_error_is_one_printable_line(body: bytes, said: str) -> None:
    assert error_said(body) == said
    assert len(error_said(json.dumps({"error": "x" * 5000}).encode())) < 310
