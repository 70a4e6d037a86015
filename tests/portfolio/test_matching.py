"""At which price an order fills: figures by hand, and what holds for any prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.brokers.matching import Terms, price_at, price_within
from portfolio.choices import OrderSide, OrderType
from portfolio.ledger import slipped_price

D = Decimal
S = D("0.0005")
prices = st.decimals(min_value="0.01", max_value="1000", places=2)


def terms(side: str, kind: str, level: Decimal | None = None, slippage: Decimal = S) -> Terms:
    limit = level if kind == "limit" else None
    stop = level if kind == "stop" else None
    return Terms(OrderSide(side), OrderType(kind), limit, stop, slippage)


@pytest.mark.parametrize(
    ("side", "price", "filled"),
    [
        ("buy", "104.99", None),
        ("buy", "105", "105.0525"),
        ("buy", "107", "107.0535"),
        ("sell", "105.01", None),
        ("sell", "105", "104.9475"),
        ("sell", "103", "102.9485"),
    ],
)
def test_a_stop_fills_as_a_market_order_once_the_market_trades_there_or_beyond(
    side: str, price: str, filled: str | None
) -> None:
    assert price_at(terms(side, "stop", D(105)), D(price)) == (None if filled is None else D(filled))


@pytest.mark.parametrize(
    ("side", "bar", "filled"),
    [
        # (open, high, low): reached within the bar, only touched, not reached, and beyond at the open already.
        ("buy", (100, 106, 99), "105.0525"),
        ("buy", (100, 105, 99), "105.0525"),
        ("buy", (100, "104.99", 99), None),
        ("buy", (110, 111, 99), "110.055"),
        ("sell", (110, 111, 104), "104.9475"),
        ("sell", (110, 111, "105.01"), None),
        ("sell", (100, 111, 99), "99.95"),
    ],
)
def test_within_a_bar_a_stop_fills_at_its_stop_or_at_an_open_beyond(
    side: str, bar: tuple[object, ...], filled: str | None
) -> None:
    opened, high, low = (D(str(value)) for value in bar)
    found = price_within(terms(side, "stop", D(105)), opened=opened, high=high, low=low)
    assert found == (None if filled is None else D(filled))


@given(st.sampled_from(["buy", "sell"]), prices, prices)
def test_no_limit_order_fills_worse_than_its_limit_and_no_market_order_better_than_the_price(
    side: str, price: Decimal, limit: Decimal
) -> None:
    sign = OrderSide(side).sign
    filled = price_at(terms(side, "limit", limit), price)
    if filled is not None:
        assert sign * (limit - filled) >= 0
    market = price_at(terms(side, "market"), price)
    assert market is not None
    assert sign * (market - price) >= 0


@given(st.sampled_from(["buy", "sell"]), prices, st.lists(prices, min_size=3, max_size=3))
def test_a_stop_never_fills_before_its_stop_and_fills_whenever_a_price_of_the_bar_reaches_it(
    side: str, stop: Decimal, three: list[Decimal]
) -> None:
    low, opened, high = sorted(three)
    found = price_within(terms(side, "stop", stop), opened=opened, high=high, low=low)
    reached = high >= stop if side == "buy" else low <= stop
    assert (found is not None) == reached
    if found is not None:
        before = opened if OrderSide(side).sign * (opened - stop) >= 0 else stop
        assert found == slipped_price(before, OrderSide(side), S)


@given(st.sampled_from(["buy", "sell"]), prices, prices)
def test_a_stop_and_a_limit_at_one_price_wait_for_opposite_sides_of_the_market(
    side: str, level: Decimal, price: Decimal
) -> None:
    waits = [price_at(terms(side, kind, level), price) is None for kind in ("stop", "limit")]
    assert sum(waits) == (0 if price == level else 1)
