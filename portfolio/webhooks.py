"""What the portfolio tells webhooks: how orders ended."""

from collections.abc import Mapping
from typing import Any

from portfolio.choices import OrderStatus
from portfolio.models import Order
from safety.drills import of_drill
from tradingsite.common.webhooks.announcing import Event, announce
from tradingsite.common.webhooks.event_types import EventType, event_types

_ORDER = {
    "order_id": "0190a0b0-0000-7000-8000-000000000002",
    "client_order_id": "0190a0b0-0000-7000-8000-000000000003:3:0",
    "symbol": "MSFT",
    "side": "buy",
    "quantity": "57",
    "status": "filled",
    "code": "",
    "detail": "",
    "filled_quantity": "57",
    "average_price": "34.527255",
    "fees": "1.968054",
    "mode": "paper",
    "account_id": "0190a0b0-0000-7000-8000-000000000004",
    "strategy_id": "0190a0b0-0000-7000-8000-000000000005",
    "execution_id": "0190a0b0-0000-7000-8000-000000000003",
}
_REFUSED = {**_ORDER, "filled_quantity": "0", "average_price": None, "fees": "0"}

TYPES: Mapping[OrderStatus, EventType] = {
    OrderStatus.FILLED: EventType("order.filled", "An order was filled to the last share.", _ORDER),
    OrderStatus.REJECTED: EventType(
        "order.rejected",
        "The broker refused an order.",
        {**_REFUSED, "status": "rejected", "code": "BROKER_REJECTED", "detail": "The market is closed for good."},
    ),
    OrderStatus.DENIED: EventType(
        "order.denied",
        "The desk itself refused an order, before it left.",
        {
            **_REFUSED,
            "status": "denied",
            "code": "POSITION_EXCEEDS_LIMIT",
            "detail": "The position would be worth 60000, of 50000 at most.",
        },
    ),
}
for _type in TYPES.values():
    event_types.register(_type)


def order_told(order: Order, facts: Mapping[str, Any]) -> None:
    """Tell webhooks of the status that an order has just come to, if it is one that they can be told of.

    Of a drill's orders they are told nothing: who acts on denials would act on an exercise.
    """
    event_type = TYPES.get(OrderStatus(order.status))
    if event_type is None or of_drill(strategy_id=order.strategy_id, symbol=order.instrument.symbol):
        return
    data = {
        **facts,
        "mode": order.mode,
        "account_id": str(order.account_id),
        "strategy_id": order.strategy_id and str(order.strategy_id),
        "execution_id": order.execution_id and str(order.execution_id),
    }
    announce(Event(event_type.slug, data, strategy_id=order.strategy_id))
