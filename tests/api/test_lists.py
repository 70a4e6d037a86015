"""Pages by number and by key: complete, stable, and strict about their parameters."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tradingsite.common.models import OutboxMessage

pytestmark = [pytest.mark.urls("tests.api.probe"), pytest.mark.django_db]
START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def rows() -> list[int]:
    """Twelve messages: two share each time, a third of them is published."""
    made = [
        OutboxMessage(
            task=f"desk.task_{number}",
            task_id=str(number),
            queue="runs" if number % 2 else "control",
            priority=number % 3,
            created_at=START + timedelta(hours=number // 2),
            published_at=START + timedelta(days=number) if number % 3 == 0 else None,
        )
        for number in range(12)
    ]
    return [row.pk for row in OutboxMessage.objects.bulk_create(made)]


@pytest.fixture
def client(api: Callable[..., APIClient]) -> APIClient:
    return api("viewer")


def walk(client: APIClient, url: str, way: str = "next") -> list[list[int]]:
    pages = []
    following: str | None = url
    while following:
        parts = urlsplit(following)
        answer = client.get(f"{parts.path}?{parts.query}")
        assert answer.status_code == 200, answer.content
        pages.append(answer.json()["results"])
        following = answer.json()[way]
        assert len(pages) < 50
    return pages


def errors(answer: Any) -> list[str]:
    assert answer.status_code == 400, answer.content
    return [error["pointer"] for error in answer.json()["errors"]]


def test_pages_by_number_count_and_link(client: APIClient, rows: list[int]) -> None:
    answer = client.get("/api/paged", {"page_size": "5", "page": "2"}).json()
    assert answer["count"] == 12
    assert answer["results"] == rows[::-1][5:10]
    assert "page=3" in answer["next"]
    assert "page=1" in answer["previous"]
    assert walk(client, "/api/paged?page_size=5") == [rows[::-1][:5], rows[::-1][5:10], rows[::-1][10:]]


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": "0"},
        {"page_size": "201"},
        {"page_size": "-1"},
        {"page_size": "many"},
        {"page_size": "٣"},
        {"page_size": "000000000001" + "0" * 5000},
        {"page": "99"},
        {"page": "1e3"},
        {"queue_name": "runs"},
        {"created_after": "2024-02-31"},
        {"created_after": "2024-01-01T00:00:00"},
        {"ordering": "task_id"},
        {"ordering": ""},
    ],
)
def test_a_wrong_parameter_of_a_list_is_named(client: APIClient, rows: list[int], query: dict[str, str]) -> None:
    assert errors(client.get("/api/paged", query)) == list(query)


def test_filters_search_and_order_apply(client: APIClient, rows: list[int]) -> None:
    def of(**query: str) -> list[int]:
        results: list[int] = client.get("/api/paged", query).json()["results"]
        return results

    assert of(queue="runs") == rows[1::2][::-1]
    assert of(search="TASK_11") == [rows[11]]
    assert of(created_after="2026-01-05T04:00:00Z") == rows[8:][::-1]
    assert of(created_after="2026-01-06") == []
    assert of(ordering="created_at") == rows
    assert of(ordering="-created_at") == rows[::-1]


@pytest.mark.parametrize(
    "order", ["created_at", "-created_at", "priority", "-priority", "published_at", "-published_at"]
)
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_pages_by_key_show_each_row_once_in_order_both_ways(
    client: APIClient, rows: list[int], order: str, size: int
) -> None:
    whole = client.get("/api/keyed", {"ordering": order}).json()["results"]
    assert sorted(whole) == rows
    url = f"/api/keyed?ordering={order}&page_size={size}"
    pages = walk(client, url)
    assert [pk for page in pages for pk in page] == whole

    last = client.get(url).json()
    while last["next"]:
        last = client.get(last["next"]).json()
    back = [last["results"]]
    while last["previous"]:
        last = client.get(last["previous"]).json()
        back.insert(0, last["results"])
    assert [pk for page in back for pk in page] == whole


def test_a_row_that_comes_meanwhile_neither_repeats_nor_hides_another(client: APIClient, rows: list[int]) -> None:
    first = client.get("/api/keyed", {"page_size": "4"}).json()
    OutboxMessage.objects.create(task="late", task_id="late", queue="runs")
    second = client.get(first["next"]).json()
    assert first["results"] + second["results"] == rows[::-1][:8]


def test_pages_by_key_count_on_request_only(client: APIClient, rows: list[int]) -> None:
    assert "count" not in client.get("/api/keyed").json()
    assert client.get("/api/keyed", {"count": "true", "page_size": "2"}).json()["count"] == 12
    assert errors(client.get("/api/keyed", {"count": "yes"})) == ["count"]


def forged(**cursor: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "%%%",
        "é",
        "AAAA",
        forged(),
        forged(d="x", v=None, k="1"),
        forged(d="n", v=[1], k="1"),
        forged(d="n", v={"t": "never"}, k="1"),
        forged(d="n", v={"x": 1}, k="1"),
        forged(d="n", v="not a time", k="1"),
        forged(d="n", v={"t": "2026-01-05T00:00:00Z"}, k="not a number"),
        forged(d="n", v={"t": "2026-01-05T00:00:00Z"}, k="9" * 30),
        forged(d="n", v="2026\x00", k="1"),
        forged(d="n", v={"t": "2026-01-05T00:00:00Z"}, k="1\x00"),
        base64.urlsafe_b64encode(b'{"d":"n","v":1e999,"k":"1"}').decode(),
        base64.urlsafe_b64encode(b"[" * 50_000).decode(),
    ],
)
def test_a_forged_cursor_is_a_400(client: APIClient, rows: list[int], cursor: str) -> None:
    assert errors(client.get("/api/keyed", {"ordering": "created_at", "cursor": cursor})) == ["cursor"]


@pytest.mark.parametrize("value", [10**30, "many", 1.5e300])
def test_a_forged_number_in_a_cursor_is_a_400(client: APIClient, rows: list[int], value: Any) -> None:
    cursor = forged(d="n", v=value, k="1")
    assert errors(client.get("/api/keyed", {"ordering": "priority", "cursor": cursor})) == ["cursor"]


def test_beyond_a_cursor_is_one_range_of_the_order_and_not_an_alternative(client: APIClient, rows: list[int]) -> None:
    first = client.get("/api/keyed", {"ordering": "created_at", "page_size": "3"}).json()
    with CaptureQueriesContext(connection) as made:
        client.get(first["next"])
    said = next(query["sql"] for query in made if "LIMIT" in query["sql"])
    # With `created_at > v OR (created_at = v AND id > k)` everything before the cursor would be read on every page.
    assert '("outbox_message"."created_at", "outbox_message"."id") > (' in said
    assert " OR " not in said


def test_a_page_goes_on_where_the_values_end(client: APIClient, rows: list[int]) -> None:
    whole = client.get("/api/keyed", {"ordering": "published_at"}).json()["results"]
    # Four are published, so the second page of three begins with the last of these.
    second = client.get(client.get("/api/keyed", {"ordering": "published_at", "page_size": "3"}).json()["next"]).json()
    assert second["results"] == whole[3:6]
    assert OutboxMessage.objects.get(pk=whole[3]).published_at is not None
    assert OutboxMessage.objects.get(pk=whole[4]).published_at is None
