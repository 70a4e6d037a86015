"""The portfolio over HTTP."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AbstractBaseUser
from rest_framework.test import APIClient

from market.models import BarSeries
from portfolio import services
from portfolio.models import Account, Order, PaperOrder
from safety import services as safety
from tests.conftest import user_with_role
from tests.portfolio.conftest import Prices
from tradingsite.common.actor import Actor
from tradingsite.common.roles import Role

pytestmark = pytest.mark.django_db

Clients = Callable[..., APIClient]
Place = Callable[..., Order]
BUY = {"symbol": "ACME", "side": "buy", "quantity": "10"}


def test_an_order_by_hand_is_filled_and_shown_everywhere(acme: BarSeries, account: Account, api: Clients) -> None:
    trader = api("trader")
    answer = trader.post("/api/portfolio/orders", BUY, format="json")
    assert answer.status_code == 201, answer.content
    order = answer.json()
    assert (order["status"], order["average_price"], order["filled_quantity"]) == ("filled", "103.0515", "10")
    assert order["fills"][0]["fee"] == "1.030515"
    assert answer["Location"] == f"/api/portfolio/orders/{order['id']}"
    assert trader.get(answer["Location"]).json() == order
    viewer = api("viewer")
    portfolio = viewer.get("/api/portfolio/").json()
    assert (portfolio["cash"], portfolio["equity"]) == ("98968.454485", "99998.454485")
    assert (portfolio["gross_exposure"], portfolio["total_pnl"], portfolio["day_pnl"]) == (
        "1030",
        "-1.545515",
        "-1.545515",
    )
    assert portfolio["drawdown"] == pytest.approx(1.545515e-5)
    assert portfolio["positions"][0]["symbol"] == "ACME"
    assert portfolio["equity_curve"][0]["equity"] == "99998.454485"
    assert viewer.get("/api/portfolio/positions").json()[0]["mark_price"] == "103"
    assert viewer.get("/api/portfolio/equity?limit=5").json()[0]["cash"] == "98968.454485"
    [fill] = viewer.get("/api/portfolio/fills?symbol=ACME").json()["results"]
    assert fill["order_id"] == order["id"]
    [row] = viewer.get("/api/portfolio/orders?status=filled&symbol=ACME").json()["results"]
    assert row["id"] == order["id"]


def test_the_same_key_places_one_order(acme: BarSeries, account: Account, api: Clients) -> None:
    trader = api("trader")
    first = trader.post("/api/portfolio/orders", BUY, format="json", headers={"Idempotency-Key": "k1"})
    again = trader.post("/api/portfolio/orders", BUY, format="json", headers={"Idempotency-Key": "k1"})
    assert again["Idempotent-Replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    other = trader.post(
        "/api/portfolio/orders", {**BUY, "quantity": "11"}, format="json", headers={"Idempotency-Key": "k1"}
    )
    assert other.status_code == 422
    assert Order.objects.count() == PaperOrder.objects.count() == 1


def test_a_denied_order_is_answered_with_its_code(acme: BarSeries, account: Account, api: Clients) -> None:
    answer = api("trader").post("/api/portfolio/orders", {**BUY, "quantity": "1000"}, format="json")
    assert answer.status_code == 201
    assert (answer.json()["status"], answer.json()["code"]) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")


def test_a_killed_desk_takes_no_order_by_hand(
    acme: BarSeries, account: Account, api: Clients, operator_actor: Actor
) -> None:
    safety.kill(actor=operator_actor, reason="stop")
    answer = api("trader").post("/api/portfolio/orders", BUY, format="json")
    assert (answer.json()["status"], answer.json()["code"]) == ("denied", "KILL_SWITCH_ACTIVE")
    assert PaperOrder.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "symbol"),
        ({**BUY, "quantity": "0"}, "quantity"),
        ({**BUY, "quantity": "-1"}, "quantity"),
        ({**BUY, "quantity": "NaN"}, "quantity"),
        ({**BUY, "quantity": 1.5}, "quantity"),
        ({**BUY, "quantity": "1e400"}, "quantity"),
        ({**BUY, "quantity": "0.00000000001"}, "quantity"),
        ({**BUY, "side": "hold"}, "side"),
        ({**BUY, "type": "stop_limit"}, "type"),
        ({**BUY, "type": "stop"}, "stop_price"),
        ({**BUY, "stop_price": "5"}, "stop_price"),
        ({**BUY, "type": "stop", "stop_price": "0"}, "stop_price"),
        ({**BUY, "time_in_force": "fok"}, "time_in_force"),
        ({**BUY, "type": "limit"}, "limit_price"),
        ({**BUY, "limit_price": "5"}, "limit_price"),
        ({**BUY, "type": "limit", "limit_price": "0"}, "limit_price"),
        ({**BUY, "strategy_id": "x"}, "strategy_id"),
        ({**BUY, "timeframe": "2d"}, "timeframe"),
        ({**BUY, "source": "../etc"}, "source"),
        ({**BUY, "note": "hello"}, "note"),
    ],
)
def test_a_wrong_order_is_a_400_that_names_the_field(
    acme: BarSeries, account: Account, api: Clients, body: dict[str, Any], pointer: str
) -> None:
    answer = api("trader").post("/api/portfolio/orders", body, format="json")
    assert answer.status_code == 400, answer.content
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert Order.objects.count() == 0


def test_an_unknown_instrument_is_a_404_and_no_account_a_409(prices: Prices, api: Clients) -> None:
    assert api("viewer").get("/api/portfolio").json()["code"] == "ACCOUNT_MISSING"
    services.account_ensure_default(actor=Actor.system("test"))
    answer = api("trader").post("/api/portfolio/orders", {**BUY, "symbol": "NOPE"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (404, "INSTRUMENT_UNKNOWN")


@pytest.mark.parametrize(
    "query",
    [
        "/api/portfolio/orders?colour=red",
        "/api/portfolio/orders?status=asleep",
        "/api/portfolio/orders?execution_id=x",
        "/api/portfolio/orders?created_after=yesterday",
        "/api/portfolio/orders?cursor=x",
        "/api/portfolio/fills?side=up",
        "/api/portfolio/equity?limit=0",
        "/api/portfolio/equity?limit=x",
        "/api/portfolio/equity?start=monday",
        "/api/portfolio/positions?x=1",
        "/api/portfolio?x=1",
        "/api/portfolio?points=1",
        "/api/portfolio?points=2001",
        "/api/portfolio?points=many",
    ],
)
def test_a_wrong_query_is_a_400(account: Account, api: Clients, query: str) -> None:
    assert api("viewer").get(query).status_code == 400


def test_who_may_do_what(acme: BarSeries, place: Place, api: Clients, trader: AbstractBaseUser) -> None:
    order = place(order_type="limit", limit_price=Decimal(50))
    url = f"/api/portfolio/orders/{order.pk}/cancel"
    assert api().get("/api/portfolio").status_code == 401
    assert api("viewer").post("/api/portfolio/orders", BUY, format="json").status_code == 403
    assert api("viewer").post(url).status_code == 403
    other = api(user_with_role(Role.TRADER, "other"))
    assert other.post(url, {}, format="json").status_code == 403
    assert Order.objects.get().status == "accepted"
    answer = api("operator").post(url, {"reason": "not today"}, format="json")
    assert (answer.status_code, answer.json()["status"], answer.json()["detail"]) == (200, "cancelled", "not today")
    assert api("operator").post(url, {}, format="json").json()["code"] == "ORDER_NOT_OPEN"


def test_a_trader_cancels_its_own_order(acme: BarSeries, place: Place, api: Clients) -> None:
    order = place(order_type="limit", limit_price=Decimal(50))
    assert api("trader").post(f"/api/portfolio/orders/{order.pk}/cancel/").json()["status"] == "cancelled"


def test_an_order_that_is_not_there_is_a_404(account: Account, api: Clients) -> None:
    assert api("viewer").get(f"/api/portfolio/orders/{uuid4()}").json()["code"] == "ORDER_UNKNOWN"
    assert api("viewer").get("/api/portfolio/orders/x").status_code == 400


def test_lists_page_by_cursor_newest_first(acme: BarSeries, place: Place, api: Clients) -> None:
    made = [str(place(client_order_id=str(n), quantity=Decimal(n + 1)).pk) for n in range(5)]
    viewer = api("viewer")
    seen: list[str] = []
    url: str | None = "/api/portfolio/orders?page_size=2&count=true"
    while url:
        page = viewer.get(url).json()
        assert page["count"] == 5
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert seen == made[::-1]
    assert len(viewer.get("/api/portfolio/fills?page_size=2").json()["results"]) == 2


@pytest.mark.parametrize("who", ["admin"])
def test_every_admin_page_opens_and_ledgers_cannot_be_written(
    acme: BarSeries, place: Place, browser: Callable[..., Any], who: str
) -> None:
    resting = place(order_type="limit", limit_price=Decimal(50))
    place(client_order_id="two")
    client = browser(who)
    for name in ("account", "order", "fill", "position", "equitysnapshot", "paperorder", "paperfill"):
        assert client.get(f"/admin/portfolio/{name}/").status_code == 200
    for name in ("order", "fill", "position", "equitysnapshot", "paperorder", "paperfill"):
        assert client.get(f"/admin/portfolio/{name}/add/").status_code == 403
    assert client.get(f"/admin/portfolio/order/{resting.pk}/change/").status_code == 200
    assert client.get(f"/admin/portfolio/account/{resting.account_id}/change/").status_code == 200
    answer = client.post(
        "/admin/portfolio/order/", {"action": "cancel_orders", "_selected_action": [str(resting.pk)]}, follow=True
    )
    assert b"1 orders cancelled" in answer.content
    assert Order.objects.get(pk=resting.pk).status == "cancelled"
