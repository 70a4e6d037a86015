"""The paper broker's book: stop orders, and orders for the day."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rest_framework.test import APIClient

from market.models import BarSeries, DataSource, Instrument
from portfolio import services
from portfolio.errors import ClientOrderIdReused
from portfolio.models import Account, Fill, Order, PaperOrder
from safety.models import GateDecision
from tests.portfolio.conftest import FIRST_DAY, Prices
from tradingsite.common import clock
from tradingsite.common.clock import utcnow
from tradingsite.common.errors import ValidationFailed

pytestmark = pytest.mark.django_db

Place = Callable[..., Order]
D = Decimal
ROWS = [(100.0, 101.0, 99.0, 100.0)]
NIGHT = datetime(2026, 1, 5, 2, tzinfo=UTC)
OPENING, CLOSE = datetime(2026, 1, 5, 14, 30, tzinfo=UTC), datetime(2026, 1, 5, 21, tzinfo=UTC)


@pytest.fixture
def generated(prices: Prices) -> None:
    """ACME in the generated market, which quotes every minute of a session of New York."""
    source = DataSource.objects.create(slug="demo", kind="demo", clock="live", title="Demo", generated=True)
    Instrument.objects.create(symbol="ACME", exchange="XNYS", default_source=source)


def settle_at(moment: datetime) -> Order:
    with clock.frozen(moment):
        services.orders_settle(wall=utcnow())
    return Order.objects.get()


# ----------------------------------------------------------------------------------------------------------- stops


@pytest.mark.parametrize(
    ("side", "stop", "bar", "price"),
    [
        ("buy", "105", (100, 106, 99, 104), "105.0525"),
        ("buy", "105", (108, 109, 107, 108), "108.054"),
        ("buy", "105", (100, 104.99, 99, 104), None),
        ("sell", "95", (100, 101, 94, 96), "94.9525"),
        ("sell", "95", (90, 101, 89, 96), "89.955"),
        ("sell", "95", (100, 101, 95.01, 96), None),
    ],
)
def test_a_stop_order_fills_where_the_bar_reaches_its_stop(
    prices: Prices, place: Place, side: str, stop: str, bar: tuple[float, ...], price: str | None
) -> None:
    prices.series("ACME", ROWS, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        assert place(side=side, order_type="stop", stop_price=D(stop)).status == "accepted"
    prices.series("ACME", [*ROWS, bar], clock="live")
    order = settle_at(FIRST_DAY + timedelta(hours=48))
    assert order.average_price == (None if price is None else D(price))
    assert order.status == ("accepted" if price is None else "filled")
    if price is not None:
        assert order.fees == (D(price) * 10 * D("0.001")).quantize(D("1e-6"))


def test_a_stop_that_the_market_is_beyond_already_fills_at_the_next_price(prices: Prices, place: Place) -> None:
    prices.series("ACME", [*ROWS, (103.0, 104.0, 102.0, 103.0)])
    order = place(order_type="stop", stop_price=D(101))
    assert (order.status, order.average_price) == ("filled", D("103.0515"))


def test_the_gate_judges_a_stop_buy_by_its_stop_where_the_market_is_below(prices: Prices, place: Place) -> None:
    prices.series("ACME", ROWS, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        allowed = place(order_type="stop", stop_price=D(2500))
        denied = place(order_type="stop", stop_price=D(2501), client_order_id="two")
    assert allowed.status == "accepted"
    assert (denied.status, denied.code) == ("denied", "ORDER_NOTIONAL_EXCEEDS_LIMIT")
    assert GateDecision.objects.get(pk=denied.decision_id).facts["stop_price"] == "2501"


def test_a_resting_stop_buy_holds_back_the_cash_that_its_stop_will_take(
    prices: Prices, place: Place, account: Account
) -> None:
    prices.series("ACME", ROWS, clock="live")
    Account.objects.update(cash=D(2000), starting_cash=D(2000))
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        assert place(order_type="stop", stop_price=D(150)).status == "accepted"  # 10·150·1.0005·1.001 = 1502.25
        other = place(client_order_id="two", quantity=D(6))
    assert (other.status, other.code) == ("denied", "INSUFFICIENT_CASH")


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"order_type": "stop"}, "stop_price"),
        ({"order_type": "stop", "stop_price": D(0)}, "stop_price"),
        ({"order_type": "market", "stop_price": D(100)}, "stop_price"),
        ({"order_type": "limit", "limit_price": D(90), "stop_price": D(100)}, "stop_price"),
        ({"order_type": "stop", "stop_price": D(90), "limit_price": D(100)}, "limit_price"),
        ({"time_in_force": "ioc"}, "time_in_force"),
    ],
)
def test_prices_and_times_that_no_order_has_are_named(
    acme: BarSeries, place: Place, said: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        place(**said)
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert not Order.objects.exists()


def test_a_stop_order_for_the_day_by_hand(acme: BarSeries, account: Account, api: Callable[..., APIClient]) -> None:
    body = {"symbol": "ACME", "side": "buy", "quantity": "10", "type": "stop", "time_in_force": "day"}
    refused = api("trader").post("/api/portfolio/orders", body, format="json")
    assert refused.status_code == 400
    assert [(e["pointer"], e["code"]) for e in refused.json()["errors"]] == [("stop_price", "required")]
    answer = api("trader").post("/api/portfolio/orders", {**body, "stop_price": "500"}, format="json")
    order = answer.json()
    assert (order["status"], order["type"], order["stop_price"], order["time_in_force"], order["origin"]) == (
        "accepted",
        "stop",
        "500",
        "day",
        "desk",
    )


# -------------------------------------------------------------------------------------------------- orders for the day


def test_a_day_order_expires_with_its_session_and_says_so(generated: None, place: Place) -> None:
    with clock.frozen(OPENING + timedelta(hours=1)):
        order = place(order_type="limit", limit_price=D("0.01"), time_in_force="day")
        assert order.status == "accepted"
    assert PaperOrder.objects.get().expires_at == CLOSE
    assert settle_at(CLOSE - timedelta(seconds=1)).status == "accepted"
    order = settle_at(CLOSE)
    assert (order.status, order.code, order.detail) == (
        "expired",
        "DAY_ENDED",
        "Its session ended at 2026-01-05T21:00:00Z.",
    )
    assert order.closed_at is not None


def test_a_day_order_of_the_night_lives_through_the_next_session(generated: None, place: Place) -> None:
    with clock.frozen(NIGHT):
        place(time_in_force="day")
    assert settle_at(OPENING + timedelta(minutes=3)).status == "filled"
    assert Fill.objects.get().occurred_at == OPENING


def test_a_day_order_of_a_friday_evening_ends_on_monday(generated: None, place: Place) -> None:
    with clock.frozen(datetime(2026, 1, 2, 21, 0, tzinfo=UTC)):  # the very close of Friday
        place(order_type="limit", limit_price=D("0.01"), time_in_force="day")
    assert PaperOrder.objects.get().expires_at == CLOSE


def test_a_day_order_ends_early_on_a_half_day(generated: None, place: Place) -> None:
    with clock.frozen(datetime(2025, 11, 28, 15, tzinfo=UTC)):
        place(order_type="limit", limit_price=D("0.01"), time_in_force="day")
    assert PaperOrder.objects.get().expires_at == datetime(2025, 11, 28, 18, tzinfo=UTC)


def test_an_order_without_end_outlives_the_session(generated: None, place: Place) -> None:
    with clock.frozen(OPENING):
        place(order_type="limit", limit_price=D("0.01"))
    assert settle_at(CLOSE + timedelta(days=3)).status == "accepted"


def test_a_price_of_the_session_that_comes_late_still_fills_a_day_order(prices: Prices, place: Place) -> None:
    prices.series("ACME", ROWS, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        place(order_type="limit", limit_price=D(95), time_in_force="day")
    # The session is over, and nobody knows its prices yet.
    assert settle_at(FIRST_DAY + timedelta(hours=50)).status == "accepted"
    prices.series("ACME", [*ROWS, (98, 99, 94, 97)], clock="live")
    assert settle_at(FIRST_DAY + timedelta(hours=51)).status == "filled"


def test_a_day_order_is_not_filled_by_a_bar_of_the_next_session(prices: Prices, place: Place) -> None:
    prices.series("ACME", ROWS, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        place(order_type="limit", limit_price=D(95), time_in_force="day")
    prices.series("ACME", [*ROWS, (98, 99, 96, 97), (90, 91, 89, 90)], clock="live")
    order = settle_at(FIRST_DAY + timedelta(hours=73))
    assert (order.status, order.code, Fill.objects.count()) == ("expired", "DAY_ENDED", 0)


def test_a_day_order_whose_prices_never_come_ends_a_day_later(prices: Prices, place: Place) -> None:
    prices.series("ACME", ROWS, clock="live")
    with clock.frozen(FIRST_DAY + timedelta(hours=24)):
        place(order_type="limit", limit_price=D(95), time_in_force="day")
    assert settle_at(FIRST_DAY + timedelta(hours=71)).status == "accepted"
    assert settle_at(FIRST_DAY + timedelta(hours=72)).status == "expired"


def test_the_same_id_with_another_time_in_force_is_refused(acme: BarSeries, place: Place) -> None:
    place()
    with pytest.raises(ClientOrderIdReused, match="time_in_force"):
        place(time_in_force="day")
