"""Every limit stops a real order: from the order service's door to the broker's book, which stays empty.

A limit that is added without a breach here fails the last test.
"""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from market.models import DataSource, Instrument
from portfolio.choices import OrderStatus
from portfolio.models import Order, PaperOrder
from safety import selectors, sentinel, services
from safety.choices import LimitScope
from safety.facts import NARROWABLE
from safety.gate import Limits
from safety.models import GateDecision, SafetySettings, ScopedLimits
from tests.portfolio.conftest import FIRST_DAY, Prices, account, acme, place, prices  # noqa: F401
from tests.safety.test_breaker import TRIPS
from tradingsite.common import clock
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


def closed(place: Place) -> Order:  # noqa: F811
    """A share of New York, on a Saturday, at generated prices."""
    source, _ = DataSource.objects.get_or_create(slug="demo", defaults={"kind": "demo", "clock": "live"})
    Instrument.objects.get_or_create(symbol="NYSE", defaults={"exchange": "XNYS", "default_source": source})
    with clock.frozen(datetime(2026, 1, 10, 12, tzinfo=UTC)):
        return place(symbol="NYSE", quantity=Decimal(1))


def old(place: Place) -> Order:  # noqa: F811
    """A day's bar, six hours after it ended, on an exchange that never closes."""
    Prices().series("OLD", [(100, 101, 99, 100)], clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=30)):
        return place(symbol="OLD")


def dear(place: Place) -> Order:  # noqa: F811
    return place(order_type="limit", limit_price=Decimal("113.31"))


def after_a_loss(place: Place) -> Order:  # noqa: F811
    """Ten ACME cost 1.545515 in fee and slippage, though nothing was sold."""
    place(client_order_id="earlier")
    return place(quantity=Decimal(1))


# Limit: what it is set to, the order that breaches it, and a setting under which the same order passes. ACME opened at 103.
BREACHES: dict[str, tuple[Any, Callable[[Place], Order], Any]] = {
    "paper_mode": (True, live, None),
    "daily_trade_limit": (1, second, 2),
    "position_limit": ("1029.99", one, "1030"),
    "order_notional_limit": ("1029.99", one, "1030"),
    "duplicate_window_s": (60, same_again, 0),
    "trading_state": ("reducing", one, "active"),
    "open_wait_limit_s": (0, closed, 345_600),
    "data_max_age_s": (21_599, old, 21_600),
    "price_collar": ("0.1", dear, "0.11"),
    "exposure_limit": ("1029.99", one, "1030"),
    "daily_loss_limit": ("1.54", after_a_loss, "1.55"),
    "drawdown_limit": ("0.00001545", after_a_loss, "0.00001546"),
    "order_rate_limit": (1, second, 2),
}
SYMBOL_OF = {"open_wait_limit_s": "NYSE", "data_max_age_s": "OLD"}


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
    assert (decision.allowed, decision.code, decision.became) == (False, order.code, "denied")


@pytest.mark.parametrize("name", [name for name, breach in BREACHES.items() if breach[2] is not None])
def test_the_same_order_within_the_limit_reaches_the_broker(name: str, place: Place, admin_actor: Actor) -> None:  # noqa: F811
    _, scenario, value = BREACHES[name]
    set_limit(admin_actor, name, value)
    order = scenario(place)
    assert order.code == ""
    assert PaperOrder.objects.filter(client_order_id=order.client_order_id).exists()


@pytest.mark.parametrize("scope", LimitScope.values)
@pytest.mark.parametrize("name", NARROWABLE)
def test_a_narrower_limit_stops_the_orders_of_its_scope_and_no_others(
    name: str,
    scope: str,
    place: Place,  # noqa: F811
    admin_actor: Actor,
) -> None:
    value, scenario, within = BREACHES[name]
    set_limit(admin_actor, name, within)
    symbol = SYMBOL_OF.get(name, "ACME")
    if symbol != "ACME":
        scenario(lambda **said: place(**{**said, "client_order_id": "makes the instrument", "quantity": Decimal(2)}))
    mine, other = uuid4(), uuid4()
    key = str(mine) if scope == "strategy" else symbol
    services.scoped_limits_set(actor=admin_actor, scope=scope, key=key, limits={name: value})
    order = scenario(lambda **said: place(**{"strategy_id": mine, **said}))
    assert (order.status, order.code) == (OrderStatus.DENIED, selectors.CODE_OF[name])
    decision = GateDecision.objects.get(pk=order.decision_id)
    assert decision.facts["bound"] == {"limit": name, "scope": f"{scope} {key}"}
    services.scoped_limits_remove(actor=admin_actor, scope=scope, key=key)
    elsewhere = str(other) if scope == "strategy" else "ELSE"
    Instrument.objects.get_or_create(symbol="ELSE", defaults={"exchange": "24/7"})
    services.scoped_limits_set(actor=admin_actor, scope=scope, key=elsewhere, limits={name: value})
    again = {"client_order_id": "again", "quantity": Decimal(3), "strategy_id": mine}
    assert scenario(lambda **said: place(**{**said, **again})).code == ""


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
    """A limit that can be set, and that no test here breaches, would be a promise that nobody keeps."""
    settable = {
        field.name for field in SafetySettings._meta.concrete_fields if field.editable and not field.primary_key
    }
    assert set(BREACHES) == {item.name for item in fields(Limits)}
    assert settable == set(BREACHES) | set(TRIPS)
    narrowing = {field.name for field in ScopedLimits._meta.concrete_fields if field.null}
    assert narrowing == set(NARROWABLE) <= set(BREACHES)


def test_the_verdict_keeps_the_age_of_the_data_that_it_rests_on(place: Place) -> None:  # noqa: F811
    order = old(place)
    decision = GateDecision.objects.get(pk=order.decision_id)
    assert (decision.data_age_s, decision.facts["exposure"]["data_age_s"]) == (21_600, 21_600)
    still = place(client_order_id="historical")
    assert GateDecision.objects.get(pk=still.decision_id).data_age_s == 0, "its market stands at this very bar"


@pytest.mark.usefixtures("account")
def test_a_limit_of_the_api_stops_an_order_of_the_api(api: Callable[..., APIClient]) -> None:
    wanted = {"symbol": "ACME", "side": "buy", "quantity": "10"}
    limit = api("admin").put("/api/safety/limits/instrument/ACME", {"order_notional_limit": "1029.99"}, format="json")
    assert (limit.status_code, limit.json()["version"]) == (200, 1)
    placed = api("trader").post("/api/portfolio/orders", wanted, format="json").json()
    assert (placed["status"], placed["code"]) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")
    [verdict] = api("viewer").get("/api/safety/decisions").json()["results"]
    assert verdict["facts"]["bound"] == {"limit": "order_notional_limit", "scope": "instrument ACME"}
    assert verdict["data_age_s"] == 0
    api("admin").delete("/api/safety/limits/instrument/ACME")
    assert api("trader").post("/api/portfolio/orders", wanted, format="json").json()["code"] == ""
