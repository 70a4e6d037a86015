"""Every limit stops a real order: from the order service's door to the broker's book, which stays empty.

A limit that is added without a breach here fails the last test.
"""

from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import Any

import pytest

from portfolio.choices import OrderStatus
from portfolio.models import Order, PaperOrder
from safety import selectors, sentinel, services
from safety.gate import Limits
from safety.models import GateDecision
from tests.portfolio.conftest import account, acme, place, prices  # noqa: F401
from tradingsite.common.actor import Actor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("acme")]

Place = Callable[..., Order]


def one(place: Place) -> Order:  # noqa: F811
    return place()


def live(place: Place) -> Order:  # noqa: F811
    return place(mode="live")


def second(place: Place) -> Order:  # noqa: F811
    place(client_order_id="earlier", quantity=Decimal(1))
    return place()


def same_again(place: Place) -> Order:  # noqa: F811
    place(client_order_id="earlier")
    return place()


# Limit: what it is set to, the order that breaches it, and a setting under which the same order passes. ACME opened at 103.
BREACHES: dict[str, tuple[Any, Callable[[Place], Order], Any]] = {
    "paper_mode": (True, live, None),
    "daily_trade_limit": (1, second, 2),
    "position_limit": ("1029.99", one, "1030"),
    "order_notional_limit": ("1029.99", one, "1030"),
    "duplicate_window_s": (60, same_again, 0),
    "trading_state": ("reducing", one, "active"),
}


def set_limit(actor: Actor, name: str, value: Any) -> None:
    services.limits_update(actor=actor, changes={name: value})


@pytest.mark.parametrize("name", BREACHES)
def test_an_order_beyond_a_limit_never_reaches_the_broker(name: str, place: Place, admin_actor: Actor) -> None:  # noqa: F811
    value, scenario, _ = BREACHES[name]
    set_limit(admin_actor, name, value)
    order = scenario(place)
    assert (order.status, order.code) == (OrderStatus.DENIED, selectors.CODE_OF[name])
    assert not PaperOrder.objects.filter(client_order_id=order.client_order_id).exists()
    decision = GateDecision.objects.get(pk=order.decision_id)
    assert (decision.allowed, decision.code, decision.preview) == (False, order.code, order.mode == "live")


@pytest.mark.parametrize("name", [name for name, breach in BREACHES.items() if breach[2] is not None])
def test_the_same_order_within_the_limit_reaches_the_broker(name: str, place: Place, admin_actor: Actor) -> None:  # noqa: F811
    _, scenario, value = BREACHES[name]
    set_limit(admin_actor, name, value)
    order = scenario(place)
    assert order.code == ""
    assert PaperOrder.objects.filter(client_order_id=order.client_order_id).exists()


def test_a_kill_stops_the_order_service(place: Place, operator_actor: Actor) -> None:  # noqa: F811
    services.kill(actor=operator_actor, reason="drill")
    order = place()
    assert (order.status, order.code) == (OrderStatus.DENIED, "KILL_SWITCH_ACTIVE")
    services.resume(actor=operator_actor, reason="over")
    assert place(client_order_id="two", quantity=Decimal(2)).code == ""


def test_a_kill_between_the_gate_and_the_broker_stops_the_order(place: Place) -> None:  # noqa: F811
    def strike() -> None:
        # As another process kills: this one hears of it by looking, not by being told.
        sentinel.write("all", {"reason": "just in time"})

    order = place(before_send=strike)
    assert (order.status, order.code) == (OrderStatus.DENIED, "KILL_SWITCH_ACTIVE")
    assert not PaperOrder.objects.exists()


def test_every_limit_has_a_breach() -> None:
    assert set(BREACHES) == {item.name for item in fields(Limits)}
