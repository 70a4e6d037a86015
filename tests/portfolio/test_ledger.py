"""The ledger by hand, and its invariants under any sequence of fills."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.choices import TRANSITIONS, OrderSide, OrderStatus, may_follow
from portfolio.ledger import Holding, Trade, apply_fill, fill_fee, money, rebuild, slipped_price

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def test_a_buy_costs_its_notional_and_its_fee() -> None:
    holding, cash = apply_fill(
        Holding(), Decimal(100_000), Trade(BUY, Decimal(50), Decimal("444.272025"), Decimal("22.21360125"))
    )
    assert cash == Decimal("77764.18514875")  # 100000 - 22213.60125 - 22.21360125
    assert (holding.quantity, holding.cost) == (Decimal(50), Decimal("22213.60125"))
    assert holding.average_price == Decimal("444.272025")
    assert (holding.realized_pnl, holding.fees) == (Decimal("-22.21360125"), Decimal("22.21360125"))


def test_a_second_buy_averages_the_price() -> None:
    holding, _ = apply_fill(Holding(), Decimal(1000), Trade(BUY, Decimal(1), Decimal(100), Decimal(0)))
    holding, cash = apply_fill(holding, Decimal(900), Trade(BUY, Decimal(3), Decimal(200), Decimal(0)))
    assert (holding.average_price, cash) == (Decimal(175), Decimal(300))


def test_closing_a_part_realises_its_share_less_the_fee() -> None:
    holding, cash = apply_fill(
        Holding(Decimal(4), Decimal(700)), Decimal(300), Trade(SELL, Decimal(1), Decimal(205), Decimal("0.5"))
    )
    assert (holding.quantity, holding.cost, holding.average_price) == (Decimal(3), Decimal(525), Decimal(175))
    assert holding.realized_pnl == Decimal("29.5")  # 205 - 175 - 0.5
    assert cash == Decimal("504.5")


def test_closing_all_leaves_no_cost_behind() -> None:
    third = Holding(Decimal(3), Decimal("100"))
    holding, _ = apply_fill(third, Decimal(0), Trade(SELL, Decimal(1), Decimal(40), Decimal(0)))
    assert holding.cost == Decimal("66.666667")
    holding, _ = apply_fill(holding, Decimal(40), Trade(SELL, Decimal(2), Decimal(40), Decimal(0)))
    assert (holding.quantity, holding.cost, holding.average_price) == (Decimal(0), Decimal(0), Decimal(0))
    assert holding.realized_pnl == Decimal(20)


def test_a_sell_through_zero_closes_the_long_and_opens_a_short_at_its_own_price() -> None:
    holding, cash = apply_fill(
        Holding(Decimal(2), Decimal(20)), Decimal(0), Trade(SELL, Decimal(5), Decimal(12), Decimal(1))
    )
    assert (holding.quantity, holding.cost, holding.average_price) == (Decimal(-3), Decimal(-36), Decimal(12))
    assert holding.realized_pnl == Decimal(3)  # 2·(12 - 10) - 1
    assert cash == Decimal(59)


def test_buying_a_short_back_lower_is_a_profit() -> None:
    holding, cash = apply_fill(
        Holding(Decimal(-3), Decimal(-36)), Decimal(59), Trade(BUY, Decimal(3), Decimal(10), Decimal(0))
    )
    assert (holding.quantity, holding.cost, holding.realized_pnl, cash) == (
        Decimal(0),
        Decimal(0),
        Decimal(6),
        Decimal(29),
    )


def test_a_short_loses_when_the_mark_rises() -> None:
    assert Holding(Decimal(-3), Decimal(-36)).unrealized_pnl(Decimal(13)) == Decimal(-3)


@pytest.mark.parametrize(
    ("quantity", "price"),
    [(Decimal(0), Decimal(1)), (Decimal(-1), Decimal(1)), (Decimal(1), Decimal(0)), (Decimal(1), Decimal(-1))],
)
def test_a_fill_without_a_positive_quantity_and_price_is_refused(quantity: Decimal, price: Decimal) -> None:
    with pytest.raises(ValueError, match="positive"):
        apply_fill(Holding(), Decimal(0), Trade(BUY, quantity, price, Decimal(0)))


def test_slippage_is_against_the_trader_on_both_sides() -> None:
    assert slipped_price(Decimal(400), BUY, Decimal("0.0005")) == Decimal("400.2")
    assert slipped_price(Decimal(400), SELL, Decimal("0.0005")) == Decimal("399.8")


def test_the_fee_is_a_fraction_of_the_filled_notional() -> None:
    assert fill_fee(Decimal("444.272025"), Decimal(50), Decimal("0.001")) == Decimal("22.213601")


def test_money_is_rounded_half_to_even_at_six_places() -> None:
    assert money(Decimal("0.0000005")) == Decimal("0.000000")
    assert money(Decimal("0.0000015")) == Decimal("0.000002")


amounts = st.decimals(min_value="0.0000000001", max_value="99999.9999999999", places=10, allow_nan=False)
trades = st.builds(Trade, side=st.sampled_from(OrderSide), quantity=amounts, price=amounts, fee=amounts)


@given(st.lists(st.tuples(st.sampled_from(["AAPL", "IBM"]), trades), max_size=30))
def test_cash_and_cost_less_realised_profit_is_the_starting_cash_exactly(fills: list[tuple[str, Trade]]) -> None:
    start = Decimal(100_000)
    holdings, cash = rebuild(fills, start)
    cost = sum((holding.cost for holding in holdings.values()), Decimal(0))
    realised = sum((holding.realized_pnl for holding in holdings.values()), Decimal(0))
    assert cash + cost - realised == start


@given(st.lists(trades, max_size=30))
def test_the_quantity_is_what_was_bought_less_what_was_sold(fills: list[Trade]) -> None:
    holding = Holding()
    for trade in fills:
        holding, _ = apply_fill(holding, Decimal(0), trade)
        assert (holding.quantity == 0) <= (holding.cost == 0)
        assert holding.quantity * holding.cost >= 0
    assert holding.quantity == sum((trade.side.sign * trade.quantity for trade in fills), Decimal(0))
    assert holding.fees == sum((trade.fee for trade in fills), Decimal(0))


def test_every_status_has_its_row_in_the_table_of_transitions() -> None:
    assert set(TRANSITIONS) == set(OrderStatus)


@pytest.mark.parametrize("end", [OrderStatus.DENIED, OrderStatus.FILLED, OrderStatus.REJECTED])
def test_nothing_follows_an_end(end: OrderStatus) -> None:
    assert not any(may_follow(end, status) for status in OrderStatus if status != end)


def test_nothing_goes_back_to_never_sent() -> None:
    assert not any(may_follow(status, OrderStatus.PENDING) for status in OrderStatus if status != OrderStatus.PENDING)
