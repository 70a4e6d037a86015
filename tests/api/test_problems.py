"""Every error is a problem document; no body, whatever it holds, is a 500."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import DataError, OperationalError
from rest_framework.test import APIClient

from tradingsite.common.api import handlers

pytestmark = [pytest.mark.urls("tests.api.probe"), pytest.mark.django_db]


@pytest.fixture
def client(api: Callable[..., APIClient]) -> APIClient:
    client = api("viewer")
    client.raise_request_exception = False
    return client


def post(client: APIClient, body: bytes, content_type: str = "application/json") -> Any:
    return client.generic("POST", "/api/body", body, content_type=content_type)


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert {"type", "title", "detail", "instance"} <= set(problem)
    return problem


def pointers(problem: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"name": ', "JSON"),
        (b'{"name": NaN}', "NaN"),
        (b'{"name": -Infinity}', "Infinity"),
        (b'{"name": 1e999}', "1e999"),
        (b'{"count": ' + b"9" * 5000 + b"}", "digits"),
        (b'{"name": "a", "name": "b"}', "twice"),
        (b"[" * 100_000 + b"]" * 100_000, "deep"),
        (b'{"anything": ' * 40 + b"1" + b"}" * 40, "deep"),
        (b'{"name": "\xff\xfe"}', "UTF-8"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_the_reason(client: APIClient, body: bytes, word: str) -> None:
    problem = problem_of(post(client, body), 400, "VALIDATION_FAILED")
    assert word in problem["detail"]
    assert pointers(problem) == [""]


@pytest.mark.parametrize("body", [b"[1, 2]", b'"text"', b"7", b"true"])
def test_a_body_that_is_no_object_is_refused(client: APIClient, body: bytes) -> None:
    problem = problem_of(post(client, body), 400, "VALIDATION_FAILED")
    assert "object" in problem["detail"]


@pytest.mark.parametrize("body", [b"", b"null"])
def test_no_body_is_refused_where_one_is_needed(client: APIClient, body: bytes) -> None:
    problem_of(post(client, body), 400, "VALIDATION_FAILED")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "a" * 21}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "a", "colour": "red"}, "colour"),
        ({"name": "a", "count": 10**30}, "count"),
        ({"name": "a", "count": "many"}, "count"),
        ({"name": "a", "count": -1}, "count"),
        ({"name": "a", "at": "2024-01-01T00:00:00"}, "at"),
        ({"name": "a", "at": "0001-01-01T00:00:00+23:59"}, "at"),
        ({"name": "a", "at": "yesterday"}, "at"),
        ({"name": "a", "anything": {"deep": ["b\x00"]}}, "anything/deep/0"),
        (
            {"name": "a", "legs": [{"symbol": "IBM", "quantity": "1"}, {"symbol": "ibm", "quantity": "1"}]},
            "legs/1/symbol",
        ),
        ({"name": "a", "legs": [{"symbol": "IBM", "quantity": "NaN"}]}, "legs/0/quantity"),
        ({"name": "a", "legs": [{"symbol": "IBM", "quantity": 1.5}]}, "legs/0/quantity"),
        ({"name": "a", "legs": [{"symbol": "IBM", "quantity": "9" * 1000}]}, "legs/0/quantity"),
        ({"name": "a", "legs": [{"symbol": "IBM", "quantity": "1", "side": "buy"}]}, "legs/0/side"),
        ({"name": "a", "legs": {"symbol": "IBM"}}, "legs"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(client: APIClient, body: dict[str, Any], pointer: str) -> None:
    problem = problem_of(post(client, json.dumps(body).encode()), 400, "VALIDATION_FAILED")
    assert pointers(problem) == [pointer]


def test_every_wrong_field_is_named_at_once(client: APIClient) -> None:
    problem = problem_of(post(client, b'{"name": "", "count": -1, "legs": [{}]}'), 400, "VALIDATION_FAILED")
    assert set(pointers(problem)) == {"name", "count", "legs/0/symbol", "legs/0/quantity"}


def test_a_body_beyond_the_limit_is_a_413(client: APIClient, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    problem_of(post(client, b'{"name": "' + b"a" * 200 + b'"}'), 413, "PAYLOAD_TOO_LARGE")
    assert post(client, b'{"name": "a"}').status_code == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "nonsense"]
)
def test_another_content_type_is_a_415(client: APIClient, content_type: str) -> None:
    problem_of(post(client, b"name=a", content_type), 415, "UNSUPPORTED_MEDIA_TYPE")


def test_another_method_is_a_405_for_who_may_read(client: APIClient) -> None:
    answer = client.delete("/api/body")
    problem_of(answer, 405, "METHOD_NOT_ALLOWED")
    assert set(answer["Allow"].split(", ")) >= {"GET", "POST"}


def test_options_is_a_405_like_any_other_method(client: APIClient) -> None:
    problem_of(client.options("/api/body"), 405, "METHOD_NOT_ALLOWED")


def test_an_answer_that_cannot_be_had_is_a_406(client: APIClient) -> None:
    problem_of(client.get("/api/body", HTTP_ACCEPT="image/png"), 406, "NOT_ACCEPTABLE")


def test_an_unknown_route_is_a_404_with_a_problem(client: APIClient) -> None:
    problem_of(client.get("/api/nothing/here"), 404, "NOT_FOUND")


def test_an_unknown_query_parameter_is_named(client: APIClient) -> None:
    assert client.get("/api/body", {"colour": "red"}).status_code == 200
    assert pointers(problem_of(client.get("/api/body", {"color": "red"}), 400, "VALIDATION_FAILED")) == ["color"]


def test_a_nul_in_a_query_parameter_is_named(client: APIClient) -> None:
    assert pointers(problem_of(client.get("/api/body?colour=a%00"), 400, "VALIDATION_FAILED")) == ["colour"]


def test_nobody_is_told_to_log_in_and_how(api: Callable[..., APIClient]) -> None:
    answer = api().get("/api/body")
    problem_of(answer, 401, "UNAUTHENTICATED")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_both_spellings_of_a_path_are_one_route(client: APIClient) -> None:
    assert client.get("/api/body").json() == client.get("/api/body/").json()


def test_a_fault_of_ours_says_nothing_of_the_inside_but_names_the_request(client: APIClient) -> None:
    answer = client.get("/api/fault", HTTP_X_REQUEST_ID="request-12345")
    problem = problem_of(answer, 500, "INTERNAL_ERROR")
    assert b"inside of the desk" not in answer.content
    assert problem["request_id"] == answer["X-Request-Id"] == "request-12345"


def test_an_unknown_host_is_a_problem_too(client: APIClient, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["desk.example"]
    problem_of(client.get("/api/body", HTTP_HOST="evil.example"), 400, "VALIDATION_FAILED")


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back() -> None:
    error = handlers.as_app_error(OperationalError("connection refused"))
    assert error is not None
    assert (error.status, error.headers["Retry-After"]) == (503, "5")


def test_a_value_that_no_column_holds_is_a_400() -> None:
    error = handlers.as_app_error(DataError("numeric field overflow"))
    assert error is not None
    assert error.status == 400


def test_a_fault_that_nobody_foresaw_stays_a_fault() -> None:
    assert handlers.as_app_error(KeyError("x")) is None
