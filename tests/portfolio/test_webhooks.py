"""Orders that are filled, rejected or denied are told once, with the facts of the order."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from market.models import BarSeries
from portfolio import fills
from portfolio.brokers.protocol import BrokerOrder
from portfolio.choices import OrderSide, OrderStatus
from portfolio.models import Order
from tests.portfolio.conftest import Prices
from tests.support.webhooks import maker
from tradingsite.common.actor import Actor
from tradingsite.common.ids import uuid7
from tradingsite.common.webhooks.event_types import event_types
from tradingsite.common.webhooks.models import WebhookDelivery

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _webhook(actor: Actor, settings: Any) -> None:
    settings.OUTBOUND_ALLOWED = ["127.0.0.1"]
    maker(actor)("http://127.0.0.1:9/", event_types=["order.filled", "order.rejected", "order.denied"])


def told() -> list[dict[str, Any]]:
    """Return each event, having seen that its data has the members of the example."""
    found = [json.loads(body) for body in WebhookDelivery.objects.order_by("id").values_list("body", flat=True)]
    for event in found:
        assert set(event["data"]) == set(event_types.get(event["type"]).example)
    return found


def test_a_filled_order_is_told_once_with_its_price(acme: BarSeries, place: Callable[..., Order]) -> None:
    strategy = uuid7()
    order = place(strategy_id=strategy)
    assert order.status == OrderStatus.FILLED
    place(strategy_id=strategy)
    [event] = told()
    assert event["type"] == "order.filled"
    data = event["data"]
    assert (data["order_id"], data["symbol"], data["status"]) == (str(order.pk), "ACME", "filled")
    assert (data["quantity"], data["filled_quantity"], data["strategy_id"]) == ("10", "10", str(strategy))
    assert Decimal(data["average_price"]) == order.average_price
    assert data["execution_id"] is None


def test_a_denied_order_is_told_with_the_code_of_the_gate(acme: BarSeries, place: Callable[..., Order]) -> None:
    order = place(quantity=Decimal(100_000))
    assert order.status == OrderStatus.DENIED
    [event] = told()
    assert (event["type"], event["data"]["code"]) == ("order.denied", order.code)
    assert event["data"]["code"] == "ORDER_NOTIONAL_EXCEEDS_LIMIT"


def test_an_order_that_rests_is_no_news_until_the_broker_rejects_it(
    prices: Prices, place: Callable[..., Order], acme: BarSeries
) -> None:
    order = place(order_type="limit", limit_price=Decimal(50))
    assert order.status == OrderStatus.ACCEPTED
    assert told() == []
    state = BrokerOrder(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol="ACME",
        side=OrderSide.BUY,
        quantity=order.quantity,
        status=OrderStatus.REJECTED,
        fills=(),
        code="HALTED",
        detail="The market is halted.",
    )
    fills.fills_apply(order_id=order.pk, state=state)
    fills.fills_apply(order_id=order.pk, state=state)
    [event] = told()
    assert (event["type"], event["data"]["code"], event["data"]["detail"]) == (
        "order.rejected",
        "HALTED",
        "The market is halted.",
    )
