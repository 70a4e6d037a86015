"""Orders that wait for their price, and how they are cancelled."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from market.models import BarSeries, DataSource, Instrument
from portfolio import orders, services, settling
from portfolio.errors import OrderNotOpen, OrderTransitionRefused
from portfolio.fills import order_move
from portfolio.models import Account, Fill, Order, PaperOrder
from safety import services as safety
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common import clock
from tradingsite.common.actor import Actor
from tradingsite.common.clock import utcnow

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
Line = tuple[set[str], list[str]]


# --------------------------------------------------------------------------------------------------------- resting


def test_a_market_order_waits_for_the_next_bar_of_a_live_series(prices: Prices, place: Place, account: Account) -> None:
    rows = [(100.0, 101.0, 99.0, 100.0)]
    prices.series("ACME", rows, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=30)):
        assert place().status == "accepted"
        assert services.orders_settle(wall=utcnow()) == 0
    prices.series("ACME", [*rows, (98, 99, 97, 98), (105, 106, 104, 105)], clock="live")
    with clock.frozen(FIRST_DAY + timedelta(days=1, hours=30)):
        assert services.orders_settle(wall=utcnow()) == 1
    order = Order.objects.get()
    # The second bar had opened before the order was made; the third one is the next.
    assert (order.status, order.average_price) == ("filled", Decimal("105.0525"))


@pytest.mark.parametrize(
    ("side", "limit", "bar", "price"),
    [
        ("buy", "95", (98, 99, 94, 97), "95"),
        ("buy", "95", (98, 99, 95, 97), "95"),
        ("buy", "95", (98, 99, 95.01, 97), None),
        ("buy", "95", (90, 99, 89, 97), "90.045"),
        ("buy", "95", (94.99, 99, 89, 97), "95"),
        ("sell", "105", (98, 106, 94, 97), "105"),
        ("sell", "105", (98, 104.99, 94, 97), None),
        ("sell", "105", (110, 111, 94, 97), "109.945"),
    ],
)
def test_a_limit_order_fills_only_where_the_bar_reaches_it(
    prices: Prices, place: Place, account: Account, side: str, limit: str, bar: tuple[float, ...], price: str | None
) -> None:
    rows = [(100.0, 101.0, 99.0, 100.0)]
    prices.series("ACME", rows, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        assert place(side=side, order_type="limit", limit_price=Decimal(limit)).status == "accepted"
    prices.series("ACME", [*rows, bar], clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=48)):
        services.orders_settle(wall=utcnow())
        services.orders_settle(wall=utcnow())
    order = Order.objects.get()
    assert order.average_price == (None if price is None else Decimal(price))
    assert order.status == ("accepted" if price is None else "filled")


def test_a_bar_that_is_not_complete_fills_a_limit_at_its_open_only(
    prices: Prices, place: Place, account: Account
) -> None:
    rows = [(100.0, 101.0, 99.0, 100.0)]
    prices.series("ACME", rows, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        place(order_type="limit", limit_price=Decimal(95))
    prices.series("ACME", [*rows, (98, 99, 94, 97)], clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=30)):
        assert services.orders_settle(wall=utcnow()) == 0
    with clock.frozen(FIRST_DAY + timedelta(hours=48)):
        assert services.orders_settle(wall=utcnow()) == 1


def test_in_the_generated_market_an_order_of_the_night_fills_at_the_opening(
    prices: Prices, place: Place, account: Account
) -> None:
    source = DataSource.objects.create(slug="demo", kind="demo", clock="live", title="Demo", generated=True)
    Instrument.objects.create(symbol="ACME", exchange="XNYS", default_source=source)
    with clock.frozen(datetime(2026, 1, 5, 2, tzinfo=UTC)):
        assert place().status == "accepted"
        assert services.orders_settle(wall=utcnow()) == 0
    opening = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
    with clock.frozen(opening + timedelta(minutes=3)):
        assert services.orders_settle(wall=utcnow()) == 1
    assert Fill.objects.get().occurred_at == opening


def test_in_the_generated_market_a_limit_fills_within_a_forming_day(
    prices: Prices, place: Place, account: Account
) -> None:
    source = DataSource.objects.create(slug="demo", kind="demo", clock="live", title="Demo", generated=True)
    Instrument.objects.create(symbol="ACME", exchange="XNYS", default_source=source)
    with clock.frozen(datetime(2026, 1, 5, 16, tzinfo=UTC)):
        far = place(order_type="limit", limit_price=Decimal("0.01"))
        near = place(order_type="limit", limit_price=Decimal(100_000), side="sell", client_order_id="two")
        assert (far.status, near.status) == ("accepted", "denied")
        price = far.reference_price or Decimal(0)
        most = price * Decimal("1.05")
        reached = place(order_type="limit", limit_price=most, quantity=Decimal(1), client_order_id="three")
    assert reached.status == "filled"
    assert reached.average_price == Fill.objects.get().price <= most


# ---------------------------------------------------------------------------------------------------------- cancel


@pytest.fixture
def resting(prices: Prices, place: Place) -> Order:
    prices.series("ACME", [(100, 101, 99, 100)])
    return place(order_type="limit", limit_price=Decimal(50))


def test_a_resting_order_is_cancelled_at_the_broker(resting: Order, actor: Actor) -> None:
    order = services.order_cancel(actor=actor, order=resting, reason="changed my mind")
    assert (order.status, order.detail) == ("cancelled", "changed my mind")
    assert PaperOrder.objects.get().status == "cancelled"
    with pytest.raises(OrderNotOpen):
        services.order_cancel(actor=actor, order=resting)


def test_a_filled_order_cannot_be_cancelled(acme: BarSeries, place: Place, actor: Actor) -> None:
    with pytest.raises(OrderNotOpen):
        services.order_cancel(actor=actor, order=place())


def test_a_fill_that_came_before_the_cancel_stands(acme: BarSeries, place: Place, actor: Actor, line: Line) -> None:
    faults, _ = line
    faults.add("submit lost on the way back")
    order = services.order_cancel(actor=actor, order=place())
    assert order.status == "filled"


def test_a_cancel_that_was_not_confirmed_is_tried_again(resting: Order, actor: Actor, line: Line) -> None:
    faults, _ = line
    faults.add("cancel lost on the way there")
    order = services.order_cancel(actor=actor, order=resting)
    assert order.status == "accepted"
    assert order.cancel_requested_at is not None
    faults.clear()
    assert services.orders_settle(wall=utcnow()) == 1
    assert Order.objects.get().status == "cancelled"


def test_the_kill_switch_cancels_what_rests(resting: Order, operator_actor: Actor) -> None:
    safety.kill(actor=operator_actor, reason="stop")
    assert services.orders_settle(wall=utcnow()) == 1
    order = Order.objects.get()
    assert (order.status, order.code) == ("cancelled", "KILL_SWITCH_ACTIVE")


@pytest.mark.django_db(transaction=True)
def test_a_kill_cancels_what_rests_before_it_answers(resting: Order, operator_actor: Actor) -> None:
    safety.kill(actor=operator_actor, reason="stop")
    resting.refresh_from_db()
    assert (resting.status, resting.code) == ("cancelled", "KILL_SWITCH_ACTIVE")


def test_a_kill_in_the_middle_of_a_settling_stops_the_fills_that_were_still_to_come(
    prices: Prices, place: Place, operator_actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 101, 99, 100)], clock="live")
    with clock.frozen(datetime(2026, 1, 2, 6, tzinfo=UTC)):
        place()
        place(symbol="BETA", client_order_id="two")
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 101, 99, 100)] * 3, clock="live")
    settle = settling._settle

    def settle_and_kill(**said: Any) -> Order:
        after = settle(**said)
        safety.kill(actor=operator_actor, reason="in the middle")
        return after

    monkeypatch.setattr(settling, "_settle", settle_and_kill)
    with clock.frozen(datetime(2026, 1, 3, 6, tzinfo=UTC)):
        services.orders_settle(wall=utcnow())
    assert sorted(Order.objects.values_list("status", "code")) == [("cancelled", "KILL_SWITCH_ACTIVE"), ("filled", "")]
    assert Fill.objects.count() == 1


def test_killing_one_strategy_leaves_the_orders_of_another(resting: Order, operator_actor: Actor) -> None:
    safety.kill(actor=operator_actor, reason="stop", scope=str(uuid4()))
    assert services.orders_settle(wall=utcnow()) == 0


def test_an_order_never_goes_where_the_table_does_not_lead(acme: BarSeries, place: Place, actor: Actor) -> None:
    order = place()
    with pytest.raises(OrderTransitionRefused):
        order_move(actor=actor, order=order, status=orders.OrderStatus.PENDING)


def test_one_order_that_cannot_be_settled_does_not_hold_the_others_up(
    prices: Prices, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 101, 99, 100)], clock="live")
    with clock.frozen(datetime(2026, 1, 2, 6, tzinfo=UTC)):
        place()
        place(symbol="BETA", client_order_id="two")
    for symbol in ("ACME", "BETA"):
        prices.series(symbol, [(100, 101, 99, 100)] * 3, clock="live")
    prices.series("ACME", [(100, 101, 99, 100)] * 3, clock="live")
    BarSeries.objects.filter(instrument__symbol="ACME").update(version=99)
    with clock.frozen(datetime(2026, 1, 3, 6, tzinfo=UTC)):
        assert services.orders_settle(wall=utcnow()) == 1
    assert Order.objects.get(client_order_id="two").status == "filled"
    assert Order.objects.get(client_order_id="one").status == "accepted"
