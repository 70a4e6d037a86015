"""Bodies in pieces, and bodies that are too large, through the whole ASGI application."""

import asyncio
import json
from typing import Any

import pytest

from tradingsite.asgi import application

# Answered before anything asks the database: what the body lacks is told by its validation.
PATH = "/api/auth/token"


def send(*pieces: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    """POST `pieces` as they would come from the server; return the status and the problem."""
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.sleep(60)
        raise AssertionError("nobody asks so long")

    async def answer(message: Any) -> None:
        sent.append(dict(message))

    given = {"host": "testserver", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
    }
    asyncio.run(application(scope, receive, answer))  # type: ignore[arg-type]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], json.loads(body)


def test_a_body_in_pieces_is_read_like_one_with_a_length() -> None:
    status, problem = send(b'{"username": "a", ', b'"colour": "red"}', transfer_encoding="chunked")
    assert status == 400
    assert [error["pointer"] for error in problem["errors"]] == ["colour"]


def test_a_body_in_pieces_has_the_same_limit(settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    status, problem = send(b" " * 90, b" " * 90, transfer_encoding="chunked")
    assert (status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("headers", [{"content_length": "300"}, {"transfer_encoding": "chunked"}])
def test_a_body_beyond_every_limit_is_refused_before_all_of_it_is_kept(settings: Any, headers: dict[str, str]) -> None:
    settings.UPLOAD_MAX_SIZE = 200
    status, problem = send(b" " * 150, b" " * 150, **headers)
    assert (status, problem["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert problem["instance"] == PATH
